"""The run on the grid: one compiled loop for every network and any number of threads, driven by tables of addresses.

The network is cut into blocks (see `deliver`). A thread owns some blocks: it sums the weights that arrive there, steps
the neurons, and appends the spikes of each block to the log of that block. Threads meet once in an interval, which is
as long as the shortest delay, so that all spikes that can arrive in it are known when it begins.

The order in a step: probes sample the state; arriving weights are summed, and arriving spikes change plastic weights
(`plastic`); each population, in pieces that stay in the first cache, reads its inputs, draws its Poisson input, and
steps its neurons, or draws or reads the spikes of its source; neurons that fired change the plastic weights onto them.
A target receives its additions in the order (step, row table, source), whatever the number of threads and wherever the
run is cut. Results depend on neither. docs/engine.md has the picture.

The column names of the tables are the constants below; `neurosim.engine.grid.tables` fills them. What belongs together
comes as one group of `views`.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import njit

from ...tools.compiled import compiled
from ...tools.intrinsics import barrier
from ...tools.pointers import bare_matrix, bare_vector, call, matrix, vector
from . import groups
from . import plastic as learn
from .bits import MAX_ROWS
from .deliver import (
    BATCH,
    BEGIN_BLOCK,
    BITS,
    COUNTER,
    CUTS,
    END_BLOCK,
    FORM,
    GROUPS,
    JOINT,
    MATRIX,
    QUEUE,
    READ_ENTRIES,
    RECEPTOR,
    SINCE,
    SOURCE,
    STRIDE,
    SUMS,
    UNTIL,
    add_counts,
    add_fixed,
    add_sums,
    clear,
    collect,
    collect_within,
    deliver_counts,
    deliver_joint,
    deliver_sums,
    reaches,
    schedule,
    set_counts,
    set_fixed,
)
from .deliver import CALLED as READ
from .exchange import CALL_ENTRIES as EXCHANGE_ENTRIES
from .exchange import CALLED as EXCHANGED
from .exchange import LOG_START, STEPS, WIDTH
from .exchange import STEP as EXCHANGE_STEP
from .rest import BUSY, CALM, CHECK_EVERY, LOOK_EVERY, RESTING, any_bit, copy_bytes, differs
from .stimuli import A_DRAW, A_DRAWN, A_FIRST, A_STEP, CALL_ENTRIES, RECORD_COLUMNS
from .views import PIECE, PLACES, Moment, Pages

# Populations, int64 [populations, UNIT_COLUMNS]. Columns after PART are 0 where a kind does not use them.
NEURONS = 0
EVENTS = 1
POISSON = 2
# Neurons that are stepped as members of a bundle: a row of its own, of kind NEURONS, after those of all populations.
BUNDLED = 3
(
    KIND,
    SIZE,
    PART,  # units in a block; the last block that has any may hold fewer
    SHIFT,  # units that the blocks before the first with any would hold: unit u is in block (u + SHIFT) // PART
    OFFSET,  # SHIFT, and slots of a block before this population: u is at slot b * (block slots - PART) + OFFSET + u
    STEP,  # address of the neuron's compiled step
    STATES,
    RECEPTORS,
    CONSTANTS,
    STATE,  # address: real, [STATES, n] for each piece of n units
    CONSTANT,  # address: real [CONSTANTS], or as STATE [CONSTANTS, n] for each piece of n units
    BY_UNIT,  # whether it is the second
    DRIVEN,  # whether the last row of inputs is a current, of which the constants of a step are made (`_drive`)
    MEMBRANE,  # the row whose changes are counted
    COUNTED,  # 0: they are not
    FIRST_INPUT,  # rows of the table of inputs
    LAST_INPUT,
    EVENT_STEPS,  # address: int32, the step of each event, rising within a block
    EVENT_UNITS,  # address: int32
    EVENT_BLOCKS,  # address: int64 [blocks + 1], which events each block has
    CURSORS,  # address: int64 [blocks], the next event of each block
    MAX_SPIKES,  # of a unit of a Poisson source in a step
    CALLED,  # address of a function of `stimuli` that draws its spikes
    RECORD,  # address: its parameters
    FIRST_POST,  # rows of `posts`: what its spikes change in the plastic synapses onto this population
    LAST_POST,
    VOLTAGES,  # address: float64 [2, SIZE], membranes at the start of even and odd steps; 0: nobody reads them
    HEARD,  # address: uint8 [SIZE], 0 for units whose spikes are dropped; 0: none are
    RESTS,  # address: uint8 [blocks, pieces of a block], states of `rest`; 0: every step is computed
    HELD,  # row of the refractory time; -1: none
    QUIET,  # address of the shorter step of a calm piece without input; 0: there is none
    BUNDLE_SIZE,  # of a member of a bundle: units of the bundle, whose state is one piece; else 0
    MEMBERS,  # number of populations of a bundle, at most PIECE units in one block; 0: the row is of one population
    FIRSTS,  # address: int64 [MEMBERS + 1], the first unit of each member in the bundle, and the number of units
    NUMBERS,  # address: int64 [MEMBERS], the population of each member
    UNIT_COLUMNS,
) = range(36)

# What a population adds to its inputs, int64 [inputs, INPUT_COLUMNS], and a real weight for each.
INPUT_COUNTS, INPUT_SUMS, INPUT_QUEUE, INPUT_FIXED, INPUT_CALLED = range(5)
(
    I_KIND,
    I_INDEX,  # the counter, the receptor's sums counted on from the last counter, or the stimulus
    I_RECEPTOR,
    I_CALLED,  # address of a function of `stimuli`, and of its parameters
    I_RECORD,
    I_FIRST,  # of a function that a member of a bundle calls: its first unit in the bundle, and its number of units;
    I_UNITS,  # 0: it is called for all units
    INPUT_COLUMNS,
) = range(8)

# Bytes.
PAGE = 4096

# State variables to record, int64 [probes, PROBE_COLUMNS].
P_POPULATION, P_ROW, P_INTERVAL, P_UNITS, P_COUNT, P_OUT, PROBE_COLUMNS = range(7)


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
    exchange = bare_vector(tables.exchange)
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
    due_places = np.empty((clock.interval, rows.shape[0] + 1), np.int64)
    begin = bare_matrix(due_places)
    again = np.empty(MAX_ROWS, np.int64)
    row_words = (slots + 511) // 512 * 8
    room = np.empty(8 * row_words + 8, np.uint64)
    x = np.empty(receptors * PIECE + 2 * PAGE // sums.itemsize, sums.dtype)
    before = np.empty(PIECE, sums.dtype)
    former = np.empty(clock.states * PIECE, sums.dtype)
    spiked = np.zeros(PIECE + 128, np.uint8)
    words = np.empty(PIECE, np.uint32)
    drawing = np.zeros(CALL_ENTRIES, np.int64)
    due = np.zeros(counter_count + receptors, np.uint8)
    request = np.zeros(READ_ENTRIES, np.int64)
    context = np.empty(learn.CONTEXT_ENTRIES, np.int64)
    reading = np.empty(groups.CONTEXT_ENTRIES, np.int64)
    trade = np.zeros(EXCHANGE_ENTRIES, np.int64)

    # The record of places, within the array that owns it.
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
    places.spiked = (spiked.ctypes.data + 63) // 64 * 64
    places.words = words.ctypes.data
    places.drawing = drawing.ctypes.data
    places.again = again.ctypes.data
    places.planes = (room.ctypes.data + 63) // 64 * 64
    places.request = request.ctypes.data
    places.context = context.ctypes.data
    places.reading = reading.ctypes.data
    places.row_words = row_words
    places.counters = counter_count
    places.receptors = receptors
    places.slots = slots
    places.depth = queue.shape[0]
    places.queue_row = queue.shape[1]
    places.zero_row = arrivals.zero_row

    learn.open_context(context, team.thread, entries, clock.log_start, pages.block_slots, clock.trial)
    _open_reading(reading, entries, team.thread, clock, pages, slots)
    has_queue = _open_rows(rows, clock, reading, sums, spikes, offsets)
    queued = clock.queued
    step = clock.first
    epoch = 0
    while step < clock.last:
        # An interval: all spikes that can arrive in its steps are in the log already.
        steps = min(clock.interval, clock.last - step)
        at = (step - clock.log_start) * entries
        if _may_overflow(offsets, max_spikes, at, steps, spikes.shape[1]):
            break
        # The rows that are due in each of the steps; where the list is too short, once more with a longer one.
        listed = bare_vector(due_rows)
        need = schedule(rows, spikes, offsets, entries, clock.log_start, step, steps, places.zero_row, listed, begin)
        if need < 0:
            due_rows = np.empty(-2 * need, np.int64)
            listed = bare_vector(due_rows)
            schedule(rows, spikes, offsets, entries, clock.log_start, step, steps, places.zero_row, listed, begin)
        # Spikes since the last interval enter the queue.
        if has_queue:
            for late in range(max(queued, clock.log_start), step):
                late_at = (late - clock.log_start) * entries
                _enqueue(rows, row_weights, spikes, offsets, late, late_at, pages, queue, request)
        queued = step
        for q in range(steps):
            moment = Moment(step + q, clock.trial << 32 | step + q, at + q * entries)
            _sample(units, probes, moment.step, pages, real)
            # Plastic synapses add to sums.
            due[:counter_count] = 0
            due[counter_count:] = plastic.shape[0] > 0
            _deliver(rows, row_weights, listed, begin[q], spikes, offsets, moment.step, pages, places)
            if plastic.shape[0]:
                _learn_arrivals(units, plastic, spikes, offsets, moment.step, pages, context, sums)
            _advance(units, members, input_weights, plastic, posts, spikes, offsets, moment, pages, places, sums)
        # Threads meet: the logs of all blocks have the spikes of the interval. Then processes exchange theirs.
        epoch += 1
        if team.threads > 1:
            barrier(team.sync, team.thread, team.threads, epoch, team.spins)
        if exchange[EXCHANGED]:
            if team.thread == 0:
                trade[EXCHANGE_STEP] = step
                trade[STEPS] = steps
                trade[LOG_START] = clock.log_start
                trade[WIDTH] = entries
                call(exchange[EXCHANGED], exchange, trade, spikes, offsets)
            epoch += 1
            if team.threads > 1:
                barrier(team.sync, team.thread, team.threads, epoch, team.spins)
        step += steps
    # Spikes of the last steps are not queued yet: `queued` of the next call says so.
    counters.last_step[team.thread] = step
    # Numba frees an array after its last mention, and only the addresses of these are used above: keep them alive.
    alive = again.size + room.size + x.size + before.size + former.size + spiked.size + words.size + drawing.size
    alive += due.size + request.size + context.size + reading.size + room_of_places.size
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
def _open_rows(rows, clock, reading, sums, spikes, offsets):
    """Bring the cursors of GROUPS to the first step; return whether any row table is read through the queue."""
    has_queue = False
    reading[groups.OPENS] = 1
    for p in range(rows.shape[0]):
        has_queue |= rows[p, FORM] == QUEUE
        if rows[p, FORM] == GROUPS and clock.opens:
            reading[groups.SUMS] = sums.ctypes.data
            call(rows[p, READ], rows[p], reading, spikes, offsets)
    reading[groups.OPENS] = 0
    return has_queue


@njit(inline="always")
def _may_overflow(offsets, max_spikes, at, steps, room):
    """Return whether the log of a block could become full in the next steps; its spikes so far end at offset `at`."""
    full = False
    for b in range(offsets.shape[0]):
        full |= offsets[b, at] + max_spikes[b] * steps > room
    return full


@njit(inline="always")
def _deliver(tables, weights, rows, begin, spikes, offsets, step, pages, places):
    """Add the rows due in a step to counts and sums, and note which received any.

    Those of row table p are rows[begin[p]:begin[p + 1]].
    """
    real = weights.dtype.type(0)
    width = weights.itemsize
    slots = places.slots
    due = vector(places.due, places.counters + places.receptors, np.uint8(0))
    for p in range(tables.shape[0]):
        table = tables[p]
        received = places.counters + table[RECEPTOR]
        if table[FORM] == GROUPS:
            reading = vector(places.reading, groups.CONTEXT_ENTRIES, np.int64(0))
            reading[groups.STEP] = step
            reading[groups.SUMS] = places.fixed + table[RECEPTOR] * slots * 4
            if width == 8:
                reading[groups.SUMS] = places.sums + table[RECEPTOR] * slots * 8
                due[received] = 1
            call(table[READ], table, reading, spikes, offsets)
        elif (table[FORM] <= SUMS or table[FORM] == JOINT) and begin[p] == begin[p + 1]:
            continue
        elif table[FORM] == JOINT:
            due[received] = 1
            low = pages.begin_block * pages.block_slots
            high = pages.end_block * pages.block_slots
            line = vector(places.sums + table[RECEPTOR] * slots * width, slots, real)
            deliver_joint(table, rows, begin[p], begin[p + 1], low, high, weights[p], line)
        elif table[FORM] == SUMS:
            due[received] = 1
            for page in range(pages.begin_block // pages.page_blocks, (pages.end_block - 1) // pages.page_blocks + 1):
                if not reaches(table, page):
                    continue
                low = max(pages.begin_block, page * pages.page_blocks)
                high = min(pages.end_block, (page + 1) * pages.page_blocks)
                base = page * pages.page_blocks * pages.block_slots
                line = vector(places.sums + (table[RECEPTOR] * slots + base) * width, slots - base, real)
                deliver_sums(table, rows, begin[p], begin[p + 1], low, high, weights[p], line)
        elif table[FORM] != QUEUE:
            due[table[COUNTER]] = 1
            due[received] |= _deliver_bytes(table, weights[p], rows, begin[p], begin[p + 1], pages, places)


@compiled
def _deliver_bytes(table, weight, rows, first, last, pages, places):
    """Add rows of BITS or COUNTS, in batches that cannot overflow a byte; a full batch is added to the sums.

    Returns whether a batch was full.
    """
    slots = places.slots
    again = vector(places.again, MAX_ROWS, np.int64(0))
    line = vector(places.counts + table[COUNTER] * slots, slots, np.uint8(0))
    low = pages.begin_block * pages.block_slots
    high = pages.end_block * pages.block_slots
    spilled = False
    while True:
        end = min(last, first + table[BATCH])
        chosen = rows
        a = first
        z = end
        if table[FORM] == BITS:
            if end > first:
                request = vector(places.request, READ_ENTRIES, np.int64(0))
                planes = matrix(places.planes, 8, places.row_words, np.uint64(0))
                request[0] = first
                request[1] = end
                request[2] = low
                request[3] = high
                call(table[READ], request, rows, planes, line)
            chosen = again
            a = 0
            z = 0
            if table[CUTS]:
                # The synapses whose bit was set already are listed.
                for i in range(first, end):
                    if rows[i] != places.zero_row:
                        again[z] = (rows[i] - table[MATRIX]) // table[STRIDE]
                        z += 1
        if z > a:
            for page in range(pages.begin_block // pages.page_blocks, (pages.end_block - 1) // pages.page_blocks + 1):
                b = max(pages.begin_block, page * pages.page_blocks)
                c = min(pages.end_block, (page + 1) * pages.page_blocks)
                deliver_counts(table, chosen, a, z, b, c, line[page * pages.page_blocks * pages.block_slots :])
        first = end
        if first >= last:
            return spilled
        spilled = True
        sums = vector(places.sums, (table[RECEPTOR] + 1) * slots, weight)[table[RECEPTOR] * slots :]
        add_counts(sums[low:high], line[low:high], weight)


@compiled
def _enqueue(tables, weights, spikes, offsets, step, at, pages, queue, request):
    """Add the rows of the spikes of `step`, whose offsets in the log begin at `at`, to the queue."""
    for p in range(tables.shape[0]):
        table = tables[p]
        if table[FORM] != QUEUE:
            continue
        if step < table[SINCE] or step >= table[UNTIL]:
            continue
        entry = at + table[SOURCE]
        for b in range(table[BEGIN_BLOCK], table[END_BLOCK]):
            fired = spikes[b, offsets[b, entry] : offsets[b, entry + 1]]
            if fired.size:
                for page in range(
                    pages.begin_block // pages.page_blocks, (pages.end_block - 1) // pages.page_blocks + 1
                ):
                    if not reaches(table, page):
                        continue
                    request[0] = step
                    request[1] = max(pages.begin_block, page * pages.page_blocks)
                    request[2] = min(pages.end_block, (page + 1) * pages.page_blocks)
                    request[3] = (table[RECEPTOR] * pages.blocks + page * pages.page_blocks) * pages.block_slots
                    request[4] = weights.ctypes.data + p * weights.itemsize
                    call(table[READ], table, request, fired, queue)


@compiled
def _sample(units, probes, step, pages, real):
    """Copy the probed units that lie in this thread's blocks, for the probes that sample in this step."""
    for k in range(probes.shape[0]):
        probe = probes[k]
        if step % probe[P_INTERVAL]:
            continue
        sample = step // probe[P_INTERVAL]
        unit = units[probe[P_POPULATION]]
        n = probe[P_COUNT]
        states = unit[STATES]
        part = unit[PART]
        shift = unit[SHIFT]
        chosen = vector(probe[P_UNITS], n, np.int32(0))
        out = vector(probe[P_OUT], (sample + 1) * n, real)[sample * n :]
        state = vector(unit[STATE], states * unit[SIZE], real)
        for i in range(n):
            block = (chosen[i] + shift) // part
            if not pages.begin_block <= block < pages.end_block:
                continue
            if unit[BUNDLE_SIZE]:
                row = unit[STATE] + probe[P_ROW] * unit[BUNDLE_SIZE] * out.itemsize
                out[i] = vector(row, unit[SIZE], real)[chosen[i]]
            else:
                begin = block * part - shift
                first = begin + (chosen[i] - begin) // PIECE * PIECE
                size = min(PIECE, min(begin + part, unit[SIZE]) - first)
                out[i] = state[states * first + probe[P_ROW] * size + chosen[i] - first]


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
def _advance(units, members, input_weights, plastic, posts, spikes, offsets, moment, pages, places, sums):
    """Step the populations of this thread's blocks and append the spikes of each block to its log."""
    entries = members.shape[1]
    room = spikes.shape[1]
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
                ends = vector(offsets.ctypes.data + (b * offsets.shape[1] + at + 1) * 8, count, np.int64(0))
                used = _step_neurons(units[p], p, b, input_weights, moment, pages, places, log_at, used, ends)
                if posts.shape[0]:
                    for k in range(count):
                        unit = units[p]
                        if unit[MEMBERS]:
                            unit = units[vector(unit[NUMBERS], count, np.int64(0))[k]]
                        if unit[FIRST_POST] < unit[LAST_POST]:
                            _learn_targets(unit, plastic, posts, spikes, offsets, entries, b, at + k, context, sums)
            elif units[p, KIND] == EVENTS:
                used = _play(units[p], b, moment.step, log_at, used, pages.blocks)
                offsets[b, at + 1] = used
            else:
                used = _draw(units[p], b, moment, places, log_at, used)
                offsets[b, at + 1] = used
            e += count


@compiled
def _sum_inputs(unit, first, n, slot, input_weights, moment, places):
    """Sum the inputs of n units of a population from `first` on into [receptors, n] at `places.x`.

    Args:
        slot: of unit 0, were it in this block.
    """
    slots = places.slots
    real = input_weights.dtype.type(0)
    width = input_weights.itemsize
    low = slot + first
    written = 0
    for t in range(unit[FIRST_INPUT], unit[LAST_INPUT]):
        entry = vector(places.inputs + t * INPUT_COLUMNS * 8, INPUT_COLUMNS, np.int64(0))
        kind = entry[I_KIND]
        weight = input_weights[t]
        if kind <= INPUT_SUMS and not vector(places.due + entry[I_INDEX], 1, np.uint8(0))[0]:
            continue
        receptor = entry[I_RECEPTOR]
        x = vector(places.x + receptor * n * width, n, real)
        fresh = not written >> receptor & 1
        written |= 1 << receptor
        if fresh and kind not in (INPUT_COUNTS, INPUT_FIXED):
            clear(x)
        if kind == INPUT_COUNTS:
            counts = vector(places.counts + entry[I_INDEX] * slots + low, n, np.uint8(0))
            if fresh:
                set_counts(x, counts, weight)
            else:
                add_counts(x, counts, weight)
        elif kind == INPUT_SUMS:
            add_sums(x, vector(places.sums + (receptor * slots + low) * width, n, real))
        elif kind == INPUT_QUEUE:
            line = moment.step % places.depth * places.queue_row + receptor * slots + low
            add_sums(x, vector(places.queue + line * width, n, real))
        elif kind == INPUT_FIXED:
            fixed = vector(places.fixed + (receptor * slots + low) * 4, n, np.int32(0))
            if fresh:
                set_fixed(x, fixed, weight)
            else:
                add_fixed(x, fixed, weight)
        elif kind == INPUT_CALLED:
            drawing = vector(places.drawing, CALL_ENTRIES, np.int64(0))
            drawing[A_FIRST] = first
            drawing[A_STEP] = moment.step
            drawing[A_DRAW] = moment.draw
            drawing[A_DRAWN] = 0
            words = vector(places.words, PIECE, np.uint32(0))
            if entry[I_UNITS]:
                # A member of a bundle: units are counted from its own first.
                drawing[A_FIRST] = 0
                x = vector(places.x + (receptor * n + entry[I_FIRST]) * width, entry[I_UNITS], real)
            call(entry[I_CALLED], vector(entry[I_RECORD], RECORD_COLUMNS, np.int64(0)), drawing, words, x)
            drawn = vector(places.drawn + entry[I_INDEX] * 8, 1, np.int64(0))
            drawn[0] += drawing[A_DRAWN]
    for receptor in range(unit[RECEPTORS]):
        if not written >> receptor & 1:
            clear(vector(places.x + receptor * n * width, n, real))


@compiled
def _step_neurons(unit, p, block, input_weights, moment, pages, places, log_at, used, ends):
    """Step the neurons that a population, or a bundle of several, has in a block; return the new length of the log.

    Args:
        ends: int64 [1], or [members of the bundle], receives where the spikes of each population end in the log.
    """
    begin = block * unit[PART] - unit[SHIFT]
    end = min(begin + unit[PART], unit[SIZE])
    slot = block * (pages.block_slots - unit[PART]) + unit[OFFSET]
    real = input_weights.dtype.type(0)
    width = input_weights.itemsize
    constants = vector(unit[CONSTANT], unit[CONSTANTS], real)
    # Which pieces are calm or rest, one byte each.
    pieces = (unit[PART] + PIECE - 1) // PIECE
    rests = vector(unit[RESTS] + block * pieces, pieces if unit[RESTS] else 0, np.uint8(0))
    for first in range(begin, end, PIECE):
        n = min(PIECE, end - first)
        state_at = unit[STATE] + unit[STATES] * first * width
        k = (first - begin) // PIECE
        # Silent: nothing arrives at the piece. At rest, it is passed over.
        silent = False
        watched = rests.size > 0 and (rests[k] != BUSY or moment.step % LOOK_EVERY == 0)
        if watched:
            silent = not _arrives(unit, slot + first, n, moment, places, width)
            if silent and rests[k] == RESTING:
                continue
        # Now and then a silent piece is compared with the step before, to see whether it rests.
        compares = silent and moment.step % CHECK_EVERY == 0
        if compares:
            copy_bytes(state_at, places.former, unit[STATES] * n * width)
        is_quiet = silent and unit[QUIET] and rests[k] == CALM
        if not is_quiet:
            _sum_inputs(unit, first, n, slot, input_weights, moment, places)
        summed = matrix(places.x, unit[RECEPTORS], n, real)
        state = matrix(state_at, unit[STATES], n, real)
        before = vector(places.before, n, real)
        if unit[COUNTED]:
            for i in range(n):
                before[i] = state[unit[MEMBRANE], i]
        spiked = vector(places.spiked, n, np.uint8(0))
        function = unit[QUIET] if is_quiet else unit[STEP]
        if unit[BY_UNIT]:
            own = matrix(unit[CONSTANT] + unit[CONSTANTS] * first * width, unit[CONSTANTS], n, real)
            if unit[DRIVEN]:
                own = _drive(own, summed[unit[RECEPTORS] - 1])
            call(function, state, summed, own, spiked)
        else:
            call(function, state, summed, constants, spiked)
        # Its state for the next step, and what is counted and read of this one.
        fires = True
        if watched:
            fires = any_bit(places.spiked, n)
            rests[k] = _rest_of(unit, state_at, n, fires, is_quiet, compares, places, width)
        if unit[COUNTED]:
            _count_changes(unit, p, moment.step, before, state[unit[MEMBRANE]], places)
        if unit[VOLTAGES]:
            voltages = vector(unit[VOLTAGES] + ((moment.step + 1) % 2 * unit[SIZE] + first) * 8, n, 0.0)
            for i in range(n):
                voltages[i] = state[unit[MEMBRANE], i]
        # Units that fired go into the log; of a bundle, which is one piece, member by member.
        if not fires:
            continue
        if unit[HEARD]:
            _drop(spiked, vector(unit[HEARD] + first, n, np.uint8(0)))
        if unit[MEMBERS]:
            used = _collect_members(unit, places.spiked, log_at, used, ends)
            return used
        clear(vector(places.spiked + n, -n % 64, np.uint8(0)))
        used = collect(places.spiked, n, first, log_at, used)
    for k in range(ends.size):
        ends[k] = used
    return used


@compiled
def _collect_members(unit, spiked, log_at, used, ends):
    """Append the units of each member of a bundle whose flags are set to the log; return its new length."""
    firsts = vector(unit[FIRSTS], ends.size + 1, np.int64(0))
    for k in range(ends.size):
        used = collect_within(spiked + firsts[k], firsts[k + 1] - firsts[k], log_at, used)
        ends[k] = used
    return used


@compiled
def _count_changes(unit, p, step, before, after, places):
    """Count the membranes of a piece that a step changed, those of each member of a bundle for itself."""
    if not unit[MEMBERS]:
        changes = vector(places.changes + p * 8, 1, np.int64(0))
        changes[0] += before.size if step == 0 else _changed(before, after)
        return
    firsts = vector(unit[FIRSTS], unit[MEMBERS] + 1, np.int64(0))
    numbers = vector(unit[NUMBERS], unit[MEMBERS], np.int64(0))
    for k in range(numbers.size):
        a = firsts[k]
        z = firsts[k + 1]
        changes = vector(places.changes + numbers[k] * 8, 1, np.int64(0))
        changes[0] += z - a if step == 0 else _changed(before[a:z], after[a:z])


def compile_step(real):
    """Compile the part of `run` that steps neurons, a third of it, for states of the type `real`."""
    unit = np.zeros(UNIT_COLUMNS, np.int64)
    places = np.zeros(1, PLACES)[0]
    ends = np.zeros(1, np.int64)
    arguments = (unit, 0, 0, np.zeros(0, real), Moment(0, 0, 0), Pages(0, 0, 1, 64, 1), places, 0, 0, ends)
    _step_neurons.within().compile(tuple(numba.typeof(argument) for argument in arguments))


@compiled
def _drive(constants, current):
    """Return [k, n] the constants of a step, the first third of `constants`.

    They are those without current, the second third, and their change by 1 A, the last, times the current [n].
    """
    k = constants.shape[0] // 3
    for r in range(k):
        for i in range(current.size):
            constants[r, i] = constants[k + r, i] + constants[2 * k + r, i] * current[i]
    return constants[:k]


@compiled
def _arrives(unit, low, n, moment, places, width):
    """Return whether anything arrives at the n slots of a population from `low` on; none of its inputs is CALLED."""
    slots = places.slots
    for t in range(unit[FIRST_INPUT], unit[LAST_INPUT]):
        entry = vector(places.inputs + t * INPUT_COLUMNS * 8, INPUT_COLUMNS, np.int64(0))
        kind = entry[I_KIND]
        if kind <= INPUT_SUMS and not vector(places.due + entry[I_INDEX], 1, np.uint8(0))[0]:
            continue
        at = entry[I_RECEPTOR] * slots + low
        if kind == INPUT_COUNTS:
            found = any_bit(places.counts + entry[I_INDEX] * slots + low, n)
        elif kind == INPUT_SUMS:
            found = any_bit(places.sums + at * width, n * width)
        elif kind == INPUT_FIXED:
            found = any_bit(places.fixed + at * 4, n * 4)
        else:
            found = any_bit(places.queue + (moment.step % places.depth * places.queue_row + at) * width, n * width)
        if found:
            return True
    return False


@compiled
def _rest_of(unit, state_at, n, fires, is_quiet, compares, places, width):
    """Return what is known of a piece after a step."""
    # A neuron that fires in every step may return to the same state.
    if fires:
        return BUSY
    if not is_quiet and unit[HELD] >= 0 and any_bit(state_at + unit[HELD] * n * width, n * width):
        return BUSY
    if compares and not differs(state_at, places.former, unit[STATES] * n * width):
        return RESTING
    return CALM


@compiled
def _drop(spiked, heard):
    """Clear the flags of units that are not heard."""
    for i in range(spiked.size):
        spiked[i] &= heard[i]


@compiled
def _changed(before, after):
    total = 0
    for i in range(before.size):
        total += before[i] != after[i]
    return total


@compiled
def _play(unit, block, step, log_at, used, blocks):
    """Append the events of a recording up to this step to the log."""
    limits = vector(unit[EVENT_BLOCKS], blocks + 1, np.int64(0))
    steps = vector(unit[EVENT_STEPS], limits[blocks], np.int32(0))
    events = vector(unit[EVENT_UNITS], limits[blocks], np.int32(0))
    cursors = vector(unit[CURSORS], blocks, np.int64(0))
    i = limits[block] + cursors[block]
    log = vector(log_at, used + limits[block + 1] - i, np.int32(0))
    while i < limits[block + 1] and steps[i] <= step:
        log[used] = events[i]
        used += 1
        i += 1
    cursors[block] = i - limits[block]
    return used


@compiled
def _draw(unit, block, moment, places, log_at, used):
    """Append the spikes of Poisson sources to the log, a unit as often as it fires."""
    begin = block * unit[PART] - unit[SHIFT]
    end = min(begin + unit[PART], unit[SIZE])
    if unit[MAX_SPIKES] == 0:
        return used
    log = vector(log_at, used + unit[PART] * unit[MAX_SPIKES], np.int32(0))
    drawing = vector(places.drawing, CALL_ENTRIES, np.int64(0))
    words = vector(places.words, PIECE, np.uint32(0))
    for first in range(begin, end, words.size):
        n = min(words.size, end - first)
        drawing[A_FIRST] = first
        drawing[A_STEP] = moment.step
        drawing[A_DRAW] = moment.draw
        drawing[A_DRAWN] = n
        call(unit[CALLED], vector(unit[RECORD], RECORD_COLUMNS, np.int64(0)), drawing, words, log[used:])
        used += drawing[A_DRAWN]
    return used
