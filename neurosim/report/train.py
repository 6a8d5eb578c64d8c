"""The page of a training: how it went, what it learned, and what the network costs when it runs event by event."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import charts, numbers, page, parts, recordings
from .charts import Curve
from .html import Child
from .numbers import number
from .page import Section
from .parts import Json, list_of, table_of
from .simulate import accuracy_tile, against, date, energy_note

ROWS = 12  # epochs in the table: the first, the best, the last, and some between


def render(run: Path, manifest: Json, metrics: Json, config: str | None) -> str:
    """The whole page."""
    shown, why = recordings.read(run, metrics, "layer")
    sections = [
        _course(metrics),
        recordings.pictures(shown, why),
        recordings.rates(shown, why),
        parts.confusion(metrics),
        _layers(metrics),
        parts.measures(metrics),
        parts.energy(metrics),
        parts.provenance(manifest, metrics, config),
    ]
    return page.page(
        title=_title(metrics),
        kicker="neurosim train",
        lead=_lead(manifest, metrics),
        headline=page.tiles(_tiles(metrics)),
        sections=sections,
        foot=parts.foot(manifest, run.name),
    )


def _title(metrics: Json) -> str:
    name = str(metrics.get("title") or metrics.get("dataset") or "A dataset").split(":", maxsplit=1)[0]
    units = [number(size) for size in list_of(metrics.get("units"))]
    whole = sum(size for size in units if size)
    return f"{name}: {whole:,.0f} trained spiking neurons" if whole else f"{name}: a trained network"


def _lead(manifest: Json, metrics: Json) -> str:
    layers = " and ".join(numbers.plain(size) for size in list_of(metrics.get("units")))
    history, best = list_of(metrics.get("history")), metrics.get("best_epoch")
    words = [
        f"{metrics.get('model')} in layers of {layers}, {numbers.plain(metrics.get('parameters'))} weights"
        if layers
        else None,
        f"trained on {numbers.plain(metrics.get('train_samples'))} recordings" if "train_samples" in metrics else None,
        f"for {len(history)} epochs, of which epoch {best} is kept" if history else None,
        f"tested once on {numbers.plain(metrics.get('samples'))} of \N{LEFT DOUBLE QUOTATION MARK}"
        f"{metrics.get('split')}\N{RIGHT DOUBLE QUOTATION MARK}"
        if number(metrics.get("samples"))
        else None,
        f"seed {metrics.get('seed', manifest.get('seed'))}",
        date(manifest.get("started")),
        f"the run failed: {manifest.get('reason')}" if manifest.get("status") == "failed" else None,
    ]
    return ", ".join(word for word in words if word) + "."


def _tiles(metrics: Json) -> list[Child]:
    measures, energy = table_of(metrics.get("measures")), table_of(metrics.get("energy"))
    operations = table_of(measures.get("synaptic_operations"))
    effective = [number(operations.get(name)) for name in ("Effective_ACs", "Effective_MACs")]
    done = None if None in effective else sum(value or 0 for value in effective)
    same = {True: "spike for spike the trained network", False: "not the trained network's spikes, one for one"}
    said = same.get(metrics.get("identical"), "not recorded")  # type: ignore[arg-type]
    return [
        accuracy_tile(metrics),
        page.tile("Event by event", numbers.percent(metrics.get("engine_accuracy")), said),
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
    ]


def _course(metrics: Json) -> Section:
    rows = [table_of(row) for row in list_of(metrics.get("history"))]
    lead = (
        "Loss and accuracy after each epoch, on the training recordings as they were changed for it and on those kept "
        "for validation, which are never changed. The dot is the epoch whose network is kept."
    )
    if not rows:
        return Section("course", "Training", lead, page.notice("The run recorded no epochs."))
    best = int(number(metrics.get("best_epoch")) or 0)
    figures = [
        page.figure(_curves(rows, "loss", "loss", best), "Cross-entropy; smoothed targets count in training only."),
        page.figure(_curves(rows, "accuracy", "accuracy", best), "Share of recordings whose class was found."),
        page.figure(_one(rows, "rate", "spikes a neuron and step"), "Activity of the spiking layers."),
        page.figure(_one(rows, "learning_rate", "learning rate"), "Step of the optimiser at the end of each epoch."),
    ]
    return Section("course", "Training", lead, [page.cards(figures), _table(rows, best)])


def _curves(rows: Sequence[Json], key: str, name: str, best: int) -> Child:
    x = np.arange(1, len(rows) + 1, dtype=np.float64)
    series = [Curve("training", x, _column(rows, key), charts.PALETTE[0])]
    checked = _column(rows, f"validation_{key}")
    if np.isfinite(checked).any():
        series.append(Curve("validation", x, checked, charts.PALETTE[1]))
    if 1 <= best <= len(rows):
        kept = series[-1]
        series.append(Curve("kept", x[best - 1 : best], kept.y[best - 1 : best], kept.colour, "dots"))
    top = (0.0, 1.02) if key == "accuracy" else None
    return charts.curves(series, "epoch", name, f"{name} against epochs of training", y=top)


def _one(rows: Sequence[Json], key: str, name: str) -> Child:
    x = np.arange(1, len(rows) + 1, dtype=np.float64)
    curve = Curve("", x, _column(rows, key), charts.PALETTE[2])
    return charts.curves([curve], "epoch", name, f"{name} against epochs of training")


def _table(rows: Sequence[Json], best: int) -> Child:
    chosen = sorted({*np.linspace(0, len(rows) - 1, min(ROWS, len(rows))).round().astype(int).tolist(), best - 1})
    heads: list[Child | page.Cell] = [
        "Epoch",
        *(page.Cell("n", w) for w in ("Loss", "Accuracy", "Validation loss", "Accuracy", "Seconds")),
    ]
    body = [
        (
            f"{k + 1}, kept" if k == best - 1 else str(k + 1),
            parts.number_cell(numbers.plain(rows[k].get("loss"))),
            parts.number_cell(numbers.percent(rows[k].get("accuracy"))),
            parts.number_cell(numbers.plain(rows[k].get("validation_loss"))),
            parts.number_cell(numbers.percent(rows[k].get("validation_accuracy"))),
            parts.number_cell(numbers.plain(rows[k].get("seconds"), 3)),
        )
        for k in chosen
        if 0 <= k < len(rows)
    ]
    return page.table("Epochs", heads, body)


def _layers(metrics: Json) -> Section:
    layers = [table_of(layer) for layer in list_of(table_of(metrics.get("measures")).get("layers"))]
    lead = "How active each layer is, and how many operations its input costs, against a dense network of its size."
    if not layers:
        return Section("layers", "Layers", lead, page.notice("The run recorded no layers."))
    heads: list[Child | page.Cell] = ["Layer"]
    heads += [page.Cell("n", w) for w in ("Units", "Silent outputs", "Operations", "Dense", "Fewer")]
    rows = []
    for layer in layers:
        done, dense = (number(layer.get(key)) for key in ("synaptic_operations", "dense_operations"))
        events, entries = (number(layer.get(key)) for key in ("output_events", "output_entries"))
        silent = None if not entries or not layer.get("spiking") else 1 - (events or 0) / entries
        rows.append(
            (
                str(layer.get("name")),
                parts.number_cell(numbers.plain(layer.get("outputs"))),
                parts.number_cell(numbers.percent(silent, 2)),
                parts.number_cell(numbers.si(done)),
                parts.number_cell(numbers.si(dense)),
                parts.number_cell(numbers.times(dense / done) if done and dense else numbers.DASH),
            )
        )
    return Section("layers", "Layers", lead, page.table("Over all test recordings", heads, rows))


def _column(rows: Sequence[Json], key: str) -> NDArray[np.float64]:
    return np.array([number(row.get(key)) if number(row.get(key)) is not None else np.nan for row in rows], np.float64)
