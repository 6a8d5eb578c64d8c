"""The clocked run: one compiled loop for every network and any number of threads, driven by tables of addresses.

The network is cut into blocks (see `deliver`). A thread owns whole blocks: it sums what arrives there, steps the
neurons, and writes the spikes of each block to that block's log. Threads meet once in an interval, which is as long as
the shortest delay, so that all spikes that can fall due in it are known when it begins.

A step, in this order: probes sample the state; what is due is summed, and changes the weights that learn; each
population, in pieces that stay in the first cache, takes its sums, draws its Poisson input, and steps its neurons, or
draws or reads its source's spikes; those that fired change the weights onto them (`plastic`).
A target receives its additions in the order (step, path, source), whatever the number of threads and wherever the run
is cut. Results depend on neither.

Column names of the tables are the constants below; `neurosim.engine.workspace` fills them.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from ...tools.intrinsics import barrier
from ...tools.pointers import call, matrix, vector
from ...tools.random import group_words, poisson_add
from . import plastic as learn
from .bits import MOST_ROWS
from .deliver import (
    BATCH,
    BITS,
    COUNTER,
    CUTS,
    DELAY,
    FORM,
    GROUPS,
    LINES,
    MATRIX,
    PATH_COLUMNS,
    QUEUE,
    RECEPTOR,
    ROWS,
    SOURCE,
    STARTS,
    STRIDE,
    SUMS,
    clear,
    collect,
    deliver_bits,
    deliver_counts,
    deliver_groups,
    deliver_queue,
    deliver_sums,
    schedule,
    set_counts,
    skip_groups,
    take_counts,
    take_fixed,
    take_sums,
)

# Units stepped at a time: their sums and flags stay in the first cache. Their states are [states, n], one piece after
# another, so that a model sees whole arrays.
PIECE = 2048

# Populations, int64 [populations, UNIT_COLUMNS]. What follows PART is 0 where the kind has no use for it.
NEURONS, EVENTS, POISSON = 0, 1, 2
(
    KIND,
    SIZE,
    PART,  # units in a block, a multiple of 64; the last block that has any may hold fewer
    OFFSET,  # slots of a block before this population
    STEP,  # address of the neuron's compiled step
    STATES,
    RECEPTORS,
    CONSTANTS,
    STATE,  # address: real, [STATES, n] for each piece of n units
    CONSTANT,  # address: real [CONSTANTS], or as STATE [CONSTANTS, n] for each piece of n units
    BY_UNIT,  # whether it is the second
    MEMBRANE,  # the row whose changes are counted
    COUNTED,  # 0: they are not
    FIRST_TAKE,  # rows of the table of takes
    LAST_TAKE,
    EVENT_STEPS,  # address: int32, the step of each event, rising within a block
    EVENT_UNITS,  # address: int32
    EVENT_BLOCKS,  # address: int64 [blocks + 1], which events each block has
    CURSORS,  # address: int64 [blocks], the next event of each block
    THRESHOLDS,  # address: uint32 [THRESHOLD_COUNT], see `tools.random.poisson_thresholds`
    THRESHOLD_COUNT,
    KEY,
    UNIT_COLUMNS,
) = range(23)

# What a population adds to its inputs, int64 [takes, TAKE_COLUMNS], and a real weight for each.
TAKE_COUNTS, TAKE_SUMS, TAKE_QUEUE, TAKE_FIXED, TAKE_POISSON = range(5)
(
    T_KIND,
    T_INDEX,  # the counter, the receptor's sums counted on from the last counter, or the stimulus
    T_RECEPTOR,
    T_KEY,
    T_CERTAIN,  # see `tools.random.passed_thresholds`
    T_THRESHOLDS,  # address
    T_THRESHOLD_COUNT,
    TAKE_COLUMNS,
) = range(8)

# State variables to record, int64 [probes, PROBE_COLUMNS].
P_POPULATION, P_ROW, P_INTERVAL, P_UNITS, P_COUNT, P_OUT, PROBE_COLUMNS = range(7)


@njit(cache=True, nogil=True)
def run(  # noqa: PLR0912, PLR0915 - the event loop
    thread,
    threads,
    sync,
    spins,
    first,
    last,
    origin,
    interval,
    trial,
    units,
    paths,
    path_weights,
    takes,
    take_weights,
    lessons,
    probes,
    page_blocks,
    block_slots,
    most,
    log,
    marks,
    counts,
    sums,
    queue,
    queued,
    fixed,
    filler,
    changes,
    drawn,
    reached,
):
    """Thread `thread` of `threads` runs steps `first` to `last - 1`; all of them write the step they came to.

    That is below `last` where a log could become full.

    Args:
        sync, spins: see `tools.intrinsics.barrier`.
        origin: the first step in the log.
        interval: steps from one meeting of the threads to the next, at most the shortest delay.
        trial: which of the independent streams of random input to draw from, < 2^31.
        units, paths, takes, lessons, probes: the tables; `path_weights`, `take_weights`: reals, one a row.
        page_blocks, block_slots: blocks of a page, slots of a block.
        most: int64 [blocks], the most spikes of a block in a step.
        log, marks: see `deliver.schedule`; steps from `origin` to `first - 1` are in them.
        counts: uint8 [counters, slots]. sums: real [receptors, slots]. fixed: int32 [receptors, slots]. All zero
            between steps.
        queue: real [depth, receptors * slots]. `queued`: spikes of steps before it are in the queue.
        filler: address of a bit row of zeros.
        changes: int64 [threads, populations], membrane entries that changed.
        drawn: int64 [threads, stimuli], spikes drawn for each stimulus.
        reached: int64 [threads].
    """
    blocks, populations = log.shape[0], units.shape[0]
    begin_block, end_block = thread * blocks // threads, (thread + 1) * blocks // threads
    real = sums.dtype.type(0)
    receptors, slots, width = max(sums.shape[0], 1), sums.shape[1], sums.itemsize
    # Addresses: views of arrays are counted, a few nanoseconds each, which the pieces of a step would feel.
    counts_at, sums_at, queue_at, fixed_at = counts.ctypes.data, sums.ctypes.data, queue.ctypes.data, fixed.ctypes.data
    units_at, paths_at, takes_at, log_at = units.ctypes.data, paths.ctypes.data, takes.ctypes.data, log.ctypes.data
    changes_at = changes.ctypes.data + thread * changes.shape[1] * 8
    drawn_at = drawn.ctypes.data + thread * drawn.shape[1] * 8
    rows = np.empty(1024, np.int64)
    begin = np.empty((interval, paths.shape[0] + 1), np.int64)
    again = np.empty(MOST_ROWS, np.int64)
    row_words = (block_slots * blocks + 511) // 512 * 8
    room = np.empty(8 * row_words + 8, np.uint64)
    planes = matrix((room.ctypes.data + 63) // 64 * 64, 8, row_words, np.uint64(0))
    x = np.empty(receptors * PIECE, sums.dtype)
    before = np.empty(PIECE, sums.dtype)
    spiked = np.zeros(PIECE + 64, np.uint8)
    words, numbers = np.empty(PIECE, np.uint32), np.empty(256, np.int32)
    x_at, before_at, spiked_at = x.ctypes.data, before.ctypes.data, spiked.ctypes.data
    words_at, numbers_at = words.ctypes.data, numbers.ctypes.data
    none = np.empty(0, sums.dtype)
    # What has got anything in this step: counters, then the sums of each receptor.
    due = np.zeros(counts.shape[0] + receptors, np.uint8)
    due_at = due.ctypes.data
    where = np.empty(learn.WHERE_ENTRIES, np.int64)
    cursors, heads, tails, born = _reading(
        paths, log, marks, populations, origin, first, begin_block, end_block, page_blocks
    )
    n_paths, queues = paths.shape[0], False
    for p in range(n_paths):
        queues |= paths[p, FORM] == QUEUE
    step, epoch = first, 0
    while step < last:
        steps = min(interval, last - step)
        full = False
        for b in range(blocks):
            full |= marks[b, (step - origin) * populations] + most[b] * steps > log.shape[1]
        if full:
            break
        due_rows = schedule(paths_at, n_paths, log, marks, populations, origin, step, steps, filler, rows, begin)
        if due_rows < 0:
            rows = np.empty(-2 * due_rows, np.int64)
            schedule(paths_at, n_paths, log, marks, populations, origin, step, steps, filler, rows, begin)
        for s in range(max(queued, origin) if queues else step, step):
            _enqueue(
                paths, path_weights, log, marks, populations, origin, s, begin_block, end_block, page_blocks,
                block_slots, queue, receptors, real,
            )  # fmt: skip
        queued = step
        for q in range(steps):
            now = step + q
            for p in range(probes.shape[0]):
                if now % probes[p, P_INTERVAL] == 0:
                    _sample(units, probes[p], now // probes[p, P_INTERVAL], begin_block, end_block, real)
            for i in range(due.size):
                # Weights that learn are added to sums by what stands in the table of lessons.
                due[i] = i >= counts.shape[0] and lessons.shape[0] > 0
            for p in range(paths.shape[0]):
                path = vector(paths_at + p * PATH_COLUMNS * 8, PATH_COLUMNS, np.int64(0))
                if path[FORM] == GROUPS:
                    new = _fired(path, marks, populations, origin, now - 1)
                    if heads[p, 0] + new > cursors.shape[2]:
                        cursors = _room(cursors, heads, tails, new)
                    _read_groups(
                        path, p, log, marks, populations, origin, now, new, begin_block // page_blocks, page_blocks,
                        block_slots, cursors, heads, tails, born, fixed_at, slots,
                    )  # fmt: skip
                elif path[FORM] <= SUMS and begin[q, p] == begin[q, p + 1]:
                    continue
                elif path[FORM] == SUMS:
                    due[counts.shape[0] + path[RECEPTOR]] = 1
                    for page in range(begin_block // page_blocks, (end_block - 1) // page_blocks + 1):
                        low = max(begin_block, page * page_blocks)
                        high = min(end_block, (page + 1) * page_blocks)
                        base = page * page_blocks * block_slots
                        line = vector(sums_at + (path[RECEPTOR] * slots + base) * width, slots - base, real)
                        deliver_sums(
                            path, rows, begin[q, p], begin[q, p + 1], low, high, blocks, path_weights[p], none, line
                        )
                elif path[FORM] != QUEUE:
                    due[path[COUNTER]] = 1
                    due[counts.shape[0] + path[RECEPTOR]] |= _deliver_bytes(
                        path, path_weights[p], rows, begin[q, p], begin[q, p + 1], begin_block, end_block, blocks,
                        page_blocks, block_slots, planes, counts_at, sums_at, slots, filler, again,
                    )  # fmt: skip
            for k in range(lessons.shape[0]):
                target = units[lessons[k, learn.TARGET]]
                learn.stand(
                    where, thread, populations, origin, now, begin_block, end_block, target[PART], target[OFFSET],
                    block_slots,
                )  # fmt: skip
                learn.call_lesson(lessons[k, learn.ARRIVE], lessons[k], where, log, marks, sums)
            draw = uint64(trial) << uint64(32) | uint64(now)
            for b in range(begin_block, end_block):
                used = marks[b, (now - origin) * populations]
                for p in range(populations):
                    unit, begun = vector(units_at + p * UNIT_COLUMNS * 8, UNIT_COLUMNS, np.int64(0)), used
                    if unit[KIND] == NEURONS:
                        used = _advance(
                            unit, p, b, b * block_slots, slots, now, draw, takes_at, take_weights, due_at, counts_at,
                            sums_at, queue_at, queue.shape, fixed_at, x_at, before_at, spiked_at, words_at,
                            numbers_at, changes_at, drawn_at, log_at + b * log.shape[1] * 4, used, real,
                        )  # fmt: skip
                        for k in range(lessons.shape[0] if used > begun else 0):
                            if lessons[k, learn.TARGET] == p:
                                where[learn.FIRST], where[learn.LAST] = begun, used
                                learn.call_lesson(lessons[k, learn.RESPOND], lessons[k], where, log[b:], marks, sums)
                    elif unit[KIND] == EVENTS:
                        used = _play(unit, b, now, log_at + b * log.shape[1] * 4, used, blocks)
                    else:
                        used = _draw(unit, b, draw, words, log_at + b * log.shape[1] * 4, used)
                    marks[b, (now - origin) * populations + p + 1] = used
        step += steps
        epoch += 1
        if threads > 1:
            barrier(sync, thread, threads, epoch, spins)
    # What the last steps fired is not queued yet, which `queued` of the next call says.
    reached[thread] = step
    # Named once more, or they would be given back while their addresses are still in use.
    return due.size + again.size + room.size + x.size + before.size + spiked.size + words.size + numbers.size


@njit(cache=True, nogil=True)
def _deliver_bytes(
    path, weight, rows, first, last, begin_block, end_block, blocks, page_blocks, block_slots, planes, counts_at,
    sums_at, slots, filler, again,
):  # fmt: skip
    """Rows of BITS or COUNTS, in batches that cannot overflow a byte; what a full batch leaves moves on to the sums.

    Returns whether any did.
    """
    line = vector(counts_at + path[COUNTER] * slots, slots, np.uint8(0))
    low, high = begin_block * block_slots, end_block * block_slots
    spilled = False
    while True:
        end = min(last, first + path[BATCH])
        chosen, a, z = rows, first, end
        if path[FORM] == BITS:
            if end > first:
                deliver_bits(rows, first, end, low, high, planes, line)
            chosen, a, z = again, 0, 0
            if path[CUTS]:
                # The synapses whose bit was set already are listed.
                for i in range(first, end):
                    if rows[i] != filler:
                        again[z] = (rows[i] - path[MATRIX]) // path[STRIDE]
                        z += 1
        if z > a:
            for page in range(begin_block // page_blocks, (end_block - 1) // page_blocks + 1):
                b, c = max(begin_block, page * page_blocks), min(end_block, (page + 1) * page_blocks)
                deliver_counts(path, chosen, a, z, b, c, blocks, line[page * page_blocks * block_slots :])
        first = end
        if first >= last:
            return spilled
        spilled = True
        sums = vector(sums_at, (path[RECEPTOR] + 1) * slots, weight)[path[RECEPTOR] * slots :]
        take_counts(sums[low:high], line[low:high], weight)


@njit(cache=True, nogil=True)
def _enqueue(
    paths, path_weights, log, marks, populations, origin, step, begin_block, end_block, page_blocks, block_slots,
    queue, receptors, real,
):  # fmt: skip
    """Add what was fired in `step` to the queue."""
    blocks = log.shape[0]
    for p in range(paths.shape[0]):
        path = paths[p]
        if path[FORM] != QUEUE:
            continue
        at = (step - origin) * populations + path[SOURCE]
        for b in range(blocks):
            fired = log[b, marks[b, at] : marks[b, at + 1]]
            if fired.size:
                for page in range(begin_block // page_blocks, (end_block - 1) // page_blocks + 1):
                    low = max(begin_block, page * page_blocks)
                    high = min(end_block, (page + 1) * page_blocks)
                    base = path[RECEPTOR] * block_slots * blocks + page * page_blocks * block_slots
                    deliver_queue(path, fired, step, low, high, blocks, base, path_weights[p], queue)


@njit(cache=True, nogil=True)
def _reading(paths, log, marks, populations, origin, first, begin_block, end_block, page_blocks):
    """The rows of GROUPS that are being read before step `first`: for each path and page, cursors by age.

    Returns:
        cursors int64 [paths, pages, capacity]; heads, tails int64 [paths, pages]: those from tail to head are read;
        born int64 [paths, longest + 1]: how many were added in a step, by step % (longest + 1).
    """
    longest, n = 0, paths.shape[0]
    for p in range(n):
        if paths[p, FORM] == GROUPS:
            longest = max(longest, paths[p, DELAY])
    begin_page, end_page = begin_block // page_blocks, (end_block + page_blocks - 1) // page_blocks
    pages = end_page - begin_page if longest else 0
    cursors = np.empty((n if longest else 0, pages, 1024), np.int64)
    heads, tails = np.zeros((n, pages), np.int64), np.zeros((n, pages), np.int64)
    born = np.zeros((n, longest + 1), np.int64)
    for p in range(n):
        if paths[p, FORM] == GROUPS:
            for step in range(max(first - paths[p, DELAY], origin), first - 1):
                new = _fired(paths[p], marks, populations, origin, step)
                if heads[p, 0] + new > cursors.shape[2]:
                    cursors = _room(cursors, heads, tails, new)
                born[p, step % born.shape[1]] = new
                age = first - 1 - step
                _begin(paths[p], p, log, marks, populations, origin, step, age, begin_page, cursors, heads)
    return cursors, heads, tails, born


@njit(cache=True, nogil=True)
def _fired(path, marks, populations, origin, step):
    """How many units of the path's source fired in a step."""
    if step < origin:
        return 0
    at = (step - origin) * populations + path[SOURCE]
    new = 0
    for b in range(marks.shape[0]):
        new += marks[b, at + 1] - marks[b, at]
    return new


@njit(cache=True, nogil=True)
def _room(cursors, heads, tails, new):
    """Cursors moved to the front of arrays that hold `new` more of them."""
    most = 0
    for p in range(cursors.shape[0]):
        most = max(most, heads[p, 0] - tails[p, 0] + new)
    out = np.empty((cursors.shape[0], cursors.shape[1], max(cursors.shape[2], 2 * most)), np.int64)
    for p in range(cursors.shape[0]):
        for page in range(cursors.shape[1]):
            live = heads[p, page] - tails[p, page]
            for e in range(live):
                out[p, page, e] = cursors[p, page, tails[p, page] + e]
            tails[p, page] = 0
            heads[p, page] = live
    return out


@njit(cache=True, nogil=True)
def _begin(path, p, log, marks, populations, origin, step, age, begin_page, cursors, heads):
    """Begin to read the rows of the spikes of `step`, of which `age` groups have been read."""
    at = (step - origin) * populations + path[SOURCE]
    for page in range(cursors.shape[1]):
        starts = vector(path[STARTS] + (begin_page + page) * path[ROWS] * 8, path[ROWS], np.int64(0))
        k = heads[p, page]
        for b in range(log.shape[0]):
            for j in range(marks[b, at], marks[b, at + 1]):
                cursors[p, page, k] = skip_groups(starts[log[b, j]], age)
                k += 1
        heads[p, page] = k


@njit(cache=True, nogil=True)
def _read_groups(
    path, p, log, marks, populations, origin, now, new, begin_page, page_blocks, block_slots, cursors, heads, tails,
    born, fixed_at, slots,
):  # fmt: skip
    """The groups due in step `now`: the first of the `new` that fired a step ago, the next of those before."""
    if new:
        _begin(path, p, log, marks, populations, origin, now - 1, 0, begin_page, cursors, heads)
    # Spikes of DELAY steps ago have the last of their groups read now.
    old = (now - path[DELAY]) % born.shape[1]
    done = born[p, old]
    born[p, old] = 0
    born[p, (now - 1) % born.shape[1]] = new
    for page in range(cursors.shape[1]):
        base = (begin_page + page) * page_blocks * block_slots
        line = vector(fixed_at + (path[RECEPTOR] * slots + base) * 4, slots - base, np.int32(0))
        deliver_groups(cursors[p, page], tails[p, page], heads[p, page], path[LINES], line)
        tails[p, page] += done


@njit(cache=True, nogil=True)
def _sample(units, probe, sample, begin_block, end_block, real):
    """Copy the probed units that lie in this thread's blocks."""
    unit = units[probe[P_POPULATION]]
    n, states, part = probe[P_COUNT], unit[STATES], unit[PART]
    chosen = vector(probe[P_UNITS], n, np.int32(0))
    out = vector(probe[P_OUT], (sample + 1) * n, real)[sample * n :]
    state = vector(unit[STATE], states * unit[SIZE], real)
    for i in range(n):
        block = chosen[i] // part
        if begin_block <= block < end_block:
            first = block * part + (chosen[i] - block * part) // PIECE * PIECE
            size = min(PIECE, min((block + 1) * part, unit[SIZE]) - first)
            out[i] = state[states * first + probe[P_ROW] * size + chosen[i] - first]


@njit(cache=True, nogil=True)
def _advance(  # noqa: PLR0912 - one branch a kind of input
    unit, p, block, slot, slots, step, draw, takes_at, take_weights, due_at, counts_at, sums_at, queue_at, queue,
    fixed_at, x_at, before_at, spiked_at, words_at, numbers_at, changes_at, drawn_at, log_at, used, real,
):  # fmt: skip
    """Step the neurons that a population has in a block; returns the new length of the log."""
    end = min((block + 1) * unit[PART], unit[SIZE])
    slot += unit[OFFSET] - block * unit[PART]  # of unit 0, were it here
    width = take_weights.itemsize
    constants = vector(unit[CONSTANT], unit[CONSTANTS], real)
    words, numbers = vector(words_at, PIECE, np.uint32(0)), vector(numbers_at, 256, np.int32(0))
    for first in range(block * unit[PART], end, PIECE):
        n = min(PIECE, end - first)
        inputs = matrix(x_at, unit[RECEPTORS], n, real)
        written = 0
        for t in range(unit[FIRST_TAKE], unit[LAST_TAKE]):
            take, weight = vector(takes_at + t * TAKE_COLUMNS * 8, TAKE_COLUMNS, np.int64(0)), take_weights[t]
            if take[T_KIND] <= TAKE_SUMS and not vector(due_at + take[T_INDEX], 1, np.uint8(0))[0]:
                continue
            receptor, low = take[T_RECEPTOR], slot + first
            x = vector(x_at + receptor * n * width, n, real)
            fresh = not written >> receptor & 1
            written |= 1 << receptor
            if take[T_KIND] == TAKE_COUNTS and fresh:
                set_counts(x, vector(counts_at + take[T_INDEX] * slots + low, n, np.uint8(0)), weight)
                continue
            if fresh:
                clear(x)
            if take[T_KIND] == TAKE_COUNTS:
                take_counts(x, vector(counts_at + take[T_INDEX] * slots + low, n, np.uint8(0)), weight)
            elif take[T_KIND] == TAKE_SUMS:
                take_sums(x, vector(sums_at + (receptor * slots + low) * width, n, real))
            elif take[T_KIND] == TAKE_QUEUE:
                line = step % queue[0] * queue[1] + receptor * slots + low
                take_sums(x, vector(queue_at + line * width, n, real))
            elif take[T_KIND] == TAKE_FIXED:
                take_fixed(x, vector(fixed_at + (receptor * slots + low) * 4, n, np.int32(0)), weight)
            elif take[T_KIND] == TAKE_POISSON:
                passed = vector(take[T_THRESHOLDS], take[T_THRESHOLD_COUNT], np.uint32(0))
                drawn = vector(drawn_at + take[T_INDEX] * 8, 1, np.int64(0))
                drawn[0] += poisson_add(
                    uint64(take[T_KEY]), first, draw, take[T_CERTAIN], passed, weight, words, numbers, x
                )
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
            call(unit[STEP], state, inputs, own, vector(spiked_at, n, np.uint8(0)))
        else:
            call(unit[STEP], state, inputs, constants, vector(spiked_at, n, np.uint8(0)))
        if unit[COUNTED]:
            changes = vector(changes_at + p * 8, 1, np.int64(0))
            changes[0] += n if step == 0 else _changed(before, state[unit[MEMBRANE]])
        clear(vector(spiked_at + n, -n % 64, np.uint8(0)))
        used = collect(spiked_at, n, first, log_at, used)
    return used


@njit(cache=True, nogil=True)
def _changed(before, after):
    total = 0
    for i in range(before.size):
        total += before[i] != after[i]
    return total


@njit(cache=True, nogil=True)
def _play(unit, block, step, log_at, used, blocks):
    """Events of a recording up to this step."""
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


@njit(cache=True, nogil=True)
def _draw(unit, block, draw, words, log_at, used):
    """Spikes of Poisson sources, a unit listed as often as it fires."""
    thresholds = vector(unit[THRESHOLDS], unit[THRESHOLD_COUNT], np.uint32(0))
    end = min((block + 1) * unit[PART], unit[SIZE])
    if thresholds.size == 0:
        return used
    log = vector(log_at, used + unit[PART] * thresholds.size, np.int32(0))
    for first in range(block * unit[PART], end, words.size):
        n = min(words.size, end - first)
        group_words(uint64(unit[KEY]), first, draw, words[: (n + 63) // 64 * 64])
        for i in range(n):
            if words[i] >= thresholds[0]:
                for k in range(thresholds.size):
                    if words[i] >= thresholds[k]:
                        log[used] = first + i
                        used += 1
    return used


@njit(cache=True, nogil=True)
def gather(log, marks, populations, origin, first, last, population, tally, steps, units):
    """Count the spikes of a population in steps `first` to `last - 1` in tally[unit], and list them in order.

    steps, units: int32, long enough, or empty: not to be listed. Returns how many there are.
    """
    count = 0
    for step in range(first, last):
        at = (step - origin) * populations + population
        for b in range(log.shape[0]):
            for j in range(marks[b, at], marks[b, at + 1]):
                unit = log[b, j]
                tally[unit] += 1
                if steps.size:
                    steps[count] = step
                    units[count] = unit
                count += 1
    return count


@njit(cache=True, nogil=True)
def forget(log, marks, populations, drop, keep):
    """Drop the first `drop` of drop + keep steps from the log."""
    for b in range(log.shape[0]):
        a = marks[b, drop * populations]
        for k in range(marks[b, (drop + keep) * populations] - a):
            log[b, k] = log[b, a + k]
        for k in range(keep * populations + 1):
            marks[b, k] = marks[b, drop * populations + k] - a
