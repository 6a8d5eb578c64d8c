"""State variables over time as HDF5, laid out as SONATA's reports: /report/<name>/{data, mapping}.

Dai et al. 2020, as `sonata`; times in seconds, said so by an attribute.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import require
from .bulk import Put, Space, write_bulk
from .hdf5 import LAYOUT, opened
from .sonata import MAGIC, VERSION


@dataclass(frozen=True, eq=False)
class States:
    """Samples of one variable.

    Attributes:
        population, variable: of what.
        units: [units] int64, which units.
        start, interval: s; sample j is the state at start + j interval.
        values: [samples, units].
    """

    population: str
    variable: str
    units: NDArray[np.int64]
    start: float
    interval: float
    values: NDArray

    @property
    def times(self) -> NDArray[np.float64]:
        """[samples] s."""
        return self.start + np.arange(len(self.values), dtype=np.float64) * self.interval


def write_states_pieces(
    path: str | os.PathLike[str],
    states: Mapping[str, States],
    samples: Mapping[str, int],
    fill: Callable[[Callable[[str, NDArray], None]], None],
) -> None:
    """Replace `path` by samples that come in pieces and need not fit into memory.

    Args:
        states: by name; of `values` only the type is looked at.
        samples: how many there will be of each.
        fill: called with `put(name, samples)`, which adds a piece, in order of time.

    Raises:
        NeurosimInputError: a name with '/' in it.
        NeurosimWriteError: as `write_bulk`.
    """
    groups: dict[str, dict[str, Any]] = {"": {"magic": np.uint32(MAGIC), "version": np.array(VERSION, np.uint32)}}
    spaces, mappings = {}, {}
    for name, one in states.items():
        require(bool(name) and "/" not in name and name != ".", "write_states", "needs names without '/'", name)
        group, count = f"report/{name}", samples[name]
        groups[group] = {
            "population": np.bytes_(one.population.encode()),
            "variable": np.bytes_(one.variable.encode()),
        }
        spaces[f"{group}/data"] = Space((count, len(one.units)), one.values.dtype.str, {})
        for part, values in _mapping(one, count).items():
            attributes = {"units": np.bytes_("seconds")} if part == "time" else {}
            spaces[f"{group}/mapping/{part}"] = Space(values.shape, values.dtype.str, attributes)
            mappings[f"{group}/mapping/{part}"] = values

    def fill_all(put: Put) -> None:
        for name, values in mappings.items():
            put(name, values)
        fill(lambda name, values: put(f"report/{name}/data", values))

    write_bulk(path, spaces, groups, fill_all)


def read_states(path: str | os.PathLike[str]) -> dict[str, States]:
    """All variables of a file that `Simulation(states_to=path)` wrote, by the names of their probes.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not HDF5, or not this layout.
    """
    found = {}
    with opened(path) as file:
        for name in file.names("report"):
            group = f"report/{name}"
            about = file.attributes(group, "population", "variable")
            values, units = file.array(f"{group}/data", "f"), file.numbers(f"{group}/mapping/node_ids", "iu")
            start, _, interval = file.numbers(f"{group}/mapping/time", "f", 3).tolist()
            if values.ndim != 2 or values.shape[1] != len(units) or len(about) != 2:
                raise file.bad(f"/{group}/data", f"samples of {len(units)} units", list(values.shape), LAYOUT)
            texts = {key: bytes(text).decode(errors="replace") for key, text in about.items()}
            found[name] = States(**texts, units=units.astype(np.int64), start=start, interval=interval, values=values)
    return found


def _mapping(one: States, count: int) -> dict[str, NDArray]:
    return {
        "node_ids": one.units.astype("<u8"),
        "index_pointer": np.arange(len(one.units) + 1, dtype="<u8"),
        "time": np.array([one.start, one.start + count * one.interval, one.interval], "<f8"),
    }
