"""Layer of active dendrites for continual learning (Iyer et al. 2022, Frontiers in Neurorobotics 16), in numpy.

This is the specification of the trainable form in `torch_layer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.measure.work import LayerCounts
from ...base.rules import Rule, check_rules
from ...base.shown import Shown
from ...network.neurons.base import LATER
from ...network.windowed import MAX_COUNT, Arrivals, Output, WindowModel, WindowState, WindowTotals, array_of
from .inputs import integer

Array = NDArray[Any]
INPUT = "input"
CONTEXT = "context"
TARGET = "target"
LEVEL = 1 / 8  # value of a spike: a power of two scales without rounding
# Spikes of a unit in a window.
MAX_SPIKES = 255
# Bound of saved weights: any finite number.
MAX_VALUE = 1e300


@final
@dataclass(frozen=True, eq=False)
class DendriteLayer(WindowModel):
    """Units gated by the dendritic segment that responds most strongly to the context.

    y = W x + b,  d_ij = u_ij . c,  j* = argmax over j of |d_ij|,  out = kWTA(y_i sigmoid(d_ij*)).

    d keeps its sign: a strongly negative response shuts the unit. kWTA keeps the `winners` largest values of each row
    and sets the others to 0; for the ranking alone, values are multiplied by exp(-boost duty), where duty is the
    frequency with which a unit has won. Ties go to the lower unit.

    In a network x is the number of spikes of each input in a window. A winner of value v sends a burst of round(v /
    level) spikes at its end, from 0 to `MAX_SPIKES`. c is the number of spikes at the receptor "context", and holds
    until another context arrives or a recording begins, with c = 0. Weights and segments stay as they are, unless the
    layer has a learning rate: then it learns in every window with spikes at the receptor "target", t_i / level for unit
    i. With v_i = y_i s_i and s_i = sigmoid(d_ij*), the units that win or have a target take a step down the gradient of
    sum over i of (t_i - v_i)^2 / 2:

        W_i += eta (t_i - v_i) s_i x,  b_i += eta (t_i - v_i) s_i,  u_ij* += eta (t_i - v_i) y_i s_i (1 - s_i) c.

    Attributes:
        weights: [units, inputs] W; zeros stay zeros where the layer is sparse.
        bias: [units] b.
        segments: [units, segments, contexts] u.
        winners: k.
        boost: beta.
        level: value that a spike of a winner stands for in a network, and of a target.
        learning_rate: eta; 0: nothing is learned, and there is no receptor "target".

    Raises:
        NeurosimInputError: on construction, where shapes do not fit together.
    """

    weights: Array
    bias: Array
    segments: Array
    winners: int
    boost: Annotated[float, Rule("finite and >= 0")] = 0.0
    level: Annotated[float, Rule("finite and > 0")] = LEVEL
    learning_rate: Annotated[float, Rule("finite and >= 0")] = field(default=0.0, metadata=LATER)

    def __post_init__(self) -> None:
        units = len(self.weights)
        require(self.weights.ndim == 2, "DendriteLayer.weights", "must be [units, inputs]", self.weights.shape)
        require(self.bias.shape == (units,), "DendriteLayer.bias", f"must be [{units}]", self.bias.shape)
        fits = self.segments.ndim == 3 and len(self.segments) == units and self.segments.shape[1] > 0
        require(fits, "DendriteLayer.segments", f"must be [{units}, segments, contexts]", self.segments.shape)
        integer(self.winners, "DendriteLayer.winners", 1, units)
        check_rules(self)

    def forward(self, x: object, context: object, duty: object = None) -> Array:
        """Return [B, units] from x [B, inputs], contexts [B, contexts] or one [contexts], and duty [units] (None: 0).

        Raises:
            NeurosimInputError: shapes that do not fit; an empty batch is fine.
        """
        inputs = np.asarray(x)
        contexts = np.asarray(context)
        units, width = self.weights.shape
        good = inputs.ndim == 2 and inputs.shape[1] == width
        require(good, "DendriteLayer.forward: x", f"must be [batch, {width}]", inputs.shape)
        size = self.segments.shape[2]
        good = contexts.shape in ((size,), (len(inputs), size))
        require(good, "DendriteLayer.forward: context", f"must be [{size}] or [batch, {size}]", contexts.shape)
        duties = np.zeros(units) if duty is None else np.asarray(duty)
        require(duties.shape == (units,), "DendriteLayer.forward: duty", f"must be [{units}]", duties.shape)
        y = inputs @ self.weights.T + self.bias
        return winners_take_all(y * sigmoid(self.strongest(contexts)), self.winners, self.boost, duties)

    def strongest(self, context: Array) -> Array:
        """Return [..., units] responses of largest magnitude, with their sign, to contexts [..., contexts]."""
        return _strongest(self.segments, context)[0]

    @property
    def receptors(self) -> Mapping[str, int]:
        sizes = {INPUT: self.weights.shape[1], CONTEXT: self.segments.shape[2]}
        if self.learning_rate:
            sizes[TARGET] = self.outputs
        return sizes

    @property
    def teachers(self) -> tuple[str, ...]:
        return (TARGET,) if self.learning_rate else ()

    @property
    def outputs(self) -> int:
        return len(self.weights)

    def start(self) -> WindowState:
        return _LayerState(self)


@final
class _LayerState(WindowState):
    """A layer in a network.

    Attributes:
        rows: [inputs, units] weights by input.
        mask: [inputs, units] weights that may be other than zero.
        synapses: [inputs] number of these of each input.
        context: [contexts] c.
        gate: [units] sigmoid of the strongest response to the context.
    """

    def __init__(self, model: DendriteLayer) -> None:
        self.model = model
        self.learns = model.learning_rate > 0
        # Copies, where the layer learns: the model's own arrays stay as they are.
        self.rows = np.array(model.weights.T, order="C")
        self.mask = self.rows != 0
        self.synapses = np.count_nonzero(self.mask, axis=1)
        self.bias = model.bias.copy() if self.learns else model.bias
        self.segments = model.segments.copy() if self.learns else model.segments
        self.context: Array = np.empty(model.segments.shape[2], model.segments.dtype)
        self.gate: Array = np.empty(model.outputs, model.segments.dtype)
        self.begin()

    def begin(self) -> None:
        self.context[:] = 0
        # The sigmoid of 0, every response to the context c = 0.
        self.gate[:] = 0.5

    def step(self, arrivals: Mapping[str, Arrivals], *, learn: bool) -> Output:
        model = self.model
        inputs = arrivals[INPUT]
        context = arrivals[CONTEXT]
        operations = int(self.synapses[inputs.units].sum())
        if len(context.units):
            units, segments, _ = self.segments.shape
            self.context[:] = 0
            self.context[context.units] = context.counts
            self.gate[:] = sigmoid(_strongest(self.segments, self.context)[0])
            operations += len(context.units) * units * segments
        # Without context of this window the gate stays as the last one left it.
        y = inputs.counts.astype(self.rows.dtype) @ self.rows[inputs.units] + self.bias
        values = y * self.gate
        winners = np.sort(best(values[None], model.winners)[0]).astype(np.int32)
        spikes = np.clip(np.rint(values[winners] / model.level), 0, MAX_SPIKES).astype(np.int64)
        if learn and self.learns:
            operations += self._learn(inputs, arrivals[TARGET], y, winners)
        return Output(np.repeat(winners, spikes), operations)

    def _learn(self, inputs: Arrivals, target: Arrivals, y: Array, winners: NDArray[np.int32]) -> int:
        """Take a step down the gradient; return the number of weights that it changed. Without a target it is 0."""
        if not len(target.units):
            return 0
        wanted = np.zeros_like(y)
        wanted[target.units] = target.counts * self.model.level
        units = np.union1d(winners, target.units)
        gate = self.gate[units]
        steps = self.model.learning_rate * (wanted[units] - y[units] * gate)
        rows = np.ix_(inputs.units, units)
        self.rows[rows] += np.outer(inputs.counts, steps * gate) * self.mask[rows]
        self.bias[units] += steps * gate
        active = np.flatnonzero(self.context)
        if len(active):
            _, best = _strongest(self.segments[units], self.context)
            slopes = steps * y[units] * gate * (1 - gate)
            self.segments[units, best] += slopes[:, None] * self.context
            # The context holds: its answers follow the segments.
            self.gate[units] = sigmoid(_strongest(self.segments[units], self.context)[0])
        return int(np.count_nonzero(self.mask[rows])) + len(active) * len(units)

    def arrays(self) -> dict[str, NDArray[Any]]:
        if not self.learns:
            return {"gate": self.gate.copy()}
        names = ("gate", "context", "bias", "segments")
        return {"weights": self.rows.T.copy()} | {name: getattr(self, name).copy() for name in names}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        gate = array_of(arrays, "gate", like=self.gate, low=0.0, high=1.0)
        # All arrays are checked before any of them is written.
        if self.learns:
            self._restore_learned(arrays)
        self.gate[:] = gate

    def _restore_learned(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        weights = array_of(arrays, "weights", like=self.model.weights, low=-MAX_VALUE, high=MAX_VALUE)
        good = not weights[~self.mask.T].any()
        require(good, "state['weights']", "must be 0 where the layer has no weight", "another value")
        context = array_of(arrays, "context", like=self.context, low=0, high=MAX_COUNT)
        bias = array_of(arrays, "bias", like=self.bias, low=-MAX_VALUE, high=MAX_VALUE)
        segments = array_of(arrays, "segments", like=self.segments, low=-MAX_VALUE, high=MAX_VALUE)
        self.rows[:] = weights.T
        self.context[:] = context
        self.bias[:] = bias
        self.segments[:] = segments

    def layer(self, name: str, totals: WindowTotals) -> LayerCounts:
        model = self.model
        size = model.weights.size + model.segments.size
        units = model.outputs
        return LayerCounts(
            name=name,
            inputs=sum(model.receptors.values()),
            outputs=units,
            weights=size,
            nonzero_weights=int(self.synapses.sum()) + int(np.count_nonzero(self.segments)),
            weight_bits=8 * model.weights.itemsize,
            steps=totals.windows,
            input_events=totals.input_events,
            output_events=totals.output_events,
            output_entries=units * totals.windows,
            synaptic_operations=totals.synaptic_operations,
            binary_input=False,
            # A dense layer computes its segments in every window, also where the context has not changed.
            dense_operations=size * totals.windows,
            membrane_updates=0,  # sums do not outlast their window
            dense_membrane_updates=0,
            state_bytes=self.gate.nbytes,
            parameter_bytes=model.weights.nbytes + model.bias.nbytes + model.segments.nbytes,
            spiking=True,
            state_bits=8 * self.gate.itemsize,
        )


def _strongest(segments: Array, context: Array) -> tuple[Array, NDArray[np.int64]]:
    """Return [..., units] responses of largest magnitude to contexts [..., contexts], and the segments that gave them.

    Args:
        segments: [units, segments, contexts].
    """
    responses = np.einsum("ijc,...c->...ij", segments, context)
    best = np.abs(responses).argmax(axis=-1)
    return np.take_along_axis(responses, best[..., None], axis=-1)[..., 0], best


def winners_take_all(values: Array, winners: int, boost: float, duty: Array) -> Array:
    """Return values [B, units], 0 but for the `winners` units of each row with the largest value exp(-boost duty)."""
    order = best(values * np.exp(-boost * duty), winners)
    out = np.zeros_like(values)
    np.put_along_axis(out, order, np.take_along_axis(values, order, axis=1), axis=1)
    return out


def best(values: Array, winners: int) -> NDArray[np.int64]:
    """Return [B, winners] places of the largest values [B, units] of each row; ties go to the lower unit."""
    return np.argsort(-values, axis=1, kind="stable")[:, :winners]


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), without overflow."""
    return np.exp(-np.logaddexp(0.0, -x))


@final
@dataclass(frozen=True, eq=False)
class Prototypes(Shown):
    """Contexts of tasks: the mean input of each task; an input belongs to the task of the nearest mean.

    Attributes:
        means: [tasks, inputs].
    """

    means: Array

    @classmethod
    def of(cls, tasks: list[Array]) -> Prototypes:
        """Return the means of the training inputs [n, inputs] of each task.

        Raises:
            NeurosimInputError: no task, one without inputs, or of another width.
        """
        require(len(tasks) > 0, "Prototypes.of", "needs at least one task", 0)
        for task in tasks:
            fits = task.ndim == 2 and len(task) > 0 and task.shape[1] == tasks[0].shape[1]
            require(fits, "Prototypes.of", f"needs inputs [n, {tasks[0].shape[-1]}] of each task", task.shape)
        return cls(np.stack([task.mean(axis=0) for task in tasks]))

    def infer(self, x: object) -> NDArray[np.int64]:
        """Return [B] tasks of the means nearest to x [B, inputs] (Euclidean); ties go to the earlier task.

        Raises:
            NeurosimInputError: another number of inputs.
        """
        inputs = np.asarray(x)
        good = inputs.ndim == 2 and inputs.shape[1] == self.means.shape[1]
        require(good, "Prototypes.infer", f"needs [batch, {self.means.shape[1]}]", inputs.shape)
        # |x - m|^2 = |x|^2 + |m|^2 - 2 x.m, and |x|^2 is the same for every task.
        return (np.square(self.means).sum(axis=1) - 2 * inputs @ self.means.T).argmin(axis=1)
