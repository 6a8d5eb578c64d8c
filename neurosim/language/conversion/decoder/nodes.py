"""Values of a decoder's step before they are computed: each becomes an operation when its buffer is first needed.

A node is flat: [tokens, size] numbers; `traced.Traced` keeps their shape. Because nodes wait, neighbours can join:
`act(x + a) * b + c` becomes one operation (`chains`), a linear layer adds the residual stream itself, and columns that
nobody reads are never copied.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, final
from weakref import ref

import numpy as np
from torch import Tensor

from ....kernels.decode.linear.vnni import BLOCK
from ..linear import SpikedLinear
from .joined_rows import integers, joins
from .linear import linear
from .memory import Buffer, aligned
from .pointwise import columns, copy, shift
from .program import DecoderProgram


class Node(ABC):
    """A value that may not be computed yet.

    Attributes:
        builder: builder of the program that computes it.
        size: numbers of a token.
        readers: layers that take spikes of it, and that may be computed together. They hold this node, which therefore
            only refers to them: a decoder in a circle would stay in memory until Python looks for circles.
    """

    def __init__(self, builder: DecoderProgram, size: int) -> None:
        self.builder = builder
        self.size = size
        self.readers: list[ref[LinearNode]] = []
        self._buffer: Buffer | None = None

    @property
    def waits(self) -> bool:
        """Return whether no operation computes it yet."""
        return self._buffer is None

    @property
    def buffer(self) -> Buffer:
        """Return the buffer that holds it; append the operations that fill it, once."""
        if self._buffer is None:
            self._buffer = self.compute()
        return self._buffer

    def append(self) -> None:
        """Append the operations that compute it, if they are not there yet."""
        if self._buffer is None:
            self._buffer = self.compute()

    def rows(self, width: int) -> Buffer:
        """Return its buffer in rows of `width` numbers."""
        return self.buffer.viewed(width)

    @abstractmethod
    def compute(self) -> Buffer:
        """Append the operations that compute it, and return the buffer that they fill."""


@final
class Stored(Node):
    """A value that a buffer holds."""

    def __init__(self, builder: DecoderProgram, buffer: Buffer) -> None:
        super().__init__(builder, buffer.width * buffer.rows // builder.tokens)
        self._buffer = buffer

    def compute(self) -> Buffer:
        return self.buffer


@final
class StateNode(Node):
    """A part of the state: memory that stays from token to token, made when it is first read or written.

    Attributes:
        first: values before the first token [tokens, ..].
    """

    def __init__(self, builder: DecoderProgram, first: Tensor) -> None:
        super().__init__(builder, math.prod(first.shape[1:]))
        self.first = first

    def compute(self) -> Buffer:
        shape = self.first.shape[1:]
        if not self.first.any():
            return self.builder.state_buffer(*shape)
        return self.builder.state_buffer(*shape, first=self.builder.constant(self.first[0]))


@final
class LinearNode(Node):
    """W x + b of a layer, spiked or dense, plus `before`.

    Layers that read the same x, as q, k and v do, are computed together where their coders count alike.
    """

    def __init__(self, x: Node, layer: Any, before: Node | None = None) -> None:
        super().__init__(x.builder, x.size // layer.in_features * layer.out_features)
        self.x = x
        self.layer = layer
        self.before = before
        # A mask leaves tokens out: what is computed under one stays apart.
        if before is None and x.builder.mask is None and isinstance(layer, SpikedLinear):
            x.readers.append(ref(self))

    def compute(self, *, narrow: bool = False) -> Buffer:
        # Every thread computes a narrow layer in front of this one itself, so that none waits for the others.
        if isinstance(self.x, LinearNode) and self.x.waits and self.x.layer.out_features <= BLOCK:
            self.x._buffer = self.x.compute(narrow=True)
        x = self.x.rows(self.layer.in_features)
        together = self._together(x)
        if len(together) > 1:
            outs = integers(self.builder, [node.layer for node in together], x, None, narrow=False)
            for node, out in zip(together, outs, strict=True):
                node._buffer = out
            return outs[together.index(self)]
        before = None if self.before is None else self.before.rows(self.layer.out_features)
        return linear(self.builder, self.layer, x, before, narrow=narrow)

    def _together(self, x: Buffer) -> list[LinearNode]:
        """Return the nodes that are computed with this one, itself among them; [] if it is computed alone."""
        if ref(self) not in self.x.readers or self.builder.mask is not None:
            return []
        readers = [node for reader in self.x.readers if (node := reader()) is not None]
        waiting = [node for node in readers if node.waits and node.layer.in_features == x.width]
        return [node for node in waiting if joins(self.builder, node.layer, self.layer, x.width)]

    def plus(self, before: Node) -> LinearNode:
        """Return the layer with `before` added to its outputs, in the same operation."""
        # The sum takes the place of this node, which is computed only if something else reads it.
        if ref(self) in self.x.readers:
            self.x.readers.remove(ref(self))
        return LinearNode(self.x, self.layer, before)


@final
class Shifted(Node):
    """The token before each token of a prompt; `tail`, a state, is before the first, and becomes the last."""

    def __init__(self, x: Node, tail: Node) -> None:
        super().__init__(x.builder, x.size)
        self.x = x
        self.tail = tail

    def compute(self) -> Buffer:
        return shift(self.builder, self.x.rows(self.size), self.tail.rows(self.size))


@final
class ColumnSlice(Node):
    """Some columns of the rows of x, `width` wide."""

    def __init__(self, x: Node, width: int, start: int, count: int) -> None:
        super().__init__(x.builder, x.size // width * count)
        self.x = x
        self.width = width
        self.start = start
        self.count = count

    def compute(self) -> Buffer:
        return columns(self.builder, self.x.rows(self.width), self.start, self.count)


@final
class Spread(Node):
    """Each row of x, `width` wide, several times."""

    def __init__(self, x: Node, width: int, times: int) -> None:
        super().__init__(x.builder, x.size * times)
        self.x = x
        self.width = width
        self.times = times

    def compute(self) -> Buffer:
        rows = self.x.rows(self.width)
        out = self.builder.buffer(self.width, rows.rows * self.times)
        copy(self.builder, x=rows, start=0, out=out, at=0, width=self.width)
        return out


@final
class Joined(Node):
    """Rows side by side: of nodes, and of tensors that are the same for all tokens."""

    def __init__(self, builder: DecoderProgram, parts: Sequence[tuple[Node | Tensor, int]]) -> None:
        whole = sum(width for _, width in parts)
        node, width = next((part, width) for part, width in parts if isinstance(part, Node))
        super().__init__(builder, node.size // width * whole)
        self.parts = parts
        self.whole = whole

    def compute(self) -> Buffer:
        rows = self.builder.tokens * self.size // self.whole
        out = self.builder.buffer(self.whole, rows)
        if any(isinstance(part, Tensor) for part, _ in self.parts):
            # Memory of its own, not shared between layers: the constant columns are written once.
            out = Buffer(aligned((rows, self.whole), np.float32), rows, self.whole)
            self.builder.alive.append(out.array)
        # Tensors are written here, once; nodes are copied in every step.
        at = 0
        for part, width in self.parts:
            if isinstance(part, Tensor):
                out.array[:, at : at + width] = part.reshape(rows, width).numpy()
            else:
                copy(self.builder, x=part.rows(width), start=0, out=out, at=at, width=width)
            at += width
        return out


def grouped(node: Node, width: int) -> tuple[Node, int]:
    """Return heads of `width` numbers as they are computed, and how many times each of them is repeated."""
    if isinstance(node, Spread) and node.waits and node.width == width:
        return node.x, node.times
    return node, 1
