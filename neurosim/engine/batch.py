"""Run a network from its start to its end: one recording, or many side by side."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import lookup
from ..network import Network
from ..spikes import Recordings, Spikes
from .grid.runner import Counters, Runner, work
from .grid.sinks import SpikeMemory, StateMemory
from .grid.sources import InMemorySource
from .inputs import Input, RunInputs, read_inputs
from .result import Probe, Progress, Result
from .simulation import (
    PRECISIONS,
    Reporter,
    Simulation,
    check_numbers,
    cores,
    recorded,
    steps_of,
)


def simulate(
    network: Network,
    inputs: Input,
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
    progress: Callable[[Progress], None] | None = None,
) -> Result:
    """Run a network from its initial state, on a grid of steps of `clock` seconds or (None) in continuous time.

    Every recording of a batch starts anew; they run in parallel. The result depends on the arguments above `threads`
    and on nothing else: not on the number of threads, nor on what else is in the batch.

    Args:
        inputs: seconds to run for; or a recording, or a batch of them, for the one spike source; or a mapping by the
            name of the source. A recording is played from its start; step k takes its events in [k clock,
            (k + 1) clock).
        clock: s. None: every spike at its own moment, for models with an exact form (`neurons.ExactNeuron`), always in
            float64; the work then counts what was done, and has no dense equivalent.
        duration: s to run for, if not each recording's own.
        seed: of the network's random synapses, initial values, sources and stimuli.
        trial: picks the random input, the network being the same; recording i of a batch is trial `trial + i`.
        threads: None means one a core.
        precision: "float32", or "float64" to compare with other simulators.
        record: populations whose spikes to keep; None means all of neurons.
        probes: state variables to keep.
        count_updates: count the membrane entries that change from step to step (a little slower).
        progress: called from this thread now and then.

    Raises:
        NeurosimInputError: an argument that breaks its rule, named with the rule and the value.
    """
    started = time.perf_counter()
    check_numbers(clock, seed, trial)
    drive = read_inputs(network, inputs, duration, clock)
    names = recorded(network, record)
    if clock is None:
        from .exact import run_exact

        lookup(PRECISIONS, precision, "simulate.precision")
        return run_exact(network, drive, seed, trial, cores(threads), names, probes, progress, started)
    workers = min(cores(threads), max(len(drive), 1))
    simulation = Simulation(
        network,
        {network.populations[p].name: _first(given) for p, given in drive.given.items()},
        clock=clock,
        seed=seed,
        trial=trial,
        threads=threads,
        precision=precision,
        record=names,
        probes=probes,
        count_updates=count_updates,
    )
    if drive.batch is None:
        return simulation.run(float(drive.durations[0]), progress=progress)
    # Side by side: as many threads as recordings that run at a time.
    players = [simulation.player(1) for _ in range(workers)]
    built = time.perf_counter()
    batch = _Batch(simulation, drive, trial, Reporter(progress, float(drive.durations.sum()), built))
    outcomes = list(batch.run(players))
    return replace(
        batch.result(outcomes, [player.count() for player in players]),
        build_s=built - started,
        run_s=time.perf_counter() - built,
    )


def _first(given: Spikes | Recordings) -> Spikes:
    if isinstance(given, Spikes):
        return given
    return given[0] if len(given) else Spikes([], [], given.size, 0.0)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class _Outcome:
    spikes: dict[str, tuple[NDArray[np.int32], NDArray[np.int32]]]
    states: dict[str, NDArray]
    weights: dict[str, NDArray]


@dataclass(frozen=True, eq=False)
class _Batch:
    """Recordings that each start anew; recording i is trial `trial + i`."""

    simulation: Simulation
    drive: RunInputs
    trial: int
    report: Reporter

    def run(self, players: list[Runner]) -> Iterator[_Outcome]:
        """Every recording, in order."""
        idle: queue.SimpleQueue[Runner] = queue.SimpleQueue()
        for player in players:
            idle.put(player)

        def one(index: int) -> _Outcome:
            player = idle.get()
            try:
                return self.play(player, index)
            finally:
                idle.put(player)

        pool = ThreadPoolExecutor(len(players))
        try:
            for index, outcome in enumerate(pool.map(one, range(len(self.drive)))):
                found = sum(len(steps) for steps, _ in outcome.spikes.values())
                self.report(float(self.drive.durations[index]), found)
                yield outcome
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def play(self, player: Runner, index: int) -> _Outcome:
        clock = self.simulation.clock
        spikes, states = SpikeMemory(self.simulation.recorded), StateMemory(player.samplers)
        given = {p: found[index] for p, found in self.drive.given.items() if isinstance(found, Recordings)}
        thing = f"simulate.inputs: recording {index}"
        player.begin({p: InMemorySource(one, clock, thing) for p, one in given.items()}, self.trial + index)
        player.play(self.steps(index), spikes, states)
        return _Outcome(spikes.take(), states.take(), player.workspace.learning.weights())

    def steps(self, index: int) -> int:
        return steps_of(float(self.drive.durations[index]), self.simulation.clock)

    def result(self, outcomes: Sequence[_Outcome], counts: Sequence[Counters]) -> Result:
        simulation, steps = self.simulation, sum(self.steps(i) for i in range(len(self.drive)))
        return Result(
            {name: self._recordings(name, [o.spikes[name] for o in outcomes]) for name in simulation.recorded},
            {probe.name: [o.states[probe.name] for o in outcomes] for probe in simulation.probes},
            work(simulation.plan, counts, steps, simulation.count_updates),
            simulation.clock,
            float(self.drive.durations.sum()),
            weights={name: [o.weights[name] for o in outcomes] for name in simulation.weights},
        )

    def _recordings(self, name: str, found: Sequence[tuple[NDArray[np.int32], NDArray[np.int32]]]) -> Recordings:
        population, batch = self.simulation.network.population(name), self.drive.batch
        assert batch is not None  # or there would be no batch to run
        offsets = np.concatenate([[0], np.cumsum([len(steps) for steps, _ in found])]).astype(np.int64)
        ticks, units = (np.concatenate([pair[k] for pair in found] or [np.empty(0, np.int32)]) for k in (0, 1))
        return Recordings(
            ticks,
            units,
            offsets,
            self.drive.durations,
            population.size,
            population.shape,
            self.simulation.clock,
            batch.labels,
            batch.classes,
            batch.groups,
        )
