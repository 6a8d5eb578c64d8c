"""Readouts: features of a liquid's spikes, and a linear classifier of them (scikit-learn)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from .. import files, measure
from ..errors import NeurosimFormatError, NeurosimInputError, check, pick
from ..spikes import Recordings

# Windows lie between the times at which this fraction of a recording's spikes has come, and all but it: silence
# before and after a word then moves no window.
TRIM = 0.03
# Added to a feature's standard deviation, as a fraction of their mean: a feature that hardly varies stays small.
FLOOR = 0.3
# As fractions of the mean squared norm of a training vector, chosen on held-out training recordings of N-MNIST-800 and
# FSDD-SHD: accuracy is flat within a factor of 3.
PENALTIES = {"ridge": 0.2, "logistic": 0.003}

Counter = Callable[[Recordings, NDArray, float], NDArray]


def features(spikes: Recordings, kind: str = "counts", windows: int = 6, tau: float = 0.05) -> NDArray[np.float32]:
    """[recordings, windows * units] numbers that describe each recording.

    Args:
        spikes: a liquid's.
        kind: "counts", the square root of the spikes in each of `windows` windows of equal length (the root makes
            the variance of a Poisson count the same at every rate); or "traces", spikes filtered by exp(-t / `tau`)
            and sampled at the end of each window.
        tau: s.

    Raises:
        NeurosimInputError: an unknown kind, no windows, `tau` not > 0 s.
    """
    extract = pick(FEATURES, kind, "features.kind")
    check(windows >= 1, "features.windows", "must be >= 1", windows)
    check(tau > 0, "features.tau", "must be > 0 s", tau)
    return extract(spikes, _edges(spikes, windows), tau).reshape(len(spikes), windows * spikes.size)


def _counts(spikes: Recordings, edges: NDArray, tau: float) -> NDArray:
    from ..kernels.traces import window_counts

    return np.sqrt(window_counts(_times(spikes), spikes.units, spikes.offsets, edges, spikes.size))


def _traces(spikes: Recordings, edges: NDArray, tau: float) -> NDArray:
    from ..kernels.traces import sampled_traces

    return sampled_traces(_times(spikes), spikes.units, spikes.offsets, edges[:, 1:].copy(), tau, spikes.size)


FEATURES: dict[str, Counter] = {"counts": _counts, "traces": _traces}


def _times(spikes: Recordings) -> NDArray[np.float64]:
    return spikes.ticks * np.float64(spikes.tick)


def _edges(spikes: Recordings, windows: int) -> NDArray[np.float64]:
    """[recordings, windows + 1] s; the first window starts with the recording and the last ends with it."""
    times = _times(spikes)
    edges = np.empty((len(spikes), windows + 1))
    for i, (a, b, duration) in enumerate(zip(spikes.offsets, spikes.offsets[1:], spikes.durations, strict=False)):
        n = b - a
        skip = int(TRIM * n)
        first, last = (times[a + skip], times[b - 1 - skip]) if n else (0.0, duration)
        edges[i] = np.linspace(first, last, windows + 1)
        edges[i, 0], edges[i, -1] = 0.0, duration
    return edges


@final
@dataclass(frozen=True)
class Readout:
    """How to read a liquid: which features, and which linear classifier of them.

    Attributes:
        kind: "ridge" (least squares on classes) or "logistic".
        features, windows, tau: as in `features`.
        penalty: on squared weights, as a fraction of the mean squared norm of a training vector; None means
            `PENALTIES[kind]`.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    kind: Literal["ridge", "logistic"] = "ridge"
    features: Literal["counts", "traces"] = "traces"
    windows: int = 6
    tau: float = 0.05
    penalty: float | None = None

    def __post_init__(self) -> None:
        pick(CLASSIFIERS, self.kind, "Readout.kind")
        pick(FEATURES, self.features, "Readout.features")
        check(self.windows >= 1, "Readout.windows", "must be >= 1", self.windows)
        check(self.tau > 0, "Readout.tau", "must be > 0 s", self.tau)
        check(self.penalty is None or self.penalty > 0, "Readout.penalty", "must be > 0", self.penalty)

    def fit(self, spikes: Recordings, labels: object) -> TrainedReadout:
        """Train on a liquid's spikes with labels [recordings].

        Raises:
            NeurosimInputError: labels that do not fit, or of one class only.
        """
        y = np.asarray(labels)
        check(y.shape == (len(spikes),), "Readout.fit", f"needs {len(spikes)} labels", y.shape)
        check(len(np.unique(y)) > 1, "Readout.fit", "needs recordings of at least two classes", np.unique(y).tolist())
        x = self.describe(spikes)
        mean, spread = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
        scale = spread + FLOOR * max(float(spread.mean()), 1e-12)
        z = (x - mean) / scale
        penalty = PENALTIES[self.kind] if self.penalty is None else self.penalty
        weights, bias = CLASSIFIERS[self.kind](z, y, penalty * float(np.mean((z**2).sum(axis=1))))
        return TrainedReadout(self, np.unique(y), mean, scale, weights.astype(np.float32), bias.astype(np.float32))

    def describe(self, spikes: Recordings) -> NDArray[np.float32]:
        return features(spikes, self.features, self.windows, self.tau)


@final
@dataclass(frozen=True, eq=False)
class TrainedReadout:
    """A readout with its weights.

    Attributes:
        readout: what was trained.
        labels: [classes] int64, the label of each row.
        mean, scale: [features], what a feature is shifted and divided by.
        weights: [classes, features] float32; bias: [classes].
    """

    readout: Readout
    labels: NDArray
    mean: NDArray
    scale: NDArray
    weights: NDArray
    bias: NDArray

    def scores(self, spikes: Recordings) -> NDArray[np.float32]:
        """[recordings, classes]; the largest wins.

        Raises:
            NeurosimInputError: spikes of a liquid of another size.
        """
        size = self.mean.size // self.readout.windows
        check(spikes.size == size, "TrainedReadout.scores", f"needs spikes of {size} neurons", spikes.size)
        return self._scores(self._inputs(spikes))

    def predict(self, spikes: Recordings) -> NDArray[np.int64]:
        """[recordings] labels."""
        return self.labels[self.scores(spikes).argmax(axis=1)]

    def work(self, spikes: Recordings) -> measure.Layer:
        """What reading these recordings took, as a layer of multiply-accumulates."""
        x = self._inputs(spikes)[:, None]
        none = np.zeros((len(spikes), 1, len(self.labels), 0), np.float32)
        return measure.count("readout", self.weights.T, x, self._scores(x[:, 0])[:, None], none, spiking=False)

    def save(self, path: Path | str) -> None:
        """Write everything to a safetensors file, atomically."""
        from safetensors.numpy import save

        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in ARRAYS}
        about = {name: getattr(self.readout, name) for name in Readout.__dataclass_fields__}
        files.write_bytes(path, save(tensors, {"neurosim": json.dumps({"readout": 1, **about})}))

    @classmethod
    def load(cls, path: Path | str) -> TrainedReadout:
        """Read what `save` wrote.

        Raises:
            NeurosimFormatError: another file, or one written by a newer version.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), "np") as stored:
                about: dict[str, Any] = json.loads((stored.metadata() or {})["neurosim"])
                version = about.pop("readout")
                arrays = {name: stored.get_tensor(name) for name in ARRAYS}
        except (SafetensorError, KeyError, ValueError, AttributeError, OSError) as error:
            raise NeurosimFormatError(f"{path}: is no readout that neurosim saved ({error}); train it again") from None
        if version != 1:
            raise NeurosimFormatError(f"{path}: readout format 1 is known (got {version}); use a newer neurosim")
        try:
            return cls(Readout(**about), **arrays)
        except (TypeError, NeurosimInputError) as error:
            raise NeurosimFormatError(f"{path}: has settings that do not fit ({error})") from None

    def _inputs(self, spikes: Recordings) -> NDArray[np.float32]:
        return ((self.readout.describe(spikes) - self.mean) / self.scale).astype(np.float32)

    def _scores(self, x: NDArray) -> NDArray[np.float32]:
        return x @ self.weights.T + self.bias


ARRAYS = ("labels", "mean", "scale", "weights", "bias")


def _ridge(z: NDArray, y: NDArray, penalty: float) -> tuple[NDArray, NDArray]:
    from sklearn.linear_model import RidgeClassifier

    # Cholesky solves in as many unknowns as there are recordings where features are more.
    return _coefficients(RidgeClassifier(alpha=penalty, solver="cholesky").fit(z, y))


def _logistic(z: NDArray, y: NDArray, penalty: float) -> tuple[NDArray, NDArray]:
    from sklearn.linear_model import LogisticRegression

    return _coefficients(LogisticRegression(C=1 / penalty, max_iter=300).fit(z, y))


def _coefficients(model: Any) -> tuple[NDArray, NDArray]:
    """[classes, features] and [classes], one row a class also where scikit-learn keeps a single one for two."""
    weights, bias = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    return (np.vstack([-weights, weights]), np.concatenate([-bias, bias])) if len(weights) == 1 else (weights, bias)


CLASSIFIERS: dict[str, Callable[[NDArray, NDArray, float], tuple[NDArray, NDArray]]] = {
    "ridge": _ridge,
    "logistic": _logistic,
}
