"""Pairs of features that met in one conversion: kind, coding, weights, batch, threads, and every form of the model."""

from __future__ import annotations

from functools import cache

from guard.conversions import Conversion
from guard.covering import covering
from guard.pairs import PairTable
from guard.spike_coding import SCHEMES as ROUNDING_OF
from neurosim.language import EXPANSIONS, KINDS, SCHEMES
from neurosim.language.conversion.roundings import PRICED, ROUNDINGS

# What `conversions.hold` does with every conversion.
CHECKS = (
    "plain coding, layer by layer",
    "executed is simulated",
    "compiled is executed",
    "sequences one by one",
    "saved and loaded",
)
NO_SIGN = "activations have a sign, and the expansion has none: refused by name"
ONE_ROUNDING = "each scheme has its own rounding"
SIGNED = tuple(name for name, expansion in EXPANSIONS.items() if expansion.signed)
CHOSEN = {
    "kind": tuple(sorted(KINDS)),
    "scheme": tuple(SCHEMES),
    "expansion": SIGNED,
    "weights": ("int8", "float32"),
    "batch": ("batch of 1", "batch of 3"),
    "threads": ("1 thread", "2 threads"),
}
# The rounding by price is that of every conversion by `ternary` in canonical digits, and of no other.
ROUNDED = tuple(f"rounds {name}" for name in ROUNDINGS if name != PRICED)
UNSIGNED = tuple(name for name in EXPANSIONS if name not in SIGNED)
AXES = {**CHOSEN, "expansion": tuple(EXPANSIONS), "rounding": ROUNDED, "check": CHECKS}


@cache
def cases() -> list[Conversion]:
    """Return the conversions that the tests hold to the plain coding."""
    return [
        Conversion(
            seed, kind, scheme, expansion, weights, int(batch.removeprefix("batch of ")), int(threads.split()[0])
        )
        for seed, (kind, scheme, expansion, weights, batch, threads) in enumerate(covering(CHOSEN, 1, seed=3))
    ]


def features(case: Conversion) -> tuple[str, ...]:
    if case.threads == 1:
        threads = "1 thread"
    else:
        threads = f"{case.threads} threads"
    chosen = (case.kind, case.scheme, case.expansion, case.weights, f"batch of {case.batch}", threads)
    return (*chosen, f"rounds {ROUNDING_OF[case.scheme]}", *CHECKS)


def table() -> PairTable:
    found = PairTable("conversions", AXES)
    for case in cases():
        found.case(features(case))
    for scheme in SCHEMES:
        for rounding in ROUNDED:
            if rounding != f"rounds {ROUNDING_OF[scheme]}":
                found.cannot(scheme, rounding, ONE_ROUNDING)
    for expansion in UNSIGNED:
        for axis, names in AXES.items():
            for name in names if axis != "expansion" else ():
                found.cannot(expansion, name, NO_SIGN)
    return found
