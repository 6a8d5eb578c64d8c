"""Spikes as SONATA HDF5: /spikes/<population>/{timestamps, node_ids}.

Dai et al. 2020, "The SONATA data format for efficient description of large-scale network models". Times are written
in seconds, said so by the attribute `units`: the factor to milliseconds would round them, and the digest with them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import check, pick
from ..spikes import Spikes
from .atomic import replacing
from .hdf5 import numbers, opened
from .raw import bad

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

    check(len(populations) > 0, "write_sonata", "needs at least one population", 0)
    for name in populations:
        check(bool(name) and "/" not in name and name != ".", "write_sonata", "needs names without '/'", name)
    with replacing(path) as temporary, h5py.File(temporary, "w") as root:
        root.attrs["magic"] = np.uint32(MAGIC)
        root.attrs["version"] = np.array(VERSION, np.uint32)
        for name, spikes in populations.items():
            _write(root.create_group(f"spikes/{name}"), spikes)


def read_sonata(path: str | os.PathLike[str], population: str | None = None) -> Spikes:
    """The spikes of one population; `population` may be left out where there is only one.

    A file of another program carries no size, shape and duration: they are then the highest node and the last spike.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimInputError: no such population, or several and none chosen.
        NeurosimFormatError: not HDF5, or not SONATA's layout.
    """
    with opened(path) as root:
        if "spikes" not in root:
            raise bad(path, "/spikes", "a group", "nothing", "is this a SONATA spike file?")
        names = list(root["spikes"])
        if population is None:
            check(len(names) == 1, "read_sonata.population", f"must be one of {', '.join(names)}", None)
            population = names[0]
        group = pick({n: n for n in names}, population, f"{path}: population")
        where = f"spikes/{group}"
        times = numbers(path, root, f"{where}/timestamps", "f").astype(np.float64)
        nodes = numbers(path, root, f"{where}/node_ids", "iu", len(times))
        attributes = dict(root[where].attrs)
        unit = root[f"{where}/timestamps"].attrs.get("units", "milliseconds")
    times *= pick(UNITS, unit, f"{path}: /{where}/timestamps units")
    size = int(attributes.get("size", nodes.max(initial=0) + 1))
    duration = float(attributes.get("duration", times.max(initial=0.0)))
    shape = tuple(int(n) for n in attributes.get("shape", (size,)))
    return Spikes.sort(times, nodes, size, duration, shape)


def _write(group: Any, spikes: Spikes) -> None:
    group.attrs["sorting"] = "by_time"
    group.attrs["size"] = spikes.size
    group.attrs["shape"] = np.array(spikes.shape, np.int64)
    group.attrs["duration"] = spikes.duration
    group.create_dataset("timestamps", data=spikes.times, dtype="<f8").attrs["units"] = "seconds"
    group.create_dataset("node_ids", data=spikes.units, dtype="<u8")
