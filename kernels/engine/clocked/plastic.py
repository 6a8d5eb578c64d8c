"""The part of the clocked run that learns: lessons, each the synapses of a projection that have one delay.

A lesson keeps its rows as a compressed sparse matrix of its own, for its weights change; targets are unit numbers,
ascending in a row, so that those in a block lie together. See `plasticity` for what happens to the weights and
`deliver` for blocks, the log and its marks.

The run loop calls `arrive` and `respond` by the addresses that `addresses` gives, so that they are compiled where a
network learns and cost nothing where none does.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
from llvmlite import ir
from numba import cfunc, from_dtype, njit, types
from numba.extending import intrinsic

from ...tools.pointers import matrix, vector
from .plasticity import (
    REWARD_ENTRIES,
    RULE_ENTRIES,
    TRACE_COLUMNS,
    advance_reward,
    after_arrival,
    on_arrival,
    on_post,
    release,
)

# Lessons, int64 [lessons, LESSON_COLUMNS]. Arrays whose use a lesson lacks are 0.
(
    SOURCE,
    SOURCES,  # units
    TARGET,
    TARGETS,  # units
    RECEPTOR,
    DELAY,
    SYNAPSES,
    CUTS,  # address: int64 [SOURCES, blocks + 1], which synapses of a row lie in which block
    UNITS,  # address: uint32 [SYNAPSES], targets
    WEIGHTS,  # address: real [SYNAPSES]
    RULE,  # address: float64 [RULE_ENTRIES]; 0: the weights stay
    DECAY,  # address: float64 [4, DECAYS]
    DECAYS,
    PRE,  # address: float64 [threads, SOURCES, TRACE_COLUMNS]
    POST,  # address: float64 [TARGETS, TRACE_COLUMNS]
    IN_OFFSETS,  # address: int64 [TARGETS + 1]
    IN_SYNAPSES,  # address: uint32 [SYNAPSES]
    IN_SOURCES,  # address: uint32 [SYNAPSES]
    ELIGIBILITY,  # address: float64 [SYNAPSES, 2]
    REWARD,  # address: float64 [threads, REWARD_ENTRIES]
    REWARDER,  # the population whose spikes are the reward
    REWARD_DELAY,
    SHORT,  # address: float64 [3], parameters of short-term plasticity; 0: there is none
    RESOURCES,  # address: float64 [threads, SOURCES, 3]
    ARRIVE,  # addresses of the compiled functions
    RESPOND,
    LESSON_COLUMNS,
) = range(27)

# Where the run loop stands, int64 [WHERE_ENTRIES]; PART and OFFSET are those of the target, see `loop`.
(
    THREAD,
    POPULATIONS,
    ORIGIN,
    STEP,
    FIRST,  # arrive: the first of the thread's blocks; respond: of the spikes, in the log of the block
    LAST,
    PART,
    OFFSET,
    BLOCK_SLOTS,
    WHERE_ENTRIES,
) = range(10)


def cut_reference(offsets, targets, part, blocks):
    """The specification of `cut`: [sources, blocks + 1], the first synapse of each row in each block and after it."""
    limits = np.arange(blocks + 1) * part
    rows = itertools.pairwise(offsets)
    return np.array([a + np.searchsorted(targets[a:z], limits) for a, z in rows])


@njit(cache=True, nogil=True)
def cut(offsets, targets, part, cuts):
    """Fill cuts, int64 [sources, blocks + 1], for blocks of `part` targets."""
    for i in range(cuts.shape[0]):
        s = offsets[i]
        for b in range(cuts.shape[1]):
            while s < offsets[i + 1] and targets[s] < b * part:
                s += 1
            cuts[i, b] = s


@functools.cache
def addresses(real):
    """The addresses of `arrive` and `respond`, compiled for sums of a dtype; valid as long as the process."""
    whole, number = types.int64, from_dtype(np.dtype(real))
    lesson, where = types.Array(whole, 1, "C"), types.Array(whole, 1, "C")
    log, marks, sums = types.Array(types.int32, 2, "C"), types.Array(whole, 2, "C"), types.Array(number, 2, "C")
    signature = types.void(lesson, where, log, marks, sums)
    return tuple(_compiled(signature, function) for function in (arrive, respond))


_KEPT = []  # compiled functions, whose addresses are handed out


def _compiled(signature, function):
    _KEPT.append(cfunc(signature, cache=True, error_model="numpy")(function))
    return _KEPT[-1].address


@intrinsic
def call_lesson(typing, address, lesson, where, log, marks, sums):
    """Call `arrive` or `respond` at `address`."""

    def emit(context, builder, signature, arguments):
        kinds = [context.get_value_type(kind) for kind in signature.args[1:]]
        function = ir.FunctionType(ir.VoidType(), kinds)
        builder.call(builder.inttoptr(arguments[0], function.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(types.intp, lesson, where, log, marks, sums), emit


@njit(cache=True, nogil=True)
def stand(where, thread, populations, origin, step, first, last, part, offset, block_slots):
    """Fill `where`."""
    where[THREAD], where[POPULATIONS], where[ORIGIN], where[STEP] = thread, populations, origin, step
    where[FIRST], where[LAST] = first, last
    where[PART], where[OFFSET], where[BLOCK_SLOTS] = part, offset, block_slots


def arrive(lesson, where, log, marks, sums):
    """Rewards and spikes that arrive in this step, at the targets in the thread's blocks; what they deliver is added to
    sums, real [receptors, slots].
    """
    thread, step, real = where[THREAD], where[STEP], sums.dtype.type(0)
    begin_block, end_block, part = where[FIRST], where[LAST], where[PART]
    sources, synapses, blocks = lesson[SOURCES], lesson[SYNAPSES], log.shape[0]
    weights = vector(lesson[WEIGHTS], synapses, real)
    rule, decay, pre, post, eligibility, reward = _learning(lesson, thread)
    if lesson[ELIGIBILITY]:
        size = lesson[TARGETS]
        first, last = min(begin_block * part, size), min(end_block * part, size)
        count = _fired(where, log, marks, step - lesson[REWARD_DELAY], lesson[REWARDER])
        in_offsets = vector(lesson[IN_OFFSETS], size + 1, np.int64(0))
        in_synapses = vector(lesson[IN_SYNAPSES], synapses, np.uint32(0))
        advance_reward(rule, step, count, first, last, in_offsets, in_synapses, weights, eligibility, reward)
    if step - lesson[DELAY] < where[ORIGIN]:
        return
    cuts = matrix(lesson[CUTS], sources, blocks + 1, np.int64(0))
    targets = vector(lesson[UNITS], synapses, np.uint32(0))
    short = vector(lesson[SHORT], 3 if lesson[SHORT] else 0, 0.0)
    resources = matrix(lesson[RESOURCES] + thread * sources * 24, sources if short.size else 0, 3, 0.0)
    line = sums[lesson[RECEPTOR]]
    at = (step - lesson[DELAY] - where[ORIGIN]) * where[POPULATIONS] + lesson[SOURCE]
    for home in range(blocks):
        for f in range(marks[home, at], marks[home, at + 1]):
            i = log[home, f]
            gain = release(short, resources, i, step - lesson[DELAY]) if short.size else 1.0
            for b in range(begin_block, end_block):
                a, z = cuts[i, b], cuts[i, b + 1]
                if a == z:
                    continue
                # The slot of a unit of this block is its number and a shift.
                row = line[b * (where[BLOCK_SLOTS] - part) + where[OFFSET] :]
                if lesson[RULE]:
                    on_arrival(rule, decay, step, i, a, z, targets, weights, pre, post, eligibility, reward, gain, row)
                else:
                    for s in range(a, z):
                        row[targets[s]] += weights[s] * line.dtype.type(gain)
            if lesson[RULE]:
                after_arrival(rule, decay, step, i, pre)


def respond(lesson, where, log, marks, sums):
    """Targets have fired in this step: those of the first row of log from FIRST to LAST - 1. marks are not used."""
    if not lesson[RULE]:
        return
    synapses = lesson[SYNAPSES]
    weights = vector(lesson[WEIGHTS], synapses, sums.dtype.type(0))
    rule, decay, pre, post, eligibility, reward = _learning(lesson, where[THREAD])
    in_offsets = vector(lesson[IN_OFFSETS], lesson[TARGETS] + 1, np.int64(0))
    in_synapses = vector(lesson[IN_SYNAPSES], synapses, np.uint32(0))
    in_sources = vector(lesson[IN_SOURCES], synapses, np.uint32(0))
    index = in_offsets, in_synapses, in_sources
    for f in range(where[FIRST], where[LAST]):
        on_post(rule, decay, where[STEP], log[0, f], *index, weights, pre, post, eligibility, reward)


@njit(cache=True, nogil=True)
def _learning(lesson, thread):
    """The arrays of a rule as this thread sees them; all empty where there is none."""
    learns, modulated = lesson[RULE] != 0, lesson[ELIGIBILITY] != 0
    sources = lesson[SOURCES] if learns else 0
    return (
        vector(lesson[RULE], RULE_ENTRIES if learns else 0, 0.0),
        matrix(lesson[DECAY], 4 if learns else 0, lesson[DECAYS], 0.0),
        matrix(lesson[PRE] + thread * sources * TRACE_COLUMNS * 8, sources, TRACE_COLUMNS, 0.0),
        matrix(lesson[POST], lesson[TARGETS] if learns else 0, TRACE_COLUMNS, 0.0),
        matrix(lesson[ELIGIBILITY], lesson[SYNAPSES] if modulated else 0, 2, 0.0),
        vector(lesson[REWARD] + thread * REWARD_ENTRIES * 8, REWARD_ENTRIES if modulated else 0, 0.0),
    )


@njit(cache=True, nogil=True)
def _fired(where, log, marks, step, population):
    """Spikes of a population in a step."""
    count = 0
    if step >= where[ORIGIN]:
        at = (step - where[ORIGIN]) * where[POPULATIONS] + population
        for b in range(log.shape[0]):
            count += marks[b, at + 1] - marks[b, at]
    return count
