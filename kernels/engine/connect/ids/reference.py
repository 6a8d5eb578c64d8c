"""Numbers of ids by a dictionary: the specification."""

from __future__ import annotations

import numpy as np


def number_ids_reference(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Specify `collect` and `find`: the distinct ids in the order of their first appearance, and each id's place."""
    places: dict[int, int] = {}
    for key in ids.tolist():
        places.setdefault(key, len(places))
    numbers = np.array([places[key] for key in ids.tolist()], np.int32)
    return np.array(list(places), np.int64), numbers
