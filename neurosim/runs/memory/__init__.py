"""Runs of a single-trial memory on a dataset: store, recall, capacity, noise, familiarity."""

from ..frame.kind import Kind
from .config import MemoryConfig
from .result import MemoryResult

KIND = Kind(
    package=__name__,
    name="memory",
    title="a run of a memory",
    result=MemoryResult,
    reconfigure=MemoryConfig.reconfigure,
    schemas={"memory": MemoryConfig.json_schema},
    heading=("dataset", "split", "samples", "seed", "digest"),
)
