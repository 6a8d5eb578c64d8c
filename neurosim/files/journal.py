"""A file that only grows, in blocks that each carry their length and a checksum.

After a kill at any moment it holds every block that was written, and perhaps a part of one more; cut back to a length
noted earlier it is what it was then. A container such as HDF5, whose index is rewritten in place, promises neither.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimFormatError, NeurosimMissingError, NeurosimWriteError
from .raw import bad

MAGIC, VERSION = b"NSJRNL\r\n", 1
# Of the file: magic, version, length and checksum of the JSON that follows.
HEAD = struct.Struct("<8sIII")
# Of a block: its tag, a number of the writer's, how many bytes follow, and the checksum of all but itself.
BLOCK = struct.Struct("<IqQ")
CHECK = struct.Struct("<I")
AGAIN = "resume from an earlier checkpoint, or run anew"


class Block(NamedTuple):
    """What `append` was given."""

    tag: int
    number: int
    data: NDArray[np.uint8]


@final
class Journal:
    """An open journal, at whose end blocks are added.

    Attributes:
        path: of the file.
        about: what it is of, as JSON holds it.
        size: bytes, whole blocks all.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], handle: int, size: int) -> None:
        self.path, self.about, self.size = path, dict(about), size
        self._handle = handle

    @classmethod
    def create(cls, path: str | os.PathLike[str], about: Mapping[str, Any]) -> Journal:
        """An empty journal in place of whatever `path` was.

        Raises:
            NeurosimWriteError: the disk refuses.
        """
        where, text = Path(path), json.dumps(dict(about)).encode()
        head = HEAD.pack(MAGIC, VERSION, len(text), zlib.crc32(text)) + text
        try:
            where.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(where, os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise _refused(where, error) from error
        journal = cls(where, about, handle, 0)
        journal._write(head)
        return journal

    @classmethod
    def reopen(cls, path: str | os.PathLike[str], size: int) -> Journal:
        """A journal to go on with, cut back to its first `size` bytes.

        Raises:
            NeurosimMissingError: no such file.
            NeurosimFormatError: no journal, shorter than `size`, or no block ends there.
            NeurosimWriteError: the disk refuses.
        """
        where = Path(path)
        about = read_about(where)
        ends = end = 0
        for end in _ends(where):
            ends = end if end <= size else ends
            if end >= size:
                break
        if ends != size:
            raise bad(where, f"byte {size}", "the end of a block", f"one that ends at {end}", AGAIN)
        try:
            handle = os.open(where, os.O_RDWR | getattr(os, "O_BINARY", 0))
            os.ftruncate(handle, size)
            os.lseek(handle, size, os.SEEK_SET)
        except OSError as error:
            raise _refused(where, error) from error
        return cls(where, about, handle, size)

    def append(self, tag: int, number: int, parts: Sequence[NDArray]) -> None:
        """Add a block of the bytes of `parts`, end to end.

        Raises:
            NeurosimWriteError: the disk refuses; the journal is as it was.
        """
        views = [np.ascontiguousarray(part).data.cast("B") for part in parts if part.size]
        head = BLOCK.pack(tag, number, sum(len(view) for view in views))
        total = zlib.crc32(head)
        for view in views:
            total = zlib.crc32(view, total)
        self._write(head + CHECK.pack(total), *views)

    def sync(self) -> int:
        """Wait until all is on the disk; returns the size to note.

        Raises:
            NeurosimWriteError: the disk refuses.
        """
        try:
            os.fsync(self._handle)
        except OSError as error:
            raise _refused(self.path, error) from error
        return self.size

    def close(self) -> None:
        """Nothing can be added any more. May be called twice."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _write(self, *parts: bytes | memoryview) -> None:
        try:
            for part in parts:
                view = memoryview(part)
                while view:
                    view = view[os.write(self._handle, view) :]
        except OSError as error:
            os.ftruncate(self._handle, self.size)
            os.lseek(self._handle, self.size, os.SEEK_SET)
            raise _refused(self.path, error) from error
        self.size += sum(len(part) for part in parts)


def read_about(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a journal is of.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: no journal, or of a later version.
    """
    return _head(Path(path))[0]


def read_blocks(path: str | os.PathLike[str]) -> Iterator[Block]:
    """The blocks of a journal, one in memory at a time.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: no journal, damaged, or cut short.
    """
    where = Path(path)
    at = _head(where)[1]
    with open(where, "rb") as file:
        file.seek(at)
        while head := file.read(BLOCK.size + CHECK.size):
            tag, number, length = _block(where, at, head)
            _check_length(where, at, length)
            data = file.read(length)
            if zlib.crc32(data, zlib.crc32(head[: BLOCK.size])) != CHECK.unpack(head[BLOCK.size :])[0]:
                raise bad(where, f"byte {at}", "a block that fits its checksum", "another", AGAIN)
            yield Block(tag, number, np.frombuffer(data, np.uint8))
            at += len(head) + length


def block_sizes(path: str | os.PathLike[str]) -> Iterator[tuple[int, int, int]]:
    """Tag, number and bytes of every block, without reading what is in them.

    Raises:
        NeurosimMissingError, NeurosimFormatError: as `read_blocks`.
    """
    where = Path(path)
    at = _head(where)[1]
    with open(where, "rb") as file:
        file.seek(at)
        while head := file.read(BLOCK.size + CHECK.size):
            tag, number, length = _block(where, at, head)
            _check_length(where, at, length)
            yield tag, number, length
            at += len(head) + length
            file.seek(at)


def _ends(path: Path) -> Iterator[int]:
    """Where the header ends, then every block, up to the first that is not whole."""
    at = _head(path)[1]
    yield at
    try:
        for _, _, length in block_sizes(path):
            at += BLOCK.size + CHECK.size + length
            yield at
    except NeurosimFormatError:
        return


def _head(path: Path) -> tuple[dict[str, Any], int]:
    if not path.is_file():
        raise NeurosimMissingError(f"{path}: no such file; a run that goes on needs what it has written: {AGAIN}")
    with open(path, "rb") as file:
        head = file.read(HEAD.size)
        if len(head) < HEAD.size or head[:8] != MAGIC:
            raise bad(path, "byte 0", "a file of blocks that neurosim began", f"{head[:8]!r}", AGAIN)
        _, version, length, total = HEAD.unpack(head)
        if version > VERSION:
            raise NeurosimFormatError(f"{path}: format up to {VERSION} is known (got {version}); upgrade neurosim")
        _check_length(path, 0, length)
        text = file.read(length)
    if zlib.crc32(text) != total:
        raise bad(path, "byte 8", "a header that fits its checksum", "another", AGAIN)
    return json.loads(text), HEAD.size + length


def _block(path: Path, at: int, head: bytes) -> tuple[int, int, int]:
    if len(head) < BLOCK.size + CHECK.size:
        raise bad(path, f"byte {at}", "the head of a block", f"{len(head)} bytes", AGAIN)
    tag, number, length = BLOCK.unpack_from(head)
    return tag, number, length


def _check_length(path: Path, at: int, length: int) -> None:
    left = path.stat().st_size - at
    if length > left:
        raise bad(path, f"byte {at}", f"{length} bytes", f"{left} to the end of the file", AGAIN)


def _refused(path: Path, error: OSError) -> NeurosimWriteError:
    reason = error.strerror or str(error)
    return NeurosimWriteError(
        f"{path}: could not be written ({reason}); what it held before is kept. Free some space and resume the run"
    )
