"""NumPy files of events (.npy, .npz), in memory or block by block."""

from __future__ import annotations

import io
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimError
from ...base.raw import file_size, format_error, max_unpacked, read_bytes, read_start
from ..spikes import Spikes
from .array_blocks import ColumnBlocks
from .table_events import TableSource, check_tick, spikes_of
from .tables import LAYOUT, EventTable, find_columns, is_list

# Arrays of an archive, and bytes of the header of one.
MAX_ARRAYS = 1000
MAX_HEADER = 1 << 14
SIZES = ("height", "width")
# The one array of an .npy file has no name.
ALONE = "array"
AGAIN = "the file is damaged: fetch it again"


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
        tick: s, the unit of the times; None: that of a name such as `t_us`, or else 1e-6, or 1 if a time is not an
            integer.
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
        arrays = {ALONE: _array(path, "", raw)}
    found = find_columns(path, arrays, columns)
    if shape is None:
        shape = _stated_shape(arrays)
    where = "" if found.where == ALONE else found.where
    table = EventTable(path, where, found.columns, "numpy", guessed=found.guessed, unit=found.unit)
    return spikes_of(table, shape, tick)


def _array(path: object, name: str, raw: NDArray[np.uint8]) -> NDArray[Any]:
    """Return the array in the bytes of an .npy file, without a copy."""
    # The header follows the magic string, the version and its own length, at most 12 bytes.
    head = _head(path, name, raw[: MAX_HEADER + 12].tobytes(), raw.size)
    values = np.frombuffer(raw, head.dtype, math.prod(head.shape), head.begin)
    return values.reshape(head.shape, order="F" if head.fortran else "C")


class _Head(NamedTuple):
    """Header of an .npy file: shape and type of the array, whether columns come first, and the byte of its data."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    begin: int


def _head(path: object, name: str, start: bytes, size: int) -> _Head:
    """Return the header in the first bytes of an .npy file of `size` bytes."""
    file = io.BytesIO(start)
    prefix = f"{name}, " if name else ""
    where = f"{prefix}byte 0"
    if size == 0:
        raise format_error(path, where, "a NumPy array", "an empty file", "fetch it again")
    try:
        version = np.lib.format.read_magic(file)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran, dtype = readers[version](file, max_header_size=MAX_HEADER)
        if dtype.hasobject:
            step = "save it as plain numbers: nothing is unpickled"
            raise format_error(path, where, "an array of numbers", "one of pickled objects", step)
        count = math.prod(shape)
        have = size - file.tell()
        need = count * dtype.itemsize
        if not (count >= 0 and dtype.itemsize > 0 and have == need):
            raise format_error(path, f"{prefix}byte {file.tell()}", f"{need} bytes", have, AGAIN)
        return _Head(shape, fortran, dtype, file.tell())
    except NeurosimError:
        raise
    # On damaged headers numpy's readers raise errors of many kinds.
    except Exception as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise format_error(path, where, "a NumPy array, version 1 or 2", reason, LAYOUT) from None


def _members(path: object, raw: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz file, by name."""
    with _intact(path), zipfile.ZipFile(io.BytesIO(raw.data)) as archive:
        infos = _infos(path, archive, raw.size)
        contents = {name: archive.read(info) for name, info in infos.items()}
    return {name: _array(path, name, np.frombuffer(data, np.uint8)) for name, data in contents.items()}


def _infos(path: object, archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Return the entries of an archive of `size` bytes, by the names of their arrays."""
    infos = archive.infolist()
    total = sum(info.file_size for info in infos)
    bound = max_unpacked(size)
    if total > bound or len(infos) > MAX_ARRAYS:
        expected = f"at most {MAX_ARRAYS} arrays and {bound} bytes"
        raise format_error(path, "archive", expected, f"{len(infos)} and {total}", "save it again")
    return {info.filename.removesuffix(".npy"): info for info in infos}


@contextmanager
def _intact(path: object) -> Iterator[None]:
    """Turn the errors of a damaged archive into `NeurosimFormatError`s."""
    try:
        yield
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


class _FileArray:
    """An array in an .npy file or in an archive, whose rows are read in order.

    Attributes:
        shape, dtype: of the array.
    """

    def __init__(self, path: object, name: str, opened: Callable[[], IO[bytes]], size: int) -> None:
        self._path = path
        self._name = name
        head = _head(path, name, opened().read(MAX_HEADER + 12), size)
        self.shape = head.shape
        self.dtype = head.dtype
        # Columns that lie one after the other are read side by side, each through a file of its own.
        is_matrix = len(head.shape) == 2 and not is_list(self)
        by_column = is_matrix and head.fortran == (head.shape[1] == 4)
        self._width = 4 if is_matrix and not by_column else 1
        self._item = self._width * head.dtype.itemsize
        count = math.prod(head.shape) // self._width
        columns = 4 if by_column else 1
        self._begins = [head.begin + k * (count // columns) * self._item for k in range(columns)]
        self._files = [opened() for _ in range(columns)]

    def read(self, begin: int, end: int) -> NDArray[Any]:
        with _intact(self._path):
            columns = [self._one(k, begin, end) for k in range(len(self._files))]
        if len(columns) == 1:
            return columns[0]
        return np.stack(columns, axis=1)

    def _one(self, column: int, begin: int, end: int) -> NDArray[Any]:
        file = self._files[column]
        file.seek(self._begins[column] + begin * self._item)
        data = file.read((end - begin) * self._item)
        if len(data) < (end - begin) * self._item:
            raise format_error(self._path, self._name or "array", f"{end} rows", "the end of the file", AGAIN)
        values = np.frombuffer(data, self.dtype)
        return values.reshape(-1, self._width) if self._width > 1 else values


def read_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz file, by name. Nothing is unpickled.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: no intact archive of arrays, or one that unpacks to much more than its size.
    """
    return _members(path, read_bytes(path))


def open_npy(
    path: str | os.PathLike[str],
    shape: tuple[int, ...] | None = None,
    tick: float | None = None,
    columns: str | None = None,
) -> TableSource:
    """Return the events of a NumPy file in blocks; the arguments are those of `read_npy`.

    A compressed archive is unpacked as it is read.

    Raises:
        NeurosimError: as `read_npy`.
    """
    check_tick(tick)
    sensor = shape
    order = columns

    def tables() -> Iterator[EventTable]:
        nonlocal sensor, order
        with _stored_arrays(path) as arrays:
            # Kept for later passes: they must see the layout of the first.
            if sensor is None:
                numbers = [name for name in SIZES if name in arrays and math.prod(arrays[name].shape) == 1]
                sensor = _stated_shape({name: arrays[name].read(0, 1) for name in numbers})
            blocks = ColumnBlocks(path, arrays, order)
            order = blocks.order
            first = 0
            for block in blocks:
                where = "" if blocks.where == ALONE else blocks.where
                yield EventTable(path, where, block, "numpy", first_row=first, guessed=blocks.guessed, unit=blocks.unit)
                first += len(block["t"])

    return TableSource(tables, lambda scan, table: scan.layout(table, sensor, tick))


@contextmanager
def _stored_arrays(path: str | os.PathLike[str]) -> Iterator[dict[str, _FileArray]]:
    """Yield the arrays of a file by name, open for reading."""
    size = file_size(path)
    with ExitStack() as files:
        if read_start(path, 4) != b"PK\x03\x04":
            yield {ALONE: _FileArray(path, "", lambda: files.enter_context(open(path, "rb")), size)}
            return
        with _intact(path):
            archive = files.enter_context(zipfile.ZipFile(path))
            infos = _infos(path, archive, size)

        def opened(info: zipfile.ZipInfo) -> IO[bytes]:
            return files.enter_context(archive.open(info))

        with _intact(path):
            arrays = {
                name: _FileArray(path, name, partial(opened, info), info.file_size) for name, info in infos.items()
            }
        yield arrays


def _stated_shape(arrays: Mapping[str, NDArray[Any]]) -> tuple[int, ...] | None:
    """Return the sensor by the numbers `height` and `width` of an archive; None without them."""
    sizes = [int(arrays[name].item()) for name in SIZES if name in arrays and _is_count(arrays[name])]
    return (2, *sizes) if len(sizes) == 2 else None


def _is_count(array: NDArray[Any]) -> bool:
    return array.size == 1 and array.dtype.kind in "iu" and bool((array > 0).all() and (array < 1 << 15).all())
