"""Runs of experiments on associative memories: simulations beside the curves of theory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...frame.kind import Kind
from .result import AssociativeResult

if TYPE_CHECKING:
    from .config import AssociativeConfig


class AssociativeKind(Kind["AssociativeConfig", Any, AssociativeResult]):
    name = "associative"
    title = "an experiment on an associative memory"
    result = AssociativeResult
    heading = ("experiment", "seed", "seeds")

    def run_name(self, config: AssociativeConfig) -> str:
        return f"associative-{config.experiment}"


KIND = AssociativeKind()
