"""Spikes as CSV, for spreadsheets and other programs.

    # neurosim spikes; t in seconds; shape 2 34 34; duration 0.306
    t,x,y,p
    0.000123,4,17,1

The first line has the size of the sensor and the duration, which do not follow from the events. The header is
`t,x,y,p` (column, row and polarity of a pixel) or `t,unit`. Times are seconds, ascending. A file without the first line
comes from another program: see `csv_guess`.
"""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from ...base.atomic import write_bytes
from ...base.errors import NeurosimInputError, require
from ...base.raw import file_size, format_error, read_bytes
from ..read_report import ReadReport
from ..spikes import Spikes
from .csv_guess import BLOCK, MAX_LINE, guessed_source, read_guessed
from .decoding import FileEvents
from .table_events import check_tick

OURS = "# neurosim spikes"
HEADERS = {"t,x,y,p": 3, "t,unit": 1}
SHAPE = re.compile(r"shape((?: \d{1,10}){1,8})")
# Spreadsheets write a byte-order mark.
MARK = b"\xef\xbb\xbf"
# Bytes that are checked at a time.
PART = 1 << 20
DURATION = re.compile(r"duration ([0-9.eE+-]{1,30})")


def read_csv(
    path: str | os.PathLike[str],
    shape: tuple[int, ...] | None = None,
    tick: float | None = None,
    columns: str | None = None,
) -> Spikes:
    """Return the recording of a CSV file, of `write_csv` or of another program.

    Args:
        path: of the file.
        shape: of the sensor; None: as the file says, or else the smallest that holds all events.
        tick: seconds for each unit of the column t, e.g. 1e-6 for a file in microseconds. None: 1 in a file of
            `write_csv`; in others the unit in the name of the column, as in `t_us` or `time [ms]`, or else 1e-6 if all
            times are integers, and 1 if not.
        columns: order of the columns of a file without a header, e.g. "xypt"; None: by their content.

    The attribute `report` of the result names every guess.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: another header, a line that is not an event, an event outside the sensor, or a time before
            the line before it; names the line.
    """
    require(tick is None or (tick > 0 and math.isfinite(tick)), "read_csv.tick", "must be > 0 s", tick)
    text = _lines(path)
    comment = text.readline()
    if not _is_ours(comment):
        text.seek(0)
        return read_guessed(path, text, shape, tick, columns)
    columns_read = _columns_of(path, text)
    # Events begin behind the comment and the header.
    line = 3
    table = np.concatenate([np.empty((0, columns_read)), *_parse(path, text, columns_read, line)])
    times = table[:, 0] * (tick or 1.0)
    _check_rows(path, table, line)
    sensor = _sensor(path, comment, table[:, :0:-1], shape)
    _check_sensor(path, sensor)
    units = _units(path, table, sensor, line)
    match = DURATION.search(comment)
    try:
        if match:
            duration = float(match[1])
        elif len(times):
            duration = float(times[-1])
        else:
            duration = 0.0
        return Spikes(
            times=times,
            units=units,
            size=math.prod(sensor),
            duration=duration,
            shape=shape or _shape(comment) or sensor,
        )
    except (NeurosimInputError, ValueError) as error:
        fitting = "a shape and duration that fit the events"
        raise format_error(path, "line 1", fitting, error, "correct the line") from None


def open_csv(
    path: str | os.PathLike[str],
    shape: tuple[int, ...] | None = None,
    tick: float | None = None,
    columns: str | None = None,
) -> FileEvents:
    """Return the events of a CSV file in blocks of lines; the arguments are those of `read_csv`.

    Raises:
        NeurosimError: as `read_csv`.
    """
    check_tick(tick)
    _check_text(path)
    opened = partial(open, path, encoding="utf-8-sig")
    with opened() as text:
        comment = text.readline(MAX_LINE)
    if not _is_ours(comment):
        return guessed_source(path, opened, shape, tick, columns)
    return _OwnSource(path, opened, shape, tick or 1.0)


class _OwnSource(FileEvents):
    """A file of `write_csv` in blocks of lines; it is read once for a sensor that it does not state."""

    def __init__(self, path: object, opened: Callable[[], TextIO], shape: tuple[int, ...] | None, tick: float) -> None:
        self._path = path
        self._opened = opened
        self._tick = tick
        self.report = ReadReport("csv", tick=tick, clocked=False)
        with opened() as text:
            comment = text.readline()
        known = shape or _shape(comment)
        self._line = 3
        # Columns of places in the order of the axes: p, y, x.
        highest: NDArray[np.float64] | None = None
        for table in [] if known else self._blocks():
            places = table[:, :0:-1].max(axis=0, initial=0)
            highest = places if highest is None else np.maximum(highest, places)
        empty = np.zeros((1, self._columns() - 1))
        self._sensor = _sensor(path, comment, empty if highest is None else highest[None], shape)
        _check_sensor(path, self._sensor)
        self.shape = known or self._sensor

    def __iter__(self) -> Iterator[Spikes]:
        size = math.prod(self._sensor)
        for table in self._blocks():
            units = _units(self._path, table, self._sensor, self._line)
            times = table[:, 0] * self._tick
            yield Spikes.unchecked(times, units, size, float(times[-1]), self.shape, self.report)

    def _columns(self) -> int:
        with self._opened() as text:
            text.readline()
            return _columns_of(self._path, text)

    def _blocks(self) -> Iterator[NDArray[np.float64]]:
        """Yield checked rows; `_line` is the number of the first line of a block."""
        with self._opened() as text:
            text.readline()
            columns = _columns_of(self._path, text)
            last = 0.0
            self._line = 3
            for table in _parse(self._path, text, columns, self._line):
                _check_rows(self._path, table, self._line, last)
                yield table
                last = table[-1, 0]
                self._line += len(table)


def write_csv(path: str | os.PathLike[str], spikes: Spikes) -> None:
    """Write a recording; three-dimensional shapes as t,x,y,p, others as t,unit. Times have all their digits.

    Raises:
        NeurosimWriteError: as `replacing`.
    """
    if len(spikes.shape) == 3:
        header = "t,x,y,p"
        columns = spikes.coordinates()[::-1]
    else:
        header = "t,unit"
        columns = (spikes.units,)
    shape = " ".join(map(str, spikes.shape))
    head = f"# neurosim spikes; t in seconds; shape {shape}; duration {spikes.duration!r}\n"
    rows = zip(spikes.times.tolist(), *(c.tolist() for c in columns), strict=True)
    lines = "".join(",".join(map(repr, row)) + "\n" for row in rows)
    write_bytes(path, f"{head}{header}\n{lines}".encode())


def _is_ours(comment: str) -> bool:
    """Return whether a first line is one of `write_csv`, or a comment with a shape or duration in its form."""
    if comment.startswith(OURS):
        return True
    match = SHAPE.search(comment) or DURATION.search(comment)
    return comment.startswith("#") and match is not None


def _lines(path: str | os.PathLike[str]) -> io.TextIOWrapper:
    raw = read_bytes(path)
    if raw.size == 0:
        raise format_error(path, "byte 0", "a header", "an empty file", "fetch the recording again")
    mark = 3 if raw[:3].tobytes() == MARK else 0
    _check_part(path, raw[mark:], mark)
    return io.TextIOWrapper(io.BytesIO(raw.data), encoding="utf-8-sig")


def _check_text(path: str | os.PathLike[str]) -> None:
    """Raise `NeurosimFormatError` as `_lines` for a file that is empty or not text; memory holds a part of it."""
    size = file_size(path)
    if size == 0:
        raise format_error(path, "byte 0", "a header", "an empty file", "fetch the recording again")
    with open(path, "rb") as file:
        for begin in range(0, size, PART):
            part = np.frombuffer(file.read(PART), np.uint8)
            mark = 3 if begin == 0 and part[:3].tobytes() == MARK else 0
            _check_part(path, part[mark:], begin + mark)


def _check_part(path: object, part: NDArray[np.uint8], begin: int) -> None:
    others = np.flatnonzero((part > 126) | (part == 0))
    if others.size:
        at = int(others[0])
        raise format_error(path, f"byte {begin + at}", "plain text", f"0x{part[at]:02x}", "is this a CSV file?")


def _columns_of(path: object, text: TextIO) -> int:
    """Return the number of columns by the line of their names, the second of the file."""
    header = text.readline().strip().replace(" ", "").lower()
    if header not in HEADERS:
        expected = f"the header {' or '.join(HEADERS)}"
        raise format_error(path, "line 2", expected, f"{header[:40]!r}", "add the header, or convert the file")
    return HEADERS[header] + 1


def _check_sensor(path: object, sensor: tuple[int, ...]) -> None:
    if math.prod(sensor) >= 1 << 31:
        step = "is this a file of another layout?"
        raise format_error(path, "columns", "fewer than 2^31 units", f"shape {sensor}", step)


def _units(path: object, table: NDArray[np.float64], sensor: tuple[int, ...], line: int) -> NDArray[np.int32]:
    """Return the units of rows; raise for one outside the sensor."""
    # x, y, p unfold as p, y, x.
    places = table[:, :0:-1]
    outside = ((places < 0) | (places >= sensor)).any(axis=1)
    if outside.any():
        at = int(np.argmax(outside))
        got = ",".join(f"{v:g}" for v in places[at, ::-1])
        raise format_error(
            path, f"line {line + at}", f"an event inside shape {sensor}", got, "give the sensor's shape="
        )
    return np.ravel_multi_index(tuple(places.astype(np.int64).T), sensor).astype(np.int32)


def _parse(path: object, text: TextIO, columns: int, line: int) -> Iterator[NDArray[np.float64]]:
    """Yield the rows of blocks of lines; `line` is the number of the first line."""
    while lines := list(islice(text, BLOCK)):
        try:
            # The parser would skip an empty line and allocate for a very long one.
            if any(not text.strip() or len(text) > MAX_LINE for text in lines):
                raise ValueError
            block = np.loadtxt(lines, delimiter=",", comments=None, ndmin=2)
            if block.shape != (len(lines), columns):
                raise ValueError
        except ValueError:
            raise _culprit(path, lines, columns, line) from None
        yield block
        line += len(lines)


def _culprit(path: object, lines: list[str], columns: int, line: int) -> Exception:
    """Return the error for the first line that is not `columns` numbers."""
    for i, text in enumerate(lines):
        try:
            numbers = [float(word) for word in text[:MAX_LINE].split(",")]
            # Python reads 1_000 as a number, numpy does not.
            fits = len(numbers) == columns and "_" not in text and len(text) <= MAX_LINE
        except ValueError:
            fits = False
        if not fits:
            line += i
            break
    step = "correct or remove the line"
    return format_error(path, f"line {line}", f"{columns} numbers", f"{text.strip()[:40]!r}", step)


def _check_rows(path: object, table: NDArray[np.float64], line: int, last: float = 0.0) -> None:
    """Raise for rows that are not events in the order of time; `last` is the time before them."""
    times = table[:, 0]
    finite = np.isfinite(table).all(axis=1)
    integers = (table[:, 1:] % 1 == 0).all(axis=1)
    broken = ~finite | ~integers | (times < 0)
    if broken.any():
        at = int(np.argmax(broken))
        got = ",".join(f"{v:g}" for v in table[at])
        raise format_error(path, f"line {line + at}", "a time >= 0 and integers", got, "correct or remove the line")
    before = np.concatenate([[last], times])
    falls = times < before[:-1]
    if np.any(falls):
        at = int(np.argmax(falls))
        got = f"{times[at]:g} after {before[at]:g}"
        raise format_error(path, f"line {line + at}", "times in ascending order", got, "sort the lines by t")


def _sensor(path: object, comment: str, places: NDArray[np.float64], shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the shape of the place columns: three of a pixel, or one of a unit."""
    known = shape or _shape(comment)
    if known and places.shape[1] == 1:
        return (math.prod(known),)
    if known and len(known) != 3:
        step = "correct line 1, or give the sensor's shape="
        raise format_error(path, "shape", "(polarities, height, width), for columns x, y and p", known, step)
    return known or tuple(int(n) + 1 for n in places.max(axis=0, initial=0))


def _shape(comment: str) -> tuple[int, ...] | None:
    match = SHAPE.search(comment)
    return tuple(map(int, match[1].split())) if match else None
