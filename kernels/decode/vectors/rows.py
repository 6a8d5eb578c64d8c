"""Copies of rows and of columns: from values, from tables, and from the token before."""

from __future__ import annotations

from ...tools.pointers import copy_into, vector
from ..program import FLOAT, LONG, operation, position_of


@operation("x x_width x_first out out_width out_first columns repeats")
def copy(p, context, begin, end):
    """Copy columns of rows.

    Operands: a row of x goes to `repeats` rows of `out`. Parts are rows of `out`.
    """
    for i in range(begin, end):
        source = vector(p.x + 4 * (i // p.repeats * p.x_width + p.x_first), p.columns, FLOAT)
        copy_into(source, vector(p.out + 4 * (i * p.out_width + p.out_first), p.columns, FLOAT))


@operation("tokens table width out")
def embed(p, context, begin, end):
    """Fill `out` with the rows of `table` float32 of int64 tokens. Parts are tokens."""
    tokens = vector(p.tokens, end, LONG)
    for i in range(begin, end):
        row = vector(p.table + 4 * tokens[i] * p.width, p.width, FLOAT)
        copy_into(row, vector(p.out + 4 * i * p.width, p.width, FLOAT))


@operation("table count width tokens out")
def look_up(p, context, begin, end):
    """Copy the row of a table that belongs to the position of each token; later positions have the last of `count`.

    Parts are channels.
    """
    for i in range(p.tokens):
        place = min(position_of(context, i), p.count - 1)
        row = vector(p.table + 4 * (place * p.width + begin), end - begin, FLOAT)
        copy_into(row, vector(p.out + 4 * (i * p.width + begin), end - begin, FLOAT))


@operation("x width tokens tail out", in_order=True)
def shift(p, context, begin, end):
    """Fill `out` with the token before each of x [tokens, width], of one sequence; the last becomes `tail` [width].

    Parts are columns.
    """
    width = p.width
    count = end - begin
    tail = vector(p.tail + 4 * begin, count, FLOAT)
    for i in range(p.tokens):
        x = vector(p.x + 4 * (i * width + begin), count, FLOAT)
        out = vector(p.out + 4 * (i * width + begin), count, FLOAT)
        copy_into(tail, out)
        copy_into(x, tail)
