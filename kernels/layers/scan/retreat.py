"""The gradient of one step on a row of lanes, compiled.

Each way back is a row of short loops: a loop with more arrays than these is not compiled to vector instructions.
"""

from __future__ import annotations

import math

from numba import njit

from ...tools.compiled import compiled
from ...tools.elementary import exp
from .kinds import ADAPTIVE, ARCTAN, CURRENT, FAST_SIGMOID, LATE, LIF, TRIANGLE, ZERO
from .steps import copy


@njit(inline="always")
def fast_sigmoid(slope, scale, h):
    """Replace x = u - theta in `h` by h(x) of FAST_SIGMOID, as `surrogate`."""
    one = h.dtype.type(1)
    for j in range(h.size):
        y = one + slope * abs(h[j])
        h[j] = scale / (y * y)


@compiled(error_model="numpy")
def surrogate(which, slope, scale, h):
    """Replace x = u - theta in `h` by h(x); slope and scale are of its type."""
    kind = h.dtype.type
    zero = kind(0)
    one = kind(1)
    if which == FAST_SIGMOID:
        fast_sigmoid(slope, scale, h)
    elif which == ARCTAN:
        half = kind(0.5) * slope
        peak = scale * half
        steep = kind(math.pi) * half
        for j in range(h.size):
            y = steep * h[j]
            h[j] = peak / (one + y * y)
    elif which == TRIANGLE:
        for j in range(h.size):
            h[j] = scale * max(zero, one - slope * abs(h[j]))
    else:
        peak = scale * slope
        for j in range(h.size):
            # Symmetric: of e^x and e^-x the one that cannot overflow.
            e = exp(-slope * abs(h[j]))
            h[j] = peak * e / ((one + e) * (one + e))


@njit(inline="always")
def _distance(kind, late, x, state, c, d):
    """Fill d with u - theta, u the membrane before the reset."""
    one = x.dtype.type(1)
    alpha = c[0]
    theta = c[1]
    v = state[0]
    if kind == CURRENT:
        i = state[1]
        kappa = c[3]
        for j in range(x.size):
            d[j] = (alpha[j] * v[j] + kappa[j] * i[j]) - theta[j]
    elif kind == ADAPTIVE:
        w = state[1]
        for j in range(x.size):
            d[j] = (alpha[j] * v[j] + (one - alpha[j]) * (x[j] - w[j])) - theta[j]
    elif late:
        for j in range(x.size):
            # The reset of the step before is subtracted now.
            due = theta[j] if v[j] > theta[j] else one - one
            d[j] = ((alpha[j] * v[j] + x[j]) - due) - theta[j]
    else:
        for j in range(x.size):
            d[j] = (alpha[j] * v[j] + x[j]) - theta[j]


@njit(inline="always")
def _through_reset(d, theta, keep, attached, h, g_out, g_v, g_theta, trained, g_u):
    """Fill g_u from the gradients g_out of the spike and g_v of the membrane after; h becomes the part by the spike."""
    zero = d.dtype.type(0)
    one = d.dtype.type(1)
    for j in range(d.size):
        # A reset takes theta, and with a reset to zero all that lay above it.
        taken = theta[j] + (one - keep) * d[j]
        h[j] *= g_out[j] - attached * g_v[j] * taken
    if trained:
        for j in range(d.size):
            # The threshold lowers the spike's argument, and the reset subtracts it.
            s = keep if d[j] > zero else zero
            g_theta[j] -= s * g_v[j] + h[j]
    for j in range(d.size):
        # After a reset to zero nothing of the membrane is left to carry a gradient.
        lost = one - keep if d[j] > zero else zero
        g_u[j] = g_v[j] * (one - lost) + h[j]


@njit(inline="always")
def _add_product(a, b, out):
    for j in range(a.size):
        out[j] += a[j] * b[j]


@njit(inline="always")
def _product(a, b, out):
    for j in range(a.size):
        out[j] = a[j] * b[j]


@njit(inline="always")
def _current_back(state, c, g_u, g_i, g_x, g_c, trained):
    v = state[0]
    i = state[1]
    # c is alpha, theta, delta (decay of the current), kappa (its part in the membrane).
    delta = c[2]
    kappa = c[3]
    if trained:
        _add_product(g_u, v, g_c[0])
        _add_product(g_i, i, g_c[2])
        _add_product(g_u, i, g_c[3])
    copy(g_i, g_x)
    for j in range(g_u.size):
        g_i[j] = delta[j] * g_i[j] + kappa[j] * g_u[j]


@njit(inline="always")
def _adaptive_before(c, g_out, g_v, g_w, g_s):
    """Compute the gradients g_s of the spike and g_v of the membrane through w = beta w + (1 - beta) (A v + B s)."""
    one = g_w.dtype.type(1)
    beta = c[2]
    a = c[3]
    b = c[4]
    for j in range(g_w.size):
        g_s[j] = g_out[j] + b[j] * ((one - beta[j]) * g_w[j])
    for j in range(g_w.size):
        g_v[j] += a[j] * ((one - beta[j]) * g_w[j])


@njit(inline="always")
def _adaptive_sums(x, state, c, keep, d, after, g_u, g_w, g_c):
    """Add to the gradients of the constants; `after` is work space: the membrane after the reset."""
    zero = x.dtype.type(0)
    one = x.dtype.type(1)
    v = state[0]
    w = state[1]
    theta = c[1]
    beta = c[2]
    a = c[3]
    b = c[4]
    g_alpha = g_c[0]
    g_beta = g_c[2]
    g_a = g_c[3]
    g_b = g_c[4]
    # A loop for each constant: of more than about seven arrays LLVM makes no vector instructions.
    for j in range(x.size):
        after[j] = keep * d[j] if d[j] > zero else d[j] + theta[j]
    for j in range(x.size):
        g_alpha[j] += g_u[j] * (v[j] - (x[j] - w[j]))
    for j in range(x.size):
        s = b[j] if d[j] > zero else zero
        g_beta[j] += g_w[j] * (w[j] - (a[j] * after[j] + s))
    for j in range(x.size):
        g_a[j] += (one - beta[j]) * g_w[j] * after[j]
    for j in range(x.size):
        s = one if d[j] > zero else zero
        g_b[j] += (one - beta[j]) * g_w[j] * s


@njit(inline="always")
def _adaptive_back(c, g_u, g_w, g_x):
    alpha = c[0]
    beta = c[2]
    one = g_w.dtype.type(1)
    for j in range(g_u.size):
        g_x[j] = (one - alpha[j]) * g_u[j]
    for j in range(g_u.size):
        g_w[j] = beta[j] * g_w[j] - g_x[j]


@njit(inline="always")
def _late_back(v, c, attached, h, before, g_out, g_v, g_x, g_c, trained):
    """Go back through a step of LIF with LATE; h is the surrogate derivative after the step, `before` before it."""
    zero = v.dtype.type(0)
    one = v.dtype.type(1)
    alpha = c[0]
    theta = c[1]
    # Forward, v' = alpha v + x - theta [v > theta]: the membrane still shows the spike of the step before.
    for j in range(v.size):
        h[j] *= g_out[j]
        g_x[j] = g_v[j] + h[j]
    for j in range(v.size):
        before[j] *= attached * theta[j] * g_x[j]
    if trained:
        _add_product(g_x, v, g_c[0])
        for j in range(v.size):
            due = one if v[j] > theta[j] else zero
            g_c[1, j] += before[j] - g_x[j] * due - h[j]
    for j in range(v.size):
        g_v[j] = alpha[j] * g_x[j] - before[j]


@njit(inline="always")
def _integrator_back(v, alpha, g_out, g_v, g_x, g_c, trained):
    for j in range(v.size):
        g_x[j] = g_v[j] + g_out[j]
    if trained:
        _add_product(g_x, v, g_c[0])
    _product(alpha, g_x, g_v)


@compiled
def retreat(how, x, state, c, g_out, g_state, g_x, g_c, trained, work):
    """Go back through one step of a row of lanes.

    Args:
        how: kind, reset, surrogate (integers); attached, slope, scale.
        x, state: input of the step and the state before it.
        g_out: [n], gradient of its output.
        g_state: [states, n], gradient of the state after it, replaced by the gradient of `state`.
        g_x: [n], written; g_c: [constants, n], added to if `trained`.
        work: [4, n].
    """
    kind = how[0]
    reset = how[1]
    which = how[2]
    attached = x.dtype.type(how[3])
    slope = x.dtype.type(how[4])
    scale = x.dtype.type(how[5])
    keep = x.dtype.type(0 if reset == ZERO else 1)
    g_v = g_state[0]
    # Integrators have no threshold, and so no surrogate.
    if kind > ADAPTIVE:
        _integrator_back(state[0], c[0], g_out, g_v, g_x, g_c, trained)
        return
    d = work[0]
    h = work[1]
    g_u = work[2]
    late = kind == LIF and reset == LATE
    _distance(kind, late, x, state, c, d)
    copy(d, h)
    surrogate(which, slope, scale, h)
    if late:
        v = state[0]
        theta = c[1]
        for j in range(x.size):
            d[j] = v[j] - theta[j]
        surrogate(which, slope, scale, d)
        _late_back(v, c, attached, h, d, g_out, g_v, g_x, g_c, trained)
        return
    g_s = g_out
    if kind == ADAPTIVE:
        g_s = work[3]
        _adaptive_before(c, g_out, g_v, g_state[1], g_s)
    _through_reset(d, c[1], keep, attached, h, g_s, g_v, g_c[1], trained, g_u)
    if kind == LIF:
        copy(g_u, g_x)
        if trained:
            _add_product(g_u, state[0], g_c[0])
    elif kind == CURRENT:
        _current_back(state, c, g_u, g_state[1], g_x, g_c, trained)
    else:
        if trained:
            _adaptive_sums(x, state, c, keep, d, h, g_u, g_state[1], g_c)
        _adaptive_back(c, g_u, g_state[1], g_x)
    _product(c[0], g_u, g_v)
