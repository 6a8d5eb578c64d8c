"""One file over http or https: resumed where it broke, bounded in size and time, never redirected to plain http."""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from ..base.bars import bar_class, shows_bars
from ..base.rules import Count, Rule, check_rules

if TYPE_CHECKING:
    from tqdm import tqdm

BLOCK = 1 << 18
# Bytes that a try must bring to count as progress; else a server that drops each connection could hold us for ever.
MIN_PROGRESS = 1 << 20
# The largest archive of the catalogue has 1.2 GB.
MAX_BYTES = 8 << 30
STRENGTH = {"http": 0, "https": 1}
# A size that a server states; `isdigit` takes superscripts, and Python refuses thousands of digits.
_NUMBER = re.compile("[0-9]{1,18}")
# Timeout, too early, too many requests, and failures of the server: another try may succeed.
RETRYABLE_STATUS = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class RetryPolicy:
    """Limits of a download: tries, pauses, time and size.

    Attributes:
        attempts: tries in a row that may fail or bring less than `MIN_PROGRESS` bytes.
        pause: seconds before the second try, doubled for each further one, at most 30.
        timeout: seconds without a byte after which a try has failed.
        patience: seconds in which a try must bring its answer, and then again and again `MIN_PROGRESS` bytes or all.
        min_rate: bytes / s; all tries together may take `patience` and the time that the missing bytes take at this
            rate, of the size that the server states, or else of `max_bytes`.
        max_bytes: size above which a file is refused.
    """

    attempts: Count = 4
    pause: Annotated[float, Rule(">= 0 s")] = 0.5
    timeout: Annotated[float, Rule("> 0 s")] = 30.0
    patience: Annotated[float, Rule("> 0 s")] = 300.0
    min_rate: Annotated[float, Rule("> 0 bytes / s")] = 32e3
    max_bytes: int = MAX_BYTES

    def __post_init__(self) -> None:
        check_rules(self)


class Retryable(Exception):
    """A failure that another try may not have."""


class Permanent(Exception):
    """A failure that every further try would have."""


class _Deadline:
    """End of a whole transfer, all tries together: its time grows with the bytes that are missing at the start."""

    def __init__(self, have: int, retries: RetryPolicy) -> None:
        self.have = have
        self.retries = retries
        self.start = time.monotonic()
        self.size = retries.max_bytes

    @property
    def allowed(self) -> float:
        """Return the seconds that the transfer may take, from its start."""
        return self.retries.patience + max(self.size - self.have, 0) / self.retries.min_rate

    @property
    def remaining(self) -> float:
        """Return the seconds until the deadline, negative after it."""
        return self.start + self.allowed - time.monotonic()

    def check(self, now: int) -> None:
        """Raise `Permanent` where the time is over; `now` is the number of bytes of the file that are here."""
        if self.remaining < 0:
            raise Permanent(
                f"{max(now - self.have, 0):,} bytes arrived in {self.allowed:,.0f} s, and a file of at most "
                f"{self.size:,} bytes may take no longer at {self.retries.min_rate / 1e3:g} kB/s "
                "(RetryPolicy.min_rate, --min-rate); run this again to continue"
            )


def may_follow(old: str, new: str) -> bool:
    """Return whether a redirect is to http or https and does not leave https for http."""
    before = STRENGTH.get(urlsplit(old).scheme.lower(), -1)
    after = STRENGTH.get(urlsplit(new).scheme.lower(), -1)
    return after >= max(before, 0)


def transfer(url: str, name: str, file: IO[bytes], retries: RetryPolicy, *, quiet: bool) -> None:
    """Append to `file` the missing part of the content of `url`; `name` stands before the progress bar.

    Raises:
        Permanent: every try failed, or no further one can succeed.
    """
    tqdm = bar_class()
    failures = 0
    have = file.seek(0, os.SEEK_END)
    deadline = _Deadline(have, retries)
    hidden = quiet or not shows_bars()
    with tqdm(desc=name, initial=have, unit="B", unit_scale=True, unit_divisor=1024, delay=1.0, disable=hidden) as bar:
        while True:
            try:
                _request(url, file, retries, deadline, bar)
                return
            except Retryable as error:
                now = file.seek(0, os.SEEK_END)
                # A try that brought something is no failure: large files come over lines that break often.
                if now - have >= MIN_PROGRESS:
                    failures = 0
                else:
                    failures += 1
                have = now
                deadline.check(now)
                if failures >= retries.attempts:
                    raise Permanent(f"{error} ({failures} tries)") from None
                time.sleep(min(retries.pause * 2 ** max(failures - 1, 0), 30.0))


def _request(url: str, file: IO[bytes], retries: RetryPolicy, deadline: _Deadline, bar: tqdm) -> None:
    """Make one request; return when the file has the length that the server states."""
    have = file.seek(0, os.SEEK_END)
    patience = max(min(retries.patience, deadline.remaining), 0.0)
    response = _open(url, file, have, retries, patience)
    if response is None:
        return
    with response:
        start = _start(response, have)
        file.truncate(start)
        length = _NUMBER.fullmatch(response.headers.get("Content-Length") or "")
        end = start + int(length[0]) if length else None
        _check_size(end or 0, file, retries)
        deadline.size = end or retries.max_bytes
        bar.reset(total=end)
        bar.update(start)
        # A try must bring MIN_PROGRESS bytes in every `patience` seconds: bytes and time of the last such mark.
        mark = start
        since = time.monotonic()
        while block := _read(response):
            start += len(block)
            now = time.monotonic()
            if start - mark >= MIN_PROGRESS:
                mark = start
                since = now
            if now - since > retries.patience:
                raise Retryable(f"only {start - mark} bytes arrived in {retries.patience:g} s")
            _check_size(start, file, retries)
            file.write(block)
            bar.update(len(block))
            if start != end:
                deadline.check(start)
    if end is not None and start < end:
        raise Retryable(f"the connection was dropped after {start} of {end} bytes")


def _open(
    url: str, file: IO[bytes], have: int, retries: RetryPolicy, patience: float
) -> http.client.HTTPResponse | None:
    """Return the response with the missing bytes, within `patience` seconds, or None if none are missing."""
    if not may_follow("http:", url):
        raise Permanent("is neither http nor https")
    headers = {"User-Agent": "neurosim", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    connections: list[http.client.HTTPConnection] = []
    opener = urllib.request.build_opener(NoDowngrade(), _HTTP(connections), _HTTPS(connections))
    # The timeout of a socket starts anew with every byte of a header: an alarm bounds the whole answer.
    late = threading.Event()
    alarm = threading.Timer(patience, _hang_up, [connections, late])
    alarm.daemon = True
    alarm.start()
    try:
        with _network():
            response: http.client.HTTPResponse = opener.open(
                urllib.request.Request(url, headers=headers), timeout=retries.timeout
            )
        if late.is_set():
            response.close()
            raise Retryable(f"sent no whole answer in {patience:g} s")
        return response
    except urllib.error.HTTPError as error:
        error.close()
        # 416: no bytes from `have` on. Either the file is complete, or its bytes are of another file.
        if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{have}":
            return None
        if error.code == 416:
            file.truncate(0)
        kind = Retryable if error.code in {416, *RETRYABLE_STATUS} else Permanent
        raise kind(f"the server answered {error.code} {_line(error.reason)}") from None
    finally:
        alarm.cancel()


def _hang_up(connections: Sequence[http.client.HTTPConnection], late: threading.Event) -> None:
    late.set()  # before the connections end, which may look like the end of an answer
    for connection in connections:
        with suppress(OSError, AttributeError):  # not connected, or closed meanwhile
            connection.sock.shutdown(socket.SHUT_RDWR)


def _read(response: http.client.HTTPResponse) -> bytes:
    with _network():
        return response.read1(BLOCK)  # the bytes that have arrived; `read` would wait for all


@contextmanager
def _network() -> Iterator[None]:
    """Turn failures of the network into `Retryable` or `Permanent`; an HTTPError, which is a response, stays."""
    try:
        yield
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise Permanent(f"its certificate cannot be verified ({reason.verify_message})") from None
        raise Retryable(f"could not be reached ({_line(reason) or type(error).__name__})") from None


def _line(words: object) -> str:
    """Return text of urllib or the server, which may be long and hold anything, as part of one line."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(words)).split())[:200]


def _start(response: http.client.HTTPResponse, have: int) -> int:
    """Return the place of the bytes of this response in the file: `have` if the server states it, else 0."""
    stated_range = response.headers.get("Content-Range", "")
    stated = re.match(r"bytes ([0-9]{1,18})-", stated_range)
    if response.status == 206 and stated and int(stated[1]) == have:
        return have
    if response.status == 206:
        raise Permanent(f"the server sent a part that was not requested ({_line(stated_range)})")
    return 0


def _check_size(size: int, file: IO[bytes], retries: RetryPolicy) -> None:
    if size > retries.max_bytes:
        file.truncate(0)
        raise Permanent(f"is larger than the {retries.max_bytes} bytes allowed")


class NoDowngrade(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if not may_follow(req.full_url, newurl):
            with suppress(OSError):
                fp.close()
            raise Permanent(f"redirects to {_line(newurl)}, a weaker connection; refused")
        fp.close()  # else its content would be read, as slowly as it comes
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Listing(urllib.request.AbstractHTTPHandler):
    """A handler that appends its connections to a list."""

    kind: type[http.client.HTTPConnection]

    def __init__(self, connections: list[http.client.HTTPConnection]) -> None:
        super().__init__()
        self.connections = connections

    def request(self, req):
        return self.do_open(self.connect, req)

    def connect(self, host: str, **settings: Any) -> http.client.HTTPConnection:
        self.connections.append(self.kind(host, **settings))
        return self.connections[-1]


class _HTTP(_Listing, urllib.request.HTTPHandler):
    kind = http.client.HTTPConnection
    http_open = _Listing.request


class _HTTPS(_Listing, urllib.request.HTTPSHandler):
    kind = http.client.HTTPSConnection
    https_open = _Listing.request
