"""Models that act once a window of time: the contract between the engine and SDR layers, memories and readouts."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, NamedTuple, TypedDict, final

import numpy as np
from numpy.typing import NDArray

from ..base.errors import NeurosimInputError, is_number, lookup, require
from ..base.measure.work import LayerCounts
from ..base.rules import Fraction, Rule, check_rules
from ..base.shown import Shown
from .neurons.base import LATER

# Bound of counters in saved states, so that counting on from there stays within 64 bits.
MAX_COUNT = 2**62
# Maximum number of spikes of a `ReadingUnit` in a window.
MAX_SIGNALS = 255


class Arrivals(NamedTuple):
    """Spikes at one receptor in one window.

    Attributes:
        units: [n] int32, ascending: the inputs that received a spike.
        counts: [n] int64, number of spikes of each.
    """

    units: NDArray[np.int32]
    counts: NDArray[np.int64]


class Output(NamedTuple):
    """Result of a model in one window.

    Attributes:
        units: [n] int32, ascending: the units that spike at the end of the window, repeated for each of their spikes.
        synaptic_operations: number of synapses that active inputs selected.
        readings: a number for each of the model's `readings`.
    """

    units: NDArray[np.int32]
    synaptic_operations: int
    readings: tuple[float, ...] = ()


class WindowCounts(TypedDict):
    """Fields of `LayerCounts` that follow from the windows of a run."""

    outputs: int
    steps: int
    input_events: int
    output_events: int
    output_entries: int
    synaptic_operations: int
    dense_operations: int
    membrane_updates: int
    dense_membrane_updates: int
    spiking: bool


class WindowTotals(NamedTuple):
    """Sums over the windows of a run: their number, spikes in and out, and synaptic operations."""

    windows: int
    input_events: int
    output_events: int
    synaptic_operations: int

    def counts(self, *, outputs: int, dense_operations: int, membranes: int) -> WindowCounts:
        """Return the arguments of a population's `LayerCounts` that follow from its windows.

        Args:
            outputs: number of units.
            dense_operations: operations of a dense network in one window.
            membranes: number of values that every window updates.
        """
        return WindowCounts(
            outputs=outputs,
            steps=self.windows,
            input_events=self.input_events,
            output_events=self.output_events,
            output_entries=outputs * self.windows,
            synaptic_operations=self.synaptic_operations,
            dense_operations=dense_operations * self.windows,
            membrane_updates=membranes * self.windows,
            dense_membrane_updates=membranes * self.windows,
            spiking=True,
        )


class WindowModel(Shown, ABC):
    """Parameters of a model that takes the spikes of a window as one input and answers with one output.

    A concrete class is a dataclass of its parameters. `SpatialPooler`, `TemporalMemory`, `Macrocolumn`, `Hierarchy` and
    the readouts of `neurosim.learning.readouts` are such models. It may be copied and pickled.
    """

    @property
    @abstractmethod
    def receptors(self) -> Mapping[str, int]:
        """Return the number of inputs of each receptor, by name; links without a receptor end on the first."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Return the number of units."""

    @property
    def teachers(self) -> tuple[str, ...]:
        """Return the names of the receptors without which it cannot learn, such as the one for labels."""
        return ()

    @property
    def readings(self) -> tuple[str, ...]:
        """Return the names of the numbers that every window yields beside its spikes, such as an anomaly score."""
        return ()

    @property
    def fixed_window(self) -> float | None:
        """Return the window, s, of the training of the model, the only one it runs with; None: it runs with any."""
        return None

    @abstractmethod
    def start(self) -> WindowState:
        """Return a new state at the start of a recording, with the weights that the model has learned so far."""


class WindowState(ABC):
    """State of a model, all of it that changes while it runs."""

    @abstractmethod
    def begin(self) -> None:
        """Start a new recording: forget the context, keep what was learned."""

    @property
    def missing(self) -> str | None:
        """Return a receptor whose spikes a learning model needs and has not received in this recording, or None."""
        return None

    @abstractmethod
    def step(self, arrivals: Mapping[str, Arrivals], *, learn: bool) -> Output:
        """Return the output of one window.

        Args:
            arrivals: of every receptor; units are below the number of inputs of the receptor.
        """

    def run(self, windows: Sequence[Mapping[str, Arrivals]], *, learn: bool) -> list[Output]:
        """Return the outputs of consecutive windows, equal to outputs of `step`; a model may override it to be faster.

        Args:
            windows: at least one.
        """
        return [self.step(arrivals, learn=learn) for arrivals in windows]

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return copies of all arrays that later windows depend on."""

    @abstractmethod
    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from the arrays of another state of the same model.

        Raises:
            NeurosimInputError: an array is missing, of another form, or holds a value out of range; nothing is changed
                then.
        """

    @abstractmethod
    def layer(self, name: str, totals: WindowTotals) -> LayerCounts:
        """Return the work of these windows with the present weights; one window is one step."""


@final
@dataclass(frozen=True)
class ReadingUnit(Shown):
    """A unit after those of a model, which fires by one of its readings: an anomaly or a familiarity as spikes.

    At the end of a window with the reading r it sends floor(spikes x + 1/2) spikes if x >= threshold and else none,
    with x = r, or 1 - r if `inverted`. With one spike it is a threshold; with more spikes and a threshold of 0 a rate,
    of spikes x / window. x is limited to 0..1.

    A projection from this unit alone makes a neuron of it, whose spikes are the reward of a `RewardSTDP`.

    Attributes:
        reading: name of one of the model's `readings`.
        threshold: least x with which it fires.
        spikes: number of spikes for x = 1.
        inverted: whether x is 1 - r, so that it fires for what is not familiar.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    reading: str
    threshold: Fraction = 0.5
    spikes: Annotated[int, Rule(f">= 1 and <= {MAX_SIGNALS}")] = 1
    inverted: bool = False

    def __post_init__(self) -> None:
        check_rules(self)
        require(isinstance(self.inverted, bool), "ReadingUnit.inverted", "must be true or false", self.inverted)

    def count(self, value: float) -> int:
        """Return the number of spikes for a reading."""
        if self.inverted:
            value = 1.0 - value
        x = min(max(value, 0.0), 1.0)
        if x < self.threshold:
            return 0
        return math.floor(self.spikes * x + 0.5)


@final
@dataclass(frozen=True, eq=False)
class Windowed(Shown):
    """A model in a population: it acts at the end of every window.

    Window k holds the steps [k window, (k + 1) window) of the spikes that its links bring. Its units spike at the time
    (k + 1) window; codes of other windowed populations that end at that moment belong to the window, too.

    Attributes:
        model: the model, called once a window.
        window: s; must be an integer number of steps of the clock.
        learn: whether the model learns while it runs.
        learned: arrays of a state to start from: an entry of `Result.learned`, or None for the model's own.
        reading_unit: one more unit, after those of the model, that fires by a reading; None: none.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    model: WindowModel
    window: float
    learn: bool = True
    learned: Mapping[str, NDArray[Any]] | None = field(default=None)
    reading_unit: ReadingUnit | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        if not isinstance(self.model, WindowModel):
            raise NeurosimInputError(f"Windowed.model: must be a WindowModel (got {type(self.model).__name__})")
        valid = is_number(self.window) and 0 < self.window < math.inf
        require(valid, "Windowed.window", "must be > 0 s", self.window)
        fixed = self.model.fixed_window
        rule = f"must be {fixed} s, the step of its {type(self.model).__name__}"
        same = fixed is None or math.isclose(self.window, fixed, rel_tol=1e-6)
        require(same, "Windowed.window", rule, self.window)
        require(isinstance(self.learn, bool), "Windowed.learn", "must be true or false", self.learn)
        if self.reading_unit is not None:
            good = isinstance(self.reading_unit, ReadingUnit)
            require(good, "Windowed.reading_unit", "must be a ReadingUnit or None", self.reading_unit)
            lookup(dict.fromkeys(self.model.readings), self.reading_unit.reading, "Windowed.reading_unit.reading")

    @property
    def outputs(self) -> int:
        """Number of units: those of the model, and the one that fires by a reading."""
        return self.model.outputs + (self.reading_unit is not None)

    def start(self) -> WindowState:
        """Return a new state at the start of a recording.

        Raises:
            NeurosimInputError: `learned` belongs to another model.
        """
        state = self.model.start()
        if self.reading_unit is not None:
            state = _ReadingState(state, self.model, self.reading_unit)
        if self.learned is not None:
            # Arrays hold the context of their last window as well, which a new recording must not see.
            state.restore(self.learned)
            state.begin()
        return state


@final
class _ReadingState(WindowState):
    """State of a model with a unit that fires by a reading; the unit has none of its own."""

    def __init__(self, state: WindowState, model: WindowModel, unit: ReadingUnit) -> None:
        self.state = state
        self.unit = unit
        self.number = model.outputs
        self.place = model.readings.index(unit.reading)

    @property
    def missing(self) -> str | None:
        return self.state.missing

    def begin(self) -> None:
        self.state.begin()

    def step(self, arrivals: Mapping[str, Arrivals], *, learn: bool) -> Output:
        return self._with_unit(self.state.step(arrivals, learn=learn))

    def run(self, windows: Sequence[Mapping[str, Arrivals]], *, learn: bool) -> list[Output]:
        return [self._with_unit(output) for output in self.state.run(windows, learn=learn)]

    def arrays(self) -> dict[str, NDArray[Any]]:
        return self.state.arrays()

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.state.restore(arrays)

    def layer(self, name: str, totals: WindowTotals) -> LayerCounts:
        layer = self.state.layer(name, totals)
        entries = (layer.output_entries or 0) + totals.windows
        return replace(layer, outputs=layer.outputs + 1, output_entries=entries)

    def _with_unit(self, output: Output) -> Output:
        spikes = self.unit.count(output.readings[self.place])
        if not spikes:
            return output
        own = np.full(spikes, self.number, np.int32)
        return output._replace(units=np.concatenate([output.units, own]))


def count_windows(name: str, model: WindowModel, windows: Iterable[Mapping[str, NDArray[Any]]]) -> list[LayerCounts]:
    """Return the work of a model alone in the windows of a recording, without learning; the model stays as it is.

    Args:
        name: of the layer.
        windows: for each, the ascending active units of every receptor.
    """
    state = model.start()
    totals = np.zeros(4, np.int64)
    state.begin()
    for window in windows:
        arrivals = {}
        spikes = 0
        for receptor, active in window.items():
            units = np.asarray(active, np.int32)
            arrivals[receptor] = Arrivals(units, np.ones(len(units), np.int64))
            spikes += len(units)
        output = state.step(arrivals, learn=False)
        # Every window counts, an empty one too. In the order of `WindowTotals`.
        totals += 1, spikes, len(output.units), output.synaptic_operations
    return [state.layer(name, WindowTotals(*totals.tolist()))]


def check_present(arrays: Mapping[str, NDArray[Any]], names: Iterable[str]) -> None:
    """Raise `NeurosimInputError` naming the first of these arrays that a saved state lacks."""
    for name in names:
        if name not in arrays:
            raise NeurosimInputError(f"state: array '{name}' is missing; give a state of the same model")


def array_of(
    arrays: Mapping[str, NDArray[Any]],
    name: str,
    like: NDArray[Any],
    low: float | None = None,
    high: float | None = None,
) -> NDArray[Any]:
    """Return an array of a saved state, with the shape and type of `like` and values in `low`..`high`, if given.

    Raises:
        NeurosimInputError: it is missing, of another shape or type, or has another value.
    """
    check_present(arrays, [name])
    array = np.asarray(arrays[name])
    label = f"state['{name}']"
    same = array.shape == like.shape and array.dtype == like.dtype
    form = f"{array.dtype.name} {list(array.shape)}"
    require(same, label, f"must be {like.dtype.name} {list(like.shape)}", form)
    if low is not None and high is not None:
        inside = (array >= low) & (array <= high)
        require(bool(inside.all()), label, f"must be in {low:g}..{high:g}", array[~inside][:1])
    return array
