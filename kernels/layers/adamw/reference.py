"""A step of AdamW with clipped gradients (Loshchilov & Hutter 2019)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def step_reference(
    parameter: NDArray[np.float64],
    grad: NDArray[np.float64],
    average: NDArray[np.float64],
    square: NDArray[np.float64],
    scales: NDArray[np.float32],
) -> None:
    """Move a parameter [n], and the averages of its gradient and of its square, in place.

    Args:
        scales: clip, what gradients are multiplied by, at most 1; 1 - learning rate x weight decay; 1 - beta1; beta2;
            1 - beta2; sqrt(1 - beta2 ** step); epsilon; -learning rate / (1 - beta1 ** step).
    """
    clip, decay, new, beta2, new_square, correction, epsilon, rate = scales.astype(np.float64)
    g = clip * grad
    average += new * (g - average)
    square *= beta2
    square += new_square * g * g
    parameter *= decay
    parameter += rate * average / (np.sqrt(square) / correction + epsilon)
