"""The page of a comparison of attention kinds: scores by size, losses, and scores against bytes of state."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...report import charts
from ...report.charts import PALETTE, Curve
from ...report.recordings import Figure
from ..frame.folder import RunFolder
from .result import AttentionResult, KindResult

RECORDED = 25  # updates of a point of a loss
STYLES = ("line", "dashed", "dots")


def fill(folder: RunFolder, result: AttentionResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    kinds = [kind for kind in result.kinds if kind.models]
    return {"figures": [*_by_size(result, kinds), *_frontier(result, kinds), *_losses(kinds)] if kinds else []}


def _look(i: int) -> tuple[str, str]:
    return PALETTE[i % len(PALETTE)], STYLES[i // len(PALETTE) % len(STYLES)]


def _y(result: AttentionResult) -> tuple[float, float] | None:
    return (0.0, 1.02) if result.measure == "accuracy" else None


def _by_size(result: AttentionResult, kinds: list[KindResult]) -> list[Figure]:
    if len(result.sizes) < 2:
        return []
    x = np.array(result.sizes, np.float64)
    series = [Curve(kind.name, x, np.array(kind.means), *_look(i)) for i, kind in enumerate(kinds)]
    series += [
        Curve(name=each.name, x=x, y=np.array(each.scores), colour="var(--faint)", kind="dashed")
        for each in result.references
    ]
    words = f"{result.measure.capitalize()} against {result.size_name}"
    drawn = charts.curves(series, result.size_name, result.measure, words, y=_y(result))
    low, high = result.trained
    return [(drawn, f"Means over seeds. Trained on {low} to {high} {result.size_name}.")]


def _frontier(result: AttentionResult, kinds: list[KindResult]) -> list[Figure]:
    # At the largest tested size, which is the hardest.
    series = [
        Curve(
            name=kind.name,
            x=np.array([kind.state_bytes], np.float64),
            y=np.array([kind.means[-1]]),
            colour=_look(i)[0],
            kind="dots",
        )
        for i, kind in enumerate(kinds)
    ]
    size = f"{result.sizes[-1]} {result.size_name}"
    words = f"{result.measure.capitalize()} at {size} against bytes of state"
    y = _y(result)
    drawn = charts.curves(series, "bytes of state", result.measure, words, y=y, log_x=True)
    return [(drawn, f"At {size}: what a kind reaches with the state that it carries from token to token.")]


def _losses(kinds: list[KindResult]) -> list[Figure]:
    series = []
    for i, kind in enumerate(kinds):
        losses = np.array([model.losses for model in kind.models], np.float64)
        if losses.shape[1] > 1:
            x = RECORDED * np.arange(1, losses.shape[1] + 1, dtype=np.float64)
            series.append(Curve(kind.name, x, losses.mean(0), *_look(i)))
    words = "Training loss against updates"
    if series:
        return [(charts.curves(series, "updates", "loss", words), "Means over seeds.")]
    return []
