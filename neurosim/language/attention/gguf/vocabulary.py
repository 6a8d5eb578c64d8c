"""Vocabularies of GGUF files, turned into the files of a tokenizer that `read_tokenizer` reads.

- 'gpt2', byte pairs: words and merges become a `tokenizer.json`; `tokenizer.ggml.pre` names how a text is cut first.
- 'llama', pieces with scores: a `tokenizer.model` of SentencePiece.
- 'rwkv': `rwkv_vocab_v20230424.txt`, byte strings of which the longest is taken.

Special tokens and the chat template go into a `tokenizer_config.json`.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from ....base.errors import NeurosimFormatError, NeurosimInputError, lookup
from .file import GgufFile

# Types of words: `tokenizer.ggml.token_type`.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
Files = dict[str, bytes]

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _REST
_QWEN2 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _REST
_QWEN35 = _CONTRACTIONS + (
    r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


def _cut(pattern: str) -> list[dict[str, object]]:
    """Return the steps that cut a text by a pattern."""
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return [split, _BYTES | {"use_regex": False}]


_PLAIN = [_BYTES]
_DIGITS = [{"type": "Digits", "individual_digits": True}, _BYTES]
# Steps before byte pairs, by `tokenizer.ggml.pre`, and whether the text is normalised to NFC.
PRE: Mapping[str, tuple[list[dict[str, object]], bool]] = {
    "dbrx": (_cut(_LLAMA3), False),
    "default": (_PLAIN, False),
    "gpt-2": (_PLAIN, False),
    "gpt2": (_PLAIN, False),
    "jais": (_PLAIN, False),
    "llama-bpe": (_cut(_LLAMA3), False),
    "llama3": (_cut(_LLAMA3), False),
    "mpt": (_PLAIN, False),
    "olmo": (_PLAIN, True),
    "phi-2": (_PLAIN, False),
    "qwen2": (_cut(_QWEN2), True),
    "qwen35": (_cut(_QWEN35), True),
    "refact": (_DIGITS, False),
    "smaug-bpe": (_cut(_LLAMA3), False),
    "smollm": (_DIGITS, False),
    "starcoder": (_DIGITS, False),
}


def tokenizer_files(file: GgufFile) -> Files:
    """Return the files of a tokenizer by name; none where the file has no vocabulary.

    Raises:
        NeurosimInputError: a kind of vocabulary that is not read: names it.
        NeurosimFormatError: lists of words, types or scores that do not fit each other.
    """
    kind = file.metadata.get("tokenizer.ggml.model")
    if kind in (None, "none", "no_vocab"):
        return {}
    where = f"{file.path}: tokenizer.ggml.model"
    words = _Words(file)
    files = lookup({"gpt2": _byte_pairs, "llama": _pieces, "rwkv": _byte_strings}, str(kind), where)(words)
    return files | {"tokenizer_config.json": _json(words.configuration())}


class _Words:
    """The lists of a vocabulary, of one length each."""

    def __init__(self, file: GgufFile) -> None:
        self.file = file
        self.words: list[str] = self.entries("tokens", str)
        self.types: list[int] = self.entries("token_type", int) or [NORMAL] * len(self.words)
        self.scores: list[float] = self.entries("scores", float) or [0.0] * len(self.words)
        for name, values in (("token_type", self.types), ("scores", self.scores)):
            if len(values) != len(self.words):
                self.fail(name, f"must be {len(self.words)} values, as tokens", len(values))

    def get(self, name: str) -> Any:
        return self.file.metadata.get(f"tokenizer.ggml.{name}")

    def fail(self, name: str, rule: str, got: object) -> None:
        raise NeurosimFormatError(f"{self.file.path}: metadata 'tokenizer.ggml.{name}' {rule} (got {got!s:.60})")

    def entries(self, name: str, kind: type) -> list[Any]:
        values = self.get(name) or []
        if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
            self.fail(name, f"must be a list of {kind.__name__}", type(values).__name__)
        return list(values)

    def word(self, name: str) -> str | None:
        """Return the word that an entry names by its id."""
        token = self.get(name)
        if type(token) is int and 0 <= token < len(self.words):
            return self.words[token]
        return None

    def special(self) -> Iterator[tuple[int, str, bool]]:
        """Yield (id, text, whether it is a control token) of the words that are cut out of a text."""
        for token, (text, kind) in enumerate(zip(self.words, self.types, strict=True)):
            if kind in (CONTROL, USER_DEFINED) and text:
                yield token, text, kind == CONTROL

    def begins(self) -> bool:
        """Return whether the token that begins a text is put before a prompt."""
        stated = self.get("add_bos_token")
        if isinstance(stated, bool):
            return stated
        # What llama.cpp does where a file says nothing.
        return self.get("model") == "llama" or self.get("pre") in ("llama-bpe", "llama3")

    def configuration(self) -> dict[str, object]:
        """Return the entries of tokenizer_config.json."""
        entries: dict[str, object] = {
            "added_tokens_decoder": {
                str(token): {"content": text, "special": control} for token, text, control in self.special()
            },
            "bos_token": self.word("bos_token_id"),
            "eos_token": self.word("eos_token_id"),
            "eot_token": self.word("eot_token_id"),
            "add_bos_token": self.begins(),
            "chat_template": self.file.metadata.get("tokenizer.chat_template"),
        }
        return {name: value for name, value in entries.items() if value is not None}


def _byte_pairs(words: _Words) -> Files:
    name = words.get("pre") or "default"
    steps, composed = lookup(PRE, str(name), f"{words.file.path}: tokenizer.ggml.pre")
    pairs = _merges(words)
    added = [
        {"id": token, "content": text, "special": control, "normalized": False}
        | {"single_word": False, "lstrip": False, "rstrip": False}
        for token, text, control in words.special()
    ]
    tree = {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "NFC"} if composed else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "decoder": _BYTES,
        "model": {
            "type": "BPE",
            "vocab": {text: token for token, text in enumerate(words.words)},
            "merges": pairs,
            "ignore_merges": name in ("llama-bpe", "llama3"),
        },
    }
    return {"tokenizer.json": _json(tree)}


def _merges(words: _Words) -> list[list[str]]:
    """Return the pairs of words that become one, in their order; both and what they make must be words."""
    pairs = [merge.split(" ", 1) for merge in words.entries("merges", str)]
    known = set(words.words)
    for pair in pairs:
        if len(pair) != 2 or not set(pair) <= known or "".join(pair) not in known:
            words.fail("merges", "must be pairs of words that make a word", " ".join(pair))
    return pairs


def _pieces(words: _Words) -> Files:
    """Return SentencePiece's model: a message of Protocol Buffers with pieces, trainer and normaliser."""
    message = b""
    for text, score, kind in zip(words.words, words.scores, words.types, strict=True):
        piece = _field(1, text.encode("utf-8", errors="surrogateescape")) + b"\x15" + struct.pack("<f", score)
        message += _field(1, piece + b"\x18" + _varint(kind))
    ids = [words.get(name) for name in ("unknown_token_id", "bos_token_id", "eos_token_id", "padding_token_id")]
    # Fields of the trainer: 3 is the kind of model, 2 for byte pairs; 35 is bytes for unknown characters; 40 to 43 ids.
    trainer = b"\x18\x02" + _varint(35 << 3) + b"\x01"
    for number, token in enumerate(ids):
        trainer += _varint((40 + number) << 3) + _varint(token if type(token) is int else -1)
    space = words.get("add_space_prefix")
    # Fields of the normaliser: 1 its name, 3 a space before a text, 4 remove repeated spaces, 5 write them as U+2581.
    prefix = b"\x01" if space is None or space else b"\x00"
    normaliser = _field(1, b"identity") + b"\x18" + prefix + b"\x20\x00" + b"\x28\x01"
    return {"tokenizer.model": message + _field(2, trainer) + _field(3, normaliser)}


def _field(number: int, value: bytes) -> bytes:
    """Return a field of bytes of a message."""
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    """Return an integer in groups of 7 bits, the lowest first; negative ones as 64 bits."""
    value &= 2**64 - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _byte_strings(words: _Words) -> Files:
    """Return the vocabulary of RWKV World; word 0, which ends a text, has no line."""
    lines = []
    for token, (text, kind) in enumerate(zip(words.words, words.types, strict=True)):
        if kind == NORMAL and token:
            value = _unescaped(text)
            lines.append(f"{token} {value!r} {len(value)}\n")
    return {"rwkv_vocab_v20230424.txt": "".join(lines).encode()}


_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"t": b"\t", b"r": b"\r"}


def _unescaped(text: str) -> bytes:
    r"""Return the bytes of a word in which \n, \t, \r, \x.. and a backslash before any other stand for a byte."""

    def byte(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes.fromhex(code[1:].decode()) if len(code) == 3 else _ESCAPED.get(code, code)

    return _ESCAPE.sub(byte, text.encode("utf-8", errors="surrogateescape"))


def _json(tree: object) -> bytes:
    try:
        return json.dumps(tree, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise NeurosimInputError(f"the vocabulary has words that are not UTF-8 ({error})") from None
