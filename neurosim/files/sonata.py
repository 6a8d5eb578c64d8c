"""Spikes as SONATA HDF5: /spikes/<population>/{timestamps, node_ids}.

Dai et al. 2020, "The SONATA data format for efficient description of large-scale network models". Times are written
in seconds, said so by the attribute `units`: the factor to milliseconds would round them, and the digest with them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimInputError, lookup, require
from ..spikes import Spikes
from .atomic import write_bytes
from .bulk import Put, Space, write_bulk
from .hdf5 import LAYOUT, opened
from .raw import printable

MAGIC = 0x0A7A
VERSION = (0, 1)
# SONATA's own default, where the attribute is missing, is milliseconds.
UNITS = {"seconds": 1.0, "s": 1.0, "milliseconds": 1e-3, "ms": 1e-3}


def write_sonata(path: str | os.PathLike[str], populations: Mapping[str, Spikes]) -> None:
    """Replace `path` by the spikes of one or more named populations, in order of time.

    Size, shape and duration go along as attributes of the group, so `read_sonata` returns what was written.

    Raises:
        NeurosimInputError: no population, or a name that HDF5 cannot hold.
        NeurosimWriteError: as `replacing`.
    """
    import h5py

    require(len(populations) > 0, "write_sonata", "needs at least one population", 0)
    _check_names(populations)
    # Built in memory: the HDF5 library's answer to a full disk is a corrupt file or a crash on closing it.
    with h5py.File("spikes.h5", "w", driver="core", backing_store=False) as root:
        root.attrs["magic"] = np.uint32(MAGIC)
        root.attrs["version"] = np.array(VERSION, np.uint32)
        for name, spikes in populations.items():
            _write(root.create_group(f"spikes/{name}"), spikes)
        root.flush()
        image = root.id.get_file_image()
    write_bytes(path, image)


def read_sonata(path: str | os.PathLike[str], population: str | None = None) -> Spikes:
    """The spikes of one population, in order of time; `population` may be left out where there is only one.

    A file of another program carries no size, shape and duration: they are then the highest node and the last spike.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimInputError: no such population, or several and none chosen.
        NeurosimFormatError: not HDF5, or not SONATA's layout, or spikes that fit neither size nor duration.
    """
    with opened(path) as file:
        group = f"spikes/{choose(path, file.names('spikes'), population)}"
        times = file.numbers(f"{group}/timestamps", "f").astype(np.float64)
        nodes = file.numbers(f"{group}/node_ids", "iu", len(times))
        unit = text_of(file.attributes(f"{group}/timestamps", "units").get("units", "milliseconds"))
        if unit not in UNITS:
            raise file.bad(f"/{group}/timestamps attribute 'units'", f"one of {', '.join(UNITS)}", unit, LAYOUT)
        times *= UNITS[unit]
        attributes = file.attributes(group, "size", "shape", "duration")
        if nodes.size and not 0 <= nodes.min() <= nodes.max() < 1 << 31:
            raise file.bad(f"/{group}/node_ids", "0 <= node < 2^31", f"{nodes.min()} to {nodes.max()}")
        try:
            size = int(attributes.get("size", nodes.max(initial=0) + 1))
            duration = float(attributes.get("duration", times.max(initial=0.0)))
            shape = tuple(int(n) for n in np.atleast_1d(attributes.get("shape", size)))
            return Spikes.sort(times, nodes, size, duration, shape)
        except (NeurosimInputError, TypeError, ValueError, OverflowError) as error:
            raise file.bad(f"/{group}", "spikes that fit together", error) from None


def choose(path: object, names: list[str], population: str | None) -> str:
    """The population asked for, or the only one.

    Raises:
        NeurosimInputError: no such population, or several and none chosen.
    """
    table = {printable(name): name for name in names}
    if population is None:
        require(len(names) == 1, f"{path}: population", f"must be chosen from {', '.join(table)}", None)
        return names[0]
    return lookup(table, population, f"{path}: population")


def text_of(value: object) -> str:
    """An attribute as text, whichever way the file holds it."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _write(group: Any, spikes: Spikes) -> None:
    # Text of fixed length: it lies in the header, not in a heap that every reader must follow.
    group.attrs["sorting"] = np.bytes_("by_time")
    group.attrs["size"] = spikes.size
    group.attrs["shape"] = np.array(spikes.shape, np.int64)
    group.attrs["duration"] = spikes.duration
    group.create_dataset("timestamps", data=spikes.times, dtype="<f8").attrs["units"] = np.bytes_("seconds")
    group.create_dataset("node_ids", data=spikes.units, dtype="<u8")


@dataclass(frozen=True)
class Extent:
    """What is known of a population before its spikes are written: how many there are, and as in `Spikes`."""

    events: int
    size: int
    duration: float
    shape: tuple[int, ...]


# Adds times (s) and units of a population, after those added before.
PutSpikes = Callable[[str, NDArray, NDArray], None]


def write_sonata_pieces(
    path: str | os.PathLike[str], populations: Mapping[str, Extent], fill: Callable[[PutSpikes], None]
) -> None:
    """Replace `path` as `write_sonata` does, by spikes that come in pieces and need not fit into memory.

    Args:
        fill: called with `put(population, times, units)`, which adds a piece, in order of time.

    Raises:
        NeurosimInputError, NeurosimWriteError: as `write_sonata`.
    """
    groups: dict[str, dict[str, Any]] = {"": {"magic": np.uint32(MAGIC), "version": np.array(VERSION, np.uint32)}}
    spaces = {}
    for name, extent in populations.items():
        group = f"spikes/{name}"
        groups[group] = {
            "sorting": np.bytes_("by_time"),
            "size": extent.size,
            "shape": np.array(extent.shape, np.int64),
            "duration": extent.duration,
        }
        spaces[f"{group}/timestamps"] = Space((extent.events,), "<f8", {"units": np.bytes_("seconds")})
        spaces[f"{group}/node_ids"] = Space((extent.events,), "<u8", {})

    def fill_both(put: Put) -> None:
        def put_spikes(name: str, times: NDArray, units: NDArray) -> None:
            put(f"spikes/{name}/timestamps", times)
            put(f"spikes/{name}/node_ids", units)

        fill(put_spikes)

    _check_names(populations)
    write_bulk(path, spaces, groups, fill_both)


def _check_names(populations: Iterable[str]) -> None:
    for name in populations:
        require(bool(name) and "/" not in name and name != ".", "write_sonata", "needs names without '/'", name)
