"""Tables of time series: CSV with a column of times and columns of values, read row by row.

    timestamp,value
    2014-07-01 00:00:00,10844

The first line names the columns, or the columns are numbered; empty lines in front of it, and lines that begin with #
or are a spreadsheet's sep=;, are passed over. Times are dates (see `moments`), or seconds, ms, us or ns since 1970, or
of the unit that the column's name ends with, as in "Time (min)"; a zone is left out, so that times of day are those of
the clock that wrote them. A column of times of day joins a column of dates, and columns year, month, day, hour, minute
and second, as far as there are any, are one time. In dates such as 07/13/2014 or 13-07-2014 a number above 12 says for
the whole column which one is the day. In a column called date, numbers such as 41821.5 are a spreadsheet's days,
201407 is a month and 2014.5 the middle of a year. A column of whole hours joins a column of dates. An empty cell is a
missing value. Where semicolons part the columns, the comma in 0,5 is a decimal comma, as spreadsheets write it in much
of Europe; thousands may be parted as in 1,234.5, 1.234,5, 1 234,5 and 1'234.5. A line of units below the names is
passed over, and gives the unit of times. A table with a column for each month is read as one column of months
(`month_table`).
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from ..base.errors import GuessWarning, NeurosimFormatError, NeurosimMissingError, require
from . import month_table
from .cells import MISSING, check_sign, is_number, number_of, plain_number, read_cells
from .moments import (
    date_of,
    date_of_parts,
    has_slashes,
    hour_as_clock,
    is_clock,
    seconds_of,
    year_first,
)
from .series_columns import TIME_UNITS, SeriesColumns, choose_columns, counts_rows, find_day_first, speller_of

SEPARATORS = ",;\t|"
# Rows that are read at once, at most, until every column has had a cell that is not empty.
MAX_SAMPLE = 1000
# A first line by which spreadsheets know the separator.
_SEPARATOR_LINE = re.compile(r"sep=.", re.IGNORECASE)


class SeriesRow(NamedTuple):
    """A record of a series.

    Attributes:
        time: seconds since 1970 on the clock of the table; NaN where the table has no times.
        text: the time as it stands in the table, or in seconds where its column has another unit, or the number of the
            record.
        values: numbers, NaN where one is missing, and texts, by column.
    """

    time: float
    text: str
    values: Mapping[str, float | str]


def read_series(
    lines: Iterable[str],
    name: str,
    time: str | None = None,
    numbers: Sequence[str] = (),
    texts: Sequence[str] = (),
    *,
    whole: bool = False,
) -> tuple[SeriesColumns, Iterator[SeriesRow]]:
    """Return the columns of a table, and an iterator over its rows, which reads a line when it is asked for one.

    Args:
        lines: of the table.
        name: of the file, for errors.
        time: column of times; None: the first column of dates, or one whose name says so.
        numbers: columns of numbers; none: all columns whose first cell that is not empty is a number, but for one
            that numbers the rows, by its name, or in a whole table without times as the first and by its values, and
            for labels of the records, by their names.
        texts: columns of categories.
        whole: the table is complete: all of its dates with slashes may say which number is the day, not only the first.

    Raises:
        NeurosimFormatError: no rows, or a cell that is not what its column holds: names file and line.
        NeurosimInputError: a column that is not there.
    """
    source = iter(lines)
    first, start, source = _first_line(source)
    require(first.strip() != "", name, "must have a line of names or values", "an empty file")
    separator = max(SEPARATORS, key=first.count)
    names, units, source, lines_of_words = _head(first, source, separator, name, start)
    start += lines_of_words
    if not (time or numbers or texts) and month_table.has_months(names):
        source = month_table.in_order(source, name, start, names, separator)
        names = list(month_table.COLUMNS)
        units = []
        warnings.warn(f"{name}: has a column for each month, and is read as one of months", GuessWarning, stacklevel=2)
    # These rows decide which columns hold numbers; they are read again below.
    sample, seen = _sample(source, names, separator, name, start)
    if whole and any(has_slashes(cell) for cell in sample.values()):
        seen += source
    columns = choose_columns(sample, name, time, numbers, texts)
    if columns.time and len(units) == len(names):
        columns = replace(columns, unit=TIME_UNITS.get(units[names.index(columns.time)], columns.unit))
    if columns.time and has_slashes(sample[columns.time]):
        day_first = find_day_first(_cells_of(seen, separator, name, start), names.index(columns.time))
        columns = replace(columns, day_first=day_first)
    if whole and not columns.time and not numbers and len(columns.numbers) > 1:
        seen += source
        if counts_rows(_cells_of(seen, separator, name, start), names.index(columns.numbers[0])):
            columns = replace(columns, numbers=columns.numbers[1:])
    return columns, _rows(chain(seen, source), name, start, names, separator, columns)


def _cells_of(lines: Iterable[str], separator: str, name: str, start: int) -> Iterator[list[str]]:
    """Yield the cells of each row of a table, as `read_cells`."""
    return (cells for _, cells in read_cells(lines, separator, name, start))


def _cells_of_line(line: str, separator: str, name: str, number: int) -> list[str]:
    """Return the cells of one line as `_cells`; none of an empty line."""
    return _cells(next(_cells_of([line], separator, name, number), []), separator)


def _head(
    first: str, source: Iterator[str], separator: str, name: str, start: int
) -> tuple[list[str], list[str], Iterator[str], int]:
    """Return names and units of columns, the lines of values, and the number of lines in front of them.

    Args:
        first: the line of names, or one of values, whose columns are numbered.
        source: the lines behind it.
        name: of the file, for errors.
        start: number of the first line.

    Raises:
        NeurosimInputError: two columns of one name.
    """
    cells = _cells_of_line(first, separator, name, start)
    if any(is_number(cell) or date_of(cell) is not None for cell in cells):
        names = [f"column{k}" for k in range(1, len(cells) + 1)]
        return names, [], chain([first], source), 0
    twice = next((cell for k, cell in enumerate(cells) if cell and cell in cells[:k]), "")
    require(twice == "", name, "must have columns of different names; rename one", twice)
    units, source = _units(source, separator, name, start + 1)
    return _named(cells), units, source, 2 if units else 1


def _units(source: Iterator[str], separator: str, name: str, start: int) -> tuple[list[str], Iterator[str]]:
    """Return the cells of a line of units, without brackets, none if there is no such line, and the lines behind it.

    A line without a number or a time is one if the line below has a number where it has a word.
    """
    first = next(source, None)
    if first is None:
        return [], source
    cells = _cells_of_line(first, separator, name, start)
    if not any(cells) or any(_is_value(cell) for cell in cells):
        return [], chain([first], source)
    # A header has words, too: only the line below tells it from a line of units.
    second = next(source, None)
    below: list[str] = []
    rest = source
    if second is not None:
        below = _cells_of_line(second, separator, name, start + 1)
        rest = chain([second], source)
    are_units = any(
        cell.lower() not in MISSING and is_number(number) for cell, number in zip(cells, below, strict=False)
    )
    if len(below) != len(cells) or not are_units:
        return [], chain([first], rest)
    return [cell.strip("[]()").lower() for cell in cells], rest


def _is_value(cell: str) -> bool:
    """Return whether a cell is a number, or a time of any form."""
    return is_number(cell) or date_of(cell) is not None or has_slashes(cell) or is_clock(cell)


def _named(cells: Sequence[str]) -> list[str]:
    """Return names of columns; those without one, as of an index that pandas wrote, get another."""
    names = list(cells)
    for k, cell in enumerate(cells):
        if cell == "":
            names[k] = "index" if k == 0 and "index" not in cells else f"column{k + 1}"
    return names


def _first_line(source: Iterator[str]) -> tuple[str, int, Iterator[str]]:
    """Return the line of names or values, its number, and the lines behind it: without comments, unless one holds the
    names."""
    line = next(source, "").lstrip("\ufeff")
    number = 1
    comment = ""
    while line.startswith("#") or line.isspace() or _SEPARATOR_LINE.fullmatch(line.strip()):
        if line.startswith("#"):
            comment = line
        line = next(source, "")
        number += 1
    names = comment.lstrip("# ")
    separator = max(SEPARATORS, key=line.count)
    are_names = comment != "" and separator in line and names.count(separator) == line.count(separator)
    if are_names and any(is_number(cell) for cell in line.strip().split(separator)):
        return names, number - 1, chain([line], source)
    return line, number, source


def _sample(
    source: Iterator[str], names: Sequence[str], separator: str, name: str, start: int
) -> tuple[dict[str, str], list[str]]:
    """Return the first cell of each column that is not missing, and the lines that were read for it."""
    sample = dict.fromkeys(names, "")
    seen: list[str] = []
    while len(seen) < MAX_SAMPLE and (not seen or any(cell.lower() in MISSING for cell in sample.values())):
        line = next(source, None)
        if line is None and seen:
            break
        cells = _cells_of_line(line or "", separator, name, start + len(seen))
        if line is not None and not cells:
            seen.append(line)
            continue
        cells = _without_empty_ends(cells, len(names))
        if len(cells) != len(names):
            # Later lines of a wrong length are named when they are read.
            if seen:
                seen.append(line or "")
                break
            raise NeurosimFormatError(f"{name}, line {start}: must have {len(names)} cells (got {len(cells)})")
        seen.append(line or "")
        for key, cell in zip(names, cells, strict=True):
            if sample[key].lower() in MISSING:
                sample[key] = cell
    return sample, seen


def _rows(
    lines: Iterable[str], name: str, start: int, names: list[str], separator: str, columns: SeriesColumns
) -> Iterator[SeriesRow]:
    """Yield the rows of a table of series, with their moments."""
    place = {key: k for k, key in enumerate(names)}
    spell: Callable[[str], str] | None = None
    signs: dict[str, str] = {}
    for number, cells in read_cells(lines, separator, name, start):
        if not cells:
            continue
        where = f"{name}, line {number}"
        plain = _without_empty_ends(_cells(cells, separator), len(names))
        if len(plain) != len(names):
            raise NeurosimFormatError(f"{where}: must have {len(names)} cells (got {len(plain)})")
        values: dict[str, float | str] = {}
        for key in columns.numbers:
            values[key] = number_of(plain[place[key]], f"{where}, column {key}")
            if separator == ";":
                check_sign(cells[place[key]].strip(), key, signs, where)
        for key in columns.texts:
            values[key] = cells[place[key]].strip()
        if columns.time:
            text = plain[place[columns.time]]
            if spell is None:
                # The first time decides: 20140701 and 41821 may be dates or numbers of seconds.
                spell = speller_of(text, columns.time) or str
            text = spell(text) or text
            if columns.parts:
                text = date_of_parts([plain[place[key]] for key in columns.parts], where)
            if columns.day_first is not None:
                text = year_first(text, columns.day_first)
            if columns.clock:
                text = f"{text.removesuffix('T00:00:00')} {hour_as_clock(plain[place[columns.clock]])}"
            moment = seconds_of(text, f"{where}, column {columns.time}", columns.unit)
            if columns.unit != 1.0 and is_number(text):
                text = f"{moment:.12g}"
            yield SeriesRow(moment, text, values)
        else:
            yield SeriesRow(math.nan, str(number - start), values)


def _cells(cells: Sequence[str], separator: str) -> list[str]:
    """Return the cells of a line without spaces around them, numbers with a decimal point."""
    return [plain_number(cell.strip(), separator) for cell in cells]


def _without_empty_ends(cells: list[str], count: int) -> list[str]:
    """Return cells without empty ones behind the first `count`, which a separator at the end of a line makes."""
    while len(cells) > count and not cells[-1]:
        cells = cells[:-1]
    return cells


def decode_text(content: bytes) -> str:
    """Return the text of a table: UTF-16 where its first two bytes say so, else UTF-8, else that of Windows in Europe.

    All three are what spreadsheets write.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def require_table(path: Path, choice: str) -> None:
    """Raise unless a table is at `path`.

    Args:
        choice: what to give instead, an example first.

    Raises:
        NeurosimMissingError: it is a folder, or nothing is there.
    """
    if path.is_file():
        return
    if path.is_dir():
        reason = "is a folder"
    else:
        reason = "no such file"
    raise NeurosimMissingError(f"{path}: {reason}; give a table such as {choice}")
