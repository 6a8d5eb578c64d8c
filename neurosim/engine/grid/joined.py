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

# Arrays of plastic synapses with an entry a synapse, and the counters of what a process did.
BY_SYNAPSE = ("weights", "eligibility")
BY_TARGET = ("post", "activity")
COUNTED = ("changes", "drawn")


def join(compiled: CompiledNetwork, processes: Processes, own: Arrays) -> Arrays:
    """Return the arrays of `GridWorkspace.arrays` as one process has them; `own`: those of this process."""
    if processes.size == 1:
        return own
    found = dict(own)
    share = compiled.share
    for p, cells in compiled.cells.items():
        first, last = (len(cells.initial) * unit for unit in share.units(p))
        found[f"state.{p}"] = processes.joined(own[f"state.{p}"][first:last])
    by_unit = [(f"current.{current.name}", current.population) for current in compiled.currents]
    for k, synapses in enumerate(compiled.plastic):
        by_unit += [(f"lesson.{k}.{each}", synapses.target) for each in BY_TARGET]
    for name, p in by_unit:
        if name in own:
            found[name] = processes.joined(own[name][slice(*share.units(p))])
    depth, width = own["queue"].shape
    if width > 1:
        lines = own["queue"].reshape(depth, -1, share.layout.slots)[..., share.slots]
        found["queue"] = np.moveaxis(processes.joined(np.moveaxis(lines, -1, 0)), 0, -1).reshape(depth, width)
    for k, synapses in enumerate(compiled.plastic):
        numbers = processes.joined(synapses.numbers)
        for name in (f"lesson.{k}.{each}" for each in BY_SYNAPSE):
            if name in own:
                values = processes.joined(own[name])
                found[name] = np.empty_like(values)
                found[name][numbers] = values
    for name in COUNTED:
        found[name] = processes.sum(own[name])
    return found


def split(compiled: CompiledNetwork, processes: Processes, whole: Arrays, moved: Collection[str] = ()) -> Arrays:
    """Return what a process restores from the arrays of the whole network: its synapses, and (process 0) counters.

    moved: names of projections whose synapses are others now, and are left out.
    """
    if processes.size == 1:
        return whole
    found = dict(whole)
    for k, synapses in enumerate(compiled.plastic):
        numbers = synapses.numbers
        for name in (f"lesson.{k}.{each}" for each in BY_SYNAPSE):
            if name in whole and synapses.projection.name not in moved:
                found[name] = whole[name][numbers]
    if not processes.root:
        found |= {name: np.zeros_like(whole[name]) for name in COUNTED}
    return found


def join_samples(compiled: CompiledNetwork, processes: Processes, probe: BoundProbe, own: NDArray[Any]) -> NDArray[Any]:
    """Return the samples [samples, units] of a probe, of which this process has those of its own units."""
    first, last = compiled.share.units(probe.population)
    mine = np.flatnonzero((probe.units >= first) & (probe.units < last))
    whole = np.empty_like(own.T)
    whole[processes.joined(mine)] = processes.joined(own.T[mine])
    return np.ascontiguousarray(whole.T)
