"""The series of a run: computed, or the columns of a table."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....base.errors import GuessWarning, require
from ....data.series import decode_text, read_series, require_table
from ....data.series_order import in_time
from ....data.standard_series import STANDARD, standard_series
from .config import FILE_HORIZONS, SeriesConfig

# Values of the test part without which no error means anything.
MIN_TEST = 20
# Largest size and smallest range of values: their squares, and they themselves as float32, neither overflow nor vanish.
MAX_VALUE = 1e30
MIN_RANGE = 1e-30


@dataclass(frozen=True, eq=False)
class SeriesInputs:
    """The series of a run.

    Attributes:
        inputs: [values, columns] that the forecast uses.
        names: of these columns.
        target: [values] that is forecast, and `target_name`.
        is_own: whether the target is among the inputs: then the last value is a forecast, too.
        texts: time of each value as the table has it; empty: none.
        horizons: how many values ahead.
        train: number of values of the training part.
        missing: cells of the table that were empty, in whose place stands the value before.
        digest: SHA-256 of the values.
    """

    inputs: NDArray[np.float64]
    names: tuple[str, ...]
    target: NDArray[np.float64]
    target_name: str
    is_own: bool
    texts: tuple[str, ...]
    horizons: tuple[int, ...]
    train: int
    missing: int
    digest: str


def read_inputs(config: SeriesConfig) -> SeriesInputs:
    """Return the series of a run.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError, NeurosimInputError: a table or a column that is wrong, or too short a series.
    """
    own = config.series
    texts: tuple[str, ...] = ()
    missing = 0
    if own.is_computed:
        computed = standard_series(own.name, own.values, config.seed)
        inputs, target, horizons, names = computed
        target_name = "y" if own.name == "narma10" else names[0]
        is_own = target_name in names
    else:
        names, target_name, inputs, target, texts, missing = _table(config)
        horizons = FILE_HORIZONS
        is_own = target_name in names
    horizons = own.horizons or horizons
    # The first values have no past of the length that some models read: all begin at the same one. Behind the
    # training part there must be values to test on at the longest horizon.
    values = len(target)
    train = round(own.train * values)
    first = max(own.washout, own.lags, config.states.inputs)
    least = first + max(horizons) + 2 * MIN_TEST
    longer = "give a longer series, or fewer values ahead"
    require(train >= least, "series.train", f"must leave at least {least} values to learn on; {longer}", train)
    rest = values - train - max(horizons)
    require(rest >= MIN_TEST, "series.train", f"must leave at least {MIN_TEST} values to test on; {longer}", rest)
    columns = {name: inputs[:, k] for k, name in enumerate(names)} | {target_name: target}
    for name, column in columns.items():
        _check_magnitude(name, column)
        part = column[first:train]
        require(float(np.ptp(part)) > 0, f"column {name}", "must change in the training part", float(part[0]))
    digest = hashlib.sha256(inputs.tobytes() + target.tobytes()).hexdigest()
    return SeriesInputs(
        inputs=inputs,
        names=names,
        target=target,
        target_name=target_name,
        is_own=is_own,
        texts=texts,
        horizons=horizons,
        train=train,
        missing=missing,
        digest=digest,
    )


def _check_magnitude(name: str, values: NDArray[np.float64]) -> None:
    """Raise for values whose unit is too small or too large for the arithmetic of a forecast."""
    largest = float(np.abs(values).max())
    rule = f"must have values of at most {MAX_VALUE:g}; write them in a larger unit"
    require(largest <= MAX_VALUE, f"column {name}", rule, largest)
    span = float(np.ptp(values))
    rule = f"must have a range of at least {MIN_RANGE:g}; write its values in a smaller unit"
    require(span == 0 or span >= MIN_RANGE, f"column {name}", rule, span)


def _table(
    config: SeriesConfig,
) -> tuple[tuple[str, ...], str, NDArray[np.float64], NDArray[np.float64], tuple[str, ...], int]:
    """Return names of inputs and target, their values, the times, and the number of empty cells."""
    own = config.series
    path = Path(own.name)
    require_table(path, f"load.csv, or one of {', '.join(STANDARD)}")
    text = decode_text(path.read_bytes())
    wanted = dict.fromkeys([*([own.target] if own.target else []), *own.inputs])
    # Without a target all columns are read: the first of numbers is it.
    columns, rows = read_series(
        io.StringIO(text, newline=""), own.name, own.time, tuple(wanted) if own.target else (), whole=True
    )
    target_name = own.target or columns.numbers[0]
    names = own.inputs or (target_name,)
    read = list(dict.fromkeys((target_name, *names)))
    for name in names:
        require(name in columns.numbers, "series.inputs", f"must be of {', '.join(columns.numbers)}", name)
    cells = []
    texts = []
    ordered = in_time(columns, rows, own.name)
    _doubt_uneven(np.array([row.time for row in ordered]), own.name)
    for row in ordered:
        cells.append([float(row.values[name]) for name in read])
        texts.append(row.text)
    values = np.array(cells, np.float64).reshape(-1, len(read))
    missing = int(np.isnan(values).sum())
    complete = filled(values)
    place = [read.index(name) for name in names]
    return tuple(names), target_name, complete[:, place], complete[:, 0], tuple(texts), missing


def _doubt_uneven(times: NDArray[np.float64], name: str) -> None:
    """Warn where records are not evenly spaced in time, NaN without times: a forecast counts records."""
    if len(times) < 2 or np.isnan(times).any():
        return
    steps = np.diff(times)
    usual = float(np.median(steps))
    # Months differ by less.
    uneven = int(np.count_nonzero(np.abs(steps - usual) > usual / 2))
    if uneven:
        warnings.warn(
            f"{name}: in {uneven:,} of {len(steps):,} places the time to the next record is not the usual "
            f"{usual:.6g} s; values are forecast as if they were evenly spaced",
            GuessWarning,
            stacklevel=2,
        )


def filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return [values, columns] with the last known value in the place of missing ones, the first known at the start."""
    known = np.isfinite(values)
    require(bool(known.any(axis=0).all()), "table", "must have a number in each column", "an empty column")
    row = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(known, row, -1), axis=0)
    first = known.argmax(axis=0)
    return np.take_along_axis(values, np.where(last < 0, first, last), axis=0)
