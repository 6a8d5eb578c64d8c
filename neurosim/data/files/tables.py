"""Tables of events, which all formats with columns of events share: their columns, by name or by content."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.raw import format_error
from ..read_report import NOT_STATED

# Names of the columns of events in the files of others, in lower case.
NAMES: Mapping[str, tuple[str, ...]] = {
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "x": ("x", "xs", "unit", "units"),
    "y": ("y", "ys"),
    "p": ("p", "ps", "pol", "polarity", "polarities", "on"),
}
KEYS: Mapping[str, str] = {name: key for key, names in NAMES.items() for name in names}
SECONDS: Mapping[str, float] = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
# A name with its unit: `t_us`, `time [ms]`, `timestamp(ns)`, "ts (s)".
UNIT = re.compile(r"^([a-z]+?)[ _]*[\[( _]([a-z]+)[\])]?$")
# Orders of columns without names that are tried.
ORDERS = ("txyp", "xytp", "xypt")
LAYOUT = "is this a table of events?"
# Ticks after which a counter of 32 bits starts again, and how far a fall of times may be from them: while the counter
# runs over, a camera is hardly silent for longer.
CLOCK_PERIOD = 1 << 32
CLOCK_SILENCE = 1 << 29
Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class EventTable:
    """Columns of events, and their place in a file.

    Attributes:
        path, where: the file, and the place of the table in it, for errors.
        columns: by the keys of `NAMES`.
        format: name of the format.
        start: time of the clock at time 0, s.
        first_line: of the events, in a file of lines.
        first_row: number of rows of the table before these.
        guessed: properties that the file does not state, a sentence each.
        polarity_1: light of an event of polarity 1, as in `ReadReport`.
        unit: of the times, s, where the name of their column states it.
    """

    path: object
    where: str
    columns: Columns
    format: str
    start: float = 0.0
    first_line: int | None = None
    first_row: int = 0
    guessed: tuple[str, ...] = ()
    polarity_1: str = NOT_STATED
    unit: float | None = None

    @property
    def prefix(self) -> str:
        """Return the place of the table, for errors before the name of a column."""
        return f"{self.where} " if self.where else ""

    def row(self, index: int, key: str = "") -> str:
        """Return the place of an event, for errors."""
        if self.first_line is not None:
            return f"line {self.first_line + index}"
        column = f"{key}, " if key else ""
        return f"{self.prefix}{column}entry {self.first_row + index}"


class ArrayHead(Protocol):
    """Shape and type of an array, in memory or in a file."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...


class TablePlan(NamedTuple):
    """Arrays that hold the columns of events.

    Attributes:
        where: name of the one array that holds them all; "" where each column has its own.
        columns: names of the lists, or of the fields of the array, by the keys of `NAMES`; none of a matrix of four
            columns without names.
        guessed: as in `EventTable`.
    """

    where: str
    columns: Mapping[str, str]
    guessed: tuple[str, ...] = ()

    @property
    def unit(self) -> float | None:
        """Return the unit of the times, s, where the name of their column states it."""
        return key_of(self.columns["t"])[1] if self.columns else None


class FoundColumns(NamedTuple):
    """Columns of events among named arrays.

    Attributes:
        where: name of the array that has them; "" if they are several.
        columns: by the keys of `NAMES`.
        unit: of the times, as in `TablePlan`.
        guessed: as in `EventTable`.
    """

    where: str
    columns: Columns
    unit: float | None
    guessed: tuple[str, ...] = ()


def key_of(name: str) -> tuple[str | None, float | None]:
    """Return the key of a column in `NAMES`, and the unit of time that its name states; None of another column."""
    lower = name.lower()
    if lower in KEYS:
        return KEYS[lower], None
    match = UNIT.match(lower)
    if match is None or match[1] not in KEYS:
        return None, None
    key = KEYS[match[1]]
    if key != "t":
        return key, None
    if match[2] in SECONDS:
        return key, SECONDS[match[2]]
    return None, None


def array_key(name: str) -> str | None:
    """Return the key of an array in `NAMES`, of times with a unit in their name too; None of another array."""
    key, unit = key_of(name)
    return key if unit is not None else KEYS.get(name.lower())


def find_columns(path: object, arrays: Mapping[str, NDArray[Any]], order: str | None) -> FoundColumns:
    """Return the columns of events among named arrays.

    Raises:
        NeurosimFormatError: none, or more than one.
    """
    plan = plan_columns(path, arrays)
    if not plan.where:
        columns = {key: arrays[name].reshape(-1) for key, name in plan.columns.items()}
        return FoundColumns("", columns, plan.unit, plan.guessed)
    array = arrays[plan.where]
    if plan.columns:
        columns = {key: array[name].reshape(-1) for key, name in plan.columns.items()}
        return FoundColumns(plan.where, columns, plan.unit, plan.guessed)
    rows = array if array.shape[1] == 4 else array.T
    return FoundColumns(plan.where, by_order(path, plan.where, rows, order), None)


def plan_columns(path: object, arrays: Mapping[str, ArrayHead]) -> TablePlan:
    """Return which of named arrays hold events: a list for each column, else one table with names, else one matrix.

    Raises:
        NeurosimFormatError: none, or more than one.
    """
    # An array of one dimension, or with all others of length 1, is a column.
    columns = _by_name([name for name, array in arrays.items() if is_list(array)])
    if columns:
        count = math.prod(arrays[columns["t"]].shape)
        lists = [name for name, array in arrays.items() if is_list(array) and math.prod(array.shape) == count]
        return TablePlan("", columns, guess_of_unread(lists, columns))
    structured = {name: _by_name(_fields_of(array)) for name, array in arrays.items() if array.dtype.names}
    tables = {name: table for name, table in structured.items() if table}
    if not tables:
        tables = {name: {} for name, array in arrays.items() if len(array.shape) == 2 and 4 in array.shape}
    if len(tables) != 1:
        got = ", ".join(sorted(tables or arrays)[:8]) or "nothing"
        step = f"{LAYOUT} If so, save t, x, y and p of its events as four lists of these names"
        raise format_error(path, "arrays", "one table with columns t, x, y and p", got, step)
    where, table = next(iter(tables.items()))
    if not table and arrays[where].dtype.kind not in "iufb":
        raise format_error(path, where or "array", "numbers", arrays[where].dtype, LAYOUT)
    return TablePlan(where, table, guess_of_unread(_fields_of(arrays[where]), table))


def guess_of_unread(names: Sequence[str], columns: Mapping[str, str]) -> tuple[str, ...]:
    """Return a remark where a pixel lacks y or polarity, and one of the other columns may be it.

    Args:
        names: of all columns of a table.
        columns: names of those that are read, by the keys of `NAMES`.
    """
    is_pixel = columns.get("x", "").lower().startswith("x")
    missing = [word for key, word in (("y", "y"), ("p", "polarity")) if key not in columns]
    unread = [name for name in names if name.strip() and array_key(name) is None and name not in columns.values()]
    if not (is_pixel and missing and unread):
        return ()
    names_of_unread = ", ".join(unread)[:60]
    return (f"no column is named {' or '.join(missing)}, and these are not read unless renamed: {names_of_unread}",)


def is_list(array: ArrayHead) -> bool:
    """Return whether at most one dimension of an array has another length than 1."""
    return math.prod(array.shape) in (0, *array.shape)


def _fields_of(array: ArrayHead) -> list[str]:
    """Return the names of the fields that are one number each."""
    return [name for name in array.dtype.names or () if array.dtype[name].shape == ()]


def _by_name(names: Sequence[str]) -> dict[str, str]:
    """Return the names that are columns of events, by the keys of `NAMES`; empty if t or x is absent."""
    # Reversed: of two names of one column the first counts.
    columns = {key: name for name in reversed(names) if (key := array_key(name)) is not None}
    if {"t", "x"} <= columns.keys():
        return columns
    return {}


def by_order(path: object, name: str, rows: NDArray[Any], order: str | None) -> dict[str, NDArray[Any]]:
    """Return the columns of rows [n, 4], in a given order or in the one that fits."""
    if order is None:
        return find_order(path, name or "array", rows)[1]
    check_order(order)
    return dict(zip(order, rows.T, strict=True))


def check_order(order: str) -> None:
    """Raise `NeurosimInputError` unless `order` names four columns, each once."""
    require(sorted(order) == sorted("txyp"), "read.columns", "must be an order of t, x, y and p", order)


def find_order(path: object, where: str, rows: NDArray[Any]) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return the one of `ORDERS` in which four columns [n, 4] are events, and the columns.

    Raises:
        NeurosimFormatError: none of them, or several.
    """
    scan = OrderScan()
    scan.add(rows)
    letters = scan.order(path, where)
    return letters, dict(zip(letters, rows.T, strict=True))


class OrderScan:
    """Orders of four columns without names in which all rows so far are events."""

    def __init__(self) -> None:
        self._fitting = list(ORDERS)
        self._clocks = {letters: RowClock() for letters in ORDERS}
        # Of each order the last time, and whether a polarity was 0 and -1.
        self._last = dict.fromkeys(ORDERS, -math.inf)
        self._off: dict[str, set[int]] = {letters: set() for letters in ORDERS}

    def add(self, rows: NDArray[Any]) -> None:
        """Take the next rows [n, 4]."""
        self._fitting = [letters for letters in self._fitting if self._fits(letters, rows)]

    def order(self, path: object, where: str) -> str:
        """Return the one order that fits.

        Raises:
            NeurosimFormatError: none of them, or several.
        """
        if len(self._fitting) != 1:
            got = "none of them fits" if not self._fitting else "several fit"
            expected = f"columns in one of the orders {', '.join(ORDERS)}"
            raise format_error(path, where, expected, got, "give columns= in their order, e.g. 'txyp'")
        return self._fitting[0]

    def _fits(self, letters: str, rows: NDArray[Any]) -> bool:
        columns = dict(zip(letters, rows.T, strict=True))
        t = self._clocks[letters].go_on(columns["t"])
        p = columns["p"]
        with np.errstate(invalid="ignore"):
            are_places = all(((v >= 0) & (v < 1 << 15) & (v % 1 == 0)).all() for v in (columns["x"], columns["y"]))
        off = self._off[letters]
        off.update(value for value in (0, -1) if (p == value).any())
        are_polarities = ((p == 0) | (p == -1) | (p == 1)).all() and len(off) < 2
        are_rising = (t[1:] >= t[:-1]).all() and (not len(t) or t[0] >= self._last[letters])
        if len(t):
            self._last[letters] = float(t[-1])
        return bool(are_places and are_polarities and are_rising)


class RowClock:
    """Times of rows by a counter of 32 bits, with a sign or not: where it starts again, they go on.

    Attributes:
        periods: that the counter has passed.
        moved: number of rows behind a start of the counter.
    """

    def __init__(self) -> None:
        self.periods = 0
        self.moved = 0
        # What the counter showed in the last row.
        self._shown = -math.inf

    def go_on(self, times: NDArray[Any]) -> NDArray[Any]:
        """Return the times of the next rows, as they are where the counter did not start again."""
        if not len(times):
            return times
        shown = times.astype(np.float64)
        before = np.concatenate([[self._shown], shown[:-1]])
        self._shown = shown[-1]
        # The comparisons refuse NaN; other clocks than counters of 32 bits show larger times.
        with np.errstate(invalid="ignore"):
            starts = (before < CLOCK_PERIOD) & (before - shown > CLOCK_PERIOD - CLOCK_SILENCE)
        if not self.periods and not starts.any():
            return times
        periods = self.periods + np.cumsum(starts)
        self.periods = int(periods[-1])
        self.moved += int(np.count_nonzero(periods))
        if times.dtype.kind in "iu":
            times = times.astype(np.int64)
        return times + periods * CLOCK_PERIOD
