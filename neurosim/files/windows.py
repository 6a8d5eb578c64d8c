"""Spikes of a SONATA file as windows, for recordings that need not fit into memory."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimError, require
from ..spikes import Spikes
from .hdf5 import AGAIN, LAYOUT, SIGNATURE, Opened
from .raw import bad, unreadable
from .sonata import UNITS, choose, text_of

# Events that are read at a time, and the most a chunk of the file may hold: it is unpacked whole.
PIECE, LARGEST_CHUNK = 1 << 16, 1 << 24


def read_windows(path: str | os.PathLike[str], population: str | None = None, length: float = 1.0) -> Iterator[Spikes]:
    """The recording of one population, `length` seconds at a time, each window's times counted from its start.

    As much is in memory as a window holds. The file must be in order of time, as those of neurosim are.

    Args:
        population: may be left out where there is only one.
        length: s; a power of two, so that windows of any number join exactly.

    Raises:
        NeurosimMissingError, NeurosimInputError, NeurosimFormatError: as `read_sonata`; the last also for times that
            run backwards.
    """
    require(length > 0 and math.frexp(length)[0] == 0.5, "read_windows.length", "must be a power of two, in s", length)
    import h5py

    try:
        with open(path, "rb") as file:
            signature = file.read(8)
    except OSError as error:
        raise unreadable(path, error) from None
    if signature != SIGNATURE:
        raise bad(path, "byte 0", "the signature of an HDF5 file", f"{signature!r}", "is this an HDF5 file?")
    try:
        with h5py.File(path, "r") as root:
            yield from _windows(Opened(path, root, np.empty(0, np.uint8), ()), population, length)
    except NeurosimError:
        raise
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise bad(path, "structure", "a sound HDF5 file", " ".join(str(error).split())[:160], AGAIN) from None


def _windows(file: Opened, population: str | None, length: float) -> Iterator[Spikes]:
    group = f"spikes/{choose(file.path, file.names('spikes'), population)}"
    times, nodes = _dataset(file, f"{group}/timestamps", "f"), _dataset(file, f"{group}/node_ids", "iu")
    if len(times) != len(nodes):
        raise file.bad(f"/{group}/node_ids", f"{len(times)} entries, as timestamps", len(nodes))
    unit = text_of(file.attributes(f"{group}/timestamps", "units").get("units", "milliseconds"))
    if unit not in UNITS:
        raise file.bad(f"/{group}/timestamps attribute 'units'", f"one of {', '.join(UNITS)}", unit, LAYOUT)
    known = file.attributes(group, "size", "duration", "shape")
    size = int(known["size"]) if "size" in known else _highest(nodes) + 1
    shape = tuple(int(n) for n in np.atleast_1d(known.get("shape", size)))
    duration = float(known.get("duration", 0.0))
    held: tuple[NDArray[np.float64], NDArray[np.int64]] = np.empty(0), np.empty(0, np.int64)
    read, start = 0, 0.0
    while start < duration or read < len(times) or held[0].size:
        while read < len(times) and (held[0].size == 0 or held[0][-1] < start + length):
            piece = slice(read, min(read + PIECE, len(times)))
            more = times[piece].astype(np.float64) * UNITS[unit], nodes[piece].astype(np.int64)
            held, read = (np.concatenate([held[0], more[0]]), np.concatenate([held[1], more[1]])), piece.stop
        cut = _whole(file, group, held[0], start, start + length)
        yield _window(file, group, (held[0][:cut], held[1][:cut]), (start, length), size, shape)
        held, start = (held[0][cut:], held[1][cut:]), start + length


def _whole(file: Opened, group: str, times: NDArray[np.float64], start: float, stop: float) -> int:
    """How many of these events lie before `stop`."""
    if times.size and not (times[0] >= start and (times[1:] >= times[:-1]).all()):
        step = "read it with read_sonata, which sorts it"
        raise file.bad(f"/{group}/timestamps", "times that never run backwards", "an earlier one", step)
    return int(np.searchsorted(times, stop))


def _window(
    file: Opened,
    group: str,
    events: tuple[NDArray[np.float64], NDArray[np.int64]],
    extent: tuple[float, float],
    size: int,
    shape: tuple[int, ...],
) -> Spikes:
    times, nodes = events
    if nodes.size and not 0 <= nodes.min() <= nodes.max() < size:
        raise file.bad(f"/{group}/node_ids", f"0 <= node < {size}", f"{nodes.min()} to {nodes.max()}")
    return Spikes.unchecked(times - extent[0], nodes.astype(np.int32), size, extent[1], shape)


def _dataset(file: Opened, name: str, kinds: str) -> Any:
    """A one-dimensional dataset of numbers inside the file, to be read in slices."""
    node = file._dataset(name)
    if node.dtype.kind not in kinds:
        raise file.bad(f"/{name}", "numbers", node.dtype, LAYOUT)
    if node.chunks and node.chunks[0] * node.dtype.itemsize > LARGEST_CHUNK:
        most = f"chunks of at most {LARGEST_CHUNK} bytes"
        raise file.bad(f"/{name}", most, node.chunks[0] * node.dtype.itemsize, "repack it with h5repack")
    return node


def _highest(nodes: Any) -> int:
    pieces = (nodes[i : i + PIECE] for i in range(0, len(nodes), PIECE))
    return max((int(piece.max()) for piece in pieces), default=0)
