"""Results as text: short aligned tables, numbers with as many digits as they are worth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .folder import REPORT
from .kind import Result

PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P"}
ESTIMATES = {
    "compute_only": "Energy, arithmetic alone",
    "memory_aware": "Energy, with memory",
}


def result_table(result: Mapping[str, Any], page: Path) -> str:
    """What `neurosim simulate` prints."""
    head = f"{result['dataset']} {result['split']}: {result['samples']} recordings, seed {result['seed']}"
    rows = [("accuracy", accuracy(result)), *activity(result), *energy(result)]
    return table(
        [*rows, ("spike digest", result["spike_digest"][:16]), ("run", result["run"]), ("report", str(page))], head
    )


def measures_table(result: Mapping[str, Any]) -> str:
    """What `neurosim measure` prints: every measure with its unit, then energy; what is unknown says why."""
    from ..measure import DEFINITIONS

    measures = result["measures"]
    if "network" in result:
        head, each = f"{result['network']}, from {result['run']}", "the run"
    else:
        head = f"{result['dataset']} {result['split']}: {result['samples']} recordings, from {result['run']}"
        each = "a recording"
    rows = []
    for name, definition in DEFINITIONS.items():
        value = measures
        for part in name.split("."):
            value = value[part]
        unknown = f"- ({measures['reasons'].get(name, 'not recorded')})"
        rows.append((definition.title, unknown if value is None else _with_unit(value, definition.unit)))
    published = [
        (f"  on {chip['title']}", joules(chip["energy"]) if chip["energy"] else f"- ({chip['reason']})")
        for chip in result["energy"]["published"]
    ]
    return table([*rows, *energy(result, each), ("Published figures per event", ""), *published], head)


def demo_text(result: Mapping[str, Any], page: Path) -> str:
    """What `neurosim demo` prints: the figures in sentences, and where to look next."""
    return "\n".join(
        [
            table(
                [("accuracy", accuracy(result)), *activity(result), *energy(result)],
                f"{result['samples']} handwritten digits, seen by an emulated event camera, read by spiking neurons:",
            ),
            "",
            f"Run     {result['run']}",
            f"Report  {page}",
            "Next    neurosim datasets list; neurosim simulate digits --set liquid.neurons=500",
        ]
    )


def table(rows: Iterable[tuple[str, str]], title: str = "") -> str:
    """Return aligned `name  value` lines below the title."""
    lines = list(rows)
    width = max((len(name) for name, _ in lines), default=0)
    head = [title] if title else []
    return "\n".join(head + [f"  {name:<{width}}  {value}".rstrip() for name, value in lines])


def quantity(value: float | None, unit: str = "") -> str:
    """Return three digits and a prefix: 1234567 as `1.23 M`, 3.2e-9 J as `3.2 nJ`."""
    if value is None:
        return "-"
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}".rstrip()
    # Rounding first, so that 999.9 becomes 1 k and not 1e+03.
    rounded = float(f"{value:.3g}")
    exponent = min(max(3 * math.floor(math.log10(abs(rounded)) / 3), min(PREFIXES)), max(PREFIXES))
    if -3 <= exponent < 0 and not unit:
        exponent = 0  # 0.85, not 850 m
    return f"{rounded / 10.0**exponent:.3g} {PREFIXES[exponent]}{unit}".rstrip()


def joules(estimate: Mapping[str, float]) -> str:
    """`{"low", "high"}` in joules: one figure, or a range."""
    low, high = (quantity(estimate[k], "J") for k in ("low", "high"))
    return low if low == high else f"{low} to {high}"


def accuracy(result: Mapping[str, Any]) -> str:
    low, high = result["confidence_interval"]
    return f"{result['accuracy']:.1%} (95 % between {low:.1%} and {high:.1%}; chance {result['chance']:.1%})"


def activity(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    measures = result["measures"]
    sparsity = measures["activation_sparsity"]
    done = measures["synaptic_operations"]
    effective = None if None in done.values() else done["Effective_ACs"] + done["Effective_MACs"]
    rows = [("spikes", quantity(result["spikes"]))]
    if sparsity is not None:
        rows.append(("sparsity", f"{sparsity:.2%} of neuron outputs are silent"))
    if effective is not None:
        rows.append(("operations", f"{quantity(effective)} a recording{_against(effective, done['Dense'])}"))
    return [*rows, ("speed", speed(result["real_time_factor"]))]


def speed(factor: float | None) -> str:
    """Return a real-time factor in words and as a figure."""
    if factor is None:
        return "-"
    times = f"{_times(1 / factor)} as fast as real time " if factor else ""
    return f"{times}(real-time factor {factor:.3g})"


def _against(effective: float, dense: float | None) -> str:
    return f", {_times(dense / effective)} fewer than dense ({quantity(dense)})" if dense and effective else ""


def _times(factor: float) -> str:
    return f"{factor:,.0f} times" if factor >= 10 else f"{factor:.3g} times"


def energy(result: Mapping[str, Any], each: str = "a recording") -> list[tuple[str, str]]:
    return energy_rows(result["energy"], each)


def energy_rows(energy: Mapping[str, Any], each: str) -> list[tuple[str, str]]:
    """Return a row for each of the two estimates, per `each`; what is unknown says why."""
    rows = []
    for name, title in ESTIMATES.items():
        run, dense = energy[name], energy[f"dense_{name}"]
        if run is None:
            rows.append((title, f"- ({energy['reasons'][name]})"))
            continue
        beside = f"; dense {joules(dense)}" if dense else ""
        rows.append((title, f"{joules(run)} {each}{beside} (estimate, {energy['profile']})"))
    return rows


def run_rows(result: Result, digest: str) -> list[tuple[str, str]]:
    """Return the last rows of a run's table: digest, folder and report."""
    return [("spike digest", digest[:16]), ("run", result.run), ("report", str(Path(result.run) / REPORT))]


def _with_unit(value: float, unit: str) -> str:
    return quantity(value, "B") if unit == "bytes" else f"{quantity(value)} {unit}".rstrip()
