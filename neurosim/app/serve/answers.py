"""Answers in OpenAI's form: whole ones, and the parts of a stream."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field

from .batch import Chunk, Job


@dataclass(frozen=True)
class Answer:
    """Form of the answers to one request.

    Attributes:
        model: its name.
        job: what is written.
        is_chat: the request is a conversation.
        id, created: of the answer.
    """

    model: str
    job: Job
    is_chat: bool
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, end: Chunk) -> dict[str, object]:
        """Return the answer with all of its text."""
        if self.is_chat:
            part: dict[str, object] = {"message": {"role": "assistant", "content": text, "refusal": None}}
            kind = "chat.completion"
        else:
            part = {"text": text}
            kind = "text_completion"
        return {**self._head(kind), "choices": [self._choice(part, end.reason)], "usage": self._usage(end)}

    def first(self) -> list[dict[str, object]]:
        """Return the parts of a stream that come before the text."""
        if not self.is_chat:
            return []
        return [self._part({"delta": {"role": "assistant", "content": ""}}, "")]

    def parts(self, chunk: Chunk, *, usage: bool) -> list[dict[str, object]]:
        """Return the parts of a stream for a chunk: its text, and at the end the reason and the counts."""
        parts = []
        if chunk.text:
            parts.append(self._text_part(chunk.text, ""))
        if chunk.reason:
            parts.append(self._text_part("", chunk.reason))
            if usage:
                parts.append({**self._head(self._stream_kind), "choices": [], "usage": self._usage(chunk)})
        return parts

    @property
    def _stream_kind(self) -> str:
        return "chat.completion.chunk" if self.is_chat else "text_completion"

    def _text_part(self, text: str, reason: str) -> dict[str, object]:
        if not self.is_chat:
            return self._part({"text": text}, reason)
        return self._part({"delta": {"content": text} if text else {}}, reason)

    def _part(self, part: dict[str, object], reason: str) -> dict[str, object]:
        return {**self._head(self._stream_kind), "choices": [self._choice(part, reason)]}

    def _head(self, kind: str) -> dict[str, object]:
        prefix = "chatcmpl" if self.is_chat else "cmpl"
        return {"id": f"{prefix}-{self.id}", "object": kind, "created": self.created, "model": self.model}

    @staticmethod
    def _choice(part: dict[str, object], reason: str) -> dict[str, object]:
        return {"index": 0, **part, "logprobs": None, "finish_reason": reason or None}

    def _usage(self, end: Chunk) -> dict[str, object]:
        prompt = len(self.job.prompt)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": end.written,
            "total_tokens": prompt + end.written,
            "prompt_tokens_details": {"cached_tokens": end.reused},
        }


def event(tree: dict[str, object]) -> bytes:
    """Return an event of a stream (SSE)."""
    # json writes no line breaks, which would end the event.
    return f"data: {json.dumps(tree, ensure_ascii=False)}\n\n".encode()


DONE = b"data: [DONE]\n\n"
