"""Run a network."""

from __future__ import annotations

import math
import os
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimInputError, check, pick
from ..kernels import clocked
from ..network import Network, SpikeSource
from ..neurons import Neuron
from ..spikes import Recordings, Spikes
from .inputs import Drive, Input, read
from .plan import Plan, compile_network
from .result import Probe, Progress, Result
from .work import layers
from .workspace import Workspace

PRECISIONS: dict[str, np.dtype] = {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}
# Wall-clock seconds between two reports of progress, which is also how soon an interrupt is seen.
REPORT_EVERY = 0.1


def simulate(
    network: Network,
    inputs: Input,
    *,
    clock: float = 1e-3,
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
    """Run a network on a grid of steps of `clock` seconds, from its initial state.

    Every recording of a batch starts anew; they run in parallel. The result depends on the arguments above `threads`
    and on nothing else: not on the number of threads, nor on what else is in the batch.

    Args:
        inputs: seconds to run for; or a recording, or a batch of them, for the one spike source; or a mapping by the
            name of the source. A recording is played from its start; step k takes its events in [k clock,
            (k + 1) clock).
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
    _check_numbers(clock, seed, trial)
    drive = read(network, inputs, duration, clock)
    recorded = _recorded(network, record)
    plan = compile_network(network, clock, seed, pick(PRECISIONS, precision, "simulate.precision"))
    workers = min(_threads(threads), max(len(drive), 1))
    workspaces = [Workspace(plan, recorded, count_updates) for _ in range(workers)]
    built = time.perf_counter()
    task = _Task(plan, drive, tuple(probes), trial, _Reporter(progress, float(drive.durations.sum()), built))
    outcomes = list(_run_all(task, workspaces))
    steps = sum(drive.steps(i, clock) for i in range(len(drive)))
    return Result(
        {name: _spikes(plan, drive, name, [outcome.spikes[name] for outcome in outcomes]) for name in recorded},
        {probe.name: _states(drive, [outcome.states[i] for outcome in outcomes]) for i, probe in enumerate(probes)},
        layers(plan, workspaces, steps, count_updates),
        clock,
        float(drive.durations.sum()),
        built - started,
        time.perf_counter() - built,
    )


@dataclass(frozen=True, eq=False)
class _Outcome:
    spikes: dict[str, tuple[NDArray[np.int32], NDArray[np.int32]]]
    states: list[NDArray]


@dataclass(eq=False)
class _Reporter:
    """Adds up what was done and passes it on. `total` in biological seconds."""

    progress: Callable[[Progress], None] | None
    total: float
    started: float
    done: float = 0.0
    spikes: int = 0

    def __call__(self, done: float, spikes: int) -> None:
        self.done += done
        self.spikes += spikes
        if self.progress is not None:
            self.progress(Progress(self.done, self.total, self.spikes, time.perf_counter() - self.started))


@dataclass(frozen=True, eq=False)
class _Task:
    plan: Plan
    drive: Drive
    probes: tuple[Probe, ...]
    trial: int
    report: _Reporter

    def start(self, workspace: Workspace, index: int) -> list[NDArray]:
        """Put a workspace at the start of recording `index`; returns the arrays its probes fill."""
        steps = self.drive.steps(index, self.plan.clock)
        table, outputs, keep = _probe_table(self.plan, self.probes, steps)
        workspace.reset(self.drive.events(index, self.plan.clock), table, keep)
        return outputs


def _run_all(task: _Task, workspaces: list[Workspace]) -> Iterator[_Outcome]:
    """Every recording, in order: several at a time if there are several, else one in pieces of time."""
    if len(task.drive) == 1:
        yield _run_long(task, workspaces[0])
        return
    idle: queue.SimpleQueue[Workspace] = queue.SimpleQueue()
    for workspace in workspaces:
        idle.put(workspace)

    def one(index: int) -> _Outcome:
        workspace = idle.get()
        try:
            states = task.start(workspace, index)
            workspace.advance(task.drive.steps(index, task.plan.clock), task.trial + index)
            return _Outcome(workspace.spikes(), states)
        finally:
            idle.put(workspace)

    pool = ThreadPoolExecutor(len(workspaces))
    try:
        for index, outcome in enumerate(pool.map(one, range(len(task.drive)))):
            task.report(float(task.drive.durations[index]), sum(len(steps) for steps, _ in outcome.spikes.values()))
            yield outcome
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _run_long(task: _Task, workspace: Workspace) -> _Outcome:
    """One recording, in pieces short enough to report progress and to notice an interrupt."""
    states = task.start(workspace, 0)
    steps, piece, before = task.drive.steps(0, task.plan.clock), 16, 0
    while workspace.step < steps:
        began = time.perf_counter()
        piece = min(piece, steps - workspace.step)
        workspace.advance(piece, task.trial)
        task.report(piece * task.plan.clock, workspace.found - before)
        before = workspace.found
        piece = 1 + int(piece * min(4.0, REPORT_EVERY / max(time.perf_counter() - began, 1e-6)))
    return _Outcome(workspace.spikes(), states)


def _check_numbers(clock: float, seed: int, trial: int) -> None:
    check(math.isfinite(clock) and clock > 0, "simulate.clock", "must be > 0 s", clock)
    check(isinstance(seed, (int, np.integer)), "simulate.seed", "must be whole", seed)
    whole = isinstance(trial, (int, np.integer)) and 0 <= trial < 2**31
    check(whole, "simulate.trial", "must be a whole number from 0 to 2^31 - 1", trial)


def _threads(threads: int | None) -> int:
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    check(isinstance(threads, (int, np.integer)) and threads > 0, "simulate.threads", "must be whole and > 0", threads)
    return int(threads)


def _recorded(network: Network, record: Sequence[str] | None) -> tuple[str, ...]:
    if record is None:
        return tuple(p.name for p in network.populations if isinstance(p.model, Neuron))
    for name in record:
        model = network.population(name, "simulate.record").model
        check(not isinstance(model, SpikeSource), "simulate.record", "must not name a SpikeSource: it plays", name)
    return tuple(dict.fromkeys(record))


def _probe_table(
    plan: Plan, probes: Sequence[Probe], steps: int
) -> tuple[NDArray[np.int64], list[NDArray], list[NDArray]]:
    """The run loop's table, the arrays it will fill, and arrays to be kept alive."""
    table, outputs, keep = np.zeros((len(probes), clocked.PROBE_COLUMNS), np.int64), [], []
    for row, probe in zip(table, probes, strict=True):
        thing = f"Probe[{probe.name!r}]"
        population = plan.network.population(probe.population, thing)
        if not isinstance(population.model, Neuron):
            raise NeurosimInputError(f"{thing}: population '{population.name}' is a source and has no state")
        rows = {name: number for number, name in enumerate(population.model.state)}
        units = np.arange(population.size) if probe.units is None else np.asarray(probe.units, np.int64)
        inside = units.ndim == 1 and (units.size == 0 or (units.min() >= 0 and units.max() < population.size))
        check(bool(inside), f"{thing}.units", f"must be a list of units >= 0 and < {population.size}", probe.units)
        interval = round(probe.interval / plan.clock)
        check(interval >= 1, f"{thing}.interval", f"must be at least the clock's {plan.clock:g} s", probe.interval)
        chosen = units.astype(np.int32)
        out = np.empty((-(-steps // interval), units.size), plan.real)
        row[clocked.P_POPULATION] = plan.network.populations.index(population)
        row[clocked.P_ROW] = pick(rows, probe.variable, thing)
        row[clocked.P_INTERVAL], row[clocked.P_COUNT] = interval, units.size
        row[clocked.P_UNITS], row[clocked.P_OUT] = chosen.ctypes.data, out.ctypes.data
        outputs.append(out)
        keep.append(chosen)
    return table, outputs, keep


def _spikes(
    plan: Plan, drive: Drive, name: str, found: list[tuple[NDArray[np.int32], NDArray[np.int32]]]
) -> Spikes | Recordings:
    population = plan.network.population(name)
    if drive.batch is None:
        steps, units = found[0]
        times = steps.astype(np.float64) * plan.clock
        return Spikes.trusted(times, units, population.size, float(drive.durations[0]), population.shape)
    offsets = np.concatenate([[0], np.cumsum([len(steps) for steps, _ in found])]).astype(np.int64)
    ticks, units = (np.concatenate([pair[k] for pair in found] or [np.empty(0, np.int32)]) for k in (0, 1))
    return Recordings(
        ticks,
        units,
        offsets,
        drive.durations,
        population.size,
        population.shape,
        plan.clock,
        drive.batch.labels,
        drive.batch.classes,
        drive.batch.groups,
    )


def _states(drive: Drive, outputs: list[NDArray]) -> NDArray | list[NDArray]:
    return outputs[0] if drive.batch is None else outputs
