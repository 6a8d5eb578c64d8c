"""Recurrences whose state is a vector for each channel or unit, not a matrix of keys and values.

Of channels: state spaces (S4D, LSSL, Mamba) and the running log-sum-exp of LightNet; of units: GRU, LSTM, almost-linear
networks.
"""

from __future__ import annotations

import math

from numba import float32, njit

from ...tools.compiled import compiled
from ...tools.elementary import exp
from ...tools.pointers import copy_into, matrix, vector
from ..matrix_states.cpu import head_of
from ..program import FLOAT, ONE, operation, position_of
from ..vectors.activations import sigmoid


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
                # The real part needs the imaginary one of before: both are computed before either is written.
                re = a[n, 0] * s[n, 0] - a[n, 1] * s[n, 1] + b[n, 0] * u[j]
                im = a[n, 0] * s[n, 1] + a[n, 1] * s[n, 0] + b[n, 1] * u[j]
                s[n, 0] = re
                s[n, 1] = im
                # Only half of each pair of conjugate modes is stored: their sum is twice the real part.
                total += c[n, 0] * re - c[n, 1] * im
            out[j] = float32(2) * total + vector(p.d, width, FLOAT)[j] * u[j]


@njit(inline="always")
def _plus_product(total, x, y):
    """Return total + x . y, added in order."""
    for n in range(x.size):
        total += x[n] * y[n]
    return total


@operation("u width states outputs tokens a b c d state before out")
def linear_filter(p, context, begin, end):
    """s = A s + B u, y = C s + D u, for each channel, with a matrix A of its own and `outputs` numbers y (LSSL).

    Operands: a [width, states, states], b [width, states], c [width, outputs, states], d [width, outputs]; `state`
    [tokens, width, states]; `before` float32 [states] for this thread; `out` [tokens, width, outputs]. Parts are
    channels.
    """
    width = p.width
    states = p.states
    count = p.outputs
    before = vector(p.before, p.states, FLOAT)
    for i in range(p.tokens):
        u = vector(p.u + 4 * i * width, width, FLOAT)
        for j in range(begin, end):
            a = matrix(p.a + 4 * j * states * states, states, states, FLOAT)
            s = head_of(p.state, i, width, j, 1, states)
            b = head_of(p.b, 0, width, j, 1, states)
            # All entries of the next state read the whole state before.
            copy_into(s, before)
            for n in range(states):
                s[n] = _plus_product(b[n] * u[j], a[n], before)
            c = matrix(p.c + 4 * j * count * states, count, states, FLOAT)
            skip = head_of(p.d, 0, width, j, 1, count)
            out = head_of(p.out, i, width, j, 1, count)
            for m in range(count):
                out[m] = _plus_product(float32(0), c[m], s) + skip[m] * u[j]


@operation("u units tokens states weights state out")
def gated_units(p, context, begin, end):
    """Step units of a gated recurrence with diagonal recurrent weights, s the sigmoid.

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
                # The output gate's peephole sees the new cell, the forget gate's the old one.
                h = sigmoid(w[2, j] * h + w[4, j] * c + u[j, 2]) * float32(math.tanh(c))
                s[j, 1] = c
            s[j, 0] = h
            out[j] = h


# No other order of sums: `exp` would lose its rounding.
@compiled(fastmath={"contract"})
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
    for i in range(p.tokens):
        first = position_of(context, i) == 0
        c = vector(p.c + 4 * i * width, width, FLOAT)
        z = vector(p.z + 4 * i * width, width, FLOAT)
        k = vector(p.k + 4 * i * width, width, FLOAT)
        g = vector(p.g + 4 * i * width, width, FLOAT)
        for j in range(begin, end):
            before = c[j] if first else z[j]
            # The larger exponent is taken out, so that neither power overflows.
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
            # Every unit reads the activity before the step, so it is taken of all units first.
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
