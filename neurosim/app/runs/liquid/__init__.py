"""Runs of a dataset through a liquid, with a readout on its spikes."""

from __future__ import annotations

from ..data import Splits
from ..frame.kind import Kind
from .config import LiquidConfig
from .result import LiquidResult


class LiquidKind(Kind[LiquidConfig, Splits, LiquidResult]):
    name = "liquid"
    title = "a run of a dataset through a liquid"
    result = LiquidResult
    resumed_by = "simulate"
    unfinished = ("stages",)

    def run_name(self, config: LiquidConfig) -> str:
        return config.data.shown_name


KIND = LiquidKind()
