"""The run on the grid: one compiled loop for every network and any number of threads, driven by tables of addresses.

The network is cut into blocks (see `deliver`). A thread owns some blocks: it sums the weights that arrive there, steps
the neurons, and appends the spikes of each block to the log of that block. Threads meet once in an interval, which is
as long as the shortest delay, so that all spikes that can arrive in it are known when it begins.

The order in a step: probes sample the state; arriving weights are summed, and arriving spikes change plastic weights
(`plastic`); each population, in pieces that stay in the first cache, reads its inputs, draws its Poisson input, and
steps its neurons, or draws or reads the spikes of its source; neurons that fired change the plastic weights onto them.
A target receives its additions in the order (step, row table, source), whatever the number of threads and wherever the
run is cut. Results depend on neither. docs/engine.md has the picture.

The parts of a step are in `arrivals`, `neurons` and `watched` with `inputs`, `rest` and `late`, `sources`, `learners`,
and `sample`. They are called by address, so that a network compiles those that it needs, and several processes side by
side. The names of the columns of tables are in `columns`, records in `views`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ...tools.compiled import compiled
from ...tools.intrinsics import barrier
from ...tools.pointers import call, matrix, vector
from . import deliver, exchange
from .columns import ADVANCE, MEMBERS, UNIT_COLUMNS


@compiled
def run(room_of_task, room_of_stepping, room_of_places, row_weights, input_weights):
    """Run steps `first` to `last - 1` of a task as one thread; write the step reached to `first`.

    That is below `last` if a log could become full, or if more rows are due than their list has room for (`need`).

    Args:
        room_of_task: [1] of `TASK`.
        room_of_stepping: [1] of `STEPPING`; to work in.
        room_of_places: [1] of `PLACES`.
        row_weights: real [row tables].
        input_weights: real [inputs].
    """
    task = room_of_task[0]
    stepping = room_of_stepping[0]
    rows = matrix(task.rows, task.row_count, deliver.ROW_TABLE_COLUMNS, np.int64(0))
    spikes = matrix(task.spikes, task.blocks, task.room, np.int32(0))
    offsets = matrix(task.offsets, task.blocks, task.columns, np.int64(0))
    planning = vector(task.planning, deliver.SCHEDULE_ENTRIES, np.int64(0))
    trade = vector(task.trade, exchange.CALL_ENTRIES, np.int64(0))
    task.need = 0
    stepping.catches_up = 0
    stepping.patience = task.patience
    if task.opener:
        call(task.opener, room_of_task, room_of_stepping, row_weights, room_of_places)
    step = task.first
    while step < task.last:
        # An interval: all spikes that can arrive in its steps are in the log already.
        steps = min(task.interval, task.last - step)
        at = (step - task.log_start) * task.entries
        if _may_overflow(task, offsets, at, steps + task.late):
            break
        # The rows that are due in each of the steps.
        if task.scheduler:
            planning[deliver.S_FIRST] = step
            planning[deliver.S_STEPS] = steps
            call(task.scheduler, rows, planning, spikes, offsets)
            if planning[deliver.S_NEED] > planning[deliver.S_ROOM]:
                task.need = planning[deliver.S_NEED]
                break
        # Spikes since the last interval enter the queue.
        stepping.step = step
        if task.enqueuer:
            call(task.enqueuer, room_of_task, room_of_stepping, row_weights, room_of_places)
        task.queued = step
        for q in range(steps):
            stepping.number = q
            stepping.step = step + q
            stepping.draw = task.trial << 32 | (step + q)
            stepping.at = at + q * task.entries
            stepping.ends_interval = q == steps - 1
            if task.sampler:
                call(task.sampler, room_of_task, room_of_stepping, row_weights, room_of_places)
            if task.deliverer:
                call(task.deliverer, room_of_task, room_of_stepping, row_weights, room_of_places)
            if task.arrival_learner:
                call(task.arrival_learner, room_of_task, room_of_stepping, row_weights, room_of_places)
            _advance(task, offsets, room_of_task, room_of_stepping, room_of_places, row_weights, input_weights)
        # Threads meet: the logs of all blocks have the spikes of the interval. Then processes exchange theirs.
        _meet(task)
        if task.exchanger:
            if task.thread == 0:
                trade[exchange.STEP] = step
                trade[exchange.STEPS] = steps
                record = vector(task.exchange, exchange.EXCHANGE_COLUMNS, np.int64(0))
                call(task.exchanger, record, trade, spikes, offsets)
            _meet(task)
        step += steps
    task.first = step
    if task.catcher and task.patience:
        call(task.catcher, room_of_task, room_of_stepping, input_weights, room_of_places)
    # Spikes of the last steps are not queued yet: `queued` of the next call says so.


# The steps of the loop are inlined before types are inferred: as functions they took longer to compile.
@njit(inline="always")
def _may_overflow(task, offsets, at, steps):
    """Return whether the log of a block could become full in the next `steps`; its spikes so far end at offset `at`."""
    most = vector(task.max_spikes, task.blocks, np.int64(0))
    full = False
    for b in range(most.size):
        full |= offsets[b, at] + most[b] * steps > task.room
    return full


@njit(inline="always")
def _meet(task):
    """Wait for the other threads."""
    task.epoch += 1
    if task.threads > 1:
        barrier(task.sync, task.thread, task.threads, task.epoch, task.spins)


@njit(inline="always")
def _advance(task, offsets, room_of_task, room_of_stepping, room_of_places, row_weights, input_weights):
    """Step the populations of this thread's blocks and append the spikes of each block to its log."""
    units = matrix(task.units, task.unit_count, UNIT_COLUMNS, np.int64(0))
    members = matrix(task.members, task.blocks, task.entries, np.int64(0))
    stepping = room_of_stepping[0]
    for b in range(task.begin_block, task.end_block):
        stepping.block = b
        stepping.used = offsets[b, stepping.at]
        stepping.log_at = task.spikes + b * task.room * 4
        e = 0
        while e < task.entries:
            p = members[b, e]
            at = stepping.at + e
            if p < 0:
                # An entry without a population has no spikes.
                offsets[b, at + 1] = stepping.used
                e += 1
                continue
            stepping.population = p
            stepping.last = task.offsets + (b * task.columns + at) * 8
            stepping.ends = stepping.last + 8
            # A bundle of small populations is stepped as one, and has an entry for each.
            stepping.count = max(units[p, MEMBERS], 1)
            call(units[p, ADVANCE], units[p], room_of_stepping, input_weights, room_of_places)
            if task.target_learner:
                call(task.target_learner, room_of_task, room_of_stepping, row_weights, room_of_places)
            e += stepping.count
