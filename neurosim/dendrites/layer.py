"""Layer of active dendrites for continual learning (Iyer et al. 2022, Frontiers in Neurorobotics 16), in numpy.

This is the specification of the trainable form in `torch_layer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from ..errors import require
from .inputs import integer

Array = NDArray


@final
@dataclass(frozen=True, eq=False)
class DendriteLayer:
    """Units gated by the dendritic segment that responds most strongly to the context.

    y = W x + b,  d_ij = u_ij . c,  j* = argmax over j of |d_ij|,  out = kWTA(y_i sigmoid(d_ij*)).

    d keeps its sign: a strongly negative response shuts the unit. kWTA keeps the `winners` largest values of each row
    and sets the others to 0; for the ranking alone, values are multiplied by exp(-boost duty), where duty is the
    frequency with which a unit has won. Ties go to the lower unit.

    Attributes:
        weights: [units, inputs] W; zeros stay zeros where the layer is sparse.
        bias: [units] b.
        segments: [units, segments, contexts] u.
        winners: k.
        boost: beta.

    Raises:
        NeurosimInputError: on construction, where shapes do not fit together.
    """

    weights: Array
    bias: Array
    segments: Array
    winners: int
    boost: float = 0.0

    def __post_init__(self) -> None:
        units = len(self.weights)
        require(self.weights.ndim == 2, "DendriteLayer.weights", "must be [units, inputs]", self.weights.shape)
        require(self.bias.shape == (units,), "DendriteLayer.bias", f"must be [{units}]", self.bias.shape)
        fits = self.segments.ndim == 3 and len(self.segments) == units and self.segments.shape[1] > 0
        require(fits, "DendriteLayer.segments", f"must be [{units}, segments, contexts]", self.segments.shape)
        integer(self.winners, "DendriteLayer.winners", 1, units)
        require(0 <= self.boost < np.inf, "DendriteLayer.boost", "must be finite and >= 0", self.boost)

    def forward(self, x: object, context: object, duty: object = None) -> Array:
        """Return [B, units] from x [B, inputs], contexts [B, contexts] or one [contexts], and duty [units] (None: 0).

        Raises:
            NeurosimInputError: shapes that do not fit; an empty batch is fine.
        """
        inputs, contexts = np.asarray(x), np.asarray(context)
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
        responses = np.einsum("ijc,...c->...ij", self.segments, context)
        best = np.abs(responses).argmax(axis=-1)
        return np.take_along_axis(responses, best[..., None], axis=-1)[..., 0]


def winners_take_all(values: Array, winners: int, boost: float, duty: Array) -> Array:
    """Set all but the `winners` largest values [B, units] of each row to 0, ranked by value times exp(-boost duty)."""
    ranked = values * np.exp(-boost * duty)
    order = np.argsort(-ranked, axis=1, kind="stable")[:, :winners]
    kept = np.zeros_like(values)
    np.put_along_axis(kept, order, np.take_along_axis(values, order, axis=1), axis=1)
    return kept


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), without overflow."""
    return np.exp(-np.logaddexp(0.0, -x))


@final
@dataclass(frozen=True, eq=False)
class Prototypes:
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
        """Return [B] tasks of the means nearest to x [B, inputs] (Euclidean); ties go to the earlier task."""
        inputs = np.asarray(x)
        good = inputs.ndim == 2 and inputs.shape[1] == self.means.shape[1]
        require(good, "Prototypes.infer", f"needs [batch, {self.means.shape[1]}]", inputs.shape)
        # |x|^2 is the same for every task.
        return (np.square(self.means).sum(axis=1) - 2 * inputs @ self.means.T).argmin(axis=1)
