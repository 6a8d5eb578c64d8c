"""The run in continuous time: one compiled loop that goes from event to event, for every network.

Between events a neuron's state follows its exact flow, which is taken only when something reaches it. All that
happens at one moment t is done in this order:

1. probes sample the state as it was before;
2. arrivals: projections in order of their names, within one by (source, target), then Poisson stimuli by name; sources
   spike;
3. every unit that received is asked for its next crossing of the threshold, all input of that moment added up;
4. units whose crossing is now fire, by (population, unit). Their spikes arrive later: no delay is zero.

So results depend on no queue's inner order. There are three kinds of queues:

- Spikes of a population are kept in one list, in order. A projection with one delay for all synapses needs no queue:
  it reads its source's list with a cursor of its own.
- A projection with a delay for each synapse keeps its rows sorted by delay and one entry in a heap for every spike on
  its way: that of the spike's next synapse.
- Predicted crossings are kept one a unit, in a heap that finds a unit's entry and moves it.

Poisson units are drawn together: of n units at a rate r each, the next spike is exponential at rate n r and its unit
one of n, both functions of the stream, the trial and how many spikes came before.

Column names of the tables are the constants below; `neurosim.engine.exact` fills them.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import njit, types, uint64
from numba.extending import intrinsic

from ...tools.pointers import matrix, vector
from ...tools.random import unit_interval, words

# Populations, int64 [populations, UNIT_COLUMNS].
NEURONS, EVENTS, POISSON = 0, 1, 2
(
    KIND,
    SIZE,
    FLOW,  # addresses of the neuron's compiled functions
    JUMP,
    CROSSING,
    FIRE,
    CONSTANT,  # address: float64, what these take as `c`
    STRIDE,  # bytes from the constants of a unit to those of the next: 0 where all share them
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
    # they are reached one by one, so they lie together; 0: every delay is the route's one delay
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

# Counters of a run, int64.
HEAPED, TOUCHED, STALLED, SPIKES, WORK, WHO, UNIT, NEED, COUNTERS = range(9)

# What `run` returns: there is more to do; all is done; the list of population WHO or the queue of projection WHO needs
# room for NEED entries; unit UNIT of population WHO fires for ever at one moment; its crossing is not a number.
PAUSED, DONE, LIST_FULL, QUEUE_FULL, STUCK, BROKEN = range(6)

# Moments in a row at one time after which a unit counts as firing for ever.
MOST_AT_ONCE = 1_000_000


def _caller(result, kinds):
    """An intrinsic that calls the function at an address. Pointers are passed as the whole numbers they are."""

    def emit(context, builder, signature, arguments):
        values = [context.get_value_type(kind) for kind in signature.args[1:]]
        returned = ir.VoidType() if result == types.void else context.get_value_type(result)
        function = ir.FunctionType(returned, values)
        value = builder.call(builder.inttoptr(arguments[0], function.as_pointer()), arguments[1:])
        return context.get_dummy_value() if result == types.void else value

    return result(types.intp, *kinds), emit


@intrinsic
def _flow(typing, address, state, elapsed, constants):
    return _caller(types.void, (types.intp, types.float64, types.intp))


@intrinsic
def _jump(typing, address, state, receptor, weight, constants):
    return _caller(types.void, (types.intp, types.int64, types.float64, types.intp))


@intrinsic
def _crossing(typing, address, state, constants):
    return _caller(types.float64, (types.intp, types.intp))


@intrinsic
def _fire(typing, address, state, constants):
    return _caller(types.void, (types.intp, types.intp))


@njit(cache=True, nogil=True)
def start(
    units, rates, source_next, stimuli, stimulus_rates, stimulus_next, owner, keys, places, heap, asks, counters, trial
):
    """Predict the first crossing of every neuron and draw the first spike of every Poisson process, at time 0.

    The other arguments are those of `run`, all in their initial state.
    """
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


@njit(cache=True, nogil=True)
def run(  # noqa: PLR0912 - the event loop
    units,
    rates,
    source_next,
    stimuli,
    stimulus_weights,
    stimulus_rates,
    stimulus_next,
    routes,
    route_weights,
    route_delays,
    heads,
    probes,
    intervals,
    scratch,
    owner,
    keys,
    places,
    heap,
    asks,
    touched,
    now,
    counters,
    until,
    budget,
    trial,
):
    """Everything that happens up to `until`, at it included, or until about `budget` flows were made.

    Args:
        units, stimuli, routes, probes: the tables above; `rates` [populations] and `stimulus_rates` [stimuli] are
            spikes/s of all units together, `stimulus_weights` [stimuli], `route_weights` and `route_delays` [routes]
            the one weight and the one or shortest delay, `intervals` [probes] in s.
        source_next, stimulus_next, heads: s, when each Poisson population and stimulus spikes next and each
            projection has its next arrival; inf for never.
        scratch: float64, as long as the longest state.
        owner: int32 [neurons], the population of each.
        keys, places, heap, asks: [neurons] the crossing predicted for each, where it is in the heap (-1: not), the
            heap of numbers, and whether it is no crossing but a moment to ask again.
        touched: int32 [neurons], scratch.
        now: float64 [1], the last moment done.

    Returns:
        one of PAUSED, DONE, LIST_FULL, QUEUE_FULL, STUCK and BROKEN.
    """
    units, stimuli, routes, probes = _bare2(units), _bare2(stimuli), _bare2(routes), _bare2(probes)
    source_next, stimulus_next, heads, now = _bare(source_next), _bare(stimulus_next), _bare(heads), _bare(now)
    owner, keys, places, heap, asks = _bare(owner), _bare(keys), _bare(places), _bare(heap), _bare(asks)
    touched, counters, scratch = _bare(touched), _bare(counters), _bare(scratch)
    worked, listed = counters[WORK], -1
    while counters[WORK] - worked < budget:
        t = _next(source_next, stimulus_next, heads, keys, heap, counters)
        for k in range(probes.shape[0]):
            _sample(units[probes[k, P_POPULATION]], probes[k], intervals[k], min(t, until), scratch)
        if not t <= until:
            return DONE
        full = _full(units, routes, route_delays, heads, t, listed, counters)
        if full != PAUSED:
            return full
        listed = counters[SPIKES]
        counters[STALLED] = counters[STALLED] + 1 if t == now[0] else 0
        if counters[STALLED] > MOST_AT_ONCE:
            counters[WHO] = owner[heap[0]] if counters[HEAPED] else 0
            counters[UNIT] = heap[0] - units[counters[WHO], FIRST]
            return STUCK
        now[0] = t
        counters[TOUCHED] = 0
        counters[WORK] += 1
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
        for k in range(counters[TOUCHED]):
            p = owner[touched[k]]
            unit, i = units[p], touched[k] - units[p, FIRST]
            state = unit[STATE] + i * unit[WIDTH] + 8
            _predict(unit, i, state, t, keys, places, heap, asks, counters, p)
        if counters[HEAPED] and keys[heap[0]] <= t:
            _fire_all(units, t, owner, keys, places, heap, asks, touched, scratch, counters)
        if counters[UNIT] >= 0:
            return BROKEN
        if counters[SPIKES] != listed:
            for r in range(routes.shape[0]):
                heads[r] = _head(units, routes[r], route_delays[r])
    return PAUSED


@njit(inline="always")
def _bare(array):
    """The same without its owner: numba counts references to every view of an array that has one, atomically."""
    return vector(array.ctypes.data, array.size, array.dtype.type(0))


@njit(inline="always")
def _bare2(array):
    return matrix(array.ctypes.data, array.shape[0], array.shape[1], array.dtype.type(0))


@njit(cache=True, nogil=True)
def _next(source_next, stimulus_next, heads, keys, heap, counters):
    """When something happens next."""
    t = keys[heap[0]] if counters[HEAPED] else math.inf
    for r in range(heads.size):
        t = min(t, heads[r])
    for p in range(source_next.size):
        t = min(t, source_next[p])
    for s in range(stimulus_next.size):
        t = min(t, stimulus_next[s])
    return t


@njit(cache=True, nogil=True)
def _full(units, routes, delays, heads, t, listed, counters):
    """Whether some list or queue might not hold what this moment adds to it; PAUSED for no.

    listed: spikes there were when lists were last found to have room.
    """
    if counters[SPIKES] != listed:
        for p in range(units.shape[0]):
            # At most one spike a unit.
            need = units[p, COUNT] + units[p, SIZE]
            if units[p, KEEP] and units[p, KIND] != EVENTS and need > units[p, ROOM]:
                counters[WHO], counters[NEED] = p, need
                return LIST_FULL
    for r in range(routes.shape[0]):
        if routes[r, R_DELAYS] and heads[r] <= t:
            source, k = units[routes[r, R_SOURCE]], routes[r, R_CURSOR]
            times = vector(source[TIMES], source[COUNT], 0.0)
            while k < times.size and times[k] + delays[r] <= t:
                k += 1
            need = routes[r, Q_COUNT] + k - routes[r, R_CURSOR]
            if need > routes[r, Q_ROOM]:
                counters[WHO], counters[NEED] = r, need
                return QUEUE_FULL
    return PAUSED


@njit(cache=True, nogil=True)
def _sample(unit, probe, interval, t, scratch):
    """Samples due up to `t`: the state flows to each in a copy, so that sampling disturbs nothing."""
    n = probe[P_COUNT]
    chosen = vector(probe[P_UNITS], n, np.int32(0))
    while probe[P_DONE] < probe[P_SAMPLES] and probe[P_DONE] * interval <= t:
        out = vector(probe[P_OUT] + probe[P_DONE] * n * 8, n, 0.0)
        at = probe[P_DONE] * interval
        for i in range(n):
            _look(unit, chosen[i], at, scratch)
            out[i] = scratch[probe[P_ROW]]
        probe[P_DONE] += 1


@njit(cache=True, nogil=True)
def _draw(key, drawn, trial, size, rate, t):
    """The unit and the moment of spike number `drawn` of a Poisson process, the one before being at `t`."""
    if rate <= 0.0:
        return 0, math.inf
    a, b, c, d = words(uint64(key), uint64(drawn), uint64(trial))
    # At most 1 - 2^-53, or the gap would be zero.
    gap = -math.log(min(unit_interval(a, b), 0.9999999999999999)) / rate
    return min(np.int64(unit_interval(c, d) * size), size - 1), t + gap


@njit(cache=True, nogil=True)
def _stimulate(units, stimulus, weight, t, touched, counters):
    unit = units[stimulus[S_TARGET]]
    row = unit[STATE] + stimulus[S_NEXT] * unit[WIDTH]
    _reach(unit, row, stimulus[S_NEXT], t, touched, counters)
    _jump(unit[JUMP], row + 8, stimulus[S_RECEPTOR], weight, _constants(unit, stimulus[S_NEXT]))
    stimulus[S_DRAWN] += 1


@njit(inline="always")
def _constants(unit, i):
    """Address of the constants of unit i."""
    return unit[CONSTANT] + i * unit[STRIDE]


@njit(inline="always")
def _reach(unit, row, i, t, touched, counters):
    """Bring unit i to the moment t, unless it is there."""
    moment = vector(row, 1, 0.0)
    if moment[0] != t:
        _flow(unit[FLOW], row + 8, t - moment[0], _constants(unit, i))
        moment[0] = t
        touched[counters[TOUCHED]] = unit[FIRST] + i
        counters[TOUCHED] += 1
        counters[WORK] += 1
        unit[FLOWS] += 1


@njit(cache=True, nogil=True)
def _arrive(units, route, weight, delay, t, touched, counters):
    """Everything that this projection delivers at the moment t."""
    source = units[route[R_SOURCE]]
    times, spiked = vector(source[TIMES], source[COUNT], 0.0), vector(source[UNITS], source[COUNT], np.int32(0))
    offsets = vector(route[R_OFFSETS], route[R_SOURCES] + 1, np.int64(0))
    if route[R_DELAYS] == 0:
        while route[R_CURSOR] < times.size and times[route[R_CURSOR]] + delay <= t:
            i = spiked[route[R_CURSOR]]
            _deliver(units[route[R_TARGET]], route, offsets[i], offsets[i + 1], weight, t, touched, counters)
            route[R_CURSOR] += 1
        return
    unit, synapses = units[route[R_TARGET]], route[R_DELAYS]
    while route[R_CURSOR] < times.size and times[route[R_CURSOR]] + delay <= t:
        at, i = times[route[R_CURSOR]], spiked[route[R_CURSOR]]
        first = offsets[i]
        if first < offsets[i + 1]:
            _rise(route[QUEUE], route[Q_COUNT], at + vector(synapses + 24 * first, 1, 0.0)[0], i, first, at)
            route[Q_COUNT] += 1
        route[R_CURSOR] += 1
    top = vector(route[QUEUE], 4, 0.0)
    while route[Q_COUNT] and top[0] <= t:
        i, place = np.int64(top[1]), np.int64(top[2])
        synapse = vector(synapses + 24 * place, 3, 0.0)
        k = np.int64(synapse[2])
        row = unit[STATE] + k * unit[WIDTH]
        _reach(unit, row, k, t, touched, counters)
        _jump(unit[JUMP], row + 8, route[R_RECEPTOR], synapse[1], _constants(unit, k))
        route[R_OPERATIONS] += synapse[1] != 0.0
        if place + 1 < offsets[i + 1]:
            # The spike's next synapse. Each delay is added to the moment of the spike itself.
            due = top[3] + vector(synapses + 24 * place + 24, 1, 0.0)[0]
            _sink(route[QUEUE], route[Q_COUNT], due, i, place + 1, top[3])
        else:
            route[Q_COUNT] -= 1
            last = vector(route[QUEUE] + 32 * route[Q_COUNT], 4, 0.0)
            _sink(route[QUEUE], route[Q_COUNT], last[0], last[1], last[2], last[3])


@njit(cache=True, nogil=True)
def _deliver(unit, route, first, last, weight, t, touched, counters):
    """Add synapses `first` to `last - 1` to their targets."""
    flow, jump, constant, stride, width = unit[FLOW], unit[JUMP], unit[CONSTANT], unit[STRIDE], unit[WIDTH]
    state, base, receptor = unit[STATE], unit[FIRST], route[R_RECEPTOR]
    targets = vector(route[R_TARGETS] + first * 4, last - first, np.uint32(0))
    own = route[R_WEIGHTS] != 0
    weights = vector(route[R_WEIGHTS] + first * 8 if own else route[R_TARGETS], last - first, 0.0)
    reached, nonzero = counters[TOUCHED], 0
    for k in range(last - first):
        i = np.int64(targets[k])
        row = state + i * width
        moment = vector(row, 1, 0.0)
        if moment[0] != t:
            _flow(flow, row + 8, t - moment[0], constant + i * stride)
            moment[0] = t
            touched[reached] = base + i
            reached += 1
        w = weights[k] if own else weight
        _jump(jump, row + 8, receptor, w, constant + i * stride)
        nonzero += w != 0.0
    unit[FLOWS] += reached - counters[TOUCHED]
    counters[WORK] += last - first
    counters[TOUCHED] = reached
    route[R_OPERATIONS] += nonzero


@njit(cache=True, nogil=True)
def _head(units, route, delay):
    """When this projection has its next arrival."""
    source = units[route[R_SOURCE]]
    t = vector(route[QUEUE], 1, 0.0)[0] if route[Q_COUNT] else math.inf
    if route[R_CURSOR] < source[COUNT]:
        t = min(t, vector(source[TIMES], source[COUNT], 0.0)[route[R_CURSOR]] + delay)
    return t


@njit(inline="always")
def _before(queue, k, at, source, place):
    """Whether entry k comes before (at, source, place)."""
    if queue[4 * k] != at:
        return queue[4 * k] < at
    if queue[4 * k + 1] != source:
        return queue[4 * k + 1] < source
    return queue[4 * k + 2] < place


@njit(inline="always")
def _put(queue, k, at, source, place, spiked):
    queue[4 * k], queue[4 * k + 1], queue[4 * k + 2], queue[4 * k + 3] = at, source, place, spiked


@njit(inline="always")
def _move(queue, k, to):
    _put(queue, to, queue[4 * k], queue[4 * k + 1], queue[4 * k + 2], queue[4 * k + 3])


@njit(cache=True, nogil=True)
def _rise(address, count, at, source, place, spiked):
    """Put one more entry into a heap of `count`."""
    queue = vector(address, 4 * (count + 1), 0.0)
    k = count
    while k and not _before(queue, (k - 1) // 2, at, source, place):
        _move(queue, (k - 1) // 2, k)
        k = (k - 1) // 2
    _put(queue, k, at, source, place, spiked)


@njit(cache=True, nogil=True)
def _sink(address, count, at, source, place, spiked):
    """Put an entry in place of the first of a heap of `count`."""
    queue = vector(address, 4 * (count + 1), 0.0)
    k = 0
    while True:
        child = 2 * k + 1
        if child + 1 < count:
            other = 4 * (child + 1)
            child += _before(queue, child + 1, queue[other - 4], queue[other - 3], queue[other - 2])
        if child >= count or not _before(queue, child, at, source, place):
            break
        _move(queue, child, k)
        k = child
    _put(queue, k, at, source, place, spiked)


@njit(cache=True, nogil=True)
def _append(unit, t, i, counters):
    vector(unit[TALLY], unit[SIZE], np.int64(0))[i] += 1
    counters[SPIKES] += 1
    if unit[KEEP]:
        vector(unit[TIMES], unit[ROOM], 0.0)[unit[COUNT]] = t
        vector(unit[UNITS], unit[ROOM], np.int32(0))[unit[COUNT]] = i
        unit[COUNT] += 1


@njit(cache=True, nogil=True)
def _predict(unit, i, state, t, keys, places, heap, asks, counters, p):
    """Ask unit i for its next crossing, `state` being the address of its state at the moment t, and note it."""
    ahead = _crossing(unit[CROSSING], state, _constants(unit, i))
    number = unit[FIRST] + i
    if math.isnan(ahead):
        counters[WHO], counters[UNIT] = p, i
        ahead = math.inf
    asks[number] = ahead < 0.0
    at = t + abs(ahead)
    if at < math.inf or places[number] >= 0:
        _place(number, at, keys, places, heap, counters)


@njit(cache=True, nogil=True)
def _fire_all(units, t, owner, keys, places, heap, asks, due, scratch, counters):
    """Units whose crossing is now, by number: taken out of the heap first, so that each fires once in this pass."""
    count = 0
    while counters[HEAPED] and keys[heap[0]] <= t:
        due[count] = heap[0]
        count += 1
        _place(heap[0], math.inf, keys, places, heap, counters)
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
            _flow(unit[FLOW], row + 8, t - moment[0], _constants(unit, i))
            moment[0] = t
            unit[FLOWS] += 1
        _fire(unit[FIRE], row + 8, _constants(unit, i))
        _append(unit, t, i, counters)
        _predict(unit, i, row + 8, t, keys, places, heap, asks, counters, p)


@njit(cache=True, nogil=True)
def _look(unit, i, t, scratch):
    """The state of unit i at the moment t, in `scratch`."""
    width = unit[WIDTH] // 8
    kept = vector(unit[STATE] + i * unit[WIDTH], width, 0.0)
    for j in range(width - 1):
        scratch[j] = kept[1 + j]
    if t > kept[0]:
        _flow(unit[FLOW], scratch.ctypes.data, t - kept[0], _constants(unit, i))


@njit(cache=True, nogil=True)
def _place(number, t, keys, places, heap, counters):
    """Put, move or (t inf) take out the entry of a unit."""
    at = places[number]
    if t == math.inf:
        if at >= 0:
            places[number] = -1
            counters[HEAPED] -= 1
            last = heap[counters[HEAPED]]
            if last != number:
                heap[at] = last
                places[last] = at
                _settle(at, keys, places, heap, counters[HEAPED])
        return
    keys[number] = t
    if at < 0:
        at = counters[HEAPED]
        counters[HEAPED] += 1
        heap[at] = number
        places[number] = at
    _settle(at, keys, places, heap, counters[HEAPED])


@njit(cache=True, nogil=True)
def _earlier(keys, a, b):
    return keys[a] < keys[b] or (keys[a] == keys[b] and a < b)


@njit(cache=True, nogil=True)
def _settle(at, keys, places, heap, count):
    """Move the entry at place `at` up or down to where it belongs."""
    number = heap[at]
    while at and _earlier(keys, number, heap[(at - 1) // 2]):
        heap[at] = heap[(at - 1) // 2]
        places[heap[at]] = at
        at = (at - 1) // 2
    while True:
        child = 2 * at + 1
        if child + 1 < count and _earlier(keys, heap[child + 1], heap[child]):
            child += 1
        if child >= count or not _earlier(keys, heap[child], number):
            break
        heap[at] = heap[child]
        places[heap[at]] = at
        at = child
    heap[at] = number
    places[number] = at
