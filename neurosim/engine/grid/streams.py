"""Spikes and samples to a file while a network runs, in as much memory as one piece needs.

During the run they are in a journal, `<path>.part`, which loses nothing to a kill and can be cut back to the moment of
a checkpoint; `finish` makes the file from it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimFormatError
from ...data.files.journal import Journal, block_sizes, read_blocks
from ...data.files.samples import StateSamples, write_sample_pieces
from ...data.files.sonata import Extent, PutSpikes, write_sonata_pieces
from ...network.network import Network
from .probes import BoundProbe
from .sinks import SpikeSink, StateSink
from .sources import NO_EVENTS, GridEvents

FilePath: TypeAlias = "str | os.PathLike[str]"


def journal_path(path: Path) -> Path:
    """Return the path of the journal of a stream to `path`."""
    return path.with_name(f"{path.name}.part")


@dataclass(frozen=True)
class StreamTarget:
    """The file of a stream, and the run it belongs to.

    Attributes:
        path: of the file.
        network: digest of the description of the network.
        clock: s, the step.
        first: the step at which the stream began.
    """

    path: Path
    network: str
    clock: float
    first: int

    def journal(self, kind: str, names: Sequence[str], size: int | None) -> Journal:
        """Return a new journal, or (`size`) the present one cut back to `size` bytes.

        Raises:
            NeurosimFormatError: the journal belongs to another run.
            NeurosimError: as `Journal`.
        """
        about = {
            "kind": kind,
            "network": self.network,
            "clock": self.clock,
            "first": self.first,
            "names": list(names),
        }
        if size is None:
            return Journal.create(journal_path(self.path), about)
        journal = Journal.reopen(journal_path(self.path), size)
        # `first` is the first step of the run that began the stream.
        for key in ("kind", "network", "clock", "names"):
            if journal.about.get(key) != about[key]:
                journal.close()
                raise NeurosimFormatError(
                    f"{journal.path}: is of another run, its {key} differs; give the file this run was writing"
                )
        return journal


@final
class SpikeStream(SpikeSink):
    """Spikes of the populations `names` to a SONATA file."""

    kind = "spikes"

    def __init__(self, target: StreamTarget, network: Network, names: Sequence[str], size: int | None = None) -> None:
        self.target = target
        self.network = network
        self.names = list(names)
        self.journal = target.journal(self.kind, self.names, size)

    @property
    def first(self) -> int:
        """Return the step at which the stream began."""
        return int(self.journal.about["first"])

    def add(self, spikes: Mapping[str, GridEvents]) -> None:
        for tag, name in enumerate(self.names):
            steps, units = spikes.get(name, NO_EVENTS)
            if len(steps):
                self.journal.append(tag, len(steps), (steps, units))

    def take(self) -> dict[str, GridEvents]:
        return {}

    def finish(self, duration: float) -> None:
        """Make the file from all spikes so far and end the stream.

        Args:
            duration: s, of the whole run.

        Raises:
            NeurosimWriteError: no space, or the disk refuses. The journal stays, and this may be called again.
        """
        self.journal.close()
        events = dict.fromkeys(self.names, 0)
        for tag, _, length in block_sizes(self.journal.path):
            # The file begins with the number of events, so sizes are summed first, and then the blocks are read.
            events[self.names[tag]] += length // 8  # a step and a unit of 4 bytes each
        populations = {name: self.network.population(name) for name in self.names}
        extents = {name: Extent(events[name], p.size, duration, p.shape) for name, p in populations.items()}

        def fill(put: PutSpikes) -> None:
            for name, events in self.read():
                put(name, events.steps * self.target.clock, events.units)

        write_sonata_pieces(self.target.path, extents, fill)
        self.journal.path.unlink(missing_ok=True)

    def read(self) -> Iterator[tuple[str, GridEvents]]:
        """Yield the population and the spikes of every piece so far."""
        for tag, _, data, _ in read_blocks(self.journal.path):
            yield self.names[tag], GridEvents(*data.view(np.int32).reshape(2, -1))


@final
class StateStream(StateSink):
    """Samples of probes to an HDF5 file."""

    kind = "states"

    def __init__(self, target: StreamTarget, probes: Sequence[BoundProbe], size: int | None = None) -> None:
        self.target = target
        self.probes = probes
        self.names = [probe.name for probe in probes]
        self.journal = target.journal(self.kind, self.names, size)

    def add(self, samples: Sequence[tuple[int, NDArray[Any]]]) -> None:
        for tag, (first, values) in enumerate(samples):
            if len(values):
                self.journal.append(tag, first, (values,))

    def take(self) -> dict[str, NDArray[Any]]:
        return {}

    def finish(self, duration: float) -> None:
        """Make the file from all samples so far and end the stream.

        Raises:
            NeurosimWriteError: as `SpikeStream.finish`.
        """
        self.journal.close()
        counts = dict.fromkeys(self.names, 0)
        for tag, _, length in block_sizes(self.journal.path):
            probe = self.probes[tag]
            counts[self.names[tag]] += length // max(probe.units.size * probe.real.itemsize, 1)
        states = {probe.name: self._describe(probe) for probe in self.probes}

        def fill(put: Any) -> None:
            for tag, samples in self.read():
                put(self.names[tag], samples)

        write_sample_pieces(self.target.path, states, counts, fill)
        self.journal.path.unlink(missing_ok=True)

    def read(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the number of the probe and the samples of every piece so far."""
        for tag, _, data, _ in read_blocks(self.journal.path):
            probe = self.probes[tag]
            yield tag, data.view(probe.real).reshape(-1, probe.units.size)

    def _describe(self, probe: BoundProbe) -> StateSamples:
        interval = probe.interval * self.target.clock
        return StateSamples(
            population=probe.probe.population,
            variable=probe.probe.variable,
            units=probe.units.astype(np.int64),
            start=probe.samples_before(self.journal.about["first"]) * interval,
            interval=interval,
            values=np.empty((0, probe.units.size), probe.real),
        )


@final
class Elsewhere(SpikeSink, StateSink):
    """Spikes or samples that another process writes."""

    def add(self, values: object) -> None:
        pass

    def take(self) -> dict[str, Any]:
        return {}
