"""Accuracy with chance, confidence and confusion, and the figures of a dense network beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...base.plain import Record

Z95 = 1.959963984540054  # the normal quantile at 97.5 %


@dataclass(frozen=True, kw_only=True)
class Score:
    """The figures of a classification.

    Attributes:
        accuracy: share of samples whose class was predicted.
        confidence_interval: Wilson's 95 % interval of the accuracy.
        chance: share of the largest class among the samples, what always answering it would get right.
        uniform_chance: what a guess gets right, 1 / classes.
        per_class: recall by class name; None where a class does not occur.
        confusion: counts, [class][predicted].
    """

    accuracy: float | None = None
    confidence_interval: tuple[float, float] | None = None
    chance: float | None = None
    uniform_chance: float | None = None
    per_class: Mapping[str, float | None] = field(default_factory=dict)
    confusion: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class FrameCNN(Record):
    """A small convolutional network beside a run.

    Attributes:
        accuracy: on the same test recordings; None where it was not trained.
        parameters: number of weights and biases.
        multiply_accumulates: for one recording.
        energy_int8, energy_fp32: estimates of the arithmetic of one recording, J; None where the profile has no costs
            of single operations.
        reason: why it was not trained; "" where it was.
    """

    accuracy: float | None = None
    parameters: int | None = None
    multiply_accumulates: int | None = None
    energy_int8: float | None = None
    energy_fp32: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class OtherClassifiers:
    """Accuracies of other classifiers on the recordings of a run; all runs that classify have them in their results.

    Attributes:
        baselines: accuracies of simple classifiers, by name; see `runs.baselines`.
        cnn: a small convolutional network; None: none was asked for.
    """

    baselines: Mapping[str, float] = field(default_factory=dict)
    cnn: FrameCNN | None = None


def accuracy_of(scores: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """Return the fraction of samples whose own class has the largest of the scores [samples, classes]."""
    return float(np.mean(scores.argmax(axis=1) == labels))


def score_answers(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: tuple[str, ...]) -> Score:
    """Return the figures of a classification.

    Args:
        labels, predicted: [samples] class numbers; below 0 where there is no answer, which counts as wrong.
        classes: the name of each class number.
    """
    n = len(labels)
    size = len(classes)
    right = int(np.count_nonzero(labels == predicted))
    answered = predicted >= 0
    # One number for each pair (class, answer), counted at once.
    pairs = labels[answered] * size + predicted[answered]
    confusion = np.bincount(pairs, minlength=size * size).reshape(size, size)
    totals = np.bincount(labels, minlength=size)
    return Score(
        accuracy=right / n,
        confidence_interval=wilson(right, n),
        chance=float(totals.max() / n),
        uniform_chance=1 / size,
        per_class={
            name: int(confusion[k, k]) / int(totals[k]) if totals[k] else None for k, name in enumerate(classes)
        },
        confusion=tuple(map(tuple, confusion.tolist())),
    )


def wilson(right: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion (1927); unlike the normal interval it stays within [0, 1].

    centre = (p + z^2 / 2n) / (1 + z^2 / n),  half = z sqrt(p (1 - p) / n + z^2 / 4n^2) / (1 + z^2 / n)
    """
    p = right / n
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale
    # At p = 0 and 1 the exact bound is p itself, which rounding may miss by an ulp.
    return min(max(centre - half, 0.0), p), max(min(centre + half, 1.0), p)


def separation(high: NDArray[np.float64], low: NDArray[np.float64]) -> float:
    """Return the probability that one of `high` exceeds one of `low`, ties counting half (Mann and Whitney 1947)."""
    ordered = np.sort(low)
    below = np.searchsorted(ordered, high, "left")
    up_to = np.searchsorted(ordered, high, "right")
    return float((below + up_to).mean() / (2 * len(low)))
