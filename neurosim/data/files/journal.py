"""A file that only grows, in blocks that each carry their length and a checksum.

After a kill at any moment it holds every block that was written, and perhaps a part of one more; truncated to an
earlier length it is equal to its earlier state. HDF5, whose index is rewritten in place, guarantees neither.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimFormatError, NeurosimMissingError, NeurosimWriteError
from ...base.plain import PlainTree
from ...base.raw import format_error

MAGIC = b"NSJRNL\r\n"
VERSION = 1
# Head of the file: magic, version, length and checksum of the JSON that follows.
HEAD = struct.Struct("<8sIII")
# Head of a block: tag, a number of the writer, number of bytes that follow, and the checksum of all but itself.
BLOCK = struct.Struct("<IqQ")
CHECK = struct.Struct("<I")
AGAIN = "resume from an earlier checkpoint, or start again"


class JournalBlock(NamedTuple):
    """Arguments of `append`, and the size of the journal up to and with the block."""

    tag: int
    number: int
    data: NDArray[np.uint8]
    end: int


@final
class Journal:
    """A journal open for appending.

    Attributes:
        path: of the file.
        about: description of its content, as JSON holds it.
        size: bytes of all complete blocks.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], handle: int, size: int) -> None:
        self.path = path
        self.about = dict(about)
        self.size = size
        self._handle = handle

    @classmethod
    def create(cls, path: str | os.PathLike[str], about: Mapping[str, Any]) -> Journal:
        """Replace `path` by an empty journal.

        Raises:
            NeurosimWriteError: the disk refuses.
        """
        where = Path(path)
        text = json.dumps(dict(about)).encode()
        head = HEAD.pack(MAGIC, VERSION, len(text), zlib.crc32(text)) + text
        try:
            where.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(where, os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise _refused(where, error) from error
        journal = cls(where, about, handle, 0)
        try:
            journal._write(head)
        except NeurosimWriteError:
            journal.close()
            raise
        return journal

    @classmethod
    def reopen(cls, path: str | os.PathLike[str], size: int) -> Journal:
        """Open a journal to continue it, truncated to its first `size` bytes.

        Raises:
            NeurosimMissingError: no such file.
            NeurosimFormatError: not a journal, shorter than `size`, or no block ends there.
            NeurosimWriteError: the disk refuses.
        """
        where = Path(path)
        about = read_about(where)
        # The journal is intact up to its first block that ends at `size` or beyond.
        end = 0
        for end in _ends(where):
            if end >= size:
                break
        if end != size:
            raise format_error(where, f"byte {size}", "the end of a block", f"one that ends at {end}", AGAIN)
        try:
            handle = os.open(where, os.O_RDWR | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise _refused(where, error) from error
        journal = cls(where, about, handle, size)
        try:
            os.ftruncate(handle, size)
            os.lseek(handle, size, os.SEEK_SET)
        except OSError as error:
            journal.close()
            raise _refused(where, error) from error
        return journal

    def append(self, tag: int, number: int, parts: Sequence[NDArray[Any]]) -> None:
        """Append a block of the bytes of `parts`, end to end.

        Raises:
            NeurosimWriteError: the disk refuses; the journal is unchanged.
        """
        views = [np.ascontiguousarray(part).data.cast("B") for part in parts if part.size]
        head = BLOCK.pack(tag, number, sum(len(view) for view in views))
        total = zlib.crc32(head)
        for view in views:
            total = zlib.crc32(view, total)
        self._write(head + CHECK.pack(total), *views)

    def sync(self) -> int:
        """Wait until all blocks are on the disk; return the size.

        Raises:
            NeurosimWriteError: the disk refuses.
        """
        try:
            os.fsync(self._handle)
        except OSError as error:
            raise _refused(self.path, error) from error
        return self.size

    def close(self) -> None:
        """Close the file. May be called twice."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _write(self, *parts: bytes | memoryview) -> None:
        try:
            # After an interrupt a part of a block may lie behind the last complete one.
            os.lseek(self._handle, self.size, os.SEEK_SET)
            for part in parts:
                view = memoryview(part)
                while view:
                    view = view[os.write(self._handle, view) :]
        except OSError as error:
            # Remove the part of the block that was written: the journal ends with a complete one.
            os.ftruncate(self._handle, self.size)
            os.lseek(self._handle, self.size, os.SEEK_SET)
            raise _refused(self.path, error) from error
        self.size += sum(len(part) for part in parts)


def read_about(path: str | os.PathLike[str]) -> PlainTree:
    """Return the description of a journal.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not a journal, or of a later version.
    """
    return _head(Path(path))[0]


def read_blocks(path: str | os.PathLike[str]) -> Iterator[JournalBlock]:
    """Yield the blocks of a journal, one in memory at a time.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not a journal, damaged, or cut short.
    """
    for file, at, head, (tag, number, length) in _blocks(Path(path)):
        data = file.read(length)
        if zlib.crc32(data, zlib.crc32(head[: BLOCK.size])) != CHECK.unpack(head[BLOCK.size :])[0]:
            raise format_error(path, f"byte {at}", "a block that fits its checksum", "another", AGAIN)
        yield JournalBlock(tag, number, np.frombuffer(data, np.uint8), at + len(head) + length)


def block_sizes(path: str | os.PathLike[str]) -> Iterator[tuple[int, int, int]]:
    """Yield tag, number and bytes of every block, without reading its data.

    Raises:
        NeurosimMissingError, NeurosimFormatError: as `read_blocks`.
    """
    return (about for _, _, _, about in _blocks(Path(path)))


def _ends(path: Path) -> Iterator[int]:
    """Yield the end of the header, then of every block, up to the first that is not complete."""
    yield _head(path)[1]
    with suppress(NeurosimFormatError):
        for _, at, head, (_, _, length) in _blocks(path):
            yield at + len(head) + length


def _blocks(path: Path) -> Iterator[tuple[IO[bytes], int, bytes, tuple[int, int, int]]]:
    """Yield, of every block: the file at its data, its place, its head, and its tag, number and length."""
    at = _head(path)[1]
    with open(path, "rb") as file:
        file.seek(at)
        while head := file.read(BLOCK.size + CHECK.size):
            if len(head) < BLOCK.size + CHECK.size:
                raise format_error(path, f"byte {at}", "the head of a block", f"{len(head)} bytes", AGAIN)
            tag, number, length = BLOCK.unpack_from(head)
            _check_length(path, at, length)
            yield file, at, head, (tag, number, length)
            at += len(head) + length
            file.seek(at)


def _head(path: Path) -> tuple[PlainTree, int]:
    """Return the header of a journal, and the byte behind it."""
    if not path.is_file():
        raise NeurosimMissingError(
            f"{path}: no such file; to continue, a run needs the files that it has written: {AGAIN}"
        )
    with open(path, "rb") as file:
        head = file.read(HEAD.size)
        if len(head) < HEAD.size or head[:8] != MAGIC:
            raise format_error(path, "byte 0", "a journal of neurosim", f"{head[:8]!r}", AGAIN)
        _, version, length, total = HEAD.unpack(head)
        if version > VERSION:
            raise NeurosimFormatError(f"{path}: format up to {VERSION} is known (got {version}); upgrade neurosim")
        _check_length(path, 0, length)
        text = file.read(length)
    if zlib.crc32(text) != total:
        raise format_error(path, "byte 8", "a header that fits its checksum", "another", AGAIN)
    return json.loads(text), HEAD.size + length


def _check_length(path: Path, at: int, length: int) -> None:
    left = path.stat().st_size - at
    if length > left:
        raise format_error(path, f"byte {at}", f"{length} bytes", f"{left} to the end of the file", AGAIN)


def _refused(path: Path, error: OSError) -> NeurosimWriteError:
    reason = error.strerror or str(error)
    return NeurosimWriteError(
        f"{path}: could not be written ({reason}); its earlier blocks are kept. Free some space and resume the run"
    )
