"""Data of the sections that pages share: confusion, measures, energy, provenance. `sections.html` lays them out.

Values that a run's results do not have are shown as absent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from ...base.measure.estimates import MEANINGS, PUBLISHED, EnergyEstimates, EnergyRange
from ...base.measure.measures import DEFINITIONS, Measures
from . import charts, numbers
from .numbers import number

# Names of the four estimates in tables, and their colours in charts.
ESTIMATES = {
    "compute_only": ("As run, compute only", "var(--spike)"),
    "dense_compute_only": ("Dense, compute only", "var(--faint)"),
    "memory_aware": ("As run, with memory", "var(--accent)"),
    "dense_memory_aware": ("Dense, with memory", "var(--faint)"),
}
ITEMS = {
    "synapses": "Synaptic operations",
    "neurons": "Membrane updates",
    "weights": "Moving weights",
    "state": "Moving state",
    "events": "Moving events",
}
LAYER_COLUMNS = {
    "inputs": "Inputs",
    "outputs": "Units",
    "weights": "Synapses",
    "input_events": "Events in",
    "output_events": "Events out",
    "synaptic_operations": "Operations",
    "dense_operations": "Dense operations",
    "membrane_updates": "Membrane updates",
}
HOT = 0.55  # share of a class from which a confusion cell is dark enough for white figures
MAX_MISTAKES = 8


class ConfusionCell(NamedTuple):
    samples: int
    share: float
    kind: str


class ConfusionRow(NamedTuple):
    name: str
    cells: list[ConfusionCell]
    recall: float | None


class Confusion(NamedTuple):
    """Rows of true classes; the number of mistakes, and the most frequent ones as (count, true class, answer)."""

    classes: Sequence[str]
    rows: list[ConfusionRow]
    wrong: int
    mistakes: list[tuple[int, str, str]]


def confusion_table(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> Confusion | None:
    """Return the table of a confusion matrix [true][answer]; None if it is not square or not of these classes."""
    if not counts or len(classes) != len(counts) or any(len(row) != len(counts) for row in counts):
        return None
    rows = [_confusion_row(k, name, counts[k]) for k, name in enumerate(classes)]
    wrong = [
        (count, classes[k], classes[j])
        for k, row in enumerate(counts)
        for j, count in enumerate(row)
        if count and j != k
    ]
    most_frequent = sorted(wrong, key=lambda mistake: -mistake[0])[:MAX_MISTAKES]
    return Confusion(classes, rows, sum(mistake[0] for mistake in wrong), most_frequent)


def _confusion_row(k: int, name: str, counts: Sequence[int]) -> ConfusionRow:
    total = sum(counts)
    cells = []
    for j, count in enumerate(counts):
        share = count / total if total else 0.0
        if not count:
            kind = "zero"
        elif share > HOT:
            kind = "hot"
        else:
            kind = ""
        if count and j != k:
            kind = f"{kind} miss".strip()
        cells.append(ConfusionCell(count, share, kind))
    return ConfusionRow(name, cells, counts[k] / total if total else None)


def layer_rows(measures: Measures) -> list[tuple[str, list[object]]]:
    """Return the name of each layer and its counts, in the order of `LAYER_COLUMNS`."""
    return [(layer.name, [getattr(layer, name) for name in LAYER_COLUMNS]) for layer in measures.layers]


def against(dense: float | None, done: float | None) -> str:
    """Return in words the ratio of operations to the same layers, computed densely in every step."""
    if not dense or not done:
        return "dense equivalent not recorded"
    ratio = dense / done
    if ratio >= 1:
        words = f"{numbers.times(ratio)} fewer"
    else:
        words = f"{numbers.times(1 / ratio)} more"
    return f"{words} than the same layers, dense in every step"


def speed(factor: float | None) -> str:
    """Return a real-time factor (wall-clock seconds per simulated second: < 1 is fast) in words."""
    if not factor or factor < 0:
        return "not recorded"
    if factor < 1:
        faster = f"{numbers.times(1 / factor)} faster"
    else:
        faster = f"{numbers.times(factor)} slower"
    return f"wall-clock seconds per simulated second: {faster} than real time"


def between(ends: tuple[float, float]) -> str:
    return f"95{numbers.THIN}% between {numbers.percent(ends[0])} and {numbers.percent(ends[1])}"


def accuracy_chart(accuracy: float, ends: tuple[float, float], chance: float | None) -> Markup:
    """Return an accuracy with its interval, and a mark at chance."""
    words = f"Accuracy {numbers.percent(accuracy)}, {between(ends)}; chance {numbers.percent(chance)}"
    return charts.interval(accuracy, *ends, chance, words)


def energy_figures(estimates: EnergyEstimates) -> list[tuple[Markup, str]]:
    """Return (picture, caption) of the estimates, and of the parts of the estimate as run."""
    split = estimates.items.get("as_run", {})
    bars = _bars((title, getattr(estimates, name), colour) for name, (title, colour) in ESTIMATES.items())
    items = _bars((title, split.get(name), "var(--accent)") for name, title in ITEMS.items())
    picture = (
        (bars, "Energy estimates per sample", "Estimates per sample, logarithmic axis; a bar is a range."),
        (items, "Parts of the estimate as run", "Parts of the estimate as run, with memory."),
    )
    return [(charts.ranges(bars, _joules, words), caption) for bars, words, caption in picture if bars]


def _bars(entries: Iterable[tuple[str, EnergyRange | None, str]]) -> list[charts.Bar]:
    return [
        charts.Bar(title, value.low, value.high, numbers.span(value, "J"), colour)
        for title, value, colour in entries
        if value and 0 < value.low <= value.high < math.inf
    ]


def _joules(value: float) -> str:
    return numbers.si(value, "J", 1)


def energy_caption(estimates: EnergyEstimates) -> str:
    """Return the profile of estimates in one line."""
    parts = [part.rstrip(".") for part in (estimates.title, estimates.node, estimates.source, estimates.scope)]
    return f"Profile {estimates.profile}: " + ". ".join(part for part in parts if part) + "."


def picojoules(energy: EnergyRange | None) -> str:
    """Return a published energy, which is in pJ."""
    if energy is None:
        return numbers.DASH
    low = numbers.plain(energy.low)
    high = numbers.plain(energy.high)
    interval = low if low == high else f"{low}\N{EN DASH}{high}"
    return f"{interval}{numbers.THIN}pJ"


def table_of(value: object) -> Mapping[str, object]:
    """Return `value` if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def about_run(known: Mapping[str, object]) -> list[str | None]:
    """Return the last words of a page's lead from the manifest: seed, date, and the reason of a failure."""
    return [
        f"seed {known['seed']}" if "seed" in known else None,
        numbers.date(known.get("started")),
        f"the run failed: {known.get('reason')}" if known.get("status") == "failed" else None,
    ]


def provenance_facts(known: Mapping[str, object], digest: str | None = None) -> list[tuple[str, object]]:
    """Return (name, value) of the facts in a manifest.

    Args:
        digest: digest of the spikes, for a run whose manifest does not have it.
    """
    command = known.get("command")
    commit = known.get("git_commit")
    if commit and known.get("git_changed"):
        commit = f"{commit} (with uncommitted changes)"
    reading = known.get("reading")
    facts = {
        "Command": " ".join(map(str, command)) if isinstance(command, list) else None,
        "Started": known.get("started"),
        "Ended": known.get("ended"),
        "Status": known.get("status"),
        "Seed": known.get("seed"),
        "Spike digest": known.get("spike_digest") or digest or None,
        "Config hash": known.get("config_hash"),
        "Git commit": commit,
        "Reading": "; ".join(map(str, reading)) if isinstance(reading, list) else None,
        **{f"Data {name}": value for name, value in _flat(known.get("data") or known.get("data_hashes"))},
        "Machine": _machine(table_of(known.get("machine"))),
        "Plugins": ", ".join(f"{name} {value}" for name, value in _flat(known.get("plugins"))) or None,
        "Versions": ", ".join(f"{name} {value}" for name, value in _flat(known.get("versions"))) or None,
    }
    return [(name, value) for name, value in facts.items() if value is not None]


def _machine(machine: Mapping[str, object]) -> str | None:
    """Return processor, cores, memory and system in words, as far as they are known."""
    cores = number(machine.get("cores"))
    memory = number(machine.get("memory_bytes"))
    words = (
        machine.get("processor") or machine.get("architecture"),
        f"{cores:.0f} cores" if cores else None,
        f"{memory / 2**30:.3g} GiB of memory" if memory else None,
        machine.get("system"),
    )
    return ", ".join(str(word) for word in words if word) or None


def _flat(value: object) -> list[tuple[str, object]]:
    """Return (name, value) of a table, tables in it with their names before."""
    pairs: list[tuple[str, object]] = []
    for name, entry in table_of(value).items():
        inner = _flat(entry)
        pairs += [(f"{name} {deeper}", leaf) for deeper, leaf in inner] if inner else [(str(name), entry)]
    return pairs


# Used by templates.
FUNCTIONS: Mapping[str, object] = {
    "DEFINITIONS": DEFINITIONS,
    "ESTIMATES": ESTIMATES,
    "LAYER_COLUMNS": LAYER_COLUMNS,
    "MEANINGS": MEANINGS,
    "PUBLISHED": PUBLISHED,
    **{
        function.__name__: function
        for function in (
            confusion_table,
            layer_rows,
            energy_figures,
            energy_caption,
            picojoules,
            about_run,
            provenance_facts,
        )
    },
}
