"""Data of the sections that pages share: confusion, measures, energy, provenance. `sections.html` lays them out.

What a run's results lack is shown as absent; nothing here fails on results of an earlier version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from markupsafe import Markup

from .. import measure
from ..measure.estimates import MEANINGS, PUBLISHED
from . import charts, numbers
from .numbers import number

Json: TypeAlias = Mapping[str, object]

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


def table_of(value: object) -> Json:
    """Return `value` if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def list_of(value: object) -> Sequence[object]:
    """Return `value` if it is a list, else an empty one."""
    return value if isinstance(value, list | tuple) else ()


def tables_of(value: object) -> list[Json]:
    """Return the entries of a list as mappings."""
    return [table_of(entry) for entry in list_of(value)]


# --- confusion


class ConfusionCell(NamedTuple):
    samples: float
    share: float
    kind: str


class ConfusionRow(NamedTuple):
    name: str
    cells: list[ConfusionCell]
    recall: float | None


class Confusion(NamedTuple):
    """Rows of true classes; the number of mistakes, and the most frequent ones as (count, true class, answer)."""

    classes: list[str]
    rows: list[ConfusionRow]
    wrong: float
    mistakes: list[tuple[float, str, str]]


def confusion_table(matrix: object, classes: object) -> Confusion | None:
    """Return the table of a confusion matrix [true][answer]; None if it is not square or not of these classes."""
    counts = [[number(value) or 0.0 for value in list_of(row)] for row in list_of(matrix)]
    names = [str(name) for name in list_of(classes)]
    if not counts or len(names) != len(counts) or any(len(row) != len(counts) for row in counts):
        return None
    rows = [_confusion_row(k, name, counts[k]) for k, name in enumerate(names)]
    wrong = [
        (count, names[k], names[j]) for k, row in enumerate(counts) for j, count in enumerate(row) if count and j != k
    ]
    most_frequent = sorted(wrong, key=lambda mistake: -mistake[0])[:MAX_MISTAKES]
    return Confusion(names, rows, sum(mistake[0] for mistake in wrong), most_frequent)


def _confusion_row(k: int, name: str, counts: Sequence[float]) -> ConfusionRow:
    total = sum(counts)
    cells = []
    for j, count in enumerate(counts):
        share = count / total if total else 0.0
        kind = "zero" if not count else "hot" if share > HOT else ""
        cells.append(ConfusionCell(count, share, f"{kind} miss".strip() if count and j != k else kind))
    return ConfusionRow(name, cells, counts[k] / total if total else None)


# --- measures


class MeasureRow(NamedTuple):
    definition: measure.Definition
    shown: str
    reason: object


def measure_rows(found: object) -> list[MeasureRow]:
    """Return every measure of `measure.DEFINITIONS` with its value, or the reason why it has none."""
    rows = []
    for name, definition in measure.DEFINITIONS.items():
        value: object = found
        for part in name.split("."):
            value = table_of(value).get(part)
        reasons = table_of(table_of(found).get("reasons"))
        reason = reasons.get(name, "not recorded") if number(value) is None else None
        shown = numbers.percent(value, 2) if name.endswith("sparsity") else numbers.plain(value)
        rows.append(MeasureRow(definition, shown, reason))
    return rows


def layer_rows(found: object) -> list[tuple[object, list[object]]]:
    """Return the name of each layer and its counts, in the order of `LAYER_COLUMNS`."""
    layers = tables_of(table_of(found).get("layers"))
    return [(layer.get("name"), [layer.get(name) for name in LAYER_COLUMNS]) for layer in layers]


def operations(measures: object) -> tuple[float | None, float | None]:
    """Return the effective and the dense operations of measures."""
    found = table_of(table_of(measures).get("synaptic_operations"))
    added, multiplied = number(found.get("Effective_ACs")), number(found.get("Effective_MACs"))
    known = added is not None and multiplied is not None
    return (added or 0) + (multiplied or 0) if known else None, number(found.get("Dense"))


def against(dense: float | None, done: float | None) -> str:
    """Return in words how many operations fewer than dense that is."""
    if not dense or not done:
        return "dense equivalent not recorded"
    ratio = dense / done
    return f"{numbers.times(ratio)} fewer than dense" if ratio >= 1 else f"{numbers.times(1 / ratio)} more than dense"


def speed(factor: object) -> str:
    """Return a real-time factor (wall-clock seconds per simulated second: < 1 is fast) in words."""
    known = number(factor)
    if not known or known < 0:
        return "not recorded"
    faster = f"{numbers.times(1 / known)} faster" if known < 1 else f"{numbers.times(known)} slower"
    return f"wall-clock seconds per simulated second: {faster} than real time"


def interval_ends(ends: object) -> tuple[float, float] | None:
    """Return the ends of a confidence interval, if both are known."""
    known = [end for end in map(number, list_of(ends)) if end is not None]
    return (known[0], known[1]) if len(known) == 2 else None


def between(ends: tuple[float, float]) -> str:
    return f"95{numbers.THIN}% between {numbers.percent(ends[0])} and {numbers.percent(ends[1])}"


def accuracy_chart(accuracy: float, ends: tuple[float, float], chance: object) -> Markup:
    """Return an accuracy with its interval, and a mark at chance."""
    words = f"Accuracy {numbers.percent(accuracy)}, {between(ends)}; chance {numbers.percent(chance)}"
    return charts.interval(accuracy, *ends, number(chance), words)


# --- energy


class EnergyRow(NamedTuple):
    title: str
    shown: str
    meaning: str
    reason: object


class ChipRow(NamedTuple):
    title: object
    each: str
    energy: str
    node: object
    scope: object
    source: object
    reason: object


def energy_figures(found: object) -> list[tuple[Markup, str]]:
    """Return (picture, caption) of the estimates, and of what the one as run consists of."""
    estimates = table_of(found)
    split = table_of(table_of(estimates.get("items")).get("as_run"))
    bars = _bars((title, estimates.get(name), colour) for name, (title, colour) in ESTIMATES.items())
    items = _bars((title, split.get(name), "var(--accent)") for name, title in ITEMS.items())
    drawn = (
        (bars, "Energy estimates per sample", "Estimates per sample, logarithmic axis; a bar is a range."),
        (items, "Parts of the estimate as run", "Parts of the estimate as run, with memory."),
    )
    return [(charts.ranges(bars, _joules, words), caption) for bars, words, caption in drawn if bars]


def _bars(entries: Iterable[tuple[str, object, str]]) -> list[charts.Bar]:
    found = []
    for title, value, colour in entries:
        low, high = (number(table_of(value).get(end)) for end in ("low", "high"))
        if low and high and 0 < low <= high:
            found.append(charts.Bar(title, low, high, numbers.span(value, "J"), colour))
    return found


def _joules(value: float) -> str:
    return numbers.si(value, "J", 1)


def energy_caption(found: object) -> str:
    """Return the profile of estimates in one line."""
    parts = [str(table_of(found).get(key, "")).rstrip(".") for key in ("title", "node", "source", "scope")]
    return f"Profile {table_of(found).get('profile')}: " + ". ".join(part for part in parts if part) + "."


def energy_rows(found: object) -> list[EnergyRow]:
    """Return the four estimates, each with its meaning, or the reason why it has no value."""
    estimates = table_of(found)
    reasons = table_of(estimates.get("reasons"))
    return [
        EnergyRow(
            title,
            numbers.span(estimates.get(name), "J"),
            MEANINGS[name],
            None if estimates.get(name) else reasons.get(name, "not recorded"),
        )
        for name, (title, _) in ESTIMATES.items()
    ]


def memory_rows(found: object) -> list[tuple[object, list[str]]]:
    """Return for each layer where its weights, its state and the weights of its dense equivalent lie."""
    kinds = ("weights", "state", "dense_weights")
    return [
        (
            memory.get("layer"),
            [f"{numbers.si(memory.get(f'{kind}_bytes'), 'B')} in {memory.get(f'{kind}_in')}" for kind in kinds],
        )
        for memory in tables_of(table_of(found).get("memories"))
    ]


def published_rows(found: object) -> list[ChipRow]:
    """Return what published chips would spend on the events."""
    return [
        ChipRow(
            chip.get("title"),
            _picojoules(table_of(chip.get("pj_per_synaptic_event"))),
            numbers.span(chip.get("energy"), "J"),
            chip.get("node"),
            chip.get("scope"),
            chip.get("source"),
            chip.get("reason"),
        )
        for chip in tables_of(table_of(found).get("published"))
    ]


def _picojoules(ends: Json) -> str:
    low, high = (numbers.plain(ends.get(end)) for end in ("low", "high"))
    if low == numbers.DASH:
        return low
    return (low if low == high else f"{low}\N{EN DASH}{high}") + f"{numbers.THIN}pJ"


# --- provenance


def about_run(manifest: object) -> list[str | None]:
    """Return the last words of a page's lead: seed, date, and why the run failed."""
    known = table_of(manifest)
    return [
        f"seed {known['seed']}" if "seed" in known else None,
        numbers.date(known.get("started")),
        f"the run failed: {known.get('reason')}" if known.get("status") == "failed" else None,
    ]


def provenance_facts(manifest: object, digest: object = None) -> list[tuple[str, object]]:
    """Return (name, value) of what a manifest says of a run.

    Args:
        digest: of the spikes, for a run whose manifest does not have it.
    """
    known = table_of(manifest)
    commit = known.get("git_commit")
    facts = {
        "Command": " ".join(str(word) for word in list_of(known.get("command"))) or None,
        "Started": known.get("started"),
        "Ended": known.get("ended"),
        "Status": known.get("status"),
        "Seed": known.get("seed"),
        "Spike digest": known.get("spike_digest") or (digest if isinstance(digest, str) else None),
        "Config hash": known.get("config_hash"),
        "Git commit": f"{commit} (with uncommitted changes)" if commit and known.get("git_changed") else commit,
        **{f"Data {name}": value for name, value in _flat(known.get("data") or known.get("data_hashes"))},
        "Machine": _machine(table_of(known.get("machine"))),
        "Versions": ", ".join(f"{name} {value}" for name, value in _flat(known.get("versions"))) or None,
    }
    return [(name, value) for name, value in facts.items() if value is not None]


def _machine(machine: Json) -> str | None:
    """Return processor, cores, memory and system in words, as far as they are known."""
    cores, memory = number(machine.get("cores")), number(machine.get("memory_bytes"))
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


def is_number(value: object) -> bool:
    """Tell whether a value is a finite number."""
    return number(value) is not None


# Called by templates.
FUNCTIONS: Mapping[str, object] = {
    "LAYER_COLUMNS": LAYER_COLUMNS,
    "PUBLISHED": PUBLISHED,
    **{
        function.__name__: function
        for function in (
            confusion_table,
            measure_rows,
            layer_rows,
            operations,
            against,
            speed,
            interval_ends,
            between,
            accuracy_chart,
            energy_figures,
            energy_caption,
            energy_rows,
            memory_rows,
            published_rows,
            about_run,
            provenance_facts,
            is_number,
        )
    },
}
