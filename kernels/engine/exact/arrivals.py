"""Add what reaches neurons at a moment of continuous time: spikes of projections and of Poisson stimuli."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, uint64

from ...tools.compiled import compiled
from ...tools.pointers import vector
from ...tools.random import unit_interval, words
from .calls import call_flow, call_jump
from .columns import (
    CONSTANT,
    COUNT,
    FIRST,
    FLOW,
    FLOWS,
    JUMP,
    Q_COUNT,
    QUEUE,
    R_CURSOR,
    R_DELAYS,
    R_OFFSETS,
    R_OPERATIONS,
    R_RECEPTOR,
    R_SOURCE,
    R_SOURCES,
    R_TARGET,
    R_TARGETS,
    R_WEIGHTS,
    S_DRAWN,
    S_KEY,
    S_NEXT,
    S_RECEPTOR,
    S_SIZE,
    S_TARGET,
    STATE,
    STRIDE,
    TIMES,
    TOUCHED,
    UNITS,
    WIDTH,
    WORK,
)
from .heaps import push_spike, replace_first_spike


@compiled
def draw(key, drawn, trial, size, rate, t):
    """Return unit and moment of spike number `drawn` of a Poisson process whose last spike was at `t`."""
    if rate <= 0.0:
        return 0, math.inf
    a, b, c, d = words(uint64(key), uint64(drawn), uint64(trial))
    # At most 1 - 2^-53, or the gap would be zero.
    gap = -math.log(min(unit_interval(a, b), 0.9999999999999999)) / rate
    return min(np.int64(unit_interval(c, d) * size), size - 1), t + gap


# Inlined, as others that are called at every moment or for every spike: as functions they took a third of a run.
@njit(inline="always")
def constants_of(unit, i):
    """Return the address of the constants of unit i."""
    return unit[CONSTANT] + i * unit[STRIDE]


@njit(inline="always")
def flow_to(unit, row, i, t):
    """Bring unit i, whose row is at the address `row`, to the moment t; return whether that took a flow."""
    moment = vector(row, 1, 0.0)
    flows = moment[0] != t
    if flows:
        call_flow(unit[FLOW], row + 8, t - moment[0], constants_of(unit, i))
        moment[0] = t
        unit[FLOWS] += 1
    return flows


@njit(inline="always")
def _reach(unit, row, i, t, touched, counters):
    """Bring unit i to the moment t as `flow_to`, and list it as touched."""
    if flow_to(unit, row, i, t):
        touched[counters[TOUCHED]] = unit[FIRST] + i
        counters[TOUCHED] += 1
        counters[WORK] += 1


@compiled
def _stimulate(units, stimulus, weight, t, touched, counters):
    """Add the next spike of Poisson input to its unit."""
    unit = units[stimulus[S_TARGET]]
    row = unit[STATE] + stimulus[S_NEXT] * unit[WIDTH]
    _reach(unit, row, stimulus[S_NEXT], t, touched, counters)
    call_jump(unit[JUMP], row + 8, stimulus[S_RECEPTOR], weight, constants_of(unit, stimulus[S_NEXT]))
    stimulus[S_DRAWN] += 1


@njit(inline="always")
def arrive_all(tables, moments, t, touched, counters):
    """Deliver what is due at the moment t, by projection."""
    for r in range(tables.routes.shape[0]):
        if moments.heads[r] <= t:
            route = tables.routes[r]
            delay = tables.route_delays[r]
            _arrive(tables.units, route, tables.route_weights[r], delay, t, touched, counters)
            moments.heads[r] = head(tables.units, route, delay)


@njit(inline="always")
def stimulate_all(tables, moments, t, touched, counters, trial):
    """Add the spikes of Poisson stimuli up to the moment t."""
    for s in range(tables.stimuli.shape[0]):
        while moments.stimulus_next[s] <= t:
            _stimulate(tables.units, tables.stimuli[s], tables.stimulus_weights[s], t, touched, counters)
            draw_stimulus(tables, s, t, moments, trial)


@njit(inline="always")
def draw_stimulus(tables, s, t, moments, trial):
    """Draw the next spike of a Poisson stimulus after the moment t."""
    row = tables.stimuli[s]
    rate = tables.stimulus_rates[s]
    row[S_NEXT], moments.stimulus_next[s] = draw(row[S_KEY], row[S_DRAWN], trial, row[S_SIZE], rate, t)


@compiled
def head(units, route, delay):
    """Return the moment of the next arrival of a projection."""
    source = units[route[R_SOURCE]]
    if route[Q_COUNT]:
        t = vector(route[QUEUE], 1, 0.0)[0]
    else:
        t = math.inf
    if route[R_CURSOR] < source[COUNT]:
        t = min(t, vector(source[TIMES], source[COUNT], 0.0)[route[R_CURSOR]] + delay)
    return t


@njit(inline="always")
def _arrive(units, route, weight, delay, t, touched, counters):
    """Deliver everything that is due in a projection at the moment t."""
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
        call_jump(unit[JUMP], row + 8, route[R_RECEPTOR], synapse[1], constants_of(unit, k))
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
    # What all of them share is read once.
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
        w = weight
        if own:
            w = weights[k]
        call_jump(jump, row + 8, receptor, w, constant + i * stride)
        nonzero += w != 0.0
    unit[FLOWS] += reached - counters[TOUCHED]
    counters[WORK] += last - first
    counters[TOUCHED] = reached
    route[R_OPERATIONS] += nonzero
