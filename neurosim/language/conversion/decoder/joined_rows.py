"""Layers of integer weights that take spikes: the rows of active channels, added; those of several layers side by side.

Layers that read the same values by coders that count alike have their rows joined, and each thread has a range of the
columns of every layer: `columns_of` says which, `int8_rows` and `_block_rows` lay the weights out, and the table of
parts says where the sums of each range belong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from ....kernels.decode.linear import all_rows, int4, parts, product
from ....kernels.decode.linear.listed_rows import AMX, VNNI
from ....kernels.decode.linear.vnni import BATCH, BLOCK
from ..int4 import unpacked
from ..linear import SpikedLinear
from .encoding import coding_key, encoded
from .memory import OWN, WHOLE, Array, Buffer, Share, cuts, reads, share_of, writes
from .program import ByThread, DecoderProgram


class ColumnRange(NamedTuple):
    """Outputs of a layer that lie side by side in joined rows of weights, and that one thread computes.

    Attributes:
        thread, layer: which thread, and the index of the layer.
        first, outputs: the first of the layer's outputs, and their number.
        start, end: where their columns begin in a row, and where the next ones do.
    """

    thread: int
    layer: int
    first: int
    outputs: int
    start: int
    end: int


def columns_of(widths: Sequence[int], threads: int, block: int = BLOCK) -> list[ColumnRange]:
    """Return the order of columns in the joined rows of layers of so many outputs.

    What a thread reads of a row lies side by side: its part of each layer, as if layers were dealt apart. It begins at
    a multiple of `block` columns, which are added at once.
    """
    columns: list[ColumnRange] = []
    at = 0
    for thread in range(threads):
        for layer, width in enumerate(widths):
            # The cuts of the layer alone, so that joining changes no thread's part of it.
            places = cuts(-(-width // BLOCK), threads)
            first = BLOCK * places[thread]
            end = at + BLOCK * places[thread + 1] - first
            columns.append(
                ColumnRange(
                    thread=thread, layer=layer, first=first, outputs=min(width - first, end - at), start=at, end=end
                )
            )
            at = end
        at = -(-at // block) * block
    return columns


def joins(b: DecoderProgram, layer: SpikedLinear, first: SpikedLinear, size: int) -> bool:
    """Return whether `integers` can take two layers that read the same `size` channels together."""
    # A layer of few outputs, which every thread may compute whole, stays apart from those that threads share.
    wide = b.threads == 1 or min(layer.out_features, first.out_features) > BLOCK
    own = (layer, first)
    same = layer.weight_type == first.weight_type != "float32"
    if not (wide and same) or any(each.coder.bypassed for each in own):
        return False
    if layer.weight_type == "int4" and layer.stored_int4().kind is not first.stored_int4().kind:
        return False
    return coding_key(b, layer.coder, size) == coding_key(b, first.coder, size)


def integers(
    b: DecoderProgram, layers: Sequence[SpikedLinear], x: Buffer, before: Buffer | None, *, narrow: bool
) -> list[Buffer]:
    """Return W x + b, plus `before`, of layers that take spikes: the int8 or int4 rows of active channels, added.

    Rows of layers whose coders count alike lie side by side: rows of 3 to 8 kB come from memory at half more GB/s
    than rows of .5 to 1 kB.
    """
    has_blocks = layers[0].weight_type == "int4"
    block = int4.STRIP if has_blocks else BLOCK
    coded = encoded(b, x, layers[0].coder, whole=not has_blocks)
    dealt = [outputs_of(b, layer, x, narrow=narrow) for layer in layers]
    outs = [out for out, _, _ in dealt]
    touches = [reads(coded.marker, WHOLE), *(writes(out, share) for out, _, share in dealt)]
    if before is not None:
        touches.append(reads(before, dealt[0][2]))
    own = outs[0].own
    columns = columns_of([out.width for out in outs], 1 if own else b.threads, block)
    stride = -(-columns[-1].end // block) * block
    make = _block_rows if has_blocks else int8_rows
    rows, steps = b.weights.of(layers, lambda: make(b, layers, columns, stride))
    constants: list[tuple[Array | None, Array | None]] = [(None, bias_of(b, layer)) for layer in layers]
    if steps:
        constants = [(b.constant(step), bias) for step, (_, bias) in zip(steps, constants, strict=True)]
    copies = [_parts(b, columns, constants, outs, before, thread) for thread in range(b.threads if own else 1)]
    b.alive.append(copies)
    places, share = _places_of(b, columns, stride // block, block, x.rows, own=own)
    # Where threads share the outputs they read one table of parts, else each its own.
    tables = ByThread([int(copy.ctypes.data) for copy in (copies if own else copies * b.threads)])
    operands = {
        "rows": rows,
        "stride": stride,
        "size": x.width,
        "tokens": x.rows,
        **coded.operands(b.threads),
        "has_levels": coded.levels,
        "parts": tables,
        "part_count": len(columns),
    }
    if has_blocks:
        bound, sums = _bound_blocks(b, operands, x, own=own)
    else:
        bound, sums = _bound_int8(b, operands, x, own=own)
    b.emit(bound, places, [*touches, writes(sums, share)])
    return outs


def _places_of(
    b: DecoderProgram, columns: Sequence[ColumnRange], blocks: int, block: int, rows: int, *, own: bool
) -> tuple[list[int] | int, Share]:
    """Return the blocks of columns at which each thread begins, and its share of the sums."""
    if own:
        return blocks, OWN
    places = [min(each.start for each in columns if each.thread == t) // block for t in range(b.threads)]
    places.append(blocks)
    return places, share_of("columns", rows, places, blocks)


def _bound_blocks(b: DecoderProgram, operands: dict[str, Any], x: Buffer, *, own: bool) -> tuple[Any, Buffer]:
    """Return the operation over int4 rows with its operands, and the buffer of its sums."""
    stride = operands["stride"]
    batch, shape = _room(b, x, stride, own=own)
    sums = Buffer(b.array(shape), x.rows, stride, own)
    spare = b.scratch(int4.batch_size(x.width, x.rows), np.int8) if batch else None
    # Every thread lists the active channels of each token by blocks itself.
    list_size = int4.list_size(x.width)
    quads = b.scratch(x.rows * list_size, np.int32)
    bound = int4.BLOCK_ROWS[int4.fastest()](
        **operands,
        has_minima=operands["rows"].shape[1] > int4.block_bytes(stride, False),
        sums=sums,
        quads=quads,
        list_size=list_size,
        spare=spare,
    )
    return bound, sums


def _bound_int8(b: DecoderProgram, operands: dict[str, Any], x: Buffer, *, own: bool) -> tuple[Any, Buffer]:
    """Return the operation over int8 rows with its operands, and the buffer of its sums."""
    stride = operands["stride"]
    batch, shape = _room(b, x, stride, own=own)
    sums = Buffer(b.array(shape, np.int32), x.rows, stride, own)
    spare = None
    if batch:
        spare = b.scratch(all_rows.all_rows_size(x.width, stride, x.rows), np.int8)
    return product.INTEGER_ROWS[product.fastest()](**operands, sums=sums, spare=spare), sums


def _room(b: DecoderProgram, x: Buffer, stride: int, *, own: bool) -> tuple[bool, tuple[int, ...]]:
    """Return whether rows of x take a dense product, and the shape of their sums, with a part for each thread."""
    # With AVX-512 a batch takes a dense product, which needs room for whole groups of tokens.
    batch = product.fastest() in (AMX, VNNI) and all_rows.MANY <= x.rows <= b.most_rows
    sum_rows = x.rows
    if batch:
        sum_rows = BATCH * all_rows.groups_of(x.rows)
    if own:
        return batch, (b.threads, sum_rows, stride)
    return batch, (sum_rows, stride)


def _block_rows(
    b: DecoderProgram, layers: Sequence[SpikedLinear], columns: Sequence[ColumnRange], stride: int
) -> tuple[Array, list[Tensor]]:
    """Return the int4 rows of layers as `kernels.decode.linear.int4` reads them, their columns in this order.

    Steps are part of the rows.
    """
    channels = layers[0].in_features
    q = np.zeros((stride, channels), np.uint8)
    scales = np.zeros((2, stride, channels // int4.CHANNELS), np.float16)
    known = [unpacked(layer.stored_int4()) for layer in layers]
    has_minima = known[0][2] is not None
    for each in columns:
        # Columns that no range covers are padding: their weights and steps stay 0.
        place = slice(each.start, each.start + each.outputs)
        source = slice(each.first, each.first + each.outputs)
        own_q, *own_scales = known[each.layer]
        q[place] = own_q[source].numpy()
        for scale, own in zip(scales, own_scales, strict=True):
            if own is not None:
                scale[place] = own[source].numpy()
    shape = (channels // int4.CHANNELS, int4.block_bytes(stride, has_minima))
    rows = b.weights.zeros(shape, np.uint8)
    int4.pack(q, scales[0], scales[1] if has_minima else None, rows)
    return rows, []


def int8_rows(
    b: DecoderProgram, layers: Sequence[SpikedLinear], columns: Sequence[ColumnRange], stride: int
) -> tuple[Array, list[Tensor]]:
    """Return the int8 rows [K, stride] of layers, their columns in this order, and the steps of their outputs.

    Those of a saved model lie so in its file, and are read there, mapped, where no row must be padded.
    """
    stored, steps = zip(*(layer.stored_int8() for layer in layers), strict=True)
    if len(columns) == 1 and stored[0].T.is_contiguous() and stride == layers[0].out_features:
        b.alive.append(stored)
        return stored[0].T.numpy(), list(steps)
    rows = b.weights.zeros((layers[0].in_features, stride), np.int8)
    for each in columns:
        own = stored[each.layer][each.first : each.first + each.outputs]
        rows[:, each.start : each.start + each.outputs] = own.numpy().T
    return rows, list(steps)


def _parts(
    b: DecoderProgram,
    columns: Sequence[ColumnRange],
    constants: Sequence[tuple[Array | None, Array | None]],
    outs: Sequence[Buffer],
    before: Buffer | None,
    thread: int,
) -> Array:
    """Return the table of parts of `kernels.decode.linear.parts`, for the copy of a thread."""
    table = np.zeros((len(columns), parts.PART), np.int64)
    for row, each in zip(table, columns, strict=True):
        steps, bias = constants[each.layer]
        out = outs[each.layer]
        behind = 4 * each.first
        # Addresses of a part are those of its first column; 0 stands for an array that a layer does not have.
        row[parts.FIRST] = each.start
        row[parts.OUTPUTS] = each.outputs
        if steps is not None:
            row[parts.STEPS] = steps.ctypes.data + behind
        if bias is not None:
            row[parts.BIAS] = bias.ctypes.data + behind
        if before is not None:
            row[parts.BEFORE] = before.address(thread) + behind
        row[parts.OUT] = out.address(thread) + behind
        row[parts.WIDTH] = out.width
    return table


def outputs_of(b: DecoderProgram, layer: Any, x: Buffer, *, narrow: bool) -> tuple[Buffer, list[int] | int, Share]:
    """Return the buffer of a layer's outputs, the blocks of columns of each thread, and its share of the buffer."""
    own_copy = narrow and b.few_tokens and x.rows == b.tokens and layer.out_features <= BLOCK
    out = b.buffer(layer.out_features, x.rows, own=own_copy)
    if own_copy:
        return out, 1, OWN
    return out, cuts(-(-out.width // BLOCK), b.threads), b.by_columns(out)[1]


def bias_of(b: DecoderProgram, layer: Any) -> Array | None:
    """Return the bias of a layer, if it has one."""
    if layer.bias is None:
        return None
    return b.constant(layer.bias)
