"""Sections that every run can have, whatever paradigm made it: confusion, measures, energy, provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import measure
from ..measure.energy import MEANINGS, PUBLISHED
from . import numbers, page, plots
from .html import Child, Html, el, join
from .numbers import number
from .page import Cell, Section

Json = Mapping[str, Any]

# As the tables call the four estimates.
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
HOT = 0.55  # of a class: from here on a confusion cell is dark enough for white figures


def table_of(value: object) -> Json:
    """`value` if it is a mapping: what a run lacks is shown as absent, never a crash."""
    return value if isinstance(value, Mapping) else {}


def list_of(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def number_cell(shown: str) -> Cell:
    return Cell("n", shown)


def confusion(metrics: Json) -> Section:
    """Rows are the true classes, columns the readout's answers."""
    matrix, classes = list_of(metrics.get("confusion")), [str(name) for name in list_of(metrics.get("classes"))]
    square = bool(matrix) and all(len(list_of(row)) == len(matrix) for row in matrix)
    lead = "Rows are true classes, columns what the readout said; shading is the share of the row."
    if not square or len(classes) != len(matrix):
        body: Child = page.notice("The run recorded no confusion matrix.")
        return Section("confusion", "Confusion", lead, body)
    head = el(
        "tr", {}, el("td", {"class": "corner"}), [el("th", {"scope": "col"}, name) for name in [*classes, "recall"]]
    )
    rows = [_confusion_row(k, name, list_of(matrix[k])) for k, name in enumerate(classes)]
    inner = el("table", {"class": "confusion"}, el("thead", {}, head), el("tbody", {}, rows))
    region = {"class": "scroll", "tabindex": 0, "role": "region", "aria-label": "Confusion matrix"}
    body = el("div", {"class": "split"}, el("div", region, inner), _mistakes(matrix, classes))
    return Section("confusion", "Confusion", lead, body)


def _mistakes(matrix: Sequence[Any], classes: Sequence[str], most: int = 8) -> Html:
    """The most frequent confusions, in words."""
    wrong = [
        (number(count) or 0.0, true, said)
        for true, row in zip(classes, matrix, strict=True)
        for said, count in zip(classes, row, strict=True)
        if true != said and number(count)
    ]
    worst = sorted(wrong, key=lambda entry: -entry[0])[:most]
    lines = [
        el("li", {}, [el("strong", {}, true), " read as ", el("strong", {}, said), f": {numbers.plain(count)}"])
        for count, true, said in worst
    ]
    whole = numbers.plain(sum(count for count, _, _ in wrong))
    title = f"{whole} mistakes, most frequent first" if lines else "No mistakes"
    return el("div", {"class": "card"}, el("h3", {}, title), el("ol", {}, lines) if lines else None)


def _confusion_row(k: int, name: str, row: Sequence[Any]) -> Html:
    counts = [number(value) or 0.0 for value in row]
    whole = sum(counts)
    cells = []
    for j, count in enumerate(counts):
        share = count / whole if whole else 0.0
        wrong = "miss" if count and j != k else ""
        kind = "zero" if not count else "hot" if share > HOT else ""
        words = {"class": f"{kind} {wrong}".strip() or None, "style": f"--v:{share:.3f}" if count else None}
        cells.append(el("td", words, numbers.plain(count) if count else "·"))
    recall = numbers.percent(counts[k] / whole, 0) if whole else numbers.DASH
    return el("tr", {}, el("th", {"scope": "row"}, name), cells, el("td", {"class": "recall"}, recall))


def measures(metrics: Json, over: str = "the test recordings") -> Section:
    """NeuroBench's measures with their definitions, and the counts of each layer."""
    found = table_of(metrics.get("measures"))
    lead = f"Counts over {over}. A measure that could not be computed is blank, with the reason."
    if not found:
        return Section("measures", "Measures", lead, page.notice("The run recorded no measures."))
    rows = [_measure_row(name, definition, found) for name, definition in measure.DEFINITIONS.items()]
    body: list[Child] = [page.table("Measures of the whole network", _MEASURE_HEADS, rows)]
    layers = [table_of(layer) for layer in list_of(found.get("layers"))]
    if layers:
        body.append(page.table("Counts of each layer, over all samples", _LAYER_HEADS, map(_layer_row, layers)))
    return Section("measures", "Measures", lead, body)


_MEASURE_HEADS = ("Measure", Cell("n", "Value"), "", "Definition", "Source")
_LAYER_COLUMNS = {
    "inputs": "Inputs",
    "outputs": "Units",
    "weights": "Synapses",
    "input_events": "Events in",
    "output_events": "Events out",
    "synaptic_operations": "Operations",
    "dense_operations": "Dense operations",
    "membrane_updates": "Membrane updates",
}
_LAYER_HEADS: Sequence[Child | Cell] = ("Layer", *(Cell("n", title) for title in _LAYER_COLUMNS.values()))


def _measure_row(name: str, definition: measure.Definition, found: Json) -> Sequence[Child | Cell]:
    value: Any = found
    for part in name.split("."):
        value = table_of(value).get(part)
    why = table_of(found.get("reasons")).get(name, "not recorded") if number(value) is None else None
    shown = numbers.percent(value, 2) if name.endswith("sparsity") else numbers.plain(value)
    meaning = join([definition.meaning, el("div", {"class": "why"}, f"Blank: {why}") if why else None])
    unit, source = Cell("unit", definition.unit), Cell("source", definition.source)
    return definition.title, number_cell(shown), unit, Cell("wide", meaning), source


def _layer_row(layer: Json) -> Sequence[Child | Cell]:
    return str(layer.get("name")), *(number_cell(numbers.plain(layer.get(name))) for name in _LAYER_COLUMNS)


def energy(metrics: Json) -> Section:
    """The estimates, what they consist of, where data lay, and what published chips would spend on the events."""
    found = table_of(metrics.get("energy"))
    lead = (
        "Estimates from counts and published costs, per sample. None of this was measured: no control, clock, "
        "network-on-chip or leakage is in it."
    )
    if not found:
        return Section("energy", "Energy estimates", lead, page.notice("The run recorded no energy estimate."))
    body = [_energy_figures(found), _energy_table(found), _memory_table(found), _published_table(found)]
    return Section("energy", "Energy estimates", lead, body)


def _positive(value: object) -> tuple[float, float] | None:
    low, high = (number(table_of(value).get(end)) for end in ("low", "high"))
    return (low, high) if low and high and 0 < low <= high else None


def _energy_figures(found: Json) -> Child:
    whole = {name: _positive(found.get(name)) for name in ESTIMATES}
    bars = [
        plots.Bar(ESTIMATES[name][0], *ends, numbers.span(found[name], "J"), ESTIMATES[name][1])
        for name, ends in whole.items()
        if ends
    ]
    items = table_of(table_of(found.get("items")).get("as_run"))
    split = [
        plots.Bar(title, *ends, numbers.span(items[name], "J"), "var(--accent)")
        for name, title in ITEMS.items()
        if (ends := _positive(items.get(name)))
    ]
    return page.cards(
        page.figure(plots.ranges(chosen, _joules, words), caption)
        for chosen, words, caption in (
            (bars, "Energy estimates per sample", "Estimates per sample, logarithmic axis; a bar is a range."),
            (split, "What the estimate as run consists of", "What the estimate as run, with memory, consists of."),
        )
        if chosen
    )


def _joules(value: float) -> str:
    return numbers.si(value, "J", 1)


def _energy_table(found: Json) -> Html:
    reasons = table_of(found.get("reasons"))
    rows = []
    for name, (title, _) in ESTIMATES.items():
        why = None if found.get(name) else reasons.get(name, "not recorded")
        meaning = join([MEANINGS[name], el("div", {"class": "why"}, f"Blank: {why}") if why else None])
        rows.append((title, number_cell(numbers.span(found.get(name), "J")), Cell("wide", meaning)))
    parts = (str(found.get(key, "")) for key in ("title", "node", "source", "scope"))
    caption = f"Profile {found.get('profile')}: " + ". ".join(part.rstrip(".") for part in parts if part) + "."
    return page.table(caption, ("Estimate", Cell("n", "Per sample"), "What it holds"), rows)


def _memory_table(found: Json) -> Child:
    memories = [table_of(memory) for memory in list_of(found.get("memories"))]
    if not memories:
        return None
    kinds = (("weights", "Weights"), ("state", "State"), ("dense_weights", "Dense weights"))
    rows: list[Sequence[Child | Cell]] = [
        (
            str(memory.get("layer")),
            *(
                number_cell(f"{numbers.si(memory.get(f'{kind}_bytes'), 'B')} in {memory.get(f'{kind}_in')}")
                for kind, _ in kinds
            ),
        )
        for memory in memories
    ]
    heads: list[Child | Cell] = ["Layer", *(Cell("n", title) for _, title in kinds)]
    caption = "Where data is taken to lie: a memory as large as what it stores, off chip above the largest SRAM."
    return page.table(caption, heads, rows)


def _published_table(found: Json) -> Child:
    chips = [table_of(chip) for chip in list_of(found.get("published"))]
    if not chips:
        return None
    rows = []
    for chip in chips:
        why = el("div", {"class": "why"}, f"Blank: {chip['reason']}") if chip.get("reason") else None
        energy_each, whole = table_of(chip.get("pj_per_synaptic_event")), chip.get("energy")
        scope = join([chip.get("scope"), el("div", {"class": "why"}, chip.get("source")), why])
        rows.append(
            (
                str(chip.get("title")),
                number_cell(_picojoules(energy_each)),
                number_cell(numbers.span(whole, "J")),
                Cell("unit", chip.get("node")),
                Cell("wide", scope),
            )
        )
    heads = ("Chip", Cell("n", "Per event"), Cell("n", "Per sample"), "Process", "Scope and source")
    return page.table(f"Published chips. {PUBLISHED}", heads, rows)


def _picojoules(ends: Json) -> str:
    low, high = (numbers.plain(ends.get(end)) for end in ("low", "high"))
    if low == numbers.DASH:
        return low
    return (low if low == high else f"{low}\N{EN DASH}{high}") + f"{numbers.THIN}pJ"


SAME_SPIKES = "The same command, data and seed give the same spike digest, whatever the number of threads."


def provenance(manifest: Json, metrics: Json, config: str | None, lead: str = SAME_SPIKES) -> Section:
    """What made this result, and with what it can be made again."""
    commit, changed = manifest.get("git_commit"), manifest.get("git_changed")
    known = {
        "Command": " ".join(str(word) for word in list_of(manifest.get("command"))) or None,
        "Started": manifest.get("started"),
        "Ended": manifest.get("ended"),
        "Status": manifest.get("status"),
        "Seed": manifest.get("seed", metrics.get("seed")),
        "Spike digest": manifest.get("spike_digest", metrics.get("spike_digest")),
        "Config hash": manifest.get("config_hash"),
        "Git commit": f"{commit} (with uncommitted changes)" if commit and changed else commit,
        **{f"Data {name}": value for name, value in _flat(manifest.get("data") or manifest.get("data_hashes"))},
        "Machine": _machine(table_of(manifest.get("machine"))),
        "Versions": ", ".join(f"{name} {value}" for name, value in _flat(manifest.get("versions"))) or None,
    }
    pairs = [(name, el("code", {}, value)) for name, value in known.items() if value is not None]
    body: list[Child] = [el("div", {"class": "card"}, page.facts(pairs))] if pairs else []
    if not manifest:
        body.append(page.notice("The run folder has no manifest.json: where this came from is not known."))
    shown = el("pre", {}, config) if config is not None else page.notice("The run folder has no config.toml.")
    body.append(page.cards([el("details", {"class": "card"}, el("summary", {}, "The whole configuration"), shown)]))
    return Section("provenance", "Provenance", lead, body)


def _machine(machine: Json) -> str | None:
    """Processor, cores, memory and system, as far as they are known."""
    cores, memory = number(machine.get("cores")), number(machine.get("memory_bytes"))
    words = (
        machine.get("processor") or machine.get("architecture"),
        f"{cores:.0f} cores" if cores else None,
        f"{memory / 2**30:.3g} GiB of memory" if memory else None,
        machine.get("system"),
    )
    return ", ".join(str(word) for word in words if word) or None


def _flat(value: object) -> list[tuple[str, object]]:
    """(name, value) of a table, tables in it by dotted name."""
    pairs: list[tuple[str, object]] = []
    for name, entry in table_of(value).items():
        inner = _flat(entry)
        pairs += [(f"{name} {deeper}", leaf) for deeper, leaf in inner] if inner else [(str(name), entry)]
    return pairs


def foot(manifest: Json, run: str) -> str:
    """What stands below every page."""
    version = table_of(manifest.get("versions")).get("neurosim", "")
    return f"Written by neurosim {version} from {run}. This page is one file and loads nothing."
