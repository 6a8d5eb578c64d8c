"""`reference` compiled for the processor: whole rows of lanes at a time, lanes being batch times units.

The forward pass keeps the states of every `STRIDE`th step alone; the backward pass goes back a stride at a time, finds
the states within it again, which stay in the second cache, and then retreats through them. So what is kept beside the
input is 1 / STRIDE of it, and each value is read from memory once a pass. Lanes know nothing of each other: results do
not depend on the number of threads. With feed-back a thread owns whole elements of the batch.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ...tools.denormals import flush, restore
from ...tools.elementary import exp
from ...tools.threads import spread
from ..spike_linear.numba import add_rows

# As in `reference`.
LIF, CURRENT, ADAPTIVE = 0, 1, 2
ZERO, LATE = 1, 2
FAST_SIGMOID, ARCTAN, TRIANGLE = 0, 1, 2
# Lanes of a block: a page of float32, and rows that stay in the first cache.
LANES = 1024
STRIDE = 32
# Steps of a lane that are worth a thread.
GRAIN = 1 << 17


@njit(inline="always")
def _copy(source, target):
    for j in range(source.size):
        target[j] = source[j]


@njit(inline="always")
def _lif(v, x, alpha, theta, keep, out):
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for j in range(x.size):
        u = alpha[j] * v[j] + x[j]
        fired = u > theta[j]
        v[j] = keep * (u - theta[j]) if fired else u
        out[j] = one if fired else zero


@njit(inline="always")
def _lif_late(v, x, alpha, theta, out):
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for j in range(x.size):
        due = theta[j] if v[j] > theta[j] else zero
        u = (alpha[j] * v[j] + x[j]) - due
        v[j] = u
        out[j] = one if u > theta[j] else zero


@njit(inline="always")
def _current(v, i, x, alpha, theta, delta, kappa, keep, out):
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for j in range(x.size):
        u = alpha[j] * v[j] + kappa[j] * i[j]
        fired = u > theta[j]
        v[j] = keep * (u - theta[j]) if fired else u
        i[j] = delta[j] * i[j] + x[j]
        out[j] = one if fired else zero


@njit(inline="always")
def _adaptive(v, w, x, alpha, theta, beta, a, b, keep, out):
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for j in range(x.size):
        u = alpha[j] * v[j] + (one - alpha[j]) * (x[j] - w[j])
        fired = u > theta[j]
        s = one if fired else zero
        after = keep * (u - theta[j]) if fired else u
        v[j] = after
        w[j] = beta[j] * w[j] + (one - beta[j]) * (a[j] * after + b[j] * s)
        out[j] = s


@njit(inline="always")
def _integrator(v, x, alpha, out):
    for j in range(x.size):
        after = alpha[j] * v[j] + x[j]
        v[j] = after
        out[j] = after


@njit(cache=True, nogil=True)
def _advance(kind, reset, x, state, c, out):
    """One step of a row of lanes: x, out [n], state [states, n] in place, c [constants, n]."""
    keep = x.dtype.type(0 if reset == ZERO else 1)
    if kind == LIF:
        if reset == LATE:
            _lif_late(state[0], x, c[0], c[1], out)
        else:
            _lif(state[0], x, c[0], c[1], keep, out)
    elif kind == CURRENT:
        _current(state[0], state[1], x, c[0], c[1], c[2], c[3], keep, out)
    elif kind == ADAPTIVE:
        _adaptive(state[0], state[1], x, c[0], c[1], c[2], c[3], c[4], keep, out)
    else:
        _integrator(state[0], x, c[0], out)


@njit(cache=True, nogil=True, error_model="numpy")
def _surrogate(which, slope, scale, h):
    """h in place of x = u - theta. slope and scale of h's own type."""
    kind = h.dtype.type
    zero, one = kind(0), kind(1)
    if which == FAST_SIGMOID:
        for j in range(h.size):
            y = one + slope * abs(h[j])
            h[j] = scale / (y * y)
    elif which == ARCTAN:
        half = kind(0.5) * slope
        peak, steep = scale * half, kind(math.pi) * half
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


# The way back is a row of short loops: one with more arrays than these is not compiled to vector instructions.


@njit(inline="always")
def _distance(kind, late, x, state, c, d):
    """d = u - theta, u being the membrane before the reset."""
    one = x.dtype.type(1)
    alpha, theta, v = c[0], c[1], state[0]
    if kind == CURRENT:
        i, kappa = state[1], c[3]
        for j in range(x.size):
            d[j] = (alpha[j] * v[j] + kappa[j] * i[j]) - theta[j]
    elif kind == ADAPTIVE:
        w = state[1]
        for j in range(x.size):
            d[j] = (alpha[j] * v[j] + (one - alpha[j]) * (x[j] - w[j])) - theta[j]
    elif late:
        for j in range(x.size):
            due = theta[j] if v[j] > theta[j] else one - one
            d[j] = ((alpha[j] * v[j] + x[j]) - due) - theta[j]
    else:
        for j in range(x.size):
            d[j] = (alpha[j] * v[j] + x[j]) - theta[j]


@njit(inline="always")
def _through_reset(d, theta, keep, attached, h, g_out, g_v, g_theta, trained, g_u):
    """g_u from the gradients g_out of the spike and g_v of the membrane after it; h becomes that of d by the spike."""
    zero, one = d.dtype.type(0), d.dtype.type(1)
    for j in range(d.size):
        taken = theta[j] + (one - keep) * d[j]
        h[j] *= g_out[j] - attached * g_v[j] * taken
    if trained:
        for j in range(d.size):
            s = keep if d[j] > zero else zero
            g_theta[j] -= s * g_v[j] + h[j]
    for j in range(d.size):
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
    v, i, delta, kappa = state[0], state[1], c[2], c[3]
    if trained:
        _add_product(g_u, v, g_c[0])
        _add_product(g_i, i, g_c[2])
        _add_product(g_u, i, g_c[3])
    _copy(g_i, g_x)
    for j in range(g_u.size):
        g_i[j] = delta[j] * g_i[j] + kappa[j] * g_u[j]


@njit(inline="always")
def _adaptive_before(c, g_out, g_v, g_w, g_s):
    """What reaches the spike, g_s, and the membrane after it, g_v, through w = beta w + (1 - beta) (A v + B s)."""
    one = g_w.dtype.type(1)
    beta, a, b = c[2], c[3], c[4]
    for j in range(g_w.size):
        g_s[j] = g_out[j] + b[j] * ((one - beta[j]) * g_w[j])
    for j in range(g_w.size):
        g_v[j] += a[j] * ((one - beta[j]) * g_w[j])


@njit(inline="always")
def _adaptive_sums(x, state, c, keep, d, after, g_u, g_w, g_c):
    """`after` is work space: the membrane after the reset."""
    zero, one = x.dtype.type(0), x.dtype.type(1)
    v, w, theta, beta, a, b = state[0], state[1], c[1], c[2], c[3], c[4]
    g_alpha, g_beta, g_a, g_b = g_c[0], g_c[2], g_c[3], g_c[4]
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
    alpha, beta, one = c[0], c[2], g_w.dtype.type(1)
    for j in range(g_u.size):
        g_x[j] = (one - alpha[j]) * g_u[j]
    for j in range(g_u.size):
        g_w[j] = beta[j] * g_w[j] - g_x[j]


@njit(inline="always")
def _late_back(v, c, attached, h, before, g_out, g_v, g_x, g_c, trained):
    """LIF whose spike before the step is taken off in it; h of the membrane after the step, `before` of that before."""
    zero, one, alpha, theta = v.dtype.type(0), v.dtype.type(1), c[0], c[1]
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


@njit(cache=True, nogil=True)
def _retreat(how, x, state, c, g_out, g_state, g_x, g_c, trained, work):
    """Back through one step of a row of lanes.

    Args:
        how: kind, reset, surrogate (whole numbers); attached, slope, scale.
        x, state: the step's input and the state it started from.
        g_out: [n] gradient of its output; g_state: [states, n], of the state it led to, turned into that of `state`.
        g_x: [n], written; g_c: [constants, n], added to if `trained`.
        work: [4, n].
    """
    kind, reset, which = how[0], how[1], how[2]
    attached, slope, scale = x.dtype.type(how[3]), x.dtype.type(how[4]), x.dtype.type(how[5])
    keep = x.dtype.type(0 if reset == ZERO else 1)
    g_v = g_state[0]
    if kind > ADAPTIVE:
        _integrator_back(state[0], c[0], g_out, g_v, g_x, g_c, trained)
        return
    d, h, g_u = work[0], work[1], work[2]
    late = kind == LIF and reset == LATE
    _distance(kind, late, x, state, c, d)
    _copy(d, h)
    _surrogate(which, slope, scale, h)
    if late:
        v, theta = state[0], c[1]
        for j in range(x.size):
            d[j] = v[j] - theta[j]
        _surrogate(which, slope, scale, d)
        _late_back(v, c, attached, h, d, g_out, g_v, g_x, g_c, trained)
        return
    g_s = g_out
    if kind == ADAPTIVE:
        g_s = work[3]
        _adaptive_before(c, g_out, g_v, g_state[1], g_s)
    _through_reset(d, c[1], keep, attached, h, g_s, g_v, g_c[1], trained, g_u)
    if kind == LIF:
        _copy(g_u, g_x)
        if trained:
            _add_product(g_u, state[0], g_c[0])
    elif kind == CURRENT:
        _current_back(state, c, g_u, g_state[1], g_x, g_c, trained)
    else:
        if trained:
            _adaptive_sums(x, state, c, keep, d, h, g_u, g_state[1], g_c)
        _adaptive_back(c, g_u, g_state[1], g_x)
    _product(c[0], g_u, g_v)


@njit(cache=True, nogil=True)
def _forward(how, x, state, c, out, kept, first, last):
    """Lanes `first` to `last` of x, out [T, M], state [states, M] in place, kept [strides or 0, states, M]."""
    control = flush()
    for a in range(first, last, LANES):
        b = min(a + LANES, last)
        here, constants = state[:, a:b].copy(), c[:, a:b].copy()
        for t in range(x.shape[0]):
            if t % STRIDE == 0 and kept.shape[0]:
                for k in range(state.shape[0]):
                    _copy(here[k], kept[t // STRIDE, k, a:b])
            _advance(how[0], how[1], x[t, a:b], here, constants, out[t, a:b])
        state[:, a:b] = here
    restore(control)


@njit(cache=True, nogil=True)
def _replay(how, x, begin, end, kept, c, states, here, nowhere, a, b):
    """states [end - begin, states, n]: those of lanes a to b before each step, from the kept one; two rows of work."""
    for k in range(here.shape[0]):
        _copy(kept[begin // STRIDE, k, a:b], here[k])
    for t in range(begin, end):
        for k in range(here.shape[0]):
            _copy(here[k], states[t - begin, k])
        _advance(how[0], how[1], x[t, a:b], here, c, nowhere)


@njit(cache=True, nogil=True)
def _backward(how, x, c, kept, g_out, g_state, g_x, g_c, trained, first, last):
    """As `_retreat`, over all steps of lanes `first` to `last`; g_out [T, M], or one row of zeros for all steps."""
    control, states, steps = flush(), kept.shape[1], x.shape[0]
    rows = min(1, g_out.shape[0] - 1)
    for a in range(first, last, LANES):
        b = min(a + LANES, last)
        constants, g_here = c[:, a:b].copy(), g_state[:, a:b].copy()
        past, here = np.empty((STRIDE, states, b - a), x.dtype), np.empty((states, b - a), x.dtype)
        sums, work = np.zeros(constants.shape, x.dtype), np.empty((4, b - a), x.dtype)
        for begin in range((kept.shape[0] - 1) * STRIDE, -1, -STRIDE):
            end = min(begin + STRIDE, steps)
            _replay(how, x, begin, end, kept, constants, past, here, work[0], a, b)
            for t in range(end - 1, begin - 1, -1):
                row, into = g_out[rows * t, a:b], g_x[t, a:b]
                _retreat(how, x[t, a:b], past[t - begin], constants, row, g_here, into, sums, trained, work)
        for k in range(states):
            _copy(g_here[k], g_state[k, a:b])
        for k in range(sums.shape[0]):
            _copy(sums[k], g_c[k, a:b])
    restore(control)


@njit(cache=True, nogil=True)
def _feedback(how, current, weight, state, c, spikes, total, out, kept, first, last):
    """Elements `first` to `last` of the batch, in time; spikes [B, N] are those before the first step."""
    control, units = flush(), current.shape[2]
    chosen = np.empty(units, np.int32)
    here = np.empty((state.shape[0], units), current.dtype)
    for e in range(first, last):
        for k in range(state.shape[0]):
            _copy(state[k, e], here[k])
        before = spikes[e]
        for t in range(current.shape[0]):
            if t % STRIDE == 0 and kept.shape[0]:
                for k in range(state.shape[0]):
                    _copy(here[k], kept[t // STRIDE, k, e])
            arrived = total[t, e]
            _copy(current[t, e], arrived)
            count = 0
            for j in range(units):
                chosen[count] = j
                count += before[j] != 0
            add_rows(weight, chosen[:count], arrived)
            before = out[t, e]
            _advance(how[0], how[1], arrived, here, c, before)
        for k in range(state.shape[0]):
            _copy(here[k], state[k, e])
    restore(control)


def forward(how, x, state, c, keep, threads):
    """x [T, M], state [states, M], c [constants, M] to out [T, M], the state after, and the states kept for `backward`.

    Args:
        how: kind, reset, surrogate, attached, slope, scale.
        keep: whether states are kept.
    """
    out, state = np.empty_like(x), state.copy()
    kept = np.empty((-(-len(x) // STRIDE) if keep else 0, *state.shape), x.dtype)
    _spread(x, threads, lambda a, b: _forward(how, x, state, c, out, kept, a, b))
    return out, state, kept


def backward(how, x, c, kept, g_out, g_state, trained, threads):
    """Gradients of x, of the state at the start, and of c by lane, from those of the outputs; g_out None means zero."""
    g_out = np.zeros((1, x.shape[1]), x.dtype) if g_out is None else g_out
    g_x, g_state, g_c = np.empty_like(x), g_state.copy(), np.empty_like(c)
    _spread(x, threads, lambda a, b: _backward(how, x, c, kept, g_out, g_state, g_x, g_c, trained, a, b))
    return g_x, g_state, g_c


def _spread(x, threads, fill):
    """`fill(a, b)` on ranges of lanes that tile x's, in whole blocks."""
    steps, lanes = x.shape
    blocks = -(-lanes // LANES)
    bounds = np.arange(blocks + 1) * (max(steps, 1) * LANES)
    spread(lambda a, b: fill(a * LANES, min(b * LANES, lanes)), bounds, threads, GRAIN)


def feedback(how, current, state, c, weight, spikes, keep, threads):
    """As `forward`, on current [T, B, N], state [states, B, N], c [constants, N], with weight [N, N] from and to.

    Returns:
        What arrived with the feed-back, [T, B, N]; then as `forward`.
    """
    total, out, state = np.empty_like(current), np.empty_like(current), state.copy()
    steps, batch, units = current.shape
    kept = np.empty((-(-steps // STRIDE) if keep else 0, *state.shape), current.dtype)
    bounds = np.arange(batch + 1) * max(1, steps * units)

    def fill(a, b):
        _feedback(how, current, weight, state, c, spikes, total, out, kept, a, b)

    spread(fill, bounds, threads, GRAIN)
    return total, out, state, kept.reshape(len(kept), len(state), -1)


class Retreat:
    """The way back with feed-back, called for each step from the last to the first: between two, the spikes get their
    gradient from the currents of the later one. All lanes are one row, in one thread: the products take the time.
    """

    def __init__(self, how, x, c, kept):
        self.how, self.x, self.c, self.kept = how, x, c, kept
        states, lanes = kept.shape[1:]
        self.past = np.empty((STRIDE, states, lanes), x.dtype)
        self.here, self.work = np.empty((states, lanes), x.dtype), np.empty((4, lanes), x.dtype)

    def __call__(self, t, g_out, g_state, g_x, g_c, trained):
        """As `_retreat`, of step t."""
        at, lanes = t % STRIDE, self.x.shape[1]
        if at == STRIDE - 1 or t == len(self.x) - 1:
            _replay(
                self.how, self.x, t - at, t + 1, self.kept, self.c, self.past, self.here, self.work[0], 0, lanes
            )  # fmt: skip
        _step_back(self.how, self.x[t], self.past[at], self.c, g_out, g_state, g_x, g_c, trained, self.work)


@njit(cache=True, nogil=True)
def _step_back(how, x, state, c, g_out, g_state, g_x, g_c, trained, work):
    control = flush()
    _retreat(how, x, state, c, g_out, g_state, g_x, g_c, trained, work)
    restore(control)
