"""Spikes that arrive at plastic synapses: what their rows deliver, by chance or surely, and what they change."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

from ...tools.compiled import compiled
from ...tools.intrinsics import prefetch
from ...tools.pointers import matrix, vector
from ...tools.random import unit_interval, words
from .plastic import (
    BLOCK_SLOTS,
    CUT_BLOCK,
    CUT_COLUMNS,
    CUTS,
    DELAY,
    FIRST,
    FULL,
    KEY,
    LAST,
    LOG_START,
    NEXT_DELAY,
    OFFSET,
    ORDINALS,
    PART,
    PRE,
    RECEPTOR,
    RELEASED,
    RESOURCES,
    RULE,
    SHORT,
    SOURCE_BEGIN,
    SOURCE_END,
    SOURCES,
    STEP,
    SYNAPSES,
    THREAD,
    UNITS,
    WAITS,
    WEIGHTS,
    begin_step,
    draw_of,
    first_index,
    learning_of,
    member,
    place_in_log,
    waiting_of,
)
from .plasticity import TRACE_COLUMNS, after_arrival, on_arrival
from .short_term import SITES, USED, binomial, refilled, release
from .waiting import catch_up


class Rows(NamedTuple):
    """The synapses of one delay onto the targets of a thread, and the states of their sources."""

    targets: NDArray[np.uint32]
    """[synapses]."""
    weights: NDArray[Any]
    """[synapses]."""
    cuts: NDArray[np.int64]
    """[sources, CUT_COLUMNS], the synapses of source i onto the targets of this thread lie from cuts[i, first] to
    cuts[i, last], and those onto block b from cuts[i, b - CUT_BLOCK] to the next."""
    first: int
    last: int
    short: NDArray[np.float64]
    """[4], parameters of short-term plasticity; empty without."""
    resources: NDArray[np.float64]
    """[sources, 3], its state."""
    ordinals: NDArray[np.uint32]
    """[sources], spikes of a source in this step so far, where synapses transmit by chance; else empty."""
    line: NDArray[Any]
    """[slots], the sums of the receptor."""


def on_pre(entry, context, log, log_offsets, sums):
    """Process the rewards and spikes that reach the targets of this thread in this step; add to sums, real [receptors,
    slots].
    """
    real = sums.dtype.type(0)
    begin_step(entry, context, log_offsets, real)
    if context[STEP] - entry[DELAY] < context[LOG_START]:
        return
    rows = _rows_of(entry, context, sums)
    learning = learning_of(entry, context[THREAD])
    waiting = waiting_of(entry, context[THREAD])
    at = place_in_log(entry, context)
    for home in range(entry[SOURCE_BEGIN], entry[SOURCE_END]):
        end = log_offsets[home, at + 1]
        for f in range(log_offsets[home, at], end):
            # The row of the next spike is fetched while this one is read.
            following = log[home, min(f + 1, end - 1)]
            _arrive(entry, context, rows, learning, waiting, log[home, f], following)
    _clear_ordinals(entry, at, log, log_offsets, rows.ordinals)


@njit(inline="always")
def _rows_of(entry, context, sums):
    """Return the `Rows` of a delay."""
    real = sums.dtype.type(0)
    thread = context[THREAD]
    sources = entry[SOURCES]
    has_short = entry[SHORT] != 0
    by_chance = entry[RELEASED] != 0 or entry[FULL] != 0
    return Rows(
        vector(entry[UNITS], entry[SYNAPSES], np.uint32(0)),
        vector(entry[WEIGHTS], entry[SYNAPSES], real),
        matrix(entry[CUTS], sources, entry[CUT_COLUMNS], np.int64(0)),
        context[FIRST] - entry[CUT_BLOCK],
        context[LAST] - entry[CUT_BLOCK],
        vector(entry[SHORT], 4 if has_short else 0, 0.0),
        matrix(entry[RESOURCES] + thread * sources * 24, sources if has_short else 0, 3, 0.0),
        vector(entry[ORDINALS] + thread * sources * 4, sources if by_chance else 0, np.uint32(0)),
        sums[entry[RECEPTOR]],
    )


# Inlined, with the loops over synapses: a call for each row and delay took as long as its ten synapses.
@njit(inline="always")
def _arrive(entry, context, rows, learning, waiting, i, following):
    """Deliver a spike of source i, and change its synapses; the row of source `following` is fetched meanwhile."""
    cuts = rows.cuts
    filled = 0.0
    gain = 1.0
    if rows.short.size:
        fired = context[STEP] - entry[DELAY]
        filled = refilled(rows.short, rows.resources, i, fired)
        gain = release(rows.short, rows.resources, i, fired)
    # Columns of cuts from those of a delay to those of the next.
    later = entry[NEXT_DELAY]
    if later:
        # The part of the next delay is read soon, often in the next step.
        _fetch(rows.targets, rows.weights, cuts[i, rows.first + later], cuts[i, rows.last + later])
        traces = member(entry, 1)[PRE] + context[THREAD] * entry[SOURCES] * TRACE_COLUMNS * 8
        prefetch(traces + i * TRACE_COLUMNS * 8)
    begin = cuts[i, rows.first]
    end = cuts[i, rows.last]
    next_begin = cuts[following, rows.first]
    if entry[WAITS]:
        catch_up(learning, waiting, i, begin, end, next_begin, rows.targets, rows.weights)
    else:
        _fetch(rows.targets, rows.weights, next_begin, cuts[following, rows.last])
    for c in range(rows.first, rows.last):
        if cuts[i, c] != cuts[i, c + 1]:
            # The slot of a unit of this block is its number and a shift.
            block = c + entry[CUT_BLOCK]
            row = rows.line[block * (context[BLOCK_SLOTS] - context[PART]) + context[OFFSET] :]
            _deliver(entry, context, rows, learning, i, c, gain, filled, row)
    if entry[RULE]:
        after_arrival(learning, context[STEP], i)
    elif rows.ordinals.size:
        rows.ordinals[i] += np.uint32(1)


@njit(inline="always")
def _deliver(entry, context, rows, learning, i, c, gain, filled, row):
    """Deliver a spike of source i to its synapses onto one block, those of column c of the cuts.

    Args:
        gain, filled: of short-term plasticity, what `release` and `refilled` return.
        row: the sums of the block, from the slot that unit 0 would have.
    """
    begin = rows.cuts[i, c]
    end = rows.cuts[i, c + 1]
    if entry[RULE]:
        on_arrival(learning, context[STEP], i, begin, end, rows.targets, rows.weights, gain, row)
    elif entry[RELEASED]:
        index = first_index(entry, i, rows.ordinals[i])
        _transmit(entry, index, draw_of(context), begin, end, gain, row)
    elif entry[FULL]:
        index = first_index(entry, i, rows.ordinals[i])
        _release_quanta(entry, index, draw_of(context), begin, end, filled, rows.resources[i, USED], row)
    else:
        for s in range(begin, end):
            row[rows.targets[s]] += rows.weights[s] * row.dtype.type(gain)


@compiled
def _fetch(targets, weights, begin, end):
    """Ask for the synapses `begin` to `end - 1`, which are read next."""
    target = targets.ctypes.data
    weight = weights.ctypes.data
    for s in range(begin, end, 16):
        prefetch(target + s * targets.itemsize)
        prefetch(weight + s * weights.itemsize)


@compiled
def _transmit(entry, first_index, draw, begin, end, gain, row):
    """Add the weights of those synapses of a row that transmit this spike: each draws for itself.

    Args:
        first_index: of the draws of this spike, as `plastic.first_index` returns it for its number in the step.
    """
    targets = vector(entry[UNITS], entry[SYNAPSES], np.uint32(0))
    weights = vector(entry[WEIGHTS], entry[SYNAPSES], row.dtype.type(0))
    share = vector(entry[RELEASED], 1, 0.0)[0]
    real = row.dtype.type(gain)
    for s in range(begin, end):
        high, low, _, _ = words(uint64(entry[KEY]), first_index + uint64(s), draw)
        if unit_interval(high, low) < share:
            row[targets[s]] += weights[s] * real


@compiled
def _release_quanta(entry, first_index, draw, begin, end, filled, used, row):
    """Fill the empty sites of synapses of a row with probability `filled`, empty full ones with probability `used`, and
    add the weights by the part of the sites that released.

    Args:
        first_index: as for `_transmit`.
    """
    targets = vector(entry[UNITS], entry[SYNAPSES], np.uint32(0))
    weights = vector(entry[WEIGHTS], entry[SYNAPSES], row.dtype.type(0))
    full = vector(entry[FULL], entry[SYNAPSES], np.uint8(0))
    sites = vector(entry[SHORT], 4, 0.0)[SITES]
    count = np.int64(sites)
    for s in range(begin, end):
        a, b, c, d = words(uint64(entry[KEY]), first_index + uint64(s), draw)
        ready = np.int64(full[s])
        ready += binomial(count - ready, filled, unit_interval(a, b))
        released = binomial(ready, used, unit_interval(c, d))
        full[s] = np.uint8(ready - released)
        row[targets[s]] += weights[s] * row.dtype.type(released / sites)


@compiled
def _clear_ordinals(entry, at, log, log_offsets, ordinals):
    """Set the ordinals of the sources that fired in a step, whose place in the offsets is `at`, to 0."""
    if ordinals.size == 0:
        return
    for home in range(entry[SOURCE_BEGIN], entry[SOURCE_END]):
        for f in range(log_offsets[home, at], log_offsets[home, at + 1]):
            ordinals[log[home, f]] = 0
