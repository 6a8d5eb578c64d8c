"""Send the spikes and samples of a simulation to memory, until a result takes them, or to files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import final

from ...base.errors import NeurosimInputError, require
from ...network.network import Network
from .probes import BoundProbe
from .sinks import SpikeMemory, SpikeSink, StateMemory, StateSink
from .sources import GridEvents, join_events
from .streams import Elsewhere, SpikeStream, StateStream, StreamTarget


@final
class SimulationOutputs:
    """The sinks of a simulation, in memory until files are opened.

    Attributes:
        spikes, states: of the spikes of the recorded populations, and of the samples of the probes.
    """

    def __init__(self, recorded: Sequence[str], probes: Sequence[BoundProbe]) -> None:
        self.recorded = tuple(recorded)
        self.probes = tuple(probes)
        self.spikes: SpikeSink = SpikeMemory(recorded)
        self.states: StateSink = StateMemory(probes)
        # By kind, until they are finished.
        self._streams: dict[str, SpikeStream | StateStream] = {}

    def open(self, targets: Mapping[str, StreamTarget], network: Network, sizes: Mapping[str, int]) -> None:
        """Begin or continue files.

        Args:
            targets: the files of "spikes" and "states"; what is not among them stays in memory.
            sizes: bytes that the streams of a saved run had.
        """
        if SpikeStream.kind in targets:
            size = sizes.get(SpikeStream.kind)
            spikes = SpikeStream(targets[SpikeStream.kind], network, self.recorded, size)
            self.spikes = spikes
            self._streams[spikes.kind] = spikes
        if StateStream.kind in targets:
            size = sizes.get(StateStream.kind)
            states = StateStream(targets[StateStream.kind], self.probes, size)
            self.states = states
            self._streams[states.kind] = states

    def leave_elsewhere(self, kinds: Iterable[str]) -> None:
        """Drop what another process writes: "spikes", "states" or both."""
        if SpikeStream.kind in kinds:
            self.spikes = Elsewhere()
        if StateStream.kind in kinds:
            self.states = Elsewhere()

    def branched(self) -> SimulationOutputs:
        """Return outputs in memory, which hold what these have in memory."""
        other = SimulationOutputs(self.recorded, self.probes)
        if isinstance(self.spikes, SpikeMemory):
            other.spikes = self.spikes.copied()
        if isinstance(self.states, StateMemory):
            other.states = self.states.copied()
        return other

    def sync(self) -> dict[str, int]:
        """Write the files to the disk and return the bytes of each that are safely there."""
        return {kind: stream.journal.sync() for kind, stream in self._streams.items()}

    def leave(self) -> None:
        """Leave the files as they are, in `.part` files, which a run can continue."""
        for stream in self._streams.values():
            stream.journal.close()
        self._streams = {}

    def finish(self, duration: float) -> None:
        """Make the files.

        Args:
            duration: s, of the whole run.

        Raises:
            NeurosimWriteError: no space, or the disk refuses; nothing is lost, and this may be called again.
        """
        for stream in list(self._streams.values()):
            stream.finish(duration)
            del self._streams[stream.kind]

    def read_back(self) -> tuple[SpikeSink, StateSink]:
        """Return the spikes and samples of the files in memory; none of those that another process writes.

        Raises:
            NeurosimInputError: spikes or samples do not go to a file, or have not from the start on.
        """
        spikes = self.spikes
        states = self.states
        if isinstance(spikes, Elsewhere):
            return spikes, Elsewhere()
        if not isinstance(spikes, SpikeStream) or (self.probes and not isinstance(states, StateStream)):
            rule = "needs spikes_to, and states_to for probes; results hold them now"
            raise NeurosimInputError(f"Simulation.result: {rule}")
        require(spikes.first == 0, "Simulation.result", "needs spikes from step 0 on", spikes.first)
        pieces: dict[str, list[GridEvents]] = {}
        for name, events in spikes.read():
            pieces.setdefault(name, []).append(events)
        memory = SpikeMemory(spikes.names)
        memory.add({name: join_events(each) for name, each in pieces.items()})
        samples = StateMemory(self.probes)
        if isinstance(states, StateStream):
            for number, piece in states.read():
                samples.pieces[number].append(piece)
        return memory, samples
