"""Runs that replace softmax attention by linear kinds, and report what each stage costs down to spikes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...frame.folder import RunFolder
from ...frame.kind import Inputs, Kind
from ...frame.options import RunOptions
from .result import LinearisationResult

if TYPE_CHECKING:
    from .config import LineariseConfig
    from .run import Pupil


@dataclass(frozen=True)
class LineariseKind(Kind["LineariseConfig", "Pupil", LinearisationResult]):
    """Linearisations.

    Attributes:
        model: folder of the softmax model; None: that of the run that is resumed.
    """

    name = "linearise"
    title = "a linearisation"
    result = LinearisationResult
    heading = ("network", "seed")
    resumed_by = "convert linearise"
    unfinished = ("linearise.safetensors",)

    model: Path | None = None

    def of(self, folder: RunFolder) -> LineariseKind:
        return replace(self, model=Path(str((folder.manifest.data or {}).get("model", ""))))

    def run_name(self, config: LineariseConfig) -> str:
        assert self.model is not None  # of a new run
        return f"linearise-{self.model.resolve().name}"

    def load(self, config: LineariseConfig, options: RunOptions) -> Inputs[Pupil]:
        from .run import load_pupil

        assert self.model is not None  # given, or that of the run that is resumed
        return load_pupil(self.model, config, options)


KIND = LineariseKind()
