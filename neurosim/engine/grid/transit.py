"""A state carried over to a network of the same units whose synapses have changed: what is on its way arrives.

Spikes that were fired before a change keep the synapses of their time: what they still deliver is added to the queue
of the new workspace, whose late row tables deliver spikes from the change on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...kernels.engine.clocked import plasticity as kernel
from ...kernels.engine.clocked.deliver import QUEUE
from ..compile.layout import Layout
from ..compile.network import CompiledNetwork
from ..compile.row_table import RowTable
from ..compile.synapse_sampler import open_sampler

if TYPE_CHECKING:
    from .workspace import GridWorkspace

Arrays = Mapping[str, NDArray[Any]]


def carried(arrays: Arrays, old: GridWorkspace, new: GridWorkspace) -> dict[str, NDArray[Any]]:
    """Return the arrays of `old`, which runs, as `new` restores them; see `carried_lessons`, too.

    arrays: of the whole network.
    """
    step = old.step
    before = old.compiled
    after = new.compiled
    log_start, queued = (int(n) for n in arrays["steps"])
    changed = {n for rows in after.row_tables if rows.since == step > 0 for n in rows.projections}
    changed -= {n for rows in before.row_tables if rows.since == step for n in rows.projections}
    queue = _ring(arrays["queue"], new.queue.shape, step)
    if changed:
        for rows in before.row_tables:
            # Of the rows that deliver by the queue, what was fired before `queued` is in it.
            if rows.form == QUEUE:
                first = queued
            else:
                first = step - rows.max_delay
            for number in rows.projections:
                if number in changed or rows.form == QUEUE:
                    _deliver(before, rows, number, arrays, (max(first, rows.since, log_start), step), queue)
        queued = step
    wanted = max(0, step - after.history)
    log = _logged_from(arrays, before.layout, log_start, wanted)
    return {**arrays, **log, "queue": queue, "steps": np.array([wanted, queued], np.int64)}


def _ring(queue: NDArray[Any], shape: tuple[int, int], step: int) -> NDArray[Any]:
    """Return the queue of future sums as one of more steps."""
    found = np.zeros(shape, queue.dtype)
    if queue.shape[1] == shape[1]:
        due = step + np.arange(min(len(queue), len(found)))
        found[due % len(found)] = queue[due % len(queue)]
    return found


def _deliver(
    compiled: CompiledNetwork,
    rows: RowTable,
    number: int,
    arrays: Arrays,
    steps: tuple[int, int],
    queue: NDArray[Any],
) -> None:
    """Add to the queue what spikes of a range of steps still deliver through a projection, onto this process."""
    layout = compiled.layout
    log_start = int(arrays["steps"][0])
    drawn = compiled.samplers[number]  # which knows how many synapses there are, but makes no rows any more
    sampler = open_sampler(compiled.network, drawn.projection, compiled.clock, compiled.seed, 1, drawn.onto)
    sampler = replace(sampler, first_synapse=drawn.first_synapse, before=drawn.before)
    synapses, weights, delays = sampler.all_synapses()
    target = sampler.target
    block = (synapses.targets + layout.shifts[target]) // layout.parts[target]
    slots = block * (layout.block_slots - layout.parts[target]) + layout.offsets[target] + synapses.targets
    slots += rows.receptor * layout.slots
    for step, units in _fired(arrays, layout, sampler.source, log_start, steps):
        for unit in units:
            row = slice(synapses.offsets[unit], synapses.offsets[unit + 1])
            due = step + delays[row].astype(np.int64)
            left = due >= steps[1]
            np.add.at(queue, (due[left] % len(queue), slots[row][left]), weights[row][left].astype(queue.dtype))


def _fired(
    arrays: Arrays, layout: Layout, source: int, log_start: int, steps: tuple[int, int]
) -> Iterator[tuple[int, NDArray[np.int32]]]:
    """Yield steps, and the units of a population that fired in each."""
    marks = arrays["marks"]
    for step in range(*steps):
        at = (step - log_start) * layout.width + layout.entries[source]
        for b in range(layout.begins[source], layout.ends[source]):
            yield step, arrays[f"log.{b}"][marks[b, at] : marks[b, at + 1]]


def _logged_from(arrays: Arrays, layout: Layout, log_start: int, wanted: int) -> dict[str, NDArray[Any]]:
    """Return marks and logs that begin with step `wanted`: cut, or with steps before in which nothing is left."""
    marks = arrays["marks"]
    if wanted <= log_start:
        empty = np.zeros((len(marks), (log_start - wanted) * layout.width), np.int64)
        return {"marks": np.concatenate([empty, marks], axis=1)}
    kept = marks[:, (wanted - log_start) * layout.width :]
    logs = {f"log.{b}": arrays[f"log.{b}"][cuts[0] :] for b, cuts in enumerate(kept)}
    return {"marks": kept - kept[:, :1], **logs}


def carried_lessons(
    arrays: Arrays, compiled: CompiledNetwork, moved: Mapping[str, NDArray[np.int64]]
) -> dict[str, NDArray[Any]]:
    """Return what plastic synapses of this process that were made or removed have learned; of units it stays.

    Args:
        arrays: of the whole network before.
        compiled: the network after.
        moved: by name of each projection whose synapses are others, [new synapses] their former numbers, -1 for none.
    """
    found: dict[str, NDArray[Any]] = {}
    for k, synapses in enumerate(compiled.plastic):
        if str(synapses.projection.name) in moved:
            former = moved[str(synapses.projection.name)][synapses.numbers]
            found[f"lesson.{k}.weights"] = synapses.weights
            if synapses.modulated:  # what they have earned is in the weights
                traces = np.zeros((len(former), 2))
                traces[former >= 0] = arrays[f"lesson.{k}.eligibility"][former[former >= 0]]
                traces[:, kernel.SEEN] = arrays[f"lesson.{k}.reward"][kernel.INTEGRAL]
                found[f"lesson.{k}.eligibility"] = traces
    return found
