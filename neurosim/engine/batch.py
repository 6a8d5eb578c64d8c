"""Run a network from its start to its end: one recording, or a batch side by side."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, cast, overload

from numpy.typing import NDArray

from ..base.errors import NeurosimInputError, NeurosimOverflowError, lookup, require
from ..data.recordings import Recordings
from ..data.spikes import Spikes
from ..network.network import Network
from .compile.network import compile_network
from .grid.probes import bind_probes
from .grid.runner import Runner
from .grid.sinks import SpikeMemory, StateMemory
from .grid.sources import GridEvents, InMemorySource
from .grid.work import count_work
from .grid.workspace import GridWorkspace
from .inputs import Input, RunInputs, read_inputs, steps_of
from .prepared import PRECISIONS, PreparedNetwork, check_arguments, recorded_names
from .probe import Probe
from .progress import ProgressReporter
from .result import Progress, Result, join_recordings
from .simulation import Simulation, run_recording
from .threads import run_recordings, thread_count

if TYPE_CHECKING:
    from typing_extensions import Unpack

log = logging.getLogger(__name__)


class _Options(TypedDict, total=False):
    """Keyword arguments of `simulate`, for its forms below: what comes out has the form of what goes in."""

    clock: float | None
    duration: float | None
    seed: int
    trial: int
    threads: int | None
    precision: str
    record: Sequence[str] | None
    probes: Sequence[Probe]
    count_updates: bool
    progress: Callable[[Progress], object] | None
    comm: Any


@overload
def simulate(
    network: Network, inputs: float | Spikes | Mapping[str, Spikes] | None = None, **options: Unpack[_Options]
) -> Result[Spikes, NDArray[Any]]: ...
@overload
def simulate(
    network: Network, inputs: Recordings | Mapping[str, Recordings], **options: Unpack[_Options]
) -> Result[Recordings, list[NDArray[Any]]]: ...
@overload
def simulate(network: Network, inputs: Input, **options: Unpack[_Options]) -> Result: ...
def simulate(
    network: Network,
    inputs: Input | None = None,
    *,
    clock: float | None = 1e-3,
    duration: float | None = None,
    seed: int = 0,
    trial: int = 0,
    threads: int | None = None,
    precision: str = "float32",
    record: Sequence[str] | None = None,
    probes: Sequence[Probe] = (),
    count_updates: bool = False,
    progress: Callable[[Progress], object] | None = None,
    comm: Any = None,
) -> Result:
    """Run a network from its initial state, on a grid of steps of `clock` seconds or (None) in continuous time.

    Every recording of a batch starts anew, with the network's own weights where a rule changes them; they run in
    parallel. The result depends on the arguments above `threads` alone: not on the number of threads, nor on the other
    recordings of the batch. Windowed populations that learn and projections with `keep` are the exception: what they
    learned passes from one recording to the next, so their batch runs in order, one recording after the other.

    Args:
        inputs: seconds to run for; or a recording, or a batch of them, for the one spike source; or a mapping by the
            name of the source. A recording is played from its start; step k takes its events in [k clock,
            (k + 1) clock). None, for a network without spike sources: `duration` says how long.
        clock: s. None: every spike at its own moment, for models with an exact form (`ExactNeuron`), always in
            float64; the work then counts operations that took place, and has no dense equivalent.
        duration: s to run for, if not each recording's own.
        seed: key of the random synapses, initial values, sources and stimuli of the network.
        trial: selects the random input, the network being the same; recording i of a batch is trial `trial + i`.
        threads: None means one a core; in continuous time each takes recordings of a batch.
        precision: "float32", or "float64" to compare with other simulators.
        record: populations whose spikes to keep; None means all of neurons.
        probes: state variables to keep.
        count_updates: count the membrane entries that change from step to step (a little slower).
        progress: called from this thread from time to time.
        comm: an mpi4py communicator, whose processes share the network: each makes the same call and gets the same
            result (docs/scaling.md). None: this process has all of it.

    Raises:
        NeurosimInputError: an argument that breaks its rule, named with the rule and the value.
        NeurosimOverflowError: a state became NaN or infinite: names population, unit, variable and interval of time.
    """
    started = time.perf_counter()
    check_arguments(network, clock, seed, trial, probes)
    played = read_inputs(network, inputs, duration, clock)
    if comm is not None:
        _check_shared(played, clock)
    if clock is None:
        from .exact.runner import run_exact

        lookup(PRECISIONS, precision, "simulate.precision")
        # Events of a recording are handled in their order, which threads cannot share.
        allowed = threads is None or threads == 1 or played.batch is not None
        rule = "must be 1 or None for one recording in continuous time, whose events are in one order; give a clock"
        require(allowed, "simulate.threads", rule, threads)
        return run_exact(
            network,
            played,
            seed=seed,
            trial=trial,
            threads=thread_count(threads),
            recorded=recorded_names(network, record),
            probes=probes,
            on_progress=progress,
            started=started,
        )
    if played.batch is None:
        # One recording runs as a simulation does that is continued: threads share its blocks.
        simulation = Simulation(
            network,
            {network.populations[p].name: cast(Spikes, item) for p, item in played.by_source.items()},
            clock=clock,
            seed=seed,
            trial=trial,
            threads=threads,
            precision=precision,
            record=record,
            probes=probes,
            count_updates=count_updates,
            comm=comm,
        )
        return run_recording(simulation, float(played.durations[0]), progress)
    # A batch is compiled once, and shared by the runners.
    workers = thread_count(threads)
    recorded = recorded_names(network, record)
    real = lookup(PRECISIONS, precision, "simulate.precision")
    compiled = compile_network(network, clock, seed=int(seed), real=real, threads=workers)
    prepared = PreparedNetwork(compiled, recorded, bind_probes(compiled, probes), count_updates)
    return _Batch(prepared, played, played.batch, trial).run(workers, progress, started)


def _check_shared(played: RunInputs, clock: float | None) -> None:
    """Raise where processes cannot share a run: they share one recording on a grid."""
    if played.batch is not None:
        raise NeurosimInputError("simulate.comm: a batch of recordings runs in one process; leave comm out")
    if clock is None:
        raise NeurosimInputError("simulate.comm: continuous time runs in one process; leave comm out")


@dataclass(frozen=True, eq=False)
class _Outcome:
    """Results of one recording, by name of the population, probe, projection or reading."""

    spikes: Mapping[str, GridEvents]
    states: Mapping[str, NDArray[Any]]
    weights: Mapping[str, NDArray[Any]]
    readings: Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class _Batch:
    """Recordings that each start anew; recording i is trial `trial + i`."""

    prepared: PreparedNetwork
    inputs: RunInputs
    batch: Recordings
    trial: int

    def run(self, threads: int, on_progress: Callable[[Progress], object] | None, started: float) -> Result:
        """Run them on `threads` threads at most; `started` is the moment of the call."""
        # As many runners as recordings that run at a time, each with one thread. What learns takes the recordings one
        # after the other, on one runner.
        compiled = self.prepared.compiled
        keeps = any(each.keep and each.learns for each in compiled.network.projections)
        learns = keeps or any(plan.windowed.learn for plan in compiled.windows)
        if learns:
            count = 1
        else:
            count = max(1, min(threads, len(self.inputs)))
        runners = [self._new_runner() for _ in range(count)]
        # Models that do not learn end as they began: take their state now, before the runners' last recordings.
        learned = {} if learns else runners[0].learned()
        runners[0].warm_up()
        built = time.perf_counter()
        total = float(self.inputs.durations.sum())
        report = ProgressReporter(on_progress, total, built)

        def on_done(index: int, outcome: _Outcome) -> None:
            spikes = sum(len(events.units) for events in outcome.spikes.values())
            report(float(self.inputs.durations[index]), spikes)

        outcomes = run_recordings(runners, self._run_one, len(self.inputs), on_done)
        counters = [runner.counters() for runner in runners]
        steps = sum(map(self._steps, range(len(self.inputs))))
        plastic = runners[0].workspace.plastic.weights()
        if learns:
            learned = runners[0].learned()
        run_s = time.perf_counter() - built
        log.info("ran %d recordings, %.6g s, in %.3g s", len(self.inputs), total, run_s)
        return Result(
            spikes={name: self._join(name, [o.spikes[name] for o in outcomes]) for name in self.prepared.recorded},
            states={probe.name: [o.states[probe.name] for o in outcomes] for probe in self.prepared.probes},
            work=count_work(self.prepared, counters, steps, runners[0].windows),
            clock=compiled.clock,
            duration=total,
            build_s=built - started,
            run_s=run_s,
            weights={name: [o.weights[name] for o in outcomes] for name in plastic},
            readings={name: [o.readings[name] for o in outcomes] for name in runners[0].windows.take_readings()},
            learned=learned,
            probes=tuple(bound.probe for bound in self.prepared.probes),
        )

    def _new_runner(self) -> Runner:
        prepared = self.prepared
        return Runner(prepared, GridWorkspace(prepared.compiled, prepared.logged, prepared.count_updates))

    def _run_one(self, runner: Runner, index: int) -> _Outcome:
        """Run recording `index` from rest; return its spikes, states, weights and readings."""
        spikes = SpikeMemory(self.prepared.recorded)
        states = StateMemory(self.prepared.probes)
        name = f"simulate.inputs: recording {index}"
        clock = self.prepared.compiled.clock
        sources = {p: InMemorySource(item, clock, name) for p, item in self.inputs.recording(index).items()}
        runner.begin(sources, self.trial + index)
        try:
            runner.run_until(self._steps(index), spikes, states)
        except NeurosimOverflowError as error:
            raise NeurosimOverflowError(f"{name}: {error}") from None
        runner.windows.end(name)
        # Weights of projections with `keep` pass to the next recording of this runner.
        runner.workspace.plastic.carry()
        weights = runner.workspace.plastic.weights()
        readings = runner.windows.take_readings()
        return _Outcome(spikes.take(), states.take(), weights, readings)

    def _steps(self, index: int) -> int:
        return steps_of(float(self.inputs.durations[index]), self.prepared.compiled.clock)

    def _join(self, name: str, pieces: list[GridEvents]) -> Recordings:
        compiled = self.prepared.compiled
        population = compiled.network.population(name)
        return join_recordings(population, pieces, self.batch, compiled.clock, self.inputs.durations)
