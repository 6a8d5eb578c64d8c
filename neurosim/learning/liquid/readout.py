"""Readouts: features of a liquid's spikes and a classifier of them, before and after training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, final

import numpy as np
from numpy.typing import NDArray

from ...base.blas import one_thread
from ...base.errors import lookup, require
from ...base.measure.activity import count
from ...base.measure.work import LayerCounts
from ...base.rules import Count, Natural, NotASetting, Positive, Rule, check_rules
from ...base.shown import Shown
from ...data.files.state import Saved, check_finite
from ...data.recordings import Recordings
from .classifiers import CLASSIFIERS, PENALTIES
from .pace import in_pieces, pieces_of
from .self_training import self_trained
from .windows import FEATURES, TIMINGS, check_windows, features, width

# Added to each feature's standard deviation, as a fraction of their mean, so that features that hardly vary stay small.
FLOOR = 0.3


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
            trained = CLASSIFIERS[self.kind](gram, column, penalty, hidden=self.hidden, seed=self.seed)
            rows = (trained.coefficients.T.astype(np.float32) @ z) / scale
        # Shift and scale go into weights and bias: a feature of a silent neuron stays zero and costs nothing.
        weights = rows.astype(np.float32)
        bias = trained.bias - rows @ mean
        duration = float(spikes.durations.max())
        if trained.last is None:
            return TrainedReadout(self, classes, weights, bias, duration=duration)
        last = trained.last
        return TrainedReadout(
            readout=self,
            labels=classes,
            weights=last.weights,
            bias=last.bias,
            hidden_weights=weights,
            hidden_bias=bias,
            duration=duration,
        )

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
