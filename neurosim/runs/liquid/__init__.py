"""Runs of a dataset through a liquid, with a readout on its spikes."""

from ..frame.kind import Kind
from .config import LiquidConfig
from .result import LiquidResult

KIND = Kind(
    package=__name__,
    name="liquid",
    title="a run of a dataset through a liquid",
    resume="simulate",
    result=LiquidResult,
    reconfigure=LiquidConfig.reconfigure,
    schemas={"liquid": LiquidConfig.json_schema},
)
