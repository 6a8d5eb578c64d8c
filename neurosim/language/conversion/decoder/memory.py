"""Memory of a decoder: buffers of a token, weights in large pages, and the reads and writes between meetings."""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
LINE = 64  # bytes
HUGE = 1 << 21  # bytes of a large page
CHUNK = 1 << 26


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

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return zeros that begin at a cache line, in large pages where the system has them."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if self._at + size > len(self._chunk):
            chunk = np.frombuffer(_pages(max(CHUNK, size) + HUGE), np.uint8)
            start = -chunk.ctypes.data % HUGE
            self._chunk = chunk[start : start + max(CHUNK, size)]
            self._at = 0
        array = self._chunk[self._at : self._at + size].view(dtype).reshape(shape)
        self._at += -(-size // LINE) * LINE
        return array


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
        return int(self.array[thread].ctypes.data if self.own else self.array.ctypes.data)

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
    """Return [threads + 1] the first of `count` units of each thread, and the end."""
    return [count * t // threads for t in range(threads + 1)]


def share(axis: str, rows: int, places: Sequence[int], count: int) -> Share:
    """Return the share where threads begin at `places` of `count` units."""
    return Share(axis, rows, tuple(Fraction(min(p, count), max(count, 1)) for p in places))


@dataclass
class Touched:
    """Reads and writes of buffers since threads last met."""

    seen: dict[int, list[tuple[Share, bool]]] = field(default_factory=dict)

    def conflicts(self, buffers: Sequence[tuple[Buffer, Share, bool]]) -> bool:
        """Return whether an operation must wait for other threads before it touches (buffer, share, writes)."""
        return any(
            before != own and (wrote or writes)
            for buffer, own, writes in buffers
            for before, wrote in self.seen.get(buffer.array.ctypes.data, ())
        )

    def add(self, buffers: Sequence[tuple[Buffer, Share, bool]]) -> None:
        for buffer, own, writes in buffers:
            self.seen.setdefault(buffer.array.ctypes.data, []).append((own, writes))


@dataclass
class Growing:
    """Keys and values of a window of all tokens, whose room doubles when it is full.

    Attributes:
        state: index of the array in `DecoderProgram.states`, [tokens, capacity, ..].
        places: by the name of an operand, its word in a table.
        tables: operands of the operation on them by thread, `capacity`, `memory` and `weights` among them.
        interval: tokens of which one is kept.
        weights: the scratch of the threads; `room` has made it.
    """

    state: int
    places: Mapping[str, int]
    tables: list[Array]
    interval: int = 1
    weights: Array | None = None

    def room(self, states: list[Array], position: int) -> None:
        """Make room for the token at a position."""
        old = states[self.state]
        if position // self.interval < old.shape[1]:
            return
        new = aligned((old.shape[0], 2 * old.shape[1], *old.shape[2:]), np.float32)
        new[:, : old.shape[1]] = old
        states[self.state] = new
        self.weights = np.zeros((len(self.tables), new.shape[1]), np.float32)
        for own, table in zip(self.weights, self.tables, strict=True):
            table[self.places["capacity"]] = new.shape[1]
            table[self.places["memory"]] = new.ctypes.data
            table[self.places["weights"]] = own.ctypes.data
