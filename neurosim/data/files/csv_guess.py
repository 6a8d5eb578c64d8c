"""Text files of events by other programs: the reader finds delimiter, columns, unit of time and sensor.

A file has lines of numbers with commas, semicolons, tabs or spaces between them. Comments (#, %) and one line of names
may stand first. Properties that the file does not state are guessed, and named in `ReadReport.guessed`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.raw import format_error
from ..spikes import Spikes
from .table_events import TableLayout, TableScan, TableSource
from .tables import EventTable, OrderScan, guess_of_unread, key_of

# Lines parsed at once: bounds the memory to a multiple of the size of the file.
BLOCK = 1 << 16
# Characters in a line: four numbers of 17 digits need fewer than 100.
MAX_LINE = 1000
MAX_COMMENTS = 100
# Polarities of tables that hold truth values, as pandas writes them.
TRUTH = re.compile(r"\b(?:[Tt]rue|[Ff]alse)\b")
# The sensor in a comment: `resolution 346 260`, `width=346, height=260`, `geometry 640x480`.
SIZE = re.compile(r"(?:resolution|geometry|sensor|size|width)\D{0,12}(\d{1,5})\D{1,12}?(\d{1,5})", re.I)
# Names of the column of units of a sensor without rows, where no column is called as those of `tables.NAMES`.
CHANNELS = ("channel", "channels", "taxel", "taxels", "electrode", "electrodes", "neuron", "neurons")
LAYOUT = "is this a table of events?"


@dataclass(frozen=True)
class _Head:
    """Beginning of a file.

    Attributes:
        lines: number of lines before the first event.
        comment: the text of the comments.
        delimiter: between numbers; None: spaces and tabs.
        names: of the columns; none if the file has no line of names.
        size: (height, width) in a first line of two numbers.
    """

    lines: int
    comment: str
    delimiter: str | None
    names: tuple[str, ...]
    size: tuple[int, int] | None


def read_guessed(
    path: object, text: io.TextIOWrapper, shape: tuple[int, ...] | None, tick: float | None, columns: str | None
) -> Spikes:
    """Return the recording in a text file of another program; the arguments are as in `read_csv`.

    Raises:
        NeurosimFormatError: as `read_csv`.
    """
    head = _head(path, text)
    text.seek(0)
    blocks = list(_numbers(path, islice(text, head.lines, None), head))
    rows = np.concatenate(blocks) if blocks else np.empty((0, len(head.names)))
    plan = _plan(path, head, width=rows.shape[1], order=columns, blocks=lambda: [rows])
    table = plan.table(path, rows, head.lines + 1)
    scan = TableScan()
    numbers = scan.add(table)
    spikes = plan.layout(scan, table, head, shape, tick).spikes(table, numbers)
    if shape is not None and "y" not in numbers:
        return replace(spikes, shape=shape)
    return spikes


def guessed_source(
    path: object,
    opened: Callable[[], io.TextIOWrapper],
    shape: tuple[int, ...] | None,
    tick: float | None,
    columns: str | None,
) -> TableSource:
    """Return the events of a text file of another program in blocks of lines.

    Args:
        path, shape, tick, columns: as in `read_csv`.
        opened: returns the text from its first line.

    Raises:
        NeurosimError: as `read_guessed`.
    """
    with opened() as text:
        head = _head(path, text)

    def blocks() -> Iterator[NDArray[np.float64]]:
        with opened() as text:
            yield from _numbers(path, islice(text, head.lines, None), head)

    first = next(blocks(), np.empty((0, len(head.names))))
    plan = _plan(path, head, width=first.shape[1], order=columns, blocks=blocks)

    def tables() -> Iterator[EventTable]:
        line = head.lines + 1
        for rows in blocks() if len(first) else [first]:
            yield plan.table(path, rows, line)
            line += len(rows)

    return TableSource(tables, lambda scan, table: plan.layout(scan, table, head, shape, tick))


@dataclass(frozen=True)
class _Plan:
    """The meaning of the columns of a file.

    Attributes:
        places: number of each column of events.
        unit: of time that a name states, s; None: stated nowhere.
        guessed: properties that were taken from the content.
    """

    places: Mapping[str, int]
    unit: float | None
    guessed: tuple[str, ...] = ()

    def table(self, path: object, rows: NDArray[np.float64], line: int) -> EventTable:
        """Return rows as events; `line` is the number of the first."""
        columns = {key: rows[:, place] for key, place in self.places.items()}
        return EventTable(path, "", columns, "csv", first_line=line, guessed=self.guessed)

    def layout(
        self, scan: TableScan, table: EventTable, head: _Head, shape: tuple[int, ...] | None, tick: float | None
    ) -> TableLayout:
        """Return how all rows are read, with a guess of the unit of time where nobody states it."""
        unit = tick or self.unit
        guessed = self.guessed
        if unit is None and scan.rows and scan.are_integers:
            unit = 1e-6
            guessed += ("times are microseconds, for all are integers",)
        elif unit is None:
            unit = 1.0
            guessed += ("times are seconds, for not all are integers",)
        sensor = shape
        if sensor is None and "y" in self.places:
            sensor = (2, *head.size) if head.size else _size(head.comment)
        return scan.layout(replace(table, guessed=guessed), sensor, unit)


def _head(path: object, text: io.TextIOWrapper) -> _Head:
    """Return the head of a text: its comments, and its first line that is none."""
    comments: list[str] = []
    for line in islice(text, MAX_COMMENTS):
        if len(line) > MAX_LINE:
            break
        if line.strip() and line[0] not in "#%":
            return _first(path, comments, line, text.readline()[:MAX_LINE])
        comments.append(line)
    if len(comments) >= MAX_COMMENTS:
        got = "more comments"
    elif text.readline():
        got = "a longer one"
    else:
        got = "the end"
    expected = f"numbers after at most {MAX_COMMENTS} comments, in lines of at most {MAX_LINE} characters"
    raise format_error(path, f"line {len(comments) + 1}", expected, got, LAYOUT)


def _first(path: object, comments: Sequence[str], line: str, following: str) -> _Head:
    """Return the head of a file whose first line that is no comment is `line`."""
    comment = "".join(comments)
    number = len(comments)
    delimiter = _delimiter(line)
    words = _split(line, delimiter)
    if not all(map(_is_number, words)):
        names = tuple(word.strip("\"' ").lower() for word in words)
        return _Head(lines=number + 1, comment=comment, delimiter=delimiter, names=names, size=None)
    # As in the files of the event camera dataset's tools: width and height, then the events.
    two_integers = len(words) == 2 and all(word.strip().isdecimal() for word in words)
    if two_integers and len(_split(following, delimiter)) == 4:
        width, height = map(int, words)
        return _Head(lines=number + 1, comment=comment, delimiter=delimiter, names=(), size=(height, width))
    names = _named(comments[-1], len(words)) if comments else ()
    return _Head(lines=number, comment=comment, delimiter=delimiter, names=names, size=None)


def _named(comment: str, columns: int) -> tuple[str, ...]:
    """Return the names of the columns where the last comment holds them."""
    line = comment.lstrip("#% ").lower()
    words = _split(line, _delimiter(line))
    names = tuple(word.strip() for word in words)
    if len(names) == columns and sum(key_of(name)[0] is not None for name in names) >= 2:
        return names
    return ()


def _delimiter(line: str) -> str | None:
    # Semicolons first: they stand where numbers have decimal commas.
    return next((mark for mark in ";,\t" if mark in line), None)


def _split(line: str, delimiter: str | None) -> list[str]:
    return _plain(line.rstrip("\r\n"), delimiter).split(delimiter)


def _plain(line: str, delimiter: str | None) -> str:
    """Return a line with 1 and 0 for True and False, and with decimal points where semicolons part its numbers."""
    if "rue" in line or "alse" in line:
        line = TRUTH.sub(lambda match: str(int(match[0].lower() == "true")), line)
    return line.replace(",", ".") if delimiter == ";" else line


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return "_" not in word


def _numbers(path: object, lines: islice[str], head: _Head) -> Iterator[NDArray[np.float64]]:
    """Yield [rows, columns] of blocks of lines; raise for the first line that is not as many numbers as the first."""
    number = head.lines + 1
    columns = len(head.names)
    while block := list(islice(lines, BLOCK)):
        # Empty lines may stand at the end.
        end = len(block)
        while end and not block[end - 1].strip():
            end -= 1
        try:
            # The parser would skip an empty line and allocate for a very long one.
            if any(not line.strip() or len(line) > MAX_LINE or "_" in line for line in block[:end]):
                raise ValueError
            if end:
                rows = [_plain(line, head.delimiter) for line in block[:end]]
                table = np.loadtxt(rows, delimiter=head.delimiter, comments=None, ndmin=2)
            else:
                table = np.empty((0, 0))
            columns = columns or table.shape[1]
            if end and table.shape != (end, columns):
                raise ValueError
        except ValueError:
            raise _culprit(path, block, head.delimiter, columns, number) from None
        if end:
            yield table
        number += len(block)


def _culprit(path: object, block: Sequence[str], delimiter: str | None, columns: int, number: int) -> Exception:
    """Return the error for the first line that is not `columns` numbers."""
    columns = columns or len(_split(block[0][:MAX_LINE], delimiter))

    def fits(line: str) -> bool:
        words = _split(line[:MAX_LINE], delimiter)
        return len(line) <= MAX_LINE and len(words) == columns and all(map(_is_number, words))

    at = next((i for i, line in enumerate(block) if not fits(line)), 0)
    got = f"{block[at].strip()[:40]!r}"
    return format_error(path, f"line {number + at}", f"{columns} numbers", got, "correct or remove the line")


def _plan(
    path: object,
    head: _Head,
    width: int,
    order: str | None,
    blocks: Callable[[], Iterable[NDArray[np.float64]]],
) -> _Plan:
    """Return what `width` columns are: by their names, by `order`, or by the content of all blocks."""
    if order is not None:
        return _plan_of_order(path, head, width, order)
    if head.names:
        return _plan_of_names(path, head)
    if width == 2:
        return _Plan({"t": 0, "x": 1}, None, ("columns are t and unit",))
    if width != 4:
        expected = "two columns, t and unit, or four, t, x, y and p in any order"
        raise format_error(path, f"line {head.lines + 1}", expected, f"{width} columns", LAYOUT)
    # A first pass over the whole file: columns that look alike at its beginning differ further on.
    scan = OrderScan()
    for rows in blocks():
        scan.add(rows)
    letters = scan.order(path, "columns")
    return _Plan({key: place for place, key in enumerate(letters)}, None, (f"columns are {', '.join(letters)}",))


def _plan_of_order(path: object, head: _Head, width: int, order: str) -> _Plan:
    """Return what columns are by the letters that the caller gave."""
    is_known = sorted(order) in (sorted("txyp"), sorted("tx"))
    require(is_known, "read.columns", "must be an order of t, x, y, p", order)
    if width != len(order):
        expected = f"{len(order)} columns, as columns= says"
        raise format_error(path, f"line {head.lines + 1}", expected, width, LAYOUT)
    return _Plan({key: place for place, key in enumerate(order)}, None)


def _plan_of_names(path: object, head: _Head) -> _Plan:
    """Return what columns are by the names in the head of the file."""
    places: dict[str, int] = {}
    unit_of_time: float | None = None
    for place, name in enumerate(head.names):
        key, unit = key_of(name)
        # The first column of a key counts.
        if key is not None and key not in places:
            places[key] = place
        if key == "t" and unit and unit_of_time is None:
            unit_of_time = unit
    channels = [place for place, name in enumerate(head.names) if name in CHANNELS]
    if not {"x", "y"} & places.keys() and len(channels) == 1:
        places["x"] = channels[0]
    if {"t", "x"} <= places.keys():
        read = {key: head.names[place] for key, place in places.items()}
        return _Plan(places, unit_of_time, guess_of_unread(head.names, read))
    expected = "names of columns: t, x, y and p, or t and unit (or usual ones, such as timestamp, polarity)"
    got = ", ".join(head.names)[:60]
    raise format_error(path, f"line {head.lines}", expected, repr(got), "add or correct the header")


def _size(comment: str) -> tuple[int, ...] | None:
    """Return the sensor that a comment states: (2, height, width)."""
    match = SIZE.search(comment)
    if match and int(match[1]) and int(match[2]):
        return (2, int(match[2]), int(match[1]))
    return None
