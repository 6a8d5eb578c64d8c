"""Windowed populations while a network runs: spikes are cut into windows, and each window is one step of a model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from ...kernels.engine.clocked.windows import cut
from ...network.windowed import MAX_COUNT, Arrivals, WindowState, WindowTotals, array_of
from ..compile.windows import WindowPlan, tapped
from .sinks import SpikeSink
from .sources import NO_EVENTS, EventSource, GridEvents, join_events

NO_UNITS: NDArray[np.int32] = np.empty(0, np.int32)
NOTHING = Arrivals(NO_UNITS, np.empty(0, np.int64))
PREFIX = "window."


@final
class WindowedPopulations:
    """State of all windowed populations of one run at a time.

    Spikes wait in `_events` until the last window that needs them has ended. Codes are events whose step is the end of
    their window.

    Attributes:
        step: up to which all windows have run.
        totals: by population number, int64 [4], the sums of `WindowTotals` of all runs so far.
    """

    def __init__(self, plans: Sequence[WindowPlan], sizes: Sequence[int]) -> None:
        self.plans = tuple(plans)
        self.step = 0
        self.states: dict[int, WindowState] = {plan.number: plan.windowed.start() for plan in plans}
        self.totals = {plan.number: np.zeros(len(WindowTotals._fields), np.int64) for plan in plans}
        self._sizes = tuple(sizes)
        self._readings: dict[int, list[tuple[float, ...]]] = {plan.number: [] for plan in plans}
        self._events: dict[int, GridEvents] = {}
        self._due: dict[int, NDArray[np.int32]] = {}
        self._scratch = {
            (plan.number, receptor): np.zeros(size, np.int64)
            for plan in plans
            for receptor, size in plan.windowed.model.receptors.items()
        }
        self._clear()

    @property
    def learns(self) -> bool:
        """Return whether any population learns, so that the order of recordings matters."""
        return any(plan.windowed.learn for plan in self.plans)

    def begin(self) -> None:
        """Start a new recording; what was learned stays."""
        self._clear()
        for state in self.states.values():
            state.begin()

    def end(self, recording: str) -> None:
        """End a recording, and raise if a population that learns has missed its label or reward.

        Args:
            recording: its name in errors.

        Raises:
            NeurosimInputError: the recording has brought none.
        """
        for plan in self.plans:
            missing = self.states[plan.number].missing
            if missing is not None:
                raise NeurosimInputError(
                    f"{recording}: brings no spike to receptor '{missing}' of population '{plan.name}', which learns; "
                    f"link a source of {missing}s to it, with one spike in every recording before the last window of "
                    f"{plan.windowed.window:g} s ends, or set Windowed.learn to false"
                )

    def advance(self, spikes: Mapping[int, GridEvents], now: int) -> dict[int, GridEvents]:
        """Take the spikes of the steps up to `now`, run the windows that have ended, and return their codes."""
        for p, events in spikes.items():
            if len(events.steps):
                self._events[p] = join_events([self._events[p], events])
        all_codes = {}
        for plan in self.plans:
            # In the order of the links, so that codes reach the populations behind them in the same window.
            codes = self._run(plan, now)
            all_codes[plan.number] = codes
            if len(codes.steps) and plan.consumers:
                self._events[plan.number] = join_events([self._events[plan.number], codes])
            if plan.drives:
                # Neurons get the last code: a piece ends where the windows of every driving population do.
                self._due[plan.number] = codes.units[codes.steps == now]
        self.step = now
        self._forget()
        return all_codes

    def due(self, number: int, step: int) -> NDArray[np.int32]:
        """Return the units of a population that spike at `step`, the end of its last window."""
        return self._due[number] if step == self.step else NO_UNITS

    def take_readings(self) -> dict[str, NDArray[np.float64]]:
        """Return by population [windows, readings] of the windows since the last call; only of models that have any."""
        readings = {}
        for plan in self.plans:
            names = plan.windowed.model.readings
            if names:
                rows = self._readings[plan.number]
                self._readings[plan.number] = []
                readings[plan.name] = np.array(rows, np.float64).reshape(-1, len(names))
        return readings

    def copy_readings(self, other: WindowedPopulations) -> None:
        """Take the readings of other populations of the same network, which keep theirs."""
        self._readings = {number: list(rows) for number, rows in other._readings.items()}

    def learned(self) -> dict[str, dict[str, NDArray[Any]]]:
        """Return by population the arrays of its state."""
        return {plan.name: self.states[plan.number].arrays() for plan in self.plans}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return copies of all arrays that the rest of a run depends on, and of the totals."""
        saved: dict[str, NDArray[Any]] = {}
        for plan in self.plans:
            p = plan.number
            saved |= {f"{PREFIX}{p}.state.{name}": array for name, array in self.states[p].arrays().items()}
            saved |= {f"{PREFIX}{p}.totals": self.totals[p].copy(), f"{PREFIX}{p}.due": self._due[p].copy()}
        for p, events in self._events.items():
            saved |= {f"{PREFIX}{p}.steps": events.steps.copy(), f"{PREFIX}{p}.units": events.units.copy()}
        return saved

    def restore(self, arrays: Mapping[str, NDArray[Any]], step: int) -> None:
        """Continue from `step` of other populations of the same network, which returned `arrays` there.

        Raises:
            NeurosimInputError: an array is missing, of another form, or holds a value out of range.
        """
        events = {}
        due = {}
        for p in self._events:
            events[p] = self._saved_events(arrays, p, step)
        for plan in self.plans:
            p = plan.number
            due[p] = self._saved_units(arrays, f"{PREFIX}{p}.due", p)
            state = f"{PREFIX}{p}.state."
            own = {name.removeprefix(state): array for name, array in arrays.items() if name.startswith(state)}
            self.states[p].restore(own)
            self.totals[p][:] = array_of(arrays, f"{PREFIX}{p}.totals", like=self.totals[p], low=0, high=MAX_COUNT)
        self._events = events
        self._due = due
        self.step = step

    def _clear(self) -> None:
        feeding = {feed.source for plan in self.plans for feed in plan.feeds}
        self._events = dict.fromkeys(sorted(feeding), NO_EVENTS)
        self._due = {plan.number: NO_UNITS for plan in self.plans}
        self.step = 0

    def _run(self, plan: WindowPlan, now: int) -> GridEvents:
        """Run the windows of a population that end after `step` and by `now`."""
        p = plan.number
        first = self.step // plan.steps
        windows = now // plan.steps - first
        if windows <= 0:
            return NO_EVENTS
        # All windows are cut at once, then the model runs them one after the other.
        by_receptor = {name: self._cut(plan, name, first, windows) for name in plan.windowed.model.receptors}
        inputs = [{name: cuts[k] for name, cuts in by_receptor.items()} for k in range(windows)]
        outputs = self.states[p].run(inputs, learn=plan.windowed.learn)
        codes = [output.units for output in outputs]
        operations = sum(output.synaptic_operations for output in outputs)
        input_events = sum(len(arrivals.units) for cuts in by_receptor.values() for arrivals in cuts)
        self._readings[p] += [output.readings for output in outputs if output.readings]
        # In the order of `WindowTotals`.
        self.totals[p] += windows, input_events, sum(map(len, codes)), operations
        ends = (first + 1 + np.arange(windows, dtype=np.int32)) * np.int32(plan.steps)
        return GridEvents(np.repeat(ends, [len(units) for units in codes]), np.concatenate(codes))

    def _cut(self, plan: WindowPlan, receptor: str, first: int, windows: int) -> list[Arrivals]:
        """Return the arrivals at a receptor in each of `windows` windows, from number `first` on."""
        feeds = [(feed, self._events[feed.source]) for feed in plan.feeds if feed.receptor == receptor]
        sizes = [len(events.steps) for _, events in feeds]
        if not any(sizes):
            return [NOTHING] * windows
        steps, inputs = join_events([_shifted(events, feed.offset) for feed, events in feeds])
        # A code that ends with a window belongs to it; the spikes of a step belong to the window with that step.
        early = np.array([feed.early for feed, _ in feeds], np.int64)
        units = np.empty_like(inputs)
        counts = np.empty(len(inputs), np.int64)
        bounds = np.empty(windows + 1, np.int64)
        scratch = self._scratch[plan.number, receptor]
        cut(steps, inputs, np.cumsum([0, *sizes]), early, first, plan.steps, scratch, units, counts, bounds)
        return [Arrivals(units[a:z], counts[a:z]) for a, z in itertools.pairwise(bounds.tolist())]

    def _forget(self) -> None:
        """Drop the events of windows that have run."""
        needed = dict.fromkeys(self._events, self.step)
        for plan in self.plans:
            for feed in plan.feeds:
                # First step of the current window; a code at that step ended the window before.
                begin = self.step // plan.steps * plan.steps + feed.early
                needed[feed.source] = min(needed[feed.source], begin)
        for p, begin in needed.items():
            steps, units = self._events[p]
            first = int(np.searchsorted(steps, begin))
            if first:
                self._events[p] = GridEvents(steps[first:].copy(), units[first:].copy())

    def _saved_events(self, arrays: Mapping[str, NDArray[Any]], p: int, step: int) -> GridEvents:
        steps = _vector(arrays, f"{PREFIX}{p}.steps", np.int32)
        units = self._saved_units(arrays, f"{PREFIX}{p}.units", p)
        rule = f"must ascend from 0 to {step}, one for each of {len(units)} units"
        ascend = len(steps) == len(units) and bool((np.diff(steps) >= 0).all())
        inside = not len(steps) or (steps[0] >= 0 and steps[-1] <= step)
        require(bool(ascend and inside), f"{PREFIX}{p}.steps", rule, len(steps))
        return GridEvents(steps, units)

    def _saved_units(self, arrays: Mapping[str, NDArray[Any]], name: str, p: int) -> NDArray[np.int32]:
        units = _vector(arrays, name, np.int32)
        good = not len(units) or (units.min() >= 0 and units.max() < self._sizes[p])
        require(bool(good), name, f"must be units below {self._sizes[p]}", units.max(initial=0))
        return units


@final
class WindowSink(SpikeSink):
    """A sink that hands spikes to windowed populations, and recorded spikes and their codes to another sink.

    Args:
        names: of all populations, by number.
        recorded: names of those that the other sink takes.
        step: returns the step up to which the network has run.
    """

    def __init__(
        self,
        windows: WindowedPopulations,
        names: Sequence[str],
        recorded: Sequence[str],
        sink: SpikeSink,
        step: Callable[[], int],
    ) -> None:
        self.windows = windows
        self.names = names
        self.recorded = recorded
        self.sink = sink
        self.step = step

    def add(self, spikes: Mapping[str, GridEvents]) -> None:
        codes = self.windows.advance(
            {p: spikes.get(self.names[p], NO_EVENTS) for p in tapped(self.windows.plans)}, self.step()
        )
        every = {**spikes, **{self.names[p]: events for p, events in codes.items()}}
        self.sink.add({name: every[name] for name in self.recorded if name in every})

    def take(self) -> dict[str, GridEvents]:
        return self.sink.take()


@final
class CodeSource(EventSource):
    """Codes of a windowed population as the events of the steps at which their windows end.

    They are none if it drives nothing; then the source only ends the pieces of a run with its windows.
    """

    def __init__(self, windows: WindowedPopulations, plan: WindowPlan) -> None:
        self.windows = windows
        self.plan = plan

    def take(self, first: int, last: int) -> tuple[GridEvents, int]:
        units = self.windows.due(self.plan.number, first)
        # No code comes before the next window ends: until then this source need not be asked.
        stop = (first // self.plan.steps + 1) * self.plan.steps
        return GridEvents(np.full(len(units), first, np.int32), units), stop


def _shifted(events: GridEvents, offset: int) -> GridEvents:
    """Return events of units as events of the inputs from `offset` on."""
    if offset:
        return GridEvents(events.steps, events.units + np.int32(offset))
    return events


def _vector(arrays: Mapping[str, NDArray[Any]], name: str, kind: type[np.generic]) -> NDArray[Any]:
    if name not in arrays:
        raise NeurosimInputError(f"Simulation.load: array '{name}' is missing")
    array = np.asarray(arrays[name])
    good = array.ndim == 1 and array.dtype == kind
    require(good, name, f"must be a vector of {np.dtype(kind).name}", f"{array.dtype.name} {list(array.shape)}")
    return array
