"""Pairs of features of networks on the grid that met in the random networks."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from guard.kinds import KINDS
from guard.networks import AXES, AXIS, case
from guard.pairs import PairTable
from guard.written import FEATURES, INSTEAD

NETWORKS = 1400
MIN_TIMES = 10
# Of these, the first are compared by the slow tests, where each pair meets three times; a release compares all.
COMPARED = 700
COMPARED_TIMES = 3
# Axes of which a network has one value; of all others it may have several.
ONE = {"precision", "clock", "silence", "state", "second run"}
CURRENTS = ("StepCurrent", "SineCurrent", "NoiseCurrent", "GapJunctions", "gaps between")


def table(networks: int = NETWORKS, least: int = MIN_TIMES) -> PairTable:
    """Return the pairs that met in the networks of seeds 0 to `networks - 1`."""
    pairs = PairTable("Networks on the grid", AXES, least, frozenset(AXES) - ONE)
    for name, kind in KINDS.items():
        for feature, reason in missing(name).items():
            pairs.cannot(name, feature, reason)
        assert kind.name == name
    for a, b in itertools.combinations(AXES["equations"], 2):
        if not any({a, b} <= features for features in FEATURES.values()):
            pairs.cannot(a, b, "no model has both")
    for feature, change in itertools.product(("event-driven", "clock-driven"), AXES["short-term"]):
        pairs.cannot(feature, change, "a model of synapses has no short-term plasticity beside it")
    for feature in AXES["equations"]:
        pairs.cannot(feature, "soft reset", "models of equations have none")
    count(pairs, range(networks))
    return pairs


def count(pairs: PairTable, seeds: Iterable[int]) -> None:
    """Add the pairs that met in the networks of some seeds."""
    for seed in seeds:
        pairs.cases += 1
        for a, b in (sorted(pair) for pair in case(seed).met()):
            pairs.met(a, b)


def missing(name: str) -> dict[str, str]:
    """Return the features that a kind of neuron cannot have, with the reason."""
    kind = KINDS[name]
    lacks = {}
    if len(kind.weights) == 1:
        lacks["second receptor"] = "the model has one receptor"
    if "soft_reset" not in kind.flags:
        lacks["soft reset"] = "the model has no soft reset"
    if not kind.refracts:
        lacks["refractory"] = "the model has no refractory time"
    if kind.positive:
        lacks["negative"] = "weights are conductances, which are positive"
    if kind.current == 0.0:
        lacks |= dict.fromkeys(CURRENTS, "the model has no i_offset, to which currents add")
    written = [FEATURES[model] for model in INSTEAD.get(name, ((), 0.0))[0]]
    for feature in AXES["equations"]:
        if not any(feature in features for features in written):
            lacks[feature] = "no model in the place of this kind has it"
    assert all(feature in AXIS for feature in lacks)
    return lacks
