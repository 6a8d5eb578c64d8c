"""Bodies of requests in OpenAI's form, checked field by field, and errors in that form."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ...base.errors import NeurosimError
from ...language.attention.chat import Message
from .limits import Limits

# Entries without an effect on the text, which clients send to name a user or a place to store it.
IGNORED = frozenset(("model", "user", "metadata", "store", "service_tier", "safety_identifier")) | frozenset(
    ("prompt_cache_key", "parallel_tool_calls")
)
# Entries that are taken only with the value that changes nothing: they are not offered.
NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "n": (None, 1),
    "best_of": (None, 1),
    "echo": (None, False),
    "suffix": (None, ""),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "logit_bias": (None, {}),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
}
COMMON = frozenset({"max_tokens", "temperature", "top_p", "seed", "stop", "stream", "stream_options"})
COMPLETION = COMMON | {"prompt"}
CHAT = COMMON | {"messages", "max_completion_tokens"}
DEFAULT_TOKENS = 16  # of a completion without max_tokens, as OpenAI's
MAX_SEED = 2**63
ROLES = ("system", "developer", "user", "assistant")
Value = TypeVar("Value")


class ApiError(Exception):
    """Error that a client gets: a status, a sentence, and the entry of the request that is meant."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code

    def tree(self) -> dict[str, object]:
        """Return the body of the answer."""
        kinds = {400: "invalid_request_error", 401: "authentication_error", 404: "invalid_request_error"}
        kind = kinds.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        if self.status == 429:
            kind = "rate_limit_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


@dataclass(frozen=True)
class TextRequest:
    """Request of a client.

    Attributes:
        prompt: a text or token ids; None of a conversation.
        messages: a conversation; empty of a completion.
        tokens: largest number of tokens to write; None for as many as fit.
        stream: parts of the text are sent as they come; `usage` follows at the end.
    """

    prompt: str | tuple[int, ...] | None
    messages: tuple[Message, ...]
    tokens: int | None
    temperature: float
    top_p: float
    seed: int
    stops: tuple[str, ...]
    stream: bool
    usage: bool


def read_request(body: bytes, model: str, limits: Limits, *, chat: bool) -> TextRequest:
    """Return the request in a body.

    Raises:
        ApiError: no JSON, an unknown entry, or a value that breaks its rule: names it.
    """
    tree = _read_entries(body, model, CHAT if chat else COMPLETION)
    take = _Entries(tree)
    tokens = take("max_tokens", _is_count, "an integer of at least 1", None)
    if chat:
        tokens = take("max_completion_tokens", _is_count, "an integer of at least 1", tokens)
    elif tokens is None:
        tokens = DEFAULT_TOKENS
    options: dict[str, Any] = take("stream_options", lambda v: isinstance(v, dict), "an object", {})
    return TextRequest(
        prompt=None if chat else _prompt(tree.get("prompt")),
        messages=_messages(tree.get("messages")) if chat else (),
        tokens=tokens,
        temperature=float(take("temperature", _between(0, 2), "a number from 0 to 2", 1.0)),
        top_p=float(take("top_p", lambda v: _between(0, 1)(v) and v > 0, "a number > 0 and <= 1", 1.0)),
        seed=take("seed", _is_integer, "an integer", secrets.randbits(62)) % MAX_SEED,
        stops=_stops(tree.get("stop"), limits),
        stream=take("stream", lambda v: isinstance(v, bool), "true or false", False),
        usage=options.get("include_usage") is True,
    )


def _read_entries(body: bytes, model: str, known: Collection[str]) -> Mapping[str, Any]:
    """Return the entries of a body, whose names are known and whose model is this one.

    Raises:
        ApiError: no JSON, another model, or an unknown entry.
    """
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError):
        raise ApiError(400, "the body must be JSON in UTF-8") from None
    if not isinstance(tree, dict):
        raise ApiError(400, "the body must be a JSON object")
    named = tree.get("model")
    if named != model:
        raise ApiError(
            404, f"model: must be '{model}', see /v1/models (got {named!r:.80})", param="model", code="model_not_found"
        )
    for name, value in tree.items():
        if name in NEUTRAL:
            # true is no 1 here, while 0.0 is 0.
            if not any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in NEUTRAL[name]):
                raise ApiError(400, f"{name}: is not offered; leave it out (got {value!r:.80})", param=name)
        elif name not in known and name not in IGNORED:
            raise ApiError(400, f"{name}: unknown entry (got {value!r:.80})", param=f"{name:.80}")
    return tree


class _Entries:
    """Entries of a request by name, each with its rule and default."""

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self.tree = tree

    def __call__(self, name: str, holds: Callable[[Any], bool], rule: str, default: Value) -> Value:
        value = self.tree.get(name)
        if value is None:
            return default
        if not holds(value):
            raise ApiError(400, f"{name}: must be {rule} (got {value!r:.80})", param=name)
        checked: Value = value
        return checked


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_integer(value) and value >= 1


def _between(low: float, high: float) -> Callable[[Any], bool]:
    def holds(value: Any) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        # NaN is in no range, and an integer of any size is compared as it is.
        return number and low <= value <= high

    return holds


def _prompt(value: Any) -> str | tuple[int, ...]:
    """Return the prompt of a completion: a text, token ids, or a list of one of them."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str | list):
        value = value[0]
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(_is_integer(token) for token in value):
        return tuple(value)
    raise ApiError(400, f"prompt: must be one text, or one list of token ids (got {value!r:.80})", param="prompt")


def _messages(value: Any) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise ApiError(400, "messages: must be a list of at least one message", param="messages")
    return tuple(_message(each, f"messages[{place}]") for place, each in enumerate(value))


def _message(value: Any, name: str) -> Message:
    if not isinstance(value, dict) or value.get("role") not in ROLES:
        raise ApiError(400, f"{name}.role: must be one of {', '.join(ROLES)}", param="messages")
    content = value.get("content")
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        texts = [part for part in parts if isinstance(part, str)]
        if len(texts) == len(content):
            content = "".join(texts)
    if not isinstance(content, str):
        raise ApiError(400, f"{name}.content: must be text, or a list of parts of type text", param="messages")
    # "developer" is the name of newer clients for what templates know as "system".
    role = "system" if value["role"] == "developer" else value["role"]
    return {"role": role, "content": content}


def _stops(value: Any, limits: Limits) -> tuple[str, ...]:
    if value is None:
        return ()
    stops = [value] if isinstance(value, str) else value
    fine = isinstance(stops, list) and len(stops) <= limits.stops
    if not fine or not all(isinstance(stop, str) and 0 < len(stop) <= limits.stop_size for stop in stops):
        rule = f"at most {limits.stops} texts of 1 to {limits.stop_size} characters"
        raise ApiError(400, f"stop: must be {rule} (got {value!r:.80})", param="stop")
    return tuple(stops)


def as_api_error(error: NeurosimError, param: str) -> ApiError:
    """Return the error of a text that the model or its template refuses."""
    return ApiError(400, str(error), param=param)
