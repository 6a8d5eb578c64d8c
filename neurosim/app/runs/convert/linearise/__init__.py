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
        model: folder of the softmax model; the manifest of a run that is resumed has its own.
    """

    name = "linearise"
    title = "a linearisation"
    result = LinearisationResult
    heading = ("network", "seed")
    resumed_by = "convert linearise"
    unfinished = ("linearise.safetensors",)  # the student, and how far its stages came

    model: Path = Path()

    def of(self, folder: RunFolder) -> LineariseKind:
        return replace(self, model=Path(str((folder.manifest.data or {}).get("model", ""))))

    def sample(self, result: LinearisationResult) -> str:
        return "token"

    def run_name(self, config: LineariseConfig) -> str:
        return f"linearise-{self.model.resolve().name}"

    def load(self, config: LineariseConfig, options: RunOptions) -> Inputs[Pupil]:
        from .run import load_pupil

        return load_pupil(self.model, config, options)


KIND = LineariseKind()
