"""Lists of operations of `kernels.decode` for some threads: memory, operands, and the division of work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ....base.errors import NeurosimInputError, Uncopied
from ....kernels.decode import program
from ....kernels.decode.linear.encode import LIST
from ....kernels.decode.linear.vnni import BATCH, BLOCK
from .memory import (
    OWN,
    WHOLE,
    Array,
    Buffer,
    Growing,
    SequenceStates,
    Share,
    Touch,
    Touched,
    Weights,
    aligned,
    cuts,
    reads,
    share_of,
)


class NotCompiledError(NeurosimInputError):
    """Error of a model with a part that no compiled operation computes; names the part."""


@dataclass(frozen=True)
class Encoded:
    """The active channels of a buffer, listed by `kernels.decode.linear.encode`: one set of arrays, or one a thread.

    Attributes:
        parts: channels, counts, head, level, channels and excess of the escapes; [threads, ..] if `own`.
        marker: the buffer that stands for the list where reads and writes are compared.
        levels: whether tokens have thresholds of their own.
    """

    parts: tuple[Array, ...]
    marker: Buffer
    levels: bool

    def operands(self, threads: int) -> dict[str, ByThread]:
        """Return the operands of `kernels.decode.linear.encode.LIST` by name."""
        addresses = {}
        for name, part in zip(LIST.split(), self.parts, strict=True):
            arrays = [part[thread] if self.marker.own else part for thread in range(threads)]
            addresses[name] = ByThread([int(array.ctypes.data) for array in arrays])
        return addresses


@dataclass(frozen=True)
class Scratch:
    """Memory of each thread: [threads, n]."""

    array: Array


@dataclass(frozen=True)
class ByThread:
    """An argument with a value for each thread: the address, or the size, of its part of an array."""

    values: Sequence[int]


@dataclass(frozen=True)
class LastNorm:
    """Operands and touched buffers of a norm of whole tokens, and the number of operations with it."""

    out: Buffer
    operands: dict[str, Any]
    touches: list[Touch]
    count: int


@dataclass
class DecoderProgram(Uncopied):
    """Lists of operations for some threads, and the arrays that they use.

    Attributes:
        tokens: number of tokens of a step, one of each sequence.
        threads: number of threads that share the work.
        in_order: tokens are those of a prompt, one after the other, and not one of each sequence.
        mask, routed: tokens that encoders, convolutions and states take part in (None for all), and the buffer that
            stands for the routing it came from.
        lists: by thread, (function, operands, begin, end, meet) of each operation.
        states: memory from token to token, which programs of fewer tokens share; some of it is `growing`.
        state_count, state_addresses: number of states that the program has asked for, and where they lie.
        weights: rows of layers, which these programs share, too.
        limit: tokens that positions are known for.
        alive: everything that the program has only the address of.
        free, used: arrays by shape and type, of earlier layers for use again, and of this layer.
        encoded: lists of active channels of this layer, by their buffer and coder.
        last_norm: the last norm of whole tokens; what encodes it at once takes its place.
        angles: buffers of rotary positions, by rates and scale.
    """

    tokens: int
    threads: int
    states: SequenceStates
    weights: Weights
    in_order: bool = False
    lists: list[list[tuple[int, ...]]] = field(init=False)
    state_count: int = 0
    state_addresses: set[int] = field(default_factory=set)
    growing: list[Growing] = field(default_factory=list)
    limit: float = np.inf
    alive: list[Any] = field(default_factory=list)
    touched: Touched = field(default_factory=Touched)
    free: dict[tuple[Any, ...], list[Array]] = field(default_factory=dict)
    used: list[tuple[tuple[Any, ...], Array]] = field(default_factory=list)
    encoded: dict[tuple[Any, ...], Encoded] = field(default_factory=dict)
    last_norm: LastNorm | None = None
    angles: dict[tuple[bytes, float], Buffer] = field(default_factory=dict)
    mask: Array | None = None
    routed: Buffer | None = None

    def __post_init__(self) -> None:
        self.lists = [[] for _ in range(self.threads)]

    # Memory

    def array(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
        """Return an array for the present layer; later layers use its memory again."""
        key = (shape, np.dtype(dtype))
        # Layers follow each other: the buffers of one are free when the next begins.
        spare = self.free.setdefault(key, [])
        buffer = spare.pop() if spare else aligned(shape, dtype)
        self.used.append((key, buffer))
        self.alive.append(buffer)
        return buffer

    def buffer(self, width: int, rows: int | None = None, *, own: bool = False) -> Buffer:
        """Return a buffer of the present layer, a row for each token by default."""
        rows = self.tokens if rows is None else rows
        shape = (self.threads, rows, width) if own else (rows, width)
        return Buffer(self.array(shape), rows, width, own)

    def scratch(self, size: int, dtype: Any = np.float32) -> Scratch:
        """Return `size` numbers of the present layer for each thread alone."""
        return Scratch(self.array((self.threads, size), dtype))

    def state_buffer(self, *shape: int, first: Array | None = None) -> Buffer:
        """Return memory that stays from token to token, for each sequence: at first zero, or `first`."""
        array = self.states.get(self.state_count, shape, first)
        self.state_count += 1
        self.state_addresses.add(array.ctypes.data)
        return Buffer(array[: self.tokens], self.tokens, int(np.prod(shape)))

    def constant(self, values: Tensor | float) -> Array:
        """Return values as a flat float32 array that the program may read; values of a parameter once for all programs.

        Values in 16 bits or in blocks are widened: an embedding then takes more memory than all else (`StoredTable`).
        """
        if isinstance(values, nn.Parameter):
            return self.weights.of([values], lambda: _flat(values))
        array = _flat(values)
        self.alive.append(array)
        return array

    @contextmanager
    def layer(self) -> Iterator[list[Buffer]]:
        """Release the buffers made inside at the end, except those appended to the list that it yields."""
        before = self.used
        self.used = []
        self.encoded = {}
        lasting: list[Buffer] = []
        yield lasting
        # An address names an array: the views of buffers are other objects.
        stay = {buffer.array.ctypes.data for buffer in lasting}
        for key, array in self.used:
            if array.ctypes.data in stay:
                before.append((key, array))
            else:
                self.free[key].append(array)
        self.used = before
        self.encoded = {}

    # Operations

    def emit(
        self,
        bound: program.BoundOperation,
        places: Sequence[int] | int,
        touches: list[Touch],
        *,
        instead: bool = False,
    ) -> list[Array]:
        """Append an operation; return the tables of its operands by thread.

        Args:
            bound: the operation with its operands: numbers, buffers, scratch, arrays and None (0).
            places: [threads + 1] where threads begin, or a number of units that every thread does.
            touches: the buffers it reads and writes, with the share of a thread.
            instead: it takes the place of the last operation, whose work it does, too.
        """
        self._check_order(bound.operation, touches)
        conflicts = self.threads > 1 and self.touched.conflicts(touches)
        # All threads wait before this operation: what they touched before is done.
        if conflicts:
            self.touched = Touched()
        if instead:
            # Threads that waited before the operation that is replaced wait before this one.
            replaced = [operations.pop() for operations in self.lists]
            waited = any(operation[program.MEET] for operation in replaced)
        else:
            waited = False
        meet = conflicts or waited
        self.touched.add(touches)
        self.alive.append(bound)  # its operands: addresses alone keep no array alive
        tables: list[Array] = []
        for thread, operations in enumerate(self.lists):
            words = {name: self._word(value, thread) for name, value in bound.values.items()}
            table = bound.operation.operands.table(words)
            tables.append(table)
            if isinstance(places, int):
                begin = 0
                end = places
            else:
                begin, end = places[thread : thread + 2]
            operations.append((bound.operation.address, table.ctypes.data, begin, end, int(meet)))
        self.alive.append(tables)
        return tables

    def _check_order(self, operation: program.Operation, touches: list[Touch]) -> None:
        """Raise `NotCompiledError` for tokens of a prompt whose states an operation would take side by side."""
        if self.in_order and not operation.in_order:
            touched = {touch.buffer.array.ctypes.data for touch in touches}
            if touched & self.state_addresses:
                name = operation.function.__name__
                raise NotCompiledError(f"{name}: takes one token of each sequence, and none of a prompt in order")

    @property
    def most_rows(self) -> int:
        """Rows that a dense product of int8 takes at once, for its sums to stay in the second cache."""
        return max(BATCH, self.tokens)

    @staticmethod
    def _word(value: Any, thread: int) -> float:
        """Return a number, or the address that a thread reads and writes."""
        if value is None:
            return 0
        if isinstance(value, Buffer):
            return value.address(thread)
        if isinstance(value, ByThread):
            return value.values[thread]
        if isinstance(value, Scratch):
            return int(value.array[thread].ctypes.data)
        if isinstance(value, np.ndarray):
            return int(value.ctypes.data)
        if isinstance(value, float):
            return float(value)
        return int(value)

    def by_columns(self, buffer: Buffer) -> tuple[list[int], Share]:
        """Deal the columns of a buffer in blocks, as linear layers do."""
        return self.by_width(buffer.width, buffer.rows)

    def by_width(self, width: int, rows: int) -> tuple[list[int], Share]:
        """Deal so many columns of `rows` rows in blocks, as linear layers do."""
        # A block is the columns that the inner loop of a product computes at once.
        places = [min(BLOCK * p, width) for p in cuts(-(-width // BLOCK), self.threads)]
        return places, share_of("columns", rows, places, width)

    def by_heads(self, heads: int) -> tuple[list[int], Share]:
        """Deal the heads of a state to threads; a buffer of one row is then dealt by columns."""
        places = cuts(heads, self.threads)
        return places, share_of("columns", self.tokens, places, heads)

    def by_rows(self, buffer: Buffer) -> tuple[list[int] | int, Share]:
        """Deal the rows of a buffer, or let every thread do all of them where it has its own copy."""
        if buffer.own:
            return buffer.rows, OWN
        places = cuts(buffer.rows, self.threads)
        return places, share_of("rows", buffer.rows, places, buffer.rows)

    def by_groups(self, buffer: Buffer, size: int) -> tuple[list[int], Share]:
        """Deal groups of `size` channels, of all rows; of one token that is the same as columns."""
        count = buffer.rows * buffer.width // size
        places = cuts(count, self.threads)
        axis = "columns" if buffer.rows == 1 else "groups"
        return places, share_of(axis, buffer.rows, places, count)

    @property
    def mask_address(self) -> int:
        """Address of the mask, 0 without one."""
        return 0 if self.mask is None else int(self.mask.ctypes.data)

    def masked(self, touches: list[Touch]) -> list[Touch]:
        """Return the touched buffers of an operation, with the routing where there is a mask."""
        if self.routed is None:
            return touches
        return [*touches, reads(self.routed, WHOLE)]

    def head_read(self, x: Buffer, share: Share, places: Sequence[int], group: int) -> Touch:
        """Return a read of the heads of x, each of which serves a group of the heads that `share` divides."""
        even = all(place % group == 0 for place in places)
        # A cut inside a group: two threads read the same head, so the read counts as one of the whole buffer.
        return reads(x, share if even else WHOLE)

    @property
    def few_tokens(self) -> bool:
        """Return whether there are fewer tokens than threads: each thread then computes whole tokens itself."""
        return self.tokens < self.threads


def _flat(values: Tensor | float) -> Array:
    """Return values as a flat float32 array, which keeps their memory alive."""
    array: Array = torch.as_tensor(values).detach().to(torch.float32).flatten().contiguous().numpy()
    return array
