"""Readouts of sparse codes: classes learned from codes that come once, by a rate of each input or by ridge regression.

Features are winners of columns, or roots of the wins of patches. `learning.OnlineReadout` does the same window by
window in a network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.measure.work import LayerCounts
from ...base.rules import Count, Positive, Rule, check_rules
from ...base.shown import Shown
from ...kernels.memory.code_readout.reference import SparseCodes
from ...network.windowed import array_of

MAX_WEIGHT = float(np.finfo(np.float32).max)
MAX_POWER = 1e300
# The solution of ridge regression ends at this part of the first error, or after so many iterations.
TOLERANCE = 1e-5
MAX_ITERATIONS = 500


def sparse_codes(values: NDArray[Any]) -> SparseCodes:
    """Return codes from values [items, features], most of them 0."""
    dense = np.asarray(values)
    require(dense.ndim == 2, "sparse_codes", "needs [items, features]", dense.shape)
    items, features = np.nonzero(dense)
    # Items ascend: each begins where its number would be inserted.
    offsets = np.searchsorted(items, np.arange(len(dense) + 1)).astype(np.int64)
    return SparseCodes(offsets, features.astype(np.int32), dense[items, features].astype(np.float32))


def winner_codes(winners: NDArray[np.int32], first: NDArray[np.int64]) -> SparseCodes:
    """Return codes from winners [items, modules], -1 for none; `first` [modules] is the feature of unit 0 of each."""
    run = winners >= 0
    features = (winners + first)[run].astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(run.sum(axis=1))]).astype(np.int64)
    return SparseCodes(offsets, features, np.ones(len(features), np.float32))


class CodeReadout(Shown, ABC):
    """Weights from features of codes to classes, learned from labelled codes.

    Attributes:
        features, classes: numbers of features and of classes.
    """

    features: int
    classes: int
    # Name of the readout in settings.
    name: ClassVar[str]

    @abstractmethod
    def learn(self, codes: SparseCodes, labels: NDArray[np.int64]) -> None:
        """Learn labelled codes, in this order; several calls are equal to one with all codes.

        Raises:
            NeurosimInputError: a label outside the classes, features beyond their number.
        """

    @abstractmethod
    def weights(self) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Return weights [features, classes] and biases [classes] after the codes so far."""

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return copies of everything that learning changes."""

    @abstractmethod
    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from the arrays of another readout of the same settings.

        Raises:
            NeurosimInputError: an array is missing, of another form, or holds a value out of range; nothing is changed
                then.
        """

    def scores(self, codes: SparseCodes) -> NDArray[np.float64]:
        """Return [items, classes] scores; the class of the largest wins."""
        from ...kernels.memory.code_readout.cpu import scores

        self._check(codes)
        weights, bias = self.weights()
        out: NDArray[np.float64] = np.zeros((len(codes.offsets) - 1, self.classes))
        scores(*codes, weights, out)
        return out + bias

    def work(self, codes: SparseCodes, name: str = "readout") -> LayerCounts:
        """Return the work of `scores`: each feature that is not 0 selects its row of weights."""
        self._check(codes)
        weights, bias = self.weights()
        items = len(codes.offsets) - 1
        # A weight that is 0 costs no operation.
        nonzero = np.count_nonzero(weights, axis=1)
        return LayerCounts(
            name=name,
            inputs=self.features,
            outputs=self.classes,
            weights=weights.size,
            nonzero_weights=int(nonzero.sum()),
            weight_bits=8 * weights.itemsize,
            steps=items,
            input_events=len(codes.features),
            output_events=items * self.classes,
            output_entries=items * self.classes,
            synaptic_operations=int(nonzero[codes.features].sum()),
            binary_input=bool((codes.values == 1).all()),
            dense_operations=items * weights.size,
            membrane_updates=0,
            dense_membrane_updates=0,
            state_bytes=0,
            parameter_bytes=weights.nbytes + bias.nbytes,
            spiking=False,
        )

    def _check(self, codes: SparseCodes, labels: NDArray[np.int64] | None = None) -> None:
        name = type(self).__name__
        if len(codes.features):
            low = int(codes.features.min())
            high = int(codes.features.max())
            rule = f"must be features 0..{self.features - 1}"
            require(0 <= low <= high < self.features, f"{name}: codes", rule, (low, high))
        if labels is None:
            return
        items = len(codes.offsets) - 1
        good = labels.shape == (items,) and labels.dtype.kind in "iu"
        require(good, f"{name}: labels", f"must be {items} integers", labels.shape)
        inside = items == 0 or 0 <= labels.min() <= labels.max() < self.classes
        require(bool(inside), f"{name}: labels", f"must be in 0..{self.classes - 1}", labels)


@final
@dataclass(eq=False)
class RateReadout(CodeReadout):
    """Weights that learn from each code once, by a rate for each input.

    power_f += x_f^2;  r_f = x_f / power_f;  W += rate r (t - W x)^T / r.x;  t is 1 for the label, 0 for other classes.

    It is the diagonal of recursive least squares, as `OnlineReadout.input_rates`: a feature that was rarely active
    learns the most. Nothing but the weights and the power of each input is kept, and an item costs the same however
    many came before.

    Attributes:
        features, classes: numbers of features and of classes.
        rate: part of the error of an item that its own change removes.
    """

    features: Count
    classes: Count
    rate: Annotated[float, Rule("> 0 and <= 1")] = 1.0
    name: ClassVar[str] = "rates"

    def __post_init__(self) -> None:
        check_rules(self)
        self._weights: NDArray[np.float32] = np.zeros((self.features, self.classes), np.float32)
        self._power: NDArray[np.float64] = np.zeros(self.features)

    def learn(self, codes: SparseCodes, labels: NDArray[np.int64]) -> None:
        from ...kernels.memory.code_readout.cpu import learn_rates

        self._check(codes, labels)
        learn_rates(*codes, labels.astype(np.int64), self.rate, self._weights, self._power)

    def weights(self) -> tuple[NDArray[Any], NDArray[np.float64]]:
        return self._weights, np.zeros(self.classes)

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"weights": self._weights.copy(), "power": self._power.copy()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        weights = array_of(arrays, "weights", like=self._weights, low=-MAX_WEIGHT, high=MAX_WEIGHT)
        power = array_of(arrays, "power", like=self._power, low=0.0, high=MAX_POWER)
        self._weights[...] = weights
        self._power[...] = power


@final
@dataclass(eq=False)
class RidgeReadout(CodeReadout):
    """Ridge regression of all codes so far, solved anew when it is asked for after more of them.

    The minimum of |T - X W - b|^2 + p |W|^2, T being 1 for the label and -1 for other classes, and p `penalty` times
    the mean square of the centred codes. It is solved by conjugate gradients on the products of the items, whose
    iterations cost as much as reading all codes twice. Codes are kept, 8 bytes for each feature that is not 0.

    Attributes:
        features, classes: numbers of features and of classes.
        penalty: weight of |W|^2, in mean squares of a code.
    """

    features: Count
    classes: Count
    penalty: Positive = 0.2
    name: ClassVar[str] = "ridge"

    def __post_init__(self) -> None:
        check_rules(self)
        self._parts: list[SparseCodes] = []
        self._labels: list[NDArray[np.int64]] = []
        self._solution: tuple[NDArray[Any], NDArray[np.float64]] | None = None

    def learn(self, codes: SparseCodes, labels: NDArray[np.int64]) -> None:
        self._check(codes, labels)
        self._parts.append(codes)
        self._labels.append(labels.astype(np.int64))
        self._solution = None

    def weights(self) -> tuple[NDArray[Any], NDArray[np.float64]]:
        if self._solution is None:
            self._solution = self._solve()
        return self._solution

    def arrays(self) -> dict[str, NDArray[Any]]:
        codes, labels = self._joined()
        return {**codes._asdict(), "labels": labels.copy()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        items = len(np.atleast_1d(arrays.get("labels", np.zeros(0))))
        number = len(np.atleast_1d(arrays.get("features", np.zeros(0))))
        codes = SparseCodes(
            array_of(arrays, "offsets", like=np.zeros(items + 1, np.int64), low=0, high=number).copy(),
            array_of(arrays, "features", like=np.zeros(number, np.int32), low=0, high=self.features - 1).copy(),
            array_of(arrays, "values", like=np.zeros(number, np.float32), low=-MAX_WEIGHT, high=MAX_WEIGHT).copy(),
        )
        labels = array_of(arrays, "labels", like=np.zeros(items, np.int64), low=0, high=self.classes - 1).copy()
        # The kernels trust these bounds.
        ends = (int(codes.offsets[0]), int(codes.offsets[-1]))
        rises = bool((np.diff(codes.offsets) >= 0).all()) and ends == (0, number)
        require(rises, "state['offsets']", f"must rise from 0 to {number}", ends)
        self._parts = [codes]
        self._labels = [labels]
        self._solution = None

    def _joined(self) -> tuple[SparseCodes, NDArray[np.int64]]:
        """Return all codes so far as one, and their labels."""
        if len(self._parts) != 1:
            offsets = [np.zeros(1, np.int64)]
            for part in self._parts:
                offsets.append(part.offsets[1:] + offsets[-1][-1])
            features = [part.features for part in self._parts] or [np.zeros(0, np.int32)]
            values = [part.values for part in self._parts] or [np.zeros(0, np.float32)]
            self._parts = [SparseCodes(np.concatenate(offsets), np.concatenate(features), np.concatenate(values))]
            self._labels = [np.concatenate(self._labels or [np.zeros(0, np.int64)])]
        return self._parts[0], self._labels[0]

    def _solve(self) -> tuple[NDArray[Any], NDArray[np.float64]]:
        from ...kernels.memory.code_readout.cpu import scores, spread

        codes, labels = self._joined()
        items = len(labels)
        if not items:
            return np.zeros((self.features, self.classes), np.float32), np.zeros(self.classes)
        targets = np.where(labels[:, None] == np.arange(self.classes), 1.0, -1.0)
        prior = targets.mean(axis=0)
        mean = np.bincount(codes.features, codes.values, self.features) / items
        # Mean square of a centred code.
        square = (float(np.square(codes.values, dtype=np.float64).sum())) / items - float(mean @ mean)
        penalty = self.penalty * max(square, 1e-12)

        def transposed(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
            """Return Z^T a, Z being the centred codes."""
            out: NDArray[np.float64] = np.zeros((self.features, self.classes))
            spread(*codes, amounts, out)
            return out - mean[:, None] * amounts.sum(axis=0)

        def products(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
            """Return (Z Z^T + p) a."""
            inner = transposed(amounts)
            out: NDArray[np.float64] = np.zeros((items, self.classes))
            scores(*codes, inner, out)
            return out - mean @ inner + penalty * amounts

        solution = _conjugate_gradients(products, targets - prior)
        weights = transposed(solution)
        return weights.astype(np.float32), prior - mean @ weights


def _conjugate_gradients(
    products: Callable[[NDArray[np.float64]], NDArray[np.float64]], targets: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the solution of A x = targets [n, classes], column by column; A is symmetric and positive definite.

    Args:
        products: returns A x.
    """
    solution = np.zeros_like(targets)
    residual = targets.copy()
    direction = residual.copy()
    power = np.square(residual).sum(axis=0)
    goal = TOLERANCE**2 * power
    for _ in range(MAX_ITERATIONS):
        if (power <= goal).all():
            break
        image = products(direction)
        curvature = (direction * image).sum(axis=0)
        # A column that has reached its solution has a direction of 0.
        step = np.divide(power, curvature, out=np.zeros_like(power), where=curvature > 0)
        solution += step * direction
        residual -= step * image
        now = np.square(residual).sum(axis=0)
        direction = residual + np.divide(now, power, out=np.zeros_like(now), where=power > 0) * direction
        power = now
    return solution


READOUTS: Mapping[str, type[RateReadout] | type[RidgeReadout]] = {"rates": RateReadout, "ridge": RidgeReadout}
