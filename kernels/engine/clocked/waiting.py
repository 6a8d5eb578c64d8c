"""Spikes of plastic targets that wait until a spike of a source reads its row.

A spike of a target changes synapses in many rows, each on a cache line of its own. Nothing reads their weights before
the next spike of their source, which reads the whole row: so the steps of the last spikes of each target are kept, and
a row meets them there. Each synapse is changed by the same operations in the same order as if none had waited.

Delays of a projection that see a target's spikes at the same time share its traces and the spikes that wait.

Whoever reads weights otherwise calls `catch_up_target` or `catch_up_all` first. Rules with a reward do not wait: their
changes depend on it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from ...tools.compiled import compiled
from ...tools.intrinsics import INT32, INT64, prefetch
from ...tools.pointers import bare_matrix, bare_vector
from .plasticity import (
    CONSTANT_POST,
    D_PLUS,
    DECAY,
    FAST,
    LAST,
    MU_PLUS,
    PAIR_PLUS,
    RATE_PLUS,
    TRACE_COLUMNS,
    TRIPLET_PLUS,
    W_MAX,
    W_MIN,
    fast_trace,
    power,
    raise_target,
    trace_decay,
)

# Spikes of a target that wait at most: their steps are a cache line.
LINE = 16
# Synapses of a row that are looked at together: what is found of them stays in the first cache.
CHUNK = 512
# Spikes that may be found, and those that are written beyond the last.
FOUND = CHUNK * LINE + 4


class Waiting(NamedTuple):
    """Spikes that wait, and what a thread needs to apply them; all empty where none wait."""

    steps: NDArray[np.int32]
    """[targets * LINE], steps of spikes of each target, rising, then -1."""
    factors: NDArray[np.float64]
    """[targets * LINE, 2], of each: what `raise_target` returned; empty where `has_factors` says that all are alike."""
    found: NDArray[np.int64]
    """[FOUND], of this thread: number of a synapse among CHUNK << 32 | place in `steps`."""


@compiled
def has_factors(rule):
    """Return whether spikes of a target differ in what they multiply."""
    return rule[TRIPLET_PLUS] != 0.0 or rule[DECAY] != 0.0


def count_from_reference(steps, step):
    """Specify `count_from`, whose argument is the address of steps."""
    return sum(each >= step for each in steps[:LINE])


@intrinsic
def count_from(typing, address, step):
    """Count the LINE int32 at `address` that are at least `step`."""
    wide = ir.VectorType(INT32, LINE)

    def emit(context, builder, signature, arguments):
        values = builder.load(builder.inttoptr(arguments[0], wide.as_pointer()), align=4)
        none = ir.Constant(wide, ir.Undefined)
        one = builder.insert_element(none, arguments[1], INT32(0))
        least = builder.shuffle_vector(one, none, ir.Constant(wide, [0] * LINE))
        flags = builder.bitcast(builder.icmp_signed(">=", values, least), ir.IntType(LINE))
        return builder.zext(builder.ctpop(flags), INT64)

    return types.int64(types.intp, types.int32), emit


@compiled(inline="always")
def catch_up(learning, waiting, source, begin, end, following, targets, weights):
    """Apply the spikes of targets that wait for synapses `begin` to `end - 1`, of the row of a source.

    They came after the last spike of the source: its traces are as they were when each of them came.

    following: the first synapse that is read next, whose row is fetched meanwhile.
    """
    last = np.int32(learning.pre[source, LAST])
    steps = waiting.steps.ctypes.data
    found = bare_vector(waiting.found)
    next_target = targets.ctypes.data + (following - begin) * targets.itemsize
    next_weight = weights.ctypes.data + (following - begin) * weights.itemsize
    for first in range(begin, end, CHUNK):
        stop = min(first + CHUNK, end)
        hit = bare_vector(targets[first:stop])
        count = np.int64(0)
        for k in range(hit.size):
            if k % 16 == 0:
                prefetch(next_target + (first + k) * targets.itemsize)
                prefetch(next_weight + (first + k) * weights.itemsize)
            line = np.int64(hit[k]) * LINE
            # Steps rise, so that those of the last `late` are the ones; -1 ends the line, and counts as none of 0 on.
            late = count_from(steps + line * 4, last)
            each = k << 32 | line + count_from(steps + line * 4, np.int32(0)) - late
            # Four at once, of which those beyond `late` are written over: a branch would not be foreseen.
            found[np.uint64(count)] = each
            found[np.uint64(count + 1)] = each + 1
            found[np.uint64(count + 2)] = each + 2
            found[np.uint64(count + 3)] = each + 3
            # Rarely: without the question a run of STDP took a tenth longer.
            if late > 4:
                for m in range(4, late):
                    found[np.uint64(count + m)] = each + m
            count += late
        _meet(learning, waiting, source, found[:count], weights[first:stop])


@compiled(inline="always")
def _meet(learning, waiting, source, found, weights):
    """Apply spikes that wait to synapses of a source, one after the other."""
    rule = learning.rule
    low = rule[W_MIN]
    high = rule[W_MAX]
    mu = rule[MU_PLUS]
    span = high - low
    constant = rule[CONSTANT_POST]
    pair = rule[PAIR_PLUS]
    differ = has_factors(rule)
    table = bare_vector(learning.decay[D_PLUS])
    rate = rule[RATE_PLUS]
    last = np.int64(learning.pre[source, LAST])
    fast = learning.pre[source, FAST]
    steps = bare_vector(waiting.steps)
    factors = bare_matrix(waiting.factors)
    changed = bare_vector(weights)
    for q in range(found.size):
        s = np.uint64(found[q] >> 32)
        place = np.uint64(found[q] & 0xFFFFFFFF)
        w = np.float64(changed[s])
        r1 = fast * trace_decay(table, rate, steps[place] - last)
        if differ:
            amount = power((high - w) / span, mu) * r1 * factors[place, 0] + constant - factors[place, 1] * w
        else:
            amount = power((high - w) / span, mu) * r1 * pair + constant
        changed[s] = min(max(w + amount, low), high)


@compiled
def catch_up_target(learning, waiting, incoming, weights, target):
    """Apply the spikes of a target that wait to its synapses of one delay; `forget` them once all delays have."""
    # The same operations in the same order as in `_meet`, or the bits of a weight would depend on who reads it first.
    rule = learning.rule
    low = rule[W_MIN]
    high = rule[W_MAX]
    span = high - low
    differ = has_factors(rule)
    traces = bare_vector(learning.pre.reshape(-1))
    table = learning.decay[D_PLUS]
    line = np.int64(target) * LINE
    steps = waiting.steps.ctypes.data + line * 4
    count = count_from(steps, np.int32(0))
    if count == 0:
        return
    for k in range(incoming.offsets[target], incoming.offsets[target + 1]):
        source = incoming.sources[k]
        s = incoming.synapses[k]
        late = count_from(steps, np.int32(traces[np.int64(source) * TRACE_COLUMNS + LAST]))
        for place in range(line + count - late, line + count):
            step = np.int64(waiting.steps[place])
            scale = waiting.factors[place, 0] if differ else rule[PAIR_PLUS]
            forgotten = waiting.factors[place, 1] if differ else 0.0
            w = np.float64(weights[s])
            r1 = fast_trace(traces, source, table, rule[RATE_PLUS], step)
            amount = power((high - w) / span, rule[MU_PLUS]) * r1 * scale + rule[CONSTANT_POST] - forgotten * w
            weights[s] = min(max(w + amount, low), high)


@compiled
def forget(waiting, target):
    """Remove the spikes of a target that wait."""
    line = np.int64(target) * LINE
    for place in range(line, line + LINE):
        waiting.steps[place] = -1


@compiled
def catch_up_all(learning, waiting, begins, ends, targets, weights):
    """Apply all spikes that wait to the synapses of one delay; they are to be removed once all delays have.

    begins, ends: int64 [sources], where the row of each lies in targets and weights.
    """
    for source in range(begins.size):
        begin = begins[source]
        end = ends[source]
        catch_up(learning, waiting, source, begin, end, end, targets, weights)


@compiled
def is_full(waiting, target):
    """Return whether no further spike of a target can wait."""
    return waiting.steps[np.int64(target) * LINE + LINE - 1] >= 0


@compiled
def wait(learning, waiting, step, target):
    """Process a spike of `target`: it waits for its synapses, and its traces rise. There is room for it."""
    line = np.int64(target) * LINE
    place = line + count_from(waiting.steps.ctypes.data + line * 4, np.int32(0))
    scale, forgotten = raise_target(learning, step, target)
    waiting.steps[place] = step
    if has_factors(learning.rule):
        waiting.factors[place, 0] = scale
        waiting.factors[place, 1] = forgotten
