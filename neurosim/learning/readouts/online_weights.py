"""Weights of an online readout, and what an item changes in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from ...network.windowed import array_of
from .lateral import MAX_WEIGHT
from .linear import MAX_SCORE

if TYPE_CHECKING:
    from .lateral import LateralState

# Fraction of the power of an item that is added to the power of its projection: items that lie nearly in the old
# subspace take no huge steps.
STEP_FLOOR = 1e-3


@final
class OnlineWeights:
    """Weights W [classes, features] that change by the error of one item after another; `OnlineReadout` has the rules.

    Attributes:
        w: [classes, features] float32.
        power: [features] sum of squares of each feature, where inputs have rates of their own; else [0].
        pairs: [features, features] the synapses P between features, with a penalty; else [0, 0].
    """

    def __init__(
        self, classes: int, features: int, *, learning_rate: float, normalised: bool, input_rates: bool, penalty: float
    ) -> None:
        self.learning_rate = learning_rate
        self.normalised = normalised
        self.input_rates = input_rates
        self.penalty = penalty
        self.w: NDArray[np.float32] = np.zeros((classes, features), np.float32)
        self.power: NDArray[np.float64] = np.zeros(features if input_rates else 0)
        self.pairs: NDArray[np.float64] = np.eye(features if penalty else 0) / (penalty or 1.0)

    @property
    def nbytes(self) -> int:
        return self.w.nbytes + self.power.nbytes + self.pairs.nbytes

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return copies of the arrays that later items change."""
        arrays: dict[str, NDArray[Any]] = {"weights": self.w.copy()}
        if self.input_rates:
            arrays["power"] = self.power.copy()
        if self.penalty:
            arrays["pairs"] = self.pairs.copy()
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from the arrays of other weights of the same settings.

        Raises:
            NeurosimInputError: an array is missing, of another form, or holds a value out of range; nothing is changed
                then.
        """
        restored: list[tuple[NDArray[Any], NDArray[Any]]] = []
        restored.append((self.w, array_of(arrays, "weights", like=self.w, low=-MAX_WEIGHT, high=MAX_WEIGHT)))
        if self.input_rates:
            restored.append((self.power, array_of(arrays, "power", like=self.power, low=0.0, high=MAX_SCORE)))
        if self.penalty:
            restored.append((self.pairs, array_of(arrays, "pairs", like=self.pairs, low=-MAX_SCORE, high=MAX_SCORE)))
        # All arrays are checked before any of them is written.
        for array, value in restored:
            array[:] = value

    def change(self, x: NDArray[np.float32], error: NDArray[np.float64], lateral: LateralState | None) -> int:
        """Change W after an item.

        Args:
            x: [features], not all 0.
            error: [classes].
            lateral: the circuit that projects changes, and learns the item; None: no projection.

        Returns:
            the number of synapses, other than those of W, that answered or fed back.
        """
        if self.penalty:
            return self._change_pairs(x, error)
        if lateral is None:
            self._change(x, error, x.astype(np.float64))
            return 0
        # r = x - H_old^T H_old x
        residual, operations = lateral.residual(x)
        self._change(x, error, residual)
        return operations + lateral.learn(x, residual)

    def _change(self, x: NDArray[np.float32], error: NDArray[np.float64], residual: NDArray[np.float64]) -> None:
        """Change W by step e r^T, r being the residual, or with `input_rates` g times it."""
        from ...kernels.memory.readout.cpu import change

        step = self.learning_rate
        direction = residual
        floor = STEP_FLOOR * float(np.square(x, dtype=np.float64).sum())
        if self.input_rates:
            # g_i = 1 / sum x_i^2
            self.power += np.square(residual)
            direction = np.divide(residual, self.power, out=np.zeros_like(residual), where=residual != 0.0)
            # No circuit takes a part of the item away, so r.x needs no floor.
            floor = 0.0
        if self.normalised:
            # learning_rate / r.x; r.x of a projection is |r|^2
            step /= float((direction * residual).sum()) + floor
        change(self.w, error, step, direction)

    def _change_pairs(self, x: NDArray[np.float32], error: NDArray[np.float64]) -> int:
        """Change W and P by recursive least squares; return the number of synapses that answered."""
        from ...kernels.memory.readout.cpu import change, relate, unlearn

        # k = P x
        answers = np.empty(len(x))
        relate(self.pairs, x, answers)
        total = 1.0 + float(answers @ x)
        # W += e k^T / (1 + k.x)
        change(self.w, error, 1.0 / total, answers)
        # P -= k k^T / (1 + k.x)
        unlearn(self.pairs, answers, total)
        return int(np.count_nonzero(x)) * len(x)
