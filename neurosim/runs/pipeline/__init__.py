"""Runs of a pipeline: recordings through a network that learns their classes, described in one TOML file."""

from ..frame.kind import Kind
from ..network.config import reconfigure
from .config import schema
from .result import PipelineResult

KIND = Kind(
    package=__name__,
    name="pipeline",
    title="a run of a pipeline",
    resume="simulate",
    result=PipelineResult,
    reconfigure=reconfigure,
    schemas={"pipeline": schema},
)
