"""PyNN's current sources: each becomes a current of the engine for every population that it reaches."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pyNN.parameters import ParameterSpace, Sequence
from pyNN.standardmodels import electrodes
from pyNN.standardmodels.base import StandardCurrentSource

from ...network.stimuli import Current, SineCurrent, StepCurrent
from ..inputs import MAX_STEPS
from . import simulator
from .cells import same_names
from .native import NativeRNG


class CurrentSource(StandardCurrentSource):
    """A source of current.

    Its parameters are attributes in PyNN's units. Times are rounded to steps. A change counts from the next run on.
    """

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.targets: list[tuple[Any, int]] = []
        self.changed = False
        self.is_recorded = False
        self.recorded: list[NDArray[np.float64]] = []
        self.number = len(simulator.state.current_sources)
        simulator.state.current_sources.append(self)
        space = self.native_parameters
        space.shape = (1,)
        self.set_native_parameters(space)

    def inject_into(self, cells: Any) -> None:
        """Inject the current into cells: a population, a view, an assembly or a list of cells."""
        if simulator.state.built is not None:
            raise NotImplementedError("neurosim.pynn: inject currents before the first run; call reset() first")
        for cell in cells:
            if not cell.celltype.injectable:
                raise TypeError("Can't inject current into a spike source.")
            self.targets.append((cell.parent, cell.parent.id_to_index(cell)))

    def set_native_parameters(self, parameters: ParameterSpace) -> None:
        parameters.evaluate(simplify=True)
        values = {name: _value(value) for name, value in parameters.items()}
        for name, value in self.checked(values).items():
            object.__setattr__(self, name, value)
        self.changed = True

    def get_native_parameters(self) -> ParameterSpace:
        return ParameterSpace({name: getattr(self, name) for name in self.get_parameter_names()})

    def checked(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return values to set, checked and rounded."""
        return values

    def current(self, name: str, target: str, units: list[int], factor: float) -> Current:
        """Return the current of the engine; `factor` is from nA to its unit."""
        raise NotImplementedError

    def trace(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the current at the start of steps, nA."""
        raise NotImplementedError

    def engine_values(self, factor: float) -> dict[str, Any]:
        """Return what a change of parameters sets in a current of the engine."""
        current = self.current("", "", [0], factor)
        names = self.settings
        return {name: getattr(current, name) for name in names}

    settings: ClassVar[tuple[str, ...]] = ("times", "amplitudes")

    def record(self) -> None:
        """Record the current at the start of every step, for `get_data`."""
        self.is_recorded = True
        self.recorded = [np.zeros(simulator.state.steps)]

    def pass_steps(self, first: int, last: int) -> None:
        """Record the steps of a run, before the parameters can change."""
        if self.is_recorded:
            self.recorded.append(self.trace(np.arange(first, last)))

    def _get_data(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        state = simulator.state
        values = np.concatenate([*self.recorded, self.trace(np.array([state.steps]))])
        return np.arange(len(values)).astype(np.float64) * state.dt, values


def _value(value: Any) -> Any:
    """Return a number, or an array of a sequence."""
    if isinstance(value, Sequence):
        return np.array(value.value, np.float64)
    array = np.asarray(value)
    if array.dtype == object:
        return np.array(array.flat[0].value, np.float64)
    return float(array.flat[0])


def step_of(time: float) -> int:
    """Return the step nearest to a time in ms; beyond the last step that can be counted, that one."""
    return int(min(max(np.rint(time / simulator.state.dt), 0), MAX_STEPS))


def _between(start: float, stop: float, steps: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which steps lie between two times in ms."""
    return (steps >= step_of(start)) & (steps < step_of(stop))


class DCSource(CurrentSource, electrodes.DCSource):
    __doc__ = electrodes.DCSource.__doc__
    translations = same_names(electrodes.DCSource)

    def current(self, name: str, target: str, units: list[int], factor: float) -> Current:
        begin = step_of(self.start)
        end = max(step_of(self.stop), begin)
        amplitude = self.amplitude * factor
        clock = simulator.state.clock
        if end == begin:
            return StepCurrent(target, np.array([0.0]), np.array([0.0]), name=name, units=units)
        if end == MAX_STEPS:
            return StepCurrent(target, np.array([begin * clock]), np.array([amplitude]), name=name, units=units)
        times = np.array([begin, end]) * clock
        return StepCurrent(target, times, np.array([amplitude, 0.0]), name=name, units=units)

    def trace(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.where(_between(self.start, self.stop, steps), self.amplitude, 0.0)


class StepCurrentSource(CurrentSource, electrodes.StepCurrentSource):
    __doc__ = electrodes.StepCurrentSource.__doc__
    translations = same_names(electrodes.StepCurrentSource)

    def checked(self, values: dict[str, Any]) -> dict[str, Any]:
        times = np.asarray(values.get("times", self.__dict__.get("times", [])))
        amplitudes = np.asarray(values.get("amplitudes", self.__dict__.get("amplitudes", [])))
        if (times < 0).any() or (np.diff(times) < 0).any():
            raise ValueError("StepCurrentSource.times: must ascend from >= 0 ms")
        if len(times) != len(amplitudes):
            raise ValueError(
                f"StepCurrentSource.amplitudes: must be [{len(times)}], one a time (got {len(amplitudes)})"
            )
        # Of times in one step the last counts.
        steps = np.rint(times / simulator.state.dt)
        last = np.append(np.diff(steps) > 0, True)[: len(steps)]
        return {"times": steps[last] * simulator.state.dt, "amplitudes": amplitudes[last]}

    def current(self, name: str, target: str, units: list[int], factor: float) -> Current:
        if not len(self.times):
            return StepCurrent(target, np.array([0.0]), np.array([0.0]), name=name, units=units)
        return StepCurrent(target, self.times * 1e-3, self.amplitudes * factor, name=name, units=units)

    def trace(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        begins = np.rint(self.times / simulator.state.dt)
        place = np.searchsorted(begins, steps, side="right")
        return np.concatenate([[0.0], self.amplitudes])[place]


class ACSource(CurrentSource, electrodes.ACSource):
    __doc__ = electrodes.ACSource.__doc__
    translations = same_names(electrodes.ACSource)
    settings = ("amplitude", "frequency", "offset", "phase", "start", "stop")

    def current(self, name: str, target: str, units: list[int], factor: float) -> Current:
        begin = step_of(self.start)
        end = max(step_of(self.stop), begin)
        clock = simulator.state.clock
        # PyNN's phase is that at the start, the engine's that at time 0.
        turns = self.phase / 360.0 - self.frequency * begin * clock
        return SineCurrent(
            target,
            amplitude=self.amplitude * factor,
            frequency=self.frequency,
            offset=self.offset * factor,
            phase=2 * math.pi * turns,
            start=begin * clock,
            stop=None if end == MAX_STEPS else end * clock,
            name=name,
            units=units,
        )

    def trace(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        elapsed = (steps - step_of(self.start)) * simulator.state.clock
        wave = np.sin(2 * math.pi * self.frequency * elapsed + math.radians(self.phase))
        return np.where(_between(self.start, self.stop, steps), self.offset + self.amplitude * wave, 0.0)


class NoisyCurrentSource(CurrentSource, electrodes.NoisyCurrentSource):
    """White noise: a new value from a normal distribution every `dt`, the same for all cells of one source.

    Values are drawn by the seed of `setup` and the number of the source; `rng` is not taken.
    """

    translations = same_names(electrodes.NoisyCurrentSource)

    def __init__(self, rng: Any = None, **parameters: Any) -> None:
        if rng is not None and not isinstance(rng, NativeRNG):
            raise NotImplementedError("NoisyCurrentSource.rng: must be left out; setup(seed=...) is the seed of noise")
        parameters.setdefault("dt", simulator.state.dt)
        self.__dict__["draws"] = np.empty(0)
        super().__init__(**parameters)

    def checked(self, values: dict[str, Any]) -> dict[str, Any]:
        interval = values.get("dt", self.__dict__.get("dt", simulator.state.dt)) / simulator.state.dt
        if interval < 0.5 or abs(interval - np.rint(interval)) > 1e-6:
            raise ValueError(f"NoisyCurrentSource.dt: must be a multiple of the time step (got {interval:g} of them)")
        return values

    @property
    def interval(self) -> int:
        """Return the steps between two values."""
        return int(np.rint(self.dt / simulator.state.dt))

    def drawn(self, count: int) -> NDArray[np.float64]:
        """Return the first `count` values, of mean 0 and variance 1; they stay the same."""
        if len(self.draws) < count:
            generator = np.random.Generator(np.random.Philox(key=[simulator.state.seed, self.number]))
            object.__setattr__(self, "draws", generator.standard_normal(2 * count))
        return self.draws[:count]  # type: ignore[no-any-return]

    def current(self, name: str, target: str, units: list[int], factor: float) -> Current:
        # Values up to the end of the present run; the next run gets more.
        begin = step_of(self.start)
        end = min(step_of(self.stop), simulator.state.target)
        clock = simulator.state.clock
        if end <= begin:
            return StepCurrent(target, np.array([0.0]), np.array([0.0]), name=name, units=units)
        starts = np.arange(begin, end, self.interval)
        amplitudes = (self.mean + self.stdev * self.drawn(len(starts))) * factor
        if end == step_of(self.stop):
            starts = np.append(starts, end)
            amplitudes = np.append(amplitudes, 0.0)
        return StepCurrent(target, starts * clock, amplitudes, name=name, units=units)

    def trace(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        inside = _between(self.start, self.stop, steps)
        numbers = np.maximum((steps - step_of(self.start)) // self.interval, 0)
        values = self.mean + self.stdev * self.drawn(int(numbers.max(initial=0)) + 1)[numbers]
        return np.where(inside, values, 0.0)
