"""Runs of language models: converted into spikes, the curve of a conversion, a training."""

from collections.abc import Sequence

from ..folder import RunFolder
from ..kind import HasEnergy, Kind
from ..settings import ConfigSource
from .result import ConvertResult


def _reconfigure(run: RunFolder, sources: Sequence[ConfigSource], changeable: Sequence[str]) -> HasEnergy | None:
    from .config import ConvertConfig, LmConfig  # need torch

    if run.manifest.facts.get("command_kind") == "lm-train":
        LmConfig.reconfigure(run, sources, changeable)
        return None
    return ConvertConfig.reconfigure(run, sources, changeable)


KIND = Kind(
    name="convert", title="a conversion", result=ConvertResult, reconfigure=_reconfigure, heading=("network", "seed")
)
