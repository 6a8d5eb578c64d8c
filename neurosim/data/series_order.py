"""The order of a table of series: oldest record first, and one series alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np

from ..base.errors import GuessWarning, NeurosimInputError
from .series import SeriesRow
from .series_columns import SeriesColumns

# Times from which a table in which each occurs as often holds several series, and not some records twice.
MIN_TIMES = 5


def in_time(columns: SeriesColumns, rows: Iterable[SeriesRow], name: str) -> list[SeriesRow]:
    """Return the rows of a whole table, turned round with a `GuessWarning` where the newest comes first.

    Single records out of order, as at the end of summer time, stay where they are.

    Args:
        columns: of the table; without times the rows stay as they are.
        rows: all of them.
        name: of the file, for errors.

    Raises:
        NeurosimInputError: each time occurs several times: the table holds several series.
    """
    every = list(rows)
    if not columns.time or len(every) < 2:
        return every
    times = np.array([row.time for row in every])
    steps = np.diff(times)
    # Series side by side repeat every time equally often; series one below the other let the times begin anew.
    counts = np.unique(times, return_counts=True)[1]
    often = len(times) / len(counts)
    alike = counts[0] > 1 and bool((counts == counts[0]).all())
    begins_anew = bool((steps > 0).any() and (steps < 0).any() and often >= 2)
    if len(counts) >= MIN_TIMES and (alike or begins_anew):
        raise NeurosimInputError(
            f"{name}, column {columns.time}: must have each time once, for one series is read (each occurs {often:.3g} "
            "times, as where several series lie in one table, or where times of day are missing); write one series a "
            "file, or one column a series"
        )
    if (steps > 0).any() or not (steps < 0).any():
        return every
    warnings.warn(f"{name}: has the newest record first, and is read from its end", GuessWarning, stacklevel=2)
    return every[::-1]
