"""Reading the bytes of a file, and the one shape of complaint about them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimFormatError, NeurosimInputError, NeurosimMissingError

# Bytes a block of many files holds, or more if one file does.
BLOCK = 4 << 20
# A pipe must not wait for a writer: it reads as empty.
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
# The numbers of kernels.io.decode, whose import would load numba.
OUTSIDE, BACKWARDS = 1, 2


class Block(NamedTuple):
    """Bytes of several files end to end; file i is `raw[bounds[i]:bounds[i + 1]]`."""

    raw: NDArray[np.uint8]
    bounds: NDArray[np.int64]


def bad(path: object, where: str, expected: str, got: object, step: str) -> NeurosimFormatError:
    """The error of a file that breaks its format: which file, where, what was expected and found, and what to do."""
    text = f"{where}: expected {expected}, got {got}; {step}"
    return NeurosimFormatError(f"{path}: {printable(text)}")


def printable(text: str) -> str:
    """On one line: what a damaged file calls things may hold line ends and worse."""
    return "".join(c if c.isprintable() else "?" for c in text)


def event_fault(path: object, byte: int, fault: int, shape: tuple[int, ...]) -> NeurosimFormatError:
    """The error of a decoder in `kernels.io.decode` that stopped at the record at `byte`."""
    expected, got, step = {
        OUTSIDE: (f"an event inside shape {tuple(shape)}", "one outside", "for another sensor give its shape="),
        BACKWARDS: ("times that never run backwards", "an earlier one", "fetch the recording again"),
    }[fault]
    return bad(path, f"byte {byte}", expected, got, step)


def read_bytes(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """All bytes of a file, [n] uint8.

    Raises:
        NeurosimMissingError: there is no such file.
        NeurosimInputError: it is a folder, or may not be read.
    """
    handle = _open(path)
    try:
        data = np.empty(os.fstat(handle).st_size, np.uint8)
        view, done = data.data, 0
        # A read may come back short (over 2 GiB, or from a network folder).
        while done < len(view) and (more := _read_into(handle, view[done:])):
            done += more
        return data[:done]
    except OSError as error:
        raise unreadable(path, error) from None
    finally:
        os.close(handle)


def read_blocks(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Block]:
    """All bytes of many files, end to end in blocks that lie in the same memory: each is gone when the next one comes.

    What a file costs is one open, two reads and one close, and a few megabytes stay in the cache.

    Raises:
        NeurosimMissingError, NeurosimInputError: as `read_bytes`, for the first file at fault.
    """
    bounds, used = [0], 0
    room = np.empty(BLOCK, np.uint8)
    view = room.data
    for path in paths:
        handle = _open(path)
        try:
            while more := _read_into(handle, view[used:]):
                used += more
                if used == len(view):
                    start = bounds[-1]
                    if len(bounds) > 1:
                        yield Block(room[:start], np.array(bounds))
                    # The file at hand moves to the front, where it has room for as much again.
                    begun = room[start:used].copy()
                    if 2 * len(begun) > len(view):
                        room = np.empty(2 * len(begun), np.uint8)
                        view = room.data
                    room[: len(begun)] = begun
                    bounds, used = [0], len(begun)
        except OSError as error:
            raise unreadable(path, error) from None
        finally:
            os.close(handle)
        bounds.append(used)
    if len(bounds) > 1:
        yield Block(room[:used], np.array(bounds))


def _open(path: str | os.PathLike[str]) -> int:
    try:
        return os.open(path, _FLAGS)
    except OSError as error:
        raise unreadable(path, error) from None
    except ValueError as error:
        raise NeurosimInputError(f"{str(path)!r}: no name for a file ({error}); check the path") from None


def _read_into(handle: int, view: memoryview) -> int:
    return os.readv(handle, [view])


def unreadable(path: object, error: OSError) -> NeurosimInputError:
    """The error of a file the system does not open."""
    if isinstance(error, FileNotFoundError):
        return NeurosimMissingError(f"{path}: no such file; check the path")
    return NeurosimInputError(f"{path}: could not be read ({error.strerror or error}); check the path and its rights")
