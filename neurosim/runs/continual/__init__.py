"""Runs of continual learning: learners on a stream of tasks over seeds and a grid, and their comparison."""

from ..kind import Kind
from . import page, table
from .config import reconfigure
from .result import ContinualResult

KIND = Kind(
    name="continual",
    title="a continual run",
    resume="continual run",
    result=ContinualResult,
    reconfigure=reconfigure,
    page=page.fill,
    table=table.render,
    heading=("stream", "on", "seed"),
)
