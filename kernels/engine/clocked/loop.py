"""The run on the grid: one compiled loop for every network and any number of threads, driven by tables of addresses.

The network is cut into blocks (see `deliver`). A thread owns some blocks: it sums the weights that arrive there, steps
the neurons, and appends the spikes of each block to the log of that block. Threads meet once in an interval, which is
as long as the shortest delay, so that all spikes that can arrive in it are known when it begins.

The order in a step: probes sample the state; arriving weights are summed, and arriving spikes change plastic weights
(`plastic`); each population, in pieces that stay in the first cache, reads its inputs, draws its Poisson input, and
steps its neurons, or draws or reads the spikes of its source; neurons that fired change the plastic weights onto them.
A target receives its additions in the order (step, row table, source), whatever the number of threads and wherever the
run is cut. Results depend on neither. docs/engine.md has the picture.

The parts of a step are in `arrivals`, `neurons` with `inputs`, `rest` and `late`, `sources`, and `sample`; the names of
the columns of tables in `columns`. What belongs together comes as one group of `views`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ...tools.compiled import compiled
from ...tools.intrinsics import barrier
from ...tools.pointers import bare_matrix, bare_vector, call, matrix, vector
from . import deliver, exchange, groups, readers
from . import plastic as learn
from .arrivals import deliver_due, enqueue
from .bits import MAX_ROWS
from .columns import (
    EVENTS,
    FIRST_POST,
    KIND,
    LAST_POST,
    MEMBERS,
    NEURONS,
    NUMBERS,
    OFFSET,
    PART,
    SHIFT,
)
from .late import catch_up_all
from .sample import sample
from .sources import draw, play
from .stimuli import CALL_ENTRIES
from .views import PIECE, PLACES, STEPPING, Moment, Pages

# Bytes.
PAGE = 4096


@compiled
def run(team, clock, tables, log, arrivals, counters):  # noqa: PLR0915 - the event loop
    """Run steps `clock.first` to `clock.last - 1` as one thread of `team`; write the step reached to `last_step`.

    That is below `clock.last` if a log could become full.

    Args:
        team: a `ThreadTeam`.
        clock: a `Clock`.
        log: a `Log`.
        counters: `Counters`.
        tables: `GridTables`.
        arrivals: `ArrivalBuffers`.
    """
    # Without their owners: numba counts references to every view of an owned array, atomically.
    units = bare_matrix(tables.units)
    rows = bare_matrix(tables.rows)
    row_weights = bare_vector(tables.row_weights)
    input_weights = bare_vector(tables.input_weights)
    plastic = bare_matrix(tables.plastic)
    posts = bare_matrix(tables.posts)
    members = bare_matrix(tables.members)
    probes = bare_matrix(tables.probes)
    exchanging = bare_vector(tables.exchange)
    spikes = bare_matrix(log.units)
    offsets = bare_matrix(log.offsets)
    max_spikes = bare_vector(log.max_spikes)
    sums = bare_matrix(arrivals.sums)
    queue = bare_matrix(arrivals.queue)
    real = sums.dtype.type(0)
    entries = members.shape[1]
    counter_count = arrivals.counts.shape[0]
    receptors = max(sums.shape[0], 1)
    slots = sums.shape[1]
    pages = Pages(team.begin_block, team.end_block, arrivals.page_blocks, arrivals.block_slots, spikes.shape[0])

    # Memory of this thread to work in; `PLACES` says what is where.
    due_rows = np.empty(1024, np.int64)
    # Zeros where nothing is listed.
    due_places = np.zeros(clock.interval * (rows.shape[0] + 1), np.int64)
    begin = matrix(due_places.ctypes.data, clock.interval, rows.shape[0] + 1, np.int64(0))
    again = np.empty(MAX_ROWS, np.int64)
    row_words = (slots + 511) // 512 * 8
    room = np.empty(8 * row_words + 8, np.uint64)
    x = np.empty(receptors * PIECE + 2 * PAGE // sums.itemsize, sums.dtype)
    before = np.empty(PIECE, sums.dtype)
    former = np.empty(clock.states * PIECE, sums.dtype)
    spiked = np.zeros(PIECE + 128, np.uint8)
    awake = np.empty(PIECE, np.int32)
    words = np.empty(PIECE, np.uint32)
    drawing = np.zeros(CALL_ENTRIES, np.int64)
    due = np.zeros(counter_count + receptors, np.uint8)
    request = np.zeros(deliver.READ_ENTRIES, np.int64)
    planning = np.empty(deliver.SCHEDULE_ENTRIES, np.int64)
    adding = np.empty(readers.REQUEST_ENTRIES, np.int64)
    context = np.empty(learn.CONTEXT_ENTRIES, np.int64)
    reading = np.empty(groups.CONTEXT_ENTRIES, np.int64)
    trade = np.zeros(exchange.CALL_ENTRIES, np.int64)

    # Records, within the arrays that own them.
    room_of_stepping = np.zeros(1, STEPPING)
    stepping = room_of_stepping[0]
    room_of_places = np.zeros(1, PLACES)
    places = room_of_places[0]
    places.inputs = tables.inputs.ctypes.data
    places.counts = arrivals.counts.ctypes.data
    places.sums = sums.ctypes.data
    places.fixed = arrivals.fixed.ctypes.data
    places.queue = queue.ctypes.data
    places.due = due.ctypes.data
    places.changes = counters.changes.ctypes.data + team.thread * counters.changes.shape[1] * 8
    places.drawn = counters.drawn.ctypes.data + team.thread * counters.drawn.shape[1] * 8
    # Half a page from states, which begin at one: a load waits for an earlier store whose address has the same 12 bits.
    places.x = (x.ctypes.data + PAGE - 1) // PAGE * PAGE + PAGE // 2
    places.before = before.ctypes.data
    places.former = former.ctypes.data
    places.awake = awake.ctypes.data
    places.spiked = (spiked.ctypes.data + 63) // 64 * 64
    places.words = words.ctypes.data
    places.drawing = drawing.ctypes.data
    places.adding = adding.ctypes.data
    places.context = context.ctypes.data
    places.reading = reading.ctypes.data
    places.counters = counter_count
    places.receptors = receptors
    places.slots = slots
    places.depth = queue.shape[0]
    places.queue_row = queue.shape[1]
    places.zero_row = arrivals.zero_row
    places.entries = entries

    learn.open_context(context, team.thread, entries, clock.log_start, pages.block_slots, clock.trial)
    _open_reading(reading, entries, team.thread, clock, pages, slots)
    planning[deliver.S_ENTRIES] = entries
    planning[deliver.S_LOG_START] = clock.log_start
    planning[deliver.S_ZERO_ROW] = arrivals.zero_row
    planning[deliver.S_ROWS] = due_rows.ctypes.data
    planning[deliver.S_ROOM] = due_rows.size
    planning[deliver.S_BEGIN] = due_places.ctypes.data
    adding[readers.AGAIN] = again.ctypes.data
    adding[readers.PLANES] = (room.ctypes.data + 63) // 64 * 64
    adding[readers.ROW_WORDS] = row_words
    _open_adding(adding, pages, places)
    stepping.block_slots = pages.block_slots
    has_queue = _open_rows(rows, clock, reading, sums, spikes, offsets)
    queued = clock.queued
    step = clock.first
    epoch = 0
    while step < clock.last:
        # An interval: all spikes that can arrive in its steps are in the log already.
        steps = min(clock.interval, clock.last - step)
        at = (step - clock.log_start) * entries
        if _may_overflow(offsets, max_spikes, at, steps + clock.late, spikes.shape[1]):
            break
        # The rows that are due in each of the steps; where the list is too short, once more with a longer one.
        if tables.scheduler:
            planning[deliver.S_FIRST] = step
            planning[deliver.S_STEPS] = steps
            call(tables.scheduler, rows, planning, spikes, offsets)
            if planning[deliver.S_NEED] > due_rows.size:
                due_rows = np.empty(2 * planning[deliver.S_NEED], np.int64)
                planning[deliver.S_ROWS] = due_rows.ctypes.data
                planning[deliver.S_ROOM] = due_rows.size
                call(tables.scheduler, rows, planning, spikes, offsets)
        listed = bare_vector(due_rows)
        # Spikes since the last interval enter the queue.
        if has_queue:
            for late in range(max(queued, clock.log_start), step):
                late_at = (late - clock.log_start) * entries
                enqueue(rows, row_weights, spikes, offsets, late, late_at, pages, queue, request)
        queued = step
        for q in range(steps):
            moment = Moment(step + q, clock.trial << 32 | step + q, at + q * entries, clock.patience, q == steps - 1)
            sample(units, probes, moment.step, pages, real)
            # Plastic synapses add to sums.
            due[:counter_count] = 0
            due[counter_count:] = plastic.shape[0] > 0
            deliver_due(rows, row_weights, listed, begin[q], spikes, offsets, moment.step, places)
            if plastic.shape[0]:
                _learn_arrivals(units, plastic, spikes, offsets, moment.step, pages, context, sums)
            stepping.step = moment.step
            stepping.draw = moment.draw
            stepping.patience = moment.patience
            stepping.ends_interval = moment.ends_interval
            _advance(
                units,
                members,
                input_weights,
                plastic,
                posts,
                spikes,
                offsets,
                moment,
                pages,
                room_of_stepping,
                room_of_places,
                sums,
                tables.stepper,
            )
        # Threads meet: the logs of all blocks have the spikes of the interval. Then processes exchange theirs.
        epoch += 1
        if team.threads > 1:
            barrier(team.sync, team.thread, team.threads, epoch, team.spins)
        if exchanging[exchange.CALLED]:
            if team.thread == 0:
                trade[exchange.STEP] = step
                trade[exchange.STEPS] = steps
                trade[exchange.LOG_START] = clock.log_start
                trade[exchange.WIDTH] = entries
                call(exchanging[exchange.CALLED], exchanging, trade, spikes, offsets)
            epoch += 1
            if team.threads > 1:
                barrier(team.sync, team.thread, team.threads, epoch, team.spins)
        step += steps
    if clock.patience:
        at = (step - clock.log_start) * entries
        catch_up_all(units, members, spikes, offsets, at, pages, places, real)
    # Spikes of the last steps are not queued yet: `queued` of the next call says so.
    counters.last_step[team.thread] = step
    # Numba frees an array after its last mention, and only the addresses of these are used above: keep them alive.
    alive = again.size + room.size + x.size + before.size + former.size + spiked.size + awake.size + words.size
    alive += drawing.size + due.size + request.size + planning.size + adding.size
    alive += context.size + reading.size + room_of_stepping.size + room_of_places.size
    return alive + due_rows.size + due_places.size


# The steps of the loop are inlined before types are inferred: as functions they took 2.5 s longer to compile.
@njit(inline="always")
def _open_reading(reading, entries, thread, clock, pages, slots):
    """Fill what stays during a run of the context of a function that reads GROUPS."""
    reading[groups.POPULATIONS] = entries
    reading[groups.LOG_START] = clock.log_start
    reading[groups.STEP] = clock.first
    reading[groups.THREAD] = thread
    reading[groups.BEGIN_PAGE] = pages.begin_block // pages.page_blocks
    if pages.begin_block < pages.end_block:
        reading[groups.END_PAGE] = (pages.end_block - 1) // pages.page_blocks + 1
    else:
        reading[groups.END_PAGE] = 0
    reading[groups.PAGE_SLOTS] = pages.page_blocks * pages.block_slots
    reading[groups.SLOTS] = slots


@njit(inline="always")
def _open_adding(adding, pages, places):
    """Fill what stays during a run of the request of a function that reads BITS, COUNTS, SUMS or JOINT."""
    adding[readers.BEGIN_BLOCK] = pages.begin_block
    adding[readers.END_BLOCK] = pages.end_block
    adding[readers.PAGE_BLOCKS] = pages.page_blocks
    adding[readers.BLOCK_SLOTS] = pages.block_slots
    adding[readers.ZERO_ROW] = places.zero_row


@njit(inline="always")
def _open_rows(rows, clock, reading, sums, spikes, offsets):
    """Bring the cursors of GROUPS to the first step; return whether any row table is read through the queue."""
    has_queue = False
    reading[groups.OPENS] = 1
    for p in range(rows.shape[0]):
        has_queue |= rows[p, deliver.FORM] == deliver.QUEUE
        if rows[p, deliver.FORM] == deliver.GROUPS and clock.opens:
            reading[groups.SUMS] = sums.ctypes.data
            call(rows[p, deliver.CALLED], rows[p], reading, spikes, offsets)
    reading[groups.OPENS] = 0
    return has_queue


@njit(inline="always")
def _may_overflow(offsets, max_spikes, at, steps, room):
    """Return whether the log of a block could become full in the next `steps`; its spikes so far end at offset `at`."""
    full = False
    for b in range(offsets.shape[0]):
        full |= offsets[b, at] + max_spikes[b] * steps > room
    return full


@njit(inline="always")
def _learn_arrivals(units, plastic, spikes, offsets, step, pages, context, sums):
    """Process the spikes that reach plastic synapses in a step."""
    for k in range(plastic.shape[0]):
        target = units[plastic[k, learn.TARGET]]
        learn.set_target(context, step, pages.begin_block, pages.end_block, target[PART], target[SHIFT], target[OFFSET])
        learn.call_plastic(plastic[k, learn.ON_PRE], plastic[k], context, spikes, offsets, sums)


@njit(inline="always")
def _learn_targets(unit, plastic, posts, spikes, offsets, entries, block, at, context, sums):
    """Tell the plastic synapses onto a population which of its units fired: at once, or after a while.

    Args:
        at: where the population's spikes of this step begin in the offsets of the log.
    """
    for i in range(unit[FIRST_POST], unit[LAST_POST]):
        past = at - posts[i, learn.POST_DELAY] * entries
        if past >= 0 and offsets[block, past + 1] > offsets[block, past]:
            context[learn.FIRST] = offsets[block, past]
            context[learn.LAST] = offsets[block, past + 1]
            entry = plastic[posts[i, learn.POST_ENTRY]]
            log = spikes[block:]
            learn.call_plastic(posts[i, learn.POST_CALLED], entry, context, log, offsets, sums)


@njit(inline="always")
def _learn_members(units, p, count, plastic, posts, spikes, offsets, entries, block, at, context, sums):
    """Do as `_learn_targets` for a population, or for each of the `count` members of a bundle."""
    for k in range(count):
        unit = units[p]
        if unit[MEMBERS]:
            unit = units[vector(unit[NUMBERS], count, np.int64(0))[k]]
        _learn_targets(unit, plastic, posts, spikes, offsets, entries, block, at + k, context, sums)


@njit(inline="always")
def _advance(
    units,
    members,
    input_weights,
    plastic,
    posts,
    spikes,
    offsets,
    moment,
    pages,
    room_of_stepping,
    room_of_places,
    sums,
    stepper,
):
    """Step the populations of this thread's blocks and append the spikes of each block to its log."""
    entries = members.shape[1]
    room = spikes.shape[1]
    stepping = room_of_stepping[0]
    places = room_of_places[0]
    context = vector(places.context, learn.CONTEXT_ENTRIES, np.int64(0))
    for b in range(pages.begin_block, pages.end_block):
        used = offsets[b, moment.at]
        log_at = spikes.ctypes.data + b * room * 4
        e = 0
        while e < entries:
            p = members[b, e]
            at = moment.at + e
            count = 1
            if p < 0:
                offsets[b, at + 1] = used
            elif units[p, KIND] == NEURONS:
                count = max(units[p, MEMBERS], 1)
                stepping.population = p
                stepping.block = b
                stepping.log_at = log_at
                stepping.used = used
                stepping.ends = offsets.ctypes.data + (b * offsets.shape[1] + at + 1) * 8
                stepping.count = count
                call(stepper, units[p], room_of_stepping, input_weights, room_of_places)
                used = stepping.used
                if posts.shape[0]:
                    _learn_members(units, p, count, plastic, posts, spikes, offsets, entries, b, at, context, sums)
            elif units[p, KIND] == EVENTS:
                used = play(units[p], b, moment.step, log_at, used, pages.blocks)
                offsets[b, at + 1] = used
            else:
                used = draw(units[p], b, moment, places, log_at, used)
                offsets[b, at + 1] = used
            e += count
