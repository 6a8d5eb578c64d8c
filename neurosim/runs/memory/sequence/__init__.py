"""Runs of a spatial pooler and a temporal memory on recordings: what they expect, and what surprises them."""

from ...frame.kind import Kind
from .config import SequenceConfig
from .result import SequenceResult

KIND = Kind(
    package=__name__,
    name="sequence",
    title="a run of a sequence memory",
    resume="memory sequence",
    result=SequenceResult,
    reconfigure=SequenceConfig.reconfigure,
    schemas={"sequence": SequenceConfig.json_schema},
    heading=("dataset", "split", "samples", "seed", "digest"),
)
