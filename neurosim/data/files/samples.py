"""Sampled state variables as HDF5, in the layout of SONATA reports: /report/<name>/{data, mapping}.

Dai et al. 2020, as `sonata`; times in seconds, as an attribute says.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.plain import PlainTree
from ...base.raw import text_of
from .bulk import DatasetSpec, Put, write_bulk
from .hdf5 import LAYOUT, open_hdf5
from .sonata import ROOT, check_name


@dataclass(frozen=True, eq=False)
class StateSamples:
    """Samples of one state variable.

    Attributes:
        population, variable: names.
        units: [units] int64, numbers of the units.
        start, interval: s; sample j is the state at start + j interval.
        values: [samples, units].
    """

    population: str
    variable: str
    units: NDArray[np.int64]
    start: float
    interval: float
    values: NDArray[Any]

    @property
    def times(self) -> NDArray[np.float64]:
        """Return the [samples] times in s."""
        return self.start + np.arange(len(self.values), dtype=np.float64) * self.interval


def write_sample_pieces(
    path: str | os.PathLike[str],
    states: Mapping[str, StateSamples],
    samples: Mapping[str, int],
    fill: Callable[[Callable[[str, NDArray[Any]], None]], None],
) -> None:
    """Replace `path` by samples in pieces, which need not fit into memory together.

    Args:
        path: of the file.
        states: by name; only the type of `values` is used.
        samples: number of samples of each.
        fill: called with `put(name, samples)`, which appends a piece, in order of time.

    Raises:
        NeurosimInputError: a name with '/'.
        NeurosimWriteError: as `write_bulk`.
    """
    groups: dict[str, PlainTree] = {"": ROOT}
    specs = {}
    mappings = {}
    for name, state in states.items():
        check_name(name, "write_samples")
        group = f"report/{name}"
        count = samples[name]
        groups[group] = {
            "population": np.bytes_(state.population.encode()),
            "variable": np.bytes_(state.variable.encode()),
        }
        specs[f"{group}/data"] = DatasetSpec((count, len(state.units)), state.values.dtype.str, {})
        for part, values in _mapping(state, count).items():
            if part == "time":
                attributes = {"units": np.bytes_("seconds")}
            else:
                attributes = {}
            specs[f"{group}/mapping/{part}"] = DatasetSpec(values.shape, values.dtype.str, attributes)
            mappings[f"{group}/mapping/{part}"] = values

    # Small arrays first, then samples as they come: the file is filled in one pass.
    def fill_all(put: Put) -> None:
        for name, values in mappings.items():
            put(name, values)
        fill(lambda name, values: put(f"report/{name}/data", values))

    write_bulk(path, specs, groups, fill_all)


def read_samples(path: str | os.PathLike[str]) -> dict[str, StateSamples]:
    """Return all variables of a file that `Simulation(states_to=path)` wrote, by the names of their probes.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not HDF5, or another layout.
    """
    states = {}
    with open_hdf5(path) as file:
        for name in file.names("report"):
            group = f"report/{name}"
            about = file.attributes(group, "population", "variable")
            values = file.array(f"{group}/data", "f")
            units = file.numbers(f"{group}/mapping/node_ids", "iu")
            start, _, interval = file.numbers(f"{group}/mapping/time", "f", 3).tolist()
            if values.ndim != 2 or values.shape[1] != len(units) or len(about) != 2:
                raise file.error(f"/{group}/data", f"samples of {len(units)} units", list(values.shape), LAYOUT)
            texts = {key: text_of(text) for key, text in about.items()}
            states[name] = StateSamples(
                **texts, units=units.astype(np.int64), start=start, interval=interval, values=values
            )
    return states


def _mapping(samples: StateSamples, count: int) -> dict[str, NDArray[Any]]:
    return {
        "node_ids": samples.units.astype("<u8"),
        "index_pointer": np.arange(len(samples.units) + 1, dtype="<u8"),
        "time": np.array([samples.start, samples.start + count * samples.interval, samples.interval], "<f8"),
    }
