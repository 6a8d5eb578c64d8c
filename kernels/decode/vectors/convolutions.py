"""Convolutions over the last tokens of each channel, which stay in the state."""

from __future__ import annotations

from ...tools.compiled import compiled
from ...tools.pointers import copy_into, vector
from ..program import FLOAT, operation, position_of, skipped, state_of
from .activations import activate
from .reference import SILU


@operation("x width tokens size weight bias? tails activation out mask?", in_order=True)
def convolve(p, context, begin, end):
    """Convolve the last tokens, which are kept, with short filters.

    Operands: `weight` [size, width], `tails` [tokens, size - 1, width]. Parts are columns.
    """
    width = p.width
    count = end - begin
    for i in range(p.tokens):
        if skipped(p.mask, i):
            continue
        # A token of several sequences has a tail of its own.
        own = state_of(context, i)
        x = vector(p.x + 4 * (i * width + begin), count, FLOAT)
        out = vector(p.out + 4 * (i * width + begin), count, FLOAT)
        convolve_row(x, begin, width, p.size, p.weight, p.bias, p.tails + 4 * own * (p.size - 1) * width, out)
        activate(out, p.activation, out)


@compiled
def convolve_row(x, begin, width, size, weights, bias, tail, out):
    """Fill `out` [n], columns from `begin` of a token's row, and shift its tail, at an address."""
    n = x.size
    last = vector(weights + 4 * ((size - 1) * width + begin), n, FLOAT)
    if bias:
        copy_into(vector(bias + 4 * begin, n, FLOAT), out)
    else:
        out[:] = 0
    # The oldest token of the tail comes first; each of the others moves up a row after its use.
    for s in range(size - 1):
        weight = vector(weights + 4 * (s * width + begin), n, FLOAT)
        row = vector(tail + 4 * (s * width + begin), n, FLOAT)
        for j in range(n):
            out[j] += weight[j] * row[j]
        if s < size - 2:
            copy_into(vector(tail + 4 * ((s + 1) * width + begin), n, FLOAT), row)
        else:
            copy_into(x, row)
    for j in range(n):
        out[j] += last[j] * x[j]


@operation("x width tokens size dilation weight ring out")
def dilate(p, context, begin, end):
    """Add to x silu of a convolution over every `dilation`-th of the last tokens, which are kept in a ring.

    Operands: `weight` [size, width], `ring` [tokens, (size - 1) dilation + 1, width]. Parts are columns.
    """
    width = p.width
    count = end - begin
    room = (p.size - 1) * p.dilation + 1
    for i in range(p.tokens):
        position = position_of(context, i)
        start = 4 * (i * width + begin)
        x = vector(p.x + start, count, FLOAT)
        out = vector(p.out + start, count, FLOAT)
        ring = p.ring + 4 * (i * room * width + begin)
        copy_into(x, vector(ring + 4 * (position % room) * width, count, FLOAT))
        out[:] = 0
        for s in range(p.size):
            # The tokens before the first are places that are still 0.
            row = vector(ring + 4 * ((position + 1 + s * p.dilation) % room) * width, count, FLOAT)
            weight = vector(p.weight + 4 * (s * width + begin), count, FLOAT)
            for j in range(count):
                out[j] += weight[j] * row[j]
        activate(out, SILU, out)
        for j in range(count):
            out[j] += x[j]
