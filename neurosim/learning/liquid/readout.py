"""Readouts: classifiers of a liquid's spikes, linear or with one hidden layer, trained by scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from ...base.blas import one_thread
from ...base.errors import lookup, require
from ...base.measure.activity import count
from ...base.measure.work import LayerCounts
from ...base.rules import Count, Natural, NotASetting, Positive, Rule, check_rules
from ...base.shown import Shown
from ...data.files.state import Saved, check_finite
from ...data.spikes import Recordings
from .pace import in_pieces, pieces_of
from .self_training import self_trained
from .windows import FEATURES, TIMINGS, check_windows, features, width

# Added to each feature's standard deviation, as a fraction of their mean, so that features that hardly vary stay small.
FLOOR = 0.3
# Fractions of the mean squared norm of a training vector, chosen on parts of the training recordings of N-MNIST-800 and
# FSDD-SHD: accuracy is flat within a factor of 3.
PENALTIES = {"ridge": 0.1, "logistic": 0.003, "ann": 0.0016}
ITERATIONS = 300  # of logistic regression at most
# Settings of "ann", chosen in the same way: number of principal components, root mean square length of a training
# vector in them, number of training steps, and recordings a step.
COMPONENTS = 400
LENGTH = 8.0
STEPS = 400
BATCH = 100


@final
@dataclass(frozen=True)
class Readout(Shown):
    """A readout before training: features of a liquid's spikes and a classifier of them.

    It may be copied and pickled.

    Attributes:
        kind: "ridge" (least squares on the classes), "logistic" (multinomial), or "ann" (a layer of `hidden` rectified
            units before a multinomial one).
        features, windows, timing, tau: arguments of `liquid.features`.
        transductive: group of the recordings, such as "speaker", each of which has its features centred and scaled by
            its own mean and spread, without labels. An answer then depends on the other recordings of its group, so
            that accuracies would differ if recordings came alone; "": no.
        self_trained: whether a second readout of each group, trained on the answers to the group's other recordings, is
            added to this one; see `self_training`. Needs `transductive`.
        penalty: weight of the squared weights, as a fraction of the mean squared norm of a training vector; None:
            `PENALTIES[kind]`.
        hidden: hidden units of "ann".
        seed: key of the first weights of "ann" and of the order of its recordings.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    kind: Literal["ridge", "logistic", "ann"] = "ridge"
    features: Literal["counts", "traces"] = "counts"
    windows: int | tuple[int, ...] = 8
    timing: Literal["time", "spikes", "both", "duration"] = "both"
    tau: Annotated[float, Rule("> 0 s")] = 0.05
    transductive: str = ""
    self_trained: bool = False
    penalty: Positive | None = None
    hidden: Count = 512
    seed: Annotated[Natural, NotASetting()] = 0

    def __post_init__(self) -> None:
        lookup(CLASSIFIERS, self.kind, "Readout.kind")
        lookup(FEATURES, self.features, "Readout.features")
        lookup(TIMINGS, self.timing, "Readout.timing")
        cuts = check_windows(self.windows, "Readout.windows")
        if not isinstance(self.windows, int):  # a list, from a file
            object.__setattr__(self, "windows", cuts)
        has_groups = bool(self.transductive) or not self.self_trained
        require(has_groups, "Readout.self_trained", "needs groups; name one as transductive, or give false", True)
        check_rules(self)

    def fit(self, spikes: Recordings, labels: object) -> TrainedReadout:
        """Return the readout trained on a liquid's spikes with labels [recordings].

        The weights do not depend on the number of threads. Memory and time grow as the square and the cube of the
        recordings: 2,700 take 0.3 GB.

        Raises:
            NeurosimInputError: labels that do not fit, or a single class.
        """
        y = np.asarray(labels)
        require(y.shape == (len(spikes),), "Readout.fit", f"needs {len(spikes)} labels", y.shape)
        classes, column = np.unique(y, return_inverse=True)
        require(len(classes) > 1, "Readout.fit", "needs recordings of at least two classes", classes.tolist())
        z = self.standardised(spikes)
        # Features are centred and scaled; the floor keeps features that hardly vary small.
        mean = z.mean(axis=0, dtype=np.float64)
        spread = z.std(axis=0, dtype=np.float64)
        scale = (spread + FLOOR * max(float(spread.mean()), 1e-12)) / self._shares(len(spread))
        z -= mean.astype(np.float32)
        z /= scale.astype(np.float32)
        if self.penalty is None:
            fraction = PENALTIES[self.kind]
        else:
            fraction = self.penalty
        with one_thread():
            # All classifiers need only the products of the vectors: [n, n] in place of [n, 20,000 features].
            gram = (z @ z.T).astype(np.float64)
            penalty = fraction * max(float(np.trace(gram)) / len(z), 1e-12)
            trained = CLASSIFIERS[self.kind](gram, column, penalty, self)
            rows = (trained.coefficients.T.astype(np.float32) @ z) / scale
        # Shift and scale go into weights and bias: a feature of a silent neuron stays zero and costs nothing.
        weights = rows.astype(np.float32)
        bias = trained.bias - rows @ mean
        duration = float(spikes.durations.max())
        if trained.last is None:
            return TrainedReadout(self, classes, weights, bias, duration=duration)
        last = trained.last
        return TrainedReadout(self, classes, last.weights, last.bias, weights, bias, duration=duration)

    def _shares(self, n: int) -> NDArray[np.float64]:
        """Return [n] weights of features that give cuts into many windows no more influence than cuts into few."""
        cuts = np.array(check_windows(self.windows, "Readout.windows"))
        # A cut into c windows has c times the features: each gets 1 / sqrt(c) of the weight.
        by_window = np.repeat(np.sqrt(cuts.mean() / cuts), cuts)
        timings = len(TIMINGS[self.timing])
        return np.tile(np.repeat(by_window, n // (timings * len(by_window))), timings)

    def vectors(self, spikes: Recordings) -> NDArray[np.float32]:
        """Return [recordings, features]."""
        return features(spikes, self.features, self.windows, self.timing, self.tau)

    def groups(self, recordings: Recordings) -> NDArray[np.int64]:
        """Return [recordings] the group that each is standardised with; empty if the readout is not transductive.

        Raises:
            NeurosimInputError: recordings that do not name their group.
        """
        if not self.transductive:
            return np.empty(0, np.int64)
        known = ", ".join(recordings.groups) or "nothing but their classes"
        rule = f"must be a group that the recordings name (they name {known})"
        require(self.transductive in recordings.groups, "Readout.transductive", rule, self.transductive)
        return np.asarray(recordings.groups[self.transductive], np.int64)

    def standardised(self, spikes: Recordings) -> NDArray[np.float32]:
        """Return `vectors`, standardised by group if the readout is transductive."""
        z = self.vectors(spikes)
        group = self.groups(spikes)
        for number in np.unique(group):
            rows = group == number
            part = z[rows].astype(np.float64)
            spread = part.std(axis=0)
            spread += FLOOR * max(float(spread.mean()), 1e-12)
            z[rows] = (part - part.mean(axis=0)) / spread
        return z


@final
@dataclass(frozen=True, eq=False)
class TrainedReadout(Saved):
    """A readout with its weights.

    Attributes:
        readout: features and classifier.
        labels: [classes] int64, the label of each row.
        weights: [classes, features] float32; of "ann" [classes, hidden].
        bias: [classes] float64.
        hidden_weights, hidden_bias: [hidden, features] float32 and [hidden] float64 of "ann", otherwise None.
        duration: of the longest training recording, s; longer ones are read in pieces of about it, whose scores are
            averaged, from `pace.RATIO` times on. 0: no recording is cut.

    Raises:
        NeurosimInputError: on construction, arrays that do not fit each other or the readout.
    """

    readout: Readout
    labels: NDArray[np.int64]
    weights: NDArray[np.float32]
    bias: NDArray[np.float64]
    hidden_weights: NDArray[np.float32] | None = None
    hidden_bias: NDArray[np.float64] | None = None
    duration: Annotated[float, Rule(">= 0 s and finite")] = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "bias", self.bias.astype(np.float64))
        hidden = self.hidden_weights is not None and self.hidden_bias is not None
        require(hidden == (self.readout.kind == "ann"), "hidden_weights", "must be there with 'ann' alone", hidden)
        classes = len(self.labels)
        windows = width(self.readout.windows, self.readout.timing, 1)
        shape = self.weights.shape
        first = self._first
        rows = classes if first is self.weights else len(first)
        fits = self.labels.ndim == 1 and first.ndim == 2 and len(first) == rows and first.shape[1] % windows == 0
        require(fits, "weights", f"must be [{rows}, a multiple of {windows}]", first.shape)
        require(first is self.weights or shape == (classes, rows), "weights", f"must be [{classes}, {rows}]", shape)
        require(self.bias.shape == (classes,), "bias", f"must hold {classes}", self.bias.shape)
        named = {name: getattr(self, name) for name in ("weights", "bias", "hidden_weights", "hidden_bias")}
        check_rules(self)
        check_finite({name: array for name, array in named.items() if array is not None})
        if self.hidden_bias is not None:
            require(self.hidden_bias.shape == first.shape[:1], "hidden_bias", f"must hold {len(first)}", len(first))

    def scores(self, spikes: Recordings) -> NDArray[np.float64]:
        """Return [recordings, classes] scores; the class of the largest wins.

        Scores of a recording do not depend on the other recordings of the batch, unless the readout is transductive.

        Raises:
            NeurosimInputError: spikes of a liquid of another size.
        """
        pieces, owner = self._cut(spikes)
        scores = self._scores(pieces)
        if len(pieces) == len(spikes):
            return scores
        totals: NDArray[np.float64] = np.zeros((len(spikes), scores.shape[1]))
        np.add.at(totals, owner, scores)
        return totals / np.bincount(owner)[:, None]

    def _cut(self, spikes: Recordings) -> tuple[Recordings, NDArray[np.int64]]:
        """Return the recordings, much longer ones in pieces, and [pieces] the recording that each is of."""
        counts = pieces_of(spikes.durations, self.duration)
        if (counts == 1).all():
            return spikes, np.arange(len(spikes))
        return in_pieces(spikes, counts)

    def _scores(self, spikes: Recordings) -> NDArray[np.float64]:
        """Return [recordings, classes] scores of recordings that are not cut."""
        x = self._inputs(spikes)
        if self.readout.transductive:
            x = self.readout.standardised(spikes)
        if self.hidden_weights is None:
            scores = self._last(x)
        else:
            scores = self._last(self._between(x))
        if self.readout.self_trained:
            group = self.readout.groups(spikes)
            with one_thread():
                for number in np.unique(group):
                    scores[group == number] = self_trained(scores[group == number], x[group == number])
        return scores

    def predict(self, spikes: Recordings) -> NDArray[np.int64]:
        """Return [recordings] labels. Raises the errors of `scores`."""
        return self.labels[self.scores(spikes).argmax(axis=1)]

    def work(self, spikes: Recordings) -> list[LayerCounts]:
        """Return the work of reading these recordings, by layer.

        A weight whose feature, or hidden unit, is not zero counts as one multiply-accumulate. Mean and spread of a
        group go into weights and biases for it, and a second readout of the group into the weights, unless a hidden
        layer lies between.
        """
        spikes, _ = self._cut(spikes)
        x = self._inputs(spikes)
        if self.hidden_weights is None:
            return [_layer("readout", self.weights, x, self._last(x))]
        between = self._between(x)
        hidden = _layer("hidden", self.hidden_weights, x, between)
        layers = [hidden, _layer("readout", self.weights, between, self._last(between))]
        if self.readout.self_trained:
            # Their values do not matter for counts: none is zero.
            weights = np.ones((len(self.labels), x.shape[1]), np.float32)
            layers.append(_layer("second readout", weights, x, self._scores(spikes)))
        return layers

    @property
    def _first(self) -> NDArray[np.floating]:
        """Weights of the features."""
        if self.hidden_weights is None:
            return self.weights
        return self.hidden_weights

    def _inputs(self, spikes: Recordings) -> NDArray[np.float32]:
        size = self._first.shape[1] // width(self.readout.windows, self.readout.timing, 1)
        require(spikes.size == size, "TrainedReadout.scores", f"needs spikes of {size} neurons", spikes.size)
        return self.readout.vectors(spikes)

    def _between(self, x: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return [recordings, hidden] values of the hidden units."""
        assert self.hidden_weights is not None and self.hidden_bias is not None  # checked for "ann"
        return np.maximum(_each(self.hidden_weights, x) + self.hidden_bias, 0.0)

    def _last(self, x: NDArray[np.floating]) -> NDArray[np.float64]:
        return _each(self.weights, x) + self.bias


def _layer(
    name: str, weights: NDArray[np.floating], x: NDArray[np.floating], outputs: NDArray[np.floating]
) -> LayerCounts:
    """Return the work of one product, each recording being a step."""
    none = np.zeros((*outputs.shape[:1], 1, outputs.shape[1], 0), np.float32)
    return count(name, weights.T, x[:, None], outputs[:, None], none, spiking=False)


def _each(weights: NDArray[np.floating], x: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return [recordings, rows of weights] products."""
    products = np.empty((len(x), len(weights)))
    with one_thread():
        # One recording at a time: the rounding of a larger product depends on its size.
        for i, row in enumerate(x):
            products[i] = weights @ row
    return products


class LastLayer(NamedTuple):
    """Weights [classes, units] and biases [classes] of the last layer."""

    weights: NDArray[np.floating]
    bias: NDArray[np.float64]


class TrainedSums(NamedTuple):
    """A trained classifier: units that are sums of the training vectors, and perhaps a layer after them."""

    coefficients: NDArray[np.floating]
    """[n, units] of the training vectors."""
    bias: NDArray[np.floating]
    """[units]."""
    last: LastLayer | None = None
    """Layer of the classes; None where the units are the classes."""


Classifier = Callable[[NDArray[np.float64], NDArray[np.int64], float, Readout], TrainedSums]


def _ridge(gram: NDArray[np.float64], column: NDArray[np.int64], penalty: float, readout: Readout) -> TrainedSums:
    """Solve ridge regression from the centred products of the training vectors [n, n] and their classes [n].

    The minimum of |Y - Z w - b|^2 + penalty |w|^2, Y being 1 for the right class and -1 for others. scikit-learn's
    `Ridge` needs the vectors; here their products in single precision are enough, and they take most of the time at
    20,000 features.
    """
    from sklearn.kernel_ridge import KernelRidge

    targets = np.where(column[:, None] == np.arange(column.max() + 1), 1.0, -1.0)
    bias = targets.mean(axis=0)
    model = KernelRidge(alpha=penalty, kernel="precomputed").fit(gram, targets - bias)
    return TrainedSums(model.dual_coef_, bias)


def _logistic(gram: NDArray[np.float64], column: NDArray[np.int64], penalty: float, readout: Readout) -> TrainedSums:
    """Solve multinomial logistic regression from the same products.

    It depends on the vectors only through their products, so the rows of a Cholesky factor, n coordinates with these
    products, take the place of 20,000 features.
    """
    from sklearn.linear_model import LogisticRegression

    n = len(gram)
    # Products in single precision may miss being positive definite by their rounding.
    factor = np.linalg.cholesky(gram + (1e-7 * np.trace(gram) + 1e-12) * np.eye(n))
    model = LogisticRegression(C=1 / penalty, max_iter=ITERATIONS).fit(factor, column)
    rows = _of_all_classes(model.coef_, model.intercept_)
    return TrainedSums(np.linalg.solve(factor.T, rows.weights.T), rows.bias)


def _ann(gram: NDArray[np.float64], column: NDArray[np.int64], penalty: float, readout: Readout) -> TrainedSums:
    """Train a hidden layer by Adam on the principal coordinates of the training vectors, computed from products."""
    import warnings

    from scipy.linalg import eigh
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    n = len(gram)
    spread, axes = eigh(gram, subset_by_index=[max(n - COMPONENTS, 0), n - 1])
    # Eigenvalues ascend; axes of rounding errors are left out.
    above = spread > 1e-6 * spread[-1]
    scale = LENGTH / np.sqrt(max(float(np.trace(gram)) / n, 1e-12))
    roots = np.sqrt(spread[above])
    coordinates = (axes[:, above] * roots * scale).astype(np.float32)
    with warnings.catch_warnings():
        # Training stops after STEPS on purpose.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = MLPClassifier(
            (readout.hidden,),
            alpha=penalty * scale**2,
            batch_size=min(BATCH, n),
            # Epochs of ceil(n / BATCH) steps each.
            max_iter=-(-STEPS // -(-n // BATCH)),
            random_state=readout.seed % 2**32,
        ).fit(coordinates, column)
    first, last = model.coefs_
    first_bias, last_bias = model.intercepts_
    coefficients = axes[:, above] / roots * scale @ first
    return TrainedSums(coefficients, first_bias, _of_all_classes(last.T, last_bias.astype(np.float64)))


def _of_all_classes(weights: NDArray[np.floating], bias: NDArray[np.float64]) -> LastLayer:
    """Return a row for each class; for two classes scikit-learn has one row, of their difference."""
    if len(weights) > 1:
        return LastLayer(weights, bias)
    return LastLayer(np.vstack([-weights / 2, weights / 2]), np.concatenate([-bias / 2, bias / 2]))


CLASSIFIERS: dict[str, Classifier] = {"ridge": _ridge, "logistic": _logistic, "ann": _ann}
