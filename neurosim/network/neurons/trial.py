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
    """Test runs of a model's step. Everything random is drawn from one seed.

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
        self.range = float(gap) if 0 < gap < 1e6 else 1.0
        self.sizes = self._sizes()
        self.receptor, self.weight, self.fires = self._drive()

    @staticmethod
    @functools.cache
    def compile(model: type[Neuron], real: np.dtype, by_unit: bool = False) -> Callable[..., None]:
        """Return the step compiled as the engine compiles it, for constants [k] or, by unit, [k, n]."""
        from numba import from_dtype, njit, types

        number = from_dtype(real)
        two = types.Array(number, 2, "C")
        one = types.Array(number, 1, "C")
        signature = types.void(two, two, two if by_unit else one, types.Array(types.uint8, 1, "C"))
        return njit(signature, error_model="numpy")(model.step)

    def steps(
        self,
        state: NDArray,
        inputs: NDArray,
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

    def states(self, real: Any, units: int, spread: float = 1.0) -> NDArray:
        """[states, units] around the initial state."""
        rng = np.random.default_rng(0)
        around = self.initial[:, None] + spread * self.sizes[:, None] * rng.uniform(-0.5, 1, (len(self.sizes), units))
        return np.ascontiguousarray(around.astype(real))

    def inputs(self, real: Any, units: int, receptor: int | None = None, weights: Any = 0.0) -> NDArray:
        """[receptors, units] of what arrives in each step: `weights` at one receptor."""
        arrive = np.zeros((len(self.neuron.receptors), units), real)
        if receptor is not None:
            arrive[receptor] = weights
        return arrive

    def run(
        self,
        real: Any,
        units: int,
        count: int,
        part: slice = slice(None),
        *,
        compiled: bool = True,
        by_unit: bool = False,
    ) -> tuple[NDArray, NDArray[np.uint8]]:
        """Return states after some steps, and spikes, of the units in `part`. They start from many states, with inputs
        from 0 to what makes them fire."""
        state = self.states(real, units)
        inputs = self.inputs(real, units, self.receptor, self.weight * np.linspace(0, 2, units))
        state, inputs = (np.ascontiguousarray(each[:, part]) for each in (state, inputs))
        return state, self.steps(state, inputs, count, compiled=compiled, by_unit=by_unit)

    def apart(self, a: NDArray, b: NDArray) -> float:
        """The largest difference of two states, relative to what each variable usually is."""
        size = np.maximum(np.maximum(self.sizes, np.abs(self.initial)), 1e-300)[:, None]
        scale = np.maximum(np.maximum(np.abs(a), np.abs(b)), size)
        with np.errstate(all="ignore"):
            gap = np.abs(a.astype(np.float64) - b) / scale
        return float(np.max(np.where(np.isnan(gap), np.isnan(a) != np.isnan(b), gap), initial=0.0))

    def refine(self) -> list[float]:
        """Errors of the membrane after 8 steps of 5 dt, and of halves and quarters of them, against steps 256 times
        finer, in parts of its range; from states around rest, as far away as nothing fires."""
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
        return [0.0, 0.0, 0.0]  # fires whatever it starts from: nothing lies below its threshold

    def shrinks(self) -> float:
        """Return by how much dt / 64 moves the membrane, of what dt does: about 1 / 64 if the step uses dt."""
        moved = []
        for dt in (self.dt, self.dt / 64):
            state = self.states(np.float64, 20, 0.3)
            before = state[self.membrane].copy()
            self.steps(state, self.inputs(np.float64, 20), 1, dt)
            moved.append(float(np.abs(state[self.membrane] - before).max()))
        return moved[1] / moved[0] if moved[0] else 0.0

    def single(self) -> float:
        """Return the largest difference of float32 from float64 in 40 steps, in parts of the membrane's range."""
        for spread in (1.0, 0.25, 0.05):
            a, b = (self.states(real, 20, spread) for real in REALS)
            b[:] = a
            fired = [self.steps(state, self.inputs(state.dtype, 20), 40).any() for state in (a, b)]
            if not any(fired):
                gap = np.abs(a[self.membrane].astype(np.float64) - b[self.membrane])
                return float((gap / np.maximum(self.range, np.abs(b[self.membrane]))).max())
        return 0.0

    def extremes(self, real: np.dtype) -> tuple[str, float]:
        """The first state variable that is not finite, and the input that did it; ("", 0) if there is none."""
        for receptor in range(len(self.neuron.receptors)):
            weights = abs(self.weight) * np.array([-1e6, -1e3, -30.0, 0.0, 30.0, 1e3, 1e6])
            if self.neuron.receptors[receptor] in self.neuron.positive:
                weights = np.abs(weights)
            state = self.states(real, len(weights), 0.0)
            arrive, none = (self.inputs(real, len(weights), receptor, w) for w in (weights, 0.0))
            for inputs, count in ((arrive, 50), (none, 50), (arrive, 1), (none, 50)):
                self.steps(state, inputs, count)
                row, unit = np.nonzero(~np.isfinite(state))
                if row.size:
                    return self.neuron.state[row[0]], float(weights[unit[0]])
        return "", 0.0

    def rates(self) -> NDArray[np.int64] | None:
        """Spikes in 1 s under growing constant input, from half of what makes it fire; None if nothing does."""
        if not self.fires:
            return None
        weights = self.weight * np.linspace(0.25, 4, 24)
        state = self.states(np.float64, weights.size, 0.0)
        inputs = self.inputs(np.float64, weights.size, self.receptor, weights)
        return self.steps(state, inputs, round(1.0 / self.dt)).sum(axis=0, dtype=np.int64)

    def vectors(self) -> str:
        """The width of the vector instructions in the compiled step, in words; "" without."""
        step: Any = self.compile(type(self.neuron), REALS[0])
        wide = re.findall(r"f(?:add|mul|sub|cmp|div)[a-z ]* <(\d+) x float>", "\n".join(step.inspect_llvm().values()))
        if wide:
            return f"{max(map(int, wide))} units at a time"
        return ""

    def _sizes(self) -> NDArray[np.float64]:
        """By trying the ladder on each row alone: the smallest that moves the membrane by a third of its range."""
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
            moved = np.abs(state[self.membrane] - still[self.membrane]) > self.range / 10
            if moved.any():
                sizes[row] = LADDER[np.argmax(moved)]
            else:
                sizes[row] = max(abs(self.initial[row]), self.range)
        return sizes

    def _drive(self) -> tuple[int, float, bool]:
        """The receptor and the smallest weight of the ladder, of either sign, that makes it fire within 0.1 s."""
        best: tuple[int, float, bool] | None = None
        for receptor in range(len(self.neuron.receptors)):
            for sign in (1.0,) if self.neuron.receptors[receptor] in self.neuron.positive else (1.0, -1.0):
                state = np.repeat(self.initial[:, None], LADDER.size, axis=1)
                inputs = self.inputs(np.float64, LADDER.size, receptor, sign * LADDER)
                fired = self.steps(state, inputs, max(round(0.1 / self.dt), 20)).any(axis=0)
                if fired.any() and not fired.all():
                    found = receptor, sign * float(LADDER[np.argmax(fired)]), True
                    if best is None or abs(found[1]) < abs(best[1]):
                        best = found
        return best or (0, self.range, False)


def spill(neuron: Neuron, dt: float, real: np.dtype, units: int, compiled: bool) -> str:
    """Return in words what a step changes besides its units' state and spikes; "" for nothing."""
    initial, constants = (np.array(each, np.float64) for each in (neuron.initial(), neuron.constants(dt)))
    shapes = (len(initial), units), (len(neuron.receptors), units), constants.shape, (units,)
    kinds = (real, real, real, np.dtype(np.uint8))
    if compiled:
        step = NeuronTrial.compile(type(neuron), real)
    else:
        step = type(neuron).step
    for weight in (0.0, 1.0, 1e6):
        buffers = [np.full(int(np.prod(s)) + 2 * GUARD, MARK, k) for s, k in zip(shapes, kinds, strict=True)]
        state, inputs, c, spiked = (b[GUARD : b.size - GUARD].reshape(s) for b, s in zip(buffers, shapes, strict=True))
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
