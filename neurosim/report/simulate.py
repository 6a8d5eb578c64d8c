"""The page of a simulation: recordings in, spikes, accuracy, measures and energy out."""

from __future__ import annotations

from pathlib import Path

from . import numbers, page, parts, plots, recordings
from .html import Child, Html, el, join
from .numbers import number
from .page import Cell, Section
from .parts import Json, list_of, table_of

# What `liquid.quality.Quality` holds, as the table calls it.
QUALITY = {
    "mean_rate": ("Mean rate", "spikes/s", "Over neurons and test recordings."),
    "sd_rate": ("Spread of rates", "spikes/s", "Standard deviation over neurons."),
    "silent": ("Silent", "of neurons", "Never fired on any test recording."),
    "gain": ("Gain", "spikes/event", "Spikes out for each event in."),
    "spectral_radius": ("Spectral radius", "thresholds", "Largest eigenvalue of the recurrent weights, by magnitude."),
    "separation": (
        "Separation",
        "",
        "Mean distance of class means over 1 + the spread of a class (Norton & Ventura 2010).",
    ),
    "kernel_rank": (
        "Kernel rank",
        "",
        "Independent states half way through different recordings (Legenstein & Maass 2007).",
    ),
    "effective_rank": ("Effective rank", "", "The same, weak directions counting less (Roy & Vetterli 2007)."),
    "states": ("States ranked", "", "The highest rank there could be."),
}


def render(run: Path, manifest: Json, metrics: Json, config: str | None) -> str:
    """The whole page."""
    shown, why = recordings.read(run, metrics)
    sections = [
        recordings.pictures(shown, why),
        recordings.rates(shown, why),
        parts.confusion(metrics),
        _quality(metrics),
        parts.measures(metrics),
        parts.energy(metrics),
        parts.provenance(manifest, metrics, config),
    ]
    return page.page(
        title=_title(metrics),
        kicker="neurosim run",
        lead=_lead(manifest, metrics),
        headline=page.tiles(_tiles(metrics)),
        sections=sections,
        foot=parts.foot(manifest, run.name),
    )


def _quality(metrics: Json) -> Section:
    """The measures of the liquid itself, before any readout."""
    found = table_of(metrics.get("liquid"))
    lead = "How the liquid behaves, whatever reads it. What could not be computed is blank."
    if not found:
        return Section("liquid", "Liquid", lead, page.notice("The run recorded no measures of the liquid."))
    rows = [
        (title, parts.number_cell(numbers.plain(found.get(name))), Cell("unit", unit), Cell("wide", meaning))
        for name, (title, unit, meaning) in QUALITY.items()
    ]
    return Section("liquid", "Liquid", lead, page.table("Measures of the liquid", _HEADS, rows))


_HEADS = ("Measure", Cell("n", "Value"), "", "Definition")


def _title(metrics: Json) -> str:
    dataset = metrics.get("title") or metrics.get("dataset") or "A run"
    layers = [table_of(layer) for layer in list_of(table_of(metrics.get("measures")).get("layers"))]
    units = next((number(layer.get("outputs")) for layer in layers if layer.get("spiking")), None)
    return f"{dataset} through {units:,.0f} spiking neurons" if units else str(dataset)


def _lead(manifest: Json, metrics: Json) -> str:
    samples, trained = metrics.get("samples"), metrics.get("train_samples")
    words = [
        f"{numbers.plain(samples)} recordings of the split \N{LEFT DOUBLE QUOTATION MARK}{metrics.get('split')}"
        "\N{RIGHT DOUBLE QUOTATION MARK} simulated"
        if number(samples)
        else None,
        f"readout trained on {numbers.plain(trained)}" if number(trained) else None,
        f"seed {metrics.get('seed', manifest.get('seed'))}" if "seed" in metrics or "seed" in manifest else None,
        date(manifest.get("started")),
    ]
    if manifest.get("status") == "failed":
        words.append(f"the run failed: {manifest.get('reason')}")
    return ", ".join(word for word in words if word) + "." if any(words) else "Nothing is known of this run."


def date(started: object) -> str | None:
    """A time to the minute; its hyphens keep it on one line."""
    if not isinstance(started, str):
        return None
    return (
        started[:16].replace("-", "\N{NON-BREAKING HYPHEN}").replace("T", "\N{NO-BREAK SPACE}")
        + "\N{NO-BREAK SPACE}UTC"
    )


def _tiles(metrics: Json) -> list[Child]:
    measures, energy = table_of(metrics.get("measures")), table_of(metrics.get("energy"))
    operations = table_of(measures.get("synaptic_operations"))
    effective = [number(operations.get(name)) for name in ("Effective_ACs", "Effective_MACs")]
    done = None if None in effective else sum(value or 0 for value in effective)
    factor = number(metrics.get("real_time_factor"))
    return [
        accuracy_tile(metrics),
        page.tile(
            "Activation sparsity",
            numbers.percent(measures.get("activation_sparsity"), 2),
            f"{numbers.plain(measures.get('spikes_per_neuron_second'), 3)} spikes per neuron and second",
        ),
        page.tile(
            "Synaptic operations",
            numbers.si(done),
            ["per sample; ", against(number(operations.get("Dense")), done)],
        ),
        page.tile("Energy estimate", numbers.span(energy.get("memory_aware"), "J"), energy_note(energy)),
        page.tile("Real-time factor", numbers.plain(factor, 3), speed(factor)),
    ]


def speed(factor: float | None) -> str:
    """In words; a real-time factor is wall-clock seconds per simulated second, so below 1 is fast."""
    if not factor or factor < 0:
        return "not recorded"
    faster = f"{numbers.times(1 / factor)} faster" if factor < 1 else f"{numbers.times(factor)} slower"
    return f"wall-clock seconds per simulated second: {faster} than real time"


def accuracy_tile(metrics: Json) -> Html:
    value, chance = number(metrics.get("accuracy")), number(metrics.get("chance"))
    ends = list_of(metrics.get("confidence_interval"))
    low, high = (number(end) for end in ends) if len(ends) == 2 else (None, None)
    if value is None:
        return page.tile("Accuracy", numbers.DASH, "not recorded")
    beside = f"chance {numbers.percent(chance)}" if chance is not None else "chance not recorded"
    if low is None or high is None:
        return page.tile("Accuracy", numbers.percent(value), beside)
    between = f"95{numbers.THIN}% between {numbers.percent(low)} and {numbers.percent(high)}; {beside}"
    words = f"Accuracy {numbers.percent(value)} of 100, {between}"
    return page.tile("Accuracy", numbers.percent(value), between, plots.interval(value, low, high, chance, words))


def against(dense: float | None, done: float | None) -> str:
    """How many operations fewer than dense, in words."""
    if not dense or not done:
        return "dense equivalent not recorded"
    ratio = dense / done
    return f"{numbers.times(ratio)} fewer than dense" if ratio >= 1 else f"{numbers.times(1 / ratio)} more than dense"


def energy_note(energy: Json, each: str = "per sample") -> Child:
    """What the energy tile says below its figure."""
    mine, dense = (table_of(energy.get(name)) for name in ("memory_aware", "dense_memory_aware"))
    lows = [number(table.get("low")) for table in (mine, dense)]
    if not all(lows):
        return f"{each}, memory included"
    return join([f"{each}, memory included; dense ", el("span", {"class": "keep"}, numbers.span(dense, "J"))])
