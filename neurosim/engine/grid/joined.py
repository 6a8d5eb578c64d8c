"""The state of a network that several processes share, put together from their parts, and cut into them again.

Saved simulations hold the state of the whole, so that any number of processes continues from them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compile.network import CompiledNetwork
from ..processes import Processes
from .probes import BoundProbe
from .saved import Arrays

# Arrays of plastic synapses with an entry a synapse or a target, and the counters of a process.
BY_SYNAPSE = ("weights", "eligibility", "variables", "full")
BY_TARGET = ("post", "activity")
COUNTED = ("changes", "drawn")


def join(compiled: CompiledNetwork, processes: Processes, own: Arrays) -> Arrays:
    """Return the arrays of `GridWorkspace.arrays` as one process has them; `own`: the arrays of this process."""
    if processes.size == 1:
        return own
    arrays = dict(own)
    share = compiled.share
    # States and currents: each process has the units of its share.
    for p, cells in compiled.cells.items():
        first, last = (len(cells.initial) * unit for unit in share.units(p))
        arrays[f"state.{p}"] = processes.joined(own[f"state.{p}"][first:last])
    by_unit = [(f"current.{current.name}", current.population) for current in compiled.currents]
    for k, synapses in enumerate(compiled.plastic):
        by_unit += [(f"lesson.{k}.{each}", synapses.target) for each in BY_TARGET]
    for name, p in by_unit:
        if name in own:
            arrays[name] = processes.joined(own[name][slice(*share.units(p))])
    depth, width = own["queue"].shape
    # The queue: each process has the slots of its share, the last dimension.
    if width > 1:
        lines = own["queue"].reshape(depth, -1, share.layout.slots)[..., share.slots]
        arrays["queue"] = np.moveaxis(processes.joined(np.moveaxis(lines, -1, 0)), 0, -1).reshape(depth, width)
    # Synapses: entries of a process are numbered among all.
    for k, synapses in enumerate(compiled.plastic):
        numbers = processes.joined(synapses.numbers)
        for name in (f"lesson.{k}.{each}" for each in BY_SYNAPSE):
            if name in own:
                values = processes.joined(own[name])
                arrays[name] = np.empty_like(values)
                arrays[name][numbers] = values
    for name in COUNTED:
        arrays[name] = processes.sum(own[name])
    return arrays


def split(compiled: CompiledNetwork, processes: Processes, whole: Arrays, moved: Collection[str] = ()) -> Arrays:
    """Return the arrays that a process restores, from the arrays of the whole network: its synapses, and the counters.

    Counters go to process 0; in others they start from 0.

    Args:
        moved: names of projections with other synapses than before, which are left out.
    """
    if processes.size == 1:
        return whole
    arrays = dict(whole)
    for k, synapses in enumerate(compiled.plastic):
        numbers = synapses.numbers
        for name in (f"lesson.{k}.{each}" for each in BY_SYNAPSE):
            if name in whole and synapses.projection.name not in moved:
                arrays[name] = whole[name][numbers]
    if not processes.root:
        arrays |= {name: np.zeros_like(whole[name]) for name in COUNTED}
    return arrays


def join_samples(compiled: CompiledNetwork, processes: Processes, probe: BoundProbe, own: NDArray[Any]) -> NDArray[Any]:
    """Return the samples [samples, units] of a probe, of which this process has the columns of its own units."""
    first, last = compiled.share.units(probe.population)
    columns = np.flatnonzero((probe.units >= first) & (probe.units < last))
    samples = np.empty_like(own.T)
    samples[processes.joined(columns)] = processes.joined(own.T[columns])
    return np.ascontiguousarray(samples.T)


def join_state(compiled: CompiledNetwork, processes: Processes, p: int, own: NDArray[Any]) -> NDArray[Any]:
    """Return [states, units] the state of a population, of which this process has its own units."""
    if processes.size == 1:
        return own
    first, last = compiled.share.units(p)
    return np.ascontiguousarray(processes.joined(np.ascontiguousarray(own[:, first:last].T)).T)
