"""The random number generator of this simulator, for scripts that ask PyNN for it."""

from __future__ import annotations

import numpy as np
from pyNN import random

from ...base.random import rng_key
from . import simulator


class NativeRNG(random.NativeRNG, random.NumpyRNG):
    """Random numbers for connectors and distributions, keyed by a seed as the engine's own are.

    It goes wherever PyNN takes a generator, with the distributions of `NumpyRNG`. Without a seed the key is the seed of
    `setup` and the number of the generator since then, so that scripts repeat.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(seed)
        state = simulator.state
        if seed is None:
            key = rng_key(state.seed, "pynn", "generator", str(state.generators))
            state.generators += 1
        else:
            key = rng_key(seed, "pynn", "generator")
        self.rng = np.random.RandomState(np.random.Philox(key=key))
