"""The accuracy matrix: every measure against matrices worked out by hand, intervals against textbook quantiles."""

from __future__ import annotations

import numpy as np
import pytest

from neurosim.base import NeurosimInputError
from neurosim.learning.continual.matrix import MEASURES, Matrix, estimate, measures, paired_p, summary

# Rows: before any task, after task 1, 2, 3; columns: tasks.
HAND = np.array(
    [
        [0.10, 0.20, 0.30],
        [0.90, 0.25, 0.30],
        [0.95, 0.80, 0.50],
        [0.60, 0.70, 0.85],
    ]
)


def test_every_measure_by_hand() -> None:
    found = measures(Matrix(HAND))
    assert set(found) == set(MEASURES)
    assert found["acc"] == pytest.approx((0.60 + 0.70 + 0.85) / 3)
    assert found["bwt"] == pytest.approx(((0.60 - 0.90) + (0.70 - 0.80)) / 2)
    assert found["fwt"] == pytest.approx(((0.25 - 0.20) + (0.50 - 0.30)) / 2)
    # Task 1 was best after task 2, not right after it was learned.
    assert found["forgetting_best"] == pytest.approx(((0.95 - 0.60) + (0.80 - 0.70)) / 2)
    assert found["forgetting_learned"] == pytest.approx(((0.90 - 0.60) + (0.80 - 0.70)) / 2)
    assert found["learned"] == pytest.approx((0.90 + 0.80 + 0.85) / 3)
    assert found["anytime"] == pytest.approx((0.90 + (0.95 + 0.80) / 2 + (0.60 + 0.70 + 0.85) / 3) / 3)
    assert found["worst"] == 0.60


def test_one_that_forgets_nothing_and_one_that_forgets_all() -> None:
    kept = np.array([[0.5, 0.5], [1.0, 0.5], [1.0, 1.0]])
    lost = np.array([[0.5, 0.5], [1.0, 0.5], [0.5, 1.0]])
    none = {"bwt": 0, "fwt": 0, "forgetting_best": 0, "forgetting_learned": 0}
    assert measures(Matrix(kept)) == {"acc": 1, **none, "learned": 1, "anytime": 1, "worst": 1}
    half = {"bwt": -0.5, "fwt": 0, "forgetting_best": 0.5, "forgetting_learned": 0.5}
    assert measures(Matrix(lost)) == {"acc": 0.75, **half, "learned": 1, "anytime": 0.875, "worst": 0.5}


def test_what_one_task_and_unknown_classes_cannot_tell() -> None:
    alone = measures(Matrix(np.array([[0.1], [0.7]])))
    none = dict.fromkeys(("bwt", "fwt", "forgetting_best", "forgetting_learned"))
    assert alone == {"acc": 0.7, **none, "learned": 0.7, "anytime": 0.7, "worst": 0.7}
    assert measures(Matrix(HAND), forward=False)["fwt"] is None
    assert summary([Matrix(HAND)], forward=False)["fwt"] is None


def test_the_curve_is_the_mean_over_tasks_learned_so_far() -> None:
    assert Matrix(HAND).curve() == pytest.approx([0.90, (0.95 + 0.80) / 2, (0.60 + 0.70 + 0.85) / 3])


def test_the_paired_test_is_that_of_the_differences() -> None:
    first = [0.8, 0.82, 0.85, 0.9]
    second = [0.78, 0.81, 0.80, 0.88]
    difference = np.subtract(first, second)
    t = difference.mean() / (difference.std(ddof=1) / 2)
    # Student's t, 3 degrees of freedom: p = 1 - 2/pi (atan(x) + x / (1 + x^2)), x = t / sqrt(3).
    x = t / np.sqrt(3)
    assert paired_p(first, second) == pytest.approx(1 - 2 / np.pi * (np.arctan(x) + x / (1 + x * x)))
    assert paired_p(first, first) == 1 and paired_p([0.5, 0.6], [0.4, 0.5]) == pytest.approx(0, abs=1e-9)
    assert paired_p([0.5], [0.4]) is None


def test_students_interval() -> None:
    # t(.975, 4) = 2.776445 (Student 1908; any table).
    values = [0.80, 0.82, 0.84, 0.86, 0.88]
    found = estimate(values)
    assert found.mean == pytest.approx(0.84) and found.n == 5
    assert found.sd == pytest.approx(np.sqrt(0.001))
    half = 2.776445 * np.sqrt(0.001) / np.sqrt(5)
    assert (found.low, found.high) == (pytest.approx(0.84 - half), pytest.approx(0.84 + half))
    one = estimate([0.5])
    assert (one.mean, one.sd, one.low, one.high, one.n) == (0.5, None, None, None, 1)


def test_the_interval_covers_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).normal(0.7, 0.05, (2000, 3))
    hits = sum(e.low <= 0.7 <= e.high for e in map(estimate, draws.tolist()) if e.low is not None and e.high)
    assert 0.935 < hits / 2000 < 0.965


def test_what_is_no_matrix() -> None:
    for values, words in (
        (np.zeros((2, 2)), r"must be \[tasks \+ 1, tasks\].*got \(2, 2\)"),
        (np.full((3, 2), 1.5), "must be accuracies in 0..1"),
        (np.full((3, 2), np.nan), "must be accuracies in 0..1"),
    ):
        with pytest.raises(NeurosimInputError, match=words):
            Matrix(values)
    with pytest.raises(NeurosimInputError, match="needs matrices of one stream"):
        summary([Matrix(HAND), Matrix(np.zeros((3, 2)))])
    with pytest.raises(NeurosimInputError, match="needs at least one"):
        summary([])
