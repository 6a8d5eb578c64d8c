"""A page that shows live answers in a browser: events of the sensor, scores, delays. Served on this machine alone."""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

import numpy as np

from ...base.errors import NeurosimError
from ...data.spikes import Spikes

# Pictures a second, and pixels of their longer side at most.
RATE = 20.0
MAX_SIDE = 96
HOST = "127.0.0.1"


class LivePage:
    """Server of the page and of what it shows, as server-sent events.

    Attributes:
        port: that it listens on.
    """

    def __init__(self, port: int, title: str, classes: tuple[str, ...]) -> None:
        """Listen on a port of this machine; 0 takes a free one.

        Raises:
            NeurosimError: the port is taken.
        """
        self._condition = threading.Condition()
        self._state = ""
        self._number = 0
        self._closed = False
        self._shown = 0.0
        template = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
        facts = json.dumps({"title": title, "classes": classes}).replace("<", "\\u003c")
        self._html = template.replace("FACTS", facts).encode()
        try:
            self._server = ThreadingHTTPServer((HOST, port), self._handler())
        except OSError as error:
            raise NeurosimError(
                f"--page: port {port} cannot be used ({error.strerror or error}); give another, or 0"
            ) from None
        self.port = int(self._server.server_address[1])
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="page", daemon=True).start()

    def show(self, spikes: Spikes, line: dict[str, Any]) -> None:
        """Send an answer and the picture of its packet to the pages that are open, at most `RATE` times a second."""
        now = time.monotonic()
        if now - self._shown < 1 / RATE:
            return
        self._shown = now
        text = json.dumps({**line, "picture": picture(spikes)})
        with self._condition:
            self._state = text
            self._number += 1
            self._condition.notify_all()

    def close(self) -> None:
        """Stop serving."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def _next(self, seen: int) -> tuple[int, str] | None:
        """Return the number and text of the next state after `seen`, once it is there; None at the end."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or self._number > seen)
            return None if self._closed else (self._number, self._state)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        """Return the handler of requests: the page itself, and the answers as a stream of events."""
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/":
                    self._send("text/html; charset=utf-8", page._html)
                elif self.path == "/answers":
                    self._stream()
                else:
                    self.send_error(404)

            def _send(self, kind: str, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _stream(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                seen = 0
                try:
                    while (state := page._next(seen)) is not None:
                        seen, text = state
                        self.wfile.write(f"data: {text}\n\n".encode())
                        self.wfile.flush()
                except OSError:
                    # The browser has closed the page.
                    return

            def log_message(self, *words: object) -> None:
                """Print nothing: standard output has the answers."""

        return Handler


def picture(spikes: Spikes) -> dict[str, object]:
    """Return the numbers of events of a packet by pixel, pooled to at most `MAX_SIDE`, as bytes in base64.

    Sensors without rows and columns are one row; one polarity is two with none in the other.
    """
    shape = (1, 1, spikes.size) if len(spikes.shape) < 2 else spikes.shape[-3:]
    planes, height, width = shape if len(shape) == 3 else (1, *shape)
    pool = -(-max(height, width) // MAX_SIDE)
    rows = -(-height // pool)
    columns = -(-width // pool)
    plane, pixel = np.divmod(spikes.units, height * width)
    place = pixel // width // pool * columns + pixel % width // pool
    counts = np.bincount(np.minimum(plane, 1) * rows * columns + place, minlength=2 * rows * columns)
    data = np.minimum(counts, 255).astype(np.uint8).tobytes()
    return {"rows": rows, "columns": columns, "planes": planes, "counts": base64.b64encode(data).decode()}
