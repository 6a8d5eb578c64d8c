"""Ridge regression of numbers on states, with the penalty of each target chosen on the end of the training part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base.blas import one_thread
from ...base.errors import require
from ...base.rules import Rule, check_rules
from ...base.shown import Shown
from ...data.files.state import Saved, check_finite

# Tenfold steps of the penalty, in units of the mean eigenvalue of the products of the states.
PENALTIES = tuple(10.0**k for k in range(-8, 3))


@dataclass(frozen=True)
class RidgeRegression(Shown):
    """Minimum of |Y - X W - b|^2 + penalty |W|^2 for states X [n, features] and targets Y [n, targets].

    States are divided by their standard deviations. The penalty of each target is that of `penalties` with the smallest
    error on the last part of the training states, of a fit to the others; the fit to all follows.

    Attributes:
        penalties: in units of the mean eigenvalue of X' X.
        validation: fraction of the training states that choose the penalty.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    penalties: tuple[float, ...] = PENALTIES
    validation: Annotated[float, Rule("> 0 and < 1")] = 0.2

    def __post_init__(self) -> None:
        check_rules(self)
        good = len(self.penalties) > 0 and min(self.penalties) > 0
        require(good, "RidgeRegression.penalties", "must hold numbers > 0", self.penalties)

    def fit(self, states: NDArray[np.floating], targets: NDArray[np.float64]) -> TrainedRegression:
        """Return the trained regression.

        Args:
            states: [n, features] in the order of time.
            targets: [n, targets].

        Raises:
            NeurosimInputError: fewer than ten states, targets that do not fit them, or numbers that are not finite.
        """
        name = "RidgeRegression.fit"
        fits = states.ndim == 2 and targets.ndim == 2 and len(states) == len(targets) >= 10
        require(
            fits, name, "needs states [n, features] and targets [n, targets], n >= 10", (states.shape, targets.shape)
        )
        check_finite({"states": states, "targets": targets})
        with one_thread():
            # The last part of the series validates: parts drawn at random would lie between states that are nearly the
            # same.
            begin = len(states) - max(1, round(self.validation * len(states)))
            first = _Spectrum.of(states[:begin], targets[:begin])
            errors = np.empty((len(self.penalties), targets.shape[1]))
            for k, penalty in enumerate(self.penalties):
                weights, bias = first.solve(penalty)
                errors[k] = ((states[begin:] @ weights + bias - targets[begin:]) ** 2).mean(axis=0)
            chosen = errors.argmin(axis=0)
            whole = _Spectrum.of(states, targets)
            weights = np.empty((states.shape[1], targets.shape[1]))
            bias = np.empty(targets.shape[1])
            # Targets choose their penalties on their own; those of one penalty are solved together.
            for k in np.unique(chosen):
                own = chosen == k
                every, offsets = whole.solve(self.penalties[k])
                weights[:, own] = every[:, own]
                bias[own] = offsets[own]
        return TrainedRegression(weights, bias, np.array(self.penalties)[chosen])


@dataclass(frozen=True, eq=False)
class TrainedRegression(Saved):
    """A trained regression.

    Attributes:
        weights: [features, targets].
        bias: [targets].
        penalties: [targets] that were chosen.

    Raises:
        NeurosimInputError: on construction, arrays that do not fit each other.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    penalties: NDArray[np.float64]

    def __post_init__(self) -> None:
        targets = self.bias.size
        fits = self.weights.ndim == 2 and self.weights.shape[1] == targets and self.bias.shape == (targets,)
        require(fits, "weights", f"must be [features, {targets}]", self.weights.shape)
        require(self.penalties.shape == (targets,), "penalties", f"must hold {targets}", self.penalties.shape)
        check_finite({"weights": self.weights, "bias": self.bias, "penalties": self.penalties})

    def predict(self, states: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return [n, targets] predictions.

        Raises:
            NeurosimInputError: states of another number of features.
        """
        features = len(self.weights)
        fits = states.ndim == 2 and states.shape[1] == features
        require(fits, "TrainedRegression.predict", f"needs states [n, {features}]", states.shape)
        with one_thread():
            predicted: NDArray[np.float64] = states @ self.weights + self.bias
        return predicted


class _Spectrum(NamedTuple):
    """Eigenvalues of the products of states, so that every penalty is a division.

    Attributes:
        mean, scale: [features] of the states; scale is 0 where a state never changes.
        target_mean: [targets].
        values, vectors: [features], [features, features] of the products.
        products: [features, targets] of the vectors with the products of states and targets.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    target_mean: NDArray[np.float64]
    values: NDArray[np.float64]
    vectors: NDArray[np.float64]
    products: NDArray[np.float64]

    @classmethod
    def of(cls, states: NDArray[np.floating], targets: NDArray[np.float64]) -> _Spectrum:
        x = states.astype(np.float64)
        mean = x.mean(axis=0)
        x -= mean
        spread = x.std(axis=0)
        scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-12)
        x *= scale
        target_mean = targets.mean(axis=0)
        values, vectors = np.linalg.eigh(x.T @ x)
        return cls(
            mean=mean,
            scale=scale,
            target_mean=target_mean,
            values=values,
            vectors=vectors,
            products=vectors.T @ (x.T @ (targets - target_mean)),
        )

    def solve(self, penalty: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weights [features, targets] and biases [targets] for states as they are."""
        # A tiny share of the trace keeps directions without spread, whose eigenvalues are rounding, out.
        added = penalty * max(float(self.values.mean()), 1e-300)
        weights = self.vectors @ (self.products / (np.maximum(self.values, 0.0) + added)[:, None]) * self.scale[:, None]
        return weights, self.target_mean - self.mean @ weights


def lagged(values: NDArray[np.float64], lags: int) -> NDArray[np.float64]:
    """Return [values, lags columns] of [values, columns]: each row has the value and those before it.

    Before the beginning the first value stands.
    """
    require(lags >= 1, "lagged.lags", "must be >= 1", lags)
    rows = np.maximum(np.arange(len(values))[:, None] - np.arange(lags), 0)
    return values[rows].reshape(len(values), -1)


def normalised_error(predicted: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return [targets] root mean squared errors, in standard deviations of the targets [n, targets] (NRMSE)."""
    spread = targets.std(axis=0)
    error: NDArray[np.float64] = np.sqrt(((predicted - targets) ** 2).mean(axis=0))
    return np.divide(error, spread, out=np.full_like(error, np.inf), where=spread > 0)


def ahead(target: NDArray[np.float64], horizons: Sequence[int]) -> NDArray[np.float64]:
    """Return [values, horizons] the values so far ahead; NaN beyond the end."""
    out = np.full((len(target), len(horizons)), np.nan)
    for k, horizon in enumerate(horizons):
        out[: len(target) - horizon, k] = target[horizon:]
    return out
