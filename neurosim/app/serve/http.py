"""The HTTP endpoint: completions and chat completions in OpenAI's form, whole or as a stream of events (SSE)."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import asdict
from functools import partial
from typing import Any, final

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .answers import DONE, Answer, event
from .batch import FAILED, LATE, Chunk, Job
from .requests import ApiError, read_request
from .service import Service

BODY_SECONDS = 10.0  # for a body to arrive
GRACE = 10.0  # seconds that a client may take to read the end of a stream
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
CLOSED_REQUEST = 499  # nginx's status of a client that went away


def make_app(service: Service, host: str = "127.0.0.1", key: str | None = None) -> ASGIApp:
    """Return the ASGI application of a service.

    Args:
        host: address that the server listens on. On this machine alone, requests for other names are refused, so that
            no page of a browser reaches the model by a name of its own (DNS rebinding).
        key: clients must send it as `Authorization: Bearer KEY`.
    """
    routes = [
        Route("/v1/models", partial(_models, service), methods=["GET"]),
        Route("/v1/models/{name:path}", partial(_model, service), methods=["GET"]),
        Route("/v1/completions", partial(_complete, service, False), methods=["POST"]),
        Route("/v1/chat/completions", partial(_complete, service, True), methods=["POST"]),
        Route("/health", partial(_health, service), methods=["GET"]),
    ]
    handlers: dict[Any, Any] = {ApiError: _on_api_error, HTTPException: _on_http_error, Exception: _on_error}
    app = Starlette(routes=routes, exception_handlers=handlers)
    return _Guard(app, LOOPBACK if host in LOOPBACK else None, key)


@final
class _Guard:
    """Refuses requests for other hosts, and those without the key.

    Args:
        hosts: names that requests may be for; None for any.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None, key: str | None) -> None:
        self.app = app
        self.hosts = hosts
        self.key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            problem = self._problem(headers)
            if problem is not None:
                await _error_response(problem)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _problem(self, headers: Headers) -> ApiError | None:
        name = _host_name(headers.get("host", ""))
        if self.hosts is not None and name not in self.hosts:
            return ApiError(403, f"host: must be one of {', '.join(sorted(self.hosts))} (got {name!r:.80})")
        if self.key is not None:
            sent = headers.get("authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(sent.encode(), self.key.encode()):
                return ApiError(
                    401, "the API key is missing or wrong; send Authorization: Bearer KEY", code="invalid_api_key"
                )
        return None


def _host_name(host: str) -> str:
    """Return the name in a Host header, without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _json_response(tree: dict[str, object], status: int = 200) -> Response:
    return Response(json.dumps(tree), status, media_type="application/json")


def _error_response(error: ApiError) -> Response:
    return _json_response(error.tree(), error.status)


async def _on_api_error(request: Request, error: ApiError) -> Response:
    return _error_response(error)


async def _on_http_error(request: Request, error: HTTPException) -> Response:
    there = "/v1/models, /v1/completions and /v1/chat/completions"
    words = f"{request.method} {request.url.path:.80}: {error.detail}; there are {there}"
    return _error_response(ApiError(error.status_code, words))


async def _on_error(request: Request, error: Exception) -> Response:
    return _error_response(ApiError(500, f"internal error: {type(error).__name__}"))


async def _models(service: Service, request: Request) -> Response:
    return _json_response({"object": "list", "data": [_about(service)]})


async def _model(service: Service, request: Request) -> Response:
    name = request.path_params["name"]
    if name != service.name:
        raise ApiError(
            404, f"model: must be '{service.name}' (got {name!r:.80})", param="model", code="model_not_found"
        )
    return _json_response(_about(service))


def _about(service: Service) -> dict[str, object]:
    return {"id": service.name, "object": "model", "created": service.created, "owned_by": "neurosim"}


async def _health(service: Service, request: Request) -> Response:
    return _json_response({"status": "ok", **asdict(service.batch.load())})


async def _complete(service: Service, is_chat: bool, request: Request) -> Response:
    """Answer a request for a text."""
    body = await _read_body(request, service.limits.body)
    wanted = read_request(body, service.name, service.limits, chat=is_chat)
    # A long prompt takes its time to become tokens: other requests go on meanwhile.
    job = await asyncio.to_thread(service.job, wanted)
    answer = Answer(service.name, job, is_chat)
    chunks = _Chunks(service, job)
    if wanted.stream:
        return _EventStream(chunks, answer, wanted.usage, service.limits.seconds + GRACE)
    parts: list[str] = []
    end = Chunk("")
    try:
        async with aclosing(chunks.until_end(request.receive)) as received:
            async for chunk in received:
                parts.append(chunk.text)
                end = chunk
    except ClientDisconnect:
        return Response(status_code=CLOSED_REQUEST)
    problem = _failure(end)
    if problem is not None:
        raise problem
    return _json_response(answer.whole("".join(parts), end))


async def _read_body(request: Request, limit: int) -> bytes:
    """Return the body of a request.

    Raises:
        ApiError: it is no JSON, too long, or comes too slowly.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        # Pages of a browser may send other types to any address without asking.
        raise ApiError(415, f"content-type: must be application/json (got {kind!r:.80})")
    length = request.headers.get("content-length", "")
    too_long = ApiError(413, f"the body must have at most {limit} bytes", code="body_too_large")
    if length.isdecimal() and int(length) > limit:
        raise too_long

    async def read() -> bytes:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > limit:
                raise too_long
        return bytes(body)

    try:
        return await asyncio.wait_for(read(), BODY_SECONDS)
    except asyncio.TimeoutError:
        raise ApiError(408, f"the body did not arrive within {BODY_SECONDS:g} s") from None


def _failure(end: Chunk) -> ApiError | None:
    """Return the error of a text that did not come to its end."""
    if end.reason == LATE:
        return ApiError(504, end.problem, code="timeout")
    if end.reason == FAILED:
        return ApiError(500, end.problem)
    return None


@final
class _Chunks:
    """Chunks of a job, from the thread of the batch to the loop of the server.

    Raises:
        ApiError: the queue is full.
    """

    def __init__(self, service: Service, job: Job) -> None:
        # It holds at most one chunk for each token of the job.
        self._queue: asyncio.Queue[Chunk] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def sink(chunk: Chunk) -> None:
            try:
                loop.call_soon_threadsafe(self._queue.put_nowait, chunk)
            except RuntimeError:  # the loop is closed: the server has stopped
                return

        self.cancel: Callable[[], None] = service.submit(job, sink)

    async def until_end(self, receive: Receive) -> AsyncGenerator[Chunk, None]:
        """Yield chunks up to the one with a reason; the job is cancelled if that is not reached.

        Raises:
            ClientDisconnect: the client went away.
        """
        gone = asyncio.create_task(_disconnected(receive))
        try:
            while True:
                get = asyncio.create_task(self._queue.get())
                await asyncio.wait((get, gone), return_when=asyncio.FIRST_COMPLETED)
                if not get.done():
                    get.cancel()
                    raise ClientDisconnect
                chunk = get.result()
                yield chunk
                if chunk.reason:
                    return
        finally:
            gone.cancel()
            self.cancel()


async def _disconnected(receive: Receive) -> None:
    """Return when the client goes away. The body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


@final
class _EventStream(Response):
    """Parts of a text as events.

    Args:
        usage: the counts of tokens are the last part.
        seconds: longest time that it may take.
    """

    media_type = "text/event-stream"

    def __init__(self, chunks: _Chunks, answer: Answer, usage: bool, seconds: float) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        # An empty body has a length of 0, which a stream has not.
        del self.headers["content-length"]
        self.chunks = chunks
        self.answer = answer
        self.usage = usage
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            # A client that reads nothing would otherwise keep its connection for ever.
            await asyncio.wait_for(self._send_all(receive, partial(_send_part, send)), self.seconds)
        except (ClientDisconnect, asyncio.TimeoutError):
            return
        finally:
            self.chunks.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(self, receive: Receive, write: Callable[[bytes], Awaitable[None]]) -> None:
        async with aclosing(self.chunks.until_end(receive)) as received:
            for part in self.answer.first():
                await write(event(part))
            async for chunk in received:
                problem = _failure(chunk)
                if problem is not None:
                    await write(event(problem.tree()))
                    return
                for part in self.answer.parts(chunk, usage=self.usage):
                    await write(event(part))
        await write(DONE)


async def _send_part(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
