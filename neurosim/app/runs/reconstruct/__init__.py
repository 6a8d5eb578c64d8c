"""Runs that reconstruct a system from its series by an almost-linear network, and show its linear regions."""

from __future__ import annotations

from ..frame.kind import Kind
from .config import ReconstructConfig
from .data import SystemData
from .result import ReconstructResult


class ReconstructKind(Kind[ReconstructConfig, SystemData, ReconstructResult]):
    name = "reconstruct"
    title = "a reconstruction of a system"
    result = ReconstructResult
    heading = ("dataset", "seed")

    def run_name(self, config: ReconstructConfig) -> str:
        return f"reconstruct-{config.system.shown_name}"


KIND = ReconstructKind()
