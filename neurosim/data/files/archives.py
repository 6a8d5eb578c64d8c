"""Safe unpacking of zip and tar archives of unknown origin: members stay inside the target, sizes are bounded."""

from __future__ import annotations

import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, cast

from ...base.atomic import replacing
from ...base.errors import NeurosimFormatError
from ...base.raw import format_error, unreadable

MAX_BYTES = 64 << 30
# N-MNIST has 70,000.
MAX_FILES = 1_000_000
# Event recordings are compressed 2 to 10 times, a bomb 1,000 times. Archives may unpack to MIN_BOUND in any case.
MAX_RATIO = 200
MIN_BOUND = 64 << 20
PIECE = 1 << 20
_AGAIN = "it is damaged: fetch it again"
_DISTRUST = "this archive is not safe: fetch it from its source"
DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    OverflowError,
)


class _BoundedFile:
    """An unpacked tar file whose headers are short: tarfile reads one, whatever size it claims, as a whole."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= PIECE + 1:
            raise ValueError(f"a header of {size} bytes")
        return self.file.read(size)

    def __getattr__(self, name: str) -> object:
        return getattr(self.file, name)


class _TarFile(tarfile.TarFile):
    def __init__(self, name: Any = None, mode: Any = "r", fileobj: Any = None, **settings: Any) -> None:
        super().__init__(name, mode, _BoundedFile(fileobj), **settings)  # type: ignore[arg-type]


class Member(NamedTuple):
    """A file of an archive: its name, the size it claims, and a function that opens it."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def extract(archive: str | os.PathLike[str], folder: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> list[Path]:
    """Unpack all files of a zip or tar archive (gzip, bzip2 or xz too) into `folder`; folders are created.

    Each file is replaced in one step.

    Args:
        archive: path.
        folder: target.
        max_bytes: of all files together.

    Returns:
        The files, in the order of the archive.

    Raises:
        NeurosimMissingError: no such archive.
        NeurosimFormatError: not an archive, damaged, a member outside the target or not a plain file, or one that
            unpacks to more than `max_bytes` or to `MAX_RATIO` times the archive's size.
        NeurosimWriteError: the disk is full or read-only.
    """
    try:
        budget = min(max_bytes, os.stat(archive).st_size * MAX_RATIO + MIN_BOUND)
    except OSError as error:
        raise unreadable(archive, error) from None
    written: list[Path] = []
    for member in _members(archive):
        where = f"member '{member.name[:100]}'"
        if member.size > budget or len(written) == MAX_FILES:
            bound = f"at most {budget} bytes more and {MAX_FILES} files"
            raise format_error(archive, where, bound, member.size, _DISTRUST)
        target = _inside(archive, folder, member.name)
        # No sync of each file: for 70,000 it takes minutes. The caller syncs once and renames the folder.
        with replacing(target, sync=False) as temporary, open(temporary, "wb") as out:
            done = sum(out.write(piece) for piece in _pieces(archive, member))
            if done != member.size:
                raise format_error(archive, where, f"{member.size} bytes", done, _AGAIN)
        budget -= done
        written.append(target)
    return written


def _members(archive: str | os.PathLike[str]) -> Iterator[Member]:
    try:
        if zipfile.is_zipfile(archive):
            yield from _zip_members(archive)
        else:
            yield from _tar_members(archive)
    except DAMAGE as error:
        raise _damaged(archive, error) from None


def _zip_members(archive: str | os.PathLike[str]) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            # The upper 16 bits are the mode of Unix; 0 where another system wrote the archive.
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _special(archive, info.filename)
            if not info.is_dir():
                yield Member(info.filename, info.file_size, partial(packed.open, info))


def _tar_members(archive: str | os.PathLike[str]) -> Iterator[Member]:
    with open(archive, "rb") as file, _TarFile.open(fileobj=file, mode="r:*") as packed:
        for info in packed:
            if not (info.isfile() or info.isdir()):
                raise _special(archive, info.name)
            if info.isfile():
                # extractfile returns None only for members without content.
                yield Member(info.name, info.size, cast(Callable[[], IO[bytes]], partial(packed.extractfile, info)))


def _pieces(archive: object, member: Member) -> Iterator[bytes]:
    """Yield the content, at most as long as the member claims; errors of reading are errors of the archive."""
    budget = member.size
    try:
        with member.open() as packed:
            # One byte more, to detect a member that is longer.
            while piece := packed.read(min(PIECE, budget + 1)):
                budget -= len(piece)
                if budget < 0:
                    raise ValueError(f"member '{member.name[:100]}' is longer than it claims")
                yield piece
    except DAMAGE as error:
        raise _damaged(archive, error) from None


def _inside(archive: object, folder: str | os.PathLike[str], name: str) -> Path:
    """Return the path of a member; refuse absolute names, `..`, drive letters, and links out of the folder."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    root = Path(folder).resolve()
    unsafe = [part for part in parts if part in ("..", "/", "//") or ":" in part or "\0" in part]
    target = root if unsafe else root.joinpath(*parts)
    # Links below the folder may lead out of it; an empty name is the folder itself.
    if target == root or not target.resolve().is_relative_to(root):
        raise format_error(archive, f"member '{name[:100]}'", "a name inside the target", "one outside", _DISTRUST)
    return target


def _special(archive: object, name: str) -> NeurosimFormatError:
    return format_error(archive, f"member '{name[:100]}'", "a plain file", "a link or device", _DISTRUST)


def _damaged(archive: object, error: Exception) -> NeurosimFormatError:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return format_error(archive, "archive", "an intact zip or tar file", reason, _AGAIN)
