"""A runner: one workspace that runs recordings, in windows of events and samples, in pieces that can be interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..prepared import PreparedNetwork
from ..processes import ALONE, Processes
from .joined import join, join_samples, split
from .probes import BoundProbe, SampleWindow, open_window, window_end
from .sinks import SpikeSink, StateSink
from .sources import EventSource, GridEvents
from .transit import carried, carried_lessons
from .windows import CodeSource, WindowedPopulations, WindowSink
from .workspace import GridWorkspace

# Wall-clock seconds between two reports of progress, and so the delay after which an interrupt is seen.
REPORT_EVERY = 0.1
FIRST_PIECE = 16  # steps


@dataclass(frozen=True, eq=False)
class WorkCounters:
    """Counters of a `GridWorkspace`, and totals of `WindowedPopulations`, at one moment.

    Attributes:
        tallies: spikes of the units of all populations, one population after the other.
    """

    tallies: NDArray[np.int64]
    changes: NDArray[np.int64]
    drawn: NDArray[np.int64]
    windows: Mapping[int, NDArray[np.int64]]

    def __sub__(self, before: WorkCounters) -> WorkCounters:
        windows = {p: totals - before.windows[p] for p, totals in self.windows.items()}
        return WorkCounters(
            self.tallies - before.tallies, self.changes - before.changes, self.drawn - before.drawn, windows
        )


class Runner:
    """Runs a prepared network on a workspace of it, or the part of one process.

    Where processes share the network, all of them call every method.

    Attributes:
        bounded: samples go to the sink in pieces of bounded size, for a sink that does not keep them.
    """

    def __init__(self, prepared: PreparedNetwork, workspace: GridWorkspace, processes: Processes = ALONE) -> None:
        self._compiled = prepared.compiled
        self._processes = processes
        self.probes = prepared.probes
        self.bounded = False
        self.recorded = prepared.recorded
        populations = prepared.compiled.network.populations
        self._names = [population.name for population in populations]
        self.windows = WindowedPopulations(prepared.compiled.windows, [population.size for population in populations])
        self.workspace = workspace
        self.sources: Mapping[int, EventSource] = {}
        self.trial = 0
        self._window: SampleWindow | None = None
        self._taken: dict[int, GridEvents] = {}
        # The steps at which the window, and the events in the workspace, end.
        self._stop = 0
        self._events_end = 0
        # Steps between two reports: a later run begins with as many as the one before ended with.
        self._piece = FIRST_PIECE

    @property
    def step(self) -> int:
        """Return the number of steps that were run."""
        return self.workspace.step

    def begin(self, sources: Mapping[int, EventSource], trial: int) -> None:
        """Return to the initial state, with these sources by population number; the counters go on."""
        pacing = [plan for plan in self.windows.plans if plan.drives or plan.delayed]
        codes = {plan.number: CodeSource(self.windows, plan) for plan in pacing}
        self.sources = {**sources, **codes}
        self.trial = trial
        self._window = None
        self.windows.begin()
        self._stop = 0
        self._events_end = 0
        self._reset()

    def resume(self, arrays: Mapping[str, NDArray[Any]], step: int) -> None:
        """Continue from a saved state, after `begin`."""
        self.workspace.restore(split(self._compiled, self._processes, arrays), step)
        self.windows.restore(arrays, step)
        self._stop = 0
        self._events_end = 0

    def resume_from(self, other: Runner) -> None:
        """Continue, after `begin`, from where another runner of the same prepared network is; they share no state."""
        self.resume({name: array.copy() for name, array in other.arrays().items()}, other.step)
        self.windows.copy_readings(other.windows)

    def take_over(self, other: Runner, moved: Mapping[str, NDArray[np.int64]]) -> None:
        """Continue where another runner is: of the same populations, with other parameters; see `transit.carried`."""
        self.sources = other.sources
        self.trial = other.trial
        self.windows = other.windows
        self.bounded = other.bounded
        state = other.arrays()
        arrays = split(self._compiled, self._processes, carried(state, other.workspace, self.workspace), moved)
        self.workspace.restore({**arrays, **carried_lessons(state, self._compiled, moved)}, other.step)
        if other._events_end > other.step:
            # After an interrupt: events of later steps were taken from their sources already.
            self._taken = {}
            for p, events in other._taken.items():
                later = events.steps >= other.step
                self._taken[p] = GridEvents(events.steps[later], events.units[later])
            self._events_end = other._events_end
            self.workspace.play(self._taken)

    def run_until(
        self, last: int, spikes: SpikeSink, states: StateSink, on_piece: Callable[[int, int], None] | None = None
    ) -> None:
        """Run up to step `last`. All results up to the present step are in the sinks, whatever is raised.

        Args:
            on_piece: called from time to time with the number of steps and of recorded spikes since the last call; may
                raise.
        """
        if self.windows.plans:
            spikes = WindowSink(
                windows=self.windows, names=self._names, recorded=self.recorded, sink=spikes, step=lambda: self.step
            )
        try:
            while self.step < last:
                if self._stop <= self.step:
                    self._pass_samples(states)
                    self._open(last)
                began = time.perf_counter()
                stop = min(last, self._stop)
                if self._window is not None:
                    self._window.sample(self.step, self.workspace.plastic)
                    stop = min(stop, self._window.next_sample(self.step + 1))
                steps = stop - self.step
                if on_piece:
                    steps = min(steps, self._piece)
                # Windowed populations need the spikes of each stretch at its end.
                holds = not self.windows.plans and self.step + steps < last
                count = self.workspace.advance(steps, self.trial, spikes, holds=holds)
                if on_piece:
                    on_piece(steps, count)
                    self._piece = self._next_piece(steps, time.perf_counter() - began)
        finally:
            self.workspace.drain(spikes)
            self._pass_samples(states)

    def _next_piece(self, steps: int, spent: float) -> int:
        """Return the length of a piece that takes about REPORT_EVERY, after one of `steps` steps that took `spent` s.

        It is at most four times as long, and shorter only where this one took too long: the last of a run may be short.
        """
        ratio = REPORT_EVERY / max(spent, 1e-6)
        if ratio < 1.0:
            piece = 1 + int(steps * ratio)
        else:
            piece = max(self._piece, 1 + int(steps * min(4.0, ratio)))
        return self._processes.of_root(piece)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return copies of all arrays that `resume` needs."""
        arrays = dict(join(self._compiled, self._processes, self.workspace.arrays()))
        # Event cursors are not saved: another workspace receives its events in other windows.
        arrays["cursors"][:] = 0
        return arrays | self.windows.arrays()

    def learned(self) -> dict[str, dict[str, NDArray[Any]]]:
        """Return the state of each windowed population, and the weights of each projection that keeps them, by name."""
        return self.windows.learned() | self.workspace.plastic.kept()

    def counters(self) -> WorkCounters:
        """Return the counters, copied."""
        workspace = self.workspace
        windows = {p: totals.copy() for p, totals in self.windows.totals.items()}
        changes = self._processes.sum(workspace.changes.sum(axis=0))
        drawn = self._processes.sum(workspace.drawn.sum(axis=0))
        return WorkCounters(workspace.log.all_tallies.copy(), changes, drawn, windows)

    def spike_count(self) -> int:
        """Return the number of spikes of the recorded populations so far."""
        count = 0
        for p, tally in enumerate(self.workspace.log.tallies):
            if self._names[p] not in self.recorded:
                continue
            if p in self.windows.totals:
                count += int(self.windows.totals[p][2])  # output events of `WindowTotals`
            else:
                count += int(tally.sum())
        return count

    def warm_up(self) -> None:
        """Run one step and undo it, so that code is compiled and loaded before the time of a run is measured."""
        initial = self.workspace.arrays()
        self.workspace.advance(1, 0)
        self._reset()
        self.workspace.restore(initial, 0)

    def _reset(self) -> None:
        self.workspace.reset({}, open_window([], 0, 0).table, [])

    def _open(self, last: int) -> None:
        """Give the workspace events for the next steps, and room for their samples."""
        workspace = self.workspace
        first = self.step
        # Events up to the first end of a source; beyond it, that source is read again.
        if self._events_end <= first:
            taken = {p: source.take(first, last) for p, source in self.sources.items()}
            self._events_end = min([stop for _, stop in taken.values()], default=2**31 - 1)
            self._taken = {p: events for p, (events, _) in taken.items()}
            workspace.play(self._taken)
        self._stop = min(self._events_end, last)
        if self.probes:
            if self.bounded:
                self._stop = min(self._stop, window_end(self.probes, first))
            self._window = open_window(self.probes, first, self._stop)
            workspace.sample(self._window.table, self._window.alive)

    def _pass_samples(self, states: StateSink) -> None:
        """Pass the samples of the window on; the next step needs a new window."""
        window = self._window
        self._window = None
        self._stop = 0
        if window is not None:
            samples = window.until(self.step)
            if self._processes.size > 1:
                samples = [self._joined(probe, *each) for probe, each in zip(self.probes, samples, strict=True)]
            states.add(samples)

    def _joined(self, probe: BoundProbe, first: int, values: NDArray[Any]) -> tuple[int, NDArray[Any]]:
        """Return samples of all processes; samples of synapses are of all processes already."""
        if not probe.of_synapses:
            values = join_samples(self._compiled, self._processes, probe, values)
        return first, values
