"""The page of a detection: the series with its alarms, the score, and the error of the prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ..... import __version__
from .....base.atomic import write_text
from ....report import charts, page
from ....report.charts import Curve
from ....report.svg import time_unit
from ...frame.facts import Overview
from .summary import REPORT, AnomalySummary, Scores, alarm_table, facts, first_alarms, read_scores

POINTS = 1000  # of a curve; more are drawn as the smallest and largest of each part
TEMPLATE = Path(__file__).with_name("page.html")


def write_page(summary: AnomalySummary, folder: Path, source: str) -> None:
    """Write the page of the scores in a folder.

    Raises:
        NeurosimWriteError: it cannot be written.
    """
    read = read_scores(folder / "scores.csv")
    named = summary.watched or "the table"
    overview = Overview(
        title=f"Anomalies of {named}",
        lead=[],
        facts=facts(summary),
        tables={"alarms": alarm_table(summary)} if summary.alarms else {},
    )
    text = page.render(
        TEMPLATE,
        folder,
        {"versions": {"neurosim": __version__}},
        overview=overview,
        lead=page.sentence([f"From {source}", f"{summary.records:,} records"]),
        series=_series(read, summary),
        scores=_scores(read, summary),
    )
    write_text(folder / REPORT, text)


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


def _series(read: Scores, summary: AnomalySummary) -> Markup:
    x, x_name = _axis(read)
    begins = first_alarms(read.alarms)
    series = [
        _thinned(Curve(summary.watched or "value", x, read.values, "var(--accent)")),
        Curve("alarms", x[begins], read.values[begins], "var(--bad)", "dots"),
    ]
    finite = read.values[np.isfinite(read.values)]
    span = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    slack = 0.05 * (span[1] - span[0]) or 0.5
    words = "Values of the series, and the records with alarms"
    limits = (span[0] - slack, span[1] + slack)
    return charts.curves(series, x_name, summary.watched or "value", words, y=limits, width=charts.WIDE)


def _scores(read: Scores, summary: AnomalySummary) -> Markup:
    x, x_name = _axis(read)
    ends = x[[0, -1]] if x.size else x
    series = [
        _thinned(Curve("anomaly", x, read.anomalies, "var(--faint)", "soft")),
        _thinned(Curve("score", x, read.scores, "var(--accent)")),
        Curve("threshold", ends, np.full(ends.size, summary.threshold), "var(--bad)", "dashed"),
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
    return Curve(curve.name, curve.x[chosen], curve.y[chosen], curve.colour, curve.kind)
