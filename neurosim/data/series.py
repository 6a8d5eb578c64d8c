"""Tables of time series: CSV with a column of times and columns of values, read row by row.

    timestamp,value
    2014-07-01 00:00:00,10844

The first line names the columns, or the columns are numbered; lines in front of it that begin with # are passed over.
Times are dates (see `moments`), or seconds, ms, us or ns since 1970; a zone is left out, so that times of day are those
of the clock that wrote them. A column of times of day joins a column of dates. An empty cell is a missing value. Where
semicolons part the columns, the comma in 0,5 is a decimal comma, as spreadsheets write it in much of Europe.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from ..base.errors import NeurosimFormatError, NeurosimInputError, lookup, require
from .moments import date_of, is_clock, is_epoch, seconds_of, spell_out

# Names of a column of times that holds numbers.
TIME_NAMES = ("time", "timestamp", "date", "datetime", "t", "ts", "ds", "epoch", "unix", "unixtime")
# Names of a column that numbers the rows, as pandas writes it.
INDEX_NAMES = ("", "unnamed: 0")
SEPARATORS = ",;\t|"
# Rows that are read at once, at most, until every column has had a cell that is not empty.
MAX_SAMPLE = 1000
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
        clock: column of times of day, where `time` has dates alone; "" for none.
    """

    time: str
    numbers: tuple[str, ...]
    texts: tuple[str, ...] = ()
    clock: str = ""


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
        numbers: columns of numbers; none: all columns whose first cell that is not empty is a number, but for one
            that numbers the rows.
        texts: columns of categories.

    Raises:
        NeurosimFormatError: no rows, or a cell that is not what its column holds: names file and line.
        NeurosimInputError: a column that is not there.
    """
    source = iter(lines)
    first, source = _first_line(source)
    require(first.strip() != "", name, "must have a line of names or values", "an empty file")
    separator = max(SEPARATORS, key=first.count)
    head = next(csv.reader([first], delimiter=separator))
    cells = _cells(head, separator)
    if any(_is_number(cell) or date_of(cell) is not None for cell in cells):
        names = [f"column{k}" for k in range(1, len(cells) + 1)]
        source = chain([first], source)
        start = 1
    else:
        names = cells
        start = 2
    # These rows decide which columns hold numbers; they are read again below.
    sample, seen = _sample(source, names, separator, f"{name}, line {start}")
    columns = _columns(sample, name, time, numbers, texts)
    return columns, _rows(chain(seen, source), name, start, names, separator, columns)


def _first_line(source: Iterator[str]) -> tuple[str, Iterator[str]]:
    """Return the line of names or values, and the lines behind it: without comments, unless one holds the names."""
    line = next(source, "").lstrip("\ufeff")
    comment = ""
    while line.startswith("#"):
        comment = line
        line = next(source, "")
    names = comment.lstrip("# ")
    separator = max(SEPARATORS, key=line.count)
    are_names = comment != "" and separator in line and names.count(separator) == line.count(separator)
    if are_names and any(_is_number(cell) for cell in line.strip().split(separator)):
        return names, chain([line], source)
    return line, source


def _sample(
    source: Iterator[str], names: Sequence[str], separator: str, where: str
) -> tuple[dict[str, str], list[str]]:
    """Return the first cell of each column that is not missing, and the lines that were read for it."""
    sample = dict.fromkeys(names, "")
    seen: list[str] = []
    while len(seen) < MAX_SAMPLE and (not seen or any(cell.lower() in MISSING for cell in sample.values())):
        line = next(source, None)
        if line is None and seen:
            break
        cells = _cells(next(csv.reader([line or ""], delimiter=separator), []), separator)
        if len(cells) != len(names):
            # Later lines of a wrong length are named when they are read.
            if seen:
                seen.append(line or "")
                break
            raise NeurosimFormatError(f"{where}: must have {len(names)} cells (got {len(cells)})")
        seen.append(line or "")
        for key, cell in zip(names, cells, strict=True):
            if sample[key].lower() in MISSING:
                sample[key] = cell
    return sample, seen


def _columns(
    sample: Mapping[str, str], name: str, time: str | None, numbers: Sequence[str], texts: Sequence[str]
) -> SeriesColumns:
    for asked in (*([time] if time else []), *numbers, *texts):
        lookup(sample, asked, "column")
    if time is None:
        dates = [key for key, cell in sample.items() if date_of(cell) is not None and not _is_number(cell)]
        named = [key for key in sample if key.lower() in TIME_NAMES]
        counted = [key for key, cell in sample.items() if is_epoch(cell)]
        time = next(iter([*dates, *named, *counted[:1]]), "")
    clock = ""
    if time and ":" not in sample[time] and date_of(sample[time]) is not None:
        clock = next((key for key, cell in sample.items() if is_clock(cell) and key != time), "")
    if not numbers:
        others = [key for key in sample if key not in (time, clock, *texts) and key.lower() not in INDEX_NAMES]
        numbers = [key for key in others if _is_number(sample[key])]
    if not numbers and not texts:
        shown = ", ".join(f"{key}: {cell!r:.30}" for key, cell in sample.items())
        step = "name one with --value; columns are parted by one of , ; | or tabs"
        raise NeurosimInputError(f"{name}: has no column of numbers (got {shown:.200}); {step}")
    return SeriesColumns(time, tuple(numbers), tuple(texts), clock)


def _rows(
    lines: Iterable[str], name: str, start: int, names: list[str], separator: str, columns: SeriesColumns
) -> Iterator[SeriesRow]:
    place = {key: k for k, key in enumerate(names)}
    is_compact: bool | None = None
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
            if is_compact is None:
                # The first time decides: 20140701 may be a date or a number of seconds.
                is_compact = spell_out(text) != ""
            if is_compact:
                text = spell_out(text) or text
            if columns.clock:
                text = f"{text} {plain[place[columns.clock]]}"
            yield SeriesRow(seconds_of(text, f"{where}, column {columns.time}"), text, values)
        else:
            yield SeriesRow(math.nan, str(number - start), values)


def _cells(cells: Sequence[str], separator: str) -> list[str]:
    """Return the cells of a line without spaces around them, numbers with a decimal point."""
    stripped = [cell.strip() for cell in cells]
    if separator != ";":
        return stripped
    return [_DECIMAL_COMMA.sub(r"\1.\2", cell) if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in stripped]


def decode_text(content: bytes) -> str:
    """Return the text of a table: UTF-16 where its first two bytes say so, as spreadsheets write it, else UTF-8."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    return content.decode("utf-8", errors="replace")


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
