"""Reading the bytes of a file, and the one shape of complaint about them."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimFormatError, NeurosimInputError, NeurosimMissingError

# The numbers of kernels.decode, whose import would load numba.
OUTSIDE, BACKWARDS = 1, 2


def bad(path: object, where: str, expected: str, got: object, step: str) -> NeurosimFormatError:
    """The error of a file that breaks its format: which file, where, what was expected and found, and what to do."""
    return NeurosimFormatError(f"{path}: {where}: expected {expected}, got {got}; {step}")


def event_fault(path: object, byte: int, fault: int, shape: tuple[int, ...]) -> NeurosimFormatError:
    """The error of a decoder in `kernels.decode` that stopped at the record at `byte`."""
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
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise unreadable(path, error) from None
    try:
        data = np.empty(os.fstat(handle).st_size, np.uint8)
        done = os.readv(handle, [data.data]) if data.size else 0
        # A read may come back short (over 2 GiB, or from a network folder).
        while done < data.size:
            more = os.readv(handle, [data[done:].data])
            if more == 0:
                data = data[:done]
            done += more
        return data
    except OSError as error:
        raise unreadable(path, error) from None
    finally:
        os.close(handle)


def unreadable(path: object, error: OSError) -> NeurosimInputError:
    """The error of a file the system does not open."""
    if isinstance(error, FileNotFoundError):
        return NeurosimMissingError(f"{path}: no such file; check the path")
    return NeurosimInputError(f"{path}: could not be read ({error.strerror or error}); check the path and its rights")
