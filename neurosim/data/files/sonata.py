"""Spikes as SONATA HDF5: /spikes/<population>/{timestamps, node_ids}.

Dai et al. 2020, "The SONATA data format for efficient description of large-scale network models". Times are written
in seconds, as the attribute `units` says: a factor to milliseconds would round them and change the digest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimError, NeurosimInputError, lookup, require
from ...base.plain import PlainTree
from ...base.raw import printable, text_of
from ..spikes import Spikes
from .bulk import DatasetSpec, Put, write_bulk
from .camera_hdf5 import is_camera_file
from .hdf5 import LAYOUT, HDF5File, open_hdf5

# Attributes of the root.
ROOT = {"magic": np.uint32(0x0A7A), "version": np.array((0, 1), np.uint32)}
# The next step for HDF5 in which no reader finds spikes.
OTHER_LAYOUT = (
    "write its recordings to train.h5 and test.h5 with spikes/times, spikes/units and labels, the layout of SHD, and "
    "read their folder as data.name = 'shd'; or each to a file in a folder of its class"
)
# Without the attribute, the default of SONATA is milliseconds.
UNITS = {"seconds": 1.0, "s": 1.0, "milliseconds": 1e-3, "ms": 1e-3}


@dataclass(frozen=True)
class Extent:
    """Number of events, size, duration and shape of a population, to lay out a file before its events are known."""

    events: int
    size: int
    duration: float
    shape: tuple[int, ...]


# put(population, times in s, units) appends events.
PutSpikes = Callable[[str, NDArray[Any], NDArray[Any]], None]


def write_sonata(path: str | os.PathLike[str], populations: Mapping[str, Spikes]) -> None:
    """Replace `path` by the spikes of one or more named populations, in order of time.

    Size, shape and duration are attributes of the group, so `read_sonata` returns equal spikes.

    Raises:
        NeurosimInputError: no population, or a name that HDF5 cannot hold.
        NeurosimWriteError: as `replacing`.
    """
    require(len(populations) > 0, "write_sonata", "needs at least one population", 0)

    def fill(put: PutSpikes) -> None:
        for name, spikes in populations.items():
            put(name, spikes.times, spikes.units)

    extents = {name: Extent(len(s), s.size, s.duration, s.shape) for name, s in populations.items()}
    write_sonata_pieces(path, extents, fill)


def other_layout(path: str | os.PathLike[str]) -> str:
    """Return the names at the top of an HDF5 file in which no reader finds spikes or events; "" for other files."""
    try:
        with open_hdf5(path) as file:
            if file.has("spikes"):
                return ""
            names = _at_the_top(file)
    except NeurosimError:
        # Not HDF5, or damaged: its reader says so.
        return ""
    return "" if is_camera_file(path) else names


def _at_the_top(file: HDF5File) -> str:
    """Return the names at the top of a file, of many the first."""
    names = sorted(file.names(""))
    shown = ", ".join(printable(name) for name in names[:6]) or "nothing"
    return f"{shown}, ..." if len(names) > 6 else shown


def read_sonata(path: str | os.PathLike[str], population: str | None = None) -> Spikes:
    """Return the spikes of one population, in order of time; `population` may be None if there is only one.

    Files of other programs have no size, shape and duration: the highest node and the last spike give them.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimInputError: no such population, or several and None given.
        NeurosimFormatError: not HDF5, another layout, or spikes outside size or duration.
    """
    with open_hdf5(path) as file:
        if not file.has("spikes"):
            raise file.error("/spikes", "spikes of populations", f"{_at_the_top(file)} at the top", OTHER_LAYOUT)
        names = file.names("spikes")
        if {"times", "units"} <= set(names):
            step = "read it with files.read_shd, or as data.name = 'shd'"
            raise file.error("/spikes", "spikes of populations", "many recordings in SHD's layout", step)
        # Files before populations were named have their columns in the group itself.
        columns = [name for name in ("gids", "node_ids") if {name, "timestamps"} <= set(names)]
        if columns:
            group = "spikes"
            column = columns[0]
        else:
            group = f"spikes/{choose(path, names, population)}"
            column = "node_ids"
        times = file.numbers(f"{group}/timestamps", "f").astype(np.float64)
        nodes = file.numbers(f"{group}/{column}", "iu", len(times))
        times *= seconds_of_a_unit(file, group)
        attributes = file.attributes(group, "size", "shape", "duration")
        if nodes.size and not 0 <= nodes.min() <= nodes.max() < 1 << 31:
            raise file.error(f"/{group}/node_ids", "0 <= node < 2^31", f"{nodes.min()} to {nodes.max()}")
        try:
            size = int(attributes.get("size", nodes.max(initial=0) + 1))
            duration = float(attributes.get("duration", times.max(initial=0.0)))
            shape = tuple(int(n) for n in np.atleast_1d(attributes.get("shape", size)))
            return Spikes.sort(times, nodes, size, duration, shape)
        except (NeurosimInputError, TypeError, ValueError, OverflowError) as error:
            raise file.error(f"/{group}", "spikes that fit together", error) from None


def sonata_populations(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of the populations of a file.

    Raises:
        NeurosimMissingError, NeurosimFormatError: as `read_sonata`.
    """
    with open_hdf5(path) as file:
        return list(file.names("spikes"))


def choose(path: object, names: list[str], population: str | None) -> str:
    """Return the name of the population in the file, or of the only one.

    Raises:
        NeurosimInputError: no such population, or several and None given.
    """
    table = {printable(name): name for name in names}
    if population is None:
        require(len(names) == 1, f"{path}: population", f"must be chosen from {', '.join(table)}", None)
        return names[0]
    return lookup(table, population, f"{path}: population")


def seconds_of_a_unit(file: HDF5File, group: str) -> float:
    """Return the unit of the times of a population, s."""
    attributes = file.attributes(f"{group}/timestamps", "units")
    name = text_of(attributes["units"]) if attributes else "milliseconds"
    if name not in UNITS:
        raise file.error(f"/{group}/timestamps attribute 'units'", f"one of {', '.join(UNITS)}", name, LAYOUT)
    return UNITS[name]


def write_sonata_pieces(
    path: str | os.PathLike[str], populations: Mapping[str, Extent], fill: Callable[[PutSpikes], None]
) -> None:
    """Replace `path` as `write_sonata` does, by spikes in pieces, which need not fit into memory together.

    Args:
        path: of the file.
        populations: by name.
        fill: called with `put(population, times, units)`, which appends a piece, in order of time.

    Raises:
        NeurosimInputError, NeurosimWriteError: as `write_sonata`.
    """
    groups: dict[str, PlainTree] = {"": ROOT}
    specs = {}
    for name, extent in populations.items():
        check_name(name, "write_sonata")
        group = f"spikes/{name}"
        groups[group] = {
            # Text of fixed length lies in the header, not in a heap that every reader must follow.
            "sorting": np.bytes_("by_time"),
            "size": extent.size,
            "shape": np.array(extent.shape, np.int64),
            "duration": extent.duration,
        }
        specs[f"{group}/timestamps"] = DatasetSpec((extent.events,), "<f8", {"units": np.bytes_("seconds")})
        specs[f"{group}/node_ids"] = DatasetSpec((extent.events,), "<u8", {})

    def fill_both(put: Put) -> None:
        def put_spikes(name: str, times: NDArray[Any], units: NDArray[Any]) -> None:
            put(f"spikes/{name}/timestamps", times)
            put(f"spikes/{name}/node_ids", units)

        fill(put_spikes)

    write_bulk(path, specs, groups, fill_both)


def check_name(name: str, writer: str) -> None:
    """Raise `NeurosimInputError` unless HDF5 can hold the name of a group."""
    require(bool(name) and "/" not in name and name != ".", writer, "needs names without '/'", name)
