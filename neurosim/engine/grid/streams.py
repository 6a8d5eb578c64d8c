"""Spikes and samples to a file while a network runs, in as much memory as one piece needs.

While the run lasts they lie in a journal, `<path>.part`, which loses nothing to a kill and can be cut back to where a
checkpoint was made; `finish` makes the file of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ...errors import NeurosimFormatError
from ...files.journal import Journal, block_sizes, read_blocks
from ...files.sonata import Extent, PutSpikes, write_sonata_pieces
from ...files.states import States, write_states_pieces
from ...network import Network
from .probes import BoundProbe
from .sinks import Found, SpikeSink, StateSink


def journal_path(path: Path) -> Path:
    """Where the journal of a stream to `path` lies."""
    return path.with_name(f"{path.name}.part")


@dataclass(frozen=True)
class StreamTarget:
    """Where a stream goes, and what run it is of.

    Attributes:
        path: of the file.
        network: digest of the network's description.
        clock: s, the step.
        first: the step at which the stream began.
    """

    path: Path
    network: str
    clock: float
    first: int

    def journal(self, kind: str, names: Sequence[str], size: int | None) -> Journal:
        """A new journal, or one cut back to `size` bytes.

        Raises:
            NeurosimFormatError: it is that of another run.
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

    def __init__(self, place: StreamTarget, network: Network, names: Sequence[str], size: int | None = None) -> None:
        self.place, self.network, self.names = place, network, list(names)
        self.journal = place.journal("spikes", self.names, size)

    @property
    def first(self) -> int:
        """The step at which it began."""
        return int(self.journal.about["first"])

    def add(self, found: Found) -> None:
        for tag, name in enumerate(self.names):
            steps, units = found[name]
            if len(steps):
                self.journal.append(tag, len(steps), (steps, units))

    def take(self) -> dict[str, tuple[NDArray[np.int32], NDArray[np.int32]]]:
        return {}

    def finish(self, duration: float) -> None:
        """Make the file of all spikes so far; nothing can be added any more.

        duration: s, of the whole run.

        Raises:
            NeurosimWriteError: no space, or the disk refuses. The journal stays, and this may be called again.
        """
        self.journal.close()
        events = dict.fromkeys(self.names, 0)
        for tag, _, length in block_sizes(self.journal.path):
            events[self.names[tag]] += length // 8
        populations = {name: self.network.population(name) for name in self.names}
        extents = {name: Extent(events[name], p.size, duration, p.shape) for name, p in populations.items()}

        def fill(put: PutSpikes) -> None:
            for name, steps, units in self.read():
                put(name, steps * self.place.clock, units)

        write_sonata_pieces(self.place.path, extents, fill)
        self.journal.path.unlink(missing_ok=True)

    def read(self) -> Iterator[tuple[str, NDArray[np.int32], NDArray[np.int32]]]:
        """Population, steps and units of every piece so far."""
        for tag, _, data in read_blocks(self.journal.path):
            steps, units = data.view(np.int32).reshape(2, -1)
            yield self.names[tag], steps, units


@final
class StateStream(StateSink):
    """Samples of probes to an HDF5 file."""

    kind = "states"

    def __init__(self, place: StreamTarget, samplers: Sequence[BoundProbe], size: int | None = None) -> None:
        self.place, self.samplers = place, samplers
        self.names = [sampler.probe.name for sampler in samplers]
        self.journal = place.journal("states", self.names, size)

    def add(self, filled: Sequence[tuple[int, NDArray]]) -> None:
        for tag, (first, samples) in enumerate(filled):
            if len(samples):
                self.journal.append(tag, first, (samples,))

    def take(self) -> dict[str, NDArray]:
        return {}

    def finish(self, duration: float) -> None:
        """Make the file of all samples so far; nothing can be added any more.

        Raises:
            NeurosimWriteError: as `SpikeStream.finish`.
        """
        self.journal.close()
        counts = dict.fromkeys(self.names, 0)
        for tag, _, length in block_sizes(self.journal.path):
            sampler = self.samplers[tag]
            counts[self.names[tag]] += length // max(sampler.units.size * sampler.real.itemsize, 1)
        states = {sampler.probe.name: self._about(sampler) for sampler in self.samplers}

        def fill(put: Any) -> None:
            for tag, samples in self.read():
                put(self.names[tag], samples)

        write_states_pieces(self.place.path, states, counts, fill)
        self.journal.path.unlink(missing_ok=True)

    def read(self) -> Iterator[tuple[int, NDArray]]:
        """Number of the probe and samples of every piece so far."""
        for tag, _, data in read_blocks(self.journal.path):
            sampler = self.samplers[tag]
            yield tag, data.view(sampler.real).reshape(-1, sampler.units.size)

    def _about(self, sampler: BoundProbe) -> States:
        interval = sampler.interval * self.place.clock
        first = sampler.before(self.journal.about["first"])
        return States(
            sampler.probe.population,
            sampler.probe.variable,
            sampler.units.astype(np.int64),
            first * interval,
            interval,
            np.empty((0, sampler.units.size), sampler.real),
        )


def sizes(streams: Mapping[str, SpikeStream | StateStream]) -> dict[str, int]:
    """How many bytes of each stream are safely on the disk."""
    return {kind: stream.journal.sync() for kind, stream in streams.items()}
