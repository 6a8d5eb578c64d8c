"""Random patterns for tests of associative memories."""

import numpy as np
import pytest

overfull = pytest.mark.filterwarnings("ignore::neurosim.base.CapacityWarning")


def signs(seed, *shape):
    return np.random.default_rng(seed).choice([-1.0, 1.0], shape)
