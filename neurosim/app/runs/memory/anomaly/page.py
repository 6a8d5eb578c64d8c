"""The page of a detection: the series with its alarms, the score, and the error of the prediction."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ....report import charts
from ....report.axes import value_range
from ....report.charts import Curve
from ....report.svg import time_unit
from ...frame.folder import RunFolder
from .result import AnomalyResult
from .scores import SCORES, Scores, first_alarms, read_scores

POINTS = 1000  # of a curve; more are drawn as the smallest and largest of each part


def fill(folder: RunFolder, result: AnomalyResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    path = folder.path / SCORES
    if not path.is_file():
        return {"series": [], "scores": [], "why": f"The run folder has no {SCORES}."}
    read = read_scores(path)
    return {"series": [(_series(read, result), "")], "scores": [(_scores(read, result), "")], "why": ""}


def _axis(read: Scores) -> tuple[NDArray[np.float64], str]:
    """Return the place of every record on the horizontal axis, and its name."""
    times = read.seconds()
    if times.size == 0 or float(np.median(np.diff(times, prepend=times[0] - 1))) <= 1.0:
        return np.arange(times.size, dtype=np.float64), "record"
    since = times - times[0]
    if since[-1] > 2 * 86_400:
        return since / 86_400, f"days since {read.texts[0]}"
    factor, name = time_unit(float(since[-1]))
    return since * factor, name


def _series(read: Scores, result: AnomalyResult) -> Markup:
    x, x_name = _axis(read)
    begins = first_alarms(read.alarms)
    series = [
        _thinned(Curve(result.watched or "value", x, read.values, "var(--accent)")),
        Curve(name="alarms", x=x[begins], y=read.values[begins], colour="var(--bad)", kind="dots"),
    ]
    finite = read.values[np.isfinite(read.values)]
    low, high = value_range(finite)
    slack = 0.05 * (high - low)
    words = "Values of the series, and the records with alarms"
    limits = (low - slack, high + slack)
    return charts.curves(series, x_name, result.watched or "value", words, y=limits, width=charts.WIDE)


def _scores(read: Scores, result: AnomalyResult) -> Markup:
    x, x_name = _axis(read)
    ends = x[[0, -1]] if x.size else x
    series = [
        _thinned(Curve(name="anomaly", x=x, y=read.anomalies, colour="var(--faint)", kind="soft")),
        _thinned(Curve("score", x, read.scores, "var(--accent)")),
        Curve(
            name="threshold",
            x=ends,
            y=np.full(ends.size, result.threshold or np.nan),
            colour="var(--bad)",
            kind="dashed",
        ),
    ]
    words = "Anomaly of each record, and its score"
    return charts.curves(series, x_name, "anomaly, score", words, y=(0.0, 1.02), width=charts.WIDE)


def _thinned(curve: Curve) -> Curve:
    """Return the curve with the smallest and largest value of each part alone, so that no peak is lost."""
    good = np.flatnonzero(np.isfinite(curve.y))
    if good.size <= POINTS:
        return curve
    chosen = []
    for part in np.array_split(good, POINTS // 2):
        chosen += sorted({int(part[np.argmin(curve.y[part])]), int(part[np.argmax(curve.y[part])])})
    return Curve(name=curve.name, x=curve.x[chosen], y=curve.y[chosen], colour=curve.colour, kind=curve.kind)
