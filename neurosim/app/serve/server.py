"""The server itself: uvicorn with bounds, from its start to a signal."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable

import uvicorn

from ...base.errors import NeurosimInputError
from .http import LOOPBACK, make_app
from .service import Service

KEY = "NEUROSIM_API_KEY"  # environment variable
KEEP_ALIVE = 15  # seconds between two requests of a connection
HEADERS = 1 << 14  # bytes of the line and the headers of a request
MORE_CONNECTIONS = 32  # beside those whose requests are written or wait


class _Server(uvicorn.Server):
    """A server that says where it listens."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[int], None]) -> None:
        super().__init__(config)
        self.on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.on_start(self.servers[0].sockets[0].getsockname()[1])


def serve(service: Service, host: str, port: int, on_start: Callable[[int], None]) -> None:
    """Answer requests until the process gets a signal; the arguments are as in `make_server`."""
    # uvicorn ends in order on a signal, and then raises it again.
    with contextlib.suppress(KeyboardInterrupt):
        make_server(service, host, port, on_start).run()


def key_for(host: str) -> str | None:
    """Return the key that clients must send, which the environment has.

    Raises:
        NeurosimInputError: there is none, and other machines reach the address.
    """
    key = os.environ.get(KEY) or None
    if host not in LOOPBACK and key is None:
        raise NeurosimInputError(
            f"--host: {host} is open to other machines; set the environment variable {KEY}, which clients then send, "
            "or leave it at 127.0.0.1"
        )
    return key


def make_server(service: Service, host: str, port: int, on_start: Callable[[int], None]) -> uvicorn.Server:
    """Return the server of a service.

    Args:
        port: 0 for any that is free.
        on_start: called with the port once the server listens.

    Raises:
        NeurosimInputError: an address that other machines reach, and no key is set.
    """
    key = key_for(host)
    limits = service.limits
    config = uvicorn.Config(
        make_app(service, host, key),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        http="h11",
        ws="none",
        lifespan="off",
        server_header=False,
        limit_concurrency=limits.batch + limits.queue + MORE_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=HEADERS,
    )
    return _Server(config, on_start)
