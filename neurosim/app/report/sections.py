"""Data of the sections that pages share: confusion, measures, energy, provenance. `sections.html` lays them out.

All cells are text; a section that the results of a run do not have is None, and shown as absent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from ...base.measure.estimates import MEANINGS, PUBLISHED, EnergyEstimates, EnergyRange, LayerMemory, PublishedEstimate
from ...base.measure.measures import DEFINITIONS, Definition, Measures
from ...base.measure.meter import MeasuredEnergy
from . import charts, numbers
from .confusion import Confusion, confusion_table
from .provenance import provenance_facts

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
MEMORIES = (
    "Where data is taken to lie: a memory as large as what it stores, off chip above the largest SRAM. Weights of a "
    "convolution are stored once."
)
UNRECORDED = "not recorded"
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


class Grid(NamedTuple):
    """A table of a page: its caption, the heads of its columns, and rows of text, the name of each first."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


class MeasureRow(NamedTuple):
    """A measure, its value with unit, and why it is blank; "" where it is known."""

    title: str
    value: str
    unit: str
    meaning: str
    source: str
    reason: str


class MeasuresSection(NamedTuple):
    """The measures of a run, and the counts of its layers; None without layers."""

    rows: list[MeasureRow]
    layers: Grid | None


class EstimateRow(NamedTuple):
    """An energy estimate, what it holds, and why it is blank; "" where it is known."""

    title: str
    value: str
    meaning: str
    reason: str


class ChipRow(NamedTuple):
    """The estimate from a chip's published figure, per event and per sample of the run."""

    title: str
    per_event: str
    per_sample: str
    node: str
    scope: str
    source: str
    reason: str


class EnergySection(NamedTuple):
    """Energy estimates: figures, a table of them with its caption, the memory of each layer, published chips.

    Attributes:
        sample: what each estimate is of, such as "recall".
    """

    sample: str
    figures: list[tuple[Markup, str]]
    caption: str
    estimates: list[EstimateRow]
    memories: Grid | None
    chips_caption: str
    chips: list[ChipRow]


class SharedSections(NamedTuple):
    """The sections that pages of several kinds of runs have; None or empty where the results lack one."""

    confusion: Confusion | None
    measures: MeasuresSection | None
    energy: EnergySection | None
    measured_energy: str
    baselines: Grid | None
    provenance: list[tuple[str, object]]


def shared_sections(result: object, manifest: Mapping[str, object], sample: str) -> SharedSections:
    """Return the sections of a run from the fields of its result that have the usual names.

    Args:
        result: the results.
        manifest: of the run.
        sample: what one sample of measures and energy estimates is called, such as "recall".
    """
    counts = getattr(result, "confusion", ())
    classes = getattr(result, "classes", ())
    return SharedSections(
        confusion=confusion_table(counts, classes),
        measures=measures_section(getattr(result, "measures", None), sample),
        energy=energy_section(getattr(result, "energy", None), sample),
        measured_energy=_measured(getattr(result, "measured_energy", MeasuredEnergy())),
        baselines=_baselines(result),
        provenance=provenance_facts(manifest, getattr(result, "spike_digest", None)),
    )


def measures_section(measures: Measures | None, sample: str) -> MeasuresSection | None:
    """Return the rows of measures, counted per `sample`, and of layers."""
    if measures is None:
        return None
    rows = [_measure(measures, name, definition, sample) for name, definition in DEFINITIONS.items()]
    if not measures.layers:
        return MeasuresSection(rows, None)
    layers = [
        (layer.name, *(numbers.plain(getattr(layer, name)) for name in LAYER_COLUMNS)) for layer in measures.layers
    ]
    heads = ("Layer", *LAYER_COLUMNS.values())
    return MeasuresSection(rows, Grid("Totals of each layer", heads, layers))


def _measure(measures: Measures, name: str, definition: Definition, sample: str) -> MeasureRow:
    value = measures[name]
    if name.endswith("sparsity"):
        text = numbers.percent(value, 2)
    else:
        text = numbers.plain(value)
    reason = "" if value is not None else measures.reasons.get(name, UNRECORDED)
    return MeasureRow(
        title=definition.title,
        value=text,
        unit=definition.unit.replace("sample", sample),
        meaning=definition.meaning,
        source=definition.source,
        reason=reason,
    )


def energy_section(energy: EnergyEstimates | None, sample: str) -> EnergySection | None:
    """Return the figures and tables of energy estimates, each of one `sample`."""
    if energy is None:
        return None
    estimates = []
    for name, (title, _) in ESTIMATES.items():
        value = getattr(energy, name)
        reason = "" if value else energy.reasons.get(name, UNRECORDED)
        estimates.append(EstimateRow(title, numbers.span(value, "J"), MEANINGS[name], reason))
    memories = None
    if energy.memories:
        rows = [_memory(memory) for memory in energy.memories]
        memories = Grid(MEMORIES, ("Layer", "Weights", "State", "Dense weights"), rows)
    return EnergySection(
        sample=sample,
        figures=_energy_figures(energy, sample),
        caption=_energy_caption(energy),
        estimates=estimates,
        memories=memories,
        chips_caption=f"Published chips. {PUBLISHED}",
        chips=[_chip(chip) for chip in energy.published],
    )


def _memory(memory: LayerMemory) -> tuple[str, ...]:
    return (
        memory.layer,
        f"{numbers.si(memory.weights_bytes, 'B')} in {memory.weights_in}",
        f"{numbers.si(memory.state_bytes, 'B')} in {memory.state_in}",
        f"{numbers.si(memory.dense_weights_bytes, 'B')} in {memory.dense_weights_in}",
    )


def _chip(chip: PublishedEstimate) -> ChipRow:
    return ChipRow(
        title=chip.title,
        per_event=_picojoules(chip.pj_per_synaptic_event),
        per_sample=numbers.span(chip.energy, "J"),
        node=chip.node,
        scope=chip.scope,
        source=chip.source,
        reason=chip.reason or "",
    )


def _baselines(result: object) -> Grid | None:
    """Return the accuracies of simple classifiers below the run's own, and what a dense network costs."""
    baselines = getattr(result, "baselines", None)
    cnn = getattr(result, "cnn", None)
    # Other kinds have records of another meaning in a field of that name.
    if not isinstance(baselines, Mapping) or not (baselines or cnn):
        return None
    measures = getattr(result, "measures", None)
    energy = getattr(result, "energy", None)
    operations = None if measures is None else measures.synaptic_operations.effective
    arithmetic = None if energy is None else energy.compute_only
    own = numbers.percent(getattr(result, "accuracy", None))
    rows: list[tuple[str, ...]] = [("this run", own, numbers.si(operations), numbers.span(arithmetic, "J"))]
    rows += [(str(name), numbers.percent(value), "", "") for name, value in baselines.items()]
    if cnn is not None:
        seen = "frames" if baselines else "images"
        name = f"small CNN on {seen}, {numbers.plain(cnn.parameters)} parameters"
        joules = f"{numbers.si(cnn.energy_int8, 'J')} int8, {numbers.si(cnn.energy_fp32, 'J')} fp32"
        work = f"{numbers.si(cnn.multiply_accumulates)} MACs"
        rows.append((name, cnn.reason or numbers.percent(cnn.accuracy), work, joules))
    kind = "recording" if baselines else "image"
    heads = ("Classifier", "Accuracy", f"Operations a {kind}", "Energy of arithmetic (estimate)")
    return Grid(f"Accuracy on the test {kind}s", heads, rows)


def _energy_figures(estimates: EnergyEstimates, sample: str) -> list[tuple[Markup, str]]:
    """Return (picture, caption) of the estimates, and of the parts of the estimate as run."""
    split = estimates.items.get("as_run", {})
    bars = _bars((title, getattr(estimates, name), colour) for name, (title, colour) in ESTIMATES.items())
    items = _bars((title, split.get(name), "var(--accent)") for name, title in ITEMS.items())
    picture = (
        (bars, f"Energy estimates per {sample}", f"Estimates per {sample}, logarithmic axis; a bar is a range."),
        (items, "Parts of the estimate as run", "Parts of the estimate as run, with memory."),
    )
    return [(charts.ranges(bars, _joules, words), caption) for bars, words, caption in picture if bars]


def measured_words(measured: MeasuredEnergy) -> str:
    """Return what a measured energy is of, or why there is none."""
    if measured.total is None:
        return measured.note or UNRECORDED
    counters = ", ".join(f"{name} {numbers.si(value, 'J')}" for name, value in measured.joules.items())
    return "; ".join(filter(None, [f"the whole machine while the run worked: {counters}", measured.note]))


def _measured(measured: MeasuredEnergy) -> str:
    if measured.total is None:
        return f"Energy measured: {measured_words(measured)}."
    return f"Energy measured: {numbers.si(measured.total, 'J')}, {measured_words(measured)}."


def _bars(entries: Iterable[tuple[str, EnergyRange | None, str]]) -> list[charts.Bar]:
    return [
        charts.Bar(name=title, low=value.low, high=value.high, words=numbers.span(value, "J"), colour=colour)
        for title, value, colour in entries
        if value and 0 < value.low <= value.high < math.inf
    ]


def _joules(value: float) -> str:
    return numbers.si(value, "J", 1)


def _energy_caption(estimates: EnergyEstimates) -> str:
    """Return the profile of estimates in one line."""
    parts = [part.rstrip(".") for part in (estimates.title, estimates.node, estimates.source, estimates.scope)]
    return f"Profile {estimates.profile}: " + ". ".join(part for part in parts if part) + "."


def _picojoules(energy: EnergyRange | None) -> str:
    """Return a published energy, which is in pJ."""
    if energy is None:
        return numbers.DASH
    low = numbers.plain(energy.low)
    high = numbers.plain(energy.high)
    interval = low if low == high else f"{low}\N{EN DASH}{high}"
    return f"{interval}{numbers.THIN}pJ"


def against(dense: float | None, done: float | None) -> str:
    """Return in words the ratio of operations to the same layers, computed densely in every step."""
    if not dense or not done:
        return "dense equivalent not recorded"
    # Divided the way that gives at least 1: a damaged count would make the other ratio 0.
    if dense >= done:
        words = f"{numbers.times(dense / done)} fewer"
    else:
        words = f"{numbers.times(done / dense)} more"
    return f"{words} than the same layers, dense in every step"


def speed(factor: float | None) -> str:
    """Return a real-time factor (wall-clock seconds per simulated second: < 1 is fast) in words."""
    if not factor or factor < 0:
        return "not recorded"
    ratio = numbers.times(max(factor, 1 / factor))
    if ratio == numbers.times(1):
        return "wall-clock seconds per simulated second: as fast as real time"
    word = "faster" if factor < 1 else "slower"
    return f"wall-clock seconds per simulated second: {ratio} {word} than real time"


def between(ends: tuple[float, float]) -> str:
    """Return a 95 % interval of a share in words."""
    return f"95{numbers.THIN}% between {numbers.percent(ends[0])} and {numbers.percent(ends[1])}"


def accuracy_chart(accuracy: float, ends: tuple[float, float], chance: float | None) -> Markup:
    """Return an accuracy with its interval, and a mark at chance."""
    words = f"Accuracy {numbers.percent(accuracy)}, {between(ends)}; chance {numbers.percent(chance)}"
    return charts.interval(accuracy, *ends, chance, words)
