"""Errors of the scores of classes, by which an online readout learns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def label_error(scores: NDArray[np.float64], label: int, seen: NDArray[np.bool_], kind: str) -> NDArray[np.float64]:
    """Return e = t - s, or with "softmax" t - p; t is 1 for the label and 0 for other classes.

    Args:
        seen: [classes] whether p counts a class.
    """
    target = np.zeros(len(scores))
    target[label] = 1.0
    if kind == "linear":
        return target - scores
    return target - _softmax(scores, seen)


def reward_error(scores: NDArray[np.float64], winner: int, right: bool, kind: str) -> NDArray[np.float64]:
    """Return e of the winner, 0 for other classes: +-1 - s, or with "softmax" 1 - p if right, else -p."""
    error = np.zeros(len(scores))
    if kind == "linear":
        target = 1.0 if right else -1.0
        error[winner] = target - scores[winner]
    else:
        every = np.ones(len(scores), np.bool_)
        error[winner] = right - _softmax(scores, every)[winner]
    return error


def _softmax(scores: NDArray[np.float64], among: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return probabilities of the classes `among`, 0 for others."""
    powers = np.where(among, np.exp(scores - scores[among].max()), 0.0)
    return powers / powers.sum()
