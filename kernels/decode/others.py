"""Recurrences whose state is no matrix of keys and values, and the routing of tokens to memories."""

from __future__ import annotations

import math

import numpy as np
from numba import float32, njit

from ..tools.elementary import exp
from ..tools.pointers import matrix, vector
from .program import CONTEXT, FLAG, FLOAT, LONG, POSITION, integers, operation, reals
from .states import head_of
from .vectors import ONE, ZERO, sigmoid


@operation
def diagonal(arguments, context, begin, end):
    """s = A s + B u, y = 2 Re(C s) + D u, for each channel; complex numbers are pairs.

    Arguments: u, width, states of a channel, tokens, A, B and C [width, states, 2], D, state [tokens, width, states,
    2], out. Parts are columns.
    """
    p = integers(arguments)
    width, states = p[1], p[2]
    for i in range(p[3]):
        u, out = vector(p[0] + 4 * i * width, width, FLOAT), vector(p[9] + 4 * i * width, width, FLOAT)
        for j in range(begin, end):
            a, b = matrix(p[4] + 8 * j * states, states, 2, FLOAT), matrix(p[5] + 8 * j * states, states, 2, FLOAT)
            c, s = (
                matrix(p[6] + 8 * j * states, states, 2, FLOAT),
                matrix(p[8] + 8 * (i * width + j) * states, states, 2, FLOAT),
            )
            total = float32(0)
            for n in range(states):
                re = a[n, 0] * s[n, 0] - a[n, 1] * s[n, 1] + b[n, 0] * u[j]
                im = a[n, 0] * s[n, 1] + a[n, 1] * s[n, 0] + b[n, 1] * u[j]
                s[n, 0], s[n, 1] = re, im
                total += c[n, 0] * re - c[n, 1] * im
            out[j] = float32(2) * total + vector(p[7], width, FLOAT)[j] * u[j]


@operation
def filtered(arguments, context, begin, end):
    """s = A s + B u, y = C s + D u, for each channel, with a matrix A of its own (LSSL).

    Arguments: u, width, states of a channel, tokens, A [width, states, states], B and C [width, states], D, state
    [tokens, width, states], float32 [states] for this thread, out. Parts are columns.
    """
    p = integers(arguments)
    width, states, skip, before = p[1], p[2], vector(p[7], p[1], FLOAT), vector(p[9], p[2], FLOAT)
    for i in range(p[3]):
        u, out = vector(p[0] + 4 * i * width, width, FLOAT), vector(p[10] + 4 * i * width, width, FLOAT)
        for j in range(begin, end):
            a, s = matrix(p[4] + 4 * j * states * states, states, states, FLOAT), head_of(p[8], i, width, j, 1, states)
            b, c, total = head_of(p[5], 0, width, j, 1, states), head_of(p[6], 0, width, j, 1, states), float32(0)
            before[:] = s
            for n in range(states):
                after = b[n] * u[j]
                for m in range(states):
                    after += a[n, m] * before[m]
                s[n] = after
                total += c[n] * after
            out[j] = total + skip[j] * u[j]


@operation
def gated_units(arguments, context, begin, end):
    """Units of a gated recurrence with diagonal recurrent weights, s the sigmoid.

    GRU:  z = s(a_z h + u_z),  r = s(a_r h + u_r),  h = h + z (tanh(a_c h r + u_c) - h)
    LSTM: f = s(a_f h + p_f c + u_f),  c = f c + (1 - f) tanh(a_g h + u_g),  h = s(a_o h + p_o c + u_o) tanh(c)

    Arguments: u [tokens, units, 3], units, tokens, 1 state of a unit (GRU) or 2 (LSTM), weights [3 or 5, units] in the
    order a_z, a_r, a_c or a_f, a_g, a_o, p_f, p_o, states [tokens, units, 1 or 2], out [tokens, units]. Parts are
    units.
    """
    p = integers(arguments)
    units, states = p[1], p[3]
    w = matrix(p[4], 5 if states == 2 else 3, units, FLOAT)
    for i in range(p[2]):
        u, s = (
            matrix(p[0] + 12 * i * units, units, 3, FLOAT),
            matrix(p[5] + 4 * i * units * states, units, states, FLOAT),
        )
        out = vector(p[6] + 4 * i * units, units, FLOAT)
        for j in range(begin, end):
            h = s[j, 0]
            if states == 1:
                z, r = sigmoid(w[0, j] * h + u[j, 0]), sigmoid(w[1, j] * h + u[j, 1])
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


@operation
def selective(arguments, context, begin, end):
    """s = e^(dt A) s + dt u k, y = q . s + D u, for each channel (Mamba).

    Arguments: u, dt, width, k, q, states of a channel, tokens, A [width, states], D, state [tokens, width, states],
    out. Parts are columns.
    """
    p = integers(arguments)
    width, states, skip = p[2], p[5], vector(p[8], p[2], FLOAT)
    for i in range(p[6]):
        u, dt = vector(p[0] + 4 * i * width, width, FLOAT), vector(p[1] + 4 * i * width, width, FLOAT)
        k, q = vector(p[3] + 4 * i * states, states, FLOAT), vector(p[4] + 4 * i * states, states, FLOAT)
        out = vector(p[10] + 4 * i * width, width, FLOAT)
        for j in range(begin, end):
            s = vector(p[9] + 4 * (i * width + j) * states, states, FLOAT)
            a = vector(p[7] + 4 * j * states, states, FLOAT)
            out[j] = _selected(s, a, dt[j], dt[j] * u[j], k, q) + skip[j] * u[j]


@operation
def soft_decay(arguments, context, begin, end):
    """z = log(e^z + e^c), k = e^(c - z), g = (z before) - z; the first token has z = c and g = 0 (LightNet).

    Arguments: c, width, tokens, z [tokens, width], k, g. Parts are columns.
    """
    p = integers(arguments)
    width, first = p[1], vector(context, CONTEXT, LONG)[POSITION] == 0
    for i in range(p[2]):
        c, z = vector(p[0] + 4 * i * width, width, FLOAT), vector(p[3] + 4 * i * width, width, FLOAT)
        k, g = vector(p[4] + 4 * i * width, width, FLOAT), vector(p[5] + 4 * i * width, width, FLOAT)
        for j in range(begin, end):
            before = c[j] if first else z[j]
            most = max(before, c[j])
            total = math.log(math.exp(before - most) + math.exp(c[j] - most))
            after = c[j] if first else float32(most + total)
            k[j], g[j], z[j] = math.exp(c[j] - after), before - after, after


@operation
def almost_linear(arguments, context, begin, end):
    """z = A z + W f(z) + u, f rectifies the last units.

    Arguments: u, units, rectified, A, W, z [tokens, units], float32 [units] for this thread, out. Parts are tokens.
    """
    p = integers(arguments)
    units, a, w = p[1], vector(p[3], p[1], FLOAT), matrix(p[4], p[1], p[1], FLOAT)
    active = vector(p[6], units, FLOAT)
    for i in range(begin, end):
        u, z = vector(p[0] + 4 * i * units, units, FLOAT), vector(p[5] + 4 * i * units, units, FLOAT)
        out = vector(p[7] + 4 * i * units, units, FLOAT)
        for j in range(units):
            active[j] = z[j] if j < units - p[2] else max(z[j], float32(0))
        for j in range(units):
            total = float32(0)
            for n in range(units):
                total += w[j, n] * active[n]
            z[j] = a[j] * z[j] + total + u[j]
            out[j] = z[j]


@operation
def route(arguments, context, begin, end):
    """Pick the memories or experts of each token by the softmax of its scores, or by their sigmoid.

    Arguments: scores, number of memories, number picked, whether weights of those picked sum to 1, tokens, weights
    [memories, tokens], masks uint8 [memories, tokens]; whether weights are sigmoids, what is added to them for the
    choice or 0, groups of which the best few are picked first, how many of these, factor of the weights (real); float32
    [memories + groups] for this thread; or 0, float32 [memories, tokens] for the masks. Parts are tokens.
    """
    p, f = integers(arguments), reals(arguments)
    memories, tokens = p[1], p[4]
    weights, masks = matrix(p[5], memories, tokens, FLOAT), matrix(p[6], memories, tokens, FLAG)
    choice = vector(p[12], memories, FLOAT)
    for i in range(begin, end):
        scores = vector(p[0] + 4 * i * memories, memories, FLOAT)
        most = scores[0]
        for m in range(memories):
            most = max(most, scores[m])
        total = float32(0)
        for m in range(memories):
            weight = float32(1 / (1 + math.exp(-scores[m]))) if p[7] else float32(math.exp(scores[m] - most))
            weights[m, i], choice[m], masks[m, i] = weight, weight, 0
            total += weight
        if p[8]:
            more = vector(p[8], memories, FLOAT)
            for m in range(memories):
                choice[m] += more[m]
        if p[9] > 1:
            _keep_groups(choice, p[10], vector(p[12] + 4 * memories, p[9], FLOAT))
        picked = float32(0)
        for _ in range(p[2]):
            best = _largest(choice)
            choice[best], masks[best, i] = -np.inf, 1
            picked += weights[best, i]
        factor = float32(f[11]) / (picked if p[3] else ONE if p[7] else total)
        for m in range(memories):
            weights[m, i] *= factor
            if p[13]:
                matrix(p[13], memories, tokens, FLOAT)[m, i] = masks[m, i]


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
