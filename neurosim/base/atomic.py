"""Atomic writes: after a kill or a power cut a file is the complete old or the complete new one.

A temporary file in the same folder, fsync, rename, fsync of the folder.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import NeurosimWriteError


@contextmanager
def replacing(path: str | os.PathLike[str], *, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on a failure it is removed.

    Parent folders are created. Close the temporary file before the block ends. `sync=False` leaves it to the system
    when data reach the disk: for many files that can be made again.

    Raises:
        NeurosimWriteError: the disk is full, read-only or otherwise refuses; `path` is unchanged.
    """
    target = Path(path)
    try:
        temporary = _temporary(target)
    except OSError as error:
        raise _refused(target, error) from error
    try:
        yield temporary
        if sync:
            _sync(temporary)
        os.replace(temporary, target)
        if sync:
            # Without this, a power cut may lose the rename, which is data of the folder. Some systems refuse it; the
            # file is in place all the same.
            with suppress(OSError):
                _sync(target.parent)
    except OSError as error:
        raise _refused(target, error) from error
    finally:
        # After the rename nothing is left to remove.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace `path` by `data` in one step.

    Raises:
        NeurosimWriteError: as `replacing`.
    """
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace `path` by `text`, UTF-8, in one step.

    Raises:
        NeurosimWriteError: as `replacing`.
    """
    write_bytes(path, text.encode())


def _temporary(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder")
    # Keep the suffix: writers such as matplotlib choose the format by it.
    handle, name = tempfile.mkstemp(prefix=f".{target.stem[:40]}.", suffix=f".part{target.suffix}", dir=target.parent)
    # mkstemp gives rights to the owner alone; other files get those that the umask leaves.
    mask = os.umask(0)
    os.umask(mask)
    with suppress(OSError):
        os.chmod(name, 0o666 & ~mask)
    os.close(handle)
    return Path(name)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refused(target: Path, error: OSError) -> NeurosimWriteError:
    reason = error.strerror or str(error)
    return NeurosimWriteError(
        f"{target}: could not be written ({reason}); the old file is unchanged. "
        "Free some space or choose another folder"
    )
