"""Linear classifiers of fixed features that keep sums over items and no item: what other learners have to beat."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from ....base.errors import NeurosimError, require
from ....base.measure.activity import count
from ....base.measure.work import LayerCounts
from ....base.rules import Count, Positive, Rule, check_rules
from ..learner import BATCH, Arrays, Learner, Progress, no_progress
from ..tasks import Problem, Task
from .random_features import FilterView, ItemFeatures, Pair, RandomUnits, SummedDrives, Windows, random_filters, view_of
from .state import about, check_arrays

# Score of a class without items: finite, so that among such classes an allowed one is chosen.
UNMET = np.finfo(np.float64).min
# Maximum number of features with a sum for each pair: 2 GB.
MAX_PAIRED = 2**14
Readout = tuple[NDArray[np.float64], NDArray[np.float64]]


class SumsLearner(Learner):
    """A classifier with scores z W + b of features z, W and b being computed from sums over items.

    Sums are the same in any order and however items come in tasks, so that nothing is forgotten: scores are those of a
    classifier that has all items together. Classes without items have the score `UNMET`.

    Attributes:
        features: function from items to z; it does not change.
        sums: by name: "counts" [classes], number of items; "sums" [classes, F], sums of z; and, if `PAIRED`, "pairs"
            [F, F], the sum of z z^T.
    """

    name: ClassVar[str]
    PAIRED: ClassVar[bool] = True
    TASK_FREE = True
    sums: dict[str, NDArray[np.float64]]

    def __init__(self, problem: Problem, settings: Any) -> None:
        super().__init__(problem)
        self.settings = settings
        self.features = self._features()
        rule = f"must be at most {MAX_PAIRED}, with a sum for each pair; take fewer, or a larger pool"
        require(self.features.size <= MAX_PAIRED or not self.PAIRED, f"{self.name}: features", rule, self.features.size)
        self._readout: Readout | None = None
        self._clear()

    @abstractmethod
    def _features(self) -> ItemFeatures:
        """Return the features of the problem."""

    @abstractmethod
    def _solve(self) -> Readout:
        """Return W [F, classes] and b [classes] of the sums."""

    def begin(self, task: Task) -> None:
        """Do nothing: a task has no information apart from its items."""

    def learn(self, task: Task, on_progress: Progress = no_progress) -> None:
        n = len(task.train)
        for first in range(0, n, BATCH):
            part = task.train.select(np.arange(first, min(first + BATCH, n)))
            z = self.features(part.x)
            one_hot = (part.y[:, None] == np.arange(self.problem.classes)).astype(np.float64)
            self.sums["counts"] += one_hot.sum(axis=0)
            self.sums["sums"] += one_hot.T @ z
            if self.PAIRED:
                self.sums["pairs"] += z.T @ z
            on_progress(first + len(part), n)
        # Every item adds to the sum and count of its class and to all pairs; then W and b are solved once.
        size = self.features.size
        each = size + 1 + size * size * self.PAIRED
        self.updates = n * each + (size + 1) * self.problem.classes
        self.learned = task.index + 1
        self._readout = None

    def scores(self, x: NDArray[np.uint8], task: int | None) -> NDArray[Any]:
        weights, bias = self._solved()
        # A class that no task has shown yet must not win by the bias alone.
        met = self.sums["counts"] > 0
        return np.where(met, self.features(x) @ weights + bias, UNMET)

    def work(self, x: NDArray[np.uint8], task: int | None = None) -> list[LayerCounts]:
        weights, bias = (array.astype(np.float32) for array in self._solved())
        z = self.features(x)[:, None].astype(np.float32)
        outputs = z @ weights + bias
        none = np.zeros((*outputs.shape, 0), np.float32)
        stored = weights.nbytes + bias.nbytes
        readout = count("readout", weights, z, outputs, none, spiking=False, parameter_bytes=stored)
        return [*self.features.work(x), readout]

    def memory_bytes(self) -> dict[str, int]:
        sums = sum(array.nbytes for array in self.sums.values())
        weights = 8 * (self.features.size + 1) * self.problem.classes
        held = {"features": self.features.nbytes, "readout": weights, "sums": sums}
        return {name: size for name, size in held.items() if size}

    def state(self) -> dict[str, NDArray[Any]]:
        own = {name: array.copy() for name, array in self.sums.items()}
        return {**own, **about(self.problem), "learned": np.array(self.learned)}

    def restore(self, arrays: Arrays, earlier: Sequence[Task]) -> None:
        check_arrays(self.name, arrays, self.state())
        self.sums = {name: np.array(arrays[name]) for name in self.sums}
        self.learned = int(arrays["learned"])
        self._readout = None

    def _clear(self) -> None:
        size = self.features.size
        classes = self.problem.classes
        self.sums = {"counts": np.zeros(classes), "sums": np.zeros((classes, size))}
        if self.PAIRED:
            self.sums["pairs"] = np.zeros((size, size))

    def _solved(self) -> Readout:
        if self._readout is None:
            if self.sums["counts"].any():
                self._readout = self._solve()
            else:
                self._readout = np.zeros((self.features.size, self.problem.classes)), np.zeros(self.problem.classes)
        return self._readout

    def _means(self) -> NDArray[np.float64]:
        """Return [classes, F], the mean of each class; zeros for classes without items."""
        return self.sums["sums"] / np.maximum(self.sums["counts"], 1)[:, None]

    def _solution(self, matrix: NDArray[np.float64], added: float, right: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the solution of (matrix + added I) W = right."""
        from scipy.linalg import solve

        # Features that never varied leave zeros, and no direction without a floor.
        floor = max(added, 1e-12)
        try:
            return np.asarray(solve(matrix + floor * np.eye(len(matrix)), right, assume_a="pos"))
        except np.linalg.LinAlgError as error:
            raise NeurosimError(f"{self.name}: no items have such sums ({error}); learn anew") from None


@dataclass(frozen=True)
class NoSettings:
    """A learner without settings."""


@final
class NearestMean(SumsLearner):
    """The class whose mean is nearest, of drives summed over the steps of an item.

    |z - m|^2 is smallest where z m - |m|^2 / 2 is largest (Mensink et al. 2013: nearest class mean).
    """

    name = "nearest_mean"
    SETTINGS = NoSettings
    PAIRED = False

    def _features(self) -> ItemFeatures:
        return SummedDrives(self.problem)

    def _solve(self) -> Readout:
        means = self._means()
        # |z|^2 is the same for all classes and is left out.
        return means.T, -0.5 * np.square(means).sum(axis=1)


@dataclass(frozen=True)
class DiscriminantSettings:
    """Settings of `StreamingLDA`.

    Attributes:
        shrinkage: share of the mean variance in every variance.
    """

    shrinkage: Annotated[float, Rule("> 0 and <= 1")] = 0.1

    def __post_init__(self) -> None:
        check_rules(self)


@final
class StreamingLDA(SumsLearner):
    """Streaming linear discriminants: class means and one covariance (Hayes and Kanan 2020, arXiv 1909.01520).

    W = S^-1 m and b = -m W / 2 for class means m and S = (1 - s) C + s tr(C) / F I, C being the covariance within
    classes. Inputs are drives summed over the steps of an item.
    """

    name = "slda"
    SETTINGS = DiscriminantSettings
    settings: DiscriminantSettings

    def _features(self) -> ItemFeatures:
        return SummedDrives(self.problem)

    def _solve(self) -> Readout:
        means = self._means()
        # sum z z^T - sum_c n_c m_c m_c^T, the squares within classes.
        within = (self.sums["pairs"] - means.T @ self.sums["sums"]) / self.sums["counts"].sum()
        share = self.settings.shrinkage
        mean_variance = float(np.trace(within)) / len(within)
        weights = self._solution((1 - share) * within, share * mean_variance, means.T)
        return weights, -0.5 * (means.T * weights).sum(axis=0)


@dataclass(frozen=True)
class RidgeSettings:
    """Settings of a readout by ridge regression.

    Attributes:
        penalty: penalty of a weight, as a fraction of the mean variance of the features.
    """

    penalty: Positive = 1e-2

    def __post_init__(self) -> None:
        check_rules(self)


class StreamingRidge(SumsLearner):
    """Ridge regression on targets of 1 for the right class and 0 for the others, solved from sums after each task.

    Its scores are those of ridge regression on all items together; the bias has no penalty.
    """

    settings: RidgeSettings

    def _solve(self) -> Readout:
        total = self.sums["sums"].sum(axis=0)
        counts = self.sums["counts"]
        n = counts.sum()
        # Centred: sum (z - mean)(z - mean)^T and sum (z - mean) t^T
        varied = self.sums["pairs"] - np.outer(total, total) / n
        targets = self.sums["sums"].T - np.outer(total, counts) / n
        penalty = self.settings.penalty * float(np.trace(varied)) / len(varied)
        weights = self._solution(varied, penalty, targets)
        # The mean score of a class is then its share of the items.
        return weights, (counts - total @ weights) / n


@dataclass(frozen=True)
class RandomFeaturesSettings(RidgeSettings):
    """Settings of `RidgeSettings`, and

    The default penalty was chosen on validation items of split MNIST, N-MNIST and spoken digits (.01: .935, .914, .702;
    .1: .938, .921, .796).

    Attributes:
        features: number of random features.
    """

    penalty: Positive = 0.1
    features: Count = 2000


@final
class RandomFeatures(StreamingRidge):
    """Random ReLU features of all steps of an item and ridge regression: a fixed random layer (Huang et al. 2006)."""

    name = "random_features"
    SETTINGS = RandomFeaturesSettings
    settings: RandomFeaturesSettings

    def _features(self) -> ItemFeatures:
        return RandomUnits(self.problem, self.settings.features)


@dataclass(frozen=True)
class FiltersSettings(RidgeSettings):
    """Settings of `RidgeSettings`, and

    Attributes:
        filters: number of filters.
        side: rows and columns that a filter sees; one number for both.
        pool: rows and columns of places whose responses are averaged; one number for both.
        windows: what the windows of a recording are in its picture: "planes" of it, so that a filter sees all of them;
            "rows" where the units are a line, so that a filter moves over time, too, and else planes; "sum", nothing
            but their sum.
        shape: shape of the picture, e.g. [28, 28] or [2, 17, 17]; empty: the stream's, or else a line of all units.
    """

    filters: Count = 100
    side: int | Pair = 7
    pool: int | Pair = 4
    windows: Windows = "planes"
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("side", "pool"):
            value = getattr(self, name)
            pair = value if isinstance(value, tuple) else (value, value)
            rule = "must be an integer of at least 1, or two of them: rows and columns"
            require(all(isinstance(n, int) and n >= 1 for n in pair), f"{type(self).__name__}.{name}", rule, value)

    def unused(self, images: bool | None) -> dict[str, str]:
        return {"windows": "for images"} if images else {}

    def view(self, problem: Problem) -> FilterView:
        """Return what filters see of the items of a problem.

        Raises:
            NeurosimInputError: `shape` does not suit the items.
        """
        return view_of(type(self).__name__, problem, self.shape, self.side, self.pool, self.windows)


@final
class RandomFilters(StreamingRidge):
    """Random filters on the picture, rectified, means over squares of places, and ridge regression."""

    name = "random_filters"
    SETTINGS = FiltersSettings
    settings: FiltersSettings

    def _features(self) -> ItemFeatures:
        return random_filters(self.problem, self.settings.view(self.problem), self.settings.filters)
