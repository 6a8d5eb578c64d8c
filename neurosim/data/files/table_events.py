"""Events of tables: a table is described row by row, then read by what all of its rows say.

Whether times are integers and whether places count from 1 depends on every row. A table larger than memory is described
in a first pass over its blocks and read in a second one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.raw import format_error
from ..read_report import ReadReport
from ..spikes import Spikes
from .decoding import FileEvents
from .tables import LAYOUT, Columns, EventTable, RowClock

MICROSECOND = 1e-6
# Polarities off and on: also as in MATLAB, where all counts from 1, and as in pictures.
PAIRS = ({0, 1}, {-1, 1}, {1, 2}, {0, 255})
POLARITIES = (-1, 0, 1, 2, 255)
# Times from here on, 272 years, are further apart than a microsecond as float64 in seconds.
MAX_SECONDS = float(1 << 33)


def spikes_of(table: EventTable, shape: tuple[int, ...] | None, tick: float | None) -> Spikes:
    """Return the events of a table, in the order of its rows.

    Polarities are 0 and 1, -1 and 1, or 0 and 255 as in pictures. Places and polarities that count from 1, as in
    MATLAB, have polarities 1 and 2. Times of a counter of 32 bits go on where it starts again.

    Raises:
        NeurosimInputError: a tick that is not > 0, or a shape for another number of columns.
        NeurosimFormatError: columns of other lengths or types, an event outside the sensor, or times that are negative
            or run backwards.
    """
    check_tick(tick)
    scan = TableScan()
    columns = scan.add(table)
    return scan.layout(table, shape, tick).spikes(table, columns)


def check_tick(tick: float | None) -> None:
    """Raise `NeurosimInputError` for a unit of time that is not > 0 s."""
    require(tick is None or (tick > 0 and math.isfinite(tick)), "read.tick", "must be > 0 s", tick)


@dataclass
class TableScan:
    """Description of the rows of a table so far; each row is checked.

    Attributes:
        rows: their number.
        are_integers: whether all times are.
        polarities: the values that occur.
        highest, lowest: the largest and the smallest place of each column of places, y before x.
        last: time of the last row.
        clock: of the times.
    """

    rows: int = 0
    are_integers: bool = True
    polarities: set[int] = field(default_factory=set)
    highest: list[float] = field(default_factory=list)
    lowest: list[float] = field(default_factory=list)
    last: float | None = None
    clock: RowClock = field(default_factory=RowClock)

    def add(self, table: EventTable) -> Columns:
        """Return the columns of the next rows as numbers.

        Raises:
            NeurosimFormatError: columns of other lengths or types, polarities of more than two values, places that are
                not finite, or times that are negative or run backwards.
        """
        columns = {key: _numbers(table, key, array) for key, array in table.columns.items()}
        t = self.clock.go_on(columns["t"])
        columns["t"] = t
        for key, array in columns.items():
            if len(array) != len(t):
                raise format_error(table.path, f"{table.prefix}{key}", f"{len(t)} entries, as t", len(array), LAYOUT)
        with np.errstate(invalid="ignore"):
            self.are_integers &= t.dtype.kind in "iu" or bool((t % 1 == 0).all())
        self._add_polarities(table, columns.get("p"), len(t))
        self._add_times(table, t)
        self._add_places(table, [columns[key] for key in ("y", "x") if key in columns])
        self.rows += len(t)
        return columns

    def layout(self, table: EventTable, shape: tuple[int, ...] | None, tick: float | None) -> TableLayout:
        """Return how all rows are read; `table` has the facts of the file.

        Raises:
            NeurosimInputError: a shape for another number of columns.
            NeurosimFormatError: places too large for a sensor, times too late for their unit, or two polarities without
                y.
        """
        default = MICROSECOND if self.are_integers else 1.0
        unit = tick or table.unit or default
        if self.last is not None and float(self.last) * unit >= MAX_SECONDS:
            got = f"{self.last} in units of {unit:g} s"
            step = "give their unit as tick= (of a folder data.options.tick), such as 1e-9, or subtract the first time"
            raise format_error(table.path, f"{table.prefix}t", "times below 2^33 s, 272 years", got, step)
        changed: dict[str, int] = {}
        if self.clock.moved:
            changed["times go on where the counter of 32 bits starts again"] = self.clock.moved
        # A polarity of 2 is ON in a file that counts polarities from 1, which may have ON events alone. Such a file
        # counts places from 1, too, as MATLAB does, unless one of them is 0.
        is_on_2 = 2 in self.polarities
        first_place = int(is_on_2 and all(low >= 1 for low in self.lowest))
        highest = [max(place - first_place, 0) for place in self.highest]
        if first_place:
            changed["places and polarities counted from 0, not 1"] = self.rows
        elif is_on_2:
            changed["polarities counted from 0, not 1"] = self.rows
        if len(highest) == 1 and len(self.polarities) > 1:
            step = "without y, all polarities must be equal"
            raise format_error(table.path, f"{table.prefix}columns", "a column y beside p", "none", step)
        sensor = _sensor(table, highest, shape)
        report = ReadReport(
            format=table.format,
            start=table.start,
            tick=unit,
            changed=changed,
            guessed=table.guessed,
            polarity_1=table.polarity_1,
        )
        return TableLayout(unit=unit, is_on_2=is_on_2, first_place=first_place, sensor=sensor, report=report)

    def _add_polarities(self, table: EventTable, p: NDArray[Any] | None, count: int) -> None:
        """Add the polarities of a block; raise where they are no pair that is known."""
        if not count:
            return
        if p is None:
            self.polarities.add(0)
            return
        # Comparisons with five values are faster than sorting all of them.
        present = {value: np.count_nonzero(p == value) for value in POLARITIES}
        self.polarities |= {value for value, times in present.items() if times}
        if sum(present.values()) < count or not any(self.polarities <= pair for pair in PAIRS):
            at = int(np.argmin(np.isin(p, POLARITIES)))
            rule = "polarities 0 and 1, -1 and 1, 1 and 2, or 0 and 255"
            raise format_error(table.path, table.row(at, "p"), rule, p[at], LAYOUT)

    def _add_places(self, table: EventTable, places: Sequence[NDArray[Any]]) -> None:
        """Add the places of a block, y before x."""
        for place in places:
            finite = np.isfinite(place)
            if not finite.all():
                at = int(np.argmin(finite))
                raise format_error(table.path, table.row(at), "a finite place", place[at], LAYOUT)
        highest = self.highest or [0.0] * len(places)
        lowest = self.lowest or [np.inf] * len(places)
        self.highest = [max(high, place.max(initial=0)) for high, place in zip(highest, places, strict=True)]
        if len(places[0]):
            self.lowest = [min(low, place.min()) for low, place in zip(lowest, places, strict=True)]

    def _add_times(self, table: EventTable, t: NDArray[Any]) -> None:
        # The comparisons refuse NaN too.
        rising = t[1:] >= t[:-1]
        is_behind = not len(t) or self.last is None or bool(t[0] >= self.last)
        if not rising.all() or not is_behind:
            at = int(np.argmin(rising)) + 1 if is_behind else 0
            got = f"{t[at]} after {t[at - 1] if at else self.last}"
            step = "sort the events by time"
            raise format_error(table.path, table.row(at, "t"), "times in ascending order", got, step)
        if len(t) and not (t[0] >= 0 and np.isfinite(t[-1])):
            at = len(t) - 1 if t[0] >= 0 else 0
            raise format_error(
                table.path, table.row(at, "t"), "a finite time >= 0", t[at], "shift or correct the times"
            )
        if len(t):
            self.last = t[-1]


@dataclass(frozen=True)
class TableLayout:
    """The layout of the rows of a table.

    Attributes:
        unit: of the times, s.
        is_on_2: whether polarities are 1 and 2.
        first_place: number of the first row and column.
        sensor: its shape.
        report: of the reading.
    """

    unit: float
    is_on_2: bool
    first_place: int
    sensor: tuple[int, ...]
    report: ReadReport

    def spikes(self, table: EventTable, columns: Columns) -> Spikes:
        """Return the events of rows that were scanned.

        Args:
            table: the rows.
            columns: their numbers, as `TableScan.add` returns them.

        Raises:
            NeurosimFormatError: an event outside the sensor.
        """
        t = columns["t"]
        places = [columns[key] for key in ("y", "x") if key in columns]
        p = columns.get("p")
        polarity = np.zeros(len(t), np.int8) if p is None else (p > int(self.is_on_2)).astype(np.int8)
        if self.first_place:
            places = [place - 1 for place in places]
        if len(self.sensor) == 3:
            coordinates = [polarity, *places]
        else:
            coordinates = places
        _check_places(table, coordinates, self.sensor)
        # unit = (p height + y) width + x
        units = np.zeros(len(t), np.int64)
        for size, values in zip(self.sensor, coordinates, strict=True):
            units *= size
            units += values.astype(np.int64)
        times = t.astype(np.float64) * self.unit
        last = float(times[-1]) if len(t) else 0.0
        return Spikes.unchecked(
            times,
            units.astype(np.int32),
            size=math.prod(self.sensor),
            duration=last,
            shape=self.sensor,
            report=self.report,
        )


def _numbers(table: EventTable, key: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind not in "iufb" or array.dtype.itemsize > 8:
        raise format_error(table.path, f"{table.prefix}{key}", "numbers", array.dtype, LAYOUT)
    if array.dtype.kind == "b":
        return array.astype(np.int8)
    return array


def _sensor(table: EventTable, highest: Sequence[float], shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the shape of the sensor: (2, height, width), or (units,) of a table without y."""
    rank = 3 if len(highest) == 2 else 1
    if shape is None:
        if not all(0 <= place < 1 << 31 for place in highest):
            raise format_error(table.path, f"{table.prefix}x, y", "places below 2^31", max(highest), LAYOUT)
        shape = tuple(int(place) + 1 for place in highest)
        if rank == 3:
            shape = (2, *shape)
    elif rank == 1:
        shape = (math.prod(shape),)
    if rank == 3:
        rule = "must be (2 polarities, height, width)"
    else:
        rule = "must be (units,): the table has no y"
    has_polarities = rank == 1 or shape[0] == 2
    fits = len(shape) == rank and all(n > 0 for n in shape) and has_polarities
    require(fits, f"{table.path}: shape", rule, shape)
    if math.prod(shape) >= 1 << 31:
        raise format_error(table.path, f"{table.prefix}x, y", "fewer than 2^31 units", shape, LAYOUT)
    return shape


def _check_places(table: EventTable, coordinates: Sequence[NDArray[Any]], sensor: tuple[int, ...]) -> None:
    for values, size in zip(coordinates, sensor, strict=True):
        inside = (values >= 0) & (values < size)
        if values.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                inside &= values % 1 == 0
        if not inside.all():
            at = int(np.argmin(inside))
            expected = f"an event inside shape {sensor}"
            step = "for another sensor give its shape= (of a folder data.options.shape)"
            raise format_error(table.path, table.row(at), expected, values[at], step)


class TableSource(FileEvents):
    """A table in a file, in blocks of its rows.

    Attributes:
        shape, report: as in `FileEvents`.
    """

    def __init__(
        self,
        blocks: Callable[[], Iterator[EventTable]],
        layout: Callable[[TableScan, EventTable], TableLayout],
    ) -> None:
        """Read all blocks once.

        Args:
            blocks: starts anew at the first row; yields at least one block.
            layout: returns how the rows are read, from all of them and the first block without its rows.

        Raises:
            NeurosimError: as `TableScan`, and as the arguments.
        """
        self._blocks = blocks
        scan = TableScan()
        first: EventTable | None = None
        for table in blocks():
            scan.add(table)
            first = first or replace(table, columns={})
        assert first is not None
        self._layout = layout(scan, first)
        self.shape = self._layout.sensor
        self.report = self._layout.report

    def __iter__(self) -> Iterator[Spikes]:
        scan = TableScan()
        for table in self._blocks():
            yield self._layout.spikes(table, scan.add(table))
