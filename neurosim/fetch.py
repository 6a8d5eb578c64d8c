"""Downloads: resumable, checksummed, in place only when whole, and never over a weaker connection than asked for.

A file arrives as `NAME.part`, is checked against its published checksum and then renamed, so a file under its own name
is always the right one. An interrupted download goes on where it stopped, where the server can.
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

from .errors import NeurosimError, NeurosimWriteError, lookup, require

if TYPE_CHECKING:
    from tqdm import tqdm

BLOCK = 1 << 18
# A try that brought less than this counts as failed, so a server that drips bytes and drops cannot keep us for ever.
PROGRESS = 1 << 20
DAY = 86_400.0
# The largest public archive the catalog knows is 1.2 GB.
LARGEST = 8 << 30
STRENGTH = {"http": 0, "https": 1}
DIGESTS = {"md5": lambda: hashlib.md5(usedforsecurity=False), "sha256": hashlib.sha256}
# Answers that another try may change: timeout, too early, too many requests, and the server's own failures.
PASSING = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Source:
    """A public archive.

    Attributes:
        url: http or https.
        file: the name it is stored under.
        checksum: "md5:..." or "sha256:...", lower-case hex, as published.
        holds: the folder or file that unpacking it gives.
        files: how many files that is, of those that end in `suffix`.
    """

    url: str
    file: str
    checksum: str
    holds: str
    files: int = 1
    suffix: str = ""


@dataclass(frozen=True)
class Patience:
    """How long a download is tried.

    Attributes:
        attempts: tries in a row that may fail or bring less than 1 MiB.
        pause: seconds before the second try, doubled for each further one, at most 30.
        timeout: seconds without a byte until a try has failed.
        largest: bytes; a file beyond is refused.
    """

    attempts: int = 4
    pause: float = 0.5
    timeout: float = 30.0
    largest: int = LARGEST

    def __post_init__(self) -> None:
        require(self.attempts >= 1, "Patience.attempts", "must be >= 1", self.attempts)
        require(self.pause >= 0, "Patience.pause", "must be >= 0 s", self.pause)
        require(self.timeout > 0, "Patience.timeout", "must be > 0 s", self.timeout)


class _Passing(Exception):
    """A try that failed in a way that another may not."""


class _Final(Exception):
    """A try that failed in a way that no other will mend."""


def download(source: Source, folder: Path, patience: Patience | None = None, quiet: bool = False) -> Path:
    """The path of `source.file` in `folder`, downloaded unless it is there and fits its checksum.

    Raises:
        NeurosimError: it could not be had; says where to put it by hand.
        NeurosimWriteError: the disk refused; what has arrived is kept for the next try where possible.
    """
    patience = patience or Patience()
    target = folder / source.file
    if target.exists() and digest(target, source.checksum) == source.checksum:
        return target
    part = folder / f"{source.file}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _sole_writer(part) as file:
            _complete(source, file, patience, quiet)
        os.replace(part, target)
    except _Final as error:
        raise NeurosimError(
            f"{source.url}: {error}; get {source.file} by other means, put it at {target}, and run this again"
        ) from None
    except OSError as error:
        raise NeurosimWriteError(
            f"{part}: could not be written ({error.strerror or error}); "
            "free some space or choose another folder, and run this again: it goes on where it stopped"
        ) from error
    return target


def digest(path: Path, checksum: str) -> str:
    """The checksum of a file, of the same kind as `checksum` and written in the same way."""
    kind = checksum.partition(":")[0]
    state = lookup(DIGESTS, kind, "checksum")()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            state.update(block)
    return f"{kind}:{state.hexdigest()}"


def install(
    sources: Sequence[Source],
    root: Path,
    unpack: Callable[[Path, Path], object],
    patience: Patience | None = None,
    quiet: bool = False,
) -> list[Path]:
    """Download each source into `root` and put what it holds beside it; what is already there is left as it is.

    The archive is unpacked into a folder of its own and its files are counted before anything moves, so `root` never
    holds half of it. An archive downloaded here is removed afterwards; one that was already there stays.

    Args:
        unpack: (archive, folder) unpacks safely into an empty folder.

    Returns:
        What is now there, one path a source.

    Raises:
        NeurosimError: as `download`, or the archive does not hold what it should.
    """
    placed = []
    for source in sources:
        goal = root / source.holds
        if not goal.exists():
            ours = not (root / source.file).exists()
            archive = download(source, root, patience, quiet)
            _unpack(source, archive, goal, unpack)
            if ours:
                archive.unlink(missing_ok=True)
        placed.append(goal)
    return placed


def count_files(path: Path, suffix: str = "") -> int:
    """Files under `path` whose names end in `suffix`; 1 where it is a file itself."""
    return 1 if path.is_file() else sum(f.endswith(suffix) for _, _, files in os.walk(path) for f in files)


def may_follow(old: str, new: str) -> bool:
    """Whether a redirect keeps the connection at least as strong: http or https, and never from https down."""
    before, after = (STRENGTH.get(urlsplit(url).scheme.lower(), -1) for url in (old, new))
    return after >= max(before, 0)


@contextmanager
def scratch(goal: Path) -> Iterator[Path]:
    """A folder beside `goal` to build it in, removed in the end; what killed processes left a day ago goes too.

    Raises:
        NeurosimWriteError: the disk refused, here or in the block.
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


def _unpack(source: Source, archive: Path, goal: Path, unpack: Callable[[Path, Path], object]) -> None:
    with scratch(goal) as staging:
        unpack(archive, staging)
        found = count_files(staging / source.holds, source.suffix)
        if found != source.files:
            raise NeurosimError(
                f"{archive}: holds {found} files in {source.holds}, not {source.files}; remove it and fetch again"
            )
        # Unpacking does not sync each of 60,000 files; this does all, before they get the name that means whole.
        getattr(os, "sync", lambda: None)()
        os.replace(staging / source.holds, goal)


@contextmanager
def _sole_writer(part: Path) -> Iterator[IO[bytes]]:
    """The unfinished file, open at its end; two downloads at once into it would mix their bytes."""
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


def _complete(source: Source, file: IO[bytes], patience: Patience, quiet: bool) -> None:
    """Bring `file` to its end and check it; start once more from nothing where the bytes turn out wrong."""
    for last in (False, True):
        resumed = file.seek(0, os.SEEK_END) > 0
        _arrive(source, file, patience, quiet)
        file.flush()
        got = digest(Path(file.name), source.checksum)
        if got == source.checksum:
            return
        # Wrong bytes would be resumed for ever.
        file.truncate(0)
        if last or not resumed:
            raise _Final(f"the bytes that arrived do not fit its checksum (expected {source.checksum}, got {got})")


def _arrive(source: Source, file: IO[bytes], patience: Patience, quiet: bool) -> None:
    from tqdm import tqdm

    failures = 0
    have = file.seek(0, os.SEEK_END)
    with tqdm(
        desc=source.file, initial=have, unit="B", unit_scale=True, unit_divisor=1024, delay=1.0, disable=quiet or None
    ) as bar:
        while True:
            try:
                _try(source.url, file, patience, bar)
                return
            except _Passing as error:
                now = file.seek(0, os.SEEK_END)
                failures = 0 if now - have >= PROGRESS else failures + 1
                have = now
                if failures >= patience.attempts:
                    raise _Final(f"{error} ({failures} tries)") from None
                time.sleep(min(patience.pause * 2 ** max(failures - 1, 0), 30.0))


def _try(url: str, file: IO[bytes], patience: Patience, bar: tqdm) -> None:
    """One request; returns when the file is whole by the server's own count."""
    have = file.seek(0, os.SEEK_END)
    response = _open(url, file, have, patience.timeout)
    if response is None:
        return
    with response:
        start = _start(response, have)
        file.truncate(start)
        length = response.headers.get("Content-Length") or ""
        end = start + int(length) if length.isdigit() else None
        _check_size(end or 0, file, patience)
        bar.reset(total=end)
        bar.update(start)
        while block := _read(response):
            start += len(block)
            _check_size(start, file, patience)
            file.write(block)
            bar.update(len(block))
    if end is not None and start < end:
        raise _Passing(f"the connection was dropped after {start} of {end} bytes")


def _open(url: str, file: IO[bytes], have: int, timeout: float) -> http.client.HTTPResponse | None:
    """The answer to a request for what is missing; None where nothing is."""
    if not may_follow("http:", url):
        raise _Final("is neither http nor https")
    headers = {"User-Agent": "neurosim", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    opener = urllib.request.build_opener(_NeverDown())
    try:
        with _network():
            return opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{have}":
            return None
        if error.code == 416:
            file.truncate(0)
        kind = _Passing if error.code in {416, *PASSING} else _Final
        raise kind(f"the server answered {error.code} {_line(error.reason)}") from None


def _read(response: http.client.HTTPResponse) -> bytes:
    with _network():
        return response.read(BLOCK)


@contextmanager
def _network() -> Iterator[None]:
    """Failures of the network as `_Passing` or `_Final`; an answer the server gave stays an HTTPError."""
    try:
        yield
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise _Final(f"its certificate is not to be trusted ({reason.verify_message})") from None
        raise _Passing(f"could not be reached ({_line(reason) or type(error).__name__})") from None


def _line(words: object) -> str:
    """What urllib or the server said, as part of one line: it may be long and hold anything."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(words)).split())[:200]


def _start(response: http.client.HTTPResponse, have: int) -> int:
    """Where the bytes of this answer belong: at `have` only if the server says so, else at the start."""
    stated_range = response.headers.get("Content-Range", "")
    stated = re.match(r"bytes (\d+)-", stated_range)
    if response.status == 206 and stated and int(stated[1]) == have:
        return have
    if response.status == 206:
        raise _Final(f"the server sent a part that was not asked for ({_line(stated_range)})")
    return 0


def _check_size(size: int, file: IO[bytes], patience: Patience) -> None:
    if size > patience.largest:
        file.truncate(0)
        raise _Final(f"is larger than the {patience.largest} bytes allowed")


class _NeverDown(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if not may_follow(req.full_url, newurl):
            with suppress(OSError):
                fp.close()
            raise _Final(f"redirects to {_line(newurl)}, a weaker connection; refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
