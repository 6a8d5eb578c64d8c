"""A state carried over to a network of the same units whose synapses have changed, with spikes on their way.

Spikes that were fired before a change have the synapses of their time: the weights that they still deliver are added to
the queue of the new workspace, whose late row tables deliver spikes from the change on.
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
    """Return the arrays of `old`, which runs, in the form that `new` restores; see `carried_lessons`, too.

    Args:
        arrays: of the whole network.
    """
    step = old.step
    before = old.compiled
    after = new.compiled
    log_start, queued = (int(n) for n in arrays["steps"])
    # Projections that this change gave other weights or delays: their spikes on the way go through the old rows.
    changed = {n for rows in after.row_tables if rows.since == step > 0 for n in rows.projections}
    changed -= {n for rows in before.row_tables if rows.since == step for n in rows.projections}
    queue = _ring(arrays["queue"], new.arrivals.queue.shape, step)
    if changed:
        for rows in before.row_tables:
            # Rows that deliver by the queue have put spikes from before `queued` into it already.
            if rows.form == QUEUE:
                first = queued
                numbers = list(rows.projections)
            else:
                first = step - rows.max_delay
                numbers = [number for number in rows.projections if number in changed]
            steps = (max(first, rows.since, log_start), step)
            for number in numbers:
                _deliver(before, rows, number, arrays, steps, queue)
        queued = step
    # Longer delays need a longer log: steps without spikes stand for those that were dropped.
    new_start = max(0, step - after.history)
    log = _logged_from(arrays, before.layout, log_start, new_start)
    return {**arrays, **log, "queue": queue, "steps": np.array([new_start, queued], np.int64)}


def _ring(queue: NDArray[Any], shape: tuple[int, int], step: int) -> NDArray[Any]:
    """Return the queue of future sums as one of more steps."""
    ring = np.zeros(shape, queue.dtype)
    # Step k is row k modulo the length.
    if queue.shape[1] == shape[1]:
        due = step + np.arange(min(len(queue), len(ring)))
        ring[due % len(ring)] = queue[due % len(queue)]
    return ring


def _deliver(
    compiled: CompiledNetwork,
    rows: RowTable,
    number: int,
    arrays: Arrays,
    steps: tuple[int, int],
    queue: NDArray[Any],
) -> None:
    """Add to the queue the weights that spikes of a range of steps still deliver through a projection."""
    layout = compiled.layout
    log_start = int(arrays["steps"][0])
    # The sampler of the network has no rows any more: open another, with the numbers of the first one.
    former = compiled.samplers[number]
    sampler = open_sampler(compiled.network, former.projection, compiled.clock, compiled.seed, 1, former.onto)
    sampler = replace(sampler, first_synapse=former.first_synapse, before=former.before)
    synapses, weights, delays = sampler.all_synapses()
    target = sampler.target
    block = (synapses.targets + layout.shifts[target]) // layout.parts[target]
    # The slot of each target, see `compile.layout`.
    slots = block * (layout.block_slots - layout.parts[target]) + layout.offsets[target] + synapses.targets
    slots += rows.receptor * layout.slots
    for step, units in _fired(arrays, layout, sampler.source, log_start, steps):
        for unit in units:
            row = slice(synapses.offsets[unit], synapses.offsets[unit + 1])
            due = step + delays[row].astype(np.int64)
            # What fell due before is delivered already.
            pending = due >= steps[1]
            places = due[pending] % len(queue), slots[row][pending]
            np.add.at(queue, places, weights[row][pending].astype(queue.dtype))


def _fired(
    arrays: Arrays, layout: Layout, source: int, log_start: int, steps: tuple[int, int]
) -> Iterator[tuple[int, NDArray[np.int32]]]:
    """Yield steps, and the units of a population that fired in each."""
    marks = arrays["marks"]
    for step in range(*steps):
        at = (step - log_start) * layout.width + layout.entries[source]
        for b in range(layout.begins[source], layout.ends[source]):
            yield step, arrays[f"log.{b}"][marks[b, at] : marks[b, at + 1]]


def _logged_from(arrays: Arrays, layout: Layout, log_start: int, new_start: int) -> dict[str, NDArray[Any]]:
    """Return marks and logs that begin with step `new_start`: cut, or with empty steps before."""
    marks = arrays["marks"]
    if new_start <= log_start:
        empty = np.zeros((len(marks), (log_start - new_start) * layout.width), np.int64)
        return {"marks": np.concatenate([empty, marks], axis=1)}
    cut = marks[:, (new_start - log_start) * layout.width :]
    logs = {f"log.{b}": arrays[f"log.{b}"][block[0] :] for b, block in enumerate(cut)}
    return {"marks": cut - cut[:, :1], **logs}


def carried_lessons(
    arrays: Arrays, compiled: CompiledNetwork, moved: Mapping[str, NDArray[np.int64]]
) -> dict[str, NDArray[Any]]:
    """Return weights, traces and full sites of plastic synapses of projections whose synapses were made or removed.

    The synapses are of this process alone; traces of units stay as they are.

    Args:
        arrays: of the whole network before.
        compiled: the network after.
        moved: by name of each projection whose synapses are others, [new synapses] their former numbers, -1 for none.
    """
    lessons: dict[str, NDArray[Any]] = {}
    for k, synapses in enumerate(compiled.plastic):
        if str(synapses.projection.name) in moved:
            former = moved[str(synapses.projection.name)][synapses.numbers]
            lessons[f"lesson.{k}.weights"] = synapses.weights
            # Rewards so far are in the weights: eligibility counts from here on.
            if synapses.modulated:
                traces = np.zeros((len(former), 2))
                traces[former >= 0] = arrays[f"lesson.{k}.eligibility"][former[former >= 0]]
                traces[:, kernel.SEEN] = arrays[f"lesson.{k}.reward"][kernel.INTEGRAL]
                lessons[f"lesson.{k}.eligibility"] = traces
            if synapses.sites:
                # New synapses begin with all release sites full.
                full = np.full(len(former), synapses.sites, np.uint8)
                full[former >= 0] = arrays[f"lesson.{k}.full"][former[former >= 0]]
                lessons[f"lesson.{k}.full"] = full
    return lessons
