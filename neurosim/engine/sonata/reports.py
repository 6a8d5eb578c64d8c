"""Results of SONATA networks as SONATA files: spikes in ms by id of the node, and reports of state variables."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.plain import PlainTree, from_plain, to_plain
from ...data.files.bulk import DatasetSpec, Put, write_bulk
from ...data.spikes import Spikes
from ..probe import Probe
from ..result import Result

ROOT = {"magic": np.uint32(0x0A7A), "version": np.array((0, 1), np.uint32)}


@dataclass(frozen=True)
class Report:
    """A state variable of some nodes.

    Attributes:
        label: name of the samples in a result.
        file: name of the file to write.
        variable: its name in the configuration.
        population: of the engine.
        nodes: population of SONATA.
        state: variable of the neuron.
        unit: of the file's numbers, in SI.
        interval: s between two samples.
        units: of the population.
    """

    label: str
    file: str
    variable: str
    population: str
    nodes: str
    state: str
    unit: float
    interval: float
    units: tuple[int, ...]

    def probes(self) -> list[Probe]:
        """Return the probes of the report."""
        return [
            Probe(
                population=self.population,
                variable=self.state,
                interval=self.interval,
                units=list(self.units),
                label=self.label,
            )
        ]


@dataclass(frozen=True)
class Nodes:
    """The nodes that the units of a population of the engine are.

    Attributes:
        name: of the population of the engine.
        nodes: population of SONATA.
        ids: [units] of the nodes; None: 0, 1, ..
    """

    name: str
    nodes: str
    ids: tuple[int, ...] | None

    def of(self, units: NDArray[Any]) -> NDArray[np.int64]:
        """Return the ids of units."""
        if self.ids is None:
            return units.astype(np.int64)
        ids: NDArray[np.int64] = np.array(self.ids, np.int64)[units]
        return ids


@dataclass(frozen=True)
class Outputs:
    """Files that a run writes: spikes of all populations, and reports.

    Attributes:
        populations: that may fire.
        reports: of state variables.
    """

    populations: tuple[Nodes, ...]
    reports: tuple[Report, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a plain tree, which `of` reads."""
        tree: dict[str, Any] = to_plain(self)
        return tree

    @classmethod
    def of(cls, tree: object, label: str) -> Outputs:
        """Return the outputs of a plain tree.

        Raises:
            NeurosimInputError: it is none.
        """
        return from_plain(cls, tree, label)

    def spikes(self, result: Result) -> dict[str, tuple[NDArray[np.float64], NDArray[np.int64]]]:
        """Return times in ms and ids of nodes of the spikes of each population of SONATA, ordered by time.

        A spike is at the end of its step, as in NEST.
        """
        clock = float(result.clock or 0.0)
        pieces: dict[str, list[tuple[NDArray[np.float64], NDArray[np.int64]]]] = {}
        for population in self.populations:
            each = result.spikes[population.name]
            assert isinstance(each, Spikes)
            # Back to steps, so that the end of a step is rounded once.
            steps = np.rint(each.times / clock)
            # s to ms, the unit of SONATA.
            times = (steps + 1) * (clock * 1e3)
            pieces.setdefault(population.nodes, []).append((times, population.of(each.units)))
        joined = {}
        for name, parts in pieces.items():
            times = np.concatenate([part[0] for part in parts])
            nodes = np.concatenate([part[1] for part in parts])
            # Populations of the engine that are one of SONATA are merged; equal times by id of the node.
            order = np.lexsort((nodes, times))
            joined[name] = times[order], nodes[order]
        return joined

    def write(self, result: Result, folder: str | os.PathLike[str]) -> list[Path]:
        """Write spikes.h5 and the reports of a result into a folder; return the files.

        Raises:
            NeurosimWriteError: the disk refuses.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / "spikes.h5"]
        write_spikes(written[0], self.spikes(result))
        nodes = {population.name: population for population in self.populations}
        by_file: dict[str, list[Report]] = {}
        for report in self.reports:
            by_file.setdefault(report.file, []).append(report)
        for name, reports in by_file.items():
            write_reports(folder / name, reports, result, nodes)
            written.append(folder / name)
        return written


def write_spikes(path: Path, spikes: Mapping[str, tuple[NDArray[np.float64], NDArray[np.int64]]]) -> None:
    """Replace `path` by spikes, times in ms and ids of nodes by population.

    Raises:
        NeurosimWriteError: the disk refuses.
    """
    groups: dict[str, PlainTree] = {"": ROOT, "spikes": {}}
    specs = {}
    for name, (times, _) in spikes.items():
        groups[f"spikes/{name}"] = {"sorting": np.bytes_("by_time")}
        specs[f"spikes/{name}/timestamps"] = DatasetSpec((len(times),), "<f8", {"units": np.bytes_("milliseconds")})
        specs[f"spikes/{name}/node_ids"] = DatasetSpec((len(times),), "<u8", {})

    def fill(put: Put) -> None:
        for name, (times, nodes) in spikes.items():
            put(f"spikes/{name}/timestamps", times)
            put(f"spikes/{name}/node_ids", nodes)

    write_bulk(path, specs, groups, fill)


def write_reports(path: Path, reports: Sequence[Report], result: Result, nodes: Mapping[str, Nodes]) -> None:
    """Replace `path` by the samples of reports, each of another population of SONATA.

    They are [times, nodes], with the times in ms and the ids of the nodes.

    Args:
        nodes: by population of the engine.

    Raises:
        NeurosimWriteError: the disk refuses.
    """
    groups: dict[str, PlainTree] = {"": ROOT}
    specs: dict[str, DatasetSpec] = {}
    arrays: dict[str, NDArray[Any]] = {}
    for report in reports:
        own, attributes = _report_arrays(report, result, nodes[report.population])
        groups[f"report/{report.nodes}"] = {"variable_name": np.bytes_(report.variable)}
        arrays |= own
        for name, array in own.items():
            dtype = array.dtype.newbyteorder("<").str
            specs[name] = DatasetSpec(array.shape, dtype, attributes.get(name, {}))

    def fill(put: Put) -> None:
        for name, array in arrays.items():
            put(name, array)

    write_bulk(path, specs, groups, fill)


def _report_arrays(
    report: Report, result: Result, nodes: Nodes
) -> tuple[dict[str, NDArray[Any]], dict[str, dict[str, PlainTree]]]:
    """Return the datasets of a report, and attributes of some of them, by path in the file."""
    samples = np.asarray(result.states[report.label], np.float64) / report.unit
    units = np.array(report.units, np.int64)
    interval = report.interval * 1e3
    top = f"report/{report.nodes}"
    arrays: dict[str, NDArray[Any]] = {
        f"{top}/data": samples,
        f"{top}/mapping/node_ids": nodes.of(units).astype(np.uint64),
        # One element a node: units are points, without sections.
        f"{top}/mapping/index_pointers": np.arange(len(units) + 1, dtype=np.uint64),
        f"{top}/mapping/element_ids": np.zeros(len(units), np.uint32),
        f"{top}/mapping/element_pos": np.zeros(len(units)),
        f"{top}/mapping/time": np.array([0.0, len(samples) * interval, interval]),
    }
    unit = {"v": "mV", "u": "mV/ms"}.get(report.state, "")
    attributes = {f"{top}/data": {"units": np.bytes_(unit)}, f"{top}/mapping/time": {"units": np.bytes_("ms")}}
    return arrays, attributes
