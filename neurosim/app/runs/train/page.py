"""The page of a training: its course, and what the network costs when it runs event by event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from ....base.measure.work import LayerCounts
from ...report import charts, recordings
from ...report.charts import Curve, column
from ..data import spread
from ..frame.folder import RunFolder
from .result import EpochResult, TrainResult
from .table import strangers

MAX_ROWS = 12  # epochs in the table: the first, the best, the last, and some between


def fill(folder: RunFolder, result: TrainResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    shown, why = recordings.read(folder.path, result.shown, result.classes, "layer")
    history = result.history
    best = result.best_epoch or 0
    return {
        "units": result.units,
        "strangers": strangers,
        "epochs": [(k + 1, history[k]) for k in _chosen(len(history), best)],
        "figures": _figures(history, best, result.spikes_a_channel is None) if history else [],
        "layers": [(layer, *_savings(layer)) for layer in result.measures.layers] if result.measures else [],
        "shown": shown,
        "rates": recordings.rates(shown),
        "why": why,
    }


def _chosen(epochs: int, best: int) -> list[int]:
    """Return the numbers of the epochs in the table."""
    return sorted(k for k in {*spread(epochs, MAX_ROWS).tolist(), best - 1} if 0 <= k < epochs)


def _figures(rows: Sequence[EpochResult], best: int, spiking: bool) -> list[tuple[Markup, str]]:
    activity = (_curve(rows, "rate", "spikes a neuron and step"), "Activity of the spiking layers.")
    return [
        (_curves(rows, "loss", best), "Cross-entropy; smoothed targets count in training only."),
        (_curves(rows, "accuracy", best), "Share of recordings whose class was found."),
        *([activity] if spiking else []),
        (_curve(rows, "learning_rate", "learning rate"), "Step of the optimiser at the end of each epoch."),
    ]


def _curves(rows: Sequence[EpochResult], key: str, best: int) -> Markup:
    x = np.arange(1, len(rows) + 1, dtype=np.float64)
    series = [Curve("training", x, column(rows, key), charts.PALETTE[0])]
    validation = column(rows, f"validation_{key}")
    if np.isfinite(validation).any():
        series.append(Curve("validation", x, validation, charts.PALETTE[1]))
    if 1 <= best <= len(rows):
        last = series[-1]
        chosen = slice(best - 1, best)
        series.append(Curve("kept", x[chosen], last.y[chosen], last.colour, "dots"))
    top = (0.0, 1.02) if key == "accuracy" else None
    return charts.curves(series, "epoch", key, f"{key} against epochs of training", y=top)


def _curve(rows: Sequence[EpochResult], key: str, name: str) -> Markup:
    x = np.arange(1, len(rows) + 1, dtype=np.float64)
    curve = Curve("", x, column(rows, key), charts.PALETTE[2])
    return charts.curves([curve], "epoch", name, f"{name} against epochs of training")


def _savings(layer: LayerCounts) -> tuple[float | None, float | None]:
    """Return the share of a layer's outputs that are silent, and how many times fewer operations than dense it has."""
    done = layer.synaptic_operations
    dense = layer.dense_operations
    if layer.output_entries and layer.spiking:
        silent = 1 - (layer.output_events or 0) / layer.output_entries
    else:
        silent = None
    return silent, dense / done if done and dense else None
