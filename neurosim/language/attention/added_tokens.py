"""Special tokens of a model: their written forms, cut out of a text, and their entries in the tokenizer's files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...base.errors import NeurosimFormatError, NeurosimInputError
from ...base.raw import read_bytes

CONFIG = "tokenizer_config.json"
SPECIAL_MAP = "special_tokens_map.json"
ADDED = "added_tokens.json"
# Classes of transformers whose `add_bos_token` is true where their configuration does not name it.
BOS_CLASSES = ("LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer")


@dataclass(frozen=True)
class AddedToken:
    """A token that is cut out of a text before the rest is tokenised.

    Attributes:
        text: its written form.
        lstrip, rstrip: white space before it, and behind it, belongs to it.
    """

    text: str
    token: int
    lstrip: bool = False
    rstrip: bool = False

    @property
    def pattern(self) -> str:
        """Regular expression of it, its written form as the one group."""
        before = r"\s*" if self.lstrip else ""
        behind = r"\s*" if self.rstrip else ""
        return f"{before}({re.escape(self.text)}){behind}"


class AddedTokens:
    """Tokens that are cut out of a text, the longest first at every place."""

    def __init__(self, tokens: Sequence[AddedToken]) -> None:
        ordered = sorted(tokens, key=lambda each: -len(each.text))
        self.texts = {each.token: each.text for each in ordered}
        self._ids = {each.text: each.token for each in ordered}
        self._pattern = re.compile("|".join(each.pattern for each in ordered)) if ordered else None

    def split(self, text: str) -> Iterator[str | int]:
        """Yield the parts of a text in order: ids of these tokens, and the text between them where there is some."""
        place = 0
        if self._pattern is not None:
            for match in self._pattern.finditer(text):
                if match.start() > place:
                    yield text[place : match.start()]
                # Each alternative has one group, the written form; the group that matched is the last one.
                yield self._ids[match[match.lastindex or 0]]
                place = match.end()
        if place < len(text):
            yield text[place:]


@dataclass(frozen=True)
class Configuration:
    """Special tokens as the files beside a tokenizer name them.

    Attributes:
        added: tokens by their written form.
        bos: written form of the token that begins a text.
        add_bos: true if that token begins a prompt; None where no file says.
        prefix: texts that SentencePiece's space stands before: "always" those behind a special token, too; "first" only
            the first, unless it begins with a space itself; or "never".
    """

    added: Mapping[str, AddedToken]
    bos: str | None
    add_bos: bool | None
    prefix: str = "always"


def read_configuration(folder: Path) -> Configuration:
    """Read `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`, as far as they are there.

    Raises:
        NeurosimFormatError: one of them is damaged.
    """
    config, special, added_tokens = (read_object(folder / name) for name in (CONFIG, SPECIAL_MAP, ADDED))
    added = {text: AddedToken(text, token) for text, token in added_tokens.items() if text and _is_id(token)}
    decoder = config.get("added_tokens_decoder")
    for token, entry in decoder.items() if isinstance(decoder, dict) else ():
        text = text_of(entry)
        if text and str(token).isdecimal():
            added[text] = AddedToken(text, int(token), entry.get("lstrip") is True, entry.get("rstrip") is True)
    bos = text_of(config.get("bos_token")) or text_of(special.get("bos_token"))
    add_bos = config.get("add_bos_token")
    if not isinstance(add_bos, bool):
        name = str(config.get("tokenizer_class")).removesuffix("Fast")
        # None leaves it to the template in tokenizer.json, as transformers 5 does, which writes its backend.
        add_bos = True if name in BOS_CLASSES and "backend" not in config else None
    prefix = "first" if config.get("legacy") is False else "always"
    if config.get("add_prefix_space") is False:
        prefix = "never"
    return Configuration(added, bos, add_bos, prefix)


def read_object(path: Path) -> dict[str, Any]:
    """Return the entries of a JSON file, none where there is no such file."""
    if not path.is_file():
        return {}
    try:
        entries = json.loads(decode_utf8(path, read_bytes(path).tobytes()))
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from None
    if not isinstance(entries, dict):
        raise damaged(path, TypeError("expected an object"))
    return entries


def text_of(entry: object) -> str | None:
    """Return the written form of a token: a string, or the `content` of an object."""
    text = entry.get("content") if isinstance(entry, dict) else entry
    return text if isinstance(text, str) else None


def _is_id(token: object) -> bool:
    """Return whether an entry of a file is a token id."""
    return isinstance(token, int) and not isinstance(token, bool) and token >= 0


def decode_utf8(name: object, text: bytes) -> str:
    """Return a text in UTF-8; `name` stands for it in the error."""
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise NeurosimInputError(f"{name}: must be UTF-8 (got byte {text[error.start]} at {error.start})") from None


def damaged(path: Path, error: Exception) -> NeurosimFormatError:
    """Return the error of a file that cannot be read."""
    return NeurosimFormatError(f"{path}: is no tokenizer that can be read ({error!s:.200}); fetch it again")
