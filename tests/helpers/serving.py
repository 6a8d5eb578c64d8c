"""A server of a small byte model, on a thread and a port of its own, and plain requests to it."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neurosim.app.serve.limits import Limits
from neurosim.app.serve.server import make_server
from neurosim.app.serve.service import Service
from neurosim.language import LanguageModel

NAME = "small"


@contextmanager
def serving(model: LanguageModel, folder: Path, limits: Limits, threads: int = 1) -> Iterator[tuple[Service, int]]:
    """Yield the service and the port."""
    service = Service.of(NAME, folder, model, limits, threads)
    ports: list[int] = []
    listening = threading.Event()

    def on_start(port: int) -> None:
        ports.append(port)
        listening.set()

    server = make_server(service, "127.0.0.1", 0, on_start)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert listening.wait(30)
        yield service, ports[0]
    finally:
        server.should_exit = True
        thread.join(30)
        service.batch.close()
    assert not thread.is_alive()


def post(port: int, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    """Send a body, JSON unless it is bytes; return the status and the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        fields = {"Content-Type": "application/json"} | {name.replace("_", "-"): own for name, own in headers.items()}
        connection.request("POST", path, sent, fields)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def events(port: int, path: str, body: dict[str, Any]) -> list[Any]:
    """Return the events of a stream, the last of which must be [DONE]."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, json.dumps(body | {"stream": True}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.getheader("content-type", "").startswith("text/event-stream")
        lines = answer.read().decode().split("\n\n")
    finally:
        connection.close()
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]
