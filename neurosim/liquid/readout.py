"""Readouts: a linear classifier of what a liquid does, trained by scikit-learn."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from .. import files, measure
from ..errors import NeurosimFormatError, NeurosimInputError, check, pick
from ..spikes import Recordings
from .features import FEATURES, TIMINGS, features, width

# Added to a feature's standard deviation, as a fraction of their mean: a feature that hardly varies stays small.
FLOOR = 0.3
# As fractions of the mean squared norm of a training vector, chosen on parts of the training recordings of N-MNIST-800
# and FSDD-SHD: accuracy is flat within a factor of 3.
PENALTIES = {"ridge": 0.1, "logistic": 0.003}
ITERATIONS = 300
FORMAT = 1
ARRAYS = ("labels", "weights", "bias")


@final
@dataclass(frozen=True)
class Readout:
    """How to read a liquid: which features, and which linear classifier of them.

    Attributes:
        kind: "ridge" (least squares on the classes) or "logistic" (multinomial).
        features, windows, timing, tau: as in `features.features`.
        penalty: on squared weights, as a fraction of the mean squared norm of a training vector; None means
            `PENALTIES[kind]`.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    kind: Literal["ridge", "logistic"] = "ridge"
    features: Literal["counts", "traces"] = "counts"
    windows: int = 8
    timing: Literal["time", "spikes", "both"] = "both"
    tau: float = 0.05
    penalty: float | None = None

    def __post_init__(self) -> None:
        pick(CLASSIFIERS, self.kind, "Readout.kind")
        pick(FEATURES, self.features, "Readout.features")
        pick(TIMINGS, self.timing, "Readout.timing")
        check(self.windows >= 1, "Readout.windows", "must be >= 1", self.windows)
        check(self.tau > 0, "Readout.tau", "must be > 0 s", self.tau)
        check(self.penalty is None or self.penalty > 0, "Readout.penalty", "must be > 0", self.penalty)

    def fit(self, spikes: Recordings, labels: object) -> TrainedReadout:
        """Train on a liquid's spikes with labels [recordings]; the same weights for any number of threads.

        Memory and time grow as the square and the cube of the recordings: 2,700 take 0.3 GB.

        Raises:
            NeurosimInputError: labels that do not fit, or of one class only.
        """
        y = np.asarray(labels)
        check(y.shape == (len(spikes),), "Readout.fit", f"needs {len(spikes)} labels", y.shape)
        known, column = np.unique(y, return_inverse=True)
        check(len(known) > 1, "Readout.fit", "needs recordings of at least two classes", known.tolist())
        z = self.describe(spikes)
        mean, spread = z.mean(axis=0, dtype=np.float64), z.std(axis=0, dtype=np.float64)
        scale = spread + FLOOR * max(float(spread.mean()), 1e-12)
        z -= mean.astype(np.float32)
        z /= scale.astype(np.float32)
        fraction = PENALTIES[self.kind] if self.penalty is None else self.penalty
        with _one_thread():
            gram = (z @ z.T).astype(np.float64)
            penalty = fraction * max(float(np.trace(gram)) / len(z), 1e-12)
            alpha, bias = CLASSIFIERS[self.kind](gram, column, penalty)
            weights = (alpha.T.astype(np.float32) @ z) / scale
        # Shift and scale go into weights and bias: a feature of a silent neuron stays zero and costs nothing.
        return TrainedReadout(self, known, weights.astype(np.float32), bias - weights @ mean)

    def describe(self, spikes: Recordings) -> NDArray[np.float32]:
        """[recordings, features]."""
        return features(spikes, self.features, self.windows, self.timing, self.tau)


@final
@dataclass(frozen=True, eq=False)
class TrainedReadout:
    """A readout with its weights.

    Attributes:
        readout: what was trained.
        labels: [classes] int64, the label of each row.
        weights: [classes, features] float32, of features as they are; bias: [classes] float64.
    """

    readout: Readout
    labels: NDArray
    weights: NDArray
    bias: NDArray

    def scores(self, spikes: Recordings) -> NDArray[np.float64]:
        """[recordings, classes]; the largest wins. A recording's do not depend on what else is in the batch.

        Raises:
            NeurosimInputError: spikes of a liquid of another size.
        """
        return self._scores(self._inputs(spikes))

    def predict(self, spikes: Recordings) -> NDArray[np.int64]:
        """[recordings] labels. Raises as `scores`."""
        return self.labels[self.scores(spikes).argmax(axis=1)]

    def work(self, spikes: Recordings) -> measure.Layer:
        """What reading these recordings took, as a layer of multiply-accumulates, one for each weight of each feature
        that is not zero."""
        x = self._inputs(spikes)
        outputs = self._scores(x)[:, None]
        none = np.zeros((*outputs.shape, 0), np.float32)
        return measure.count("readout", self.weights.T, x[:, None], outputs, none, spiking=False)

    def save(self, path: Path | str) -> None:
        """Write everything to a safetensors file, atomically."""
        from safetensors.numpy import save

        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in ARRAYS}
        settings = {name: getattr(self.readout, name) for name in Readout.__dataclass_fields__}
        about = {"format": FORMAT, "readout": settings}
        files.write_bytes(path, save(tensors, {"neurosim": json.dumps(about)}))

    @classmethod
    def load(cls, path: Path | str) -> TrainedReadout:
        """Read what `save` wrote.

        Raises:
            NeurosimFormatError: another file, or one of another format version.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), "np") as stored:
                about: dict[str, Any] = json.loads((stored.metadata() or {})["neurosim"])
                arrays = {name: stored.get_tensor(name) for name in ARRAYS}
            version, settings = about["format"], about["readout"]
        except (SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
            raise NeurosimFormatError(f"{path}: is no readout that neurosim saved ({error}); train it again") from None
        if version != FORMAT:
            raise NeurosimFormatError(f"{path}: readout format {FORMAT} is known (got {version}); train it again")
        try:
            return cls(Readout(**settings), **arrays)._checked()
        except (TypeError, ValueError, NeurosimInputError) as error:
            raise NeurosimFormatError(f"{path}: holds values that do not fit ({error}); train it again") from None

    def _checked(self) -> TrainedReadout:
        kinds = [getattr(self, name).dtype.str for name in ARRAYS]
        check(kinds == ["<i8", "<f4", "<f8"], "readout", "must hold int64, float32 and float64", kinds)
        classes, each = len(self.labels), width(self.readout.windows, self.readout.timing, 1)
        shape = self.weights.shape
        fits = self.labels.ndim == 1 and len(shape) == 2 and shape[0] == classes and shape[1] % each == 0
        check(fits, "weights", f"must be [{classes}, a multiple of {each}]", shape)
        check(self.bias.shape == (classes,), "bias", f"must hold {classes}", self.bias.shape)
        return self

    def _inputs(self, spikes: Recordings) -> NDArray[np.float32]:
        size = self.weights.shape[1] // width(self.readout.windows, self.readout.timing, 1)
        check(spikes.size == size, "TrainedReadout.scores", f"needs spikes of {size} neurons", spikes.size)
        return self.readout.describe(spikes)

    def _scores(self, x: NDArray) -> NDArray[np.float64]:
        scores = np.empty((len(x), len(self.labels)))
        with _one_thread():
            # One at a time: how a product is blocked, and so its rounding, depends on its size.
            for i, row in enumerate(x):
                scores[i] = self.weights @ row
        return scores + self.bias


Classifier = Callable[[NDArray, NDArray, float], tuple[NDArray, NDArray]]


def _ridge(gram: NDArray, column: NDArray, penalty: float) -> tuple[NDArray, NDArray]:
    """Coefficients of the training vectors [n, classes] and bias [classes], from their centred products [n, n].

    The minimum of |Y - Z w - b|^2 + penalty |w|^2, Y being 1 for the right class and -1 for others: what scikit-learn's
    `Ridge` finds from the vectors themselves, but from products in single precision, which at 20,000 features take
    most of the time.
    """
    from sklearn.kernel_ridge import KernelRidge

    goal = np.where(column[:, None] == np.arange(column.max() + 1), 1.0, -1.0)
    bias = goal.mean(axis=0)
    return KernelRidge(alpha=penalty, kernel="precomputed").fit(gram, goal - bias).dual_coef_, bias


def _logistic(gram: NDArray, column: NDArray, penalty: float) -> tuple[NDArray, NDArray]:
    """The same for multinomial logistic regression.

    It sees the vectors only through their products, so n coordinates with these products, the rows of a Cholesky
    factor, do as well as 20,000 features.
    """
    from sklearn.linear_model import LogisticRegression

    n = len(gram)
    factor = np.linalg.cholesky(gram + 1e-6 * (np.trace(gram) / n + 1e-6) * np.eye(n))
    model = LogisticRegression(C=1 / penalty, max_iter=ITERATIONS).fit(factor, column)
    weights, bias = model.coef_, model.intercept_
    if len(weights) == 1:  # two classes: scikit-learn keeps the difference
        weights, bias = np.vstack([-weights / 2, weights / 2]), np.concatenate([-bias / 2, bias / 2])
    return np.linalg.solve(factor.T, weights.T), bias


CLASSIFIERS: dict[str, Classifier] = {"ridge": _ridge, "logistic": _logistic}


def _one_thread() -> AbstractContextManager[Any]:
    """Linear algebra on one thread: its rounding depends on their number."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, "blas")
