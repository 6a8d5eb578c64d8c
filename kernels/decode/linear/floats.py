"""Linear layers of a decoder with float32 weights: rows [K, N] added for spikes, or all of [N, K] for dense inputs."""

from __future__ import annotations

from numba import float32, njit

from ...tools.compiled import compiled
from ...tools.intrinsics import prefetch
from ...tools.pointers import matrix, vector
from ..program import BYTE, FLOAT, LONG, WORD, operation, skipped
from .encode import AHEAD, ESCAPES, HEAD, LIST, NUMBER
from .vnni import BLOCK

LINE = 64  # bytes


@njit(inline="always")
def _row(rows, stride, channel, size):
    return vector(rows + channel * stride, size, FLOAT)


# A product and a sum in one rounding where the processor has that.
@compiled(fastmath={"contract"})
def _add_rows(rows, stride, channels, counts, number, out):
    """Add the listed rows, at an address and `stride` bytes apart, by eights as `spikes.accumulate`, the rest apart."""
    j = 0
    size = out.size
    # `out` is read and written once for eight rows. They are named, not in a list, so that LLVM sees that `out` lies
    # apart from all of them.
    while j + 8 <= number:
        a = _row(rows, stride, channels[j], size)
        b = _row(rows, stride, channels[j + 1], size)
        c = _row(rows, stride, channels[j + 2], size)
        d = _row(rows, stride, channels[j + 3], size)
        e = _row(rows, stride, channels[j + 4], size)
        f = _row(rows, stride, channels[j + 5], size)
        g = _row(rows, stride, channels[j + 6], size)
        h = _row(rows, stride, channels[j + 7], size)
        # The list is filled up and has AHEAD more entries: the next eight can be asked for behind its end.
        for i in range(8, 16):
            for n in range(0, 4 * size, LINE):
                prefetch(rows + channels[j + i] * stride + n)
        p = float32(counts[j])
        q = float32(counts[j + 1])
        r = float32(counts[j + 2])
        s = float32(counts[j + 3])
        t = float32(counts[j + 4])
        u = float32(counts[j + 5])
        v = float32(counts[j + 6])
        w = float32(counts[j + 7])
        for n in range(size):
            lower = (p * a[n] + q * b[n]) + (r * c[n] + s * d[n])
            upper = (t * e[n] + u * f[n]) + (v * g[n] + w * h[n])
            out[n] += lower + upper
        j += 8
    for i in range(j, number):
        a = _row(rows, stride, channels[i], size)
        p = float32(counts[i])
        for n in range(size):
            out[n] += p * a[n]


@operation(f"rows size width tokens {LIST} has_levels bias? before? out")
def float_rows(p, context, begin, end):
    """Add the rows float32 [K, N] of the listed channels, see `encode`.

    Operands: `has_levels`: tokens have levels; `before`, the residual; `out` [tokens, N]. Parts are blocks of 64
    columns.
    """
    width = p.width
    tokens = p.tokens
    room = -(-p.size // 8) * 8 + AHEAD
    channels = matrix(p.channels, tokens, room, WORD)
    counts = matrix(p.counts, tokens, room, BYTE)
    heads = matrix(p.head, tokens, HEAD, LONG)
    level = vector(p.level, tokens, FLOAT)
    escaped = matrix(p.escaped, tokens, p.size, WORD)
    excess = matrix(p.excess, tokens, p.size, WORD)
    first = begin * BLOCK
    last = min(end * BLOCK, width)
    out = matrix(p.out, tokens, width, FLOAT)
    for i in range(tokens):
        y = out[i, first:last]
        y[:] = 0
        _add_rows(p.rows + 4 * first, 4 * width, channels[i], counts[i], heads[i, NUMBER], y)
        # Counts beyond +-127 are in the list with 127; what they exceed it by is added here, before the level.
        for e in range(heads[i, ESCAPES]):
            row = vector(p.rows + 4 * (escaped[i, e] * width + first), y.size, FLOAT)
            value = float32(excess[i, e])
            for n in range(y.size):
                y[n] += value * row[n]
        if p.has_levels:
            for n in range(y.size):
                y[n] *= level[i]
        add_behind(y, p.bias, p.before, first, i * width + first)


@njit(inline="always")
def add_behind(y, bias, before, first, place):
    """Add bias, and the residual before, where there are any."""
    if bias:
        more = vector(bias + 4 * first, y.size, FLOAT)
        for n in range(y.size):
            y[n] += more[n]
    if before:
        more = vector(before + 4 * place, y.size, FLOAT)
        for n in range(y.size):
            y[n] = more[n] + y[n]


# Partial sums in any order, so that they become vectors.
@compiled(fastmath={"contract", "reassoc", "nsz"})
def _dots(weights, x, first, out):
    """Compute four outputs at a time, each read of x serving four rows; the rest singly."""
    size = x.size
    # Named rows, as in `_add_rows`: the sums stay in registers.
    n = 0
    while n + 4 <= out.size:
        a = weights[first + n]
        b = weights[first + n + 1]
        c = weights[first + n + 2]
        d = weights[first + n + 3]
        p = q = r = s = float32(0)
        for k in range(size):
            p += a[k] * x[k]
            q += b[k] * x[k]
            r += c[k] * x[k]
            s += d[k] * x[k]
        out[n] = p
        out[n + 1] = q
        out[n + 2] = r
        out[n + 3] = s
        n += 4
    while n < out.size:
        a = weights[first + n]
        p = float32(0)
        for k in range(size):
            p += a[k] * x[k]
        out[n] = p
        n += 1


@operation("weights size width tokens x bias? before? out mask?")
def dense(p, context, begin, end):
    """Multiply x [tokens, K] by all weights float32 [N, K].

    Operands: `before`, the residual; `out` [tokens, N]. Parts are blocks of 64 columns.
    """
    width = p.width
    weights = matrix(p.weights, width, p.size, FLOAT)
    x = matrix(p.x, p.tokens, p.size, FLOAT)
    # Few rows at a time, so that they stay in the first cache while the tokens of a batch pass over them.
    for first in range(begin * BLOCK, min(end * BLOCK, width), 4):
        rows = min(4, width - first)
        for i in range(p.tokens):
            if skipped(p.mask, i):
                continue
            y = vector(p.out + 4 * (i * width + first), rows, FLOAT)
            _dots(weights, x[i], first, y)
            add_behind(y, p.bias, p.before, first, i * width + first)
