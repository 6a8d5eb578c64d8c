"""Layers of a model as operations of `kernels.decode`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from ....kernels.decode.linear import blocks as dense_blocks
from ....kernels.decode.linear import encode, floats, int4, product
from ....kernels.decode.linear.vnni import BATCH, BLOCK
from ....kernels.decode.vectors import cpu as vectors
from ....kernels.decode.vectors import patches
from ....kernels.spikes.encode.cpu import LOOKUP, rule_of
from ....kernels.spikes.encode.launch import numpy_rounding
from ....kernels.spikes.encode.reference import LIMIT
from ....kernels.spikes.encode.reference import share as total_share
from ...attention.events import EventEmbedding
from ...attention.gguf.blocks import BLOCKS, BlockTensor
from ...attention.kinds.modules import ShortConv
from ...attention.kinds.rotary import Rotary
from ..coding import Coder
from ..int4 import unpacked
from ..linear import SpikedLinear
from .memory import OWN, WHOLE, Array, Buffer, Share, Touch, aligned, cuts, reads, share_of, writes
from .program import ByThread, DecoderProgram, Encoded, LastNorm, NotCompiledError

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
Q8_0 = BLOCKS[8]


class _Columns(NamedTuple):
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


def _columns(widths: Sequence[int], threads: int, block: int = BLOCK) -> list[_Columns]:
    """Return the order of columns in the joined rows of layers of so many outputs.

    What a thread reads of a row lies side by side: its part of each layer, as if layers were dealt apart. It begins at
    a multiple of `block` columns, which are added at once.
    """
    columns: list[_Columns] = []
    at = 0
    for thread in range(threads):
        for layer, width in enumerate(widths):
            places = cuts(-(-width // BLOCK), threads)
            first = BLOCK * places[thread]
            end = at + BLOCK * places[thread + 1] - first
            columns.append(_Columns(thread, layer, first, min(width - first, end - at), at, end))
            at = end
        at = -(-at // block) * block
    return columns


def multiplies_blocks(weight: Tensor) -> TypeGuard[BlockTensor]:
    """Return whether a dense product takes the blocks of weights as they are."""
    return isinstance(weight, BlockTensor) and weight.kind is Q8_0 and dense_blocks.has_halves()


@dataclass
class Builder(DecoderProgram):
    """A program whose operations are layers: each method appends some, and returns the buffer of their result.

    Each operation is dealt to the threads: `places` are the rows, columns or heads at which they begin, and `share` is
    what a thread touches of a buffer by that. Threads wait for each other where shares differ (`emit`).

    Attributes:
        first_values: values of the first layer of RWKV-7, for the later ones.
        lower_bound: bound of the forget gates of this layer of HGRN-2.
        last_norm: the last norm of whole tokens; what encodes it at once takes its place.
        angles: buffers of rotary positions, by rates and scale.
    """

    first_values: Buffer | None = None
    lower_bound: Tensor | None = None
    last_norm: LastNorm | None = None
    angles: dict[tuple[bytes, float], Buffer] = field(default_factory=dict)

    def embed(self, tokens: Array, table: nn.Embedding) -> Buffer:
        """Return the rows of a table for tokens [tokens]."""
        out = self.buffer(table.embedding_dim, own=self.few_tokens)
        places, share = self.by_rows(out)
        weights = self.constant(table.weight)
        bound = vectors.embed(tokens=tokens, table=weights, width=out.width, out=out)
        self.emit(bound, places, [writes(out, share)])
        return out

    def embed_events(self, counts: Array, layer: EventEmbedding) -> Buffer:
        """Return the embedding of event counts [tokens, units]."""
        x = Buffer(counts, *counts.shape)
        # The first patches are of events, plane by plane; later ones are of outputs, all channels of a pixel together.
        together = False
        for linear, shape in zip(layer.layers[:-1], layer.shapes, strict=False):
            kernel, stride = layer.window(shape[1])
            x = self.pointwise(self.linear(linear, self.patches(x, shape, kernel, stride, together)), vectors.RELU)
            together = True
        if together:
            shape = layer.shapes[-1]
            x = self.patches(x, shape, shape[1:], (1, 1), together)
        return self.linear(layer.layers[-1], x)

    def patches(
        self, x: Buffer, shape: tuple[int, int, int], kernel: tuple[int, int], stride: tuple[int, int], together: bool
    ) -> Buffer:
        """Return the patches of a sensor, a row each; `together`: the planes of a pixel lie side by side."""
        positions = math.prod((n - k) // step + 1 for n, k, step in zip(shape[1:], kernel, stride, strict=True))
        out = self.buffer(shape[0] * math.prod(kernel), self.tokens * positions)
        places, share = self.by_rows(out)
        planes, height, width = shape
        rows, columns = kernel
        down, across = stride
        sizes = {"planes": planes, "height": height, "width": width, "rows": rows, "columns": columns}
        bound = patches.patches(x=x, **sizes, down=down, across=across, together=together, out=out)
        self.emit(bound, places, [reads(x, WHOLE), writes(out, share)])
        return out

    def norm(self, module: nn.Module, x: Buffer, size: int | None = None) -> Buffer:
        """Return the norm of x by an RMSNorm or LayerNorm, or of each group of `size` channels.

        Raises:
            NotCompiledError: another norm.
        """
        if isinstance(module, nn.Identity):
            return x
        centred = isinstance(module, nn.LayerNorm)
        if not isinstance(module, nn.RMSNorm | nn.LayerNorm):
            raise NotCompiledError(f"{type(module).__name__}: no compiled operation computes this norm")
        # torch then takes the epsilon of the type.
        if module.eps is None:
            eps = torch.finfo(torch.float32).eps
        else:
            eps = module.eps
        return self.norm_of(x, size or x.width, module.weight, getattr(module, "bias", None), eps, centred=centred)

    def norm_of(
        self, x: Buffer, size: int, weight: Tensor | None, bias: Tensor | None, eps: float, *, centred: bool = False
    ) -> Buffer:
        """Return the norm of each group of `size` channels, around its mean if `centred`, with weight and bias."""
        # Every thread norms the few whole tokens itself: cheaper than to wait for the parts of others.
        whole = size == x.width and x.rows == self.tokens
        out = self.buffer(x.width, x.rows, own=whole and self.few_tokens)
        scale, shift = (None if t is None else self.constant(t) for t in (weight, bias))
        # Weights of a group repeat in all groups of a row.
        period = 1 if scale is None else len(scale)
        affine = {"weight": scale, "bias": shift, "centred": centred, "eps": eps}
        places: list[int] | int
        if whole:
            places, share = self.by_rows(out)
        else:
            places, share = self.by_groups(out, size)
        touches = [reads(x, share), writes(out, share)]
        self.emit(vectors.norm(x=x, size=size, period=period, **affine, out=out), places, touches)
        if whole and (scale is None or len(scale) == size):
            # A layer that codes this norm can norm and code in one operation, see `_emit_encode`.
            self.last_norm = LastNorm(out, {"norm_x": x, **affine}, touches, len(self.lists[0]))
        return out

    def normalise(self, x: Buffer, size: int, kind: int, eps: float = 0.0) -> Buffer:
        """Return x with each group of `size` channels divided by its length or sum, or its softmax."""
        out = self.buffer(x.width, x.rows)
        places, share = self.by_groups(out, size)
        bound = vectors.normalise(x=x, size=size, kind=kind, eps=eps, out=out)
        self.emit(bound, places, [reads(x, share), writes(out, share)])
        return out

    def ratio(self, x: Buffer, eps: float) -> Buffer:
        """Return the columns of the rows of x but their last one, divided by this one plus eps."""
        out = self.buffer(x.width - 1, x.rows)
        places, share = self.by_groups(out, out.width)
        self.emit(vectors.ratio(x=x, size=out.width, eps=eps, out=out), places, [reads(x, share), writes(out, share)])
        return out

    def total(self, x: Buffer, size: int) -> Buffer:
        """Return the sum of each group of `size` channels, in rows of one."""
        out = self.buffer(1, x.rows * x.width // size)
        places, share = self.by_groups(x, size)
        self.emit(vectors.total(x=x, size=size, out=out), places, [reads(x, share), writes(out, share)])
        return out

    def pointwise(
        self,
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
        out = self.buffer(x.width, x.rows)
        places, share = self.by_columns(out)
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
        bound = vectors.pointwise(x=x, width=x.width, tokens=x.rows, activation=act, **operands, out=out)
        self.emit(bound, places, self.masked(touches))
        return out

    def mix(self, x: Buffer, y: Buffer, w: Buffer | Array) -> Buffer:
        """Return x + (y - x) w."""
        out = self.buffer(x.width, x.rows)
        places, share = self.by_columns(out)
        touches = [reads(buffer, share) for buffer in (x, y, w) if isinstance(buffer, Buffer)]
        by_token = isinstance(w, Buffer)
        bound = vectors.mix(x=x, y=y, weight=w, weight_rows=by_token, width=x.width, tokens=x.rows, out=out)
        self.emit(bound, places, [*touches, writes(out, share)])
        return out

    def shift(self, x: Buffer, tail: Buffer) -> Buffer:
        """Return the token before each token of a prompt x; `tail` is before the first, and becomes the last."""
        out = self.buffer(x.width, x.rows)
        places, share = self.by_columns(out)
        bound = vectors.shift(x=x, width=x.width, tokens=x.rows, tail=tail, out=out)
        self.emit(bound, places, [reads(x, share), writes(tail, share), writes(out, share)])
        return out

    def overwrite(self, out: Buffer, x: Buffer) -> None:
        """Copy x into a buffer of the same shape."""
        places, share = self.by_columns(out)
        sizes = {"width": x.width, "tokens": x.rows, "activation": vectors.IDENTITY, "low": -np.inf, "high": np.inf}
        # No operand to add or multiply by: their sizes are 0.
        none = {f"{name}_{part}": 0 for name in ("plus", "times", "then") for part in ("columns", "rows")}
        bound = vectors.pointwise(x=x, **sizes, **none, out=out)
        self.emit(bound, places, self.masked([reads(x, share), writes(out, share)]))

    def columns(self, x: Buffer, start: int, width: int) -> Buffer:
        """Return a copy of some columns of x."""
        out = self.buffer(width, x.rows)
        self.copy(x, start, out, 0, width)
        return out

    def copy(self, x: Buffer, start: int, out: Buffer, at: int, width: int) -> None:
        """Copy columns of the rows of x, each into as many rows of `out` as there are for it."""
        places, share = self.by_rows(out)
        source = {"x": x, "x_width": x.width, "x_first": start, "columns": width}
        bound = vectors.copy(**source, out=out, out_width=out.width, out_first=at, repeats=out.rows // x.rows)
        # Where rows are repeated, a thread writes other rows than it would read by its share.
        if out.rows == x.rows:
            read = reads(x, share)
        else:
            read = reads(x, WHOLE)
        self.emit(bound, places, [read, writes(out, share)])

    def linear(self, layer: Any, x: Buffer, before: Buffer | None = None, *, narrow: bool = False) -> Buffer:
        """Return W x + b of a linear layer, spiked or dense, plus `before`.

        Args:
            narrow: the layer has few outputs, which all threads then need: each computes them itself, and they do not
                meet before the next layer.
        """
        if isinstance(layer, SpikedLinear) and not layer.coder.bypassed:
            if before is not None:
                thresholds = self._split_thresholds(layer, x)
                if thresholds is not None:
                    return self._split_linear(layer, x, before, thresholds)
            if layer.weight_type == "float32":
                return self._float(layer, x, before, narrow=narrow)
            return self.integers([layer], x, before, narrow=narrow)[0]
        out, blocks, share = self._outputs(layer, x, narrow=narrow)
        touches = [writes(out, share)]
        if before is not None:
            touches.append(reads(before, share))
        weight = layer.weight
        if isinstance(layer, SpikedLinear) and (layer.steps is not None or layer.has_blocks):
            weight = self.weights.of([layer], lambda: nn.Parameter(layer.dense().detach(), requires_grad=False))
        self._emit_dense(weight, x, {"bias": self._bias(layer), "before": before, "out": out}, blocks, touches)
        return out

    def _outputs(self, layer: Any, x: Buffer, *, narrow: bool) -> tuple[Buffer, list[int] | int, Share]:
        """Return the buffer of a layer's outputs, the blocks of columns of each thread, and its share of the buffer."""
        own_copy = narrow and self.few_tokens and x.rows == self.tokens and layer.out_features <= BLOCK
        out = self.buffer(layer.out_features, x.rows, own=own_copy)
        if own_copy:
            return out, 1, OWN
        return out, cuts(-(-out.width // BLOCK), self.threads), self.by_columns(out)[1]

    def _bias(self, layer: Any) -> Array | None:
        """Return the bias of a layer, if it has one."""
        if layer.bias is None:
            return None
        return self.constant(layer.bias)

    def _float(self, layer: SpikedLinear, x: Buffer, before: Buffer | None, *, narrow: bool) -> Buffer:
        """Return `linear` of a layer that takes spikes: the float32 rows of active channels, added."""
        out, blocks, share = self._outputs(layer, x, narrow=narrow)
        coded = self.encode(x, layer.coder, whole=False)
        touches = [writes(out, share), reads(coded.marker, WHOLE)]
        if before is not None:
            touches.append(reads(before, share))
        sizes = {"size": x.width, "width": out.width, "tokens": x.rows, "has_levels": coded.levels}
        rows = self.weights.of([layer], partial(self._float_rows, layer))
        bound = floats.float_rows(
            rows=rows, **sizes, **coded.operands(self.threads), bias=self._bias(layer), before=before, out=out
        )
        self.emit(bound, blocks, touches)
        return out

    def joins(self, layer: SpikedLinear, first: SpikedLinear, size: int) -> bool:
        """Return whether `integers` can take two layers that read the same `size` channels together."""
        # A layer of few outputs, which every thread may compute whole, stays apart from those that threads share.
        wide = self.threads == 1 or min(layer.out_features, first.out_features) > BLOCK
        own = (layer, first)
        same = layer.weight_type == first.weight_type != "float32"
        if not (wide and same) or any(each.coder.bypassed for each in own):
            return False
        if layer.weight_type == "int4" and layer.stored_int4().kind is not first.stored_int4().kind:
            return False
        return self._coding_key(layer.coder, size) == self._coding_key(first.coder, size)

    def integers(
        self, layers: Sequence[SpikedLinear], x: Buffer, before: Buffer | None, *, narrow: bool
    ) -> list[Buffer]:
        """Return W x + b, plus `before`, of layers that take spikes: the int8 or int4 rows of active channels, added.

        Rows of layers whose coders count alike lie side by side: rows of 3 to 8 kB come from memory at half more GB/s
        than rows of .5 to 1 kB.
        """
        has_blocks = layers[0].weight_type == "int4"
        block = int4.STRIP if has_blocks else BLOCK
        coded = self.encode(x, layers[0].coder, whole=not has_blocks)
        dealt = [self._outputs(layer, x, narrow=narrow) for layer in layers]
        outs = [out for out, _, _ in dealt]
        touches = [reads(coded.marker, WHOLE), *(writes(out, share) for out, _, share in dealt)]
        if before is not None:
            touches.append(reads(before, dealt[0][2]))
        own = outs[0].own
        columns = _columns([out.width for out in outs], 1 if own else self.threads, block)
        stride = -(-columns[-1].end // block) * block
        make = self._block_rows if has_blocks else self._int8_rows
        rows, steps = self.weights.of(layers, lambda: make(layers, columns, stride))
        constants: list[tuple[Array | None, Array | None]] = [(None, self._bias(layer)) for layer in layers]
        if steps:
            constants = [(self.constant(step), bias) for step, (_, bias) in zip(steps, constants, strict=True)]
        parts = [self._parts(columns, constants, outs, before, thread) for thread in range(self.threads if own else 1)]
        self.alive.append(parts)
        places, share = self._places_of(columns, stride // block, block, x.rows, own=own)
        # Where threads share the outputs they read one table of parts, else each its own.
        tables = ByThread([int(part.ctypes.data) for part in (parts if own else parts * self.threads)])
        operands = {
            "rows": rows,
            "stride": stride,
            "size": x.width,
            "tokens": x.rows,
            **coded.operands(self.threads),
            "has_levels": coded.levels,
            "parts": tables,
            "part_count": len(columns),
        }
        if has_blocks:
            bound, sums = self._bound_blocks(operands, x, own=own)
        else:
            bound, sums = self._bound_int8(operands, x, own=own)
        self.emit(bound, places, [*touches, writes(sums, share)])
        return outs

    def _places_of(
        self, columns: Sequence[_Columns], blocks: int, block: int, rows: int, *, own: bool
    ) -> tuple[list[int] | int, Share]:
        """Return the blocks of columns at which each thread begins, and its share of the sums."""
        if own:
            return blocks, OWN
        places = [min(each.start for each in columns if each.thread == t) // block for t in range(self.threads)]
        places.append(blocks)
        return places, share_of("columns", rows, places, blocks)

    def _bound_blocks(self, operands: dict[str, Any], x: Buffer, *, own: bool) -> tuple[Any, Buffer]:
        """Return the operation over int4 rows with its operands, and the buffer of its sums."""
        stride = operands["stride"]
        batch, shape = self._room(x, stride, own=own)
        sums = Buffer(self.array(shape), x.rows, stride, own)
        spare = self.scratch(int4.batch_size(x.width, x.rows), np.int8) if batch else None
        # Every thread lists the active channels of each token by blocks itself.
        list_size = int4.list_size(x.width)
        quads = self.scratch(x.rows * list_size, np.int32)
        bound = int4.BLOCK_ROWS[int4.fastest()](
            **operands,
            has_minima=operands["rows"].shape[1] > int4.block_bytes(stride, False),
            sums=sums,
            quads=quads,
            list_size=list_size,
            spare=spare,
        )
        return bound, sums

    def _bound_int8(self, operands: dict[str, Any], x: Buffer, *, own: bool) -> tuple[Any, Buffer]:
        """Return the operation over int8 rows with its operands, and the buffer of its sums."""
        stride = operands["stride"]
        batch, shape = self._room(x, stride, own=own)
        sums = Buffer(self.array(shape, np.int32), x.rows, stride, own)
        spare = self.scratch(product.all_rows_size(x.width, stride, x.rows), np.int8) if batch else None
        return product.INTEGER_ROWS[product.fastest()](**operands, sums=sums, spare=spare), sums

    def _room(self, x: Buffer, stride: int, *, own: bool) -> tuple[bool, tuple[int, ...]]:
        """Return whether rows of x take a dense product, and the shape of their sums, with a part for each thread."""
        # With AVX-512 a batch takes a dense product, which needs room for whole groups of tokens.
        batch = product.fastest() in (product.AMX, product.VNNI) and product.MANY <= x.rows <= self.most_rows
        sum_rows = BATCH * product.groups_of(x.rows) if batch else x.rows
        return batch, (self.threads, sum_rows, stride) if own else (sum_rows, stride)

    def _block_rows(
        self, layers: Sequence[SpikedLinear], columns: Sequence[_Columns], stride: int
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
            place = slice(each.start, each.start + each.outputs)
            source = slice(each.first, each.first + each.outputs)
            own_q, *own_scales = known[each.layer]
            q[place] = own_q[source].numpy()
            for scale, own in zip(scales, own_scales, strict=True):
                if own is not None:
                    scale[place] = own[source].numpy()
        shape = (channels // int4.CHANNELS, int4.block_bytes(stride, has_minima))
        rows = self.weights.zeros(shape, np.uint8)
        int4.pack(q, scales[0], scales[1] if has_minima else None, rows)
        return rows, []

    def _parts(
        self,
        columns: Sequence[_Columns],
        constants: Sequence[tuple[Array | None, Array | None]],
        outs: Sequence[Buffer],
        before: Buffer | None,
        thread: int,
    ) -> Array:
        """Return the table of parts of `kernels.decode.linear.product`, for the copy of a thread."""
        table = np.zeros((len(columns), product.PART), np.int64)
        for row, each in zip(table, columns, strict=True):
            steps, bias = constants[each.layer]
            out = outs[each.layer]
            behind = 4 * each.first
            row[product.FIRST] = each.start
            row[product.OUTPUTS] = each.outputs
            if steps is not None:
                row[product.STEPS] = steps.ctypes.data + behind
            if bias is not None:
                row[product.BIAS] = bias.ctypes.data + behind
            if before is not None:
                row[product.BEFORE] = before.address(thread) + behind
            row[product.OUT] = out.address(thread) + behind
            row[product.WIDTH] = out.width
        return table

    def _emit_dense(self, weight: Tensor, x: Buffer, more: dict[str, Any], blocks: Any, touches: list[Touch]) -> None:
        """Append a dense product of a weight [N, K] with x; `more` are its further operands."""
        operands = {"size": x.width, "width": len(weight), "tokens": x.rows, **more, "mask": self.mask}
        # Blocks of 8 bits are multiplied as they are: a fourth of the bytes of float32.
        if multiplies_blocks(weight):
            # An embedding with the same weights may have them as floats, by the weights alone.
            rows = self.weights.of([weight, Q8_0], lambda: self._copied(weight.blocks))
            bound = dense_blocks.dense_blocks(weights=rows, x=x, **operands)
        else:
            bound = floats.dense(weights=self.constant(weight), x=x, **operands)
        self.emit(bound, blocks, self.masked([reads(x, WHOLE), *touches]))

    def _copied(self, values: Tensor) -> Array:
        """Return a copy of values in the memory of weights."""
        rows = self.weights.zeros(tuple(values.shape), np.uint8)
        rows[:] = values.numpy()
        return rows

    def product(self, weight: Tensor, x: Buffer) -> Buffer:
        """Return W x of a matrix that takes x as it is."""
        out = self.buffer(len(weight), x.rows)
        blocks = cuts(-(-out.width // BLOCK), self.threads)
        self._emit_dense(weight, x, {"out": out}, blocks, [writes(out, self.by_columns(out)[1])])
        return out

    def _split_thresholds(self, layer: SpikedLinear, x: Buffer) -> Array | None:
        """Return the thresholds of a layer whose rows threads may add by channels, see `_split_linear`, or None.

        Threads must not need the channels of others for a threshold, integer sums must be exact in any parts, and a
        table's counts are: they are int8, and their sums do not overflow.
        """
        is_exact = layer.weight_type == "int8" and x.width * LIMIT * 128 <= encode.INT32_LIMIT
        one_token = x.rows == self.tokens == 1 < self.threads and not x.own
        if not (is_exact and one_token):
            return None
        rule, thresholds = self._rule(layer.coder, x.width)
        return thresholds if rule[0] == LOOKUP else None

    def _split_linear(self, layer: SpikedLinear, x: Buffer, before: Buffer, thresholds: Array) -> Buffer:
        """Return W x + b + before, which every thread then has: each adds the rows of the channels that it has written
        itself, for all outputs, and threads meet once, before the sums are joined."""
        places, share = self.by_columns(x)
        sizes = [end - begin for begin, end in pairwise(places)]
        rule, _ = self._rule(layer.coder, x.width)
        # Each thread codes its own columns of x, as a list of its own.
        parts_of = [ByThread([int(a.ctypes.data) + 4 * begin for begin in places[:-1]]) for a in (x.array, thresholds)]
        coded = self._lists(x, max(sizes), levels=False, own=True)
        operands = self._coding(parts_of[0], ByThread(sizes), layer.coder, rule, parts_of[1], whole=True)
        self._emit_encode(operands, coded, rule, 1, reads(x, share), OWN)
        columns = _columns([layer.out_features], 1)
        stride = columns[-1].end
        rows, (steps,) = self.weights.of([layer], partial(self._int8_rows, [layer], columns, stride))
        self.alive.append(rows)
        first_rows = ByThread([int(rows.ctypes.data) + stride * begin for begin in places[:-1]])
        sums = Buffer(self.array((self.threads, 1, stride), np.int32), 1, stride, own=True)
        operation = product.PARTIAL_ROWS[product.fastest()]
        listed = coded.operands(self.threads)
        bound = operation(rows=first_rows, stride=stride, size=ByThread(sizes), **listed, sums=sums)
        self.emit(bound, 1, [reads(coded.marker, OWN), writes(sums, OWN)])
        out = self.buffer(layer.out_features, own=True)
        bound = product.join(
            parts=sums.array,
            threads=self.threads,
            stride=stride,
            width=out.width,
            steps=self.constant(steps),
            bias=self._bias(layer),
            before=before,
            out=out,
            sums=self.scratch(stride, np.int32),
        )
        # Each thread reads the sums of all threads, not only its own copy.
        self.emit(bound, 1, [Touch(sums, WHOLE, False), reads(before, WHOLE), writes(out, OWN)])
        return out

    def _float_rows(self, layer: SpikedLinear) -> Array:
        """Return the float32 rows [K, N] of a layer."""
        rows = self.weights.zeros((layer.in_features, layer.out_features), np.float32)
        rows[:] = layer.stored()[0].numpy().T
        return rows

    def _int8_rows(
        self, layers: Sequence[SpikedLinear], columns: Sequence[_Columns], stride: int
    ) -> tuple[Array, list[Tensor]]:
        """Return the int8 rows [K, stride] of layers, their columns in this order, and the steps of their outputs.

        Those of a saved model lie so in its file, and are read there, mapped, where no row must be padded.
        """
        stored, steps = zip(*(layer.stored_int8() for layer in layers), strict=True)
        if len(columns) == 1 and stored[0].T.is_contiguous() and stride == layers[0].out_features:
            self.alive.append(stored)
            return stored[0].T.numpy(), list(steps)
        rows = self.weights.zeros((layers[0].in_features, stride), np.int8)
        for each in columns:
            own = stored[each.layer][each.first : each.first + each.outputs]
            rows[:, each.start : each.start + each.outputs] = own.numpy().T
        return rows, list(steps)

    def encode(self, x: Buffer, coder: Coder, *, whole: bool) -> Encoded:
        """Return the active channels of x, of the tokens of `mask`; layers that code values alike share them."""
        # Layers that read the same x by the same rule and thresholds, as q, k and v do, add rows from one list.
        key = (x.address(0), x.rows, whole, self.mask_address, *self._coding_key(coder, x.width))
        if key in self.encoded:
            return self.encoded[key]
        rule, thresholds = self._rule(coder, x.width)
        # One list for each token, or one for each thread where every thread lists all itself.
        coded = self._lists(x, x.width, levels=thresholds is None, own=self.few_tokens and x.rows == self.tokens)
        operands = self._coding(x, x.width, coder, rule, thresholds, whole=whole)
        places, share = self.by_rows(coded.marker)
        self._emit_encode(operands, coded, rule, places, reads(x, share), share)
        self.encoded[key] = coded
        return coded

    def _lists(self, x: Buffer, channels: int, *, levels: bool, own: bool) -> Encoded:
        """Return room for the list of active channels of each row of x."""
        lead = (self.threads, x.rows) if own else (x.rows,)
        room = encode.room(channels)
        parts = (
            self.array((*lead, room), np.int32),
            self.array((*lead, room), np.int8),
            self.array((*lead, encode.HEAD), np.int64),
            self.array(lead, np.float32),
            self.array((*lead, channels), np.int32),
            self.array((*lead, channels), np.int32),
        )
        return Encoded(parts, Buffer(parts[0], x.rows, room, own), levels)

    def _emit_encode(
        self, operands: dict[str, Any], coded: Encoded, rule: tuple[Any, ...], places: Any, read: Touch, share: Share
    ) -> None:
        """Append the coding of a buffer; the norm of whole tokens just before it joins it in one operation."""
        # The first size whose count is not 0: smaller values need no look at the table.
        first = int(np.argmax(rule[-1] != 0)) if len(rule[-1]) else 0
        operands = {**operands, **coded.operands(self.threads), "mask": self.mask, "first": first}
        touches = self.masked([read, writes(coded.marker, share)])
        norm = self.last_norm
        if norm is not None and norm.out is operands["x"] and norm.count == len(self.lists[0]):
            touches = [*norm.touches, *touches]
            self.emit(encode.norm_encode(**operands, **norm.operands), places, touches, instead=True)
        else:
            self.emit(encode.encode(**operands), places, touches)

    def _rule(self, coder: Coder, channels: int) -> tuple[tuple[Any, ...], Array | None]:
        """Return the rounding of a coder as kernels take it, and thresholds [channels] where tokens have none."""
        rounding, thresholds = coder.kernel_rounding(channels)
        rule = rule_of(numpy_rounding(rounding))
        if thresholds is None:
            return rule, None
        return rule, self.constant(thresholds)

    def _coding_key(self, coder: Coder, channels: int) -> tuple[Any, ...]:
        """Return values that are equal for coders that count alike."""
        rule, thresholds = self._rule(coder, channels)
        values = (part.tobytes() if isinstance(part, np.ndarray) else part for part in (*rule, thresholds))
        return (coder.k, *values)

    def _coding(
        self,
        x: Buffer | ByThread,
        channels: int | ByThread,
        coder: Coder,
        rule: tuple[Any, ...],
        thresholds: Array | ByThread | None,
        *,
        whole: bool,
    ) -> dict[str, Any]:
        """Return the operands of `kernels.decode.linear.encode.CODING`; every thread may have channels of its own."""
        kind, shrink, top, factor, price, edges, levels, table = rule
        self.alive.append(rule)
        largest = max(channels.values) if isinstance(channels, ByThread) else channels
        return {
            "x": x,
            "size": channels,
            "share": float(total_share(largest, coder.k)),
            "by_channel": thresholds is not None,
            "thresholds": thresholds,
            "kind": kind,
            "shrink": float(shrink),
            "top": float(top),
            "factor": float(factor),
            "price": float(price),
            "edges": edges,
            "levels": levels,
            "table": table,
            "table_size": len(table),
            "whole": whole,
            "scratch": self.scratch(encode.padded_to(largest), np.int8),
        }

    def code(self, x: Buffer, coder: nn.Module | None, size: int, out: Buffer | None = None) -> Buffer:
        """Return x as a receiver decodes it from spikes, each group of `size` channels apart; None changes nothing."""
        if coder is None:
            return x
        if not isinstance(coder, Coder):
            raise NotCompiledError(f"{type(coder).__name__}: no compiled operation codes by it; use Coder")
        if coder.bypassed:
            return x
        rule, thresholds = self._rule(coder, size)
        rows = x.viewed(size)
        out = out or self.buffer(x.width, x.rows)
        places, share = self.by_groups(out, size)
        scales = self.constant(coder.scales)
        bound = encode.code(
            **self._coding(rows, size, coder, rule, thresholds, whole=False),
            escaped=self.scratch(size, np.int32),
            excess=self.scratch(size, np.int32),
            scales=scales,
            scale_count=len(scales),
            out=out,
        )
        self.emit(bound, places, [reads(x, share), writes(out, share)])
        return out

    def code_state(self, memory: Buffer, coder: nn.Module | None, size: int) -> None:
        """Code a state in place, each row of `size` columns on its own."""
        if coder is not None:
            self.code(memory, coder, size, out=memory)

    def convolve(self, module: ShortConv, x: Buffer, tails: Buffer) -> Buffer:
        """Return the short convolution of x with the tails, the tokens before it [tokens, size - 1, width]."""
        size = module.size
        width = x.width
        weight = self.constant(module.weight[:, 0].T)
        out = self.buffer(width, x.rows)
        places, share = self.by_columns(out)
        act = ACTIVATIONS[module.activation or "identity"]
        sizes = {"width": width, "tokens": x.rows, "size": size}
        layer = {"weight": weight, "bias": self._bias(module), "tails": tails, "activation": act}
        touches = [reads(x, share), writes(out, share), writes(tails, share)]
        self.emit(vectors.convolve(x=x, **sizes, **layer, out=out, mask=self.mask), places, self.masked(touches))
        return out

    def rotary(self, x: Buffer, size: int, angles: Rotary) -> Buffer:
        """Return each head of x turned by its position."""
        if angles.limit is not None:
            self.limit = min(self.limit, angles.limit)
        turns = self.turns(np.array(angles.rates, np.float64), angles.scale)
        out = self.buffer(x.width, x.rows)
        places, share = self.by_groups(out, size)
        heads = x.rows * x.width // size // self.tokens
        bound = vectors.rotary(x=x, size=size, heads=heads, angles=turns, pairs=len(angles.rates), out=out)
        self.emit(bound, places, [reads(x, share), reads(turns, OWN), writes(out, share)])
        return out

    def turns(self, rates: Array, scale: float = 1.0) -> Buffer:
        """Return cosines and sines [tokens, 2, rates] of positions times rates, float64, times a scale.

        All layers of the same rates share them. Every thread computes all itself, so that none waits for the others.
        """
        key = (rates.tobytes(), scale)
        if key not in self.angles:
            # No buffer of a layer: later layers read it.
            array = aligned((self.threads, self.tokens, 2 * len(rates)), np.float32)
            out = Buffer(array, self.tokens, 2 * len(rates), own=True)
            bound = vectors.angles(rates=rates, pairs=len(rates), scale=scale, tokens=self.tokens, out=out)
            self.emit(bound, len(rates), [writes(out, OWN)])
            self.angles[key] = out
        return self.angles[key]

    def placed(self, table: Tensor) -> Buffer:
        """Return the row of a table [count, width] that belongs to the position of each token."""
        count, width = table.shape
        out = self.buffer(width)
        places, share = self.by_columns(out)
        bound = vectors.look_up(table=self.constant(table), count=count, width=width, tokens=self.tokens, out=out)
        self.emit(bound, places, [writes(out, share)])
        return out

    def matmul(self, x: Buffer, y: Buffer, rows: int) -> Buffer:
        """Return the products of matrices of `rows` rows of x with as many matrices of y, one behind the other."""
        out = self.buffer(y.width, x.rows)
        # A matrix is never cut: threads share the products.
        places, share = self.by_groups(out, rows * y.width)
        bound = vectors.matmul(x=x, y=y, rows=rows, inner=x.width, columns=y.width, out=out)
        self.emit(bound, places, [reads(x, WHOLE), reads(y, WHOLE), writes(out, share)])
        return out
