"""From values to values: element by element, copies of columns, short convolutions, products of small matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....kernels.decode.vectors import convolutions as convolution_kernels
from ....kernels.decode.vectors import pointwise as pointwise_kernels
from ....kernels.decode.vectors import products as product_kernels
from ....kernels.decode.vectors import reference as vectors
from ....kernels.decode.vectors import rows as row_kernels
from ...attention.kinds.modules import ShortConv
from .joined_rows import bias_of
from .memory import WHOLE, Array, Buffer, Touch, reads, writes
from .program import DecoderProgram

ACTIVATIONS = {
    "gelu": vectors.GELU_TANH,
    "identity": vectors.IDENTITY,
    "logsigmoid": vectors.LOGSIGMOID,
    "relu": vectors.RELU,
    "sigmoid": vectors.SIGMOID,
    "silu": vectors.SILU,
    "sqrelu": vectors.SQRELU,
    "swish": vectors.SILU,
    "tanh": vectors.TANH,
}


def pointwise(
    b: DecoderProgram,
    x: Buffer,
    act: int = vectors.IDENTITY,
    *,
    plus: Buffer | Array | None = None,
    times: Buffer | Array | None = None,
    then: Buffer | Array | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Buffer:
    """Return act(x + plus) times + then, within low and high."""
    out = b.buffer(x.width, x.rows)
    places, share = b.by_columns(out)
    operands: dict[str, Any] = {}
    touches: list[Touch] = [reads(x, share), writes(out, share)]
    for name, other in (("plus", plus), ("times", times), ("then", then)):
        operands[name] = other
        operands[f"{name}_rows"] = isinstance(other, Buffer)
        if isinstance(other, Buffer):
            operands[f"{name}_columns"] = other.width
            # Rows of another width do not divide at the columns of x.
            touches.append(reads(other, share if other.width == x.width else WHOLE))
        elif other is None:
            operands[f"{name}_columns"] = 1
        else:
            operands[f"{name}_columns"] = len(other)
    operands["low"] = -np.inf if low is None else low
    operands["high"] = np.inf if high is None else high
    bound = pointwise_kernels.pointwise(x=x, width=x.width, tokens=x.rows, activation=act, **operands, out=out)
    b.emit(bound, places, b.masked(touches))
    return out


def mix(b: DecoderProgram, x: Buffer, y: Buffer, w: Buffer | Array) -> Buffer:
    """Return x + (y - x) w."""
    out = b.buffer(x.width, x.rows)
    places, share = b.by_columns(out)
    touches = [reads(buffer, share) for buffer in (x, y, w) if isinstance(buffer, Buffer)]
    by_token = isinstance(w, Buffer)
    bound = pointwise_kernels.mix(x=x, y=y, weight=w, weight_rows=by_token, width=x.width, tokens=x.rows, out=out)
    b.emit(bound, places, [*touches, writes(out, share)])
    return out


def shift(b: DecoderProgram, x: Buffer, tail: Buffer) -> Buffer:
    """Return the token before each token of a prompt x; `tail` is before the first, and becomes the last."""
    out = b.buffer(x.width, x.rows)
    places, share = b.by_columns(out)
    bound = row_kernels.shift(x=x, width=x.width, tokens=x.rows, tail=tail, out=out)
    b.emit(bound, places, [reads(x, share), writes(tail, share), writes(out, share)])
    return out


def overwrite(b: DecoderProgram, out: Buffer, x: Buffer) -> None:
    """Copy x into a buffer of the same shape."""
    places, share = b.by_columns(out)
    sizes = {"width": x.width, "tokens": x.rows, "activation": vectors.IDENTITY, "low": -np.inf, "high": np.inf}
    # No operand to add or multiply by: their sizes are 0.
    none = {f"{name}_{part}": 0 for name in ("plus", "times", "then") for part in ("columns", "rows")}
    bound = pointwise_kernels.pointwise(x=x, **sizes, **none, out=out)
    b.emit(bound, places, b.masked([reads(x, share), writes(out, share)]))


def columns(b: DecoderProgram, x: Buffer, start: int, width: int) -> Buffer:
    """Return a copy of some columns of x."""
    out = b.buffer(width, x.rows)
    copy(b, x, start, out, 0, width)
    return out


def copy(b: DecoderProgram, x: Buffer, start: int, out: Buffer, at: int, width: int) -> None:
    """Copy columns of the rows of x, each into as many rows of `out` as there are for it."""
    places, share = b.by_rows(out)
    source = {"x": x, "x_width": x.width, "x_first": start, "columns": width}
    bound = row_kernels.copy(**source, out=out, out_width=out.width, out_first=at, repeats=out.rows // x.rows)
    # Where rows are repeated, a thread writes other rows than it would read by its share.
    if out.rows == x.rows:
        read = reads(x, share)
    else:
        read = reads(x, WHOLE)
    b.emit(bound, places, [read, writes(out, share)])


def convolve(b: DecoderProgram, module: ShortConv, x: Buffer, tails: Buffer) -> Buffer:
    """Return the short convolution of x with the tails, the tokens before it [tokens, size - 1, width]."""
    size = module.size
    width = x.width
    weight = b.constant(module.weight[:, 0].T)
    out = b.buffer(width, x.rows)
    places, share = b.by_columns(out)
    act = ACTIVATIONS[module.activation or "identity"]
    sizes = {"width": width, "tokens": x.rows, "size": size}
    layer = {"weight": weight, "bias": bias_of(b, module), "tails": tails, "activation": act}
    touches = [reads(x, share), writes(out, share), writes(tails, share)]
    b.emit(convolution_kernels.convolve(x=x, **sizes, **layer, out=out, mask=b.mask), places, b.masked(touches))
    return out


def matmul(b: DecoderProgram, x: Buffer, y: Buffer, rows: int) -> Buffer:
    """Return the products of matrices of `rows` rows of x with as many matrices of y, one behind the other."""
    out = b.buffer(y.width, x.rows)
    # A matrix is never cut: threads share the products.
    places, share = b.by_groups(out, rows * y.width)
    bound = product_kernels.matmul(x=x, y=y, rows=rows, inner=x.width, columns=y.width, out=out)
    b.emit(bound, places, [reads(x, WHOLE), reads(y, WHOLE), writes(out, share)])
    return out
