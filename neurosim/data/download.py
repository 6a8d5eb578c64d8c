"""Resumable, checksummed downloads, never over a weaker connection than the one asked for.

A file arrives as `NAME.part`, is checked against its published checksum and then renamed: a file under its own name is
complete and right. An interrupted download continues where it stopped, if the server allows it.
"""

from __future__ import annotations

import glob
import hashlib
import http.client
import os
import re
import shutil
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import NeurosimError, NeurosimWriteError, check_fields, lookup

if TYPE_CHECKING:
    from tqdm import tqdm

BLOCK = 1 << 18
# Bytes that a try must bring to count as progress; else a server that drops each connection could hold us for ever.
MIN_PROGRESS = 1 << 20
DAY = 86_400.0
# The largest archive of the catalogue has 1.2 GB.
MAX_BYTES = 8 << 30
STRENGTH = {"http": 0, "https": 1}
DIGESTS = {"md5": lambda: hashlib.md5(usedforsecurity=False), "sha256": hashlib.sha256}
# Timeout, too early, too many requests, and failures of the server: another try may succeed.
RETRYABLE_STATUS = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class DownloadSource:
    """A public archive.

    Attributes:
        url: http or https.
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


@dataclass(frozen=True)
class RetryPolicy:
    """When a download is tried again, and when it is given up.

    Attributes:
        attempts: tries in a row that may fail or bring less than `MIN_PROGRESS` bytes.
        pause: seconds before the second try, doubled for each further one, at most 30.
        timeout: seconds without a byte after which a try has failed.
        max_bytes: size above which a file is refused.
    """

    attempts: int = 4
    pause: float = 0.5
    timeout: float = 30.0
    max_bytes: int = MAX_BYTES

    def __post_init__(self) -> None:
        check_fields(self, {"attempts": ">= 1", "pause": ">= 0 s", "timeout": "> 0 s"})


class _Retryable(Exception):
    """A failure that another try may not have."""


class _Permanent(Exception):
    """A failure that every further try would have."""


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
            _complete(source, file, retries, quiet=quiet)
        os.replace(part, target)
    except _Permanent as error:
        raise NeurosimError(
            f"{source.url}: {error}; get {source.file} by other means, put it at {target}, and run this again"
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
    placed = []
    for source in sources:
        goal = root / source.holds
        if not goal.exists():
            ours = not (root / source.file).exists()
            archive = fetch_file(source, root, retries, quiet=quiet)
            _unpack(source, archive, goal, unpack)
            if ours:
                archive.unlink(missing_ok=True)
        placed.append(goal)
    return placed


def count_files(path: Path, suffix: str = "") -> int:
    """Return the number of files under `path` whose names end in `suffix`; 1 if `path` is a file."""
    return 1 if path.is_file() else sum(f.endswith(suffix) for _, _, files in os.walk(path) for f in files)


def may_follow(old: str, new: str) -> bool:
    """Return whether a redirect is to http or https and does not leave https for http."""
    before, after = (STRENGTH.get(urlsplit(url).scheme.lower(), -1) for url in (old, new))
    return after >= max(before, 0)


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
    """Yield a temporary folder beside `goal`, removed at the end, as are those that killed processes left a day ago.

    Raises:
        NeurosimWriteError: the disk refuses, here or in the block.
    """
    prefix = f".{goal.name}-"
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
        for left in goal.parent.glob(f"{glob.escape(prefix)}*"):
            if time.time() - left.stat().st_mtime > DAY:
                shutil.rmtree(left, ignore_errors=True)
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
        found = count_files(staging / source.holds, source.suffix)
        if found != source.files:
            raise NeurosimError(
                f"{archive}: holds {found} files in {source.holds}, not {source.files}; remove it and fetch again"
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


def _complete(source: DownloadSource, file: IO[bytes], retries: RetryPolicy, *, quiet: bool) -> None:
    """Complete `file` and check it; if resumed bytes turn out wrong, start once more from nothing."""
    for last in (False, True):
        resumed = file.seek(0, os.SEEK_END) > 0
        _transfer(source, file, retries, quiet=quiet)
        file.flush()
        got = digest(Path(file.name), source.checksum)
        if got == source.checksum:
            return
        # Else the wrong bytes would be resumed for ever.
        file.truncate(0)
        if last or not resumed:
            raise _Permanent(f"the bytes that arrived do not fit its checksum (expected {source.checksum}, got {got})")


def _transfer(source: DownloadSource, file: IO[bytes], retries: RetryPolicy, *, quiet: bool) -> None:
    from tqdm import tqdm

    failures = 0
    have = file.seek(0, os.SEEK_END)
    with tqdm(
        desc=source.file, initial=have, unit="B", unit_scale=True, unit_divisor=1024, delay=1.0, disable=quiet or None
    ) as bar:
        while True:
            try:
                _request(source.url, file, retries, bar)
                return
            except _Retryable as error:
                now = file.seek(0, os.SEEK_END)
                failures = 0 if now - have >= MIN_PROGRESS else failures + 1
                have = now
                if failures >= retries.attempts:
                    raise _Permanent(f"{error} ({failures} tries)") from None
                time.sleep(min(retries.pause * 2 ** max(failures - 1, 0), 30.0))


def _request(url: str, file: IO[bytes], retries: RetryPolicy, bar: tqdm) -> None:
    """Make one request; return when the file has the length that the server states."""
    have = file.seek(0, os.SEEK_END)
    response = _open(url, file, have, retries.timeout)
    if response is None:
        return
    with response:
        start = _start(response, have)
        file.truncate(start)
        length = response.headers.get("Content-Length") or ""
        end = start + int(length) if length.isdigit() else None
        _check_size(end or 0, file, retries)
        bar.reset(total=end)
        bar.update(start)
        while block := _read(response):
            start += len(block)
            _check_size(start, file, retries)
            file.write(block)
            bar.update(len(block))
    if end is not None and start < end:
        raise _Retryable(f"the connection was dropped after {start} of {end} bytes")


def _open(url: str, file: IO[bytes], have: int, timeout: float) -> http.client.HTTPResponse | None:
    """Return the response with the missing bytes, or None if none are missing."""
    if not may_follow("http:", url):
        raise _Permanent("is neither http nor https")
    headers = {"User-Agent": "neurosim", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    opener = urllib.request.build_opener(_NoDowngrade())
    try:
        with _network():
            return opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{have}":
            return None
        if error.code == 416:
            file.truncate(0)
        kind = _Retryable if error.code in {416, *RETRYABLE_STATUS} else _Permanent
        raise kind(f"the server answered {error.code} {_line(error.reason)}") from None


def _read(response: http.client.HTTPResponse) -> bytes:
    with _network():
        return response.read(BLOCK)


@contextmanager
def _network() -> Iterator[None]:
    """Turn failures of the network into `_Retryable` or `_Permanent`; an HTTPError, which is a response, stays."""
    try:
        yield
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise _Permanent(f"its certificate cannot be verified ({reason.verify_message})") from None
        raise _Retryable(f"could not be reached ({_line(reason) or type(error).__name__})") from None


def _line(words: object) -> str:
    """Return text of urllib or the server, which may be long and hold anything, as part of one line."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(words)).split())[:200]


def _start(response: http.client.HTTPResponse, have: int) -> int:
    """Return where the bytes of this response belong: at `have` only if the server says so, else at 0."""
    stated_range = response.headers.get("Content-Range", "")
    stated = re.match(r"bytes (\d+)-", stated_range)
    if response.status == 206 and stated and int(stated[1]) == have:
        return have
    if response.status == 206:
        raise _Permanent(f"the server sent a part that was not requested ({_line(stated_range)})")
    return 0


def _check_size(size: int, file: IO[bytes], retries: RetryPolicy) -> None:
    if size > retries.max_bytes:
        file.truncate(0)
        raise _Permanent(f"is larger than the {retries.max_bytes} bytes allowed")


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if not may_follow(req.full_url, newurl):
            with suppress(OSError):
                fp.close()
            raise _Permanent(f"redirects to {_line(newurl)}, a weaker connection; refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
