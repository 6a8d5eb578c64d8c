"""Recurrences whose state is no matrix of keys and values, and the routing of tokens to memories."""

from __future__ import annotations

import math

import numpy as np
from numba import float32, njit

from ..tools.elementary import exp
from ..tools.pointers import matrix, vector
from .program import CONTEXT, FLAG, FLOAT, LONG, POSITION, operation
from .states import head_of
from .vectors import ONE, ZERO, sigmoid


@operation("u width states tokens a b c d state out")
def diagonal(p, context, begin, end):
    """s = A s + B u, y = 2 Re(C s) + D u, for each channel; complex numbers are pairs.

    Operands: `states` of a channel; a, b and c [width, states, 2]; `state` [tokens, width, states, 2]. Parts are
    columns.
    """
    width = p.width
    states = p.states
    for i in range(p.tokens):
        u = vector(p.u + 4 * i * width, width, FLOAT)
        out = vector(p.out + 4 * i * width, width, FLOAT)
        for j in range(begin, end):
            a = matrix(p.a + 8 * j * states, states, 2, FLOAT)
            b = matrix(p.b + 8 * j * states, states, 2, FLOAT)
            c = matrix(p.c + 8 * j * states, states, 2, FLOAT)
            s = matrix(p.state + 8 * (i * width + j) * states, states, 2, FLOAT)
            total = float32(0)
            for n in range(states):
                re = a[n, 0] * s[n, 0] - a[n, 1] * s[n, 1] + b[n, 0] * u[j]
                im = a[n, 0] * s[n, 1] + a[n, 1] * s[n, 0] + b[n, 1] * u[j]
                s[n, 0] = re
                s[n, 1] = im
                total += c[n, 0] * re - c[n, 1] * im
            out[j] = float32(2) * total + vector(p.d, width, FLOAT)[j] * u[j]


@operation("u width states tokens a b c d state before out")
def filtered(p, context, begin, end):
    """s = A s + B u, y = C s + D u, for each channel, with a matrix A of its own (LSSL).

    Operands: a [width, states, states], b and c [width, states]; `state` [tokens, width, states]; `before` float32
    [states] for this thread. Parts are columns.
    """
    width = p.width
    states = p.states
    skip = vector(p.d, p.width, FLOAT)
    before = vector(p.before, p.states, FLOAT)
    for i in range(p.tokens):
        u = vector(p.u + 4 * i * width, width, FLOAT)
        out = vector(p.out + 4 * i * width, width, FLOAT)
        for j in range(begin, end):
            a = matrix(p.a + 4 * j * states * states, states, states, FLOAT)
            s = head_of(p.state, i, width, j, 1, states)
            b = head_of(p.b, 0, width, j, 1, states)
            c = head_of(p.c, 0, width, j, 1, states)
            total = float32(0)
            before[:] = s
            for n in range(states):
                after = b[n] * u[j]
                for m in range(states):
                    after += a[n, m] * before[m]
                s[n] = after
                total += c[n] * after
            out[j] = total + skip[j] * u[j]


@operation("u units tokens states weights state out")
def gated_units(p, context, begin, end):
    """Units of a gated recurrence with diagonal recurrent weights, s the sigmoid.

    GRU:  z = s(a_z h + u_z),  r = s(a_r h + u_r),  h = h + z (tanh(a_c h r + u_c) - h)
    LSTM: f = s(a_f h + p_f c + u_f),  c = f c + (1 - f) tanh(a_g h + u_g),  h = s(a_o h + p_o c + u_o) tanh(c)

    Operands: u [tokens, units, 3]; `states` of a unit, 1 (GRU) or 2 (LSTM); `weights` [3 or 5, units] in the order a_z,
    a_r, a_c or a_f, a_g, a_o, p_f, p_o; `state` [tokens, units, states]. Parts are units.
    """
    units = p.units
    states = p.states
    w = matrix(p.weights, 5 if states == 2 else 3, units, FLOAT)
    for i in range(p.tokens):
        u = matrix(p.u + 12 * i * units, units, 3, FLOAT)
        s = matrix(p.state + 4 * i * units * states, units, states, FLOAT)
        out = vector(p.out + 4 * i * units, units, FLOAT)
        for j in range(begin, end):
            h = s[j, 0]
            if states == 1:
                z = sigmoid(w[0, j] * h + u[j, 0])
                r = sigmoid(w[1, j] * h + u[j, 1])
                h = h + z * (float32(math.tanh(w[2, j] * h * r + u[j, 2])) - h)
            else:
                f = sigmoid(w[0, j] * h + w[3, j] * s[j, 1] + u[j, 0])
                c = f * s[j, 1] + (ONE - f) * float32(math.tanh(w[1, j] * h + u[j, 1]))
                h = sigmoid(w[2, j] * h + w[4, j] * c + u[j, 2]) * float32(math.tanh(c))
                s[j, 1] = c
            s[j, 0] = h
            out[j] = h


# No other order of sums: `exp` would lose its rounding.
@njit(cache=True, nogil=True, fastmath={"contract"})
def _selected(s, a, dt, x, k, q):
    """s = e^(dt a) s + x k for each state of a channel; return q . s."""
    total = float32(0)
    for n in range(s.size):
        s[n] = exp(dt * a[n]) * s[n] + x * k[n]
        total += q[n] * s[n]
    return total


@operation("u dt width k q states tokens a d state out")
def selective(p, context, begin, end):
    """s = e^(dt A) s + dt u k, y = q . s + D u, for each channel (Mamba).

    Operands: `states` of a channel; a [width, states]; `state` [tokens, width, states]. Parts are columns.
    """
    width = p.width
    states = p.states
    skip = vector(p.d, p.width, FLOAT)
    for i in range(p.tokens):
        u = vector(p.u + 4 * i * width, width, FLOAT)
        dt = vector(p.dt + 4 * i * width, width, FLOAT)
        k = vector(p.k + 4 * i * states, states, FLOAT)
        q = vector(p.q + 4 * i * states, states, FLOAT)
        out = vector(p.out + 4 * i * width, width, FLOAT)
        for j in range(begin, end):
            s = vector(p.state + 4 * (i * width + j) * states, states, FLOAT)
            a = vector(p.a + 4 * j * states, states, FLOAT)
            out[j] = _selected(s, a, dt[j], dt[j] * u[j], k, q) + skip[j] * u[j]


@operation("c width tokens z k g")
def soft_decay(p, context, begin, end):
    """z = log(e^z + e^c), k = e^(c - z), g = (z before) - z; the first token has z = c and g = 0 (LightNet).

    Operands: z [tokens, width] is the state. Parts are columns.
    """
    width = p.width
    first = vector(context, CONTEXT, LONG)[POSITION] == 0
    for i in range(p.tokens):
        c = vector(p.c + 4 * i * width, width, FLOAT)
        z = vector(p.z + 4 * i * width, width, FLOAT)
        k = vector(p.k + 4 * i * width, width, FLOAT)
        g = vector(p.g + 4 * i * width, width, FLOAT)
        for j in range(begin, end):
            before = c[j] if first else z[j]
            most = max(before, c[j])
            total = math.log(math.exp(before - most) + math.exp(c[j] - most))
            after = c[j] if first else float32(most + total)
            k[j] = math.exp(c[j] - after)
            g[j] = before - after
            z[j] = after


@operation("u units rectified a w z active out")
def almost_linear(p, context, begin, end):
    """z = A z + W f(z) + u, f rectifies the last units.

    Operands: z [tokens, units] is the state; `active` float32 [units] for this thread. Parts are tokens.
    """
    units = p.units
    a = vector(p.a, p.units, FLOAT)
    w = matrix(p.w, p.units, p.units, FLOAT)
    active = vector(p.active, units, FLOAT)
    for i in range(begin, end):
        u = vector(p.u + 4 * i * units, units, FLOAT)
        z = vector(p.z + 4 * i * units, units, FLOAT)
        out = vector(p.out + 4 * i * units, units, FLOAT)
        for j in range(units):
            if j < units - p.rectified:
                active[j] = z[j]
            else:
                active[j] = max(z[j], float32(0))
        for j in range(units):
            total = float32(0)
            for n in range(units):
                total += w[j, n] * active[n]
            z[j] = a[j] * z[j] + total + u[j]
            out[j] = z[j]


@operation(
    "scores memories picked sum_to_one tokens weights masks sigmoid bias? groups top_groups scale:real choice shares?"
)
def route(p, context, begin, end):
    """Pick the memories or experts of each token by the softmax of its scores, or by their sigmoid.

    Operands: `picked` of the memories; `weights` and `masks` (uint8) [memories, tokens]; `sum_to_one`, the weights of
    those picked do; `sigmoid`, weights are sigmoids; `bias` is added to them for the choice; of `groups` the best
    `top_groups` are picked first; `scale` of the weights; `choice` float32 [memories + groups] for this thread;
    `shares` float32 [memories, tokens] for the masks. Parts are tokens.
    """
    memories = p.memories
    weights = matrix(p.weights, memories, p.tokens, FLOAT)
    masks = matrix(p.masks, memories, p.tokens, FLAG)
    choice = vector(p.choice, memories, FLOAT)
    for i in range(begin, end):
        scores = vector(p.scores + 4 * i * memories, memories, FLOAT)
        most = scores[0]
        for m in range(memories):
            most = max(most, scores[m])
        total = float32(0)
        for m in range(memories):
            if p.sigmoid:
                weight = float32(1 / (1 + math.exp(-scores[m])))
            else:
                weight = float32(math.exp(scores[m] - most))
            weights[m, i] = weight
            choice[m] = weight
            masks[m, i] = 0
            total += weight
        if p.bias:
            more = vector(p.bias, memories, FLOAT)
            for m in range(memories):
                choice[m] += more[m]
        if p.groups > 1:
            _keep_groups(choice, p.top_groups, vector(p.choice + 4 * memories, p.groups, FLOAT))
        picked = float32(0)
        for _ in range(p.picked):
            best = _largest(choice)
            choice[best] = -np.inf
            masks[best, i] = 1
            picked += weights[best, i]
        factor = float32(p.scale) / (picked if p.sum_to_one else ONE if p.sigmoid else total)
        for m in range(memories):
            weights[m, i] *= factor
            if p.shares:
                matrix(p.shares, memories, p.tokens, FLOAT)[m, i] = masks[m, i]


@njit(inline="always")
def _largest(values):
    """Return the place of the largest value, the first of equal ones."""
    best = 0
    for m in range(values.size):
        if values[m] > values[best]:
            best = m
    return best


@njit(cache=True, nogil=True)
def _keep_groups(choice, kept, spare):
    """Set the values of groups to -inf but for the `kept` groups whose two largest values sum to the most.

    Args:
        spare: float32 [groups].
    """
    size = choice.size // spare.size
    for g in range(spare.size):
        own = choice[g * size : (g + 1) * size]
        first = _largest(own)
        second = np.float32(-np.inf) if size > 1 else ZERO
        for m in range(size):
            if m != first:
                second = max(second, own[m])
        spare[g] = -(own[first] + second)
    for _ in range(spare.size - kept):
        least = _largest(spare)
        spare[least] = -np.inf
        choice[least * size : (least + 1) * size] = -np.inf
