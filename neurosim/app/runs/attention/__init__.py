"""Runs that train small models of attention kinds on a synthetic task, each with several seeds, and compare them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..frame.kind import Kind
from .result import AttentionResult

if TYPE_CHECKING:
    from .config import AttentionConfig


class AttentionKind(Kind["AttentionConfig", Any, AttentionResult]):
    name = "attention"
    title = "a comparison of attention kinds"
    result = AttentionResult
    heading = ("task", "seed")
    resumed_by = "attention"
    unfinished = ("models",)  # results of the models that are done, and the training at hand

    def run_name(self, config: AttentionConfig) -> str:
        return f"attention-{config.task.name}"


KIND = AttentionKind()
