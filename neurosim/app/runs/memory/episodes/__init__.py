"""Runs of the one-shot protocol: a fresh memory stores a few examples of a few classes, and is asked about others."""

from __future__ import annotations

from typing import Any

from ...frame.kind import Kind
from .config import EpisodesConfig
from .result import EpisodesResult


class EpisodesKind(Kind[EpisodesConfig, Any, EpisodesResult]):
    name = "episodes"
    title = "a run of one-shot episodes"
    result = EpisodesResult
    heading = ("dataset", "split", "samples", "seed", "digest")
    resumed_by = "memory episodes"
    unfinished = ("episodes.safetensors",)  # accuracies of the episodes so far

    def sample(self, result: EpisodesResult) -> str:
        return "query"


KIND = EpisodesKind()
