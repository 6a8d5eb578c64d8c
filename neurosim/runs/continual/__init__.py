"""Runs of continual learning: learners on a stream of tasks over seeds and a grid, and their comparison."""

from ...schema import Schema
from ..frame.kind import Kind
from .config import reconfigure
from .measured import MeasuredLearners
from .result import ContinualResult


def _schema() -> Schema:
    from .schema import schema  # learners need torch

    return schema()


KIND = Kind(
    package=__name__,
    name="continual",
    title="a continual run",
    resume="continual run",
    result=ContinualResult,
    reconfigure=reconfigure,
    schemas={"continual": _schema},
    measured=MeasuredLearners.of,
    heading=("stream", "on", "seed"),
)
