"""Spikes that arrive at plastic synapses: what their rows deliver, by chance or surely, and what they change."""

from __future__ import annotations

import numpy as np
from numba import uint64

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


def on_pre(entry, context, log, log_offsets, sums):
    """Process the rewards and spikes that reach the targets of this thread in this step; add to sums, real [receptors,
    slots].
    """
    thread = context[THREAD]
    step = context[STEP]
    real = sums.dtype.type(0)
    begin_step(entry, context, log_offsets, real)
    fired = step - entry[DELAY]
    if fired < context[LOG_START]:
        return
    sources = entry[SOURCES]
    targets = vector(entry[UNITS], entry[SYNAPSES], np.uint32(0))
    weights = vector(entry[WEIGHTS], entry[SYNAPSES], real)
    learning = learning_of(entry, thread)
    waiting = waiting_of(entry, thread)
    short = vector(entry[SHORT], 4 if entry[SHORT] else 0, 0.0)
    resources = matrix(entry[RESOURCES] + thread * sources * 24, sources if short.size else 0, 3, 0.0)
    by_chance = entry[RELEASED] != 0 or entry[FULL] != 0
    ordinals = vector(entry[ORDINALS] + thread * sources * 4, sources if by_chance else 0, np.uint32(0))
    # The synapses of source i onto the targets of this thread lie from cuts[i, first_cut] to cuts[i, last_cut].
    cuts = matrix(entry[CUTS], sources, entry[CUT_COLUMNS], np.int64(0))
    first_cut = context[FIRST] - entry[CUT_BLOCK]
    last_cut = context[LAST] - entry[CUT_BLOCK]
    # Columns of cuts from those of a delay to those of the next, whose traces begin at this address.
    later = entry[NEXT_DELAY]
    later_traces = member(entry, 1)[PRE] + thread * sources * TRACE_COLUMNS * 8 if later else 0
    line = sums[entry[RECEPTOR]]
    at = place_in_log(entry, context)
    for home in range(entry[SOURCE_BEGIN], entry[SOURCE_END]):
        for f in range(log_offsets[home, at], log_offsets[home, at + 1]):
            i = log[home, f]
            filled = 0.0
            gain = 1.0
            if short.size:
                filled = refilled(short, resources, i, fired)
                gain = release(short, resources, i, fired)
            # The row of the next spike is fetched while this one is read.
            following = i
            if f + 1 < log_offsets[home, at + 1]:
                following = log[home, f + 1]
            next_begin = cuts[following, first_cut]
            if later:
                # The part of the next delay is read soon, often in the next step.
                _fetch(targets, weights, cuts[i, first_cut + later], cuts[i, last_cut + later])
                prefetch(later_traces + i * TRACE_COLUMNS * 8)
            if entry[WAITS]:
                catch_up(learning, waiting, i, cuts[i, first_cut], cuts[i, last_cut], next_begin, targets, weights)
            else:
                _fetch(targets, weights, next_begin, cuts[following, last_cut])
            for c in range(first_cut, last_cut):
                begin = cuts[i, c]
                end = cuts[i, c + 1]
                if begin == end:
                    continue
                # The slot of a unit of this block is its number and a shift.
                block = c + entry[CUT_BLOCK]
                row = line[block * (context[BLOCK_SLOTS] - context[PART]) + context[OFFSET] :]
                if entry[RULE]:
                    on_arrival(learning, step, i, begin, end, targets, weights, gain, row)
                elif entry[RELEASED]:
                    index = first_index(entry, i, ordinals[i])
                    _transmit(entry, index, draw_of(context), begin, end, gain, row)
                elif entry[FULL]:
                    index = first_index(entry, i, ordinals[i])
                    _release_quanta(entry, index, draw_of(context), begin, end, filled, resources[i, USED], row)
                else:
                    for s in range(begin, end):
                        row[targets[s]] += weights[s] * line.dtype.type(gain)
            if entry[RULE]:
                after_arrival(learning, step, i)
            elif by_chance:
                ordinals[i] += np.uint32(1)
    _clear_ordinals(entry, at, log, log_offsets, ordinals)


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
