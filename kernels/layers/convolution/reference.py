"""A convolution of pictures that are mostly zeros: terms are added one by one, in ascending order.

    out[n, f, i, j] = sum over p, a, b of x[n, p, s i + a, s j + b] kernel[f, p, a, b]

without padding, for filters f, planes p and a stride s along both axes.
"""

from __future__ import annotations

import numpy as np


def convolution_reference(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Return [N, filters, rows, columns] of x [N, planes, height, width], sums in ascending order of p, a, b."""
    filters, _, tall, broad = kernel.shape
    rows = (x.shape[2] - tall) // stride + 1
    columns = (x.shape[3] - broad) // stride + 1
    out = np.zeros((len(x), filters, rows, columns), np.float32)
    for n, f, i, j in np.ndindex(*out.shape):
        window = x[n, :, stride * i : stride * i + tall, stride * j : stride * j + broad]
        for tap in zip(*np.nonzero(window), strict=True):
            out[n, f, i, j] += window[tap] * kernel[f][tap]
    return out


def kernel_gradient_reference(x: np.ndarray, g: np.ndarray, stride: int, size: tuple[int, int]) -> np.ndarray:
    """Return [filters, planes, *size], in float64, the gradient of the kernel for g, the gradient of `out`."""
    out = np.zeros((g.shape[1], x.shape[1], *size))
    for a, b in np.ndindex(*size):
        seen = x[:, :, a:, b:][:, :, ::stride, ::stride][:, :, : g.shape[2], : g.shape[3]]
        out[:, :, a, b] = np.einsum("nfij,npij->fp", g, seen, dtype=np.float64)
    return out
