"""Readouts: a classifier of what a liquid does, linear or with one hidden layer, trained by scikit-learn."""

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
from ..errors import NeurosimFormatError, NeurosimInputError, lookup, require
from ..spikes import Recordings
from .features import FEATURES, TIMINGS, check_windows, features, width

# Added to a feature's standard deviation, as a fraction of their mean: a feature that hardly varies stays small.
FLOOR = 0.3
# As fractions of the mean squared norm of a training vector, chosen on parts of the training recordings of N-MNIST-800
# and FSDD-SHD: accuracy is flat within a factor of 3.
PENALTIES = {"ridge": 0.1, "logistic": 0.003, "ann": 0.0016}
ITERATIONS = 300
# Of "ann", chosen likewise: principal components it learns from, the length of a training vector in them (root mean
# square), how many lessons it has, and of how many recordings at once.
COMPONENTS, LENGTH, LESSONS, BATCH = 400, 8.0, 400, 100
FORMAT = 1
ARRAYS = {"labels": "<i8", "weights": "<f4", "bias": "<f8"}
HIDDEN = {"hidden_weights": "<f4", "hidden_bias": "<f8"}


@final
@dataclass(frozen=True)
class Readout:
    """How to read a liquid: which features, and which classifier of them.

    Attributes:
        kind: "ridge" (least squares on the classes), "logistic" (multinomial), or "ann" (a layer of `hidden` rectified
            units before a multinomial one).
        features, windows, timing, tau: as in `features.features`.
        penalty: on squared weights, as a fraction of the mean squared norm of a training vector; None means
            `PENALTIES[kind]`.
        hidden: units of "ann". seed: of its weights at the start and the order of its lessons.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    kind: Literal["ridge", "logistic", "ann"] = "ridge"
    features: Literal["counts", "traces"] = "counts"
    windows: int | tuple[int, ...] = 8
    timing: Literal["time", "spikes", "both"] = "both"
    tau: float = 0.05
    penalty: float | None = None
    hidden: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        lookup(CLASSIFIERS, self.kind, "Readout.kind")
        lookup(FEATURES, self.features, "Readout.features")
        lookup(TIMINGS, self.timing, "Readout.timing")
        cuts = check_windows(self.windows, "Readout.windows")
        if not isinstance(self.windows, int):  # a list, from a file
            object.__setattr__(self, "windows", cuts)
        require(self.tau > 0, "Readout.tau", "must be > 0 s", self.tau)
        require(self.penalty is None or self.penalty > 0, "Readout.penalty", "must be > 0", self.penalty)
        require(self.hidden >= 1, "Readout.hidden", "must be >= 1", self.hidden)
        require(self.seed >= 0, "Readout.seed", "must be >= 0", self.seed)

    def fit(self, spikes: Recordings, labels: object) -> TrainedReadout:
        """Train on a liquid's spikes with labels [recordings]; the same weights for any number of threads.

        Memory and time grow as the square and the cube of the recordings: 2,700 take 0.3 GB.

        Raises:
            NeurosimInputError: labels that do not fit, or of one class only.
        """
        y = np.asarray(labels)
        require(y.shape == (len(spikes),), "Readout.fit", f"needs {len(spikes)} labels", y.shape)
        known, column = np.unique(y, return_inverse=True)
        require(len(known) > 1, "Readout.fit", "needs recordings of at least two classes", known.tolist())
        z = self.describe(spikes)
        mean, spread = z.mean(axis=0, dtype=np.float64), z.std(axis=0, dtype=np.float64)
        scale = (spread + FLOOR * max(float(spread.mean()), 1e-12)) / self._shares(len(spread))
        z -= mean.astype(np.float32)
        z /= scale.astype(np.float32)
        fraction = PENALTIES[self.kind] if self.penalty is None else self.penalty
        with _one_thread():
            gram = (z @ z.T).astype(np.float64)
            penalty = fraction * max(float(np.trace(gram)) / len(z), 1e-12)
            alpha, bias, after = CLASSIFIERS[self.kind](gram, column, penalty, self)
            weights = (alpha.T.astype(np.float32) @ z) / scale
        # Shift and scale go into weights and bias: a feature of a silent neuron stays zero and costs nothing.
        first = weights.astype(np.float32), bias - weights @ mean
        return TrainedReadout(self, known, *first) if after is None else TrainedReadout(self, known, *after, *first)

    def _shares(self, n: int) -> NDArray[np.float64]:
        """[n] weight of each feature: cuts into many windows have no more say than cuts into few."""
        cuts = np.array(check_windows(self.windows, "Readout.windows"))
        each = np.repeat(np.sqrt(cuts.mean() / cuts), cuts)
        timings = len(TIMINGS[self.timing])
        return np.tile(np.repeat(each, n // (timings * len(each))), timings)

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
        weights: [classes, features] float32, of features as they are; bias: [classes] float64. Of "ann" they are of
            the hidden units, [classes, hidden].
        hidden_weights: [hidden, features] float32, of "ann"; hidden_bias: [hidden] float64. None in the others.
    """

    readout: Readout
    labels: NDArray
    weights: NDArray
    bias: NDArray
    hidden_weights: NDArray | None = None
    hidden_bias: NDArray | None = None

    def scores(self, spikes: Recordings) -> NDArray[np.float64]:
        """[recordings, classes]; the largest wins. A recording's do not depend on what else is in the batch.

        Raises:
            NeurosimInputError: spikes of a liquid of another size.
        """
        return self._scores(self._inputs(spikes))

    def predict(self, spikes: Recordings) -> NDArray[np.int64]:
        """[recordings] labels. Raises as `scores`."""
        return self.labels[self.scores(spikes).argmax(axis=1)]

    def work(self, spikes: Recordings) -> list[measure.LayerCounts]:
        """What reading these recordings took, as layers of multiply-accumulates, one for each weight of each feature,
        and of each hidden unit, that is not zero."""
        x = self._inputs(spikes)
        if self.hidden_weights is None:
            return [_layer("readout", self.weights, x, self._last(x))]
        between = self._between(x)
        hidden = _layer("hidden", self.hidden_weights, x, between)
        return [hidden, _layer("readout", self.weights, between, self._last(between))]

    def save(self, path: Path | str) -> None:
        """Write everything to a safetensors file, atomically."""
        from safetensors.numpy import save

        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in _arrays(self.readout.kind)}
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
                version, settings = about["format"], about["readout"]
                arrays = {name: stored.get_tensor(name) for name in _arrays(settings["kind"])}
                # The biases of "ann" were once saved in single precision.
                arrays["bias"] = arrays["bias"].astype(np.float64)
        except (SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
            raise NeurosimFormatError(f"{path}: is no readout that neurosim saved ({error}); train it again") from None
        if version != FORMAT:
            raise NeurosimFormatError(f"{path}: readout format {FORMAT} is known (got {version}); train it again")
        try:
            return cls(Readout(**settings), **arrays)._checked()
        except (TypeError, ValueError, NeurosimInputError) as error:
            raise NeurosimFormatError(f"{path}: holds values that do not fit ({error}); train it again") from None

    def _checked(self) -> TrainedReadout:
        kinds = {name: getattr(self, name).dtype.str for name in _arrays(self.readout.kind)}
        require(kinds == _arrays(self.readout.kind), "readout", "must hold int64, float32 and float64", kinds)
        classes, each = len(self.labels), width(self.readout.windows, self.readout.timing, 1)
        shape, first = self.weights.shape, self._first
        rows = classes if first is self.weights else len(first)
        fits = self.labels.ndim == 1 and first.ndim == 2 and len(first) == rows and first.shape[1] % each == 0
        require(fits, "weights", f"must be [{rows}, a multiple of {each}]", first.shape)
        require(first is self.weights or shape == (classes, rows), "weights", f"must be [{classes}, {rows}]", shape)
        require(self.bias.shape == (classes,), "bias", f"must hold {classes}", self.bias.shape)
        if self.hidden_bias is not None:
            require(self.hidden_bias.shape == first.shape[:1], "hidden_bias", f"must hold {len(first)}", len(first))
        return self

    @property
    def _first(self) -> NDArray:
        """The weights of the features."""
        return self.weights if self.hidden_weights is None else self.hidden_weights

    def _inputs(self, spikes: Recordings) -> NDArray[np.float32]:
        size = self._first.shape[1] // width(self.readout.windows, self.readout.timing, 1)
        require(spikes.size == size, "TrainedReadout.scores", f"needs spikes of {size} neurons", spikes.size)
        return self.readout.describe(spikes)

    def _scores(self, x: NDArray) -> NDArray[np.float64]:
        return self._last(x if self.hidden_weights is None else self._between(x))

    def _between(self, x: NDArray) -> NDArray[np.float64]:
        """[recordings, hidden]."""
        assert self.hidden_weights is not None and self.hidden_bias is not None  # of "ann"
        return np.maximum(_each(self.hidden_weights, x) + self.hidden_bias, 0.0)

    def _last(self, x: NDArray) -> NDArray[np.float64]:
        return _each(self.weights, x) + self.bias


def _arrays(kind: str) -> dict[str, str]:
    """The arrays of a trained readout of this kind, and their types."""
    return ARRAYS | HIDDEN if kind == "ann" else ARRAYS


def _layer(name: str, weights: NDArray, x: NDArray, outputs: NDArray) -> measure.LayerCounts:
    """The work of one product, each recording a step."""
    none = np.zeros((*outputs.shape[:1], 1, outputs.shape[1], 0), np.float32)
    return measure.count(name, weights.T, x[:, None], outputs[:, None], none, spiking=False)


def _each(weights: NDArray, x: NDArray) -> NDArray[np.float64]:
    """[recordings, rows of weights] products."""
    found = np.empty((len(x), len(weights)))
    with _one_thread():
        # One at a time: how a product is blocked, and so its rounding, depends on its size.
        for i, row in enumerate(x):
            found[i] = weights @ row
    return found


Trained = tuple[NDArray, NDArray, "tuple[NDArray, NDArray] | None"]
"""Coefficients of the training vectors [n, units], biases [units]; and weights [classes, units] and biases [classes] of
a layer after them, if there is one."""
Classifier = Callable[[NDArray, NDArray, float, Readout], Trained]


def _ridge(gram: NDArray, column: NDArray, penalty: float, readout: Readout) -> Trained:
    """From the centred products of the training vectors [n, n] and their classes [n].

    The minimum of |Y - Z w - b|^2 + penalty |w|^2, Y being 1 for the right class and -1 for others: what scikit-learn's
    `Ridge` finds from the vectors themselves, but from products in single precision, which at 20,000 features take
    most of the time.
    """
    from sklearn.kernel_ridge import KernelRidge

    goal = np.where(column[:, None] == np.arange(column.max() + 1), 1.0, -1.0)
    bias = goal.mean(axis=0)
    return KernelRidge(alpha=penalty, kernel="precomputed").fit(gram, goal - bias).dual_coef_, bias, None


def _logistic(gram: NDArray, column: NDArray, penalty: float, readout: Readout) -> Trained:
    """The same for multinomial logistic regression.

    It sees the vectors only through their products, so n coordinates with these products, the rows of a Cholesky
    factor, do as well as 20,000 features.
    """
    from sklearn.linear_model import LogisticRegression

    n = len(gram)
    # Products in single precision may miss being positive definite by their rounding.
    factor = np.linalg.cholesky(gram + (1e-7 * np.trace(gram) + 1e-12) * np.eye(n))
    model = LogisticRegression(C=1 / penalty, max_iter=ITERATIONS).fit(factor, column)
    weights, bias = _both(model.coef_, model.intercept_)
    return np.linalg.solve(factor.T, weights.T), bias, None


def _ann(gram: NDArray, column: NDArray, penalty: float, readout: Readout) -> Trained:
    """A hidden layer, trained by Adam on the principal coordinates, which the products give as the vectors would."""
    import warnings

    from scipy.linalg import eigh
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    n = len(gram)
    spread, axes = eigh(gram, subset_by_index=[max(n - COMPONENTS, 0), n - 1])
    kept = spread > 1e-6 * spread[-1]
    scale = LENGTH / np.sqrt(max(float(np.trace(gram)) / n, 1e-12))
    roots = np.sqrt(spread[kept])
    coordinates = (axes[:, kept] * roots * scale).astype(np.float32)
    with warnings.catch_warnings():
        # To stop after so many lessons is what was asked for.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = MLPClassifier(
            (readout.hidden,),
            alpha=penalty * scale**2,
            batch_size=min(BATCH, n),
            max_iter=-(-LESSONS // -(-n // BATCH)),
            random_state=readout.seed % 2**32,
        ).fit(coordinates, column)
    (first, last), (first_bias, last_bias) = model.coefs_, model.intercepts_
    return axes[:, kept] / roots * scale @ first, first_bias, _both(last.T, last_bias.astype(np.float64))


def _both(weights: NDArray, bias: NDArray) -> tuple[NDArray, NDArray]:
    """Weights [classes, n] and biases [classes]: of two classes scikit-learn keeps the difference."""
    if len(weights) > 1:
        return weights, bias
    return np.vstack([-weights / 2, weights / 2]), np.concatenate([-bias / 2, bias / 2])


CLASSIFIERS: dict[str, Classifier] = {"ridge": _ridge, "logistic": _logistic, "ann": _ann}


def _one_thread() -> AbstractContextManager[Any]:
    """Linear algebra on one thread: its rounding depends on their number."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, "blas")
