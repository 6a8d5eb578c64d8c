"""Short aligned tables of results, which commands print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ....base.measure.estimates import EnergyEstimates, EnergyRange
from ....base.measure.measures import Measures
from ....data.catalog import FOLDER
from ...report import numbers
from ..score import Score, wilson
from .folder import REPORT

Rows = list[tuple[str, str]]
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


class OfRun(Protocol):
    """Results with the folder of their run."""

    @property
    def run(self) -> str: ...


class OfDataset(Protocol):
    """Results of a run on a dataset: its name in the catalogue, and its title."""

    @property
    def dataset(self) -> str: ...

    @property
    def title(self) -> str: ...


def dataset_name(result: OfDataset) -> str:
    """Return the name of the dataset: of a folder of one's own recordings, that of the folder."""
    if result.dataset == FOLDER:
        return result.title
    return result.dataset


def quantity(value: object, unit: str = "") -> str:
    """Return three digits and a prefix: 1234567 as `1.23 M`, 3.2e-9 J as `3.20 nJ`."""
    return numbers.text(numbers.si(value, unit))


def joules(estimate: EnergyRange | None) -> str:
    """Return an energy as one figure or a range."""
    return numbers.text(numbers.span(estimate, "J"))


def percent(value: object, digits: int = 1) -> str:
    """Return 0.123 as `12.3 %`."""
    return numbers.text(numbers.percent(value, digits))


def accuracy_row(score: Score, name: str, samples: int | None) -> tuple[str, str]:
    """Return the accuracy with the number of items, its confidence interval and chance."""
    low, high = score.confidence_interval or (None, None)
    between = f"95 % between {percent(low)} and {percent(high)}"
    of = "" if samples is None else f" of {samples:,}"
    return name, f"{percent(score.accuracy)}{of} ({between}; {chance(score.chance, score.uniform_chance)})"


def share(accuracy: float | None, samples: int) -> str:
    """Return an accuracy with the number of items and its confidence interval."""
    if accuracy is None or not samples:
        return percent(accuracy)
    low, high = wilson(round(accuracy * samples), samples)
    return f"{percent(accuracy)} of {samples:,} (95 % between {percent(low)} and {percent(high)})"


def together_rows(group: str) -> Rows:
    """Return that answers depend on the other recordings of a group, where they do."""
    if group:
        return [("transductive", f"the recordings of each {group} are answered together")]
    return []


def baseline_rows(found: Mapping[str, float]) -> Rows:
    """Return the accuracies of simple classifiers on the same recordings."""
    words = [f"{name} {percent(value)}" for name, value in found.items()]
    pairs = [", ".join(words[i : i + 2]) for i in range(0, len(words), 2)]
    return [("" if i else "baselines (counts)", pair) for i, pair in enumerate(pairs)]


def chance(largest: float | None, uniform: float | None) -> str:
    """Return what the largest class alone, and what a guess gets right."""
    if uniform is None or largest is None or percent(largest) == percent(uniform):
        return f"chance {percent(largest)}"
    return f"largest class {percent(largest)}, a guess {percent(uniform)}"


def activity_rows(spikes: int | None, measures: Measures | None, factor: float | None) -> Rows:
    """Return spikes, sparsity, operations and speed; a measure that is unknown has no row."""
    rows = [("spikes", quantity(spikes))]
    if measures is not None and measures.activation_sparsity is not None:
        rows.append(("sparsity", f"{percent(measures.activation_sparsity, 2)} of neuron outputs are silent"))
    if measures is not None and (effective := measures.synaptic_operations.effective) is not None:
        dense = measures.synaptic_operations.Dense
        rows.append(("operations", f"{quantity(effective)} a recording"))
        if dense and effective:
            saving = f"{_times(dense / effective)} fewer"
            rows.append(("", f"{saving} than the same layers, dense in every step ({quantity(dense)})"))
    return [*rows, ("speed", speed(factor))]


def energy_rows(energy: EnergyEstimates | None, each: str) -> Rows:
    """Return a row for each of the two estimates, per `each`; what is unknown says why."""
    if energy is None:
        return []
    rows = []
    for name, title in ESTIMATES.items():
        run = getattr(energy, name)
        dense = getattr(energy, f"dense_{name}")
        beside = f"; dense {joules(dense)}" if dense else ""
        known = f"{joules(run)} {each}{beside} (estimate, {energy.profile})"
        rows.append((title, f"- ({energy.reasons[name]})" if run is None else known))
    return rows


def file_rows(result: OfRun, digest: str = "") -> Rows:
    """Return the last rows of a run's table: the digest of its spikes, its folder and report."""
    named = [("spike digest", digest[:16])] if digest else []
    return [*named, ("run", result.run), ("report", str(Path(result.run) / REPORT))]


def speed(factor: float | None) -> str:
    """Return a real-time factor in words and as a figure."""
    if factor is None:
        return "-"
    if factor:
        times = f"{_times(1 / factor)} as fast as real time "
    else:
        times = ""
    return f"{times}(real-time factor {factor:.3g})"


def _times(factor: float) -> str:
    if factor >= 10:
        return f"{factor:,.0f} times"
    return f"{factor:.3g} times"
