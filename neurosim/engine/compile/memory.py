"""The memory that a network needs, and the memory that is free."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ...base.errors import NeurosimInputError
from ...base.values import varies
from ...network.network import Network
from ...network.neurons.base import Neuron
from .plastic import plastic_bytes


def check_memory(network: Network, real: np.dtype[Any], part: float = 1.0) -> None:
    """Raise if units and synapses are expected not to fit in the memory that is free, before allocating any.

    Args:
        part: share of the network in the processes of this machine.
    """
    need = 0.0
    for population in network.populations:
        if isinstance(population.model, Neuron):
            # State and inputs; the time of the last spike, the log and counts take some 12 bytes.
            model = population.model
            rows = len(model.state) + len(model.receptors) + len(model.drives)
            need += population.size * (rows * real.itemsize + 12.0)
    for projection in network.projections:
        source = network.population(projection.source).side
        target = network.population(projection.target).side
        # Target as int32 and slot as uint16; a weight and a delay where they differ; 24 bytes for the head of a row.
        synapse = 6 + plastic_bytes(projection, real)
        if varies(projection.weight):
            synapse += real.itemsize
        if varies(projection.delay):
            synapse += 2
        need += 24.0 * source.size + synapse * projection.pattern.expected(source, target)
    need *= part
    free = free_memory()
    if free is not None and need > free:
        raise NeurosimInputError(
            f"Network: its units and synapses need about {need / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB of "
            "memory are free; make it smaller or sparser"
        )


def free_memory() -> int | None:
    """Return the bytes that can be had without swapping; None where the system does not tell."""
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        names = getattr(os, "sysconf_names", {})
        if "SC_PHYS_PAGES" in names:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return None
