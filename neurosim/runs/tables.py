"""What commands print of results: short aligned tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .folder import REPORT
from .kind import Result
from .score import Score

Rows = list[tuple[str, str]]
PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P"}
ESTIMATES = {
    "compute_only": "Energy, arithmetic alone",
    "memory_aware": "Energy, with memory",
}


def table(rows: Iterable[tuple[str, str]], title: str = "") -> str:
    """Return aligned `name  value` lines below the title."""
    lines = list(rows)
    width = max((len(name) for name, _ in lines), default=0)
    head = [title] if title else []
    return "\n".join(head + [f"  {name:<{width}}  {value}".rstrip() for name, value in lines])


def grid(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return columns aligned to the right below their heads."""
    lines = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)) for line in lines
    )


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
    """Return `{"low", "high"}` in joules as one figure or a range."""
    low, high = (quantity(estimate[k], "J") for k in ("low", "high"))
    return low if low == high else f"{low} to {high}"


def percent(value: float | None) -> str:
    """Return 0.123 as `12.3%`."""
    return "-" if value is None else f"{value:.1%}"


def accuracy_row(score: Score, name: str) -> tuple[str, str]:
    """Return the accuracy with its confidence interval and chance."""
    low, high = score.confidence_interval or (None, None)
    between = f"95 % between {percent(low)} and {percent(high)}"
    return name, f"{percent(score.accuracy)} ({between}; chance {percent(score.chance)})"


def activity_rows(spikes: int | None, measures: Mapping[str, Any] | None, factor: float | None) -> Rows:
    """Return spikes, sparsity, operations and speed; a measure that is unknown has no row."""
    measures = measures or {}
    sparsity, done = measures.get("activation_sparsity"), measures.get("synaptic_operations") or {}
    rows = [("spikes", quantity(spikes))]
    if sparsity is not None:
        rows.append(("sparsity", f"{sparsity:.2%} of neuron outputs are silent"))
    if done and None not in done.values():
        effective = done["Effective_ACs"] + done["Effective_MACs"]
        rows.append(("operations", f"{quantity(effective)} a recording{_against(effective, done['Dense'])}"))
    return [*rows, ("speed", speed(factor))]


def energy_rows(energy: Mapping[str, Any] | None, each: str) -> Rows:
    """Return a row for each of the two estimates, per `each`; what is unknown says why."""
    rows = []
    for name, title in ESTIMATES.items() if energy else ():
        assert energy is not None
        run, dense = energy[name], energy[f"dense_{name}"]
        if run is None:
            rows.append((title, f"- ({energy['reasons'][name]})"))
            continue
        beside = f"; dense {joules(dense)}" if dense else ""
        rows.append((title, f"{joules(run)} {each}{beside} (estimate, {energy['profile']})"))
    return rows


def run_rows(result: Result, digest: str) -> Rows:
    """Return the last rows of a run's table: digest, folder and report."""
    return [("spike digest", digest[:16]), ("run", result.run), ("report", str(Path(result.run) / REPORT))]


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
