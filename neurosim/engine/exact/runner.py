"""Run a network in continuous time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimOverflowError, require
from ...data.recordings import Recordings
from ...data.spikes import GRID_SLACK, Spikes
from ...kernels.engine.exact import columns
from ...network.network import Network
from ..inputs import RunInputs, check_units
from ..probe import Probe, locate
from ..progress import ProgressReporter
from ..result import Progress, Result, join_recordings
from ..threads import run_recordings
from .network import ExactNetwork, check_delays, compile_exact
from .work import layers
from .workspace import ExactEvents, ExactWorkspace

Outcome = tuple[dict[str, ExactEvents], list[NDArray[Any]]]


def run_exact(
    network: Network,
    inputs: RunInputs,
    *,
    seed: int,
    trial: int,
    threads: int,
    recorded: tuple[str, ...],
    probes: Sequence[Probe],
    on_progress: Callable[[Progress], object] | None,
    started: float,
) -> Result:
    """Run `simulate(..., clock=None)`, its arguments checked; `started` is the moment of the call.

    Raises:
        NeurosimInputError: a model without an exact form, a delay that is not > 0, a probe or recording that does not
            fit, a neuron that fires forever at one moment.
        NeurosimOverflowError: a state is no longer finite.
    """
    compiled = compile_exact(network, seed)
    check_delays(compiled, float(np.max(inputs.durations, initial=0.0)))
    workspaces = [ExactWorkspace(compiled, recorded) for _ in range(max(1, min(threads, len(inputs))))]
    built = time.perf_counter()
    total = float(inputs.durations.sum())
    task = _Task(
        compiled=compiled,
        inputs=inputs,
        probes=tuple(probes),
        trial=trial,
        report=ProgressReporter(on_progress, total, built),
    )
    # One recording is run in pieces, which report how far it is; of many, each that is done is a report.
    if len(inputs) == 1:
        outcomes = [task.run_long(workspaces[0])]
    else:
        outcomes = run_recordings(
            workspaces, task.run_one, count=len(inputs), on_done=task.on_done, on_stop=task.give_up
        )
    spikes = {name: [events[name] for events, _ in outcomes] for name in recorded}
    states = {probe.name: [samples[i] for _, samples in outcomes] for i, probe in enumerate(probes)}
    single = inputs.batch is None
    return Result(
        spikes={name: _spikes(compiled, inputs, name, pieces) for name, pieces in spikes.items()},
        states={name: samples[0] if single else samples for name, samples in states.items()},
        work=layers(compiled, workspaces),
        clock=None,
        duration=total,
        build_s=built - started,
        run_s=time.perf_counter() - built,
        probes=tuple(probes),
    )


@dataclass(frozen=True, eq=False)
class _Task:
    """Recordings to run, by one workspace each; `stop` ends all of them."""

    compiled: ExactNetwork
    inputs: RunInputs
    probes: tuple[Probe, ...]
    trial: int
    report: ProgressReporter
    # Not empty once the run has to end: a piece takes about a tenth of a second, the run may take hours.
    stop: list[bool] = field(default_factory=list)

    def run_one(self, workspace: ExactWorkspace, index: int) -> Outcome:
        """Run recording `index` in one go."""
        states: list[NDArray[Any]] = []
        for states in self._pieces(workspace, index):  # noqa: B007 - the last of them
            pass
        return workspace.spikes(), states

    def run_long(self, workspace: ExactWorkspace) -> Outcome:
        """Run the one recording in pieces short enough to report progress and to notice an interrupt."""
        states = []
        now = 0.0
        spikes = 0
        for states in self._pieces(workspace, 0):  # noqa: B007 - the last of them
            self.report(workspace.now - now, workspace.spike_count - spikes)
            now = workspace.now
            spikes = workspace.spike_count
        self.report(float(self.inputs.durations[0]) - now, 0)
        return workspace.spikes(), states

    def on_done(self, index: int, outcome: Outcome) -> None:
        self.report(float(self.inputs.durations[index]), sum(len(times) for times, _ in outcome[0].values()))

    def give_up(self) -> None:
        self.stop.append(True)

    def _pieces(self, workspace: ExactWorkspace, index: int) -> Iterator[list[NDArray[Any]]]:
        """Run recording `index`, a piece at each step of the iterator; every item is the arrays that probes fill."""
        duration = float(self.inputs.durations[index])
        name = f"simulate.inputs: recording {index}"
        events = {p: _checked_events(item, duration, name) for p, item in self.inputs.recording(index).items()}
        table, intervals, outputs, alive = _probe_table(self.compiled, self.probes, duration)
        workspace.reset(events, table, intervals, alive, self.trial + index)
        done = False
        while not (done or self.stop):
            try:
                done = workspace.advance(duration)
            except NeurosimOverflowError as error:
                text = str(error)
                if self.inputs.batch is not None:
                    text = f"{name}: {text}"
                raise NeurosimOverflowError(text) from None
            yield outputs
        workspace.finish()


def _checked_events(spikes: Spikes, duration: float, name: str) -> ExactEvents:
    """Return times and units of the events of a recording up to `duration` s, those of one moment in order of units.

    Raises:
        NeurosimInputError: events that are not ascending, negative, or of a unit that the population lacks.
    """
    times = np.asarray(spikes.times, np.float64)
    units = check_units(spikes.units, spikes.size, name)
    if times.size:
        rises = times[1:] >= times[:-1]  # False beside a NaN
        ascending = bool(rises.all()) and not math.isnan(times[0])
        require(ascending, f"{name}: times", "must be ascending", "an earlier one")
        require(times[0] >= 0, f"{name}: times", "must be >= 0 s", times[0])
        if (times[1:] == times[:-1]).any():
            order = np.lexsort((units, times))
            times = times[order]
            units = units[order]
    # Later events are never played, and are no part of the work.
    end = int(np.searchsorted(times, duration, side="right"))
    return ExactEvents(np.ascontiguousarray(times[:end]), np.ascontiguousarray(units[:end]))


def _probe_table(
    compiled: ExactNetwork, probes: Sequence[Probe], duration: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], list[NDArray[Any]], list[NDArray[Any]]]:
    """Return the table of the run loop, its intervals, the arrays it will fill, and arrays to be kept alive."""
    table: NDArray[np.int64] = np.zeros((len(probes), columns.PROBE_COLUMNS), np.int64)
    outputs: list[NDArray[Any]] = []
    units: list[NDArray[Any]] = []
    for row, probe in zip(table, probes, strict=True):
        at = locate(compiled.network, probe)
        # The first sample is at 0, so one at the very end, but for rounding, is left out.
        samples = max(0, int(np.ceil(duration / probe.interval - GRID_SLACK)))
        out = np.empty((samples, at.units.size))
        row[columns.P_POPULATION] = at.population
        row[columns.P_ROW] = at.row
        row[columns.P_COUNT] = at.units.size
        row[columns.P_UNITS] = at.units.ctypes.data
        row[columns.P_OUT] = out.ctypes.data
        row[columns.P_SAMPLES] = len(out)
        outputs.append(out)
        units.append(at.units)
    intervals = np.array([probe.interval for probe in probes], np.float64)
    return table, intervals, outputs, [*units, *outputs]


def _spikes(compiled: ExactNetwork, inputs: RunInputs, name: str, pieces: list[ExactEvents]) -> Spikes | Recordings:
    population = compiled.network.population(name)
    if inputs.batch is not None:
        return join_recordings(population, pieces, inputs.batch, 1.0, inputs.durations)
    times, units = pieces[0]
    return Spikes.unchecked(times, units, population.size, float(inputs.durations[0]), population.shape)
