"""Runs of a network that a TOML file describes."""

from ..kind import Kind
from .config import reconfigure
from .result import NetworkResult

KIND = Kind(
    name="network",
    title="a run of a network",
    resume="simulate",
    result=NetworkResult,
    reconfigure=reconfigure,
    heading=("network", "seed", "spike_digest"),
)
