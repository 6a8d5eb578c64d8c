"""Readers of bytes, and errors of files that break their format."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import NeurosimFormatError, NeurosimInputError, NeurosimMissingError

# Bytes of a block of many files; more if one file is larger.
BLOCK = 4 << 20
# Compressed events may unpack to this many times the size of their file, and to MIN_UNPACKED in any case: times and
# places of events compress 2 to 10 times.
UNPACK_RATIO = 64
MIN_UNPACKED = 64 << 20
# Nonblocking: a pipe without a writer reads as empty.
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
# As in kernels.io.faults.
OUTSIDE = 1
BACKWARDS = 2


class FileBlock(NamedTuple):
    """Bytes of several files end to end; file i is `raw[bounds[i]:bounds[i + 1]]`."""

    raw: NDArray[np.uint8]
    bounds: NDArray[np.int64]


def format_error(path: object, where: str, expected: str, got: object, step: str) -> NeurosimFormatError:
    """Return the error of a file that breaks its format: file, place, expected and actual content, next step."""
    text = f"{where}: expected {expected}, got {got}; {step}"
    return NeurosimFormatError(f"{path}: {printable(text)}")


def printable(text: str) -> str:
    """Return text on one line: names in a damaged file may hold line ends and other control characters."""
    return "".join(c if c.isprintable() else "?" for c in text)


def text_of(value: NDArray[Any]) -> str:
    """Return an attribute of an HDF5 file as text, of bytes or of text."""
    one = value.item() if value.size == 1 else value
    if isinstance(one, bytes):
        return one.decode(errors="replace")
    return str(one)


def event_fault(path: object, byte: int, fault: int, shape: tuple[int, ...]) -> NeurosimFormatError:
    """Return the error of a decoder in `kernels.io` that stopped at the record at `byte`."""
    expected, got, step = {
        OUTSIDE: (
            f"an event inside shape {tuple(shape)}",
            "one outside",
            "for another sensor give its shape=, such as (2, 180, 240) (of a folder data.options.shape=[2,180,240])",
        ),
        BACKWARDS: ("times in ascending order", "an earlier one", "fetch the recording again"),
    }[fault]
    return format_error(path, f"byte {byte}", expected, got, step)


def max_unpacked(size: int) -> int:
    """Return the maximum number of bytes that a file of events of `size` bytes may unpack to, all parts together."""
    return UNPACK_RATIO * size + MIN_UNPACKED


def read_bytes(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Return all bytes of a file, [n] uint8.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimInputError: a folder, or a file without read permission.
    """
    handle = _open(path)
    try:
        data = np.empty(os.fstat(handle).st_size, np.uint8)
        view = data.data
        done = 0
        # A read may be short (over 2 GiB, or in a network folder).
        while done < len(view) and (more := os.readv(handle, [view[done:]])):
            done += more
        return data[:done]
    except OSError as error:
        raise unreadable(path, error) from None
    finally:
        os.close(handle)


def file_size(path: str | os.PathLike[str]) -> int:
    """Return the number of bytes of a file.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimInputError: a folder, or a file without read permission.
    """
    handle = _open(path)
    try:
        return os.fstat(handle).st_size
    finally:
        os.close(handle)


def read_start(path: str | os.PathLike[str], size: int) -> bytes:
    """Return the first `size` bytes of a file, or fewer; none of one that cannot be read."""
    try:
        handle = _open(path)
    except NeurosimInputError:
        return b""
    try:
        return os.read(handle, size)
    except OSError:
        return b""
    finally:
        os.close(handle)


def read_blocks(paths: Iterable[str | os.PathLike[str]]) -> Iterator[FileBlock]:
    """Yield all bytes of many files, end to end in blocks; a block is overwritten by the next one.

    A file takes one open, two reads and one close, and the blocks stay in the cache of the processor.

    Raises:
        NeurosimMissingError, NeurosimInputError: as `read_bytes`, for the first such file.
    """
    bounds = [0]
    used = 0
    room = np.empty(BLOCK, np.uint8)
    for path in paths:
        with _reading(path) as handle:
            while more := os.readv(handle, [room.data[used:]]):
                used += more
                if used < len(room):
                    continue
                # The buffer is full: hand out the complete files and go on with the current one.
                start = bounds[-1]
                yield from _complete(room, bounds)
                room = _from_front(room, start)
                bounds = [0]
                used -= start
        bounds.append(used)
    yield from _complete(room, bounds)


def _complete(room: NDArray[np.uint8], bounds: list[int]) -> Iterator[FileBlock]:
    """Yield the block of the files that end within the buffer, if there are any."""
    if len(bounds) > 1:
        yield FileBlock(room[: bounds[-1]], np.array(bounds))


@contextmanager
def _reading(path: str | os.PathLike[str]) -> Iterator[int]:
    """Open a file for the time of a `with`; errors of reading name it."""
    handle = _open(path)
    try:
        yield handle
    except OSError as error:
        raise unreadable(path, error) from None
    finally:
        os.close(handle)


def _from_front(block: NDArray[np.uint8], start: int) -> NDArray[np.uint8]:
    """Return a block that begins with block[start:], a part of a file, and has room for as much again."""
    part = block[start:].copy()
    if 2 * len(part) > len(block):
        block = np.empty(2 * len(part), np.uint8)
    block[: len(part)] = part
    return block


def _open(path: str | os.PathLike[str]) -> int:
    try:
        return os.open(path, _FLAGS)
    except OSError as error:
        raise unreadable(path, error) from None
    except ValueError as error:
        raise NeurosimInputError(f"{str(path)!r}: is not a valid path ({error}); check the path") from None


def unreadable(path: object, error: OSError) -> NeurosimInputError:
    """Return the error of a file that the system does not open."""
    if isinstance(error, FileNotFoundError):
        return NeurosimMissingError(f"{path}: no such file; check the path")
    return NeurosimInputError(
        f"{path}: could not be read ({error.strerror or error}); check the path and its permissions"
    )
