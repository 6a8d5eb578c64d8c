"""Runs that train small models of attention kinds on a synthetic task, each with several seeds, and compare them."""

from collections.abc import Sequence

from ...schema import Schema
from ..frame.folder import RunFolder
from ..frame.kind import HasEnergy, Kind
from ..frame.settings import ConfigSource
from .result import AttentionResult


def _reconfigure(run: RunFolder, sources: Sequence[ConfigSource], changeable: Sequence[str]) -> HasEnergy | None:
    from .config import AttentionConfig  # needs torch

    AttentionConfig.reconfigure(run, sources, changeable)
    return None


def _schema() -> Schema:
    from .config import AttentionConfig  # needs torch

    return AttentionConfig.json_schema()


KIND = Kind(
    package=__name__,
    name="attention",
    title="a comparison of attention kinds",
    resume="attention",
    result=AttentionResult,
    reconfigure=_reconfigure,
    schemas={"attention": _schema},
    heading=("task", "seed"),
)
