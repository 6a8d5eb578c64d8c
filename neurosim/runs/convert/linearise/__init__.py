"""Runs that replace softmax attention by linear kinds, and report what each stage costs down to spikes."""

from collections.abc import Sequence

from ....schema import Schema
from ...frame.folder import RunFolder
from ...frame.kind import HasEnergy, Kind
from ...frame.settings import ConfigSource
from .result import LinearisationResult


def _reconfigure(run: RunFolder, sources: Sequence[ConfigSource], changeable: Sequence[str]) -> HasEnergy:
    from .config import LineariseConfig  # needs torch

    return LineariseConfig.reconfigure(run, sources, changeable)


def _schema() -> Schema:
    from .config import LineariseConfig  # needs torch

    return LineariseConfig.json_schema()


KIND = Kind(
    package=__name__,
    name="linearise",
    title="a linearisation",
    resume="convert linearise",
    result=LinearisationResult,
    reconfigure=_reconfigure,
    schemas={"linearise": _schema},
    heading=("network", "seed"),
)
