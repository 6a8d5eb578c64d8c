"""The page of a training: its course, and what the network costs when it runs event by event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from ....learning.training.specs import GRID_NAMES
from ...report import charts, numbers, recordings
from ...report.charts import Curve, column
from ..frame.folder import RunFolder
from .overview import members_of
from .result import EpochResult, TrainResult


def fill(folder: RunFolder, result: TrainResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    examples, why = recordings.read_examples(folder.path, result.shown, result.classes, "layer", result.row_0)
    history = result.history
    best = result.best_epoch or 0
    # Attention layers and those over pixels have no spikes of neurons to show.
    spiking = result.spikes_a_channel is None and result.model not in GRID_NAMES
    return {
        "figures": _figures(history, best, spiking=spiking) if history else [],
        "spiking": spiking,
        "time": _time(history),
        "members": f"{members_of(result)}; each has a seed of its own, and the course above is the first one's.",
        "shown": recordings.shown_examples(examples, why),
        "rates": recordings.rates(examples),
        "rates_words": f"Over the {len(examples)} recordings shown above.",
        "why": why,
    }


def _time(rows: Sequence[EpochResult]) -> str:
    """Return a sentence on the part of the time that is the layers', or none where a run did not record it."""
    total = sum(row.seconds or 0.0 for row in rows)
    layers = sum(row.layer_seconds or 0.0 for row in rows)
    if not total or not layers:
        return ""
    return (
        f"Layers, forward and backward, took {numbers.percent(layers / total)} of the {numbers.seconds(total)} of the "
        "epochs; the rest is for making batches, loss, optimiser and validation."
    )


def _figures(rows: Sequence[EpochResult], best: int, *, spiking: bool) -> list[tuple[Markup, str]]:
    activity = (_curve(rows, "rate", "spikes a neuron and step"), "Activity of the spiking layers.")
    return [
        (_curves(rows, "loss", best), "Cross-entropy; smoothed targets count in training only."),
        (_curves(rows, "accuracy", best), "Share of recordings that are classified right."),
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
        series.append(Curve(name="kept", x=x[chosen], y=last.y[chosen], colour=last.colour, kind="dots"))
    top = (0.0, 1.02) if key == "accuracy" else None
    return charts.curves(series, "epoch", key, f"{key} against epochs of training", y=top)


def _curve(rows: Sequence[EpochResult], key: str, name: str) -> Markup:
    x = np.arange(1, len(rows) + 1, dtype=np.float64)
    curve = Curve("", x, column(rows, key), charts.PALETTE[2])
    return charts.curves([curve], "epoch", name, f"{name} against epochs of training")
