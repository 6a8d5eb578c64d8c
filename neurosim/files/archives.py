"""Unpacking zip and tar archives of unknown origin: members stay inside the target, sizes stay bounded."""

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
from typing import IO, NamedTuple, cast

from ..errors import NeurosimFormatError
from .atomic import replacing
from .raw import bad, unreadable

MOST_BYTES = 64 << 30
# The whole of N-MNIST has 70,000.
MOST_FILES = 1_000_000
# Event recordings shrink to a half or a tenth; a bomb to a thousandth. Small archives may do as they like.
RATIO = 200
ALLOWANCE = 64 << 20
PIECE = 1 << 20
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


class Member(NamedTuple):
    """One file of an archive: its name, the size it claims, and how to open it."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def extract(
    archive: str | os.PathLike[str], folder: str | os.PathLike[str], most_bytes: int = MOST_BYTES
) -> list[Path]:
    """Unpack all files of a zip or tar archive (gzip, bzip2 or xz too) into `folder`; folders are made as needed.

    Each file appears whole or not at all; one of the same name is replaced.

    Args:
        most_bytes: what all files together may hold.

    Returns:
        the files, in the archive's order.

    Raises:
        NeurosimMissingError: no such archive.
        NeurosimFormatError: no archive, damaged, a member outside the target or that is no plain file, or one that
            unpacks to more than `most_bytes` or to `RATIO` times the archive's size.
        NeurosimWriteError: the disk is full or read-only.
    """
    try:
        left = min(most_bytes, os.stat(archive).st_size * RATIO + ALLOWANCE)
    except OSError as error:
        raise unreadable(archive, error) from None
    written: list[Path] = []
    for member in _members(archive):
        where = f"member '{member.name[:100]}'"
        if member.size > left or len(written) == MOST_FILES:
            raise bad(archive, where, f"at most {left} bytes more and {MOST_FILES} files", member.size, _DISTRUST)
        target = _inside(archive, folder, member.name)
        # Not synced one by one: 70,000 times that is minutes. Whoever extracts marks the whole as done.
        with replacing(target, sync=False) as temporary, open(temporary, "wb") as out:
            done = sum(out.write(piece) for piece in _pieces(archive, member))
            if done != member.size:
                raise bad(archive, where, f"{member.size} bytes", done, _AGAIN)
        left -= done
        written.append(target)
    return written


def _members(archive: str | os.PathLike[str]) -> Iterator[Member]:
    try:
        yield from _zip_members(archive) if zipfile.is_zipfile(archive) else _tar_members(archive)
    except DAMAGE as error:
        raise _damaged(archive, error) from None


def _zip_members(archive: str | os.PathLike[str]) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _special(archive, info.filename)
            if not info.is_dir():
                yield Member(info.filename, info.file_size, partial(packed.open, info))


def _tar_members(archive: str | os.PathLike[str]) -> Iterator[Member]:
    with tarfile.open(archive, "r:*") as packed:
        for info in packed:
            if not (info.isfile() or info.isdir()):
                raise _special(archive, info.name)
            if info.isfile():
                # None is for what has no contents.
                yield Member(info.name, info.size, cast(Callable[[], IO[bytes]], partial(packed.extractfile, info)))


def _pieces(archive: object, member: Member) -> Iterator[bytes]:
    """The contents, never more than the member claims; what goes wrong in reading is the archive's fault."""
    left = member.size
    try:
        with member.open() as packed:
            # One byte more, to notice a member that goes on.
            while piece := packed.read(min(PIECE, left + 1)):
                left -= len(piece)
                if left < 0:
                    raise ValueError(f"member '{member.name[:100]}' is longer than it claims")
                yield piece
    except DAMAGE as error:
        raise _damaged(archive, error) from None


def _inside(archive: object, folder: str | os.PathLike[str], name: str) -> Path:
    """Where a member goes; refuses absolute names, `..`, drive letters, and links that lead out of the folder."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    root = Path(folder).resolve()
    safe = bool(parts) and not any(part in ("..", "/", "//") or ":" in part or "\0" in part for part in parts)
    target = root.joinpath(*parts) if safe else root
    if target == root or not target.resolve().is_relative_to(root):
        raise bad(archive, f"member '{name[:100]}'", "a name inside the target", "one outside", _DISTRUST)
    return target


def _special(archive: object, name: str) -> NeurosimFormatError:
    return bad(archive, f"member '{name[:100]}'", "a plain file", "a link or device", _DISTRUST)


def _damaged(archive: object, error: Exception) -> NeurosimFormatError:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return bad(archive, "archive", "a sound zip or tar file", reason, _AGAIN)


_AGAIN = "it is damaged: fetch it again"
_DISTRUST = "this archive is not to be trusted: fetch it from its source"
