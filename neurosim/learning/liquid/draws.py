"""Random numbers of a liquid, keyed by its seed and a label, so that each draw is the same whatever else is drawn."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...base.random import rng_key


def uniform(seed: int, label: str, *shape: int, first: int = 0) -> NDArray[np.float64]:
    """Return uniform numbers in 0..1, those from number `first` of the stream on."""
    from ...kernels.tools.random import uniforms

    values = np.empty(math.prod(shape))
    uniforms(_key(seed, label), first, 0, values)
    return values.reshape(shape)


def normal(seed: int, label: str, *shape: int) -> NDArray[np.float64]:
    """Return normal numbers of mean 0 and variance 1."""
    from ...kernels.tools.random import normals_with

    values = np.empty(math.prod(shape))
    normals_with(_key(seed, label), 0, 0, np.empty((4, 512), np.uint32), np.empty((2, 512)), values)
    return values.reshape(shape)


def gamma(seed: int, label: str, *shape: int) -> NDArray[np.float64]:
    """Return gamma numbers of mean 1 and shape 4: the mean of four exponentials."""
    return -np.log(uniform(seed, label, *shape, 4)).mean(axis=-1)


def steps(seed: int, label: str, max_steps: int, *shape: int) -> NDArray[np.int64]:
    """Return delays in steps, uniform from 1 to `max_steps`."""
    return 1 + (uniform(seed, label, *shape) * max_steps).astype(np.int64)


def _key(seed: int, label: str) -> np.uint64:
    return np.uint64(rng_key(seed, "liquid", label))
