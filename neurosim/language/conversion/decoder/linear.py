"""Linear layers as operations: dense products, and the rows that spikes select, added."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeGuard

import numpy as np
from torch import Tensor, nn

from ....kernels.decode.linear import blocks as dense_blocks
from ....kernels.decode.linear import floats
from ....kernels.decode.linear.vnni import BLOCK
from ...attention.gguf.blocks import BLOCKS, BlockTensor
from ..linear import SpikedLinear
from .encoding import encoded
from .joined_rows import bias_of, integers, outputs_of
from .memory import WHOLE, Array, Buffer, Touch, cuts, reads, writes
from .program import DecoderProgram
from .split_rows import split_linear, split_thresholds

Q8_0 = BLOCKS[8]


def multiplies_blocks(weight: Tensor) -> TypeGuard[BlockTensor]:
    """Return whether a dense product takes the blocks of weights as they are."""
    return isinstance(weight, BlockTensor) and weight.kind is Q8_0 and dense_blocks.has_halves()


def linear(b: DecoderProgram, layer: Any, x: Buffer, before: Buffer | None = None, *, narrow: bool = False) -> Buffer:
    """Return W x + b of a linear layer, spiked or dense, plus `before`.

    Args:
        narrow: the layer has few outputs, which all threads then need: each computes them itself, and they do not
            meet before the next layer.
    """
    if isinstance(layer, SpikedLinear) and not layer.coder.bypassed:
        # Of one token each thread may add the rows of the channels that it wrote itself: they meet once less.
        if before is not None:
            thresholds = split_thresholds(b, layer, x)
            if thresholds is not None:
                return split_linear(b, layer, x, before, thresholds)
        if layer.weight_type == "float32":
            return _float(b, layer, x, before, narrow=narrow)
        return integers(b, [layer], x, before, narrow=narrow)[0]
    # A dense product: of a dense layer, or of a spiked one whose inputs are not coded.
    out, blocks, share = outputs_of(b, layer, x, narrow=narrow)
    touches = [writes(out, share)]
    if before is not None:
        touches.append(reads(before, share))
    weight = layer.weight
    if isinstance(layer, SpikedLinear) and (layer.steps is not None or layer.has_blocks):
        weight = b.weights.of([layer], lambda: nn.Parameter(layer.dense().detach(), requires_grad=False))
    _emit_dense(b, weight, x, {"bias": bias_of(b, layer), "before": before, "out": out}, blocks, touches)
    return out


def _emit_dense(
    b: DecoderProgram, weight: Tensor, x: Buffer, more: dict[str, Any], blocks: Any, touches: list[Touch]
) -> None:
    """Append a dense product of a weight [N, K] with x; `more` are its further operands."""
    operands = {"size": x.width, "width": len(weight), "tokens": x.rows, **more, "mask": b.mask}
    # Blocks of 8 bits are multiplied as they are: a fourth of the bytes of float32.
    if multiplies_blocks(weight):
        # An embedding with the same weights may have them as floats, by the weights alone.
        rows = b.weights.of([weight, Q8_0], lambda: _copied(b, weight.blocks))
        bound = dense_blocks.dense_blocks(weights=rows, x=x, **operands)
    else:
        bound = floats.dense(weights=b.constant(weight), x=x, **operands)
    b.emit(bound, blocks, b.masked([reads(x, WHOLE), *touches]))


def _copied(b: DecoderProgram, values: Tensor) -> Array:
    """Return a copy of values in the memory of weights."""
    rows = b.weights.zeros(tuple(values.shape), np.uint8)
    rows[:] = values.numpy()
    return rows


def product(b: DecoderProgram, weight: Tensor, x: Buffer) -> Buffer:
    """Return W x of a matrix that takes x as it is."""
    out = b.buffer(len(weight), x.rows)
    blocks = cuts(-(-out.width // BLOCK), b.threads)
    _emit_dense(b, weight, x, {"out": out}, blocks, [writes(out, b.by_columns(out)[1])])
    return out


def _float(b: DecoderProgram, layer: SpikedLinear, x: Buffer, before: Buffer | None, *, narrow: bool) -> Buffer:
    """Return `linear` of a layer that takes spikes: the float32 rows of active channels, added."""
    out, blocks, share = outputs_of(b, layer, x, narrow=narrow)
    coded = encoded(b, x, layer.coder, whole=False)
    touches = [writes(out, share), reads(coded.marker, WHOLE)]
    if before is not None:
        touches.append(reads(before, share))
    sizes = {"size": x.width, "width": out.width, "tokens": x.rows, "has_levels": coded.levels}
    rows = b.weights.of([layer], partial(_float_rows, b, layer))
    bound = floats.float_rows(
        rows=rows, **sizes, **coded.operands(b.threads), bias=bias_of(b, layer), before=before, out=out
    )
    b.emit(bound, blocks, touches)
    return out


def _float_rows(b: DecoderProgram, layer: SpikedLinear) -> Array:
    """Return the float32 rows [K, N] of a layer."""
    rows = b.weights.zeros((layer.in_features, layer.out_features), np.float32)
    rows[:] = layer.stored()[0].numpy().T
    return rows
