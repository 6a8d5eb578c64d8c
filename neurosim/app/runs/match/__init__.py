"""Runs that match recordings of two senses: of classes that both have learned, and of new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..frame.kind import Kind
from .result import MatchResult

if TYPE_CHECKING:
    from .config import MatchConfig


class MatchKind(Kind["MatchConfig", Any, MatchResult]):
    name = "match"
    title = "a run that matches two senses"
    result = MatchResult
    heading = ("seen", "heard", "seed")

    def run_name(self, config: MatchConfig) -> str:
        return f"match-{config.seen.shown_name}-{config.heard.shown_name}"


KIND = MatchKind()
