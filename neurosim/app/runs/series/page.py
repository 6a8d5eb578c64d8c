"""The page of a liquid's run on a series: forecasts over the test part, errors by horizon, memory."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...report import charts, svg
from ...report.charts import Curve, column
from ...report.recordings import Figure
from ..frame.folder import RunFolder
from .result import FORECASTS, SeriesResult

SHOWN = 250  # values of the test part
COLOURS = ("var(--on)", "var(--spike)", "var(--good)")


def fill(folder: RunFolder, result: SeriesResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    return {
        "forecasts": _forecasts(folder.path / FORECASTS, result),
        "horizons": _horizons(result),
        "memory": _memory(result),
    }


def _forecasts(path: Path, result: SeriesResult) -> list[Figure]:
    """Return charts of up to three forecasts beside the values, from the file of forecasts."""
    if not path.is_file() or not result.errors:
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:SHOWN]
    horizons = [each.horizon for each in result.errors]
    # The nearest, a middle and the farthest forecast.
    chosen = sorted({horizons[0], horizons[len(horizons) // 2], horizons[-1]})
    figures = []
    for horizon, colour in zip(chosen, COLOURS, strict=False):
        x = _cells(rows, "value") + horizon
        series = [
            Curve(result.target, x, _cells(rows, f"ahead_{horizon}"), "var(--faint)"),
            Curve(f"forecast {horizon} ahead", x, _cells(rows, f"forecast_{horizon}"), colour),
        ]
        together = np.concatenate([series[0].y, series[1].y])
        together = together[np.isfinite(together)]
        span = (float(together.min()), float(together.max()))
        words = f"{result.target} and its forecast {horizon} values before"
        # One alone has the page's width; two stand side by side.
        width = charts.WIDE if len(chosen) == 1 else svg.WIDTH
        figures.append((charts.curves(series, "value", result.target, words, y=span, width=width), ""))
    return figures


def _horizons(result: SeriesResult) -> list[Figure]:
    if len(result.errors) < 2:
        return []
    x = column(result.errors, "horizon")
    series = [
        Curve("liquid", x, column(result.errors, "liquid"), "var(--accent)"),
        Curve(f"linear, {result.lags} values", x, column(result.errors, "linear"), "var(--on)"),
    ]
    if result.errors[0].last is not None:
        series.append(Curve("last value", x, column(result.errors, "last"), "var(--faint)"))
    words = "Error against the number of values ahead"
    return [(charts.curves(series, "values ahead", "error (NRMSE)", words, width=charts.WIDE), "")]


def _memory(result: SeriesResult) -> list[Figure]:
    if not result.memory:
        return []
    x = np.arange(1.0, len(result.memory) + 1)
    series = [Curve("squared correlation", x, np.array(result.memory), "var(--accent)")]
    words = "Squared correlation of the readout with a value so long before"
    return [
        (charts.curves(series, "values before", "squared correlation", words, y=(0.0, 1.02), width=charts.WIDE), "")
    ]


def _cells(rows: list[dict[str, str]], name: str) -> NDArray[np.float64]:
    return np.array([float(row[name]) if row[name] else np.nan for row in rows], np.float64)
