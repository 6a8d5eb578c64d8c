"""Conversations as prompts: the chat template beside a tokenizer, and the tokens that end a text."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, final

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ...base.errors import NeurosimFormatError, NeurosimInputError
from .added_tokens import CONFIG, SPECIAL_MAP, decode_utf8, read_object, text_of
from .tokenizer import CHAT, Tokenizer, read_generation, tokenizer_folder

Message = Mapping[str, str]
"""Entries `role` and `content`."""

# For models without a template of their own, which have seen no other form of a conversation than a printed one.
PLAIN = """\
{% for message in messages %}{{ {"user": "User: ", "assistant": "Assistant: "}.get(message.role, "") }}\
{{ message.content }}

{% endfor %}Assistant:"""
PLAIN_STOP = "\nUser:"  # where such a model goes on to write the other side


@final
class ChatTemplate:
    """A jinja template that turns messages into a prompt, in a sandbox.

    Args:
        source: text of the template, as in `tokenizer_config.json`.
        tokens: written forms of special tokens that it may name, such as `bos_token`.
        where: name of the file, for errors.

    Raises:
        NeurosimFormatError: it is no template.
    """

    def __init__(self, source: str, tokens: Mapping[str, str], where: str) -> None:
        # Options and functions are those with which templates are written for transformers.
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = _now
        self._tokens = dict(tokens)
        try:
            self._template = environment.from_string(source)
        except (TemplateError, RecursionError) as error:
            raise NeurosimFormatError(f"{where}: chat_template is no jinja template ({error!s:.200})") from None

    def render(self, messages: Sequence[Message]) -> str:
        """Return the prompt behind which the model writes its answer.

        Raises:
            NeurosimInputError: messages that the template refuses, as two of one role in turn.
        """
        values = {**self._tokens, "messages": [dict(message) for message in messages], "add_generation_prompt": True}
        try:
            return self._template.render(values)
        except (
            TemplateError,
            TypeError,
            ValueError,
            LookupError,
            ArithmeticError,
            RecursionError,
            MemoryError,
        ) as error:
            raise NeurosimInputError(f"messages: the model's chat template refuses them ({error!s:.200})") from None


def read_chat_template(model: str | os.PathLike[str]) -> ChatTemplate | None:
    """Return the chat template of a model: `chat_template.jinja` in its folder, or from `tokenizer_config.json`.

    Raises:
        NeurosimFormatError: one of the files is damaged, or the template is none.
    """
    with tokenizer_folder(model) as folder:
        return _template_of(folder)


def _template_of(folder: Path) -> ChatTemplate | None:
    """Return the chat template of a folder, the default one of several; None without one."""
    config = read_object(folder / CONFIG)
    special = read_object(folder / SPECIAL_MAP)
    tokens = {name: text for name, value in {**special, **config}.items() if (text := _token(name, value))}
    source = config.get("chat_template")
    where = folder / CONFIG
    if (folder / CHAT).is_file():
        where = folder / CHAT
        source = decode_utf8(where, where.read_bytes())
    if isinstance(source, list):  # several templates by name
        named = {entry.get("name"): entry.get("template") for entry in source if isinstance(entry, dict)}
        source = named.get("default")
    if not isinstance(source, str):
        return None
    return ChatTemplate(source, tokens, str(where))


def plain_chat_template() -> ChatTemplate:
    """Return the template of models that bring none: lines that begin with User and Assistant."""
    return ChatTemplate(PLAIN, {}, "the plain template")


def read_ends(model: str | os.PathLike[str], tokenizer: Tokenizer) -> frozenset[int]:
    """Return the tokens that end a text, as the files beside a tokenizer name them; there may be none.

    Raises:
        NeurosimFormatError: one of the files is damaged.
    """
    with tokenizer_folder(model) as folder:
        entries = {**read_object(folder / SPECIAL_MAP), **read_object(folder / CONFIG)}
        listed = read_generation(folder).get("eos_token_id")
    ends: set[int] = set()
    for name in ("eos_token", "eot_token"):
        text = text_of(entries.get(name))
        ids = tokenizer.encode(text.encode()) if text else ()
        if len(ids) == 1:
            ends.add(ids[0])
    for token in listed if isinstance(listed, list) else [listed]:
        if isinstance(token, int) and not isinstance(token, bool):
            ends.add(token)
    return frozenset(ends)


def _token(name: str, value: object) -> str | None:
    return text_of(value) if name.endswith("_token") else None


def _to_json(value: Any, indent: int | None = None) -> str:
    # Unlike jinja's own filter, without escapes for HTML.
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(words: str) -> None:
    raise TemplateError(words)


def _now(form: str) -> str:
    return datetime.now().strftime(form)
