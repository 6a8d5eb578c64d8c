"""Runs of a liquid on a series of values: forecasts, their errors by horizon, and what the liquid remembers."""

from __future__ import annotations

from ..frame.kind import Kind
from .config import SeriesConfig
from .data import SeriesInputs
from .result import SeriesResult


class SeriesKind(Kind[SeriesConfig, SeriesInputs, SeriesResult]):
    name = "series"
    title = "a run of a liquid on a series"
    result = SeriesResult
    heading = ("dataset", "split", "samples", "seed", "digest")
    resumed_by = "series"
    unfinished = ("stages",)

    def run_name(self, config: SeriesConfig) -> str:
        return f"series-{config.series.shown_name}"

    def sample(self, result: SeriesResult) -> str:
        return "value"


KIND = SeriesKind()
