"""Resumable, checksummed downloads; an https address is never followed to plain http.

A file arrives as `NAME.part`, is checked against its published checksum and then renamed: a file under its own name is
complete and right. An interrupted download continues where it stopped, if the server allows it.
"""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..base.errors import NeurosimError, NeurosimWriteError, lookup
from .transfer import BLOCK, Permanent, RetryPolicy, transfer

DAY = 86_400.0
DIGESTS = {"md5": lambda: hashlib.md5(usedforsecurity=False), "sha256": hashlib.sha256}


@dataclass(frozen=True)
class DownloadSource:
    """A public archive.

    Attributes:
        url: http or https.
        mirrors: further addresses of the same bytes, tried in order where the ones before fail.
        file: the name it is stored under.
        checksum: "md5:..." or "sha256:...", lower-case hex, as published.
        holds: folder or file that it unpacks to.
        files: number of files there whose names end in `suffix`.
    """

    url: str
    file: str
    checksum: str
    holds: str
    files: int = 1
    suffix: str = ""
    mirrors: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return all addresses, in the order in which they are tried."""
        return (self.url, *self.mirrors)


def fetch_file(
    source: DownloadSource, folder: Path, retries: RetryPolicy | None = None, *, quiet: bool = False
) -> Path:
    """Return the path of `source.file` in `folder`; download it unless it is there and fits its checksum.

    Raises:
        NeurosimError: every try failed; says where to put the file by hand.
        NeurosimWriteError: the disk refuses; the bytes that arrived are kept for the next call.
    """
    retries = retries or RetryPolicy()
    target = folder / source.file
    if target.exists() and digest(target, source.checksum) == source.checksum:
        return target
    part = folder / f"{source.file}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _sole_writer(part) as file:
            _complete_from_any(source, file, retries, quiet=quiet)
        os.replace(part, target)
    except Permanent as error:
        raise NeurosimError(
            f"{error}; get {source.file} by other means, put it at {target}, and run this again"
        ) from None
    except OSError as error:
        raise NeurosimWriteError(
            f"{part}: could not be written ({error.strerror or error}); "
            "free some space or choose another folder, and run this again: it continues where it stopped"
        ) from error
    return target


def digest(path: Path, checksum: str) -> str:
    """Return the checksum of a file, of the same kind and in the same form as `checksum`."""
    kind = checksum.partition(":")[0]
    state = lookup(DIGESTS, kind, "checksum")()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            state.update(block)
    return f"{kind}:{state.hexdigest()}"


def install(
    sources: Sequence[DownloadSource],
    root: Path,
    unpack: Callable[[Path, Path], object],
    retries: RetryPolicy | None = None,
    *,
    quiet: bool = False,
) -> list[Path]:
    """Download each source into `root` and unpack it there, unless `source.holds` is there already.

    The archive is unpacked into a temporary folder and its files are counted before anything moves, so `root` never
    holds a part of it. An archive downloaded here is removed afterwards; one that was already there stays.

    Args:
        unpack: called as `unpack(archive, folder)` with an empty folder; must be safe for hostile archives.

    Returns:
        The unpacked folder or file of each source.

    Raises:
        NeurosimError, NeurosimWriteError: as `fetch_file`, or the archive has another number of files.
    """
    paths = []
    for source in sources:
        goal = root / source.holds
        if not goal.exists():
            ours = not (root / source.file).exists()
            archive = fetch_file(source, root, retries, quiet=quiet)
            _unpack(source, archive, goal, unpack)
            if ours:
                archive.unlink(missing_ok=True)
        paths.append(goal)
    return paths


def count_files(path: Path, suffix: str = "") -> int:
    """Return the number of files under `path` whose names end in `suffix`; 1 if `path` is a file."""
    if path.is_file():
        return 1
    return sum(f.endswith(suffix) for _, _, files in os.walk(path) for f in files)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Wait until no other thread or process is in this context for the same folder; it ends with a process, too."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def scratch(goal: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `goal` and remove it at the end.

    Folders of killed processes, a day old and more, are removed too.

    Raises:
        NeurosimWriteError: the disk refuses, here or in the block.
    """
    prefix = f".{goal.name}-"
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
        for folder in goal.parent.glob(f"{glob.escape(prefix)}*"):
            if time.time() - folder.stat().st_mtime > DAY:
                shutil.rmtree(folder, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=goal.parent))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise NeurosimWriteError(
            f"{goal}: could not be written ({error.strerror or error}); free some space or choose another folder"
        ) from error


def _unpack(source: DownloadSource, archive: Path, goal: Path, unpack: Callable[[Path, Path], object]) -> None:
    with scratch(goal) as staging:
        unpack(archive, staging)
        count = count_files(staging / source.holds, source.suffix)
        if count != source.files:
            raise NeurosimError(
                f"{archive}: holds {count} files in {source.holds}, not {source.files}; remove it and fetch again"
            )
        # One sync for all of up to 60,000 files, before they get the name that means complete.
        getattr(os, "sync", lambda: None)()
        os.replace(staging / source.holds, goal)


@contextmanager
def _sole_writer(part: Path) -> Iterator[IO[bytes]]:
    """Yield the unfinished file, open at its end and locked: two downloads into it would mix their bytes."""
    with open(part, "a+b") as file:
        try:
            import fcntl
        except ImportError:  # no such locks on Windows
            yield file
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NeurosimError(f"{part}: another download is writing it; wait for that to end") from None
        yield file
        file.flush()
        os.fsync(file.fileno())


def _complete_from_any(source: DownloadSource, file: IO[bytes], retries: RetryPolicy, *, quiet: bool) -> None:
    """Complete `file` from the first address that works; bytes of one are continued from the next.

    Raises:
        Permanent: every address failed, each with its reason.
    """
    failures = []
    for address in source.addresses:
        try:
            _complete(source, address, file, retries, quiet=quiet)
            return
        except Permanent as error:
            failures.append(f"{address}: {error}")
    raise Permanent("; ".join(failures))


def _complete(source: DownloadSource, address: str, file: IO[bytes], retries: RetryPolicy, *, quiet: bool) -> None:
    """Complete `file` from an address and check it; if resumed bytes turn out wrong, start once more from nothing."""
    for last in (False, True):
        resumed = file.seek(0, os.SEEK_END) > 0
        transfer(address, source.file, file, retries, quiet=quiet)
        file.flush()
        got = digest(Path(file.name), source.checksum)
        if got == source.checksum:
            return
        # Else the wrong bytes would be resumed for ever.
        file.truncate(0)
        if last or not resumed:
            raise Permanent(f"the bytes that arrived do not fit its checksum (expected {source.checksum}, got {got})")
