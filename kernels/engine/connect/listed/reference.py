"""Synapses of a list, sorted by numpy: the specification."""

from __future__ import annotations

import numpy as np


def sort_listed_reference(pre: np.ndarray, post: np.ndarray) -> np.ndarray:
    """Specify `sort_listed`: places sorted by source, then target, then place in the list."""
    return np.lexsort((post, pre))
