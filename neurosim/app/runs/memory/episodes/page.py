"""The page of one-shot episodes: accuracy by the number of examples, beside nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping

from ....report import charts
from ....report.charts import Curve, column
from ....report.recordings import Figure
from ...frame.folder import RunFolder
from .result import EpisodesResult

METHODS = {
    "memory": ("macrocolumn", "var(--accent)"),
    "nearest": ("nearest stored item", "var(--on)"),
    "prototype": ("nearest class mean", "var(--spike)"),
}


def fill(folder: RunFolder, result: EpisodesResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    return {"figures": _accuracy(result)}


def _accuracy(result: EpisodesResult) -> list[Figure]:
    if len(result.rows) < 2:
        return []
    x = column(result.rows, "shots")
    series = [Curve(name, x, column(result.rows, key), colour) for key, (name, colour) in METHODS.items()]
    words = "Accuracy against stored examples of each class"
    drawn = charts.curves(series, "examples a class", "accuracy", words, y=(0.0, 1.02), width=charts.WIDE)
    return [(drawn, f"Means over {result.episodes:,} episodes; chance is {result.chance:.2f}.")]
