"""Plastic weights: the effect of an arriving spike, a spike of the target and a reward on the synapses they reach.

Everything is event-driven. A trace is kept as its value at its unit's last spike and decays, exactly, when it is read.
An array of traces is float64 [units, TRACE_COLUMNS]. Weights are real [synapses], in rows of sources as the run loop
delivers them; `Incoming` has them by target.

A thread works on the synapses of its own targets. What is kept per source, and the reward, every thread keeps for
itself; all come to the same values, for each is told of every spike.

The rule is `neurosim.network.plasticity.base.Terms`, as a vector whose entries are the constants below.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...tools.compiled import compiled
from ...tools.intrinsics import prefetch
from ...tools.pointers import bare_vector

# Traces: their values at step LAST.
FAST = 0
SLOW = 1
LAST = 2
TRACE_COLUMNS = 4

# The rule, float64 [RULE_ENTRIES].
(
    W_MIN,
    W_MAX,
    PAIR_PLUS,
    TRIPLET_PLUS,
    CONSTANT_POST,
    MU_PLUS,
    PAIR_MINUS,
    TRIPLET_MINUS,
    CONSTANT_PRE,
    MU_MINUS,
    DECAY,
    NEAREST,  # 1: a spike sets traces to 1; 0: it raises them by 1
    RATE_PLUS,  # dt / tau of the four traces: r1
    RATE_X,  # r2
    RATE_MINUS,  # o1
    RATE_Y,  # o2
    MODULATED,  # 1: changes go to eligibility traces, and there is a reward
    RATE_C,  # dt / tau_c
    RATE_D,  # dt / tau_d
    DT,
    SIZE,  # of a reward, 1/s
    BASELINE,
    RULE_ENTRIES,
) = range(23)

# Rows of decay tables, float64 [4, steps]: exp(-k dt / tau).
D_PLUS, D_X, D_MINUS, D_Y = range(4)

# The reward, float64 [REWARD_ENTRIES]: see `advance_reward`.
DOPAMINE, INTEGRAL, SCALE, REWARD_ENTRIES = range(4)

# Eligibility, float64 [synapses, 2]: the trace over SCALE, and INTEGRAL when its weight was last brought up to date.
TRACE = 0
SEEN = 1

# Number of tau_c after which eligibility traces over SCALE are renewed, before SCALE loses too many digits.
RENEW_AFTER = 8.0

# Synapses of a target whose weights are prefetched.
AHEAD = 24


class Learning(NamedTuple):
    """The arrays of a rule as a thread sees them; all empty where a projection has none."""

    rule: NDArray[np.float64]
    """[RULE_ENTRIES]."""
    decay: NDArray[np.float64]
    """[4, steps], see `decay_tables`."""
    pre: NDArray[np.float64]
    """[sources, TRACE_COLUMNS], of this thread."""
    post: NDArray[np.float64]
    """[targets, TRACE_COLUMNS]."""
    eligibility: NDArray[np.float64]
    """[synapses, 2], see `advance_reward`; empty where the rule is not modulated."""
    reward: NDArray[np.float64]
    """[REWARD_ENTRIES], of this thread, at first 0, 0, 1; empty where the rule is not modulated."""


class Incoming(NamedTuple):
    """Synapses by target: those onto target j are `synapses[offsets[j]:offsets[j + 1]]`."""

    offsets: NDArray[np.int64]
    """[targets + 1]."""
    synapses: NDArray[np.uint32]
    """[synapses], their numbers."""
    sources: NDArray[np.uint32]
    """[synapses], their sources, in the same order."""


def synapse_reference(rule, arrivals, posts, rewards, steps, weight):
    """Specify one synapse: its traces summed over all spikes so far, its equations stepped one by one.

    arrivals, posts, rewards: steps at which spikes arrive, the target fires, rewards arrive; a step listed twice has
    two spikes. Returns [steps] the weight at the end of each step's events, and [arrivals] the weights delivered.
    """

    def trace(spikes, now, rate):
        past = [math.exp(-(now - s) * rate) for s in spikes]
        if rule[NEAREST]:
            return past[-1] if past else 0.0
        return sum(past)

    def part(w):
        return min(max((w - rule[W_MIN]) / (rule[W_MAX] - rule[W_MIN]), 0.0), 1.0)

    def within(w):
        return min(max(w, rule[W_MIN]), rule[W_MAX])

    def change(w, c, amount):
        """Return weight and eligibility after a pairing, which changes the one or the other."""
        if rule[MODULATED]:
            return w, c + amount
        return within(w + amount), c

    pre = []
    post = []
    c = 0.0
    d = 0.0
    history = []
    delivered = []
    for k in range(steps):
        if rule[MODULATED]:
            # Over the last step dw/dt = c (d - baseline), and c and d decay: its integral (Izhikevich 2007).
            both = (rule[RATE_C] + rule[RATE_D]) / rule[DT]
            gain = d * -math.expm1(-both * rule[DT]) / both
            loss = rule[BASELINE] * rule[DT] * -math.expm1(-rule[RATE_C]) / rule[RATE_C]
            weight = within(weight + c * (gain - loss))
            c = c * math.exp(-rule[RATE_C])
            d = d * math.exp(-rule[RATE_D])
            d += rule[SIZE] * list(rewards).count(k)
        # Arrivals come before the target's spikes of the same step, so that these see their trace.
        for _ in range(list(arrivals).count(k)):
            # A spike delivers the weight from before its own pairing.
            delivered.append(weight)
            o1 = trace(post, k, rule[RATE_MINUS])
            r2 = trace(pre, k, rule[RATE_X])
            amount = part(weight) ** rule[MU_MINUS] * o1 * (rule[PAIR_MINUS] + rule[TRIPLET_MINUS] * r2)
            amount += rule[CONSTANT_PRE]
            weight, c = change(weight, c, amount)
            # Only now: of a triplet, r2 is the trace just before the spike (Pfister and Gerstner 2006).
            pre.append(k)
        for _ in range(list(posts).count(k)):
            r1 = trace(pre, k, rule[RATE_PLUS])
            o1 = trace(post, k, rule[RATE_MINUS])
            o2 = trace(post, k, rule[RATE_Y])
            amount = (1 - part(weight)) ** rule[MU_PLUS] * r1 * (rule[PAIR_PLUS] + rule[TRIPLET_PLUS] * o2)
            amount += rule[CONSTANT_POST] - rule[DECAY] * weight * o1
            weight, c = change(weight, c, amount)
            post.append(k)
        history.append(weight)
    return np.array(history), np.array(delivered)


def decay_tables(rule, steps=4096):
    """Return float64 [4, steps]: the decay of the four traces over 0, 1, ... steps; longer times are computed."""
    rates = rule[[RATE_PLUS, RATE_X, RATE_MINUS, RATE_Y]]
    return np.exp(-rates[:, None] * np.arange(steps))


@compiled(inline="always")
def trace_decay(table, rate, elapsed):
    """Return the part of a trace that is left after `elapsed` steps; table: its row of decays."""
    # Unsigned, so that numba does not look for negative indices.
    k = np.uint64(elapsed)
    if k < np.uint64(table.size):
        return table[k]
    return math.exp(-rate * elapsed)


@compiled(inline="always")
def fast_trace(traces, unit, table, rate, step):
    """Return the fast trace of a unit at `step`; traces [units * TRACE_COLUMNS]."""
    at = np.int64(unit) * TRACE_COLUMNS
    return traces[at + FAST] * trace_decay(table, rate, step - np.int64(traces[at + LAST]))


@compiled(inline="always")
def power(x, mu):
    """Return x^mu; common powers without a call."""
    if mu == 0.0:
        return 1.0
    x = max(x, 0.0)  # a weight rounded to float32 may lie beyond its bound
    return x if mu == 1.0 else x**mu


@compiled
def _raise(trace, nearest, fast, slow, step):
    """Raise traces at a spike; `fast` and `slow` are the parts of the old values that are left."""
    trace[FAST] = 1.0 if nearest else trace[FAST] * fast + 1.0
    trace[SLOW] = 1.0 if nearest else trace[SLOW] * slow + 1.0
    trace[LAST] = step


@compiled
def settle(learning, weights, s):
    """Update the weight of synapse `s` with the reward since its last update."""
    rule = learning.rule
    eligibility = learning.eligibility
    integral = learning.reward[INTEGRAL]
    gained = eligibility[s, TRACE] * (integral - eligibility[s, SEEN])
    weights[s] = min(max(weights[s] + gained, rule[W_MIN]), rule[W_MAX])
    eligibility[s, SEEN] = integral


@compiled(inline="always")
def on_arrival(learning, step, source, begin, end, targets, weights, gain, row):
    """Process a spike of `source` at synapses `begin` to `end - 1` of its row.

    It adds `gain` times their weights to `row`, then changes them by the traces of the targets. Once it has reached
    all that a thread owns, `after_arrival` is due.

    row: real, the input of the targets that falls due in this step.
    """
    rule = learning.rule
    decay = learning.decay
    post = learning.post
    own = learning.pre[source]
    # r2 just before this spike, which all synapses of the source share: `after_arrival` raises it.
    slow = own[SLOW] * trace_decay(decay[D_X], rule[RATE_X], step - np.int64(own[LAST]))
    scale = rule[PAIR_MINUS] + rule[TRIPLET_MINUS] * slow
    low = rule[W_MIN]
    high = rule[W_MAX]
    mu = rule[MU_MINUS]
    span = high - low
    part = row.dtype.type(gain)
    constant = rule[CONSTANT_PRE]
    modulated = rule[MODULATED] != 0.0
    table = decay[D_MINUS]
    rate = rule[RATE_MINUS]
    traces = bare_vector(post.reshape(-1))
    hit = bare_vector(targets[begin:end])
    row = bare_vector(row)
    if modulated:
        for k in range(hit.size):
            s = begin + k
            settle(learning, weights, s)
            w = weights[s]
            row[hit[k]] += part * w
            o1 = fast_trace(traces, hit[k], table, rate, step)
            amount = power((w - low) / span, mu) * o1 * scale + constant
            # TRACE is kept over SCALE, see `advance_reward`.
            learning.eligibility[s, TRACE] += amount / learning.reward[SCALE]
        return
    changed = bare_vector(weights[begin:end])
    for k in range(hit.size):
        w = changed[k]
        row[hit[k]] += part * w
        o1 = fast_trace(traces, hit[k], table, rate, step)
        amount = power((w - low) / span, mu) * o1 * scale + constant
        changed[k] = min(max(w + amount, low), high)


@compiled(inline="always")
def after_arrival(learning, step, source):
    """Raise the traces of `source`, whose spike has reached its synapses."""
    rule = learning.rule
    decay = learning.decay
    own = learning.pre[source]
    elapsed = step - np.int64(own[LAST])
    fast = trace_decay(decay[D_PLUS], rule[RATE_PLUS], elapsed)
    slow = trace_decay(decay[D_X], rule[RATE_X], elapsed)
    _raise(own, rule[NEAREST] != 0.0, fast, slow, step)


@compiled
def raise_target(learning, step, target):
    """Raise the traces of a target that fires; return by what it multiplies r1 and weights at its synapses."""
    rule = learning.rule
    decay = learning.decay
    own = learning.post[target]
    elapsed = step - np.int64(own[LAST])
    fast = trace_decay(decay[D_MINUS], rule[RATE_MINUS], elapsed)
    slow = trace_decay(decay[D_Y], rule[RATE_Y], elapsed)
    # Of o2 and o1 just before this spike: the traces rise after they were read.
    scale = rule[PAIR_PLUS] + rule[TRIPLET_PLUS] * own[SLOW] * slow
    forgotten = rule[DECAY] * own[FAST] * fast
    _raise(own, rule[NEAREST] != 0.0, fast, slow, step)
    return scale, forgotten


@compiled
def on_target_spike(learning, incoming, weights, step, target):
    """Process a spike of `target` by a modulated rule: traces of eligibility change by those of the sources."""
    rule = learning.rule
    scale, forgotten = raise_target(learning, step, target)
    low = rule[W_MIN]
    high = rule[W_MAX]
    span = high - low
    traces = bare_vector(learning.pre.reshape(-1))
    begin = incoming.offsets[target]
    end = incoming.offsets[target + 1]
    synapses = bare_vector(incoming.synapses[begin:end])
    sources = bare_vector(incoming.sources[begin:end])
    at = weights.ctypes.data
    width = weights.itemsize
    for k in range(synapses.size):
        s = synapses[k]
        if k + AHEAD < synapses.size:
            # Each weight is in another row, on another cache line.
            prefetch(at + width * np.int64(synapses[k + AHEAD]))
        settle(learning, weights, s)
        w = np.float64(weights[s])
        r1 = fast_trace(traces, sources[k], learning.decay[D_PLUS], rule[RATE_PLUS], step)
        amount = power((high - w) / span, rule[MU_PLUS]) * r1 * scale + rule[CONSTANT_POST] - forgotten * w
        learning.eligibility[s, TRACE] += amount / learning.reward[SCALE]


@compiled
def advance_reward(learning, incoming, weights, step, count, first, last):
    """Start a step of a modulated rule, in which `count` rewards arrive; called in every step, before the arrivals.

    An eligibility trace c is kept as TRACE = c / SCALE, where SCALE = exp(-(time since it was last 1) / tau_c): TRACE
    stays as it is between the synapse's own spikes. With INTEGRAL, that of SCALE (d - baseline) over time, a weight
    has gained TRACE (INTEGRAL - SEEN) since it was last looked at. So a reward costs one addition, however many
    synapses there are. Every RENEW_AFTER tau_c all are looked at and SCALE starts again from 1.

    Args:
        first, last: the targets this thread owns are `first` to `last - 1`.
    """
    rule = learning.rule
    reward = learning.reward
    period = renewal(rule)
    if step > 0:
        # From the last step to this one; its SCALE is still as in the last step.
        both = (rule[RATE_C] + rule[RATE_D]) / rule[DT]
        gain = reward[DOPAMINE] * -math.expm1(-both * rule[DT]) / both
        loss = rule[BASELINE] * rule[DT] * -math.expm1(-rule[RATE_C]) / rule[RATE_C]
        reward[INTEGRAL] += reward[SCALE] * (gain - loss)
        reward[DOPAMINE] *= math.exp(-rule[RATE_D])
        # Computed from the step, not from the last value: no error builds up.
        since = step % period
        reward[SCALE] = math.exp(-rule[RATE_C] * (since if since else period))
        if since == 0:
            _renew(learning, incoming, weights, first, last)
    reward[DOPAMINE] += rule[SIZE] * count


@compiled
def renewal(rule):
    """Return the number of steps from one renewal of the eligibility traces to the next."""
    return max(1, np.int64(math.floor(RENEW_AFTER / rule[RATE_C])))


@compiled
def _renew(learning, incoming, weights, first, last):
    """Update all weights onto some targets, and start SCALE again from 1."""
    eligibility = learning.eligibility
    reward = learning.reward
    for i in range(incoming.offsets[first], incoming.offsets[last]):
        s = incoming.synapses[i]
        settle(learning, weights, s)
        eligibility[s, TRACE] *= reward[SCALE]
        eligibility[s, SEEN] = 0.0
    reward[INTEGRAL] = 0.0
    reward[SCALE] = 1.0


@compiled
def weights_now(rule, weights, eligibility, reward, out):
    """Fill out, real [synapses], with the present weights; nothing changes."""
    out[:] = weights
    if rule[MODULATED] != 0.0:
        for s in range(weights.size):
            gained = eligibility[s, TRACE] * (reward[INTEGRAL] - eligibility[s, SEEN])
            out[s] = min(max(weights[s] + gained, rule[W_MIN]), rule[W_MAX])


def incoming_reference(offsets, targets, size):
    """Specify `index_incoming`."""
    sources = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    order = np.argsort(targets, kind="stable")
    return np.concatenate([[0], np.cumsum(np.bincount(targets, minlength=size))]), order, sources[order]


@compiled
def index_incoming(offsets, targets, in_offsets, in_synapses, in_sources):
    """Fill the index of the synapses by target: in_offsets [targets + 1], in_synapses and in_sources [synapses]."""
    in_offsets[:] = 0
    for s in range(targets.size):
        in_offsets[targets[s] + 1] += 1
    for j in range(in_offsets.size - 1):
        in_offsets[j + 1] += in_offsets[j]
    for i in range(offsets.size - 1):
        for s in range(offsets[i], offsets[i + 1]):
            j = targets[s]
            in_synapses[in_offsets[j]] = s
            in_sources[in_offsets[j]] = i
            in_offsets[j] += 1
    # Each entry is now at the place of the next one.
    for j in range(in_offsets.size - 1, 0, -1):
        in_offsets[j] = in_offsets[j - 1]
    in_offsets[0] = 0
