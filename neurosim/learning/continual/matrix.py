"""The accuracy matrix of a learner on a stream, and the measures of it with their formulas."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.shown import Shown

CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class Matrix(Shown):
    """Accuracies of one learner with one seed. It may be copied and pickled.

    Attributes:
        values: [T + 1, T]; row i is after learning i tasks (row 0: none), column j - 1 the accuracy on task j.
        seed: seed of the learner and the stream.

    Raises:
        NeurosimInputError: on construction, for another shape or values that are no accuracies.
    """

    values: NDArray[np.float64]
    seed: int = 0

    def __post_init__(self) -> None:
        v = np.asarray(self.values, np.float64)
        good = v.ndim == 2 and v.shape[1] >= 1 and v.shape[0] == v.shape[1] + 1
        require(good, "Matrix.values", "must be [tasks + 1, tasks], the first row before any task", v.shape)
        good = bool(np.isfinite(v).all()) and v.min() >= 0 and v.max() <= 1
        require(good, "Matrix.values", "must be accuracies in 0..1", v[~((v >= 0) & (v <= 1))][:3].tolist())
        object.__setattr__(self, "values", v)

    @property
    def tasks(self) -> int:
        """Number of tasks T."""
        return int(self.values.shape[1])

    def curve(self) -> NDArray[np.float64]:
        """Return [T] the mean accuracy on tasks 1..i after task i."""
        return np.array([self.values[i, :i].mean() for i in range(1, self.tasks + 1)])


@dataclass(frozen=True)
class Measure:
    """A number that is computed from a matrix.

    Attributes:
        title: name in tables.
        formula: R[i,j] is the accuracy on task j after learning task i, R[0,j] before learning any; T tasks.
        meaning: meaning in words, with the source.
        min_tasks: number of tasks below which it is not defined.
        of: function from the `values` of a matrix to the terms of the sum.
    """

    title: str
    formula: str
    meaning: str
    min_tasks: int
    of: Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _learned(r: NDArray[Any]) -> NDArray[Any]:
    """Return [T] R[j,j]."""
    # Row 0 is before any task, so R[j,j] lies one below the main diagonal.
    return np.diagonal(r, -1)


MEASURES: Mapping[str, Measure] = {
    "acc": Measure(
        title="ACC",
        formula="1/T sum_j R[T,j]",
        meaning="mean accuracy in the end (Lopez-Paz & Ranzato 2017, arXiv 1706.08840)",
        min_tasks=1,
        of=lambda r: r[-1],
    ),
    "bwt": Measure(
        title="BWT",
        formula="1/(T-1) sum_(j<T) (R[T,j] - R[j,j])",
        meaning="what later tasks did to earlier ones; below 0 is forgetting (Lopez-Paz & Ranzato 2017)",
        min_tasks=2,
        of=lambda r: (r[-1] - _learned(r))[:-1],
    ),
    "fwt": Measure(
        title="FWT",
        formula="1/(T-1) sum_(j>1) (R[j-1,j] - R[0,j])",
        meaning="what earlier tasks do for one not yet learned (Lopez-Paz & Ranzato 2017)",
        min_tasks=2,
        # The main diagonal is R[j-1,j]: task j as the tasks before it leave it.
        of=lambda r: (np.diagonal(r) - r[0])[1:],
    ),
    "forgetting_best": Measure(
        title="Forgetting, of the best",
        formula="1/(T-1) sum_(j<T) (max_(0<i<T) R[i,j] - R[T,j])",
        meaning="lost of the best accuracy there ever was (Chaudhry et al. 2018, arXiv 1801.10112)",
        min_tasks=2,
        # Without row 0, which is before any task, and row T, which is the end.
        of=lambda r: (r[1:-1].max(axis=0) - r[-1])[:-1],
    ),
    "forgetting_learned": Measure(
        title="Forgetting, of the learned",
        formula="1/(T-1) sum_(j<T) (R[j,j] - R[T,j])",
        meaning="lost of the accuracy right after learning; minus BWT",
        min_tasks=2,
        of=lambda r: (_learned(r) - r[-1])[:-1],
    ),
    "learned": Measure(
        title="Learned",
        formula="1/T sum_j R[j,j]",
        meaning="mean accuracy right after learning (Riemer et al. 2019, arXiv 1810.11910)",
        min_tasks=1,
        of=_learned,
    ),
    "anytime": Measure(
        title="Any time",
        formula="1/T sum_i 1/i sum_(j<=i) R[i,j]",
        meaning="mean over time of the accuracy on the tasks so far (Caccia et al. 2022, arXiv 2104.05025)",
        min_tasks=1,
        of=lambda r: np.array([r[i, :i].mean() for i in range(1, len(r))]),
    ),
    "worst": Measure(
        title="Worst task",
        formula="min_j R[T,j]",
        meaning="the lowest accuracy in the end",
        min_tasks=1,
        of=lambda r: r[-1].min(keepdims=True),
    ),
}


def measures(matrix: Matrix, forward: bool = True) -> dict[str, float | None]:
    """Return every measure by its name in `MEASURES`; None where there are too few tasks.

    Args:
        forward: whether tasks not yet learned can be answered. If their classes are unknown (scenario "class"), FWT is
            None.
    """
    values: dict[str, float | None] = {}
    for name, m in MEASURES.items():
        is_defined = matrix.tasks >= m.min_tasks and (forward or name != "fwt")
        values[name] = float(m.of(matrix.values).mean()) if is_defined else None
    return values


@dataclass(frozen=True)
class Estimate:
    """The mean of a measure over seeds.

    Attributes:
        mean: mean of the values.
        sd: standard deviation of the values, with n - 1; None for one value.
        low, high: ends of Student's 95 % interval of the mean, None for one value.
        n: number of values.
    """

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    n: int


def estimate(values: Sequence[float]) -> Estimate:
    """Return mean, spread and Student's interval mean +- t(.975, n - 1) sd / sqrt(n) of one value a seed.

    Raises:
        NeurosimInputError: no value.
    """
    require(len(values) > 0, "estimate", "needs at least one value", 0)
    n = len(values)
    mean = float(np.mean(values))
    if n == 1:
        return Estimate(mean=mean, sd=None, low=None, high=None, n=1)
    from scipy.stats import t

    sd = float(np.std(values, ddof=1))
    half = float(t.ppf(0.5 + CONFIDENCE / 2, n - 1)) * sd / math.sqrt(n)
    return Estimate(mean=mean, sd=sd, low=mean - half, high=mean + half, n=n)


def paired_p(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return the p of a paired t test, two-sided, between values of the same seeds; None below two seeds.

    Values that differ by the same amount for every seed have p 0, equal ones p 1.
    """
    difference = np.subtract(first, second)
    if len(difference) < 2:
        return None
    if np.ptp(difference) == 0:
        return float(difference[0] == 0)
    from scipy.stats import ttest_rel

    return float(ttest_rel(first, second).pvalue)


def summary(matrices: Sequence[Matrix], forward: bool = True) -> dict[str, Estimate | None]:
    """Return every measure over seeds, None where it has no value.

    Raises:
        NeurosimInputError: no matrix, or matrices of different streams.
    """
    require(len(matrices) > 0, "summary", "needs at least one matrix", 0)
    tasks = sorted({m.tasks for m in matrices})
    require(len(tasks) == 1, "summary", "needs matrices of one stream", f"{tasks} tasks")
    rows = [measures(m, forward) for m in matrices]
    estimates: dict[str, Estimate | None] = {}
    for name in MEASURES:
        values = [row[name] for row in rows]
        known = [value for value in values if value is not None]
        # All seeds have the same number of tasks: a measure has a value for each, or for none.
        estimates[name] = estimate(known) if len(known) == len(values) else None
    return estimates
