"""Which columns of a table are a series: its times and its values, from what is asked for, names and first cells."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from ..base.errors import GuessWarning, NeurosimInputError, lookup
from .cells import is_number
from .moments import (
    PARTS,
    date_of,
    has_slashes,
    is_clock,
    is_day_first,
    is_epoch,
    is_hour,
    serial_date,
    spell_decimal,
    spell_month,
    spell_out,
    spell_short_year,
)

# Names of a column of times that holds numbers.
TIME_NAMES = ("time", "timestamp", "timestamps", "date", "datetime", "t", "ts", "ds", "epoch", "unix", "unixtime")
# Names of a column that numbers the rows, as pandas and databases write it.
INDEX_NAMES = ("", "unnamed: 0", "index", "id", "row")
# Names of columns in which a number of five digits is a spreadsheet's date, in which 201407 is a month, and in which
# 2014.5 is the middle of a year.
SERIAL_NAMES = ("date", "datetime", "date_time", "date/time", "ds", "day", "serial", "datum", "fecha")
MONTH_NAMES = ("date", "month", "yearmonth", "year_month", "year-month", "yyyymm", "ym", "period")
DECIMAL_NAMES = ("date", *(f"decimal{sign}{word}" for sign in ("", " ", "_") for word in ("date", "year")))
DATE_NAMES = (*SERIAL_NAMES, *MONTH_NAMES, *DECIMAL_NAMES)
# Names of a column of whole hours beside one of dates.
HOUR_NAMES = ("hour", "hr", "hours", "stunde", "hora", "heure")
# Names of columns that say of a record what a detector should find: read with the values, they would be the answer.
LABEL_NAMES = ("label", "anomaly", "is_anomaly", "isanomaly", "outlier", "is_outlier", "changepoint", "ground_truth")
MIN_COUNTED = 10  # rows from which a column that counts up evenly numbers them
# Seconds of the units that follow a name of `TIME_NAMES`, as in time_ms, Time (s) and t [min].
TIME_UNITS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0, "d": 86400.0}
_NAME_WITH_UNIT = re.compile(rf"(?:{'|'.join(TIME_NAMES)})(?:[ _]?[(\[]| ?_)({'|'.join(TIME_UNITS)})[)\]]?")


@dataclass(frozen=True)
class SeriesColumns:
    """Columns of a table that are read.

    Attributes:
        time: column of times; "" for none.
        numbers: columns of numbers.
        texts: columns of categories.
        clock: column of times of day, where `time` has dates alone or there is none; "" for none.
        unit: of numbers in the column of times, s.
        day_first: whether dates with slashes begin with the day; None: not known.
        parts: columns of year, month and so on that are the time; `time` is the first of them.
    """

    time: str
    numbers: tuple[str, ...]
    texts: tuple[str, ...] = ()
    clock: str = ""
    unit: float = 1.0
    day_first: bool | None = None
    parts: tuple[str, ...] = ()


def choose_columns(
    sample: Mapping[str, str], name: str, time: str | None, numbers: Sequence[str], texts: Sequence[str]
) -> SeriesColumns:
    """Return which columns are read: those asked for, or guessed from the names and the first cells.

    Args:
        sample: first cell of each column that is not missing, by name.
        name: of the file, for errors.
        time, numbers, texts: as for `series.read_series`.

    Raises:
        NeurosimInputError: a column that is not there, or no column of numbers.
    """
    wanted = [*numbers, *texts]
    if time:
        wanted.insert(0, time)
    for column in wanted:
        lookup(sample, column, "column")
    if time is None:
        time = _guess_time(sample)
    parts = _parts(sample, time)
    if parts:
        time = parts[0]
    clock = _guess_clock(sample, time)
    if not numbers:
        others = [key for key in sample if key not in (time, clock, *parts, *texts) and key.lower() not in INDEX_NAMES]
        numbers = _without_labels([key for key in others if is_number(sample[key])], name)
    if not numbers and not texts:
        shown = ", ".join(f"{key}: {cell!r:.30}" for key, cell in sample.items())
        step = (
            "neurosim memory anomaly reads words, too, by --category COLUMN; columns are parted by one of "
            ", ; | or tabs, lines in front of names begin with #"
        )
        raise NeurosimInputError(f"{name}: has no column of numbers (got {shown:.200}); {step}")
    unit = 1.0
    match = _NAME_WITH_UNIT.fullmatch(time.lower())
    if match:
        unit = TIME_UNITS[match[1]]
    return SeriesColumns(time=time, numbers=tuple(numbers), texts=tuple(texts), clock=clock, unit=unit, parts=parts)


def _without_labels(numbers: Sequence[str], name: str) -> Sequence[str]:
    """Return columns of numbers without labels, which a warning names; all where there are no others."""
    labels = [key for key in numbers if key.lower().replace(" ", "_") in LABEL_NAMES]
    if not labels or len(labels) == len(numbers):
        return numbers
    warnings.warn(
        f"{name}: {', '.join(labels)} is taken for labels of the records and not read; a column that is named is read",
        GuessWarning,
        stacklevel=2,
    )
    return [key for key in numbers if key not in labels]


def _guess_time(sample: Mapping[str, str]) -> str:
    """Return the column of times; "" for none: the first of dates, else one by its name, else one of seconds."""
    dates = [key for key, cell in sample.items() if date_of(cell) is not None and not is_number(cell)]
    named = [key for key in sample if key.lower() in TIME_NAMES or _NAME_WITH_UNIT.fullmatch(key.lower())]
    named = [key for key in named if not is_clock(sample[key])]
    # Digits alone are a date where the name says so.
    named += [key for key, cell in sample.items() if key.lower() in DATE_NAMES and speller_of(cell, key)]
    # Their order of day and month is not known: reading the first one says how to write them.
    dates += [key for key, cell in sample.items() if has_slashes(cell)]
    counted = [key for key, cell in sample.items() if is_epoch(cell)]
    return next(iter([*dates, *named, *counted[:1]]), "")


def _guess_clock(sample: Mapping[str, str], time: str) -> str:
    """Return the column of times of day that joins a column of dates alone, or is the only time; "" for none."""
    first = ""
    if time:
        first = spell_out(sample[time]).partition("T")[0] or sample[time]
    has_date = date_of(first) is not None or has_slashes(first)
    is_date_alone = has_date and ":" not in first
    clock = ""
    if time == "" or is_date_alone:
        clock = next((key for key, cell in sample.items() if is_clock(cell) and key != time), "")
    if is_date_alone and not clock:
        hours = (key for key, cell in sample.items() if key.lower() in HOUR_NAMES and is_hour(cell))
        clock = next(hours, "")
    return clock


def _parts(sample: Mapping[str, str], time: str) -> tuple[str, ...]:
    """Return the columns of year, month and so on that are the time: none where another column is."""
    by_name = {key.lower(): key for key in sample}
    year = by_name.get(PARTS[0], "")
    if (time and time != year) or not re.fullmatch(r"[12]\d{3}(\.\d*)?", sample.get(year, "")):
        return ()
    known = list(takewhile(lambda part: part in by_name and is_number(sample[by_name[part]]), PARTS))
    return tuple(by_name[part] for part in known)


def speller_of(text: str, column: str) -> Callable[[str], str] | None:
    """Return the function that writes out the times of a column, by the first of them and the column's name.

    It returns "" for a time that it leaves; None where they need no such function.
    """
    name = column.lower()
    named = ((SERIAL_NAMES, serial_date), (MONTH_NAMES, spell_month), (DECIMAL_NAMES, spell_decimal))
    if spell_out(text):
        return spell_out
    if spell_short_year(text) and date_of(text) is not None:
        return spell_short_year
    return next((spell for names, spell in named if name in names and spell(text)), None)


def counts_rows(rows: Iterable[Sequence[str]], place: int) -> bool:
    """Return whether a column numbers the rows: `MIN_COUNTED` or more integers, each as far above the one before."""
    counted = [cells[place].strip() for cells in rows if place < len(cells)]
    if len(counted) < MIN_COUNTED or not all(re.fullmatch(r"\d+(\.0*)?", cell) for cell in counted):
        return False
    steps = np.diff([float(cell) for cell in counted])
    return bool(steps[0] > 0 and (steps == steps[0]).all())


def find_day_first(rows: Iterable[Sequence[str]], place: int) -> bool | None:
    """Return what the first date that says it says of the order of day and month; None if there is none."""
    for cells in rows:
        if place < len(cells):
            order = is_day_first(cells[place].strip())
            if order is not None:
                return order
    return None
