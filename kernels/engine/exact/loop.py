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

What reaches neurons is in `arrivals`. The columns of the tables are named in `columns`, and filled by
`neurosim.engine.exact.workspace`. What belongs together comes as one group of `views`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ...tools.compiled import compiled
from ...tools.pointers import bare_matrix, bare_vector, vector
from .arrivals import arrive_all, constants_of, draw, draw_stimulus, flow_to, head, stimulate_all
from .calls import call_crossing, call_fire, call_flow
from .columns import (
    BROKEN,
    COUNT,
    CROSSING,
    DONE,
    DRAWN,
    EVENTS,
    FIRE,
    FIRST,
    FLOW,
    HEAPED,
    KEEP,
    KEY,
    KIND,
    LIST_FULL,
    NEED,
    NEURONS,
    NEXT,
    P_COUNT,
    P_DONE,
    P_OUT,
    P_POPULATION,
    P_ROW,
    P_SAMPLES,
    P_UNITS,
    PAUSED,
    POISSON,
    Q_COUNT,
    Q_ROOM,
    QUEUE_FULL,
    R_CURSOR,
    R_DELAYS,
    R_SOURCE,
    ROOM,
    SIZE,
    SPIKES,
    STALLED,
    STATE,
    STUCK,
    TALLY,
    TIMES,
    TOUCHED,
    UNIT,
    UNITS,
    WHO,
    WIDTH,
    WORK,
)
from .heaps import place_crossing
from .views import Crossings, ExactTables, Moments

# Passes at one moment after which a unit counts as firing forever.
MAX_AT_ONCE = 1_000_000
# s, below which moments count as one for that: near 0 s, floats tell moments of 1e-300 s apart.
AT_ONCE = 1e-15


@njit(inline="always")
def _bare(tables, moments, crossings):
    """Return the groups without the owners of their arrays, see `tools.pointers.bare_vector`."""
    return (
        ExactTables(
            bare_matrix(tables.units),
            bare_vector(tables.rates),
            bare_matrix(tables.stimuli),
            bare_vector(tables.stimulus_weights),
            bare_vector(tables.stimulus_rates),
            bare_matrix(tables.routes),
            bare_vector(tables.route_weights),
            bare_vector(tables.route_delays),
            bare_matrix(tables.probes),
            bare_vector(tables.intervals),
            bare_vector(tables.owner),
        ),
        Moments(
            bare_vector(moments.source_next),
            bare_vector(moments.stimulus_next),
            bare_vector(moments.heads),
            bare_vector(moments.now),
        ),
        Crossings(
            bare_vector(crossings.keys),
            bare_vector(crossings.places),
            bare_vector(crossings.heap),
            bare_vector(crossings.asks),
        ),
    )


@compiled
def start(tables, moments, crossings, counters, trial):
    """Predict the first crossing of every neuron and draw the first spike of every Poisson process, at time 0.

    The groups are as in `run`, all in their initial state.
    """
    tables, moments, crossings = _bare(tables, moments, crossings)
    counters = bare_vector(counters)
    for p in range(tables.units.shape[0]):
        unit = tables.units[p]
        if unit[KIND] == NEURONS:
            for i in range(unit[SIZE]):
                _predict(unit, p, i, unit[STATE] + i * unit[WIDTH] + 8, 0.0, crossings, counters)
        elif unit[KIND] == POISSON:
            _draw_source(tables, p, 0.0, moments, trial)
    for s in range(tables.stimuli.shape[0]):
        draw_stimulus(tables, s, 0.0, moments, trial)


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
    tables, moments, crossings = _bare(tables, moments, crossings)
    touched = bare_vector(touched)
    counters = bare_vector(counters)
    scratch = bare_vector(scratch)
    worked = counters[WORK]
    listed = -1
    while counters[WORK] - worked < budget:
        t = _next(moments, crossings, counters)
        # 1. Probes sample the state before t.
        _sample_all(tables, min(t, until), scratch)
        if not t <= until:
            return DONE
        # Nothing of this moment is done until there is room for all of it: the caller makes room and comes back.
        full = _full(tables.units, tables.routes, tables.route_delays, moments.heads, t, listed, counters)
        if full != PAUSED:
            return full
        listed = counters[SPIKES]
        if _is_stuck(tables, moments, crossings, t, counters):
            return STUCK
        moments.now[0] = t
        counters[TOUCHED] = 0
        counters[WORK] += 1
        # 2. Arrivals, by projection, then Poisson stimuli; sources spike.
        arrive_all(tables, moments, t, touched, counters)
        stimulate_all(tables, moments, t, touched, counters, trial)
        _play_sources(tables, moments, t, counters, trial)
        # 3. Units that received are asked for their next crossing.
        for k in range(counters[TOUCHED]):
            p = tables.owner[touched[k]]
            unit = tables.units[p]
            i = touched[k] - unit[FIRST]
            _predict(unit, p, i, unit[STATE] + i * unit[WIDTH] + 8, t, crossings, counters)
        # 4. Units whose crossing is now fire.
        if counters[HEAPED] and crossings.keys[crossings.heap[0]] <= t:
            _fire_all(tables.units, tables.owner, t, crossings, touched, scratch, counters)
        if counters[UNIT] >= 0:
            return BROKEN
        # New spikes in a list are new arrivals of the projections that read it.
        if counters[SPIKES] != listed:
            for r in range(tables.routes.shape[0]):
                moments.heads[r] = head(tables.units, tables.routes[r], tables.route_delays[r])
    return PAUSED


# Inlined, as others below that are called at every moment: as functions they took a third of a run.
@njit(inline="always")
def _next(moments, crossings, counters):
    """Return the moment of the next event."""
    t = math.inf
    if counters[HEAPED]:
        t = crossings.keys[crossings.heap[0]]
    for r in range(moments.heads.size):
        t = min(t, moments.heads[r])
    for p in range(moments.source_next.size):
        t = min(t, moments.source_next[p])
    for s in range(moments.stimulus_next.size):
        t = min(t, moments.stimulus_next[s])
    return t


@njit(inline="always")
def _sample_all(tables, t, scratch):
    """Take the samples of all probes that are due up to `t`."""
    for k in range(tables.probes.shape[0]):
        probe = tables.probes[k]
        _sample(tables.units[probe[P_POPULATION]], probe, tables.intervals[k], t, scratch)


@compiled
def _full(units, routes, delays, heads, t, listed, counters):
    """Return which list or queue might be too short for the moment t; PAUSED for none.

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


@njit(inline="always")
def _is_stuck(tables, moments, crossings, t, counters):
    """Count a pass at the moment t; return whether time has stood still for too many, for the unit that is noted."""
    if t - moments.now[0] < AT_ONCE:
        counters[STALLED] = counters[STALLED] + 1
    else:
        counters[STALLED] = 0
    stuck = counters[STALLED] > MAX_AT_ONCE
    if stuck:
        counters[WHO] = 0
        counters[UNIT] = 0
        # Without neurons nothing is queued: sources alone hold the time up.
        if counters[HEAPED]:
            number = crossings.heap[0]
            counters[WHO] = tables.owner[number]
            counters[UNIT] = number - tables.units[counters[WHO], FIRST]
    return stuck


@njit(inline="always")
def _play_sources(tables, moments, t, counters, trial):
    """Let Poisson populations spike up to the moment t, as far as their lists have room."""
    for p in range(tables.units.shape[0]):
        unit = tables.units[p]
        while moments.source_next[p] <= t and (unit[KEEP] == 0 or unit[COUNT] < unit[ROOM]):
            _append(unit, t, unit[NEXT], counters)
            unit[DRAWN] += 1
            _draw_source(tables, p, t, moments, trial)


@njit(inline="always")
def _draw_source(tables, p, t, moments, trial):
    """Draw the next spike of a Poisson population after the moment t."""
    unit = tables.units[p]
    unit[NEXT], moments.source_next[p] = draw(unit[KEY], unit[DRAWN], trial, unit[SIZE], tables.rates[p], t)


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
def _predict(unit, p, i, state, t, crossings, counters):
    """Predict the next crossing of unit i of population p, and put it into the heap.

    Args:
        state: address of its state at the moment t.
    """
    ahead = call_crossing(unit[CROSSING], state, constants_of(unit, i))
    number = unit[FIRST] + i
    if math.isnan(ahead):
        counters[WHO] = p
        counters[UNIT] = i
        ahead = math.inf
    crossings.asks[number] = ahead < 0.0
    at = t + abs(ahead)
    if at < math.inf or crossings.places[number] >= 0:
        place_crossing(number, at, crossings, counters)


@compiled
def _fire_all(units, owner, t, crossings, due, scratch, counters):
    """Fire the units whose crossing is now, by number; they leave the heap first, so that each fires once in a pass."""
    count = 0
    while counters[HEAPED] and crossings.keys[crossings.heap[0]] <= t:
        due[count] = crossings.heap[0]
        count += 1
        place_crossing(crossings.heap[0], math.inf, crossings, counters)
    for k in range(count):
        p = owner[due[k]]
        unit = units[p]
        i = due[k] - unit[FIRST]
        counters[WORK] += 1
        if crossings.asks[due[k]]:
            # A look ahead changes nothing: it is made on a copy.
            _look(unit, i, t, scratch)
            _predict(unit, p, i, scratch.ctypes.data, t, crossings, counters)
            continue
        row = unit[STATE] + i * unit[WIDTH]
        flow_to(unit, row, i, t)
        call_fire(unit[FIRE], row + 8, constants_of(unit, i))
        _append(unit, t, i, counters)
        _predict(unit, p, i, row + 8, t, crossings, counters)


@compiled
def _look(unit, i, t, scratch):
    """Copy the state of unit i at the moment t to `scratch`."""
    width = unit[WIDTH] // 8
    own = vector(unit[STATE] + i * unit[WIDTH], width, 0.0)
    for j in range(width - 1):
        scratch[j] = own[1 + j]
    if t > own[0]:
        call_flow(unit[FLOW], scratch.ctypes.data, t - own[0], constants_of(unit, i))
