"""Memories that are networks, trained by the tokens that they read: Titans, Moneta, Yaad and Memora.

The memory of a head is [3, P]: weights before the present span of tokens, weights A, and their momentum. The network is
x @ W for one layer, else x + norm(gelu(.. gelu(x @ W_1) ..) @ W_n), and W = w(A). The gradient is that of the loss of
W(k) - v at the weights before the span.
"""

from __future__ import annotations

import math

from numba import float32, njit

from ...tools.compiled import compiled
from ...tools.elementary import exp
from ...tools.pointers import copy_into, matrix, vector
from ..matrix_states.cpu import head_of
from ..program import FLOAT, ONE, ZERO, operation, position_of
from .reference import COLUMNS, HUBER, NORM, PLAIN, POWER, PRINTED, SQUARED  # noqa: F401 - callers read the kinds here too
from .retention import retained, retained_near

# Operands of all memories: P weights, whose gradient is taken once in a span of tokens.
NETWORK = "memory heads keys tokens layers hidden weights span"
EPS = float32(1e-5)  # of the norm of the outputs
ROOT_HALF = float32(math.sqrt(0.5))
ROOT_PI = float32(1 / math.sqrt(2 * math.pi))


def spare_size(keys, hidden, depth, weights):
    """Return the float32 that a thread needs beside the memory: weights, and two rows for each layer and its input."""
    return weights + (2 * depth + 2) * max(keys, hidden)


@njit(inline="always")
def _shape(layer, depth, keys, hidden):
    return keys if layer == 0 else hidden, keys if layer == depth - 1 else hidden


@njit(inline="always")
def _normal(x):
    """Return the normal distribution function at x."""
    return float32(0.5) * (ONE + float32(math.erf(x * ROOT_HALF)))


# A product and a sum in one rounding where the processor has that.
@compiled(fastmath={"contract"})
def _times(x, w, out):
    """out = x @ w."""
    out[:] = 0
    for i in range(w.shape[0]):
        row = w[i]
        value = x[i]
        for j in range(w.shape[1]):
            out[j] += value * row[j]


@compiled(fastmath={"contract", "reassoc", "nsz"})
def _times_transposed(w, x, out):
    """out = w @ x."""
    for i in range(w.shape[0]):
        row = w[i]
        total = float32(0)
        for j in range(w.shape[1]):
            total += row[j] * x[j]
        out[i] = total


@compiled(error_model="numpy")
def _weights(a, depth, keys, hidden, kind, q, spare):
    """Return the address of w(A) for A at an address: that itself, or `spare` filled with it."""
    if kind == PLAIN:
        return a
    at = 0
    for layer in range(depth):
        rows, columns = _shape(layer, depth, keys, hidden)
        retained(matrix(a + 4 * at, rows, columns, FLOAT), kind, q, matrix(spare + 4 * at, rows, columns, FLOAT))
        at += rows * columns
    return spare


@compiled(error_model="numpy")
def _weights_near(first, a, depth, keys, hidden, kind, q, spare):
    """Return `spare`, filled with w(A) to first order around A at the address `first`."""
    at = 0
    for layer in range(depth):
        rows, columns = _shape(layer, depth, keys, hidden)
        before = matrix(first + 4 * at, rows, columns, FLOAT)
        now = matrix(a + 4 * at, rows, columns, FLOAT)
        retained_near(before, now, kind, q, matrix(spare + 4 * at, rows, columns, FLOAT))
        at += rows * columns
    return spare


@compiled(error_model="numpy")
def _forward(w, depth, keys, hidden, x, layers, out):
    """Fill `out` [K] with the network's output for x [K]; return the factor of the norm.

    Args:
        layers: address of rows of max(K, hidden): the input of each layer, the sums of each layer.
    """
    size = max(keys, hidden)
    at = 0
    copy_into(x, vector(layers, keys, FLOAT))
    for layer in range(depth):
        rows, columns = _shape(layer, depth, keys, hidden)
        y = vector(layers + 4 * (depth + layer) * size, columns, FLOAT)
        _times(vector(layers + 4 * layer * size, rows, FLOAT), matrix(w + 4 * at, rows, columns, FLOAT), y)
        at += rows * columns
        if layer < depth - 1:
            following = vector(layers + 4 * (layer + 1) * size, columns, FLOAT)
            for j in range(columns):
                following[j] = y[j] * _normal(y[j])
        elif depth == 1:
            copy_into(y, out)
    if depth == 1:
        return ONE
    y = vector(layers + 4 * (2 * depth - 1) * size, keys, FLOAT)
    mean = ZERO
    square = ZERO
    for j in range(keys):
        mean += y[j]
    mean /= float32(keys)
    for j in range(keys):
        square += (y[j] - mean) * (y[j] - mean)
    factor = ONE / math.sqrt(square / float32(keys) + EPS)
    for j in range(keys):
        y[j] = (y[j] - mean) * factor  # what the norm's derivative needs
        out[j] = x[j] + y[j]
    return factor


@njit(inline="always")
def _pull(error, kind, exponent, delta):
    """Return the derivative of the loss."""
    if kind == POWER:
        return exponent * float32(math.tanh(float32(10) * error)) * (abs(error) + float32(1e-12)) ** (exponent - ONE)
    if kind == HUBER:
        return min(max(error, -delta), delta)
    return error


@compiled(error_model="numpy")
def _through_norm(d, y, factor):
    """Turn the derivative by the norm's output into that by its input, in place; y is the output."""
    mean = ZERO
    along = ZERO
    for j in range(d.size):
        mean += d[j]
        along += d[j] * y[j]
    mean = mean / float32(d.size)
    along = along / float32(d.size)
    for j in range(d.size):
        d[j] = factor * (d[j] - mean - y[j] * along)


@compiled(fastmath={"contract"})
def _update(a, step, x, d, theta, keep, momentum, has_momentum):
    """A = keep A + step, step = momentum step - theta x d^T, or the last part of it alone."""
    for i in range(a.shape[0]):
        row = a[i]
        moved = step[i]
        factor = -theta * x[i]
        if has_momentum:
            for j in range(a.shape[1]):
                moved[j] = momentum * moved[j] + factor * d[j]
                row[j] = keep * row[j] + moved[j]
        else:
            for j in range(a.shape[1]):
                row[j] = keep * row[j] + factor * d[j]


@compiled(fastmath={"contract"})
def _update_columns(a, step, x, d, theta, keep, momentum, has_momentum):
    """Do as `_update`, with `theta`, `keep` and `momentum` of each column."""
    for i in range(a.shape[0]):
        row = a[i]
        moved = step[i]
        factor = -x[i]
        if has_momentum:
            for j in range(a.shape[1]):
                moved[j] = momentum[j] * moved[j] + factor * theta[j] * d[j]
                row[j] = keep[j] * row[j] + moved[j]
        else:
            for j in range(a.shape[1]):
                row[j] = keep[j] * row[j] + factor * theta[j] * d[j]


@njit(inline="always")
def _mean(x):
    """Return the mean of x, which is often one number."""
    total = x[0]
    for j in range(1, x.size):
        total += x[j]
    return total / float32(x.size)


@njit(inline="always")
def _begins(context, token, span):
    return position_of(context, token) % span == 0


@njit(inline="always")
def _loss_slopes(p, place, v, out, d):
    """Fill d [K] with the derivatives of the loss of head `place` by its output, whose target is v."""
    for j in range(p.keys):
        if p.delta:
            delta = vector(p.delta, (place + 1) * p.keys, FLOAT)[place * p.keys + j]
        else:
            delta = ZERO
        d[j] = _pull(out[j] - v[j], p.loss, float32(p.loss_exponent), delta)


@njit(inline="always")
def _slope(y):
    """Return the derivative of gelu(y) = y N(y): N(y) + y n(y), n the normal density."""
    return _normal(y) + y * ROOT_PI * exp(float32(-0.5) * y * y)


@compiled(error_model="numpy")
def _forward_near(first, a, depth, keys, hidden, x, layers, out):
    """Fill `out` [K] with M_first(x) + J (a - first), J the derivative of the output by the weights at `first`.

    Args:
        layers: see `_forward`; two rows behind those take the change of the sums of a layer.
    """
    size = max(keys, hidden)
    factor = _forward(first, depth, keys, hidden, x, layers, out)
    current = layers + 8 * depth * size
    other = layers + 4 * (2 * depth + 1) * size
    # The input does not depend on the weights. Then, layer by layer, the change of a layer's sums: that of its input
    # through the weights at `first`, and its input through the change of the weights (the product rule).
    vector(current, keys, FLOAT)[:] = 0
    at = 0
    for layer in range(depth):
        rows, columns = _shape(layer, depth, keys, hidden)
        entered = vector(layers + 4 * layer * size, rows, FLOAT)
        change = vector(current, rows, FLOAT)
        if layer:
            sums = vector(layers + 4 * (depth + layer - 1) * size, rows, FLOAT)
            for i in range(rows):
                change[i] *= _slope(sums[i])
        before = matrix(first + 4 * at, rows, columns, FLOAT)
        now = matrix(a + 4 * at, rows, columns, FLOAT)
        after = vector(other, columns, FLOAT)
        after[:] = 0
        for i in range(rows):
            for j in range(columns):
                after[j] += change[i] * before[i, j] + entered[i] * (now[i, j] - before[i, j])
        at += rows * columns
        current, other = other, current
    change = vector(current, keys, FLOAT)
    if depth > 1:
        _through_norm(change, vector(layers + 4 * (2 * depth - 1) * size, keys, FLOAT), factor)
    for j in range(keys):
        out[j] += change[j]


@njit(inline="always")
def _into_layer_before(weights, d, y, before):
    """Fill `before` with the derivatives by the sums y of a layer, of those by the output of the matrix after it."""
    _times_transposed(weights, d, before)
    for j in range(y.size):
        before[j] *= _slope(y[j])


@njit(inline="always")
def _descend(p, w, a, step, layers, thetas, keeps, momenta):
    """Move the weights A at address `a`, and their momentum at `step`, along the gradient, the last layer first.

    Args:
        w: address of w(A) at the start of the span, where the gradient is taken.
        layers: address of what `_forward` left, and behind it of the derivatives by the output.
        thetas, keeps, momenta: [gates] of the token; `momenta` are read only where there is momentum.
    """
    keys = p.keys
    depth = p.layers
    hidden = p.hidden
    size = max(keys, hidden)
    theta = _mean(thetas)
    keep = _mean(keeps)
    momentum = _mean(momenta) if p.momentum else ZERO
    at = p.weights
    current = layers + 8 * depth * size
    other = layers + 4 * (2 * depth + 1) * size
    # Two rows take turns: derivatives by the output of this layer, and by that of the layer before.
    for layer in range(depth - 1, -1, -1):
        rows, columns = _shape(layer, depth, keys, hidden)
        at -= rows * columns
        d = vector(current, columns, FLOAT)
        if layer:
            y = vector(layers + 4 * (depth + layer - 1) * size, rows, FLOAT)
            _into_layer_before(matrix(w + 4 * at, rows, columns, FLOAT), d, y, vector(other, rows, FLOAT))
        # The derivatives of the layer before are computed already: the weights of this one may move.
        x = vector(layers + 4 * layer * size, rows, FLOAT)
        own = matrix(a + 4 * at, rows, columns, FLOAT)
        moved = matrix(step + 4 * at, rows, columns, FLOAT)
        if p.gates > 1 and layer == depth - 1:
            _update_columns(own, moved, x, d, thetas, keeps, momenta, p.momentum != 0)
        else:
            _update(own, moved, x, d, theta, keep, momentum, p.momentum != 0)
        current, other = other, current


@operation(
    f"{NETWORK} loss retention loss_exponent:real retention_exponent:real near gates q k v keep theta momentum? delta?"
    " spare out"
)
def train(p, context, begin, end):
    """Train the memories by k and v, and read them by q.

    Operands: `memory` [tokens, H, 3, P], P is `weights`; `keep` and `theta` [tokens, H, gates], `momentum` alike, of
    all weights or, with `gates` = K, of each column of the last matrix, and by their mean of the others; `delta` of
    Huber's loss [tokens, H, K]; `spare` float32 [spare_size] for this thread; `out` [tokens, H, K]. With `near` what
    is read is of first order in the change since the span began: the output or, where there is a retention, w(A), and
    this before the last token of a span alone. Parts are heads.
    """
    heads = p.heads
    keys = p.keys
    depth = p.layers
    hidden = p.hidden
    weights = p.weights
    size = max(keys, hidden)
    q = float32(p.retention_exponent)
    # Behind the weights: the input of each layer, the sums of each layer, and two rows of derivatives in turn.
    layers = p.spare + 4 * weights
    for i in range(p.tokens):
        for h in range(begin, end):
            place = i * heads + h
            anchor = p.memory + 12 * place * weights
            a = anchor + 4 * weights
            # Gradients of a span are taken at the weights before it.
            if _begins(context, i, p.span):
                copy_into(vector(a, weights, FLOAT), vector(anchor, weights, FLOAT))
            w = _weights(anchor, depth, keys, hidden, p.retention, q, p.spare)
            out = head_of(p.out, i, heads, h, 1, keys)
            factor = _forward(w, depth, keys, hidden, head_of(p.k, i, heads, h, 1, keys), layers, out)
            d = vector(layers + 8 * depth * size, keys, FLOAT)
            _loss_slopes(p, place, head_of(p.v, i, heads, h, 1, keys), out, d)
            if depth > 1:
                _through_norm(d, vector(layers + 4 * (2 * depth - 1) * size, keys, FLOAT), factor)
            thetas = head_of(p.theta, i, heads, h, 1, p.gates)
            keeps = head_of(p.keep, i, heads, h, 1, p.gates)
            momenta = thetas
            if p.momentum:
                momenta = head_of(p.momentum, i, heads, h, 1, p.gates)
            _descend(p, w, a, anchor + 8 * weights, layers, thetas, keeps, momenta)
            # A token reads the memory that it has just changed.
            query = head_of(p.q, i, heads, h, 1, keys)
            if p.near and p.retention == PLAIN:
                _forward_near(anchor, a, depth, keys, hidden, query, layers, out)
                continue
            if p.near and (position_of(context, i) + 1) % p.span:
                w = _weights_near(anchor, a, depth, keys, hidden, p.retention, q, p.spare)
            else:
                w = _weights(a, depth, keys, hidden, p.retention, q, p.spare)
            _forward(w, depth, keys, hidden, query, layers, out)


@operation(f"{NETWORK} x spare out")
def recall(p, context, begin, end):
    """Read the memories as they were before the present span.

    Operands: see `train`. Weights are A. Parts are heads.
    """
    for i in range(p.tokens):
        for h in range(begin, end):
            w = p.memory + 4 * ((3 * (i * p.heads + h)) + _begins(context, i, p.span)) * p.weights
            x = head_of(p.x, i, p.heads, h, 1, p.keys)
            out = head_of(p.out, i, p.heads, h, 1, p.keys)
            _forward(w, p.layers, p.keys, p.hidden, x, p.spare + 4 * p.weights, out)
