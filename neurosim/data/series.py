"""Tables of time series: CSV with a column of times and columns of values, read row by row.

    timestamp,value
    2014-07-01 00:00:00,10844

The first line names the columns, or the columns are numbered. Times are dates in ISO 8601, or seconds since 1970; a
zone is left out, so that times of day are those of the clock that wrote them. An empty cell is a missing value. Where
semicolons part the columns, the comma in 0,5 is a decimal comma, as spreadsheets write it in much of Europe.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from ..base.errors import NeurosimFormatError, NeurosimInputError, lookup, require

# Names of a column of times that holds numbers.
TIME_NAMES = ("time", "timestamp", "date", "datetime", "t", "ds")
SEPARATORS = ",;\t"
MISSING = ("", "nan", "na", "null", "none")
# Group 1 is in front of the comma.
_DECIMAL_COMMA = re.compile(r"([+-]?\d*),(\d+(?:[eE][+-]?\d+)?)")


class SeriesRow(NamedTuple):
    """A record of a series.

    Attributes:
        time: seconds since 1970 on the clock of the table; NaN where the table has no times.
        text: the time as it stands in the table, or the number of the record.
        values: numbers, NaN where one is missing, and texts, by column.
    """

    time: float
    text: str
    values: Mapping[str, float | str]


@dataclass(frozen=True)
class SeriesColumns:
    """Columns of a table that are read.

    Attributes:
        time: column of times; "" for none.
        numbers: columns of numbers.
        texts: columns of categories.
    """

    time: str
    numbers: tuple[str, ...]
    texts: tuple[str, ...] = ()


def read_series(
    lines: Iterable[str],
    name: str,
    time: str | None = None,
    numbers: Sequence[str] = (),
    texts: Sequence[str] = (),
) -> tuple[SeriesColumns, Iterator[SeriesRow]]:
    """Return the columns of a table, and an iterator over its rows, which reads a line when it is asked for one.

    Args:
        lines: of the table.
        name: of the file, for errors.
        time: column of times; None: the first column of dates, or one whose name says so.
        numbers: columns of numbers; none: all columns whose first cell is a number.
        texts: columns of categories.

    Raises:
        NeurosimFormatError: no rows, or a cell that is not what its column holds: names file and line.
        NeurosimInputError: a column that is not there.
    """
    source = iter(lines)
    first = next(source, "").lstrip("\ufeff")
    require(first.strip() != "", name, "must have a line of names or values", "an empty file")
    separator = max(SEPARATORS, key=first.count)
    head = next(csv.reader([first], delimiter=separator))
    cells = _cells(head, separator)
    if any(_is_number(cell) or _is_date(cell) for cell in cells):
        names = [f"column{k}" for k in range(1, len(cells) + 1)]
        source = chain([first], source)
        start = 1
    else:
        names = cells
        start = 2
    # One row decides which columns hold numbers; it is read again below.
    sample_line = next(source, "")
    sample = _cells(next(csv.reader([sample_line], delimiter=separator), []), separator)
    if len(sample) != len(names):
        raise NeurosimFormatError(f"{name}, line {start}: must have {len(names)} cells (got {len(sample)})")
    columns = _columns(dict(zip(names, sample, strict=True)), name, time, numbers, texts)
    return columns, _rows(chain([sample_line], source), name, start, names, separator, columns)


def _columns(
    sample: Mapping[str, str], name: str, time: str | None, numbers: Sequence[str], texts: Sequence[str]
) -> SeriesColumns:
    for asked in (*([time] if time else []), *numbers, *texts):
        lookup(sample, asked, "column")
    if time is None:
        dates = [key for key, cell in sample.items() if _is_date(cell) and not _is_number(cell)]
        named = [key for key in sample if key.lower() in TIME_NAMES]
        time = next(iter([*dates, *named]), "")
    if not numbers:
        numbers = [key for key, cell in sample.items() if _is_number(cell) and key != time and key not in texts]
    if not numbers and not texts:
        raise NeurosimInputError(f"{name}: has no column of numbers (got {', '.join(sample)}); name one with --value")
    return SeriesColumns(time, tuple(numbers), tuple(texts))


def _rows(
    lines: Iterable[str], name: str, start: int, names: list[str], separator: str, columns: SeriesColumns
) -> Iterator[SeriesRow]:
    place = {key: k for k, key in enumerate(names)}
    for number, cells in enumerate(csv.reader(lines, delimiter=separator), start):
        if not cells:
            continue
        where = f"{name}, line {number}"
        plain = _cells(cells, separator)
        if len(cells) != len(names):
            raise NeurosimFormatError(f"{where}: must have {len(names)} cells (got {len(cells)})")
        values: dict[str, float | str] = {}
        for key in columns.numbers:
            values[key] = _number(plain[place[key]], f"{where}, column {key}")
        for key in columns.texts:
            values[key] = cells[place[key]].strip()
        if columns.time:
            text = plain[place[columns.time]]
            yield SeriesRow(seconds_of(text, f"{where}, column {columns.time}"), text, values)
        else:
            yield SeriesRow(math.nan, str(number - start), values)


def _cells(cells: Sequence[str], separator: str) -> list[str]:
    """Return the cells of a line without spaces around them, numbers with a decimal point."""
    stripped = [cell.strip() for cell in cells]
    if separator != ";":
        return stripped
    return [_DECIMAL_COMMA.sub(r"\1.\2", cell) if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in stripped]


def rows_of(frame: Any, time: str | None = None) -> Iterator[SeriesRow]:
    """Yield the records of a pandas DataFrame, or of a dictionary of arrays [n] by name.

    Args:
        frame: its columns of numbers and texts are values.
        time: column of times: datetime64, or seconds since 1970; None: the first column of datetime64, if there is one.

    Raises:
        NeurosimInputError: columns of different lengths.
    """
    # A DataFrame iterates over the names of its columns, as a dictionary does.
    arrays = {str(key): np.asarray(frame[key]) for key in frame}
    lengths = {len(array) for array in arrays.values()}
    require(len(lengths) == 1, "frame", "must have columns of one length", sorted(lengths))
    if time is None:
        time = next((key for key, array in arrays.items() if array.dtype.kind == "M"), None)
    times = None if time is None else arrays.pop(time)
    if times is not None and times.dtype.kind == "M":
        times = times.astype("datetime64[us]").astype(np.int64) / 1e6
    for k in range(lengths.pop()):
        values = {key: _plain(array[k]) for key, array in arrays.items()}
        moment = math.nan if times is None else float(times[k])
        yield SeriesRow(moment, str(k), values)


def seconds_of(text: str, name: str) -> float:
    """Return the seconds since 1970 of a date in ISO 8601 or a number.

    Raises:
        NeurosimFormatError: neither of both; the text begins with `name`.
    """
    if _is_number(text):
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        rule = "must be a date such as 2014-07-01 00:30:00, or seconds"
        raise NeurosimFormatError(f"{name}: {rule} (got {text!r})") from None
    return moment.replace(tzinfo=timezone.utc).timestamp()


def _plain(value: Any) -> float | str:
    if isinstance(value, str):
        return value
    return float(value)


def _number(text: str, name: str) -> float:
    if text.lower() in MISSING:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        raise NeurosimFormatError(f"{name}: must be a number or empty (got {text!r})") from None
    if math.isinf(value):
        raise NeurosimFormatError(f"{name}: must be finite (got {text!r})")
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.lower() not in MISSING


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
