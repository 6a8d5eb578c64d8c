"""Spikes of a SONATA file in windows, for recordings larger than memory."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from ...base.raw import format_error, unreadable
from ..spikes import Spikes
from .hdf5 import LAYOUT, SIGNATURE, HDF5File, open_root
from .hdf5_heaps import NO_OBJECTS
from .sonata import choose, seconds_of_a_unit

# Events read at a time, and maximum bytes of a chunk of the file, which is unpacked at once.
PIECE = 1 << 16
MAX_CHUNK_BYTES = 1 << 24


def read_windows(path: str | os.PathLike[str], population: str | None = None, length: float = 1.0) -> Iterator[Spikes]:
    """Yield the recording of one population in windows of `length` seconds, with times from the start of the window.

    Memory holds one window. The file must be in order of time, as files of neurosim are.

    Args:
        path: of the file.
        population: may be None if there is only one.
        length: s; a power of two, so that any number of windows joins exactly.

    Raises:
        NeurosimMissingError, NeurosimInputError, NeurosimFormatError: as `read_sonata`; the last also for times
            that are not ascending.
    """
    require(length > 0 and math.frexp(length)[0] == 0.5, "read_windows.length", "must be a power of two, in s", length)
    try:
        with open(path, "rb") as file:
            signature = file.read(8)
    except OSError as error:
        raise unreadable(path, error) from None
    if signature != SIGNATURE:
        raise format_error(path, "byte 0", "the signature of an HDF5 file", f"{signature!r}", "is this an HDF5 file?")
    with open_root(path) as root:
        yield from _windows(HDF5File(path, root, np.empty(0, np.uint8), NO_OBJECTS), population, length)


def _windows(file: HDF5File, population: str | None, length: float) -> Iterator[Spikes]:
    """Yield the spikes of a SONATA file window by window; each begins at 0 s."""
    group = f"spikes/{choose(file.path, file.names('spikes'), population)}"
    all_times = _dataset(file, f"{group}/timestamps", "f")
    all_nodes = _dataset(file, f"{group}/node_ids", "iu")
    if len(all_times) != len(all_nodes):
        raise file.error(f"/{group}/node_ids", f"{len(all_times)} entries, as timestamps", len(all_nodes))
    seconds = seconds_of_a_unit(file, group)
    attributes = file.attributes(group, "size", "duration", "shape")
    population_spikes = _without_spikes(file, group, attributes, all_nodes)
    size = population_spikes.size
    shape = population_spikes.shape
    duration = population_spikes.duration
    times: NDArray[np.float64] = np.empty(0)
    nodes: NDArray[np.int64] = np.empty(0, np.int64)
    read = 0
    start = 0.0
    while start < duration or read < len(all_times) or times.size:
        stop = start + length
        # Read pieces until one reaches beyond the window; its later events wait for the next window.
        while read < len(all_times) and (times.size == 0 or times[-1] < stop):
            piece = slice(read, min(read + PIECE, len(all_times)))
            times = np.concatenate([times, all_times[piece].astype(np.float64) * seconds])
            nodes = np.concatenate([nodes, all_nodes[piece].astype(np.int64)])
            read = piece.stop
        cut = _count_before(file, group, times, start, stop)
        units = nodes[:cut]
        highest = min(size, 1 << 31)
        if units.size and not 0 <= units.min() <= units.max() < highest:
            raise file.error(f"/{group}/node_ids", f"0 <= node < {highest}", f"{units.min()} to {units.max()}")
        yield Spikes.unchecked(times[:cut] - start, units.astype(np.int32), size, length, shape)
        times = times[cut:]
        nodes = nodes[cut:]
        start = stop


def _without_spikes(file: HDF5File, group: str, attributes: Mapping[str, Any], nodes: Any) -> Spikes:
    """Return a recording of size, shape and duration of a population, without spikes.

    Raises:
        NeurosimFormatError: as `read_sonata`.
    """
    try:
        size = int(attributes["size"]) if "size" in attributes else _highest(nodes) + 1
        shape = tuple(int(n) for n in np.atleast_1d(attributes.get("shape", size)))
        duration = float(attributes.get("duration", 0.0))
        return Spikes(np.empty(0), np.empty(0, np.int32), size, duration, shape)
    except (NeurosimInputError, TypeError, ValueError, OverflowError) as error:
        raise file.error(f"/{group}", "spikes that fit together", error) from None


def _count_before(file: HDF5File, group: str, times: NDArray[np.float64], start: float, stop: float) -> int:
    """Return the number of these events before `stop`."""
    if times.size and not (times[0] >= start and (times[1:] >= times[:-1]).all()):
        step = "read it with read_sonata, which sorts it"
        raise file.error(f"/{group}/timestamps", "times in ascending order", "an earlier one", step)
    # Windows up to an infinite time would never end.
    if times.size and not math.isfinite(times[-1]):
        raise file.error(f"/{group}/timestamps", "finite times", times[-1], "correct the times")
    return int(np.searchsorted(times, stop))


def _dataset(file: HDF5File, name: str, kinds: str) -> Any:
    """Return a one-dimensional dataset of numbers, to be read in slices."""
    node = file.dataset(name)
    if node.dtype.kind not in kinds:
        raise file.error(f"/{name}", "numbers", node.dtype, LAYOUT)
    if node.chunks and node.chunks[0] * node.dtype.itemsize > MAX_CHUNK_BYTES:
        expected = f"chunks of at most {MAX_CHUNK_BYTES} bytes"
        raise file.error(f"/{name}", expected, node.chunks[0] * node.dtype.itemsize, "repack it with h5repack")
    return node


def _highest(nodes: Any) -> int:
    pieces = (nodes[i : i + PIECE] for i in range(0, len(nodes), PIECE))
    return max((int(piece.max()) for piece in pieces), default=0)
