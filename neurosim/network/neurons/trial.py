"""Runs of one neuron model's step under chosen inputs, on scales that are measured first."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import Neuron

REALS = (np.dtype(np.float32), np.dtype(np.float64))
# Sizes tried for weights and state variables of unknown units: from below a synapse's nanosiemens to a million.
LADDER = 2.0 ** np.arange(-44, 21)
GUARD = 64  # entries on either side of every array, which a step must not touch
MARK = 7


class NeuronTrial:
    """Test runs of a model's step; random numbers come from one seed.

    Attributes:
        neuron, dt: model and step.
        membrane: row of the state that is the membrane: v, or else the first.
        range: from rest to threshold, or 1.
        sizes: [states] change of each variable that moves the membrane by about a third of its range. 0 for rows that
            are parameters or count steps.
        receptor, weight: an input that makes the neuron fire if it arrives each step; (0, some size) if none does.
        fires: whether it fires.
    """

    def __init__(self, neuron: Neuron, dt: float) -> None:
        self.neuron = neuron
        self.dt = dt
        self.initial = np.array(neuron.initial(), np.float64)
        self.constants = np.array(neuron.constants(dt), np.float64)
        if "v" in neuron.state:
            self.membrane = neuron.state.index("v")
        else:
            self.membrane = 0
        threshold = getattr(neuron, "v_threshold", None)
        if threshold is None:
            gap = 1.0
        else:
            gap = abs(threshold - self.initial[self.membrane])
        # Beyond 1e6 V the threshold stands for none.
        self.range = float(gap) if 0 < gap < 1e6 else 1.0
        self.sizes = self._sizes()
        self.receptor, self.weight, self.fires = self._drive()

    @staticmethod
    def compile(model: type[Neuron], real: np.dtype, by_unit: bool = False) -> Callable[..., None]:
        """Return the step compiled as the engine compiles it, for constants [k] or, by unit, [k, n]."""
        return _compile(model.step, real, by_unit)

    def steps(
        self,
        state: NDArray[Any],
        inputs: NDArray[Any],
        count: int,
        dt: float | None = None,
        *,
        compiled: bool = True,
        by_unit: bool = False,
    ) -> NDArray[np.uint8]:
        """Advance `state` by `count` steps with the same input in each; return [count, units] spikes."""
        if dt is None:
            constants = self.constants
        else:
            constants = np.array(self.neuron.constants(dt), np.float64)
        c = constants.astype(state.dtype)
        if by_unit:
            c = np.repeat(c[:, None], state.shape[1], axis=1)
        if compiled:
            step = self.compile(type(self.neuron), state.dtype, by_unit)
        else:
            step = type(self.neuron).step
        fired = np.full((count, state.shape[1]), MARK, np.uint8)
        with np.errstate(all="ignore"):
            for k in range(count):
                step(state, inputs, c, fired[k])
        return fired

    def states(self, real: Any, units: int, spread: float = 1.0) -> NDArray[Any]:
        """Return [states, units] around the initial state, from half a size below to one above, times `spread`."""
        rng = np.random.default_rng(0)
        offsets = rng.uniform(-0.5, 1, (len(self.sizes), units))
        state = self.initial[:, None] + spread * self.sizes[:, None] * offsets
        return np.ascontiguousarray(state.astype(real))

    def inputs(self, real: Any, units: int, receptor: int | None = None, weights: Any = 0.0) -> NDArray[Any]:
        """Return the input of every step, [receptors and drives, units]: `weights` at one receptor, 0 elsewhere."""
        inputs = np.zeros((len(self.neuron.receptors) + len(self.neuron.drives), units), real)
        if receptor is not None:
            inputs[receptor] = weights
        return inputs

    def run(
        self,
        real: Any,
        units: int,
        count: int,
        part: slice = slice(None),
        *,
        compiled: bool = True,
        by_unit: bool = False,
    ) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Return states after some steps, and spikes, of the units in `part`.

        Units start from different states, with inputs from 0 to twice the weight that makes the neuron fire.
        """
        state = self.states(real, units)
        inputs = self.inputs(real, units, self.receptor, self.weight * np.linspace(0, 2, units))
        state = np.ascontiguousarray(state[:, part])
        inputs = np.ascontiguousarray(inputs[:, part])
        return state, self.steps(state, inputs, count, compiled=compiled, by_unit=by_unit)

    def apart(self, a: NDArray[Any], b: NDArray[Any]) -> float:
        """Return the largest difference of two states, relative to the usual size of each variable."""
        size = np.maximum(np.maximum(self.sizes, np.abs(self.initial)), 1e-300)[:, None]
        scale = np.maximum(np.maximum(np.abs(a), np.abs(b)), size)
        with np.errstate(all="ignore"):
            gap = np.abs(a.astype(np.float64) - b) / scale
        # NaN in both states is no difference, NaN in one of them a difference of 1.
        gap = np.where(np.isnan(gap), np.isnan(a) != np.isnan(b), gap)
        return float(np.max(gap, initial=0.0))

    def refine(self) -> list[float]:
        """Return the errors of the membrane after 8 steps of 5 dt, and after halves and quarters of them.

        Errors are relative to the membrane's range, against steps 256 times finer. States start around rest, as far
        away as no neuron fires.
        """
        spread = 1.0
        for _ in range(12):
            ends = []
            quiet = True
            for parts in (1, 2, 4, 256):
                state = self.states(np.float64, 20, spread)
                fired = self.steps(state, self.inputs(np.float64, 20), 8 * parts, 5 * self.dt / parts)
                ends.append(state[self.membrane])
                quiet &= not fired.any()
            if quiet:
                return [float(np.abs(end - ends[-1]).max()) / (spread * self.range) for end in ends[:-1]]
            spread /= 2
        return [0.0, 0.0, 0.0]  # it fires from every state: none lies below its threshold

    def shrinks(self) -> float:
        """Return the move of the membrane in a step of dt / 64, relative to dt: about 1 / 64 if the step uses dt."""
        moves = []
        for dt in (self.dt, self.dt / 64):
            state = self.states(np.float64, 20, 0.3)
            before = state[self.membrane].copy()
            self.steps(state, self.inputs(np.float64, 20), 1, dt)
            moves.append(float(np.abs(state[self.membrane] - before).max()))
        whole, fraction = moves
        if whole == 0:
            return 0.0
        return fraction / whole

    def single(self) -> float:
        """Return the largest difference of float32 from float64 in 40 steps, in parts of the membrane's range."""
        for spread in (1.0, 0.25, 0.05):
            single, double = (self.states(real, 20, spread) for real in REALS)
            double[:] = single
            fired = [self.steps(state, self.inputs(state.dtype, 20), 40).any() for state in (single, double)]
            if not any(fired):
                exact = double[self.membrane]
                gap = np.abs(single[self.membrane].astype(np.float64) - exact)
                return float((gap / np.maximum(self.range, np.abs(exact))).max())
        return 0.0

    def extremes(self, real: np.dtype) -> tuple[str, float]:
        """Return the first state variable that becomes infinite or NaN, and the input; ("", 0) if there is none."""
        for receptor in range(len(self.neuron.receptors)):
            weights = abs(self.weight) * np.array([-1e6, -1e3, -30.0, 0.0, 30.0, 1e3, 1e6])
            if self.neuron.receptors[receptor] in self.neuron.positive:
                weights = np.abs(weights)
            state = self.states(real, len(weights), 0.0)
            strong = self.inputs(real, len(weights), receptor, weights)
            none = self.inputs(real, len(weights), receptor, 0.0)
            for inputs, count in ((strong, 50), (none, 50), (strong, 1), (none, 50)):
                self.steps(state, inputs, count)
                row, unit = np.nonzero(~np.isfinite(state))
                if row.size:
                    return self.neuron.state[row[0]], float(weights[unit[0]])
        return "", 0.0

    def rates(self) -> NDArray[np.int64] | None:
        """Return the spikes in 1 s at inputs of 1/4 to 4 times the weight that makes it fire, or None."""
        if not self.fires:
            return None
        weights = self.weight * np.linspace(0.25, 4, 24)
        state = self.states(np.float64, weights.size, 0.0)
        inputs = self.inputs(np.float64, weights.size, self.receptor, weights)
        return self.steps(state, inputs, round(1.0 / self.dt)).sum(axis=0, dtype=np.int64)

    def vectors(self) -> str:
        """Return the width of the vector instructions in the compiled step, in words; "" without."""
        step: Any = self.compile(type(self.neuron), REALS[0])
        code = "\n".join(step.inspect_llvm().values())
        widths = re.findall(r"f(?:add|mul|sub|cmp|div)[a-z ]* <(\d+) x float>", code)
        if widths:
            return f"{max(map(int, widths))} units at a time"
        return ""

    def _sizes(self) -> NDArray[np.float64]:
        """Return the smallest size on the ladder, of each row alone, that moves the membrane by 1/10 of its range."""
        parameters = {field.name for field in fields(self.neuron)}  # type: ignore[arg-type]
        sizes = np.zeros(len(self.initial))
        sizes[self.membrane] = self.range / 3
        still = np.repeat(self.initial[:, None], 1, axis=1)
        self.steps(still, self.inputs(np.float64, 1), 50)
        for row, name in enumerate(self.neuron.state):
            if row == self.membrane or name == "refractory" or name in parameters:
                continue
            state = np.repeat(self.initial[:, None], LADDER.size, axis=1)
            state[row] += LADDER
            self.steps(state, self.inputs(np.float64, LADDER.size), 50)
            # Against a run without the change, so that the drift of the membrane itself does not count.
            moved = np.abs(state[self.membrane] - still[self.membrane]) > self.range / 10
            if moved.any():
                sizes[row] = LADDER[np.argmax(moved)]
            else:
                sizes[row] = max(abs(self.initial[row]), self.range)
        return sizes

    def _drive(self) -> tuple[int, float, bool]:
        """Return receptor and smallest weight on the ladder, of either sign, that makes it fire in 0.1 s, and True."""
        smallest: list[tuple[int, float, bool]] = []
        for receptor, name in enumerate(self.neuron.receptors):
            signs = (1.0,) if name in self.neuron.positive else (1.0, -1.0)
            for sign in signs:
                state = np.repeat(self.initial[:, None], LADDER.size, axis=1)
                inputs = self.inputs(np.float64, LADDER.size, receptor, sign * LADDER)
                fired = self.steps(state, inputs, max(round(0.1 / self.dt), 20)).any(axis=0)
                # A neuron that fires at every weight fires without input.
                if fired.any() and not fired.all():
                    smallest.append((receptor, sign * float(LADDER[np.argmax(fired)]), True))
        # The first of equal ones, as `min` takes it: that of the earlier receptor, and of the positive sign.
        return min(smallest, key=lambda drive: abs(drive[1]), default=(0, self.range, False))


def spill(neuron: Neuron, dt: float, real: np.dtype, units: int, compiled: bool) -> str:
    """Return a sentence on memory that a step writes besides its units' state and spikes; "" for none."""
    initial = np.array(neuron.initial(), np.float64)
    constants = np.array(neuron.constants(dt), np.float64)
    shapes = (len(initial), units), (len(neuron.receptors) + len(neuron.drives), units), constants.shape, (units,)
    kinds = (real, real, real, np.dtype(np.uint8))
    if compiled:
        step = NeuronTrial.compile(type(neuron), real)
    else:
        step = type(neuron).step
    for weight in (0.0, 1.0, 1e6):
        # Each array lies between guards of a known value.
        buffers = [np.full(int(np.prod(s)) + 2 * GUARD, MARK, k) for s, k in zip(shapes, kinds, strict=True)]
        arrays = [b[GUARD : b.size - GUARD].reshape(s) for b, s in zip(buffers, shapes, strict=True)]
        state, inputs, c, spiked = arrays
        state[:] = initial[:, None]
        inputs[:] = weight
        c[:] = constants
        before = c.copy()
        try:
            with np.errstate(all="ignore"):
                step(state, inputs, c, spiked)
        except IndexError as error:
            return f"an index leaves its array: {error}"
        if any((b[:GUARD] != MARK).any() or (b[-GUARD:] != MARK).any() for b in buffers):
            return "memory beside its arrays was written"
        if (inputs != weight).any() or not np.array_equal(before, c, equal_nan=True):
            return "its inputs or constants were written"
        wrong = np.flatnonzero(spiked > 1)
        if wrong.size:
            return f"spiked of unit {wrong[0]} was not set to 0 or 1"
    return ""


# By function: models that differ in other methods share a step.
@functools.cache
def _compile(step: Callable[..., None], real: np.dtype, by_unit: bool) -> Callable[..., None]:
    from numba import from_dtype, njit, types

    from ...kernels.tools.written import dispatcher

    number = from_dtype(real)
    two = types.Array(number, 2, "C")
    one = types.Array(number, 1, "C")
    arguments = (two, two, two if by_unit else one, types.Array(types.uint8, 1, "C"))
    if real == REALS[0] and not by_unit:
        # `vectors` reads its code, which numba shows only where it has compiled it itself.
        return njit(types.void(*arguments), error_model="numpy")(step)
    made: Any = dispatcher(step, error_model="numpy")
    made.compile(arguments)
    made.disable_compile()
    return made
