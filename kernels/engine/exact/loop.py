"""The run in continuous time: one compiled loop that goes from event to event, for every network.

Between events the state of a neuron follows its exact flow, computed only when something reaches it. Events of one
moment t are processed in this order:

1. probes sample the state before t;
2. arrivals: projections in order of their names, within one by (source, target), then Poisson stimuli by name; sources
   spike;
3. every unit that received is asked for its next crossing of the threshold, with all input of that moment;
4. units whose crossing is now fire, by (population, unit). Their spikes arrive later: no delay is zero.

So results do not depend on the inner order of a queue. There are three kinds of queues:

- The spikes of a population are one list, in order. A projection with one delay for all synapses needs no queue: it
  reads the list of its source with a cursor of its own.
- A projection with a delay for each synapse has rows sorted by delay, and one heap entry for every spike on its way:
  that of its next synapse (`heaps`).
- Predicted crossings, one a unit, are in a heap that finds the entry of a unit and moves it.

Poisson units are drawn together: of n units at a rate r each, the interval to the next spike is exponential with rate
n r and its unit one of n, both functions of the stream, the trial and the number of spikes before.

The column names of the tables are the constants below; `neurosim.engine.exact.workspace` fills them. What belongs
together comes as one group of `views`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, uint64

from ...tools.compiled import compiled
from ...tools.pointers import bare_matrix, bare_vector, vector
from ...tools.random import unit_interval, words
from .calls import call_crossing, call_fire, call_flow, call_jump
from .heaps import HEAPED, place_crossing, push_spike, replace_first_spike

# Populations, int64 [populations, UNIT_COLUMNS].
NEURONS = 0
EVENTS = 1
POISSON = 2
(
    KIND,
    SIZE,
    FLOW,  # addresses of the neuron's compiled functions
    JUMP,
    CROSSING,
    FIRE,
    CONSTANT,  # address: float64, what these take as `c`
    STRIDE,  # bytes from the constants of a unit to the next unit's: 0 where all share them
    WIDTH,  # bytes of a unit's row: the moment of its state, then the state
    STATE,  # address: float64 [SIZE, WIDTH / 8]
    FIRST,  # the number of unit 0 among all neurons
    TALLY,  # address: int64 [SIZE], spikes so far
    KEEP,  # whether spikes are listed
    TIMES,  # address: float64 [ROOM], the list
    UNITS,  # address: int32 [ROOM]
    COUNT,
    ROOM,
    FLOWS,  # flows made
    KEY,  # stream of a Poisson source
    DRAWN,  # its spikes drawn, of which the last is to come
    NEXT,  # the unit of that
    UNIT_COLUMNS,
) = range(22)

# Poisson input to every unit of a population, int64 [stimuli, STIMULUS_COLUMNS].
S_TARGET, S_RECEPTOR, S_KEY, S_DRAWN, S_NEXT, S_SIZE, STIMULUS_COLUMNS = range(7)

# Projections, int64 [projections, ROUTE_COLUMNS].
(
    R_SOURCE,
    R_TARGET,
    R_RECEPTOR,
    R_OFFSETS,  # address: int64 [sources + 1]
    R_TARGETS,  # address: uint32 [synapses]
    R_WEIGHTS,  # address: float64 [synapses]; 0: every weight is the route's one weight
    R_DELAYS,  # address: float64 [synapses, 3], delay, weight and target of each, a row's sorted by (delay, target):
    # they are read one at a time, so they are together; 0: all have the delay of the route
    R_SOURCES,
    R_CURSOR,  # spikes of the source's list that were read
    R_OPERATIONS,  # nonzero weights added
    QUEUE,  # address: float64 [Q_ROOM, 4], a heap of spikes on their way: when the next synapse of each is reached,
    # its source, that synapse, and when it was fired
    Q_COUNT,
    Q_ROOM,
    ROUTE_COLUMNS,
) = range(14)

# State variables to record, int64 [probes, PROBE_COLUMNS].
P_POPULATION, P_ROW, P_UNITS, P_COUNT, P_OUT, P_SAMPLES, P_DONE, PROBE_COLUMNS = range(8)

# Counters of a run, int64; HEAPED, the size of the heap of crossings, is the first.
TOUCHED, STALLED, SPIKES, WORK, WHO, UNIT, NEED, COUNTERS = range(1, 9)

# Results of `run`: there is more to do; all is done; the list of population WHO or the queue of projection WHO needs
# room for NEED entries; unit UNIT of population WHO fires forever at one moment; its crossing is NaN.
PAUSED, DONE, LIST_FULL, QUEUE_FULL, STUCK, BROKEN = range(6)

# Passes at one moment after which a unit counts as firing forever.
MAX_AT_ONCE = 1_000_000
# s, below which moments count as one for that: near 0 s, floats tell moments of 1e-300 s apart.
AT_ONCE = 1e-15


@compiled
def start(tables, moments, crossings, counters, trial):
    """Predict the first crossing of every neuron and draw the first spike of every Poisson process, at time 0.

    The groups are as in `run`, all in their initial state.
    """
    units = bare_matrix(tables.units)
    rates = bare_vector(tables.rates)
    stimuli = bare_matrix(tables.stimuli)
    stimulus_rates = bare_vector(tables.stimulus_rates)
    source_next = bare_vector(moments.source_next)
    stimulus_next = bare_vector(moments.stimulus_next)
    keys = bare_vector(crossings.keys)
    places = bare_vector(crossings.places)
    heap = bare_vector(crossings.heap)
    asks = bare_vector(crossings.asks)
    counters = bare_vector(counters)
    for p in range(units.shape[0]):
        unit = units[p]
        if unit[KIND] == NEURONS:
            for i in range(unit[SIZE]):
                _predict(unit, i, unit[STATE] + i * unit[WIDTH] + 8, 0.0, keys, places, heap, asks, counters, p)
        elif unit[KIND] == POISSON:
            unit[NEXT], source_next[p] = _draw(unit[KEY], unit[DRAWN], trial, unit[SIZE], rates[p], 0.0)
    for s in range(stimuli.shape[0]):
        row = stimuli[s]
        row[S_NEXT], stimulus_next[s] = _draw(row[S_KEY], row[S_DRAWN], trial, row[S_SIZE], stimulus_rates[s], 0.0)


@compiled
def run(tables, moments, crossings, touched, scratch, counters, until, budget, trial):
    """Process the events up to `until`, inclusive, or until about `budget` flows were computed.

    Args:
        tables: `ExactTables`.
        moments: `Moments`.
        crossings: `Crossings`.
        touched: int32 [neurons], scratch.
        scratch: float64, as long as the longest state.
        counters: int64 [COUNTERS].

    Returns:
        one of PAUSED, DONE, LIST_FULL, QUEUE_FULL, STUCK and BROKEN.
    """
    units = bare_matrix(tables.units)
    rates = bare_vector(tables.rates)
    stimuli = bare_matrix(tables.stimuli)
    stimulus_weights = bare_vector(tables.stimulus_weights)
    stimulus_rates = bare_vector(tables.stimulus_rates)
    routes = bare_matrix(tables.routes)
    route_weights = bare_vector(tables.route_weights)
    route_delays = bare_vector(tables.route_delays)
    probes = bare_matrix(tables.probes)
    intervals = bare_vector(tables.intervals)
    owner = bare_vector(tables.owner)
    source_next = bare_vector(moments.source_next)
    stimulus_next = bare_vector(moments.stimulus_next)
    heads = bare_vector(moments.heads)
    now = bare_vector(moments.now)
    keys = bare_vector(crossings.keys)
    places = bare_vector(crossings.places)
    heap = bare_vector(crossings.heap)
    asks = bare_vector(crossings.asks)
    touched = bare_vector(touched)
    counters = bare_vector(counters)
    scratch = bare_vector(scratch)
    worked = counters[WORK]
    listed = -1
    while counters[WORK] - worked < budget:
        t = _next(source_next, stimulus_next, heads, keys, heap, counters)
        # 1. Probes sample the state before t.
        for k in range(probes.shape[0]):
            _sample(units[probes[k, P_POPULATION]], probes[k], intervals[k], min(t, until), scratch)
        if not t <= until:
            return DONE
        # Nothing of this moment is done until there is room for all of it: the caller makes room and comes back.
        full = _full(units, routes, route_delays, heads, t, listed, counters)
        if full != PAUSED:
            return full
        listed = counters[SPIKES]
        if t - now[0] < AT_ONCE:
            counters[STALLED] = counters[STALLED] + 1
        else:
            counters[STALLED] = 0
        if counters[STALLED] > MAX_AT_ONCE:
            counters[WHO] = owner[heap[0]] if counters[HEAPED] else 0
            counters[UNIT] = heap[0] - units[counters[WHO], FIRST]
            return STUCK
        now[0] = t
        counters[TOUCHED] = 0
        counters[WORK] += 1
        # 2. Arrivals, by projection, then Poisson stimuli; sources spike.
        for r in range(routes.shape[0]):
            if heads[r] <= t:
                _arrive(units, routes[r], route_weights[r], route_delays[r], t, touched, counters)
                heads[r] = _head(units, routes[r], route_delays[r])
        for s in range(stimuli.shape[0]):
            row = stimuli[s]
            while stimulus_next[s] <= t:
                _stimulate(units, row, stimulus_weights[s], t, touched, counters)
                row[S_NEXT], stimulus_next[s] = _draw(
                    row[S_KEY], row[S_DRAWN], trial, row[S_SIZE], stimulus_rates[s], t
                )
        for p in range(units.shape[0]):
            unit = units[p]
            while source_next[p] <= t and (unit[KEEP] == 0 or unit[COUNT] < unit[ROOM]):
                _append(unit, t, unit[NEXT], counters)
                unit[DRAWN] += 1
                unit[NEXT], source_next[p] = _draw(unit[KEY], unit[DRAWN], trial, unit[SIZE], rates[p], t)
        # 3. Units that received are asked for their next crossing.
        for k in range(counters[TOUCHED]):
            p = owner[touched[k]]
            unit = units[p]
            i = touched[k] - units[p, FIRST]
            state = unit[STATE] + i * unit[WIDTH] + 8
            _predict(unit, i, state, t, keys, places, heap, asks, counters, p)
        # 4. Units whose crossing is now fire.
        if counters[HEAPED] and keys[heap[0]] <= t:
            _fire_all(units, t, owner, keys, places, heap, asks, touched, scratch, counters)
        if counters[UNIT] >= 0:
            return BROKEN
        # New spikes in a list are new arrivals of the projections that read it.
        if counters[SPIKES] != listed:
            for r in range(routes.shape[0]):
                heads[r] = _head(units, routes[r], route_delays[r])
    return PAUSED


# Inlined, as others below that are called at every moment or for every spike: as functions they took a third of a run.
@njit(inline="always")
def _next(source_next, stimulus_next, heads, keys, heap, counters):
    """Return the moment of the next event."""
    t = keys[heap[0]] if counters[HEAPED] else math.inf
    for r in range(heads.size):
        t = min(t, heads[r])
    for p in range(source_next.size):
        t = min(t, source_next[p])
    for s in range(stimulus_next.size):
        t = min(t, stimulus_next[s])
    return t


@compiled
def _full(units, routes, delays, heads, t, listed, counters):
    """Return which list or queue might be too short for this moment; PAUSED for none.

    Args:
        listed: number of spikes when lists were last seen to have room.
    """
    if counters[SPIKES] != listed:
        for p in range(units.shape[0]):
            # At most one spike a unit.
            need = units[p, COUNT] + units[p, SIZE]
            if units[p, KEEP] and units[p, KIND] != EVENTS and need > units[p, ROOM]:
                counters[WHO] = p
                counters[NEED] = need
                return LIST_FULL
    for r in range(routes.shape[0]):
        if routes[r, R_DELAYS] and heads[r] <= t:
            source = units[routes[r, R_SOURCE]]
            k = routes[r, R_CURSOR]
            times = vector(source[TIMES], source[COUNT], 0.0)
            while k < times.size and times[k] + delays[r] <= t:
                k += 1
            need = routes[r, Q_COUNT] + k - routes[r, R_CURSOR]
            if need > routes[r, Q_ROOM]:
                counters[WHO] = r
                counters[NEED] = need
                return QUEUE_FULL
    return PAUSED


@compiled
def _sample(unit, probe, interval, t, scratch):
    """Take the samples due up to `t` from a copy of the state, so that sampling changes nothing."""
    n = probe[P_COUNT]
    chosen = vector(probe[P_UNITS], n, np.int32(0))
    while probe[P_DONE] < probe[P_SAMPLES] and probe[P_DONE] * interval <= t:
        out = vector(probe[P_OUT] + probe[P_DONE] * n * 8, n, 0.0)
        at = probe[P_DONE] * interval
        for i in range(n):
            _look(unit, chosen[i], at, scratch)
            out[i] = scratch[probe[P_ROW]]
        probe[P_DONE] += 1


@compiled
def _draw(key, drawn, trial, size, rate, t):
    """Return unit and moment of spike number `drawn` of a Poisson process whose last spike was at `t`."""
    if rate <= 0.0:
        return 0, math.inf
    a, b, c, d = words(uint64(key), uint64(drawn), uint64(trial))
    # At most 1 - 2^-53, or the gap would be zero.
    gap = -math.log(min(unit_interval(a, b), 0.9999999999999999)) / rate
    return min(np.int64(unit_interval(c, d) * size), size - 1), t + gap


@compiled
def _stimulate(units, stimulus, weight, t, touched, counters):
    """Add the next spike of Poisson input to its unit."""
    unit = units[stimulus[S_TARGET]]
    row = unit[STATE] + stimulus[S_NEXT] * unit[WIDTH]
    _reach(unit, row, stimulus[S_NEXT], t, touched, counters)
    call_jump(unit[JUMP], row + 8, stimulus[S_RECEPTOR], weight, _constants(unit, stimulus[S_NEXT]))
    stimulus[S_DRAWN] += 1


@njit(inline="always")
def _constants(unit, i):
    """Return the address of the constants of unit i."""
    return unit[CONSTANT] + i * unit[STRIDE]


@njit(inline="always")
def _reach(unit, row, i, t, touched, counters):
    """Bring the state of unit i to the moment t."""
    moment = vector(row, 1, 0.0)
    if moment[0] != t:
        call_flow(unit[FLOW], row + 8, t - moment[0], _constants(unit, i))
        moment[0] = t
        touched[counters[TOUCHED]] = unit[FIRST] + i
        counters[TOUCHED] += 1
        counters[WORK] += 1
        unit[FLOWS] += 1


@njit(inline="always")
def _arrive(units, route, weight, delay, t, touched, counters):
    """Deliver everything that is due in this projection at the moment t."""
    source = units[route[R_SOURCE]]
    times = vector(source[TIMES], source[COUNT], 0.0)
    spiked = vector(source[UNITS], source[COUNT], np.int32(0))
    offsets = vector(route[R_OFFSETS], route[R_SOURCES] + 1, np.int64(0))
    target = units[route[R_TARGET]]
    if route[R_DELAYS]:
        # Here `delay` is the shortest of all: from then on a spike is in the queue.
        _enter_queue(route, times, spiked, offsets, delay, t)
        _deliver_queue(target, route, offsets, t, touched, counters)
        return
    while route[R_CURSOR] < times.size and times[route[R_CURSOR]] + delay <= t:
        i = spiked[route[R_CURSOR]]
        _deliver(target, route, offsets[i], offsets[i + 1], weight, t, touched, counters)
        route[R_CURSOR] += 1


@njit(inline="always")
def _enter_queue(route, times, spiked, offsets, delay, t):
    """Put the spikes of the source into the queue whose first synapse could be reached by the moment t."""
    synapses = route[R_DELAYS]
    while route[R_CURSOR] < times.size and times[route[R_CURSOR]] + delay <= t:
        at = times[route[R_CURSOR]]
        i = spiked[route[R_CURSOR]]
        first = offsets[i]
        if first < offsets[i + 1]:
            push_spike(route[QUEUE], route[Q_COUNT], at + vector(synapses + 24 * first, 1, 0.0)[0], i, first, at)
            route[Q_COUNT] += 1
        route[R_CURSOR] += 1


@njit(inline="always")
def _deliver_queue(unit, route, offsets, t, touched, counters):
    """Deliver the synapses of the queue that are due at the moment t, one at a time."""
    synapses = route[R_DELAYS]
    top = vector(route[QUEUE], 4, 0.0)
    while route[Q_COUNT] and top[0] <= t:
        i = np.int64(top[1])
        place = np.int64(top[2])
        synapse = vector(synapses + 24 * place, 3, 0.0)
        k = np.int64(synapse[2])
        row = unit[STATE] + k * unit[WIDTH]
        _reach(unit, row, k, t, touched, counters)
        call_jump(unit[JUMP], row + 8, route[R_RECEPTOR], synapse[1], _constants(unit, k))
        route[R_OPERATIONS] += synapse[1] != 0.0
        # The first of the heap is replaced by what comes in its place: one sift, where a pop and a push are two.
        if place + 1 < offsets[i + 1]:
            # The spike's next synapse. Each delay is added to the moment of the spike itself.
            due = top[3] + vector(synapses + 24 * place + 24, 1, 0.0)[0]
            replace_first_spike(route[QUEUE], route[Q_COUNT], due, i, place + 1, top[3])
        else:
            route[Q_COUNT] -= 1
            last = vector(route[QUEUE] + 32 * route[Q_COUNT], 4, 0.0)
            replace_first_spike(route[QUEUE], route[Q_COUNT], last[0], last[1], last[2], last[3])


@compiled
def _deliver(unit, route, first, last, weight, t, touched, counters):
    """Add synapses `first` to `last - 1` to their targets."""
    flow = unit[FLOW]
    jump = unit[JUMP]
    constant = unit[CONSTANT]
    stride = unit[STRIDE]
    width = unit[WIDTH]
    state = unit[STATE]
    base = unit[FIRST]
    receptor = route[R_RECEPTOR]
    targets = vector(route[R_TARGETS] + first * 4, last - first, np.uint32(0))
    own = route[R_WEIGHTS] != 0
    weights = vector(route[R_WEIGHTS] + first * 8 if own else route[R_TARGETS], last - first, 0.0)
    reached = counters[TOUCHED]
    nonzero = 0
    for k in range(last - first):
        i = np.int64(targets[k])
        row = state + i * width
        moment = vector(row, 1, 0.0)
        # A target flows once a moment, however many spikes reach it then; whoever flowed is looked at afterwards.
        if moment[0] != t:
            call_flow(flow, row + 8, t - moment[0], constant + i * stride)
            moment[0] = t
            touched[reached] = base + i
            reached += 1
        w = weights[k] if own else weight
        call_jump(jump, row + 8, receptor, w, constant + i * stride)
        nonzero += w != 0.0
    unit[FLOWS] += reached - counters[TOUCHED]
    counters[WORK] += last - first
    counters[TOUCHED] = reached
    route[R_OPERATIONS] += nonzero


@compiled
def _head(units, route, delay):
    """Return the moment of the next arrival of this projection."""
    source = units[route[R_SOURCE]]
    if route[Q_COUNT]:
        t = vector(route[QUEUE], 1, 0.0)[0]
    else:
        t = math.inf
    if route[R_CURSOR] < source[COUNT]:
        t = min(t, vector(source[TIMES], source[COUNT], 0.0)[route[R_CURSOR]] + delay)
    return t


@njit(inline="always")
def _append(unit, t, i, counters):
    """Count a spike of unit i, and list it where spikes are kept."""
    vector(unit[TALLY], unit[SIZE], np.int64(0))[i] += 1
    counters[SPIKES] += 1
    if unit[KEEP]:
        vector(unit[TIMES], unit[ROOM], 0.0)[unit[COUNT]] = t
        vector(unit[UNITS], unit[ROOM], np.int32(0))[unit[COUNT]] = i
        unit[COUNT] += 1


@compiled
def _predict(unit, i, state, t, keys, places, heap, asks, counters, p):
    """Predict the next crossing of unit i and put it into the heap; `state`: address of its state at the moment t."""
    ahead = call_crossing(unit[CROSSING], state, _constants(unit, i))
    number = unit[FIRST] + i
    if math.isnan(ahead):
        counters[WHO] = p
        counters[UNIT] = i
        ahead = math.inf
    asks[number] = ahead < 0.0
    at = t + abs(ahead)
    if at < math.inf or places[number] >= 0:
        place_crossing(number, at, keys, places, heap, counters)


@compiled
def _fire_all(units, t, owner, keys, places, heap, asks, due, scratch, counters):
    """Fire the units whose crossing is now, by number; they leave the heap first, so that each fires once in a pass."""
    count = 0
    while counters[HEAPED] and keys[heap[0]] <= t:
        due[count] = heap[0]
        count += 1
        place_crossing(heap[0], math.inf, keys, places, heap, counters)
    for k in range(count):
        p = owner[due[k]]
        unit = units[p]
        i = due[k] - unit[FIRST]
        row = unit[STATE] + i * unit[WIDTH]
        moment = vector(row, 1, 0.0)
        counters[WORK] += 1
        if asks[due[k]]:
            # A look ahead changes nothing: it is made on a copy.
            _look(unit, i, t, scratch)
            _predict(unit, i, scratch.ctypes.data, t, keys, places, heap, asks, counters, p)
            continue
        if moment[0] != t:
            call_flow(unit[FLOW], row + 8, t - moment[0], _constants(unit, i))
            moment[0] = t
            unit[FLOWS] += 1
        call_fire(unit[FIRE], row + 8, _constants(unit, i))
        _append(unit, t, i, counters)
        _predict(unit, i, row + 8, t, keys, places, heap, asks, counters, p)


@compiled
def _look(unit, i, t, scratch):
    """Copy the state of unit i at the moment t to `scratch`."""
    width = unit[WIDTH] // 8
    own = vector(unit[STATE] + i * unit[WIDTH], width, 0.0)
    for j in range(width - 1):
        scratch[j] = own[1 + j]
    if t > own[0]:
        call_flow(unit[FLOW], scratch.ctypes.data, t - own[0], _constants(unit, i))
