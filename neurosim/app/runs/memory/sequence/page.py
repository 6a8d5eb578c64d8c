"""The page of a sequence memory's run: the course of learning, and what surprises it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ....report import charts
from ....report.charts import Curve, column
from ....report.recordings import Figure
from ...frame.folder import RunFolder
from .overview import GROUPS
from .result import SequenceResult

UNIT = (0.0, 1.02)
COLOURS = {"learned": "var(--accent)", "reversed": "var(--on)", "new": "var(--spike)"}


def fill(folder: RunFolder, result: SequenceResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    return {"learning": _learning(result), "surprise": _surprise(result)}


def _learning(result: SequenceResult) -> list[Figure]:
    x = np.arange(1.0, len(result.passes) + 1)
    series = [
        Curve("active columns not predicted (anomaly)", x, column(result.passes, "anomaly"), "var(--accent)"),
        Curve("columns predicted, of all", x, column(result.passes, "predicted"), "var(--faint)"),
    ]
    words = "Anomaly and predicted columns against passes"
    drawn = charts.curves(series, "pass", "fraction of columns", words, y=UNIT, width=charts.WIDE)
    return [(drawn, "Each pass plays all recordings in another order; the memory starts every recording anew.")]


def _surprise(result: SequenceResult) -> list[Figure]:
    series = [
        Curve(GROUPS[name], np.arange(1.0, len(values) + 1), np.array(values), COLOURS[name])
        for name, values in result.curves.items()
        if name in GROUPS and values
    ]
    if not series:
        return []
    words = "Anomaly against the number of the window"
    drawn = charts.curves(series, "window", "anomaly", words, y=UNIT, width=charts.WIDE)
    return [(drawn, "Mean anomaly, the memory being frozen. Nothing can predict the first window.")]
