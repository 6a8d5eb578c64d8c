"""The clocked run: one compiled loop for every network, driven by tables of addresses.

A step, in this order: probes sample the state; every population steps its neurons with the input that falls due, or
draws and reads its source's spikes; spikes are recorded; every projection adds the rows of the units that fired to
the ring buffers of its targets. A target receives its additions in the order (step, projection, source, target), so
sums do not depend on how the work is cut.

Column names of the tables are the constants below; `neurosim.engine.plan` fills them.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from neurosim.kernels.memory import call, matrix, vector
from neurosim.kernels.random import group_words, poisson_counts

# Populations, int64 [populations, UNIT_COLUMNS]. What follows `kind` is 0 where the kind has no use for it.
NEURONS, EVENTS, POISSON = 0, 1, 2
(
    KIND,
    SIZE,
    STEP,  # address of the neuron's compiled step
    STATES,
    RECEPTORS,
    CONSTANTS,
    STATE,  # address: real [STATES, SIZE]
    RING,  # address: real [SLOTS, RECEPTORS, SIZE]
    CONSTANT,  # address: real [CONSTANTS]
    SLOTS,  # steps of input the ring holds: the longest delay + 1
    SPIKED,  # address: uint8 [SIZE rounded up to 64]
    FIRED,  # address: int32, the units that fired in this step; for EVENTS, all units of the recording
    TALLY,  # address: int64 [SIZE], spikes so far
    BASE,  # what is added to a unit when its spike is recorded; -1: not recorded
    MEMBRANE,  # the row whose changes are counted
    BEFORE,  # address: real [SIZE], scratch to count changes; 0: not counted
    EVENT_STEPS,  # address: int32, the step of each event, rising
    EVENT_COUNT,
    THRESHOLDS,  # address: uint32 [THRESHOLD_COUNT], see kernels.random.poisson_thresholds
    THRESHOLD_COUNT,
    KEY,
    WORDS,  # address: uint32 [SIZE rounded up to 64], scratch
    UNIT_COLUMNS,
) = range(23)

# Poisson input to every unit of a population, int64 [stimuli, STIMULUS_COLUMNS].
(
    S_TARGET,
    S_RECEPTOR,
    S_THRESHOLDS,
    S_THRESHOLD_COUNT,
    S_KEY,
    S_WORDS,  # address: uint32, scratch
    S_COUNTS,  # address: int32, scratch
    STIMULUS_COLUMNS,
) = range(8)

# Projections, int64 [projections, ROUTE_COLUMNS].
(
    R_SOURCE,
    R_TARGET,
    R_RECEPTOR,
    R_OFFSETS,  # address: int64 [sources + 1]
    R_TARGETS,  # address: uint32 [synapses]
    R_WEIGHTS,  # address: real [synapses]; 0: every weight is the route's one weight
    R_DELAYS,  # address: uint16 [synapses], steps; 0: every delay is R_DELAY
    R_DELAY,
    ROUTE_COLUMNS,
) = range(9)

# State variables to record, int64 [probes, PROBE_COLUMNS].
P_POPULATION, P_ROW, P_INTERVAL, P_UNITS, P_COUNT, P_OUT, PROBE_COLUMNS = range(7)


@njit(cache=True, nogil=True)
def run(  # noqa: PLR0912 - the event loop
    units,
    stimuli,
    stimulus_weights,
    routes,
    route_weights,
    probes,
    first,
    last,
    trial,
    out_steps,
    out_units,
    most_per_step,
    used,
    cursors,
    changes,
    drawn,
    real,
):
    """Steps `first` to `last - 1`; returns the step it came to, below `last` where the output arrays are full.

    Args:
        units, stimuli, routes, probes: the tables above; `stimulus_weights` and `route_weights` are [rows] reals.
        trial: which of the independent streams of random input to draw from, < 2^31.
        out_steps, out_units: int32 [capacity], recorded spikes; `used[0]` of them are in use.
        most_per_step: spikes a step can record at most.
        cursors: int64 [populations], the next event of each EVENTS population.
        changes: int64 [populations], membrane entries that changed.
        drawn: int64 [stimuli], spikes drawn for each.
        real: np.float32(0) or np.float64(0), the type of every real.
    """
    amounts = np.zeros(units.shape[0], np.int64)
    for step in range(first, last):
        if used[0] + most_per_step > out_steps.size:
            return step
        draw = uint64(trial) << uint64(32) | uint64(step)
        for p in range(probes.shape[0]):
            if step % probes[p, P_INTERVAL] == 0:
                _sample(units, probes[p], step // probes[p, P_INTERVAL], real)
        for s in range(stimuli.shape[0]):
            drawn[s] += _stimulate(units, stimuli[s], stimulus_weights[s], step, draw)
        for p in range(units.shape[0]):
            unit = units[p]
            if unit[KIND] == NEURONS:
                amounts[p] = _advance(unit, step, changes, p, real)
            elif unit[KIND] == EVENTS:
                amounts[p] = _due(unit, step, cursors[p])
            else:
                amounts[p] = _draw(unit, draw)
            _count(unit, cursors[p], amounts[p])
            if unit[BASE] >= 0 and amounts[p]:
                used[0] = _record(unit, amounts[p], step, out_steps, out_units, used[0])
        for r in range(routes.shape[0]):
            route = routes[r]
            source = route[R_SOURCE]
            if amounts[source]:
                _deliver(units, route, cursors[source], amounts[source], step, route_weights[r])
        for p in range(units.shape[0]):
            if units[p, KIND] == EVENTS:
                cursors[p] += amounts[p]
    return last


@njit(cache=True, nogil=True)
def _sample(units, probe, sample, real):
    unit = units[probe[P_POPULATION]]
    row = matrix(unit[STATE], unit[STATES], unit[SIZE], real)[probe[P_ROW]]
    n = probe[P_COUNT]
    chosen = vector(probe[P_UNITS], n, np.int32(0))
    out = vector(probe[P_OUT] + sample * n * row.itemsize, n, real)
    for i in range(n):
        out[i] = row[chosen[i]]


@njit(cache=True, nogil=True)
def _stimulate(units, stimulus, weight, step, draw):
    """Add `weight` times a Poisson count to the input of every unit that falls due in this step; returns the count."""
    unit = units[stimulus[S_TARGET]]
    n = unit[SIZE]
    words = vector(stimulus[S_WORDS], (n + 63) // 64 * 64, np.uint32(0))
    counts = vector(stimulus[S_COUNTS], n, np.int32(0))
    group_words(uint64(stimulus[S_KEY]), 0, draw, words)
    poisson_counts(words, vector(stimulus[S_THRESHOLDS], stimulus[S_THRESHOLD_COUNT], np.uint32(0)), counts)
    slot = (step % unit[SLOTS]) * unit[RECEPTORS] + stimulus[S_RECEPTOR]
    row = matrix(unit[RING], unit[SLOTS] * unit[RECEPTORS], n, weight)[slot]
    total = 0
    for i in range(n):
        row[i] += weight * row.dtype.type(counts[i])
        total += counts[i]
    return total


@njit(cache=True, nogil=True)
def _advance(unit, step, changes, p, real):
    """Step the neurons of a population; returns how many fired, their numbers being in FIRED."""
    n, rows = unit[SIZE], unit[RECEPTORS]
    state = matrix(unit[STATE], unit[STATES], n, real)
    ring = matrix(unit[RING], unit[SLOTS] * rows, n, real)
    first = (step % unit[SLOTS]) * rows
    inputs = ring[first : first + rows]
    spiked = vector(unit[SPIKED], n, np.uint8(0))
    if unit[BEFORE]:
        before = vector(unit[BEFORE], n, real)
        before[:] = state[unit[MEMBRANE]]
    call(unit[STEP], state, inputs, vector(unit[CONSTANT], unit[CONSTANTS], real), spiked)
    inputs[:] = 0
    if unit[BEFORE]:
        changes[p] += n if step == 0 else _changed(before, state[unit[MEMBRANE]])
    return _compress(unit[SPIKED], n, vector(unit[FIRED], n, np.int32(0)))


@njit(cache=True, nogil=True)
def _changed(before, after):
    total = 0
    for i in range(before.size):
        total += before[i] != after[i]
    return total


@njit(cache=True, nogil=True)
def _compress(spiked, n, fired):
    """The indices of the flags that are set, ascending. Eight flags are tested at a time: most are not set."""
    flags = vector(spiked, n, np.uint8(0))
    eights = vector(spiked, (n + 7) // 8, uint64(0))
    count = 0
    for word in range(eights.size):
        if eights[word]:
            for i in range(word * 8, min(word * 8 + 8, n)):
                if flags[i]:
                    fired[count] = i
                    count += 1
    return count


@njit(cache=True, nogil=True)
def _due(unit, step, cursor):
    """Events of a recording in this step, counted from `cursor`."""
    total = unit[EVENT_COUNT]
    steps = vector(unit[EVENT_STEPS], total, np.int32(0))
    i = cursor
    while i < total and steps[i] <= step:
        i += 1
    return i - cursor


@njit(cache=True, nogil=True)
def _draw(unit, draw):
    """Spikes of Poisson sources, a unit listed as often as it fires."""
    n = unit[SIZE]
    words = vector(unit[WORDS], (n + 63) // 64 * 64, np.uint32(0))
    thresholds = vector(unit[THRESHOLDS], unit[THRESHOLD_COUNT], np.uint32(0))
    fired = vector(unit[FIRED], n * max(thresholds.size, 1), np.int32(0))
    group_words(uint64(unit[KEY]), 0, draw, words)
    count = 0
    if thresholds.size == 0:
        return count
    for i in range(n):
        if words[i] >= thresholds[0]:
            for k in range(thresholds.size):
                if words[i] >= thresholds[k]:
                    fired[count] = i
                    count += 1
    return count


@njit(cache=True, nogil=True)
def _fired(unit, cursor, amount):
    """The units that fired in this step."""
    offset = cursor * 4 if unit[KIND] == EVENTS else 0
    return vector(unit[FIRED] + offset, amount, np.int32(0))


@njit(cache=True, nogil=True)
def _count(unit, cursor, amount):
    tally = vector(unit[TALLY], unit[SIZE], np.int64(0))
    fired = _fired(unit, cursor, amount)
    for i in range(amount):
        tally[fired[i]] += 1


@njit(cache=True, nogil=True)
def _record(unit, amount, step, out_steps, out_units, used):
    fired = _fired(unit, 0, amount)
    for i in range(amount):
        out_steps[used + i] = step
        out_units[used + i] = fired[i] + unit[BASE]
    return used + amount


@njit(cache=True, nogil=True)
def _deliver(units, route, cursor, amount, step, weight):
    """Add the rows of the units that fired to the ring of the target, at the slot of each synapse's delay."""
    target = units[route[R_TARGET]]
    n, slots, receptors = target[SIZE], target[SLOTS], target[RECEPTORS]
    fired = _fired(units[route[R_SOURCE]], cursor, amount)
    sources = units[route[R_SOURCE], SIZE]
    offsets = vector(route[R_OFFSETS], sources + 1, np.int64(0))
    synapses = offsets[sources]
    targets = vector(route[R_TARGETS], synapses, np.uint32(0))
    weights = vector(route[R_WEIGHTS], synapses if route[R_WEIGHTS] else 0, weight)
    if route[R_DELAYS]:
        delays = vector(route[R_DELAYS], synapses, np.uint16(0))
        ring = matrix(target[RING], slots, receptors * n, weight)
        shift = route[R_RECEPTOR] * n
        for f in range(amount):
            a, b = offsets[fired[f]], offsets[fired[f] + 1]
            if weights.size:
                _scatter_delayed(ring, shift, step % slots, targets[a:b], weights[a:b], delays[a:b])
            else:
                _scatter_delayed_one(ring, shift, step % slots, targets[a:b], weight, delays[a:b])
        return
    slot = (step + route[R_DELAY]) % slots * receptors + route[R_RECEPTOR]
    row = matrix(target[RING], slots * receptors, n, weight)[slot]
    for f in range(amount):
        a, b = offsets[fired[f]], offsets[fired[f] + 1]
        if weights.size:
            _scatter(row, targets[a:b], weights[a:b])
        else:
            _scatter_one(row, targets[a:b], weight)


@njit(cache=True, nogil=True)
def _scatter_one(row, targets, weight):
    for j in range(targets.size):
        row[targets[j]] += weight


@njit(cache=True, nogil=True)
def _scatter(row, targets, weights):
    for j in range(targets.size):
        row[targets[j]] += weights[j]


@njit(cache=True, nogil=True)
def _scatter_delayed_one(ring, shift, slot, targets, weight, delays):
    slots = ring.shape[0]
    for j in range(targets.size):
        due = slot + delays[j]
        ring[due - slots if due >= slots else due, shift + targets[j]] += weight


@njit(cache=True, nogil=True)
def _scatter_delayed(ring, shift, slot, targets, weights, delays):
    slots = ring.shape[0]
    for j in range(targets.size):
        due = slot + delays[j]
        ring[due - slots if due >= slots else due, shift + targets[j]] += weights[j]
