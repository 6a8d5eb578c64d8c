"""Memory of a decoder: buffers of a token, weights in large pages, and the reads and writes between meetings."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple, TypeVar, final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Rows = TypeVar("Rows")  # of a layer, with the steps of its outputs where they are integers
LINE = 64  # bytes
HUGE = 1 << 21  # bytes of a large page
CHUNK = 1 << 26  # bytes: layers share large pages, 64 MiB at a time


def aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return zeros that begin at a cache line."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    return raw[start : start + size].view(dtype).reshape(shape)


def _pages(size: int) -> mmap.mmap:
    """Return `size` bytes of zeros, in large pages where the system has them."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return mmap.mmap(-1, size)
    # By default the memory is shared (MAP_SHARED), and shared memory gets no large pages.
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(mmap.MADV_HUGEPAGE)
    return pages


@final
class Weights:
    """Arrays that are filled once and read for every token.

    Rows read at scattered addresses each need an address translation: large pages (2 MiB) need 512 times fewer.
    """

    def __init__(self) -> None:
        self._chunk: Array = np.empty(0, np.uint8)
        self._at = 0
        self._made: dict[tuple[int, ...], Any] = {}

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return zeros that begin at a cache line, in large pages where the system has them."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if self._at + size > len(self._chunk):
            chunk = np.frombuffer(_pages(max(CHUNK, size) + HUGE), np.uint8)
            # Large pages begin at multiples of their size: the chunk is longer by one page.
            start = -chunk.ctypes.data % HUGE
            self._chunk = chunk[start : start + max(CHUNK, size)]
            self._at = 0
        array = self._chunk[self._at : self._at + size].view(dtype).reshape(shape)
        self._at += -(-size // LINE) * LINE
        return array

    def of(self, layers: Sequence[object], make: Callable[[], Rows]) -> Rows:
        """Return what `make` returned for layers or parameters the first time: the programs of a decoder share it."""
        # These outlive the construction of a decoder's programs, so that no other object has the number.
        key = tuple(map(id, layers))
        if key not in self._made:
            self._made[key] = make()
        rows: Rows = self._made[key]
        return rows


@dataclass(frozen=True)
class Buffer:
    """Values of a token: rows of float32.

    Attributes:
        array: [rows, width], or [threads, rows, width] where every thread has its own.
        rows: tokens, or tokens times heads.
        width: channels of a row.
        own: every thread has its own copy.
    """

    array: Array
    rows: int
    width: int
    own: bool = False

    def address(self, thread: int) -> int:
        """Return the address that a thread reads and writes."""
        array = self.array[thread] if self.own else self.array
        return int(array.ctypes.data)

    def viewed(self, width: int) -> Buffer:
        """Return the same values in rows of another width."""
        return Buffer(self.array, self.rows * self.width // width, width, self.own)


@dataclass(frozen=True)
class Share:
    """Division of the work on a buffer: each thread takes a part of the rows, or of the columns of all rows.

    Two operations with equal shares of a buffer touch the same values in the same thread.
    """

    axis: str
    rows: int
    cuts: tuple[Fraction, ...]


OWN = Share("own", 0, ())
WHOLE = Share("whole", 0, ())


def cuts(count: int, threads: int) -> list[int]:
    """Return [threads + 1] the first of `count` units of each thread, and the end.

    Halves are rounded to even: of layers with 9 and 3 units in the same rows no thread then has all the larger parts.
    """
    return [round(Fraction(count * t, threads)) for t in range(threads + 1)]


def share_of(axis: str, rows: int, places: Sequence[int], count: int) -> Share:
    """Return the share where threads begin at `places` of `count` units."""
    return Share(axis, rows, tuple(Fraction(min(p, count), max(count, 1)) for p in places))


class Touch(NamedTuple):
    """A read or write of a buffer by an operation, with the share of each thread."""

    buffer: Buffer
    share: Share
    is_write: bool


def reads(buffer: Buffer, share: Share) -> Touch:
    """Return a read of a buffer by threads with a share of it; a thread that has its own copy reads that."""
    if buffer.own:
        return Touch(buffer, OWN, is_write=False)
    # Threads that each compute all of an operation (`OWN`) each read all of a buffer without copies.
    part = WHOLE if share == OWN else share
    return Touch(buffer, part, is_write=False)


def writes(buffer: Buffer, share: Share) -> Touch:
    """Return a write of a buffer by threads with a share of it."""
    return Touch(buffer, share, is_write=True)


@dataclass
class Touched:
    """Reads and writes since threads last waited for each other, by the address of the buffer."""

    touches: dict[int, list[Touch]] = field(default_factory=dict)

    def conflicts(self, touches: Sequence[Touch]) -> bool:
        """Return whether an operation with these touches must wait for other threads first."""
        # Two reads never conflict, and equal shares mean that each thread meets its own values only.
        return any(
            earlier.share != touch.share and (earlier.is_write or touch.is_write)
            for touch in touches
            for earlier in self.touches.get(touch.buffer.array.ctypes.data, ())
        )

    def add(self, touches: Sequence[Touch]) -> None:
        """Enter the reads and writes of an operation."""
        for touch in touches:
            self.touches.setdefault(touch.buffer.array.ctypes.data, []).append(touch)


@final
class SequenceStates:
    """Memory that sequences carry from token to token; programs of fewer sequences use the first rows of it.

    Attributes:
        sequences: number of rows.
        arrays: [sequences, ..] float32, in the order in which a program makes them.
        firsts: values before the first token, by index in `arrays`, where they are not zero.
        growing: by index in `arrays`, tokens of which the last one is stored, where the second axis are tokens.
    """

    def __init__(self, sequences: int) -> None:
        self.sequences = sequences
        self.arrays: list[Array] = []
        self.firsts: dict[int, Array] = {}
        self.growing: dict[int, int] = {}

    def get(self, index: int, shape: tuple[int, ...], first: Array | None) -> Array:
        """Return an array by its index; make it if there is none yet."""
        if index == len(self.arrays):
            array = aligned((self.sequences, *shape), np.float32)
            if first is not None:
                self.firsts[index] = first.reshape(shape)
                array[:] = self.firsts[index]
            self.arrays.append(array)
        array = self.arrays[index]
        # Every program is traced from the same layers, so that it asks for the same states in the same order.
        if array.shape[2:] != shape[1:]:
            raise AssertionError(f"state {index} has shape {array.shape[1:]} in one program and {shape} in another")
        return array

    def clear(self, row: int) -> None:
        """Set a row to what it is before the first token."""
        for index, array in enumerate(self.arrays):
            # Of a window of all tokens no place is read before it is written.
            if index not in self.growing:
                array[row] = self.firsts.get(index, 0)

    def shapes(self, position: int) -> list[tuple[int, ...]]:
        """Return the shapes of what `read` returns behind `position` tokens."""
        shapes = []
        for index, array in enumerate(self.arrays):
            used = self._used(index, position)
            shapes.append(array.shape[1:] if used is None else (used, *array.shape[2:]))
        return shapes

    def read(self, row: int, position: int) -> list[Array]:
        """Return a copy of a row behind `position` tokens."""
        return [array[row, : self._used(index, position)].copy() for index, array in enumerate(self.arrays)]

    def write(self, row: int, values: Sequence[Array], position: int) -> None:
        """Set a row to what `read` returned."""
        for index in self.growing:
            self.grow(index, position - 1)
        for index, (array, own) in enumerate(zip(self.arrays, values, strict=True)):
            array[row, : self._used(index, position)] = own

    def _used(self, index: int, position: int) -> int | None:
        """Return the number of places of the second axis that hold something, None for all."""
        interval = self.growing.get(index)
        return None if interval is None else -(-position // interval)

    def swap(self, row: int, other: int, positions: Sequence[int]) -> None:
        """Exchange two rows, behind as many tokens as `positions` says."""
        own = self.read(row, positions[row])
        self.write(row, self.read(other, positions[other]), positions[other])
        self.write(other, own, positions[row])

    def grow(self, index: int, position: int) -> None:
        """Make room for the token at a position: the number of places doubles."""
        old = self.arrays[index]
        places = old.shape[1]
        while position // self.growing[index] >= places:
            places *= 2
        if places > old.shape[1]:
            new = aligned((old.shape[0], places, *old.shape[2:]), np.float32)
            new[:, : old.shape[1]] = old
            self.arrays[index] = new


@dataclass
class Growing:
    """Keys and values of a window of all tokens, whose room doubles when it is full.

    Attributes:
        state: index of the array in `SequenceStates.arrays`, [sequences, capacity, ..].
        places: by the name of an operand, its word in a table.
        tables: operands of the operation on them by thread, `capacity`, `memory` and `weights` among them.
        capacity: the places that the tables know.
        weights: the scratch of the threads; `room` has made it.
    """

    state: int
    places: Mapping[str, int]
    tables: list[Array]
    capacity: int
    weights: Array | None = None

    def room(self, states: SequenceStates, position: int) -> None:
        """Make room for the token at a position, and tell the operation where its memory now lies."""
        states.grow(self.state, position)
        array = states.arrays[self.state]
        if array.shape[1] == self.capacity:
            return
        self.capacity = array.shape[1]
        self.weights = np.zeros((len(self.tables), self.capacity), np.float32)
        # The operation finds its memory by these words: it sees the new room in the next step.
        for weights, table in zip(self.weights, self.tables, strict=True):
            table[self.places["capacity"]] = self.capacity
            table[self.places["memory"]] = array.ctypes.data
            table[self.places["weights"]] = weights.ctypes.data
