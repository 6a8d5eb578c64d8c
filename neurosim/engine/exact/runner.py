"""Run a network in continuous time."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...errors import NeurosimInputError, lookup, require
from ...kernels.engine.exact import loop as exact
from ...network import Network
from ...neurons import Neuron
from ...spikes import GRID_SLACK, Recordings, Spikes
from ..inputs import RunInputs
from ..result import Probe, Progress, Result
from .inputs import check_delays, events
from .network import ExactNetwork, compile_exact
from .work import layers
from .workspace import Workspace

Found = dict[str, tuple[NDArray[np.float64], NDArray[np.int32]]]


def run_exact(
    network: Network,
    drive: RunInputs,
    seed: int,
    trial: int,
    threads: int,
    recorded: tuple[str, ...],
    probes: Sequence[Probe],
    progress: Callable[[Progress], None] | None,
    started: float,
) -> Result:
    """What `simulate(..., clock=None)` does, its arguments checked; `started` is when it was called.

    Raises:
        NeurosimInputError: a model without an exact form, a delay that is not > 0, a probe or recording that does not
            fit, a neuron that fires for ever at one moment.
    """
    plan = compile_exact(network, seed)
    check_delays(plan, drive)
    workers = max(1, min(threads, len(drive)))
    workspaces = [Workspace(plan, recorded) for _ in range(workers)]
    built = time.perf_counter()
    task = _Task(plan, drive, tuple(probes), trial, _Report(progress, float(drive.durations.sum()), built))
    outcomes = list(_run_all(task, workspaces))
    return Result(
        {name: _spikes(plan, drive, name, [found[name] for found, _ in outcomes]) for name in recorded},
        {probe.name: _states(drive, [states[i] for _, states in outcomes]) for i, probe in enumerate(probes)},
        layers(plan, workspaces),
        None,
        float(drive.durations.sum()),
        built - started,
        time.perf_counter() - built,
    )


@dataclass(eq=False)
class _Report:
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
    plan: ExactNetwork
    drive: RunInputs
    probes: tuple[Probe, ...]
    trial: int
    report: _Report
    # Filled when the run is given up: a piece takes about a tenth of a second, the run may take hours.
    stop: list[bool] = field(default_factory=list)

    def pieces(self, workspace: Workspace, index: int) -> Iterator[list[NDArray]]:
        """Run recording `index`, one piece at each step of the iterator; every item is the arrays its probes fill."""
        duration = float(self.drive.durations[index])
        table, intervals, outputs, keep = _probe_table(self.plan, self.probes, duration)
        workspace.reset(events(self.drive, index), table, intervals, keep, self.trial + index)
        done = False
        while not (done or self.stop):
            done = workspace.advance(duration)
            yield outputs
        workspace.finish()


def _run_all(task: _Task, workspaces: list[Workspace]) -> Iterator[tuple[Found, list[NDArray]]]:
    """Every recording, in order, several at a time."""
    if len(task.drive) == 1:
        yield _run_long(task, workspaces[0])
        return
    idle: queue.SimpleQueue[Workspace] = queue.SimpleQueue()
    for workspace in workspaces:
        idle.put(workspace)

    def one(index: int) -> tuple[Found, list[NDArray]]:
        workspace, states = idle.get(), []
        try:
            for states in task.pieces(workspace, index):  # noqa: B007 - the last of them
                pass
            return workspace.spikes(), states
        finally:
            idle.put(workspace)

    pool = ThreadPoolExecutor(len(workspaces))
    try:
        for index, (found, states) in enumerate(pool.map(one, range(len(task.drive)))):
            task.report(float(task.drive.durations[index]), sum(len(times) for times, _ in found.values()))
            yield found, states
    finally:
        task.stop.append(True)
        pool.shutdown(wait=True, cancel_futures=True)


def _run_long(task: _Task, workspace: Workspace) -> tuple[Found, list[NDArray]]:
    """One recording, in pieces short enough to report progress and to notice an interrupt."""
    states, moment, found = [], 0.0, 0
    for states in task.pieces(workspace, 0):  # noqa: B007 - the last of them
        task.report(workspace.now - moment, workspace.found - found)
        moment, found = workspace.now, workspace.found
    task.report(float(task.drive.durations[0]) - moment, 0)
    return workspace.spikes(), states


def _probe_table(
    plan: ExactNetwork, probes: Sequence[Probe], duration: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], list[NDArray], list[NDArray]]:
    """The run loop's table, its intervals, the arrays it will fill, and arrays to be kept alive."""
    table: NDArray[np.int64] = np.zeros((len(probes), exact.PROBE_COLUMNS), np.int64)
    outputs: list[NDArray] = []
    keep: list[NDArray] = []
    for row, probe in zip(table, probes, strict=True):
        thing = f"Probe[{probe.name!r}]"
        population = plan.network.population(probe.population, thing)
        if not isinstance(population.model, Neuron):
            raise NeurosimInputError(f"{thing}: population '{population.name}' is a source and has no state")
        rows = {name: number for number, name in enumerate(population.model.state)}
        units = np.arange(population.size) if probe.units is None else np.asarray(probe.units, np.int64)
        inside = units.ndim == 1 and (units.size == 0 or (units.min() >= 0 and units.max() < population.size))
        require(bool(inside), f"{thing}.units", f"must be a list of units >= 0 and < {population.size}", probe.units)
        chosen = units.astype(np.int32)
        out = np.empty((max(0, int(np.ceil(duration / probe.interval - GRID_SLACK))), units.size))
        row[exact.P_POPULATION] = plan.network.populations.index(population)
        row[exact.P_ROW], row[exact.P_COUNT] = lookup(rows, probe.variable, thing), units.size
        row[exact.P_UNITS], row[exact.P_OUT] = chosen.ctypes.data, out.ctypes.data
        row[exact.P_SAMPLES] = len(out)
        outputs.append(out)
        keep.append(chosen)
    return table, np.array([probe.interval for probe in probes], np.float64), outputs, [*keep, *outputs]


def _spikes(
    plan: ExactNetwork, drive: RunInputs, name: str, found: list[tuple[NDArray[np.float64], NDArray[np.int32]]]
) -> Spikes | Recordings:
    population = plan.network.population(name)
    if drive.batch is None:
        times, units = found[0]
        return Spikes.unchecked(times, units, population.size, float(drive.durations[0]), population.shape)
    offsets = np.concatenate([[0], np.cumsum([len(times) for times, _ in found])]).astype(np.int64)
    times = np.concatenate([pair[0] for pair in found] or [np.empty(0)])
    units = np.concatenate([pair[1] for pair in found] or [np.empty(0, np.int32)])
    batch = drive.batch
    return Recordings(
        times,
        units,
        offsets,
        drive.durations,
        population.size,
        population.shape,
        1.0,
        batch.labels,
        batch.classes,
        batch.groups,
    )


def _states(drive: RunInputs, outputs: list[NDArray]) -> NDArray | list[NDArray]:
    return outputs[0] if drive.batch is None else outputs
