"""Layers of a model as operations of `kernels.decode`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, cast, final

import numpy as np
import torch
from torch import Tensor, nn

from ....kernels.decode.linear import encode, floats, product
from ....kernels.decode.linear.vnni import BATCH, BLOCK
from ....kernels.decode.vectors import cpu as vectors
from ....kernels.decode.vectors import patches
from ....kernels.spikes.encode.cpu import LOOKUP, rule_of
from ....kernels.spikes.encode.launch import numpy_rounding
from ....kernels.spikes.encode.reference import LIMIT
from ....kernels.spikes.encode.reference import share as share_of
from ...attention.events import EventEmbedding
from ...attention.kinds.modules import ShortConv
from ...attention.kinds.rotary import Rotary
from ..coding import Coder
from ..linear import SpikedLinear
from .memory import OWN, WHOLE, Array, Buffer, Share, aligned, cuts
from .program import ByThread, DecoderProgram, Encoded, LastNorm, NotCompiledError, Touch

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


@final
@dataclass
class Builder(DecoderProgram):
    """A program whose operations are layers: each method appends some, and returns the buffer of their result.

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
        out = self.buffer(table.embedding_dim, own=self.few)
        places, own = self.by_rows(out)
        weights = self.constant(table.weight)
        bound = vectors.embed(tokens=tokens, table=weights, width=out.width, out=out)
        self.emit(bound, places, [(out, own, True)])
        return out

    def embed_events(self, counts: Array, layer: EventEmbedding) -> Buffer:
        """Return the embedding of event counts [tokens, units]."""
        x = Buffer(counts, *counts.shape)
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
        places, own = self.by_rows(out)
        planes, height, width = shape
        rows, columns = kernel
        down, across = stride
        sizes = {"planes": planes, "height": height, "width": width, "rows": rows, "columns": columns}
        bound = patches.patches(x=x, **sizes, down=down, across=across, together=together, out=out)
        self.emit(bound, places, [(x, WHOLE, False), (out, own, True)])
        return out

    def norm(self, module: nn.Module, x: Buffer, size: int | None = None) -> Buffer:
        """Return the norm of x by an RMSNorm or LayerNorm, or of each group of `size` channels."""
        if isinstance(module, nn.Identity):
            return x
        centred = isinstance(module, nn.LayerNorm)
        if not isinstance(module, nn.RMSNorm | nn.LayerNorm):
            raise NotCompiledError(f"{type(module).__name__}: no compiled operation computes this norm")
        if module.eps is None:
            eps = torch.finfo(torch.float32).eps
        else:
            eps = module.eps
        return self.norm_of(x, size or x.width, module.weight, getattr(module, "bias", None), eps, centred=centred)

    def norm_of(
        self, x: Buffer, size: int, weight: Tensor | None, bias: Tensor | None, eps: float, *, centred: bool = False
    ) -> Buffer:
        whole = size == x.width and x.rows == self.tokens
        out = self.buffer(x.width, x.rows, own=whole and self.few)
        scale, shift = (None if t is None else self.constant(t) for t in (weight, bias))
        period = 1 if scale is None else len(scale)
        affine = {"weight": scale, "bias": shift, "centred": centred, "eps": eps}
        places, own = self.by_rows(out) if whole else self.by_groups(out, size)
        touches = [self.read(x, own), (out, own, True)]
        self.emit(vectors.norm(x=x, size=size, period=period, **affine, out=out), places, touches)
        if whole and (scale is None or len(scale) == size):
            self.last_norm = LastNorm(out, {"norm_x": x, **affine}, touches, len(self.lists[0]))
        return out

    def normalise(self, x: Buffer, size: int, kind: int, eps: float = 0.0) -> Buffer:
        """Return x with each group of `size` channels divided by its length or sum, or its softmax."""
        out = self.buffer(x.width, x.rows)
        places, own = self.by_groups(out, size)
        bound = vectors.normalise(x=x, size=size, kind=kind, eps=eps, out=out)
        self.emit(bound, places, [self.read(x, own), (out, own, True)])
        return out

    def ratio(self, x: Buffer, eps: float) -> Buffer:
        """Return the columns of the rows of x but their last one, divided by this one plus eps."""
        out = self.buffer(x.width - 1, x.rows)
        places, own = self.by_groups(out, out.width)
        self.emit(vectors.ratio(x=x, size=out.width, eps=eps, out=out), places, [self.read(x, own), (out, own, True)])
        return out

    def total(self, x: Buffer, size: int) -> Buffer:
        """Return the sum of each group of `size` channels, in rows of one."""
        out = self.buffer(1, x.rows * x.width // size)
        places, own = self.by_groups(x, size)
        self.emit(vectors.total(x=x, size=size, out=out), places, [self.read(x, own), (out, own, True)])
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
        places, own = self.by_columns(out)
        operands: dict[str, Any] = {}
        touches: list[Touch] = [(x, OWN if x.own else own, False), (out, own, True)]
        for name, other in (("plus", plus), ("times", times), ("then", then)):
            operands[name] = other
            operands[f"{name}_rows"] = isinstance(other, Buffer)
            if isinstance(other, Buffer):
                operands[f"{name}_columns"] = other.width
                same = own if other.width == x.width else WHOLE
                touches.append((other, OWN if other.own else same, False))
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
        places, own = self.by_columns(out)
        touches = [(b, OWN if b.own else own, False) for b in (x, y, w) if isinstance(b, Buffer)]
        of_token = isinstance(w, Buffer)
        bound = vectors.mix(x=x, y=y, weight=w, weight_rows=of_token, width=x.width, tokens=x.rows, out=out)
        self.emit(bound, places, [*touches, (out, own, True)])
        return out

    def overwrite(self, out: Buffer, x: Buffer) -> None:
        """Copy x into a buffer of the same shape."""
        places, own = self.by_columns(out)
        sizes = {"width": x.width, "tokens": x.rows, "activation": vectors.IDENTITY, "low": -np.inf, "high": np.inf}
        none = {f"{name}_{part}": 0 for name in ("plus", "times", "then") for part in ("columns", "rows")}
        bound = vectors.pointwise(x=x, **sizes, **none, out=out)
        self.emit(bound, places, self.masked([(x, OWN if x.own else own, False), (out, own, True)]))

    def columns(self, x: Buffer, start: int, width: int) -> Buffer:
        """Return a copy of some columns of x."""
        out = self.buffer(width, x.rows)
        self.copy(x, start, out, 0, width)
        return out

    def copy(self, x: Buffer, start: int, out: Buffer, at: int, width: int) -> None:
        """Copy columns of the rows of x, each into as many rows of `out` as there are for it."""
        places, own = self.by_rows(out)
        source = {"x": x, "x_width": x.width, "x_first": start, "columns": width}
        bound = vectors.copy(**source, out=out, out_width=out.width, out_first=at, repeats=out.rows // x.rows)
        if out.rows == x.rows:
            read = self.read(x, own)
        else:
            read = (x, OWN if x.own else WHOLE, False)
        self.emit(bound, places, [read, (out, own, True)])

    def linear(self, layer: Any, x: Buffer, before: Buffer | None = None, *, narrow: bool = False) -> Buffer:
        """Return W x + b of a linear layer, spiked or dense, plus `before`.

        Args:
            narrow: the layer has few outputs, which all threads then need: each computes them itself, and they do not
                meet before the next layer.
        """
        dense = not isinstance(layer, SpikedLinear) or layer.coder.bypassed
        own_copy = narrow and self.few and x.rows == self.tokens and layer.out_features <= BLOCK
        out = self.buffer(layer.out_features, x.rows, own=own_copy)
        blocks: list[int] | int = 1 if own_copy else cuts(-(-out.width // BLOCK), self.threads)
        own = OWN if own_copy else self.by_columns(out)[1]
        if layer.bias is None:
            bias = None
        else:
            bias = self.constant(layer.bias)
        touches: list[Touch] = [(out, own, True)]
        if before is not None:
            touches.append((before, OWN if before.own else own, False))
        if dense:
            if isinstance(layer, SpikedLinear):
                weight = layer.dense()
            else:
                weight = layer.weight
            self._emit_dense(weight, x, {"bias": bias, "before": before, "out": out}, blocks, touches)
            return out
        assert isinstance(layer, SpikedLinear)
        if before is not None and self._splits(layer, x):
            return self._split_linear(layer, x, before)
        coded = self.encode(x, layer.coder, whole=layer.kept == "int8")
        touches.append((coded.marker, OWN if coded.marker.own else WHOLE, False))
        if layer.kept != "int8":
            rows = self.weights.of(layer, partial(self._float_rows, layer))
            bound = floats.float_rows(
                rows=rows,
                size=x.width,
                width=out.width,
                tokens=x.rows,
                **coded.operands(self.threads),
                has_levels=coded.levels,
                bias=bias,
                before=before,
                out=out,
            )
            self.emit(bound, blocks, touches)
            return out
        stride = -(-out.width // BLOCK) * BLOCK
        rows, steps = self.weights.of(layer, partial(self._int8_rows, layer, stride))
        lead = (self.threads,) * own_copy
        batch = product.fastest() == product.VNNI and product.MANY <= x.rows <= BATCH
        sums = Buffer(self.array((*lead, BATCH if batch else x.rows, stride), np.int32), x.rows, stride, own_copy)
        if batch:
            spare = self.scratch(product.all_rows_size(x.width, stride), np.int8)
        else:
            spare = None
        bound = product.INTEGER_ROWS[product.fastest()](
            rows=rows,
            stride=stride,
            size=x.width,
            width=out.width,
            tokens=x.rows,
            **coded.operands(self.threads),
            steps=self.constant(steps),
            has_levels=coded.levels,
            bias=bias,
            before=before,
            out=out,
            sums=sums,
            spare=spare,
        )
        self.emit(bound, blocks, [*touches, (sums, own, True)])
        return out

    def _emit_dense(self, weight: Tensor, x: Buffer, more: dict[str, Any], blocks: Any, touches: list[Touch]) -> None:
        sizes = {"size": x.width, "width": len(weight), "tokens": x.rows}
        bound = floats.dense(weights=self.constant(weight), x=x, **sizes, **more, mask=self.mask)
        self.emit(bound, blocks, self.masked([(x, OWN if x.own else WHOLE, False), *touches]))

    def product(self, weight: Tensor, x: Buffer) -> Buffer:
        """Return W x of a matrix that takes x as it is."""
        out = self.buffer(len(weight), x.rows)
        blocks = cuts(-(-out.width // BLOCK), self.threads)
        self._emit_dense(weight, x, {"out": out}, blocks, [(out, self.by_columns(out)[1], True)])
        return out

    def _splits(self, layer: SpikedLinear, x: Buffer) -> bool:
        """Return whether threads may each add the rows of their own channels.

        They must not need the others' for a threshold, integer sums must be exact in any parts, and a table's counts
        are: they are int8, and their sums do not overflow.
        """
        rounding, thresholds = layer.coder.kernel_rounding(x.width)
        table = rule_of(numpy_rounding(rounding))[0] == LOOKUP
        whole = layer.kept == "int8" and x.width * LIMIT * 128 <= encode.INT32_LIMIT
        one = x.rows == self.tokens == 1 < self.threads and not x.own
        return one and table and thresholds is not None and whole

    def _split_linear(self, layer: SpikedLinear, x: Buffer, before: Buffer) -> Buffer:
        """Return W x + b + before, which every thread then has: each adds the rows of the channels that it has written
        itself, for all outputs, and threads meet once, before the sums are joined."""
        places, dealt = self.by_columns(x)
        sizes = [end - begin for begin, end in pairwise(places)]
        rule, thresholds = self._rule(layer.coder, x.width)
        assert thresholds is not None
        own = [ByThread([int(a.ctypes.data) + 4 * begin for begin in places[:-1]]) for a in (x.array, thresholds)]
        coded = self._lists(x, max(sizes), levels=False, own=True)
        operands = self._coding(own[0], ByThread(sizes), layer.coder, rule, own[1], whole=True)
        self._emit_encode(operands, coded, rule, 1, (x, dealt, False), OWN)
        stride = -(-layer.out_features // BLOCK) * BLOCK
        rows, steps = self.weights.of(layer, partial(self._int8_rows, layer, stride))
        first = ByThread([int(rows.ctypes.data) + stride * begin for begin in places[:-1]])
        parts = Buffer(self.array((self.threads, 1, stride), np.int32), 1, stride, own=True)
        self.kept.append(rows)
        operation = product.PARTIAL_ROWS[product.fastest()]
        listed = coded.operands(self.threads)
        bound = operation(rows=first, stride=stride, size=ByThread(sizes), **listed, sums=parts)
        self.emit(bound, 1, [(coded.marker, OWN, False), (parts, OWN, True)])
        if layer.bias is None:
            bias = None
        else:
            bias = self.constant(layer.bias)
        out = self.buffer(layer.out_features, own=True)
        bound = product.join(
            parts=parts.array,
            threads=self.threads,
            stride=stride,
            width=out.width,
            steps=self.constant(steps),
            bias=bias,
            before=before,
            out=out,
            sums=self.scratch(stride, np.int32),
        )
        reads = [(parts, WHOLE, False), (before, OWN if before.own else WHOLE, False)]
        self.emit(bound, 1, [*reads, (out, OWN, True)])
        return out

    def _float_rows(self, layer: SpikedLinear) -> Array:
        """Return the float32 rows [K, N] of a layer."""
        rows = self.weights.zeros((layer.in_features, layer.out_features), np.float32)
        rows[:] = layer.stored()[0].numpy().T
        return rows

    def _int8_rows(self, layer: SpikedLinear, stride: int) -> tuple[Array, Tensor]:
        """Return the int8 rows [K, stride] of a layer, and the steps [N] of its outputs.

        Those of a saved model lie so in its file, and are read there, mapped, where no row must be padded.
        """
        stored, steps = layer.stored()
        assert steps is not None
        if stored.T.is_contiguous() and stride == layer.out_features:
            self.kept.append(stored)
            return stored.T.numpy(), steps
        rows = self.weights.zeros((layer.in_features, stride), np.int8)
        rows[:, : layer.out_features] = stored.numpy().T
        return rows, steps

    def encode(self, x: Buffer, coder: Coder, *, whole: bool) -> Encoded:
        """Return the active channels of x, of the tokens of `mask`; layers that code values alike share them."""
        rule, thresholds = self._rule(coder, x.width)
        key = (x.address(0), x.rows, whole, coder.k, *(v.tobytes() if isinstance(v, np.ndarray) else v for v in rule))
        key = (*key, self.mask_address, None if thresholds is None else thresholds.tobytes())
        if key in self.encoded:
            return self.encoded[key]
        coded = self._lists(x, x.width, levels=thresholds is None, own=self.few and x.rows == self.tokens)
        operands = self._coding(x, x.width, coder, rule, thresholds, whole=whole)
        places, dealt = self.by_rows(coded.marker)
        self._emit_encode(operands, coded, rule, places, self.read(x, dealt), dealt)
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
        self, operands: dict[str, Any], coded: Encoded, rule: tuple[Any, ...], places: Any, read: Touch, own: Share
    ) -> None:
        first = int(np.argmax(rule[-1] != 0)) if len(rule[-1]) else 0
        operands = {**operands, **coded.operands(self.threads), "mask": self.mask, "first": first}
        touches = self.masked([read, (coded.marker, own, True)])
        norm = self.last_norm
        if norm is not None and norm.out is operands["x"] and norm.count == len(self.lists[0]):
            touches = [*norm.touches, *touches]
            self.emit(encode.norm_encode(**operands, **norm.operands), places, touches, instead=True)
        else:
            self.emit(encode.encode(**operands), places, touches)

    def _rule(self, coder: Coder, channels: int) -> tuple[tuple[Any, ...], Array | None]:
        rounding, thresholds = coder.kernel_rounding(channels)
        return rule_of(numpy_rounding(rounding)), None if thresholds is None else self.constant(thresholds)

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
        kind, shrink, top, factor, edges, levels, table = rule
        self.kept.append(rule)
        if isinstance(channels, ByThread):
            largest = max(channels.values)
        else:
            largest = channels
        return {
            "x": x,
            "size": channels,
            "share": float(share_of(largest, coder.k)),
            "by_channel": thresholds is not None,
            "thresholds": thresholds,
            "kind": kind,
            "shrink": float(shrink),
            "top": float(top),
            "factor": float(factor),
            "edges": edges,
            "levels": levels,
            "table": table,
            "table_size": len(table),
            "whole": whole,
            "scratch": self.scratch(encode.padded_to(largest), np.int8),
        }

    def code(self, x: Buffer, coder: nn.Module | None, size: int, out: Buffer | None = None) -> Buffer:
        """Return x as a receiver decodes it from spikes, each group of `size` channels apart; None changes nothing."""
        if coder is None or cast(Coder, coder).bypassed:
            return x
        assert isinstance(coder, Coder)
        rule, thresholds = self._rule(coder, size)
        rows = x.viewed(size)
        out = out or self.buffer(x.width, x.rows)
        places, own = self.by_groups(out, size)
        scales = self.constant(coder.scales)
        bound = encode.code(
            **self._coding(rows, size, coder, rule, thresholds, whole=False),
            escaped=self.scratch(size, np.int32),
            excess=self.scratch(size, np.int32),
            scales=scales,
            scale_count=len(scales),
            out=out,
        )
        self.emit(bound, places, [self.read(x, own), (out, own, True)])
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
        if module.bias is None:
            bias = None
        else:
            bias = self.constant(module.bias)
        out = self.buffer(width, x.rows)
        places, own = self.by_columns(out)
        act = ACTIVATIONS[module.activation or "identity"]
        sizes = {"width": width, "tokens": x.rows, "size": size}
        layer = {"weight": weight, "bias": bias, "tails": tails, "activation": act}
        touches = [(x, OWN if x.own else own, False), (out, own, True), (tails, own, True)]
        self.emit(vectors.convolve(x=x, **sizes, **layer, out=out, mask=self.mask), places, self.masked(touches))
        return out

    def rotary(self, x: Buffer, size: int, angles: Rotary) -> Buffer:
        """Return each head of x turned by its position."""
        self.limit = min(self.limit, np.inf if angles.limit is None else angles.limit)
        turns = self._angles(np.array(angles.rates, np.float64), angles.scale)
        out = self.buffer(x.width, x.rows)
        places, own = self.by_groups(out, size)
        heads = x.rows * x.width // size // self.tokens
        bound = vectors.rotary(x=x, size=size, heads=heads, angles=turns, pairs=len(angles.rates), out=out)
        self.emit(bound, places, [self.read(x, own), (turns, OWN, False), (out, own, True)])
        return out

    def _angles(self, rates: Array, scale: float) -> Buffer:
        """Return cosines and sines [tokens, 2, pairs], which all layers of the same rates share.

        Every thread computes all of them itself, so that none waits for the others.
        """
        key = (rates.tobytes(), scale)
        if key not in self.angles:
            # No buffer of a layer: later layers read it.
            array = aligned((self.threads, self.tokens, 2 * len(rates)), np.float32)
            out = Buffer(array, self.tokens, 2 * len(rates), own=True)
            bound = vectors.angles(rates=rates, pairs=len(rates), scale=scale, tokens=self.tokens, out=out)
            self.emit(bound, len(rates), [(out, OWN, True)])
            self.angles[key] = out
        return self.angles[key]

    def matmul(self, x: Buffer, y: Buffer, rows: int) -> Buffer:
        """Return the products of matrices of `rows` rows of x with as many matrices of y, one behind the other."""
        out = self.buffer(y.width, x.rows)
        places, own = self.by_groups(out, rows * y.width)
        bound = vectors.matmul(x=x, y=y, rows=rows, inner=x.width, columns=y.width, out=out)
        self.emit(bound, places, [self.read(x, WHOLE), self.read(y, WHOLE), (out, own, True)])
        return out
