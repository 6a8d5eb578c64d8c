"""Tables of events: NumPy files (.npy, .npz), and functions shared by all formats with columns of events."""

from __future__ import annotations

import io
import math
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimError, require
from ...base.raw import format_error, max_unpacked, read_bytes
from ..read_report import NOT_STATED, ReadReport
from ..spikes import Spikes

MICROSECOND = 1e-6
# Names of the columns of events in the files of others, in lower case.
NAMES: Mapping[str, tuple[str, ...]] = {
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "x": ("x", "xs", "unit", "units"),
    "y": ("y", "ys"),
    "p": ("p", "ps", "pol", "polarity", "polarities", "on"),
}
KEYS: Mapping[str, str] = {name: key for key, names in NAMES.items() for name in names}
# Orders of columns without names that are tried.
ORDERS = ("txyp", "xytp", "xypt")
# Arrays of an archive, and bytes of the header of one.
MAX_ARRAYS = 1000
MAX_HEADER = 1 << 14
LAYOUT = "is this a table of events?"
AGAIN = "the file is damaged: fetch it again"
Columns = Mapping[str, NDArray]


@dataclass(frozen=True)
class EventTable:
    """Columns of events, and their place in a file.

    Attributes:
        path, where: the file, and the place of the table in it, for errors.
        columns: by the keys of `NAMES`.
        format: name of the format.
        start: time of the clock at time 0, s.
        first_line: of the events, in a file of lines.
        guessed: properties that the file does not state, a sentence each.
        polarity_1: light of an event of polarity 1, as in `ReadReport`.
    """

    path: object
    where: str
    columns: Columns
    format: str
    start: float = 0.0
    first_line: int | None = None
    guessed: tuple[str, ...] = ()
    polarity_1: str = NOT_STATED

    def row(self, index: int, key: str = "") -> str:
        """Return the place of an event, for errors."""
        if self.first_line is not None:
            return f"line {self.first_line + index}"
        column = f"{key}, " if key else ""
        return f"{_at(self)}{column}entry {index}"


def read_npy(
    path: str | os.PathLike[str],
    shape: tuple[int, ...] | None = None,
    tick: float | None = None,
    columns: str | None = None,
) -> Spikes:
    """Return the events in a NumPy file: .npy, or .npz with one array or one for each column. Nothing is unpickled.

    An array is structured, with fields of the names in `NAMES`, or has four columns (or four rows).

    Args:
        path: of the file.
        shape: of the sensor; None: from `height` and `width` in an .npz file, or else the smallest that holds all
            events.
        tick: s, the unit of the times; None: 1e-6, or 1 if a time is not an integer.
        columns: order of columns without names, e.g. "txyp"; None: the one of `ORDERS` in which times are ascending
            and polarities are two values.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: another format or version, cut short, pickled objects, no columns of events, or several
            orders of columns that fit; an event outside the sensor, or times that run backwards.
    """
    raw = read_bytes(path)
    head = raw[:4].tobytes()
    if head == b"PK\x03\x04":
        arrays = _members(path, raw)
    else:
        arrays = {"array": _array(path, "", raw)}
    name, events = find_columns(path, arrays, columns)
    size = [int(arrays[key]) for key in ("height", "width") if key in arrays and _is_count(arrays[key])]
    if shape is None and len(size) == 2:
        shape = (2, *size)
    # The one array of an .npy file has no name.
    where = "" if name == "array" else name
    return spikes_of(EventTable(path, where, events, "numpy"), shape, tick)


def read_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray]:
    """Return the arrays of an .npz file, by name. Nothing is unpickled.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: no intact archive of arrays, or one that unpacks to much more than its size.
    """
    return _members(path, read_bytes(path))


def find_columns(path: object, arrays: Mapping[str, NDArray], order: str | None) -> tuple[str, Columns]:
    """Return the columns of events among named arrays, and the name of the array that has them, "" if they are several.

    Raises:
        NeurosimFormatError: none, or more than one.
    """
    # An array of one dimension, or with all others of length 1, is a column. First an array for each column, then one
    # structured array, then one of four columns without names.
    lists = {name: array.reshape(-1) for name, array in arrays.items() if array.size in (0, *array.shape)}
    columns = by_name(lists)
    if columns:
        return "", columns
    structured = {name: by_name(fields_of(array)) for name, array in arrays.items() if array.dtype.names}
    tables = {name: table for name, table in structured.items() if table}
    if not tables:
        plain = {name: array for name, array in arrays.items() if array.ndim == 2 and 4 in array.shape}
        tables = {name: _by_order(path, name, array, order) for name, array in plain.items()}
    if len(tables) != 1:
        got = ", ".join(sorted(tables or arrays)[:8]) or "nothing"
        raise format_error(path, "arrays", "one table with columns t, x, y and p", got, LAYOUT)
    return next(iter(tables.items()))


def fields_of(array: NDArray) -> dict[str, NDArray]:
    """Return the fields of a structured array, as lists."""
    return {name: array[name].reshape(-1) for name in array.dtype.names or () if array[name].size == array.size}


def by_name(arrays: dict[str, NDArray]) -> dict[str, NDArray]:
    """Return the columns of events among lists, by the keys of `NAMES`; empty if t or x is absent."""
    # Reversed: of two names of one column the first counts.
    columns = {KEYS[name.lower()]: array for name, array in reversed(arrays.items()) if name.lower() in KEYS}
    if {"t", "x"} <= columns.keys():
        return columns
    return {}


def _by_order(path: object, name: str, array: NDArray, order: str | None) -> dict[str, NDArray]:
    """Return the columns of an array [n, 4] or [4, n]."""
    rows = array if array.shape[1] == 4 else array.T
    if array.dtype.kind not in "iufb":
        raise format_error(path, name or "array", "numbers", array.dtype, LAYOUT)
    if order is not None:
        require(sorted(order) == sorted("txyp"), "read.columns", "must be an order of t, x, y and p", order)
        return dict(zip(order, rows.T, strict=True))
    return find_order(path, name or "array", rows)[1]


def find_order(path: object, where: str, rows: NDArray) -> tuple[str, dict[str, NDArray]]:
    """Return the one of `ORDERS` in which four columns [n, 4] are events, and the columns.

    Raises:
        NeurosimFormatError: none of them, or several.
    """
    options = {letters: dict(zip(letters, rows.T, strict=True)) for letters in ORDERS}
    fitting = [letters for letters, option in options.items() if _fits(option)]
    if len(fitting) != 1:
        got = "none of them fits" if not fitting else "several fit"
        expected = f"columns in one of the orders {', '.join(ORDERS)}"
        raise format_error(path, where, expected, got, "give columns= in their order, e.g. 'txyp'")
    return fitting[0], options[fitting[0]]


def _fits(columns: Columns) -> bool:
    t = columns["t"]
    p = columns["p"]
    with np.errstate(invalid="ignore"):
        are_places = all(((v >= 0) & (v < 1 << 15) & (v % 1 == 0)).all() for v in (columns["x"], columns["y"]))
    are_polarities = ((p == 0) | (p == 1)).all() or ((p == -1) | (p == 1)).all()
    return bool(are_places and are_polarities and (t[1:] >= t[:-1]).all())


def spikes_of(table: EventTable, shape: tuple[int, ...] | None, tick: float | None) -> Spikes:
    """Return the events of a table, in the order of its rows.

    Polarities are 0 and 1, or -1 and 1. Places and polarities that count from 1, as in MATLAB, have polarities 1 and 2.

    Raises:
        NeurosimInputError: a tick that is not > 0, or a shape for another number of columns.
        NeurosimFormatError: columns of other lengths or types, an event outside the sensor, or times that are negative
            or run backwards.
    """
    require(tick is None or (tick > 0 and math.isfinite(tick)), "read.tick", "must be > 0 s", tick)
    columns = {key: _numbers(table, key, array) for key, array in table.columns.items()}
    t = columns["t"]
    places = [columns[key] for key in ("y", "x") if key in columns]
    for key, array in columns.items():
        if len(array) != len(t):
            raise format_error(table.path, f"{_at(table)}{key}", f"{len(t)} entries, as t", len(array), LAYOUT)
    with np.errstate(invalid="ignore"):
        are_integers = t.dtype.kind in "iu" or bool((t % 1 == 0).all())
    default = MICROSECOND if are_integers else 1.0
    unit = tick or default
    changed: dict[str, int] = {}
    p = _polarity(table, columns.get("p"), len(t))
    # A polarity of 2 is ON in a file that counts from 1; such a file has no 0, and may have ON events alone.
    if p.max(initial=0) == 2:
        p = p - 1
        places = [place - 1 for place in places]
        changed["places and polarities counted from 0, not 1"] = len(t)
    _check_times(table, t)
    if len(places) == 1 and p.size and p.min() != p.max():
        step = "without y, all polarities must be equal"
        raise format_error(table.path, f"{_at(table)}columns", "a column y beside p", "none", step)
    sensor = _sensor(table, places, shape)
    if len(sensor) == 3:
        coordinates = [p, *places]
    else:
        coordinates = places
    _check_places(table, coordinates, sensor)
    # unit = (p height + y) width + x
    units = np.zeros(len(t), np.int64)
    for size, values in zip(sensor, coordinates, strict=True):
        units *= size
        units += values.astype(np.int64)
    times = t.astype(np.float64) * unit
    report = ReadReport(
        format=table.format,
        start=table.start,
        tick=unit,
        changed=changed,
        guessed=table.guessed,
        polarity_1=table.polarity_1,
    )
    last = float(times[-1]) if len(t) else 0.0
    return Spikes.unchecked(times, units.astype(np.int32), math.prod(sensor), last, sensor, report)


def _at(table: EventTable) -> str:
    return f"{table.where} " if table.where else ""


def _numbers(table: EventTable, key: str, array: NDArray) -> NDArray:
    if array.dtype.kind not in "iufb" or array.dtype.itemsize > 8:
        raise format_error(table.path, f"{_at(table)}{key}", "numbers", array.dtype, LAYOUT)
    if array.dtype.kind == "b":
        return array.astype(np.int8)
    return array


def _polarity(table: EventTable, p: NDArray | None, count: int) -> NDArray:
    """Return polarities as integers, -1 as 0."""
    if p is None:
        return np.zeros(count, np.int8)
    allowed = (p == 0) | (p == 1) | (p == -1) | (p == 2)
    # The pairs are 0 and 1, -1 and 1, or 1 and 2: neither -1 nor 2 goes with 0, nor with each other.
    mixed = count > 0 and ((p.min() < 0 and (p == 0).any()) or (p.max() == 2 and p.min() < 1))
    if not allowed.all() or mixed:
        at = int(np.argmin(allowed))
        raise format_error(table.path, table.row(at, "p"), "polarities 0 and 1, or -1 and 1", p[at], LAYOUT)
    return np.maximum(p, 0).astype(np.int8)


def _check_times(table: EventTable, t: NDArray) -> None:
    # The comparisons refuse NaN too.
    rising = t[1:] >= t[:-1]
    if not rising.all():
        at = int(np.argmin(rising)) + 1
        got = f"{t[at]} after {t[at - 1]}"
        step = "sort the events by time"
        raise format_error(table.path, table.row(at, "t"), "times in ascending order", got, step)
    if len(t) and not (t[0] >= 0 and np.isfinite(t[-1])):
        at = len(t) - 1 if t[0] >= 0 else 0
        raise format_error(table.path, table.row(at, "t"), "a finite time >= 0", t[at], "shift or correct the times")


def _sensor(table: EventTable, places: Sequence[NDArray], shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the shape of the sensor: (2, height, width), or (units,) of a table without y."""
    rank = 3 if len(places) == 2 else 1
    if shape is None:
        highest = [place.max(initial=0) for place in places]
        if not all(0 <= place < 1 << 31 for place in highest):
            raise format_error(table.path, f"{_at(table)}x, y", "places below 2^31", max(highest), LAYOUT)
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
        raise format_error(table.path, f"{_at(table)}x, y", "fewer than 2^31 units", shape, LAYOUT)
    return shape


def _check_places(table: EventTable, coordinates: Sequence[NDArray], sensor: tuple[int, ...]) -> None:
    for values, size in zip(coordinates, sensor, strict=True):
        inside = (values >= 0) & (values < size)
        if values.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                inside &= values % 1 == 0
        if not inside.all():
            at = int(np.argmin(inside))
            expected = f"an event inside shape {sensor}"
            step = "for another sensor give its shape="
            raise format_error(table.path, table.row(at), expected, values[at], step)


def _is_count(array: NDArray) -> bool:
    return array.size == 1 and array.dtype.kind in "iu" and bool((array > 0).all() and (array < 1 << 15).all())


def _array(path: object, name: str, raw: NDArray[np.uint8]) -> NDArray:
    """Return the array in the bytes of an .npy file, without a copy."""
    # The header follows the magic string, the version and its own length, at most 12 bytes.
    file = io.BytesIO(raw[: MAX_HEADER + 12].tobytes())
    prefix = f"{name}, " if name else ""
    where = f"{prefix}byte 0"
    if raw.size == 0:
        raise format_error(path, where, "a NumPy array", "an empty file", "fetch it again")
    try:
        version = np.lib.format.read_magic(file)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran, dtype = readers[version](file, max_header_size=MAX_HEADER)
        if dtype.hasobject:
            step = "save it as plain numbers: nothing is unpickled"
            raise format_error(path, where, "an array of numbers", "one of pickled objects", step)
        count = math.prod(shape)
        have = raw.size - file.tell()
        need = count * dtype.itemsize
        if not (count >= 0 and dtype.itemsize > 0 and have == need):
            raise format_error(path, f"{prefix}byte {file.tell()}", f"{need} bytes", have, AGAIN)
        values = np.frombuffer(raw, dtype, count, file.tell())
        return values.reshape(shape, order="F" if fortran else "C")
    except NeurosimError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise format_error(path, where, "a NumPy array, version 1 or 2", reason, LAYOUT) from None


def _members(path: object, raw: NDArray[np.uint8]) -> dict[str, NDArray]:
    """Return the arrays of an .npz file, by name."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw.data)) as archive:
            infos = archive.infolist()
            total = sum(info.file_size for info in infos)
            bound = max_unpacked(raw.size)
            if total > bound or len(infos) > MAX_ARRAYS:
                expected = f"at most {MAX_ARRAYS} arrays and {bound} bytes"
                raise format_error(path, "archive", expected, f"{len(infos)} and {total}", "save it again")
            contents = {info.filename.removesuffix(".npy"): archive.read(info) for info in infos}
    except NeurosimError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        LookupError,
        MemoryError,
    ) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise format_error(path, "archive", "an intact .npz archive", reason, AGAIN) from None
    return {name: _array(path, name, np.frombuffer(data, np.uint8)) for name, data in contents.items()}
