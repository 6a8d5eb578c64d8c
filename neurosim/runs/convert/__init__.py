"""Runs of language models: converted into spikes, the curve of a conversion, a training."""

from collections.abc import Sequence

from ...schema import Schema
from ..frame.folder import RunFolder
from ..frame.kind import HasEnergy, Kind
from ..frame.settings import ConfigSource
from .measured import measured_curve
from .result import ConvertResult


def _reconfigure(run: RunFolder, sources: Sequence[ConfigSource], changeable: Sequence[str]) -> HasEnergy:
    from .config import ConvertConfig, LmConfig  # need torch

    if run.manifest.facts.get("command_kind") == "lm-train":
        return LmConfig.reconfigure(run, sources, changeable)
    return ConvertConfig.reconfigure(run, sources, changeable)


def _schema(name: str) -> Schema:
    from . import config  # needs torch

    found: Schema = getattr(config, name).json_schema()
    return found


KIND = Kind(
    package=__name__,
    name="convert",
    title="a conversion",
    result=ConvertResult,
    reconfigure=_reconfigure,
    schemas={"convert": lambda: _schema("ConvertConfig"), "lm-train": lambda: _schema("LmConfig")},
    heading=("network", "seed"),
    measured=measured_curve,
)
