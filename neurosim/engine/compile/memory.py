"""The memory that a network needs, and the memory that is free."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ...base.errors import NeurosimInputError
from ...base.values import Distribution
from ...network.network import Network
from .plastic import plastic_bytes


def check_memory(network: Network, real: np.dtype[Any], part: float = 1.0) -> None:
    """Raise if the synapses are expected not to fit in the memory that is free, before allocating any.

    part: of the network that the processes of this machine have.
    """
    need = 0.0
    for projection in network.projections:
        source, target = (network.population(name).side for name in (projection.source, projection.target))
        each = 6 + (np.ndim(projection.weight) > 0 or isinstance(projection.weight, Distribution)) * real.itemsize  # type: ignore[arg-type]
        each += 2 * (np.ndim(projection.delay) > 0 or isinstance(projection.delay, Distribution))  # type: ignore[arg-type]
        each += plastic_bytes(projection, real)
        need += 24.0 * source.size + each * projection.pattern.expected(source, target)
    need = need * part
    free = free_memory()
    if free is not None and need > free:
        raise NeurosimInputError(
            f"Network: its synapses need about {need / 2**30:.1f} GiB while being made, and {free / 2**30:.1f} GiB of "
            "memory are free; make it smaller or sparser"
        )


def free_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not say."""
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        names = getattr(os, "sysconf_names", {})
        if "SC_PHYS_PAGES" in names:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return None
