"""The operations of a decoder in numpy: the specification that tests hold the compiled ones to.

A function has the name of its operation, or of the state it updates. It takes arrays instead of addresses, and returns
its result; states [tokens, ..] are changed in place. What encodes and adds rows of weights is specified beside
`spikes.encode` and `spikes.accumulate`.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from . import features, states, vectors
from .features import ROLLS

# Operations on channels: x is [tokens, width].


def norm(x, size, weight, bias, eps, centred):
    """Norm of each group of `size` channels of a row; weight and bias are those of a row, repeated."""
    groups = x.reshape(len(x), -1, size)
    if centred:
        groups = groups - groups.mean(-1, keepdims=True)
    out = (groups / np.sqrt((groups**2).mean(-1, keepdims=True) + eps)).reshape(x.shape)
    if weight is not None:
        out = out * np.resize(weight, x.shape[1])
    if bias is None:
        return out
    return out + np.resize(bias, x.shape[1])


def normalise(x, size, kind, eps):
    """Each group of a row divided by its length or its sum, or its softmax."""
    groups = x.reshape(len(x), -1, size)
    if kind == vectors.SOFTMAX:
        return softmax(groups).reshape(x.shape)
    if kind == vectors.L2:
        return (groups / np.sqrt((groups**2).sum(-1, keepdims=True) + eps)).reshape(x.shape)
    return (groups / (groups.sum(-1, keepdims=True) + eps)).reshape(x.shape)


def total(x, size):
    return x.reshape(-1, size).sum(1)


def softmax(x):
    weights = np.exp(x - x.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ACTIVATIONS = {
    vectors.IDENTITY: lambda x: x,
    vectors.SILU: lambda x: x * sigmoid(x),
    vectors.SIGMOID: sigmoid,
    vectors.LOGSIGMOID: lambda x: -np.logaddexp(0, -x),
    vectors.RELU: lambda x: np.maximum(x, 0),
    vectors.SQRELU: lambda x: np.maximum(x, 0) ** 2,
    vectors.TANH: np.tanh,
    vectors.GELU_TANH: lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    vectors.GELU: lambda x: 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    vectors.ELU_PLUS: lambda x: np.where(x > 0, x + 1, np.exp(np.minimum(x, 0))),
    vectors.SOFTPLUS: lambda x: np.logaddexp(0, x),
    vectors.EXPM1: np.expm1,
    vectors.LOG: np.log,
    vectors.EXP: np.exp,
    vectors.SQRT: np.sqrt,
    vectors.RECIPROCAL: np.reciprocal,
    vectors.ABS: np.abs,
}


def pointwise(x, act, plus, times, then, low, high):
    """act(x + plus) times + then, within low and high; columns of the others repeat."""

    def wide(y):
        return np.stack([np.resize(row, x.shape[1]) for row in np.atleast_2d(y)])

    out = ACTIVATIONS[act](x if plus is None else x + wide(plus))
    out = out if times is None else out * wide(times)
    return np.clip(out if then is None else out + wide(then), low, high)


def mix(x, y, w):
    return x + (y - x) * w


def accumulate(x, factors, present, out):
    """Rows of x times their factors, added to `out`, of the tokens that are present."""
    return out + x * (factors * present)[:, None]


def ratio(x, eps):
    return x[:, :-1] / (x[:, -1:] + eps)


def convolve(x, weight, bias, tails, act):
    """Convolution over the last tokens, weight [size, width]; x joins the tails [tokens, size - 1, width]."""
    seen = np.concatenate([tails, x[:, None]], 1)
    tails[:] = seen[:, 1:]
    out = (seen * weight).sum(1)
    return ACTIVATIONS[act](out if bias is None else out + bias)


def rotary(x, size, rates, scale, position):
    """Pairs (i, i + n) of every head turned by position times their rate, n rates."""
    heads = x.reshape(-1, size).copy()
    n = len(rates)
    cos = scale * np.cos(position * rates)
    sin = scale * np.sin(position * rates)
    a = heads[:, :n].copy()
    b = heads[:, n : 2 * n].copy()
    heads[:, :n] = a * cos - b * sin
    heads[:, n : 2 * n] = a * sin + b * cos
    return heads.reshape(x.shape)


def matmul(x, y):
    """Products of matrices x [.., a, b] and y [.., b, c]."""
    return x @ y


def feature(x, kind, is_query, power=3.0):
    """Feature map of a head x [K]."""
    size = len(x)
    if kind == features.DPFP:
        both = np.maximum(np.concatenate([x, -x]), 0)
        return np.concatenate([both * np.roll(both, n) for n in range(1, ROLLS + 1)])
    if kind == features.TAYLOR:
        pairs = [x[i] * x[j] for i, j in itertools.combinations(range(size), 2)]
        return np.concatenate([[1], x / size**0.25, x**2 / math.sqrt(2 * size), np.array(pairs) / math.sqrt(size)])
    length = math.sqrt((x**2).sum() + 1e-12)
    direction = x / length
    if is_query:
        power = power * (0.5 + math.tanh(length))
    magnitude = (np.abs(direction if is_query else x) + 1e-6) ** power
    angle = direction * math.pi / 4
    return np.concatenate([magnitude * np.cos(angle), magnitude * np.sin(angle)])


# States [tokens, H, K, V]; a head of q, k, v and g may serve several heads of the state.


def _decayed(state, kind, g):
    """e^g S: g is [tokens, H] of heads, [tokens, H, K] of keys, or nothing."""
    if kind == states.NO_DECAY:
        return state
    return state * np.exp(g if kind == states.KEY_DECAY else g[..., None])[..., None]


def _read(state, q):
    return np.einsum("bhkv,bhk->bhv", state, q)


def _outer(k, v):
    return k[..., :, None] * v[..., None, :]


def _grouped(state, x):
    """Repeat the heads of x [tokens, heads, ..] to those of the state."""
    return np.repeat(x, state.shape[1] // x.shape[1], 1)


def additive(state, q, k, v, g, kind, scale):
    """S = e^g S + k v^T; o = scale S^T q."""
    q, k, v = (_grouped(state, x) for x in (q, k, v))
    state[:] = _decayed(state, kind, None if g is None else _grouped(state, g)) + _outer(k, v)
    return scale * _read(state, q)


def delta(state, q, k, v, g, beta, kind, scale):
    """S = e^g S, then for each step u = beta (v - S^T k), S += k u^T; k [tokens, steps, heads, K], o = scale S^T q."""
    state[:] = _decayed(state, kind, None if g is None else _grouped(state, g))
    for step in range(k.shape[1]):
        own = _grouped(state, k[:, step])
        state += _outer(own, beta[:, step, :, None] * (v[:, step] - _read(state, own)))
    return scale * _read(state, _grouped(state, q))


def rank_one(state, q, k, v, g, a, b, kind):
    """S = e^g S + b (S^T a)^T + k v^T, S^T a before the decay; o = S^T q (RWKV-7, Comba)."""
    state[:] = _decayed(state, kind, g) + _outer(b, _read(state, a)) + _outer(k, v)
    return _read(state, q)


def bonus(state, q, k, v, g, u, kind):
    """o = S^T q + (q . u k) v, then S = e^g S + k v^T (RWKV-5 and 6, pLSTM)."""
    out = _read(state, q) + (q * u * k).sum(-1, keepdims=True) * v
    state[:] = _decayed(state, kind, g) + _outer(k, v)
    return out


# Other recurrences, and the routing of tokens.


def diagonal(state, u, a, b, c, d):
    """s = A s + B u, y = 2 Re(C s) + D u; state [tokens, width, states] and A, B, C [width, states] are complex."""
    state[:] = a * state + b * u[..., None]
    return 2 * (c * state).sum(-1).real + d * u


def filtered(state, u, a, b, c, d):
    """s = A s + B u, y = C s + D u; state [tokens, width, states], A [width, states, states] (LSSL)."""
    state[:] = np.einsum("wij,twj->twi", a, state) + b * u[..., None]
    return (c * state).sum(-1) + d * u


def gated_units(state, u, w):
    """A gated recurrence with diagonal weights w [3 or 5, units]; state [tokens, units, 1 or 2], u [.., units, 3]."""
    h = state[..., 0]
    if state.shape[-1] == 1:
        z, r = (sigmoid(w[n] * h + u[..., n]) for n in (0, 1))
        state[..., 0] = (1 - z) * h + z * np.tanh(w[2] * h * r + u[..., 2])
    else:
        c = state[..., 1]
        f = sigmoid(w[0] * h + w[3] * c + u[..., 0])
        g = np.tanh(w[1] * h + u[..., 1])
        c = f * c + (1 - f) * g
        state[:] = np.stack([sigmoid(w[2] * h + w[4] * c + u[..., 2]) * np.tanh(c), c], -1)
    return state[..., 0].copy()


def selective(state, u, dt, k, q, a, d):
    """s = e^(dt A) s + dt u k, y = q . s + D u; state [tokens, width, states] (Mamba)."""
    state[:] = np.exp(dt[..., None] * a) * state + (dt * u)[..., None] * k[:, None]
    return (q[:, None] * state).sum(-1) + d * u


def soft_decay(z, c, position):
    """z = log(e^z + e^c); return k = e^(c - z), g = (z before) - z. The first token has z = c (LightNet)."""
    before = z.copy() if position else c
    z[:] = np.logaddexp(z, c) if position else c
    return np.exp(c - z), before - z


def almost_linear(z, u, a, w, rectified):
    """z = A z + W f(z) + u, f rectifies the last units."""
    active = z.copy()
    active[:, z.shape[1] - rectified :] = np.maximum(active[:, z.shape[1] - rectified :], 0)
    z[:] = a * z + active @ w.T + u
    return z.copy()


def route(scores, picked, sum_to_one, bias=None, groups=1, kept=1, scale=1.0):
    """Weights [memories, tokens] by the softmax of scores [tokens, memories], and masks of the `picked` largest.

    With a bias weights are sigmoids, and the largest are those with it added, of the `kept` groups whose two largest
    sum to the most.
    """
    weights = softmax(scores) if bias is None else sigmoid(scores)
    choice = weights if bias is None else weights + bias
    parts = choice.reshape(len(scores), groups, -1)
    best = np.argsort(-np.sort(parts, axis=2)[:, :, -2:].sum(2), axis=1)[:, :kept]
    outside = ~(best[:, :, None] == np.arange(groups)).any(1)
    choice = np.where(outside[:, :, None], -np.inf, parts).reshape(scores.shape)
    masks = np.zeros(scores.shape, np.uint8)
    np.put_along_axis(masks, np.argsort(-choice, axis=1, kind="stable")[:, :picked], 1, 1)
    if sum_to_one:
        weights = weights / (weights * masks).sum(1, keepdims=True)
    return scale * weights.T, masks.T


# Attention over a window; keys and values are lists over tokens so far.


def window(q, keys, values, capacity, scale, plain=None, learnt=None):
    """Softmax attention of q [H, K] over the last of keys [T, heads, K] and values, and over learnt [n, H, K + V].

    The learnt ones are seen by `plain`, q before its positions. Returns (o [H, V], logarithm of the sum of weights).
    """
    groups = len(q) // keys.shape[1]
    k, v = (np.repeat(x[-capacity:], groups, 1) for x in (keys, values))
    scores = scale * np.einsum("hk,thk->ht", q, k)
    if learnt is not None:
        scores = np.concatenate([scores, scale * np.einsum("hk,mhk->hm", plain, learnt[..., : q.shape[1]])], 1)
        v = np.concatenate([v, learnt[..., q.shape[1] :]])
    return np.einsum("ht,thv->hv", softmax(scores), v), np.log(np.exp(scores).sum(1))


def share(seen, mass, sums, offset):
    """Join attention over a window, of this mass [tokens, H], with sums [tokens, H, V + 1] over older tokens."""
    weight = np.maximum(sums[..., -1], np.finfo(np.float32).tiny)
    part = sigmoid(mass - offset - np.log(weight))[..., None]
    return part * seen + (1 - part) * sums[..., :-1] / weight[..., None]


def patches(x, kernel, stride):
    """Patches [positions, planes rows columns] of a sensor x [planes, height, width]."""
    seen = np.lib.stride_tricks.sliding_window_view(x, kernel, (1, 2))[:, :: stride[0], :: stride[1]]
    return np.moveaxis(seen, 0, 2).reshape(-1, len(x) * kernel[0] * kernel[1])
