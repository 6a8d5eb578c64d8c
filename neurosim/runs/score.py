"""Accuracy and what belongs beside it: chance, confidence, confusion."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054  # the normal quantile at 97.5 %


def score(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: tuple[str, ...], train_labels: NDArray[np.int64]
) -> dict[str, object]:
    """The figures of one classification.

    Args:
        labels, predicted: [samples] class numbers.
        classes: the name of each class number.
        train_labels: [n] what the readout was trained on.

    Returns:
        accuracy; `confidence_interval`: Wilson's 95 % interval of it; `chance`: the accuracy of always saying the
        class most frequent in training; `confusion`: [class][predicted] counts; `per_class`: recall by class name,
        None where a class does not occur.
    """
    n, size = len(labels), len(classes)
    right = int(np.count_nonzero(labels == predicted))
    confusion = np.bincount(labels * size + predicted, minlength=size * size).reshape(size, size)
    common = int(np.argmax(np.bincount(train_labels, minlength=size)))
    totals = confusion.sum(axis=1)
    return {
        "accuracy": right / n,
        "confidence_interval": list(wilson(right, n)),
        "chance": float(np.mean(labels == common)),
        "per_class": {
            name: int(confusion[k, k]) / int(totals[k]) if totals[k] else None for k, name in enumerate(classes)
        },
        "confusion": confusion.tolist(),
    }


def wilson(right: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (1927): unlike the normal one it stays within [0, 1].

    centre = (p + z^2 / 2n) / (1 + z^2 / n),  half = z sqrt(p (1 - p) / n + z^2 / 4n^2) / (1 + z^2 / n)
    """
    p, scale = right / n, 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale
    # At p = 0 and 1 the exact bound is p itself, which rounding may miss by an ulp.
    return min(max(centre - half, 0.0), p), max(min(centre + half, 1.0), p)
