"""Safe reading of HDF5 files of unknown origin.

The HDF5 library finds the datasets; this module takes their bytes from the file. It reads nothing outside the file,
accepts no size beyond what the file can hold, and passes no variable-length rows to the library.
"""

from __future__ import annotations

import math
import mmap
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimError, NeurosimFormatError
from ...base.raw import file_size, format_error, max_unpacked, printable, read_bytes
from ...kernels.io.hdf5_heaps import cpu as heaps
from .hdf5_chunks import Chunks, filter_list, filters_of
from .hdf5_filters import KNOWN, UNDO, read_by_library
from .hdf5_heaps import ROW, HeapObjects, find_objects

SIGNATURE = b"\x89HDF\r\n\x1a\n"
# A compressed dataset may unpack to this many times the size of its file.
MAX_RATIO = 16
AGAIN = "the file is damaged: fetch it again"
LAYOUT = "is this a file of another layout?"
COPY = "copy the data into the file"


@dataclass(frozen=True)
class HDF5File:
    """An open file.

    Attributes:
        root: its structure.
        raw: [n] uint8, its bytes.
        heaps: places of variable-length rows.
        ratio: maximum size of a compressed dataset, in sizes of the file.
        unpacked: sizes of the compressed datasets that were read, by name.
        mapped: the file as the system maps it into memory page by page; None: all bytes are in memory.
    """

    path: object
    root: Any
    raw: NDArray[np.uint8]
    heaps: HeapObjects
    ratio: int = MAX_RATIO
    unpacked: dict[str, int] = field(default_factory=dict)
    mapped: mmap.mmap | None = None

    def release(self) -> None:
        """Give the pages that were read so far back to the system, where the file is mapped."""
        _release(self.mapped)

    def error(self, where: str, expected: str, got: object, step: str = AGAIN) -> NeurosimFormatError:
        return format_error(self.path, where, expected, got, step)

    def names(self, group: str) -> list[str]:
        """Return the names in a group; "" is the root.

        Raises:
            NeurosimFormatError: no such group inside this file.
        """
        return list(self._reach(group, "Group"))

    def has(self, name: str) -> bool:
        """Return whether there is an object of that name."""
        parent, _, last = name.rpartition("/")
        if not parent:
            return self.root.get(last, getclass=True, getlink=True) is not None
        return self.has(parent) and last in self.names(parent)

    def attributes(self, name: str, *keys: str) -> dict[str, NDArray[Any]]:
        """Return the attributes of a group or dataset among `keys`: numbers, short lists of them, or text.

        Raises:
            NeurosimFormatError: nothing of that name inside this file, or an attribute of another type or size.
        """
        import h5py

        attrs = self._reach(name, "Group", "Dataset").attrs
        values = {}
        safe = (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING)
        for key in keys:
            if key not in attrs:
                continue
            attribute = attrs.get_id(key)
            kind = attribute.get_type()
            size = math.prod(attribute.shape) * kind.get_size()
            # The library crashes on some other types, such as damaged text of variable length.
            if kind.get_class() not in safe or size > 1 << 12:
                where = f"/{name} attribute '{key}'"
                rule = "numbers or text of at most 4 KiB"
                raise self.error(where, rule, f"{size} bytes of others")
            values[key] = np.asarray(attrs[key])
        return values

    def numbers(self, name: str, kinds: str, length: int | None = None) -> NDArray[Any]:
        """Return the one-dimensional dataset `name`, of numbers whose numpy kind is among `kinds` ("iu", "f").

        Raises:
            NeurosimFormatError: absent, outside this file, too large, or of another type, rank or length.
        """
        node = self.dataset(name, length)
        if node.dtype.kind not in kinds:
            if "i" in kinds:
                expected = "integers"
            else:
                expected = "floating-point numbers"
            raise self.error(f"/{name}", expected, node.dtype, LAYOUT)
        values = self._elements(name, node, node.dtype)
        return values.astype(node.dtype.newbyteorder("="), copy=False)

    def table(self, name: str) -> NDArray[Any]:
        """Return the dataset `name` of any rank, of numbers or of records of numbers.

        Raises:
            NeurosimFormatError: as `numbers`.
        """
        node = self.numbers_or_records(name)
        return self._elements(name, node, node.dtype).reshape(node.shape)

    def numbers_or_records(self, name: str) -> Any:
        """Return a dataset of the library, of numbers or of records of numbers.

        Raises:
            NeurosimFormatError: as `dataset`, or of another type.
        """
        node = self.dataset(name, rank=None)
        # Of a record the kinds of its fields.
        kinds = {node.dtype[field].kind for field in node.dtype.names or ()} or {node.dtype.kind}
        if not kinds <= set("iufb"):
            raise self.error(f"/{name}", "numbers", node.dtype, LAYOUT)
        stored = node.id.get_type().get_size()
        if stored != node.dtype.itemsize:
            raise self.error(f"/{name}", f"entries of {node.dtype.itemsize} bytes", stored, LAYOUT)
        return node

    def array(self, name: str, kinds: str) -> NDArray[Any]:
        """Return the dataset `name` of any rank, of numbers whose numpy kind is among `kinds` ("b": booleans).

        Raises:
            NeurosimFormatError: as `numbers`.
        """
        node = self.dataset(name, rank=None)
        if node.dtype.kind not in kinds:
            if node.dtype.kind == "O":
                got = "text or other things"
            else:
                got = node.dtype
            raise self.error(f"/{name}", "numbers", got, LAYOUT)
        values = self._elements(name, node, node.dtype)
        return values.reshape(node.shape).astype(node.dtype.newbyteorder("="), copy=False)

    def groups(self, name: str) -> bool:
        """Return whether `name` is a group and not a dataset.

        Raises:
            NeurosimFormatError: neither.
        """
        return type(self._reach(name, "Group", "Dataset")).__name__ == "Group"

    def size(self, name: str) -> tuple[int, int]:
        """Return the entries of the dataset `name` and their bytes (for text of variable length, of its references)."""
        node = self.dataset(name, rank=None)
        entries = math.prod(node.shape)
        return entries, entries * node.id.get_type().get_size()

    def is_text(self, name: str) -> bool:
        """Return whether the dataset `name` holds text."""
        import h5py

        return h5py.check_string_dtype(self.dataset(name, rank=None).dtype) is not None

    def ragged(self, name: str, kinds: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return the rows of a variable-length dataset, end to end, and their offsets [rows + 1].

        Raises:
            NeurosimFormatError: as `numbers`, or a row outside the heaps of this file.
        """
        import h5py

        node = self.dataset(name)
        kind = h5py.check_vlen_dtype(node.dtype)
        if not isinstance(kind, np.dtype) or kind.kind not in kinds:
            words = "real numbers" if kinds == "f" else "integers"
            raise self.error(f"/{name}", f"rows of {words} of variable length", kind or node.dtype, LAYOUT)
        data, lengths = self._rows(name, self._elements(name, node, ROW), kind.itemsize)
        values = data.view(kind).astype(kind.newbyteorder("="), copy=False)
        return values, np.concatenate([[0], np.cumsum(lengths)])

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the strings of a dataset, of fixed or variable length; several dimensions row by row.

        Raises:
            NeurosimFormatError: as `numbers`, or not UTF-8 text.
        """
        import h5py

        node = self.dataset(name, rank=None)
        info = h5py.check_string_dtype(node.dtype)
        if info is None:
            raise self.error(f"/{name}", "a list of text", node.dtype, LAYOUT)
        if info.length is None:
            data, lengths = self._rows(name, self._elements(name, node, ROW), 1)
            ends = np.cumsum(lengths)
            texts = [data[b - n : b].tobytes() for b, n in zip(ends, lengths, strict=True)]
        else:
            texts = self._elements(name, node, np.dtype(f"S{info.length}")).tolist()
        try:
            return tuple(text.rstrip(b"\0").decode() for text in texts)
        except UnicodeDecodeError:
            raise self.error(f"/{name}", "UTF-8 text", "other bytes") from None

    def _reach(self, name: str, *kinds: str) -> Any:
        """Return the object `name`, through links that stay inside the file."""
        node = self.root
        for part in filter(None, name.split("/")):
            if hasattr(node, "keys"):
                link = node.get(part, getclass=True, getlink=True)
            else:
                link = None
            if link is None:
                names = ", ".join(printable(key) for key in list(self.root)[:6])
                got = f"nothing of that name, and at the top {names or 'nothing'}"
                raise self.error(f"/{name}", "a dataset or group", got, LAYOUT)
            if link.__name__ != "HardLink":
                raise self.error(f"/{name}", "data inside the file", f"a {link.__name__}", COPY)
            node = node[part]
        kind = "Group" if node is self.root else type(node).__name__
        if kind not in kinds:
            raise self.error(f"/{name}", f"a {' or '.join(kinds)}".lower(), f"a {kind}".lower(), LAYOUT)
        return node

    def dataset(self, name: str, length: int | None = None, rank: int | None = 1) -> Any:
        """Return a dataset of the library, of this rank and length; None: of any.

        Raises:
            NeurosimFormatError: absent, outside this file, empty, or of another rank or length.
        """
        node = self._reach(name, "Dataset")
        if node.external or node.is_virtual:
            raise self.error(f"/{name}", "data inside the file", "external storage", COPY)
        if node.shape is None:
            raise self.error(f"/{name}", "data", "an empty dataspace", LAYOUT)
        if rank is None:
            return node
        if node.ndim != rank or (length is not None and len(node) != length):
            count = "any number of" if length is None else length
            raise self.error(f"/{name}", f"a list of {count} entries", node.shape)
        return node

    def check_size(self, name: str, node: Any, dtype: np.dtype) -> int:
        """Return the number of bytes of a dataset, which must not exceed what the file can hold.

        Raises:
            NeurosimFormatError: more.
        """
        size = math.prod(node.shape) * dtype.itemsize
        bound = len(self.raw) * (self.ratio if node.chunks else 1)
        # A chunk is unpacked at once, and may be larger than the dataset.
        chunk = math.prod(node.chunks or (0,)) * dtype.itemsize
        if max(size, chunk) > bound:
            raise self.error(f"/{name}", f"at most {bound} bytes, as the file could hold", f"{size} bytes")
        if node.chunks:
            self.unpacked[name] = size
            total = sum(self.unpacked.values())
            bound = max_unpacked(len(self.raw))
            if total > bound:
                raise self.error(f"/{name}", f"datasets of at most {bound} bytes, as the file could hold", total)
        return size

    def _elements(self, name: str, node: Any, dtype: np.dtype) -> NDArray[Any]:
        """Return all entries of a dataset, end to end, as they are on disk."""
        size = self.check_size(name, node, dtype)
        stored = node.id.get_type().get_size()
        # For rows, the library gives their size in memory.
        if dtype != ROW and stored != dtype.itemsize:
            raise self.error(f"/{name}", f"entries of {dtype.itemsize} bytes", stored, LAYOUT)
        if size == 0:
            return np.empty(0, dtype)
        if node.chunks:
            return self._chunks(name, node, dtype)
        start = node.id.get_offset()
        if start is None:
            # Compact layout: the entries are in the header of the dataset, which the library has read.
            if dtype == ROW or node.id.get_storage_size() != size:
                raise self.error(f"/{name}", f"{size} bytes of data", "none")
            return np.asarray(node[()]).reshape(-1)
        return self.slice(name, start, size).view(dtype)

    def slice(self, name: str, start: int, size: int) -> NDArray[np.uint8]:
        """Return `size` bytes of the file from byte `start` on, which belong to the dataset `name`.

        Raises:
            NeurosimFormatError: the file ends before.
        """
        if not 0 <= start <= start + size <= len(self.raw):
            raise self.error(f"/{name}", f"{size} bytes at byte {start}", f"a file of {len(self.raw)} bytes")
        return self.raw[start : start + size]

    def _chunks(self, name: str, node: Any, dtype: np.dtype) -> NDArray[Any]:
        codes = filters_of(node)
        if not codes <= UNDO.keys():
            self.check_filters(name, node, dtype)
            return read_by_library(self.path, name, node, codes)
        chunks = Chunks(self, name, node, dtype)
        out = np.empty(node.shape, dtype)
        for tile in chunks.infos:
            # The last chunk along a dimension extends beyond the dataset.
            region = tuple(slice(k * c, (k + 1) * c) for k, c in zip(tile, node.chunks, strict=True))
            out[region] = chunks.read(tile)[tuple(slice(n) for n in out[region].shape)]
        return out.reshape(-1)

    def check_filters(self, name: str, node: Any, dtype: np.dtype) -> None:
        """Raise where neither this package nor the library undoes the filters of a dataset.

        Raises:
            NeurosimFormatError: as said.
        """
        if dtype == ROW or not filters_of(node) <= KNOWN:
            names = ", ".join(str(f[3]) for f in filter_list(node))
            expected = "deflate, lzf, blosc, lz4, zstd or nothing"
            raise self.error(f"/{name}", expected, names, "repack it with h5repack")

    def _rows(self, name: str, rows: NDArray[Any], itemsize: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the bytes of variable-length rows, end to end, and the number of items of each row."""
        lengths = rows["length"].astype(np.int64)
        total = int(lengths.sum()) * itemsize
        # Heaps are not compressed: distinct rows fit into the file.
        if total > len(self.raw):
            raise self.error(f"/{name}", f"rows of at most {len(self.raw)} bytes, as the file could hold", total)
        full = np.flatnonzero(lengths)
        needed = lengths[full] * itemsize
        positions, intact = self.heaps.locate(rows[full], needed)
        if not intact.all():
            row = full[np.argmin(intact)]
            raise self.error(f"/{name} row {row}", "a heap object as long as the row", "none at its address")
        out = np.empty(total, np.uint8)
        heaps.gather(self.raw, positions, needed, out)
        return out, lengths


@contextmanager
def open_hdf5(
    path: str | os.PathLike[str], ratio: int = MAX_RATIO, begin: int = 0, *, in_blocks: bool = False
) -> Iterator[HDF5File]:
    """Yield an HDF5 file open for reading; all errors of the library become `NeurosimFormatError`s.

    Args:
        path: of the file.
        ratio: maximum size of a compressed dataset, in sizes of the file.
        begin: byte at which the HDF5 file begins, after other data.
        in_blocks: map the file instead of reading all of it, for datasets that are read in blocks.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not HDF5, or damaged.
    """
    mapped = None
    if in_blocks and file_size(path):
        with open(path, "rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        raw = np.frombuffer(mapped, np.uint8)
    else:
        raw = read_bytes(path)
    check_header(path, raw[begin:])
    # Check before the library reads them: it hangs on some damaged heaps.
    objects = find_objects(path, raw, lambda: _release(mapped))
    with open_root(path) as root:
        yield HDF5File(path=path, root=root, raw=raw, heaps=objects, ratio=ratio, mapped=mapped)


@contextmanager
def open_root(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Yield the root of an HDF5 file as the library opens it; all its errors become `NeurosimFormatError`s."""
    import h5py

    try:
        with h5py.File(path, "r") as root:
            yield root
    except NeurosimError:
        raise
    except (
        OSError,
        RuntimeError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        zlib.error,
        MemoryError,
    ) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise format_error(path, "structure", "an intact HDF5 file", reason, AGAIN) from None


def check_header(path: object, raw: NDArray[np.uint8]) -> None:
    """Refuse another format, and sizes in the header for which the library would allocate memory without a check."""
    head = raw[:64].tobytes()
    if head[:8] != SIGNATURE:
        got = f"{head[:8]!r}" if head else "an empty file"
        raise format_error(path, "byte 0", "the signature of an HDF5 file", got, "is this an HDF5 file? fetch it again")
    if len(head) < 64 or head[8] > 1:
        return
    # Superblock of version 0 or 1: size of an address at byte 13, entries of leaf and inner nodes of groups at 16 and
    # 18, and the address of a block for files in several parts, all ones if there is none.
    leaf, inner = (int.from_bytes(head[at : at + 2], "little") for at in (16, 18))
    if max(80 * leaf, 32 * inner) > raw.size:
        raise format_error(path, "byte 16", "group nodes that fit into the file", f"{leaf} and {inner} entries", AGAIN)
    driver = 48 + 4 * head[8]
    if head[13] != 8 or head[driver : driver + 8] != b"\xff" * 8:
        raise format_error(path, f"byte {driver}", "one file with addresses of 8 bytes", "another kind", AGAIN)


def _release(mapped: mmap.mmap | None) -> None:
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
