"""A network that runs in pieces, and can be put on disk between any two."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias, final

import numpy as np

from ..errors import NeurosimInputError, NeurosimWriteError, lookup, require
from ..files.windows import read_windows
from ..network import Network, SpikeSource
from ..neurons import Neuron
from ..spikes import GRID_SLACK, Spikes
from . import checkpoint
from .compile.network import compile_network
from .former import current_arrays
from .grid.probes import bind_probes
from .grid.runner import Runner, work
from .grid.sinks import (
    SpikeMemory,
    SpikeSink,
    StateMemory,
    StateSink,
)
from .grid.sources import (
    MAX_STEPS,
    EventSource,
    InMemorySource,
    StreamedSource,
)
from .grid.streams import (
    SpikeStream,
    StateStream,
    StreamTarget,
    sizes,
)
from .identity import describe, digest
from .interrupts import deferred_sigint
from .result import Probe, Progress, Result

PRECISIONS: dict[str, np.dtype] = {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}
Played: TypeAlias = "Spikes | Iterable[Spikes] | str | os.PathLike[str]"


@final
class Simulation:
    """A network made ready to run, and where it stands.

    Pieces join without a seam: two runs of 1 s give the spikes of one run of 2 s, bit for bit, and so do a run, `save`,
    `load` in another process on another number of threads, and a run.

    Args:
        network: what runs.
        inputs: what its spike sources play: a recording (`Spikes`) for the one source, or a mapping by the names of the
            sources. Instead of a recording, an iterable of `Spikes`, each following the one before, is played as far
            as the run comes: a recording of any length, or one that is still being made. So is the path of a SONATA
            file, or what `files.read_windows` makes of it. Silence follows the end.
        clock: s, the step.
        seed, trial, threads, precision, record, probes, count_updates: as `simulate`.
        spikes_to: a SONATA file for the spikes, which are then in no result. While the run lasts they are in
            `<spikes_to>.part`; `close`, or leaving a `with` block, makes the file.
        states_to: the same for the samples of the probes: a file for `files.read_states`.

    Raises:
        NeurosimInputError: an argument that breaks its rule, named with the rule and the value.
        NeurosimWriteError: the disk refuses.
    """

    def __init__(
        self,
        network: Network,
        inputs: Played | Mapping[str, Played] | None = None,
        *,
        clock: float | None = 1e-3,
        seed: int = 0,
        trial: int = 0,
        threads: int | None = None,
        precision: str = "float32",
        record: Sequence[str] | None = None,
        probes: Sequence[Probe] = (),
        count_updates: bool = False,
        spikes_to: str | os.PathLike[str] | None = None,
        states_to: str | os.PathLike[str] | None = None,
    ) -> None:
        started = time.perf_counter()
        check_numbers(clock, seed, trial)
        if clock is None:
            raise NeurosimInputError("Simulation.clock: must be > 0 s (got None); simulate(clock=None) runs as a whole")
        self.network, self.clock, self.seed, self.trial = network, float(clock), int(seed), int(trial)
        self.precision, self.probes, self.count_updates = precision, tuple(probes), bool(count_updates)
        sources = _sources(network, inputs, self.clock)
        self.recorded = recorded(network, record)
        real, workers = lookup(PRECISIONS, precision, "simulate.precision"), cores(threads)
        self.plan = compile_network(network, self.clock, self.seed, real, workers)
        self._samplers = bind_probes(self.plan, self.probes)
        self._player = self.player(workers)
        self._player.warm_up()
        self._player.begin(sources, self.trial)
        self._spikes: SpikeSink = SpikeMemory(self.recorded)
        self._states: StateSink = StateMemory(self._samplers)
        self._streams: dict[str, SpikeStream | StateStream] = {}
        self._stream(spikes_to, states_to, {})
        self._counted, self._handed, self._end = self._player.count(), 0, 0.0
        self._over = ""
        self.build_s = time.perf_counter() - started

    @property
    def time(self) -> float:
        """s of biological time that have been run."""
        return self._player.step * self.clock

    @property
    def found(self) -> int:
        """Spikes of the recorded populations since time 0."""
        numbers = [p for p, population in enumerate(self.network.populations) if population.name in self.recorded]
        return sum(int(self._player.workspace.tallies[p].sum()) for p in numbers)

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """By name of the projections that learn: [synapses] weights as they stand, by source, then target.

        Read between two runs, they show how learning went on.
        """
        return self._player.workspace.learning.weights()

    def run(self, duration: float, *, progress: Callable[[Progress], None] | None = None) -> Result:
        """Go on for `duration` seconds, rounded up to whole steps.

        After an interrupt (Ctrl-C) the simulation stands at a whole step and can be saved or go on; the next result
        also holds what was found before the interrupt.

        Args:
            duration: s of biological time.
            progress: called from this thread now and then.

        Returns:
            This piece: `build_s` is that of the simulation, `run_s` and `duration` those of the piece; times count from
            the start of the simulation.

        Raises:
            NeurosimInputError: a duration that is negative or not finite, or an input that breaks its rule.
            NeurosimWriteError: a stream's disk refuses; go on from the last `save`.
            KeyboardInterrupt: between two steps.
        """
        self._check_going("run")
        steps = steps_of(duration, self.clock)
        first = self._player.step
        last = first + steps
        require(last <= MAX_STEPS, "run.duration", f"must end before {MAX_STEPS} steps of {self.clock:g} s", duration)
        started = time.perf_counter()
        reporter = Reporter(progress, float(duration), started)
        with deferred_sigint() as let_through:

            def report(done: int, spikes: int) -> None:
                reporter(done * self.clock, spikes)
                let_through()

            try:
                self._player.play(last, self._spikes, self._states, report)
            except NeurosimWriteError as error:
                self._over = f"has lost what a file did not take ({error})"
                raise
        return self._result(first, float(duration), time.perf_counter() - started)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Replace `path`, in one step, by all that a run in another process needs to go on from here, bit for bit.

        State, input on its way, plastic weights, counters, clock, seed, trial, precision, probes and a description of
        the network; neither the network itself nor its inputs, which are given again to `load`. Spikes and samples that
        no result has handed out yet are not part of it; those in a stream are safely on the disk when this returns.

        Raises:
            NeurosimInputError: the simulation was closed, or a stream of it failed.
            NeurosimWriteError: the disk refuses; what was there before is unchanged.
        """
        self._check_going("save")
        checkpoint.write(path, self, sizes(self._streams))

    def whole(self, run_s: float = 0.0) -> Result:
        """All since time 0 as one result, in memory: spikes and samples read back from the streams.

        run_s: wall-clock seconds it took, for the result.

        Raises:
            NeurosimInputError: spikes or samples do not go to a file, or have not from the start on.
        """
        spikes, states = self._spikes, self._states
        if not (isinstance(spikes, SpikeStream) and (isinstance(states, StateStream) or not self._samplers)):
            raise NeurosimInputError(
                "Simulation.whole: needs spikes_to, and states_to for probes; results hold them now"
            )
        require(spikes.first == 0, "Simulation.whole", "needs spikes from step 0 on", spikes.first)
        memory, samples = SpikeMemory(self.recorded), StateMemory(self._samplers)
        for name, steps, units in spikes.read():
            memory.pieces[name].append((steps, units))
        if isinstance(states, StateStream):
            for number, piece in states.read():
                samples.pieces[number].append(piece)
        found = {name: self._spikes_of(name, self._end, *pair) for name, pair in memory.take().items()}
        layers = work(self.plan, [self._player.count()], self.step, self.count_updates)
        return Result(found, samples.take(), layers, self.clock, self._end, self.build_s, run_s, self.weights)

    def release(self) -> None:
        """End the simulation and leave its streams as they are, for `load` or for nobody."""
        self._over = "was closed"
        for stream in self._streams.values():
            stream.journal.close()
        self._streams = {}

    def close(self) -> None:
        """End the simulation: makes the files of its streams. May be called twice.

        Raises:
            NeurosimWriteError: no space, or the disk refuses; nothing is lost, and this may be called again.
        """
        if not self._over.startswith("has lost"):
            self._over = "was closed"
            for stream in list(self._streams.values()):
                stream.finish(self._end)
                del self._streams[stream.kind]

    def __enter__(self) -> Simulation:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        # After a failure the streams stay as they are, for `load` to go on with.
        if kind is None:
            self.close()

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        network: Network,
        inputs: Played | Mapping[str, Played] | None = None,
        *,
        threads: int | None = None,
        spikes_to: str | os.PathLike[str] | None = None,
        states_to: str | os.PathLike[str] | None = None,
    ) -> Simulation:
        """The simulation that `save` wrote.

        Args:
            network: the network it was saved from, its parts in any order.
            inputs: what the sources play, from the start of the recordings; what lies before the saved moment is
                skipped. They may go on otherwise than those of the saved run.
            threads: as `simulate`.
            spikes_to, states_to: as in `Simulation`. What the saved run was writing there is gone on with: what was
                added after the save, by a run that was killed since, is cut off. None: in memory from here on.

        Raises:
            NeurosimMissingError: no such file, or a stream that is not there any more.
            NeurosimFormatError: cut short, damaged, of a later version, or of another network: says where they differ.
        """
        saved = checkpoint.read(Path(path), network)
        simulation = cls(network, inputs, threads=threads, **saved.arguments)
        if saved.former:
            arrays = current_arrays(saved.arrays, saved.former, simulation._player.workspace)
            saved = replace(saved, arrays=arrays)
        checkpoint.check_arrays(Path(path), saved, simulation.workspace_arrays())
        simulation._player.resume(saved.arrays, saved.step)
        simulation._counted, simulation._handed = simulation._player.count(), saved.step
        simulation._end = simulation.time
        simulation._stream(spikes_to, states_to, saved.streams)
        return simulation

    def player(self, threads: int) -> Runner:
        """A player of the same network."""
        return Runner(self.plan, self.recorded, self._samplers, self.count_updates, threads)

    def workspace_arrays(self) -> dict[str, np.ndarray]:
        """What changes while the network runs, copied: see `Workspace.arrays`."""
        return self._player.arrays()

    @property
    def step(self) -> int:
        """Steps that have been run."""
        return self._player.step

    def _stream(
        self,
        spikes_to: str | os.PathLike[str] | None,
        states_to: str | os.PathLike[str] | None,
        sizes: Mapping[str, int],
    ) -> None:
        """Begin or go on with streams; `sizes` are those of the saved run's."""
        if spikes_to is None and states_to is None:
            return
        network = digest(describe(self.network))
        if spikes_to is not None:
            place = StreamTarget(Path(spikes_to), network, self.clock, self.step)
            self._spikes = SpikeStream(place, self.network, self.recorded, sizes.get("spikes"))
            self._streams["spikes"] = self._spikes
        if states_to is not None:
            place = StreamTarget(Path(states_to), network, self.clock, self.step)
            self._states = StateStream(place, self._samplers, sizes.get("states"))
            self._streams["states"] = self._states
            self._player.bounded = True

    def _check_going(self, what: str) -> None:
        if self._over:
            raise NeurosimInputError(f"Simulation.{what}: the simulation {self._over}; load its last save")

    def _result(self, first: int, duration: float, run_s: float) -> Result:
        counted, end = self._player.count(), first * self.clock + duration
        piece, steps = counted - self._counted, self.step - self._handed
        # What was found before an interrupt is part of this piece.
        duration += (first - self._handed) * self.clock
        self._counted, self._handed, self._end = counted, self.step, end
        spikes = {name: self._spikes_of(name, end, *found) for name, found in self._spikes.take().items()}
        layers = work(self.plan, [piece], steps, self.count_updates)
        return Result(spikes, self._states.take(), layers, self.clock, duration, self.build_s, run_s, self.weights)

    def _spikes_of(self, name: str, end: float, steps: np.ndarray, units: np.ndarray) -> Spikes:
        population = self.network.population(name)
        return Spikes.unchecked(steps * self.clock, units, population.size, end, population.shape)


class Reporter:
    """Adds up what was done and passes it on. `total` in biological seconds."""

    def __init__(self, progress: Callable[[Progress], None] | None, total: float, started: float) -> None:
        self.progress, self.total, self.started = progress, total, started
        self.done, self.spikes = 0.0, 0

    def __call__(self, done: float, spikes: int) -> None:
        self.done += done
        self.spikes += spikes
        if self.progress is not None:
            self.progress(Progress(self.done, self.total, self.spikes, time.perf_counter() - self.started))


def steps_of(duration: float, clock: float) -> int:
    """Grid steps of `duration` seconds, rounded up.

    Raises:
        NeurosimInputError: negative, not finite, or more steps than can be counted.
    """
    require(math.isfinite(duration) and duration >= 0, "simulate.duration", "must be finite and >= 0 s", duration)
    fits = duration / clock < MAX_STEPS
    require(fits, "simulate.duration", f"must be < {MAX_STEPS} steps of {clock:g} s", duration)
    return max(0, math.ceil(duration / clock - GRID_SLACK))


def check_numbers(clock: float | None, seed: int, trial: int) -> None:
    """Raise unless they are what a simulation can run on."""
    require(clock is None or (math.isfinite(clock) and clock > 0), "simulate.clock", "must be > 0 s", clock)
    require(isinstance(seed, (int, np.integer)), "simulate.seed", "must be whole", seed)
    whole = isinstance(trial, (int, np.integer)) and 0 <= trial < 2**31
    require(whole, "simulate.trial", "must be a whole number from 0 to 2^31 - 1", trial)


def cores(threads: int | None) -> int:
    """How many threads to use; None means one a core."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    require(
        isinstance(threads, (int, np.integer)) and threads > 0, "simulate.threads", "must be whole and > 0", threads
    )
    return int(threads)


def recorded(network: Network, record: Sequence[str] | None) -> tuple[str, ...]:
    """The populations whose spikes to keep: those named, or all of neurons.

    Raises:
        NeurosimInputError: an unknown name, or a source that plays a recording.
    """
    if record is None:
        return tuple(p.name for p in network.populations if isinstance(p.model, Neuron))
    for name in record:
        model = network.population(name, "simulate.record").model
        require(not isinstance(model, SpikeSource), "simulate.record", "must not name a SpikeSource: it plays", name)
    return tuple(dict.fromkeys(record))


def _sources(network: Network, inputs: object, clock: float) -> dict[int, EventSource]:
    numbers = {p.name: n for n, p in enumerate(network.populations) if isinstance(p.model, SpikeSource)}
    if inputs is None:
        named: dict[str, object] = {}
    elif isinstance(inputs, Mapping):
        named = dict(inputs)
    else:
        require(
            len(numbers) == 1, "simulate.inputs", f"must be a mapping by name for sources {sorted(numbers)}", inputs
        )
        named = dict.fromkeys(numbers, inputs)
    for name in numbers:
        if name not in named:
            raise NeurosimInputError(f"simulate.inputs: population '{name}' is a SpikeSource and has no recording")
    for name in named:
        require(name in numbers, "simulate.inputs", f"must name spike sources {sorted(numbers)}", name)
    return {numbers[name]: source(network, name, given, clock) for name, given in named.items()}


def source(network: Network, name: str, given: object, clock: float) -> EventSource:
    """What the spike source `name` plays.

    Raises:
        NeurosimInputError: neither a recording nor windows of one, or one of another size.
    """
    thing, size = f"simulate.inputs[{name!r}]", network.population(name).size
    if isinstance(given, Spikes):
        require(given.size == size, thing, f"must have the population's {size} units", given.size)
        return InMemorySource(given, clock, thing)
    if isinstance(given, (str, os.PathLike)):
        return StreamedSource(read_windows(given), size, clock, thing)
    if isinstance(given, Iterable) and not isinstance(given, (Sequence, Mapping)):
        return StreamedSource(given, size, clock, thing)
    raise NeurosimInputError(
        f"{thing}: must be Spikes, an iterable of them or a SONATA file (got {type(given).__name__})"
    )
