"""Runs of continual learning: learners on a stream of tasks over seeds and a grid, and their comparison."""

from ..kind import Kind
from .config import reconfigure
from .measured import MeasuredLearners
from .result import ContinualResult

KIND = Kind(
    name="continual",
    title="a continual run",
    resume="continual run",
    result=ContinualResult,
    reconfigure=reconfigure,
    measured=MeasuredLearners.of,
    heading=("stream", "on", "seed"),
)
