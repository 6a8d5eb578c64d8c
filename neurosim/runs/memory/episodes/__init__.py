"""Runs of the one-shot protocol: a fresh memory stores a few examples of a few classes, and is asked about others."""

from ...frame.kind import Kind
from .config import EpisodesConfig
from .result import EpisodesResult

KIND = Kind(
    package=__name__,
    name="episodes",
    title="a run of one-shot episodes",
    resume="memory episodes",
    result=EpisodesResult,
    reconfigure=EpisodesConfig.reconfigure,
    schemas={"episodes": EpisodesConfig.json_schema},
    heading=("dataset", "split", "samples", "seed", "digest"),
)
