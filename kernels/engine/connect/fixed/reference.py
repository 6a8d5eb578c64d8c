"""Rows with a fixed number of synapses, chosen one by one in Python: the specification."""

from __future__ import annotations

import numpy as np

from ..choices.reference import choose_reference, picks_reference


def fixed_rows_reference(
    key: int, first: int, last: int, degrees: np.ndarray, targets: int, with_replacement: bool, skip_self: bool
) -> list[list[int]]:
    """Specify `fixed_rows`: the targets that each of the sources `first` to `last - 1` chooses, ascending."""
    return [
        choose_reference(key, source, targets, int(degree), with_replacement, source if skip_self else -1)
        for source, degree in zip(range(first, last), degrees, strict=True)
    ]


def transpose_reference(columns: np.ndarray, low: int, sources: int) -> list[list[int]]:
    """Specify `transpose`: the targets of each source, where columns[i] are the sources of target `low` + i."""
    rows: list[list[int]] = [[] for _ in range(sources)]
    for i, column in enumerate(columns):
        for source in column:
            rows[source].append(low + i)
    return rows


def histogram_reference(key: int, draws: int, bins: int) -> np.ndarray:
    """Specify `histogram`: how many of `draws` choices out of range(bins) fell on each."""
    picks = picks_reference(key, 0, bins)
    return np.bincount([next(picks) for _ in range(draws)], minlength=bins)
