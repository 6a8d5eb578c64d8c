"""A server on this machine that drops, lies, redirects and sends wrong bytes."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from neurosim.data.transfer import RetryPolicy

CONTENT = np.random.default_rng(0).bytes(300_000)
HASTE = RetryPolicy(attempts=3, pause=0.0, timeout=60.0)


class Server(ThreadingHTTPServer):
    """Paths choose the behaviour; `asked` keeps every request's path and Range header."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None]] = []
        self.content = CONTENT
        self.release = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Range"]))
        getattr(self, f"do_{self.path.strip('/').replace('-', '_')}")()

    def tries(self) -> int:
        return len(self.server.asked)

    def send(self, body: bytes, status: int = 200, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def ranged(self, stop: int | None = None) -> None:
        """Send what is asked for, but only up to byte `stop` of the whole."""
        content = self.server.content
        start = int(re.match(r"bytes=(\d+)-", self.headers["Range"] or "bytes=0-")[1])  # type: ignore[index]
        if start >= len(content):
            self.send(b"", 416, Content_Range=f"bytes */{len(content)}")
        elif self.headers["Range"]:
            stated = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send(content[start:stop], 206, len(content) - start, Content_Range=stated)
        else:
            self.send(content[:stop], 200, len(content))

    def do_whole(self) -> None:
        self.ranged()

    def do_drops(self) -> None:
        self.ranged(100_000 * self.tries())

    def do_always_short(self) -> None:
        self.ranged(50_000)

    def do_ignores_range(self) -> None:
        content = self.server.content
        self.send(content[: 120_000 if self.tries() == 1 else None], 200, len(content))

    def do_wrong_part(self) -> None:
        self.send(CONTENT[5:], 206, Content_Range="bytes 5-299999/300000")

    def do_wrong_bytes(self) -> None:
        self.send(CONTENT[:-1] + b"!")

    def do_no_length(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CONTENT)

    def do_moved(self) -> None:
        self.send(b"", 302, Location="/whole")

    def do_moved_to_ftp(self) -> None:
        self.send(b"", 302, Location="ftp://127.0.0.1/whole")

    def do_moved_to_file(self) -> None:
        self.send(b"", 302, Location="file:///etc/hostname")

    def do_moved_in_circles(self) -> None:
        self.send(b"", 302, Location="/moved-in-circles")

    def do_missing(self) -> None:
        self.send(b"gone", 404)

    def do_busy_once(self) -> None:
        if self.tries() == 1:
            self.send(b"later", 503)
        else:
            self.ranged()

    def do_always_busy(self) -> None:
        self.send(b"later", 503)

    def do_huge(self) -> None:
        self.send(b"x", 200, 1 << 50)

    def do_endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(bytes(1 << 16))
        except OSError:
            pass

    def do_silent(self) -> None:
        self.server.release.wait(5)

    def drip(self, *pieces: bytes) -> None:
        """Send pieces, and then a byte now and then."""
        try:
            for piece in (*pieces, *[b"x"] * 250):
                self.wfile.write(piece)
                if self.server.release.wait(0.02):
                    return
        except OSError:
            pass

    def do_drips(self) -> None:
        self.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n")

    def do_drips_without_length(self) -> None:
        self.drip(b"HTTP/1.1 200 OK\r\n\r\n")

    def do_drips_a_header(self) -> None:
        self.drip(b"HTTP/1.1 200 OK\r\n", b"X-Long: ")

    def do_drips_a_redirect(self) -> None:
        if self.tries() > 1:
            self.drip(b"HTTP/1.1 302 Found\r\nLocation: /whole\r\nContent-Length: 300000\r\n\r\n")
        else:
            self.send(b"", 302, Location="/drips-a-redirect")

    def do_odd_length(self) -> None:
        self.wfile.write("HTTP/1.1 200 OK\r\nContent-Length: ²³\r\n\r\n".encode("latin-1") + CONTENT)

    def do_long_length(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n" + CONTENT)

    def do_garbage(self) -> None:
        self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")


@contextmanager
def running() -> Iterator[Server]:
    """Yield a server that runs in a thread of this process."""
    with Server() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.release.set()
        server.shutdown()
