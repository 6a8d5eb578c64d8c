"""The run on the grid: one compiled loop for every network and any number of threads, driven by tables of addresses.

The network is cut into blocks (see `deliver`). A thread owns some blocks: it sums the weights that arrive there, steps
the neurons, and appends the spikes of each block to the log of that block. Threads meet once in an interval, which is
as long as the shortest delay, so that all spikes that can arrive in it are known when it begins.

The order in a step: probes sample the state; arriving weights are summed, and arriving spikes change plastic weights
(`plastic`); each population, in pieces that stay in the first cache, reads its inputs, draws its Poisson input, and
steps its neurons, or draws or reads the spikes of its source; neurons that fired change the plastic weights onto them.
A target receives its additions in the order (step, row table, source), whatever the number of threads and wherever the
run is cut. Results depend on neither. docs/engine.md has the picture.

The column names of the tables are the constants below; `neurosim.engine.grid.tables` fills them.
"""

from __future__ import annotations

import numpy as np

from ...tools.compiled import compiled
from ...tools.intrinsics import barrier
from ...tools.pointers import call, matrix, vector
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
    MATRIX,
    QUEUE,
    READ_ENTRIES,
    RECEPTOR,
    ROW_TABLE_COLUMNS,
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
    deliver_counts,
    deliver_sums,
    reaches,
    schedule,
    set_counts,
)
from .deliver import CALLED as READ
from .exchange import ASKED_ENTRIES as EXCHANGE_ENTRIES
from .exchange import CALLED as EXCHANGED
from .exchange import LOG_START, STEPS, WIDTH
from .exchange import STEP as EXCHANGE_STEP
from .stimuli import A_DRAW, A_DRAWN, A_FIRST, A_STEP, ASKED_ENTRIES, RECORD_COLUMNS

# Units stepped at a time: their sums and flags stay in the first cache. Their states are [states, n], one piece after
# another, so that a model sees whole arrays.
PIECE = 2048

# Populations, int64 [populations, UNIT_COLUMNS]. Columns after PART are 0 where a kind does not use them.
NEURONS = 0
EVENTS = 1
POISSON = 2
(
    KIND,
    SIZE,
    PART,  # units in a block, a multiple of 64; the last block that has any may hold fewer
    SHIFT,  # units that the blocks before the first with any would hold: unit u is in block (u + SHIFT) // PART
    OFFSET,  # SHIFT, and slots of a block before this population: u is at slot b * (block slots - PART) + OFFSET + u
    STEP,  # address of the neuron's compiled step
    STATES,
    RECEPTORS,
    CONSTANTS,
    STATE,  # address: real, [STATES, n] for each piece of n units
    CONSTANT,  # address: real [CONSTANTS], or as STATE [CONSTANTS, n] for each piece of n units
    BY_UNIT,  # whether it is the second
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
    UNIT_COLUMNS,
) = range(27)

# What a population adds to its inputs, int64 [inputs, INPUT_COLUMNS], and a real weight for each.
INPUT_COUNTS, INPUT_SUMS, INPUT_QUEUE, INPUT_FIXED, INPUT_CALLED = range(5)
(
    I_KIND,
    I_INDEX,  # the counter, the receptor's sums counted on from the last counter, or the stimulus
    I_RECEPTOR,
    I_CALLED,  # address of a function of `stimuli`, and of its parameters
    I_RECORD,
    INPUT_COLUMNS,
) = range(6)

# State variables to record, int64 [probes, PROBE_COLUMNS].
P_POPULATION, P_ROW, P_INTERVAL, P_UNITS, P_COUNT, P_OUT, PROBE_COLUMNS = range(7)


@compiled
def run(  # noqa: PLR0912, PLR0915 - the event loop
    thread,
    threads,
    begin_block,
    end_block,
    exchange,
    sync,
    spins,
    first,
    last,
    log_start,
    interval,
    trial,
    units,
    tables,
    table_weights,
    inputs,
    input_weights,
    plastic,
    posts,
    members,
    probes,
    page_blocks,
    block_slots,
    max_spikes,
    log,
    log_offsets,
    counts,
    sums,
    queue,
    queued,
    fixed,
    zero_row,
    changes,
    drawn,
    last_step,
):
    """Run steps `first` to `last - 1` as thread `thread` of `threads`; write the step reached to `last_step`.

    That is below `last` if a log could become full.

    Args:
        begin_block, end_block: the blocks of this thread.
        exchange: int64, the record of `exchange` where other processes own other blocks; zeros where none do.
        sync, spins: see `tools.intrinsics.barrier`.
        log_start: the first step in the log.
        interval: number of steps from one meeting of the threads to the next, at most the shortest delay.
        trial: number of the independent stream of random input, < 2^31.
        units, tables, inputs, plastic, probes: the tables; `table_weights`, `input_weights`: reals, one a row.
        posts: int64 [posts, POST_COLUMNS], see `plastic`. members: int64 [blocks, entries], the population of each
            entry of a step in the log of a block; -1 for none.
        page_blocks, block_slots: blocks of a page, slots of a block.
        max_spikes: int64 [blocks], upper bound of the spikes of a block in a step.
        log, log_offsets: see `deliver.schedule`; they hold the steps from `log_start` to `first - 1`.
        counts: uint8 [counters, slots]. sums: real [receptors, slots]. fixed: int32 [receptors, slots]. All zero
            between steps.
        queue: real [depth, receptors * slots]. `queued`: spikes of steps before it are in the queue.
        zero_row: address of a row of zero bits.
        changes: int64 [threads, populations], membrane entries that changed.
        drawn: int64 [threads, stimuli], spikes drawn for each stimulus.
        last_step: int64 [threads].
    """
    blocks = log.shape[0]
    populations = members.shape[1]
    real = sums.dtype.type(0)
    receptors = max(sums.shape[0], 1)
    slots = sums.shape[1]
    width = sums.itemsize
    # Addresses: views of arrays are counted, a few nanoseconds each, which the pieces of a step would feel.
    counts_at = counts.ctypes.data
    sums_at = sums.ctypes.data
    queue_at = queue.ctypes.data
    fixed_at = fixed.ctypes.data
    units_at = units.ctypes.data
    tables_at = tables.ctypes.data
    inputs_at = inputs.ctypes.data
    log_at = log.ctypes.data
    changes_at = changes.ctypes.data + thread * changes.shape[1] * 8
    drawn_at = drawn.ctypes.data + thread * drawn.shape[1] * 8
    rows = np.empty(1024, np.int64)
    begin = np.empty((interval, tables.shape[0] + 1), np.int64)
    again = np.empty(MAX_ROWS, np.int64)
    row_words = (block_slots * blocks + 511) // 512 * 8
    room = np.empty(8 * row_words + 8, np.uint64)
    planes = matrix((room.ctypes.data + 63) // 64 * 64, 8, row_words, np.uint64(0))
    x = np.empty(receptors * PIECE, sums.dtype)
    before = np.empty(PIECE, sums.dtype)
    spiked = np.zeros(PIECE + 64, np.uint8)
    words = np.empty(PIECE, np.uint32)
    x_at = x.ctypes.data
    before_at = before.ctypes.data
    spiked_at = spiked.ctypes.data
    words_at = words.ctypes.data
    asked = np.zeros(ASKED_ENTRIES, np.int64)
    asked_at = asked.ctypes.data
    given = np.zeros(READ_ENTRIES, np.int64)
    # Which received anything in this step: counters, then the sums of each receptor.
    due = np.zeros(counts.shape[0] + receptors, np.uint8)
    due_at = due.ctypes.data
    context = np.empty(learn.CONTEXT_ENTRIES, np.int64)
    trade = np.zeros(EXCHANGE_ENTRIES, np.int64)
    reading = np.empty(groups.CONTEXT_ENTRIES, np.int64)
    reading[groups.POPULATIONS] = populations
    reading[groups.LOG_START] = log_start
    reading[groups.STEP] = first
    reading[groups.THREAD] = thread
    reading[groups.BEGIN_PAGE] = begin_block // page_blocks
    if begin_block < end_block:
        reading[groups.END_PAGE] = (end_block - 1) // page_blocks + 1
    else:
        reading[groups.END_PAGE] = 0
    reading[groups.PAGE_SLOTS] = page_blocks * block_slots
    reading[groups.SLOTS] = slots
    reading[groups.OPENS] = 1
    n_tables = tables.shape[0]
    queues = False
    for p in range(n_tables):
        queues |= tables[p, FORM] == QUEUE
        if tables[p, FORM] == GROUPS:
            reading[groups.SUMS] = sums_at
            call(tables[p, READ], tables[p], reading, log, log_offsets)
    reading[groups.OPENS] = 0
    step = first
    epoch = 0
    while step < last:
        steps = min(interval, last - step)
        full = False
        for b in range(blocks):
            full |= log_offsets[b, (step - log_start) * populations] + max_spikes[b] * steps > log.shape[1]
        if full:
            break
        due_rows = schedule(
            tables_at, n_tables, log, log_offsets, populations, log_start, step, steps, zero_row, rows, begin
        )
        if due_rows < 0:
            rows = np.empty(-2 * due_rows, np.int64)
            schedule(tables_at, n_tables, log, log_offsets, populations, log_start, step, steps, zero_row, rows, begin)
        for s in range(max(queued, log_start) if queues else step, step):
            _enqueue(
                tables, table_weights, log, log_offsets, populations, log_start, s, begin_block, end_block, page_blocks,
                block_slots, queue, given,
            )  # fmt: skip
        queued = step
        for q in range(steps):
            now = step + q
            for p in range(probes.shape[0]):
                if now % probes[p, P_INTERVAL] == 0:
                    _sample(units, probes[p], now // probes[p, P_INTERVAL], begin_block, end_block, real)
            for i in range(due.size):
                # Plastic synapses add to sums.
                due[i] = i >= counts.shape[0] and plastic.shape[0] > 0
            for p in range(tables.shape[0]):
                table = vector(tables_at + p * ROW_TABLE_COLUMNS * 8, ROW_TABLE_COLUMNS, np.int64(0))
                if table[FORM] == GROUPS:
                    reading[groups.STEP] = now
                    reading[groups.SUMS] = fixed_at + table[RECEPTOR] * slots * 4
                    if width == 8:
                        reading[groups.SUMS] = sums_at + table[RECEPTOR] * slots * 8
                        due[counts.shape[0] + table[RECEPTOR]] = 1
                    call(table[READ], table, reading, log, log_offsets)
                elif table[FORM] <= SUMS and begin[q, p] == begin[q, p + 1]:
                    continue
                elif table[FORM] == SUMS:
                    due[counts.shape[0] + table[RECEPTOR]] = 1
                    for page in range(begin_block // page_blocks, (end_block - 1) // page_blocks + 1):
                        if not reaches(table, page):
                            continue
                        low = max(begin_block, page * page_blocks)
                        high = min(end_block, (page + 1) * page_blocks)
                        base = page * page_blocks * block_slots
                        line = vector(sums_at + (table[RECEPTOR] * slots + base) * width, slots - base, real)
                        deliver_sums(table, rows, begin[q, p], begin[q, p + 1], low, high, table_weights[p], line)
                elif table[FORM] != QUEUE:
                    due[table[COUNTER]] = 1
                    due[counts.shape[0] + table[RECEPTOR]] |= _deliver_bytes(
                        table, table_weights[p], rows, begin[q, p], begin[q, p + 1], begin_block, end_block,
                        page_blocks, block_slots, planes, counts_at, sums_at, slots, zero_row, again, given,
                    )  # fmt: skip
            for k in range(plastic.shape[0]):
                target = units[plastic[k, learn.TARGET]]
                learn.set_context(
                    context, thread, populations, log_start, now, begin_block, end_block, target[PART], target[SHIFT],
                    target[OFFSET], block_slots, trial,
                )  # fmt: skip
                learn.call_plastic(plastic[k, learn.ON_PRE], plastic[k], context, log, log_offsets, sums)
            draw = trial << 32 | now
            for b in range(begin_block, end_block):
                used = log_offsets[b, (now - log_start) * populations]
                for e in range(populations):
                    p = members[b, e]
                    at = (now - log_start) * populations + e + 1
                    if p < 0:
                        log_offsets[b, at] = used
                        continue
                    unit = vector(units_at + p * UNIT_COLUMNS * 8, UNIT_COLUMNS, np.int64(0))
                    if unit[KIND] == NEURONS:
                        used = _advance(
                            unit, p, b, b * block_slots, slots, now, draw, inputs_at, input_weights, due_at, counts_at,
                            sums_at, queue_at, queue.shape, fixed_at, x_at, before_at, spiked_at, words_at, changes_at,
                            drawn_at, log_at + b * log.shape[1] * 4, used, asked_at, real,
                        )  # fmt: skip
                        log_offsets[b, at] = used
                        for i in range(unit[FIRST_POST], unit[LAST_POST]):
                            # Spikes reach the synapses that they come from at once, or after a while.
                            k = posts[i, learn.POST_ENTRY]
                            past = at - 1 - posts[i, learn.POST_DELAY] * populations
                            if past >= 0 and log_offsets[b, past + 1] > log_offsets[b, past]:
                                context[learn.FIRST] = log_offsets[b, past]
                                context[learn.LAST] = log_offsets[b, past + 1]
                                learn.call_plastic(
                                    posts[i, learn.POST_CALLED], plastic[k], context, log[b:], log_offsets, sums
                                )
                    elif unit[KIND] == EVENTS:
                        used = _play(unit, b, now, log_at + b * log.shape[1] * 4, used, blocks)
                    else:
                        used = _draw(unit, b, now, draw, words, log_at + b * log.shape[1] * 4, used, asked_at)
                    log_offsets[b, at] = used
        epoch += 1
        if threads > 1:
            barrier(sync, thread, threads, epoch, spins)
        if exchange[EXCHANGED]:
            if thread == 0:
                trade[EXCHANGE_STEP] = step
                trade[STEPS] = steps
                trade[LOG_START] = log_start
                trade[WIDTH] = populations
                call(exchange[EXCHANGED], exchange, trade, log, log_offsets)
            epoch += 1
            if threads > 1:
                barrier(sync, thread, threads, epoch, spins)
        step += steps
    # Spikes of the last steps are not queued yet: `queued` of the next call says so.
    last_step[thread] = step
    # Numba frees an array after its last mention, and only the addresses of these are used above: keep them alive.
    alive = due.size + again.size + room.size + x.size + before.size + spiked.size
    return alive + words.size + asked.size


@compiled
def _deliver_bytes(
    table, weight, rows, first, last, begin_block, end_block, page_blocks, block_slots, planes, counts_at,
    sums_at, slots, zero_row, again, given,
):  # fmt: skip
    """Add rows of BITS or COUNTS, in batches that cannot overflow a byte; a full batch is added to the sums.

    Returns whether a batch was full.
    """
    line = vector(counts_at + table[COUNTER] * slots, slots, np.uint8(0))
    low = begin_block * block_slots
    high = end_block * block_slots
    spilled = False
    while True:
        end = min(last, first + table[BATCH])
        chosen = rows
        a = first
        z = end
        if table[FORM] == BITS:
            if end > first:
                given[0] = first
                given[1] = end
                given[2] = low
                given[3] = high
                call(table[READ], given, rows, planes, line)
            chosen = again
            a = 0
            z = 0
            if table[CUTS]:
                # The synapses whose bit was set already are listed.
                for i in range(first, end):
                    if rows[i] != zero_row:
                        again[z] = (rows[i] - table[MATRIX]) // table[STRIDE]
                        z += 1
        if z > a:
            for page in range(begin_block // page_blocks, (end_block - 1) // page_blocks + 1):
                b = max(begin_block, page * page_blocks)
                c = min(end_block, (page + 1) * page_blocks)
                deliver_counts(table, chosen, a, z, b, c, line[page * page_blocks * block_slots :])
        first = end
        if first >= last:
            return spilled
        spilled = True
        sums = vector(sums_at, (table[RECEPTOR] + 1) * slots, weight)[table[RECEPTOR] * slots :]
        add_counts(sums[low:high], line[low:high], weight)


@compiled
def _enqueue(
    tables, table_weights, log, log_offsets, populations, log_start, step, begin_block, end_block, page_blocks,
    block_slots, queue, given,
):  # fmt: skip
    """Add the rows of the spikes of `step` to the queue."""
    blocks = log.shape[0]
    for p in range(tables.shape[0]):
        table = tables[p]
        if table[FORM] != QUEUE:
            continue
        if step < table[SINCE] or step >= table[UNTIL]:
            continue
        at = (step - log_start) * populations + table[SOURCE]
        for b in range(table[BEGIN_BLOCK], table[END_BLOCK]):
            fired = log[b, log_offsets[b, at] : log_offsets[b, at + 1]]
            if fired.size:
                for page in range(begin_block // page_blocks, (end_block - 1) // page_blocks + 1):
                    if not reaches(table, page):
                        continue
                    low = max(begin_block, page * page_blocks)
                    high = min(end_block, (page + 1) * page_blocks)
                    base = table[RECEPTOR] * block_slots * blocks + page * page_blocks * block_slots
                    given[0] = step
                    given[1] = low
                    given[2] = high
                    given[3] = base
                    given[4] = table_weights.ctypes.data + p * table_weights.itemsize
                    call(table[READ], table, given, fired, queue)


@compiled
def _sample(units, probe, sample, begin_block, end_block, real):
    """Copy the probed units that lie in this thread's blocks."""
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
        if begin_block <= block < end_block:
            begin = block * part - shift
            first = begin + (chosen[i] - begin) // PIECE * PIECE
            size = min(PIECE, min(begin + part, unit[SIZE]) - first)
            out[i] = state[states * first + probe[P_ROW] * size + chosen[i] - first]


@compiled
def _advance(
    unit, p, block, slot, slots, step, draw, inputs_at, input_weights, due_at, counts_at, sums_at, queue_at, queue,
    fixed_at, x_at, before_at, spiked_at, words_at, changes_at, drawn_at, log_at, used, asked_at, real,
):  # fmt: skip
    """Step the neurons that a population has in a block; returns the new length of the log."""
    begin = block * unit[PART] - unit[SHIFT]
    end = min(begin + unit[PART], unit[SIZE])
    slot += unit[OFFSET] - block * unit[PART]  # of unit 0, were it here
    width = input_weights.itemsize
    constants = vector(unit[CONSTANT], unit[CONSTANTS], real)
    words = vector(words_at, PIECE, np.uint32(0))
    for first in range(begin, end, PIECE):
        n = min(PIECE, end - first)
        summed = matrix(x_at, unit[RECEPTORS], n, real)
        written = 0
        for t in range(unit[FIRST_INPUT], unit[LAST_INPUT]):
            entry = vector(inputs_at + t * INPUT_COLUMNS * 8, INPUT_COLUMNS, np.int64(0))
            weight = input_weights[t]
            if entry[I_KIND] <= INPUT_SUMS and not vector(due_at + entry[I_INDEX], 1, np.uint8(0))[0]:
                continue
            receptor = entry[I_RECEPTOR]
            low = slot + first
            x = vector(x_at + receptor * n * width, n, real)
            fresh = not written >> receptor & 1
            written |= 1 << receptor
            if entry[I_KIND] == INPUT_COUNTS and fresh:
                set_counts(x, vector(counts_at + entry[I_INDEX] * slots + low, n, np.uint8(0)), weight)
                continue
            if fresh:
                clear(x)
            if entry[I_KIND] == INPUT_COUNTS:
                add_counts(x, vector(counts_at + entry[I_INDEX] * slots + low, n, np.uint8(0)), weight)
            elif entry[I_KIND] == INPUT_SUMS:
                add_sums(x, vector(sums_at + (receptor * slots + low) * width, n, real))
            elif entry[I_KIND] == INPUT_QUEUE:
                line = step % queue[0] * queue[1] + receptor * slots + low
                add_sums(x, vector(queue_at + line * width, n, real))
            elif entry[I_KIND] == INPUT_FIXED:
                add_fixed(x, vector(fixed_at + (receptor * slots + low) * 4, n, np.int32(0)), weight)
            elif entry[I_KIND] == INPUT_CALLED:
                asked = vector(asked_at, ASKED_ENTRIES, np.int64(0))
                asked[A_FIRST] = first
                asked[A_STEP] = step
                asked[A_DRAW] = draw
                asked[A_DRAWN] = 0
                call(entry[I_CALLED], vector(entry[I_RECORD], RECORD_COLUMNS, np.int64(0)), asked, words, x)
                drawn = vector(drawn_at + entry[I_INDEX] * 8, 1, np.int64(0))
                drawn[0] += asked[A_DRAWN]
        for receptor in range(unit[RECEPTORS]):
            if not written >> receptor & 1:
                clear(vector(x_at + receptor * n * width, n, real))
        state = matrix(unit[STATE] + unit[STATES] * first * width, unit[STATES], n, real)
        before = vector(before_at, n, real)
        if unit[COUNTED]:
            for i in range(n):
                before[i] = state[unit[MEMBRANE], i]
        if unit[BY_UNIT]:
            own = matrix(unit[CONSTANT] + unit[CONSTANTS] * first * width, unit[CONSTANTS], n, real)
            call(unit[STEP], state, summed, own, vector(spiked_at, n, np.uint8(0)))
        else:
            call(unit[STEP], state, summed, constants, vector(spiked_at, n, np.uint8(0)))
        if unit[COUNTED]:
            changes = vector(changes_at + p * 8, 1, np.int64(0))
            changes[0] += n if step == 0 else _changed(before, state[unit[MEMBRANE]])
        if unit[VOLTAGES]:
            voltages = vector(unit[VOLTAGES] + ((step + 1) % 2 * unit[SIZE] + first) * 8, n, 0.0)
            for i in range(n):
                voltages[i] = state[unit[MEMBRANE], i]
        clear(vector(spiked_at + n, -n % 64, np.uint8(0)))
        used = collect(spiked_at, n, first, log_at, used)
    return used


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
def _draw(unit, block, step, draw, words, log_at, used, asked_at):
    """Append the spikes of Poisson sources to the log, a unit as often as it fires."""
    begin = block * unit[PART] - unit[SHIFT]
    end = min(begin + unit[PART], unit[SIZE])
    if unit[MAX_SPIKES] == 0:
        return used
    log = vector(log_at, used + unit[PART] * unit[MAX_SPIKES], np.int32(0))
    asked = vector(asked_at, ASKED_ENTRIES, np.int64(0))
    for first in range(begin, end, words.size):
        n = min(words.size, end - first)
        asked[A_FIRST] = first
        asked[A_STEP] = step
        asked[A_DRAW] = draw
        asked[A_DRAWN] = n
        call(unit[CALLED], vector(unit[RECORD], RECORD_COLUMNS, np.int64(0)), asked, words, log[used:])
        used += asked[A_DRAWN]
    return used
