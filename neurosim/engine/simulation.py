"""A network that runs in pieces, and can be saved between any two."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ..base.collection import without_collection
from ..base.errors import (
    NeurosimInputError,
    NeurosimOverflowError,
    NeurosimWriteError,
    Uncopied,
    escaped,
    require,
)
from ..data.files.state import saved_values
from ..data.spikes import GRID_SLACK, Spikes
from ..network.network import Network
from ..network.plasticity.structural import StructuralRule
from . import checkpoint
from .builder import RunnerBuilder
from .changes import Changes, Setting, change_network, check_settings, neuron_of, rewire_projection, split_states
from .connections import Connections, connections
from .grid.joined import join_state
from .grid.outputs import SimulationOutputs
from .grid.runner import Runner, WorkCounters
from .grid.sinks import SpikeSink, StateSink
from .grid.sources import InMemorySource
from .grid.streams import FilePath, StreamTarget
from .grid.work import count_work
from .identity import describe, digest
from .inputs import MAX_STEPS, check_duration, match_sources, steps_of
from .interrupts import deferred_interrupts
from .played import Played, source_of
from .prepared import check_arguments, check_units
from .probe import Probe
from .processes import processes_of
from .progress import ProgressReporter, Status
from .result import Progress, Result, named_spikes

log = logging.getLogger(__name__)


@final
class Simulation(Uncopied):
    """A prepared network and its state at one moment.

    Pieces join without a seam: two runs of 1 s give the spikes of one run of 2 s, bit for bit, and so do a run, `save`,
    `load` in another process on another number of threads, and a run. `copy` and `deepcopy` are `branch`; pickling is
    refused.

    Args:
        network: the network to run.
        inputs: recordings of its spike sources: `Spikes` for the one source, or a mapping by the names of the sources.
            Instead of a recording, an iterable of `Spikes`, each following the one before, is played as far as the run
            comes: a recording of any length, or one that is still being made. So is the path of a SONATA
            file, or the result of `data.read_windows`. Silence follows the end.
        clock: s, the step.
        seed, trial, threads, precision, record, probes, count_updates: as for `simulate`.
        spikes_to: a SONATA file for the spikes, which are then in no result. During the run they are in
            `<spikes_to>.part`; `close`, or leaving a `with` block, makes the file.
        states_to: the same for the samples of the probes: a file for `data.files.samples.read_samples`.
        comm: as for `simulate`. All processes call every method; process 0 writes the files.

    Raises:
        NeurosimInputError: an argument that breaks its rule, named with the rule and the value.
        NeurosimWriteError: the disk refuses.
    """

    COPY = "use branch, or save and then load in the other process"

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
        spikes_to: FilePath | None = None,
        states_to: FilePath | None = None,
        comm: Any = None,
    ) -> None:
        started = time.perf_counter()
        check_arguments(network, clock, seed, trial, probes)
        if clock is None:
            raise NeurosimInputError("Simulation.clock: must be > 0 s (got None); simulate runs it whole, unsaved")
        self.network = network
        self.clock = float(clock)
        self.seed = int(seed)
        self.trial = int(trial)
        self.precision = precision
        self.probes = tuple(probes)
        self.count_updates = bool(count_updates)
        played = match_sources(network, inputs).items()
        self._sources = {p: source_of(network.populations[p], item, clock) for p, item in played}
        self._processes = processes_of(comm)
        self._builder = RunnerBuilder(
            clock=self.clock,
            seed=self.seed,
            precision=precision,
            record=record,
            probes=self.probes,
            count_updates=self.count_updates,
            threads=self._processes.threads(threads),
            processes=self._processes,
        )
        self._original = network
        self._changes = Changes()
        self._prepared = self._builder.prepare(network, self._changes)
        self.recorded = self._prepared.recorded
        self._runner = self._new_runner()
        # Compiles before the clock of a first run starts.
        self._runner.warm_up()
        self._runner.begin(self._sources, self.trial)
        self._outputs = SimulationOutputs(self.recorded, self._prepared.probes)
        self._open_files(spikes_to, states_to, {})
        # Counters, step and time at the end of the last result; s that the steps reach beyond the durations of `run`.
        self._counters = self._runner.counters()
        self._result_step = 0
        self._end = 0.0
        self._ahead = 0.0
        self._status = Status.RUNNING
        self._cause = ""
        self.build_s = time.perf_counter() - started
        log.info("built %s in %.2f s", network, self.build_s)

    def __repr__(self) -> str:
        return f"Simulation({self.network!r} at {self.time:.6g} s, which {self._status.value})"

    @property
    def time(self) -> float:
        """Return the biological time that was run, s."""
        return self.step * self.clock

    @property
    def step(self) -> int:
        """Return the number of steps that were run."""
        return self._runner.step

    @property
    def spike_count(self) -> int:
        """Return the number of spikes of the recorded populations since time 0."""
        return self._runner.spike_count()

    @property
    def weights(self) -> Mapping[str, NDArray[Any]]:
        """Return by name of each projection with a learning rule [synapses] present weights, by source, then target.

        They are copies, which cannot be written to; `connections` has the units that they connect.
        """
        return MappingProxyType(self._runner.workspace.plastic.weights(writeable=False))

    def connections(self, projection: str) -> Connections:
        """Return the synapses of a projection, given by its name: units, delays and present weights.

        Raises:
            NeurosimInputError: no such projection.
        """
        present = self.weights.get(projection)
        return connections(self.network, projection, clock=self.clock, seed=self.seed, weights=present)

    def set(self, name: str, values: Mapping[str, float | NDArray[Any]]) -> None:
        """Change a population, projection or stimulus between two runs: `set("cells", {"tau_mem": 0.03})`.

        Counters, random streams and all state that is not set stay. A spike on its way arrives with the new weight if
        all delays of its projection are one, and are not set; else with the weight and after the delay of its time.
        `save` keeps the changes, and `load` takes the network that the simulation was made from.

        Args:
            name: of the population, projection or stimulus.
            values: numbers or arrays by parameter: of the neuron or source of a population; by state variable of the
                neuron, a number or [units]; `weight` of a projection, in the pattern's order or, if it learns, in the
                order of `weights`; its `delay`, if its synapses neither learn nor transmit by chance; of a stimulus all
                but its target and name.

        Raises:
            NeurosimInputError: an unknown name or parameter, or a value that breaks its rule.
        """
        self._check_running("set")
        require(isinstance(values, Mapping), "Simulation.set.values", "must be values by parameter", f"{values!r:.60}")
        projection = {str(p.name): p for p in self.network.projections}.get(name)
        if projection is not None:
            check_settings(projection, values)
            if projection.learns:
                self._runner.workspace.plastic.set_weights(projection, values.get("weight", projection.weight))
                return
        states, values = split_states(self.network, name, values)
        if states:
            self._set_state(name, states)
            if not values:
                return
        network = change_network(self.network, name, values)
        check_units(network, self.clock, name)
        self._become(network, self._changes.set(self._prepared.compiled, name, values, self.step), {})

    def state(self, population: str) -> dict[str, NDArray[Any]]:
        """Return [units] the present value of each state variable of a population of neurons, copied.

        Raises:
            NeurosimInputError: no such population, or one that is not of neurons.
        """
        self._check_running("state")
        neuron = neuron_of(self.network, population, "Simulation.state")
        return dict(zip(neuron.state, self._membrane(population), strict=True))

    def rewire(self, projection: str, rule: StructuralRule) -> Connections:
        """Remove and make synapses of a projection between two runs, by a rule such as `network.PruneAndRegrow`.

        Synapses that stay keep weights and traces; a spike on its way through fixed synapses arrives as it was sent.
        New synapses have the delays of present ones, or of the rule; where none is left, that of the projection.
        Random numbers are keyed by seed, projection and step. `save` includes the change. Returns the present synapses.

        Raises:
            NeurosimInputError: no such projection, a probe of it, delays that differ where it learns or transmits by
                chance, or an impossible result of the rule.
        """
        self._check_running("rewire")
        compiled = self._prepared.compiled
        present = self.connections(projection)
        values, moved = rewire_projection(compiled, present, projection, rule, self.step, self.probes)
        changes = self._changes.set(compiled, projection, values, self.step)
        self._become(change_network(self.network, projection, values), changes, {projection: moved})
        return self.connections(projection)

    def silence(self, population: str, units: Sequence[int] | NDArray[Any]) -> None:
        """Drop the spikes of these units of a population, and of no others of it, from the next step on.

        A silenced neuron integrates, and is reset when it fires, but its spikes reach nobody and are in no result.
        Spikes on their way arrive. Nothing is built anew. `save`, `branch` and `with_trial` keep the selection.

        Args:
            population: name of a population of neurons.
            units: [n] their numbers; none ends the silence.

        Raises:
            NeurosimInputError: an unknown population, one that is not of neurons, or units that it does not have.
        """
        self._check_running("silence")
        self._changes = self._changes.silence(self.network, population, units)
        chosen = self._changes.silent.get(population, np.empty(0, np.int64))
        self._runner.workspace.silence(self.network.numbers[population], chosen)

    @property
    def learned(self) -> dict[str, dict[str, NDArray[Any]]]:
        """Return what another network can start from, see `Network.with_learned`.

        By name: the state of each windowed population, and "weights" of each projection that keeps them.
        """
        return self._runner.learned()

    def run(
        self, duration: float, *, progress: Callable[[Progress], object] | None = None
    ) -> Result[Spikes, NDArray[Any]]:
        """Continue for `duration` seconds, rounded up to full steps; pieces of a step add up before they are rounded.

        After an interrupt (Ctrl-C, or another signal that the program handles in Python) the simulation is at the end
        of a step and can be saved or continued; the next result also contains the spikes from before the interrupt.

        Args:
            duration: s of biological time.
            progress: called from this thread from time to time.

        Returns:
            This piece; its times count from the start of the simulation.

        Raises:
            NeurosimInputError: a duration that is negative or not finite, or an input that breaks its rule.
            NeurosimOverflowError: a state is no longer finite: names population, unit and variable, and the times
                between which it happened. Steps after that are not run; continue from the last `save`.
            NeurosimWriteError: the disk of a stream refuses; continue from the last `save`.
            KeyboardInterrupt: between two steps.
        """
        self._check_running("run")
        check_duration(duration)
        first = self.step
        begin = self.time - self._ahead
        # The piece before was rounded up: its last step has run a part of this duration.
        ahead = min(self._ahead, max(duration, 0.0))
        last = first + steps_of(duration - ahead, self.clock)
        require(last <= MAX_STEPS, "run.duration", f"must end before {MAX_STEPS} steps of {self.clock:g} s", duration)
        started = time.perf_counter()
        report = ProgressReporter(progress, float(duration), started)
        with self._processes.together(), deferred_interrupts(self._processes.any) as deliver:

            def on_piece(steps: int, spikes: int) -> None:
                deliver()
                report(steps * self.clock, spikes)

            try:
                self._runner.run_until(last, self._outputs.spikes, self._outputs.states, on_piece)
            except NeurosimWriteError as error:
                self._status = Status.LOST
                self._cause = f" ({error})"
                raise
            except NeurosimOverflowError as error:
                self._status = Status.OVERFLOWED
                self._cause = f" ({error})"
                raise
        # Beyond the slack of a rounded number the steps are ahead of the durations; below it they agree.
        ahead = self.time - begin - duration
        if ahead > GRID_SLACK * self.clock:
            self._ahead = ahead
        else:
            self._ahead = 0.0
        run_s = time.perf_counter() - started
        log.debug("ran from %.6g s to %.6g s in %.3g s", begin, self.time, run_s)
        with without_collection():
            return self._result(first, begin, float(duration), run_s)

    def save(self, path: FilePath) -> None:
        """Replace `path`, in one step, by a file from which a run in another process continues, bit for bit.

        It holds state, input on its way, plastic weights, counters, clock, seed, trial, precision, probes and a
        description of the network; neither the network itself nor its inputs, which are given again to `load`. Spikes
        and samples that are not in a result yet are not saved; those in a stream are safely on the disk when this
        returns.

        Raises:
            NeurosimInputError: the simulation was closed, or a stream of it failed.
            NeurosimWriteError: the disk refuses; the file that was there before is unchanged.
        """
        self._check_running("save")
        names = checkpoint.Arguments.__dataclass_fields__.keys() - {"record"}
        arguments = checkpoint.Arguments(record=self.recorded, **{name: getattr(self, name) for name in names})
        streams = self._outputs.sync()
        arrays = self._runner.arrays()
        saved = checkpoint.SavedSimulation(arguments, arrays, self.step, streams, changes=self._changes)
        with self._processes.one_writes() as writes:
            if writes:
                checkpoint.write(path, self._original, saved)
                log.info("saved the simulation at %.6g s in %s", self.time, escaped(str(path)))

    def branch(self) -> Simulation:
        """Return an independent simulation at the same moment, which has the same future, bit for bit.

        Recordings of inputs and the compiled network are shared, since running changes neither. The branch keeps its
        spikes and samples in memory from here on, whether or not this simulation writes them to files.

        Raises:
            NeurosimInputError: the simulation was closed, or it plays an input that can be read only once.
        """
        self._check_running("branch")
        self._check_repeatable("branch")
        # All that never changes is shared; runner and outputs are the branch's own.
        other = object.__new__(Simulation)
        vars(other).update(vars(self))
        other._runner = self._new_runner()
        other._runner.begin(self._sources, self.trial)
        other._runner.resume_from(self._runner)
        other._outputs = self._outputs.branched()
        return other

    def with_trial(self, trial: int) -> Simulation:
        """Return an independent simulation of the present network at time 0, with the random input of another trial.

        The compiled network is shared, so that this takes no build; silenced units stay so. State and weights that
        learn begin anew, also where they were set. Its spikes and samples are in memory.

        Raises:
            NeurosimInputError: the simulation was closed or changed, or it plays an input that can be read only once.
        """
        self._check_running("with_trial")
        check_arguments(self.network, self.clock, self.seed, trial, self.probes)
        changed = bool(self._changes.values)
        require(not changed, "Simulation.with_trial", "must come before changes by set or rewire", "a changed network")
        self._check_repeatable("with_trial")
        # What is compiled is shared; all that a run changes is made anew below.
        other = object.__new__(Simulation)
        vars(other).update(vars(self))
        other.trial = int(trial)
        other._runner = self._new_runner()
        other._runner.begin(self._sources, other.trial)
        other._outputs = SimulationOutputs(self.recorded, self._prepared.probes)
        other._counters = other._runner.counters()
        other._result_step = 0
        other._end = 0.0
        other._ahead = 0.0
        return other

    def __copy__(self) -> Simulation:
        return self.branch()

    def __deepcopy__(self, memo: dict[int, object]) -> Simulation:
        return self.branch()

    def result(self, run_s: float = 0.0) -> Result[Spikes, NDArray[Any]]:
        """Return everything since time 0 as one result, in memory: spikes and samples are read back from the streams.

        It has no readings; those are in the results of `run`.

        Args:
            run_s: wall-clock seconds it took, for the result.

        Raises:
            NeurosimInputError: spikes or samples do not go to a file, or have not from the start on.
        """
        spikes, states = self._outputs.read_back()
        return self._as_result(spikes, states, self._runner.counters(), self.step, run_s)

    def close(self, *, finish: bool = True) -> None:
        """End the simulation and make the files of its streams. May be called twice.

        Args:
            finish: make the files; False leaves the streams as they are, in `.part` files, which `load` can continue.

        Raises:
            NeurosimWriteError: no space, or the disk refuses; nothing is lost, and this may be called again.
        """
        if not finish:
            self._status = Status.CLOSED
            self._outputs.leave()
        elif self._status is not Status.LOST:
            self._status = Status.CLOSED
            with self._processes.one_writes():
                self._outputs.finish(self._end)

    def __enter__(self) -> Simulation:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        # After a failure the streams stay as they are: `load` can continue them.
        if kind is None:
            self.close()

    @classmethod
    def load(
        cls,
        path: FilePath,
        network: Network,
        inputs: Played | Mapping[str, Played] | None = None,
        *,
        threads: int | None = None,
        spikes_to: FilePath | None = None,
        states_to: FilePath | None = None,
        comm: Any = None,
    ) -> Simulation:
        """Return the simulation that `save` wrote.

        Args:
            network: the network it was saved from, its parts in any order.
            inputs: recordings of the sources, from their start; events before the saved moment are
                skipped. Later events may differ from the events of the saved run.
            threads, comm: as for `simulate`; the saved run may have had others.
            spikes_to, states_to: as for `Simulation`. The streams of the saved run are continued there: records that
                were added after the save are cut off. None: in memory from here on.

        Raises:
            NeurosimMissingError: no such file, or a stream that is not there any more.
            NeurosimFormatError: cut short, damaged, of a later version, or of another network: says where they differ.
        """
        saved = checkpoint.read(Path(path), network)
        # Prepared as the saved run was, then changed as it was, then set to its state.
        simulation = cls(network, inputs, threads=threads, comm=comm, **vars(saved.arguments))
        if saved.changes.values:
            simulation._become(saved.changes.apply(network), saved.changes)
        else:
            for name, units in saved.changes.silent.items():
                simulation.silence(name, units)
        checkpoint.check_arrays(Path(path), saved, simulation._runner.arrays())
        with saved_values(path):
            simulation._runner.resume(saved.arrays, saved.step)
        simulation._counters = simulation._runner.counters()
        simulation._result_step = saved.step
        simulation._end = simulation.time
        simulation._open_files(spikes_to, states_to, saved.streams)
        return simulation

    def _open_files(self, spikes_to: FilePath | None, states_to: FilePath | None, sizes: Mapping[str, int]) -> None:
        """Begin or continue files; `sizes` are the bytes that the streams of the saved run had."""
        self._runner.bounded = states_to is not None
        paths = {"spikes": spikes_to, "states": states_to}
        wanted = {kind: Path(path) for kind, path in paths.items() if path is not None}
        if not wanted:
            return
        if not self._processes.root:
            self._outputs.leave_elsewhere(wanted)
            return
        origin = digest(describe(self._original))
        targets = {kind: StreamTarget(path, origin, self.clock, self.step) for kind, path in wanted.items()}
        self._outputs.open(targets, self.network, sizes)

    def _membrane(self, population: str) -> NDArray[Any]:
        """Return [states, units] the present state of a population, of all processes."""
        number = self.network.numbers[population]
        return join_state(self._prepared.compiled, self._processes, number, self._runner.workspace.membrane(number))

    def _set_state(self, population: str, states: Mapping[int, Setting]) -> None:
        """Set rows of the state of a population."""
        number = self.network.numbers[population]
        present = self._runner.workspace.membrane(number)
        for row, value in states.items():
            present[row] = value
        self._runner.workspace.set_membrane(number, present)

    def _become(self, network: Network, changes: Changes, moved: Mapping[str, NDArray[Any]] | None = None) -> None:
        """Go on as a changed network, or (`moved` is None) begin as one; see `transit.carried`."""
        self._prepared = self._builder.prepare(network, changes)
        self.network = network
        self._changes = changes
        runner = self._new_runner()
        if moved is None:
            runner.begin(self._runner.sources, self.trial)
        else:
            runner.take_over(self._runner, moved)
        self._runner = runner

    def _new_runner(self) -> Runner:
        """Return a runner of the prepared network with a state of its own."""
        return self._builder.build(self._prepared, self._changes)

    def _check_repeatable(self, method: str) -> None:
        for number, source in self._sources.items():
            if not isinstance(source, InMemorySource):
                raise NeurosimInputError(
                    f"Simulation.{method}: the input of '{self.network.populations[number].name}' is an iterable or a "
                    "file, which is read once; use save, then load with the input from its start"
                )

    def _check_running(self, method: str) -> None:
        if self._status is not Status.RUNNING:
            why = f"the simulation {self._status.value}{self._cause}; load its last save"
            raise NeurosimInputError(f"Simulation.{method}: {why}")

    def _result(self, first: int, begin: float, duration: float, run_s: float) -> Result[Spikes, NDArray[Any]]:
        counters = self._runner.counters()
        end = begin + duration
        start = self._result_step * self.clock
        piece = counters - self._counters
        steps = self.step - self._result_step
        duration += (first - self._result_step) * self.clock  # spikes from before an interrupt are part of it
        self._counters = counters
        self._result_step = self.step
        self._end = end
        result = self._as_result(self._outputs.spikes, self._outputs.states, piece, steps, run_s)
        return replace(result, duration=duration, readings=self._runner.windows.take_readings(), start=start)

    def _as_result(
        self, spikes: SpikeSink, states: StateSink, counters: WorkCounters, steps: int, run_s: float
    ) -> Result[Spikes, NDArray[Any]]:
        """Return the contents of sinks, up to the present end, as a result."""
        return Result(
            spikes=named_spikes(self.network, spikes.take(), self.clock, self._end),
            states=states.take(),
            work=count_work(self._prepared, [counters], steps, self._runner.windows),
            clock=self.clock,
            duration=self._end,
            build_s=self.build_s,
            run_s=run_s,
            weights=self._runner.workspace.plastic.weights(),
            probes=self.probes,
        )


def run_recording(simulation: Simulation, duration: float, on_progress: Callable[[Progress], object] | None) -> Result:
    """Run a simulation that has not begun through one whole recording of `duration` s, for `simulate`.

    Raises:
        NeurosimInputError: a windowed population learns from labels or rewards, and there was none.
    """
    result = simulation.run(duration, progress=on_progress)
    end_recording(simulation)
    return replace(result, learned=simulation.learned)


def end_recording(simulation: Simulation) -> None:
    """End the one recording of a simulation that was run to its end.

    Raises:
        NeurosimInputError: a windowed population learns from labels or rewards, and there was none.
    """
    simulation._runner.windows.end("simulate.inputs: the recording")
