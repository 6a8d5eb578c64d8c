"""Runs of a network that a TOML file describes."""

from ..frame.kind import Kind
from .config import reconfigure, schema
from .result import NetworkResult

KIND = Kind(
    package=__name__,
    name="network",
    title="a run of a network",
    resume="simulate",
    result=NetworkResult,
    reconfigure=reconfigure,
    schemas={"network": schema},
    heading=("network", "seed", "spike_digest"),
)
