"""Scores of sparse codes and the readouts that learn from them: the plain form, in numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class SparseCodes(NamedTuple):
    """Codes of items, of each the features that are not 0.

    Attributes:
        offsets: [items + 1] int64, where the features of each item begin, and the end of the last.
        features: [n] int32, ascending within an item.
        values: [n] float32.
    """

    offsets: NDArray[np.int64]
    features: NDArray[np.int32]
    values: NDArray[np.float32]


def scores_reference(codes: SparseCodes, weights: NDArray) -> NDArray[np.float64]:
    """Return [items, classes], of each item the sum of rows of weights [features, classes] times its values."""
    offsets = codes.offsets
    out = np.zeros((len(offsets) - 1, weights.shape[1]))
    for i in range(len(out)):
        for k in range(offsets[i], offsets[i + 1]):
            out[i] += np.float64(codes.values[k]) * weights[codes.features[k]]
    return out


def spread_reference(codes: SparseCodes, amounts: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return [size, classes], for each feature the sum of amounts [items, classes] times its values."""
    offsets = codes.offsets
    out = np.zeros((size, amounts.shape[1]))
    for i, amount in enumerate(amounts):
        for k in range(offsets[i], offsets[i + 1]):
            out[codes.features[k]] += np.float64(codes.values[k]) * amount
    return out


def learn_rates_reference(
    codes: SparseCodes,
    labels: NDArray[np.int64],
    rate: float,
    weights: NDArray[np.float32],
    power: NDArray[np.float64],
) -> None:
    """Change weights [features, classes] and power [features] by each item in turn.

    power_f += x_f^2; r_f = x_f / power_f; W += rate / r.x r (t - W x)^T, t being 1 for the label and 0 for others.
    """
    offsets = codes.offsets
    for i, label in enumerate(labels):
        part = slice(offsets[i], offsets[i + 1])
        features = codes.features[part]
        x = codes.values[part].astype(np.float64)
        if not len(x):
            continue
        # With the item itself: a feature that occurs for the first time is not divided by 0.
        power[features] += x * x
        direction = x / power[features]
        error = -(x @ weights[features].astype(np.float64))
        error[label] += 1.0
        step = rate / float(direction @ x)
        weights[features] += (step * direction[:, None] * error).astype(np.float32)
