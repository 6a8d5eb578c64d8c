"""Plastic synapses in the clocked run: the synapses of a projection with one delay are one entry of a table.

Their weights change, so an entry has its rows as a compressed sparse matrix; targets are unit numbers, ascending in a
row, so that those in a block are together. See `plasticity` for the changes of weights, and `deliver` for blocks, the
log and its offsets.

The run loop calls `plastic_arrivals.on_pre`, `on_post`, `on_post_modulated` and `on_soma` by the addresses that
`address_of_rule` returns, so that they are compiled only for networks that learn and cost nothing elsewhere.
"""

from __future__ import annotations

import itertools

import numpy as np
from llvmlite import ir
from numba import from_dtype, types, uint64
from numba.extending import intrinsic

from ...tools.compiled import compiled
from ...tools.pointers import address_of, matrix, vector
from ...tools.random import normal_at
from .homeostasis import EVERY, HOME_ENTRIES, TOTAL, incoming_sum, record_spike, scale, scaling_factor
from .plasticity import (
    REWARD_ENTRIES,
    RULE_ENTRIES,
    TRACE_COLUMNS,
    Incoming,
    Learning,
    advance_reward,
    on_target_spike,
    settle,
)
from .views import PIECE
from .waiting import FOUND, LINE, Waiting, catch_up_target, forget, is_full, wait

# Plastic synapses, int64 [entries, PLASTIC_COLUMNS]. Addresses of arrays that an entry does not have are 0.
(
    SOURCE,  # its entry in the log, see `deliver.schedule`, and the blocks that hold its units
    SOURCE_BEGIN,
    SOURCE_END,
    SOURCES,  # units
    TARGET,
    TARGETS,  # units
    RECEPTOR,
    DELAY,
    SYNAPSES,
    CUTS,  # address: int64 [SOURCES, CUT_COLUMNS], which synapses of a row lie in which block
    CUT_BLOCK,  # the first block of the process, which the first column is of
    CUT_COLUMNS,  # blocks of the process, times the delays that share WEIGHTS, and one
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
    REWARDER,  # the population whose spikes are the reward: its entry in the log and its blocks
    REWARDER_BEGIN,
    REWARDER_END,
    REWARD_DELAY,
    SHORT,  # address: float64 [4], parameters of short-term plasticity; 0: there is none
    RESOURCES,  # address: float64 [threads, SOURCES, 3]
    ON_PRE,  # address of the compiled function
    RELEASED,  # address: float64 [1], the probability that a synapse transmits a spike; 0: it always does
    KEY,  # of that draw, and of released quanta
    ORDINALS,  # address: uint32 [threads, SOURCES], spikes of each source read in this step; 0 between steps
    HOME,  # address: float64 [HOME_ENTRIES], the rule of homeostasis; 0: there is none
    GROUP,  # number of entries of the projection, which follow one another, in the first of them; 0 in the others
    ACTIVITY,  # address: float64 [TARGETS, 2]
    BEFORE,  # address: int64 [SOURCES], what to add to the number of a synapse in the draw; 0: nothing
    VARIABLES,  # address: float64 [SYNAPSES, variables + 1] of a model; the last is the step of the last event
    NUMBERS,  # address: float64, its constants
    TARGET_STATE,  # address: real, the states of the target as `loop` has them
    TARGET_STATES,  # number of its states
    TARGET_PART,  # PART and SHIFT of the target, see `loop`
    TARGET_SHIFT,
    FULL,  # address: uint8 [SYNAPSES], full release sites; 0: a spike delivers the mean
    WAITS,  # address: int32 [TARGETS * LINE], see `waiting`; 0: spikes of targets change weights at once
    WAIT_FACTORS,  # address: float64 [TARGETS * LINE, 2]; 0 where all are alike
    WAIT_FOUND,  # address: int64 [threads, FOUND]
    NEXT_DELAY,  # columns of CUTS from a part of a row to that of the next entry, which follows it in memory; 0: none
    SHARING,  # number of entries, from this one, that share spikes that wait and POST; 0 in the others
    PLASTIC_COLUMNS,
) = range(51)

# Functions that targets call when they fire, int64 [posts, POST_COLUMNS], sorted by target.
(
    POST_ENTRY,  # row of the plastic synapses
    POST_DELAY,  # steps from the spike of a target to the call
    POST_CALLED,  # address of `on_post`, `on_post_modulated` or `on_soma`
    POST_COLUMNS,
) = range(4)

# The context of a call, int64 [CONTEXT_ENTRIES]; PART, SHIFT and OFFSET are of the target, see `loop`.
(
    THREAD,
    POPULATIONS,
    LOG_START,
    STEP,
    FIRST,  # on_pre: the first block of the thread; on_post, on_soma: the first spike in the log of the block
    LAST,
    PART,
    SHIFT,
    OFFSET,
    BLOCK_SLOTS,
    TRIAL,
    CONTEXT_ENTRIES,
) = range(12)


def cut_reference(offsets, targets, part, shift, blocks):
    """Specify `cut`: [sources, blocks + 1], the first synapse of each row in each block and after it."""
    limits = np.arange(blocks + 1) * part - shift
    rows = itertools.pairwise(offsets)
    return np.array([a + np.searchsorted(targets[a:z], limits) for a, z in rows])


@compiled
def cut(offsets, targets, part, shift, cuts):
    """Fill cuts, int64 [sources, blocks + 1], for blocks of `part` targets, the first of which lacks `shift`."""
    for i in range(cuts.shape[0]):
        s = offsets[i]
        for b in range(cuts.shape[1]):
            while s < offsets[i + 1] and targets[s] < b * part - shift:
                s += 1
            cuts[i, b] = s


def address_of_rule(function: object, real: object) -> int:
    """Return the address of a function that the run loop calls, compiled for sums of a dtype."""
    whole = types.int64
    number = from_dtype(np.dtype(real))
    entry = types.Array(whole, 1, "C")
    context = types.Array(whole, 1, "C")
    log = types.Array(types.int32, 2, "C")
    log_offsets = types.Array(whole, 2, "C")
    sums = types.Array(number, 2, "C")
    return address_of(function, entry, context, log, log_offsets, sums)


@intrinsic
def call_plastic(typing, address, entry, context, log, log_offsets, sums):
    """Call such a function at `address`."""

    def emit(context, builder, signature, arguments):
        kinds = [context.get_value_type(kind) for kind in signature.args[1:]]
        function = ir.FunctionType(ir.VoidType(), kinds)
        builder.call(builder.inttoptr(arguments[0], function.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(types.intp, entry, context, log, log_offsets, sums), emit


def on_post(entry, context, log, log_offsets, sums):
    """Process target spikes that reach their synapses in this step: those of the first row of log from FIRST to
    LAST - 1.

    entry: the first of those that share the spikes.
    """
    learning = learning_of(entry, context[THREAD])
    waiting = waiting_of(entry, context[THREAD])
    for f in range(context[FIRST], context[LAST]):
        target = log[0, f]
        if is_full(waiting, target):
            for k in range(entry[SHARING]):
                _catch_up_target(member(entry, k), context, target, sums.dtype.type(0))
            forget(waiting, target)
        wait(learning, waiting, context[STEP], target)


def on_post_modulated(entry, context, log, log_offsets, sums):
    """Do the same for a rule with a reward, at once."""
    weights = vector(entry[WEIGHTS], entry[SYNAPSES], sums.dtype.type(0))
    learning = learning_of(entry, context[THREAD])
    incoming = incoming_of(entry)
    for f in range(context[FIRST], context[LAST]):
        on_target_spike(learning, incoming, weights, context[STEP], log[0, f])


def on_soma(entry, context, log, log_offsets, sums):
    """Record targets that fire in this step, for homeostasis: those of the first row of log from FIRST to LAST - 1."""
    home = vector(entry[HOME], HOME_ENTRIES, 0.0)
    activity = matrix(entry[ACTIVITY], entry[TARGETS], 2, 0.0)
    for f in range(context[FIRST], context[LAST]):
        record_spike(home, activity, log[0, f], context[STEP])


@compiled
def begin_step(entry, context, log_offsets, real):
    """Bring all entries of a projection to this step, if this is its first."""
    if entry[GROUP]:
        _begin_step(entry, context, log_offsets, real)


@compiled
def place_in_log(entry, context):
    """Return the place in the offsets of the log of the spikes that arrive in this step."""
    return (context[STEP] - entry[DELAY] - context[LOG_START]) * context[POPULATIONS] + entry[SOURCE]


@compiled
def target_state(entry, real, row, unit):
    """Return a state of a unit of the target."""
    begin = (unit + entry[TARGET_SHIFT]) // entry[TARGET_PART] * entry[TARGET_PART] - entry[TARGET_SHIFT]
    first = begin + (unit - begin) // PIECE * PIECE
    size = min(PIECE, min(begin + entry[TARGET_PART], entry[TARGETS]) - first)
    state = vector(entry[TARGET_STATE], entry[TARGET_STATES] * entry[TARGETS], real)
    return state[entry[TARGET_STATES] * first + row * size + unit - first]


@compiled
def noise_at(entry, context, source, s, number):
    """Return the standard normal number of synapse s, of `source`, in this step; `number` counts those of a step."""
    return normal_at(uint64(entry[KEY]), first_index(entry, source, number) + uint64(s), draw_of(context))


@compiled
def draw_of(context):
    """Return the number of this step among the draws of a stream: that of the trial above that of the step."""
    return uint64(context[TRIAL]) << uint64(32) | uint64(context[STEP])


@compiled
def first_index(entry, source, number):
    """Return the index of random draw `number` of a step of synapse 0; that of synapse s, of `source`, is s more.

    Draws are keyed by the number of a synapse in the whole projection, so that they do not depend on which process
    holds which targets.
    """
    before = np.int64(0)
    if entry[BEFORE]:
        before = vector(entry[BEFORE], entry[SOURCES], np.int64(0))[source]
    # Above the number of the synapse, which is below 2^40.
    return (uint64(number) << uint64(40)) + uint64(before)


@compiled
def member(entry, k):
    """Return entry number k of a projection, from its first."""
    return vector(entry.ctypes.data + k * PLASTIC_COLUMNS * 8, PLASTIC_COLUMNS, np.int64(0))


@compiled
def _own_targets(entry, context):
    """Return the first target of this thread, and the one after its last."""
    part = context[PART]
    size = entry[TARGETS]
    first = min(max(context[FIRST] * part - context[SHIFT], 0), size)
    last = min(max(context[LAST] * part - context[SHIFT], 0), size)
    return first, last


@compiled
def _begin_step(entry, context, log_offsets, real):
    """Bring all entries of a projection to this step, from its first.

    Homeostasis needs every weight up to date and no arrival of this step, so this comes before the arrivals of each.
    """
    if entry[ELIGIBILITY]:
        for k in range(entry[GROUP]):
            _advance_reward(member(entry, k), context, log_offsets, real)
    if entry[HOME]:
        _hold(entry, context, real)


@compiled
def _advance_reward(entry, context, log_offsets, real):
    """Bring the reward of an entry to this step."""
    first, last = _own_targets(entry, context)
    count = _fired(context, log_offsets, context[STEP] - entry[REWARD_DELAY], entry)
    weights = vector(entry[WEIGHTS], entry[SYNAPSES], real)
    advance_reward(learning_of(entry, context[THREAD]), incoming_of(entry), weights, context[STEP], count, first, last)


@compiled
def _hold(entry, context, real):
    """Multiply the weights of a projection onto each target of this thread, if this is the step for it."""
    rule = vector(entry[HOME], HOME_ENTRIES, 0.0)
    step = context[STEP]
    if step == 0 or step % np.int64(rule[EVERY]) != 0:
        return
    activity = matrix(entry[ACTIVITY], entry[TARGETS], 2, 0.0)
    first, last = _own_targets(entry, context)
    for target in range(first, last):
        # All delays of the projection come before any is scaled: the factor is of their sum.
        total = 0.0
        for k in range(entry[GROUP]):
            total += _weight_onto(member(entry, k), context, target, real)
        factor = scaling_factor(rule, activity, target, step)
        # NaN, unequal to itself: no total is held, and the factor is that of the rates.
        if rule[TOTAL] == rule[TOTAL]:
            # A sum of the other sign, or of 0, no factor brings to the total.
            if total * rule[TOTAL] > 0.0:
                factor = rule[TOTAL] / total
            else:
                factor = 1.0
        for k in range(entry[GROUP]):
            each = member(entry, k)
            weights = vector(each[WEIGHTS], each[SYNAPSES], real)
            incoming = incoming_of(each)
            scale(rule, incoming.offsets, incoming.synapses, weights, target, factor)
            if each[WAITS]:
                forget(waiting_of(each, context[THREAD]), target)


@compiled
def _weight_onto(entry, context, target, real):
    """Bring the weights of an entry onto a target up to date, and return their sum."""
    weights = vector(entry[WEIGHTS], entry[SYNAPSES], real)
    incoming = incoming_of(entry)
    if entry[WAITS]:
        _catch_up_target(entry, context, target, real)
    elif entry[ELIGIBILITY]:
        learning = learning_of(entry, context[THREAD])
        for i in range(incoming.offsets[target], incoming.offsets[target + 1]):
            settle(learning, weights, incoming.synapses[i])
    return incoming_sum(incoming.offsets, incoming.synapses, weights, target)


@compiled
def incoming_of(entry):
    """Return the synapses of an entry by target."""
    return Incoming(
        vector(entry[IN_OFFSETS], entry[TARGETS] + 1, np.int64(0)),
        vector(entry[IN_SYNAPSES], entry[SYNAPSES], np.uint32(0)),
        vector(entry[IN_SOURCES], entry[SYNAPSES], np.uint32(0)),
    )


@compiled
def learning_of(entry, thread):
    """Return the arrays of a rule as this thread sees them; all empty without a rule."""
    learns = entry[RULE] != 0
    modulated = entry[ELIGIBILITY] != 0
    sources = entry[SOURCES] if learns else 0
    return Learning(
        vector(entry[RULE], RULE_ENTRIES if learns else 0, 0.0),
        matrix(entry[DECAY], 4 if learns else 0, entry[DECAYS], 0.0),
        matrix(entry[PRE] + thread * sources * TRACE_COLUMNS * 8, sources, TRACE_COLUMNS, 0.0),
        matrix(entry[POST], entry[TARGETS] if learns else 0, TRACE_COLUMNS, 0.0),
        matrix(entry[ELIGIBILITY], entry[SYNAPSES] if modulated else 0, 2, 0.0),
        vector(entry[REWARD] + thread * REWARD_ENTRIES * 8, REWARD_ENTRIES if modulated else 0, 0.0),
    )


@compiled
def waiting_of(entry, thread):
    """Return the spikes of targets that wait for their synapses; all empty where none do."""
    size = entry[TARGETS] * LINE if entry[WAITS] else 0
    return Waiting(
        vector(entry[WAITS], size, np.int32(0)),
        matrix(entry[WAIT_FACTORS], size if entry[WAIT_FACTORS] else 0, 2, 0.0),
        vector(entry[WAIT_FOUND] + thread * FOUND * 8, FOUND if size else 0, np.int64(0)),
    )


@compiled
def _catch_up_target(entry, context, target, real):
    """Apply the spikes of a target that wait to its synapses of an entry."""
    weights = vector(entry[WEIGHTS], entry[SYNAPSES], real)
    learning = learning_of(entry, context[THREAD])
    catch_up_target(learning, waiting_of(entry, context[THREAD]), incoming_of(entry), weights, target)


@compiled
def _fired(context, log_offsets, step, entry):
    """Return the number of spikes of the rewarding population in a step."""
    count = 0
    if step >= context[LOG_START]:
        at = (step - context[LOG_START]) * context[POPULATIONS] + entry[REWARDER]
        for b in range(entry[REWARDER_BEGIN], entry[REWARDER_END]):
            count += log_offsets[b, at + 1] - log_offsets[b, at]
    return count
