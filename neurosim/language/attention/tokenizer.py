"""Tokenizers: text to the words of a model and back, from the files beside its weights.

Special tokens that a text spells out, such as `<s>`, become their ids and are written as they stand. A prompt begins
with the tokens that the tokenizer's configuration puts first.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from ...base.distribution import install
from ...base.errors import NeurosimFormatError, NeurosimInputError, NeurosimMissingError, require
from ...base.raw import read_bytes
from .added_tokens import (
    ADDED,
    CONFIG,
    SPECIAL_MAP,
    AddedToken,
    AddedTokens,
    damaged,
    decode_utf8,
    read_configuration,
    read_object,
)
from .gguf.file import SUFFIX, read_gguf
from .gguf.vocabulary import tokenizer_files
from .text import read_text

BYTES = 256
JSON = "tokenizer.json"
SENTENCEPIECE = "tokenizer.model"
# SentencePiece's sign for a space.
SPACE = "\u2581"
WORLD = "rwkv_vocab_v20230424.txt"
CHAT = "chat_template.jinja"
GENERATION = "generation_config.json"
FILES = (JSON, SENTENCEPIECE, WORLD, CONFIG, SPECIAL_MAP, ADDED, CHAT, GENERATION)


class Tokenizer(ABC):
    """Text in bytes to token ids and back.

    Attributes:
        unit: name of one token in texts: "byte" or "token".
        first: ids that the tokenizer's configuration puts before a text, such as the id of `<s>`.
    """

    unit = "token"
    first: tuple[int, ...] = ()

    @abstractmethod
    def encode(self, text: bytes) -> list[int] | bytes:
        """Return the ids of a text.

        Raises:
            NeurosimInputError: a text that has none.
        """

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> bytes:
        """Return the text of ids; ids without a text are left out."""

    def encode_prompt(self, text: bytes) -> list[int]:
        """Return the ids of a text that a model reads from its beginning: `first`, unless the text has them itself.

        Raises:
            NeurosimInputError: a text that has no ids.
        """
        ids = list(self.encode(text))
        if tuple(ids[: len(self.first)]) == self.first:
            return ids
        return [*self.first, *ids]


@final
class ByteTokenizer(Tokenizer):
    """Every byte is a token."""

    unit = "byte"

    def encode(self, text: bytes) -> bytes:
        return text

    def decode(self, ids: Sequence[int]) -> bytes:
        return bytes(ids)


@final
class TokenIds(Tokenizer):
    """For a model without a tokenizer: the text is the ids themselves, decimal numbers with spaces between them."""

    def encode(self, text: bytes) -> list[int]:
        words = text.replace(b",", b" ").split()
        rule = "must be token ids, for the model has no tokenizer; put its tokenizer.json or .model beside it"
        for word in words:
            is_id = word.isdigit() and len(word) < 10
            require(is_id, "text", rule, f"{word!r:.40}")
        return [int(word) for word in words]

    def decode(self, ids: Sequence[int]) -> bytes:
        return " ".join(map(str, ids)).encode()


@final
class JsonTokenizer(Tokenizer):
    """`tokenizer.json`, read by the library `tokenizers`.

    Raises:
        NeurosimMissingError: that library is not installed.
        NeurosimFormatError: a damaged file.
    """

    def __init__(self, path: Path) -> None:
        try:
            from tokenizers import Tokenizer as Library
        except ImportError as error:
            raise _missing(path, "tokenizers", error) from None
        try:
            self.library: Any = Library.from_str(decode_utf8(path, read_bytes(path).tobytes()))
        except NeurosimInputError:
            raise
        except Exception as error:  # the library raises nothing narrower
            raise damaged(path, error) from None
        # A file may ask for both, as they were used in training.
        self.library.no_truncation()
        self.library.no_padding()
        config = read_configuration(path.parent)
        # The file knows most added tokens itself; others are in the configuration alone.
        self.added = AddedTokens([t for t in config.added.values() if self.library.token_to_id(t.text) is None])
        if config.add_bos is not False:
            self.first = self._template()
        if config.add_bos and not self.first:
            token = None if config.bos is None else self.library.token_to_id(config.bos)
            self.first = () if token is None else (token,)

    def _template(self) -> tuple[int, ...]:
        """Return the ids that the file's own template puts before a text."""
        plain = self.library.encode("a", add_special_tokens=False).ids
        whole = self.library.encode("a", add_special_tokens=True).ids
        # The template stands around the ids of the text: what is before them comes first.
        starts = [i for i in range(len(whole)) if whole[i : i + len(plain)] == plain]
        return tuple(whole[: starts[0]]) if plain and starts else ()

    def encode(self, text: bytes) -> list[int]:
        return _encode_parts(text, self.added, self._encode_plain)

    def _encode_plain(self, text: str) -> list[int]:
        """Return the ids of a text without added tokens."""
        ids: list[int] = self.library.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> bytes:
        return _decode_parts(ids, self.added.texts, self._decode_plain)

    def _decode_plain(self, ids: list[int]) -> str:
        """Return the text of ids between added tokens."""
        text: str = self.library.decode(ids, skip_special_tokens=False)
        return text


@final
class SentencePieceTokenizer(Tokenizer):
    """SentencePiece's `tokenizer.model`.

    Raises:
        NeurosimMissingError: the library `sentencepiece` is not installed.
        NeurosimFormatError: a damaged file.
    """

    def __init__(self, path: Path) -> None:
        try:
            from sentencepiece import SentencePieceProcessor
        except ImportError as error:
            raise _missing(path, "sentencepiece", error) from None
        self.library: Any = SentencePieceProcessor()
        try:
            self.library.LoadFromSerializedProto(read_bytes(path).tobytes())
        except (RuntimeError, TypeError, ValueError) as error:
            raise damaged(path, error) from None
        ids = range(self.library.GetPieceSize())
        controls = {self.library.IdToPiece(i): i for i in ids if self.library.IsControl(i) or self.library.IsUnknown(i)}
        config = read_configuration(path.parent)
        added = {text: AddedToken(text, token) for text, token in controls.items() if text}
        self.added = AddedTokens([*{**added, **config.added}.values()])
        self.prefix = config.prefix
        if config.add_bos:
            named = {each.text: each.token for each in config.added.values()}
            token = {**controls, **named}.get(config.bos or "", self.library.bos_id())
            self.first = (token,) if token >= 0 else ()

    def encode(self, text: bytes) -> list[int]:
        """Return the ids of a text; the parts between special tokens are tokenised as separate texts."""
        return _encode_parts(text, self.added, self._encode_first, self._encode_behind)

    def _encode_first(self, text: str) -> list[int]:
        """Return the ids of a text with no special token before it."""
        # In transformers, with "legacy": false, a space of the text takes the place of SentencePiece's.
        has_space = self.prefix == "first" and text.startswith((" ", SPACE))
        if self.prefix == "never" or has_space:
            return self._encode_bare(text)
        return self._encode_spaced(text)

    def _encode_behind(self, text: str) -> list[int]:
        """Return the ids of a text behind a special token."""
        return self._encode_spaced(text) if self.prefix == "always" else self._encode_bare(text)

    def _encode_spaced(self, text: str) -> list[int]:
        """Return the ids of a text with the space before it that the model asks for."""
        ids: list[int] = self.library.EncodeAsIds(text)
        return ids

    def _encode_bare(self, text: str) -> list[int]:
        """Return the ids of a text without a space of SentencePiece's before it."""
        # SentencePiece puts its space before the whole: a first word takes it, as in transformers, and is cut off.
        word = self.library.IdToPiece(self.library.unk_id())
        first = self.library.EncodeAsIds(word)
        both = self.library.EncodeAsIds(word + text)
        return both[len(first) :] if both[: len(first)] == first else self._encode_spaced(text)

    def decode(self, ids: Sequence[int]) -> bytes:
        size = self.library.GetPieceSize()
        # A model may have more words than its tokenizer: these have no text.
        known = [token for token in ids if token < size or token in self.added.texts]
        first = self._decode_bare if self.prefix == "never" else self.library.DecodeIds
        behind = self.library.DecodeIds if self.prefix == "always" else self._decode_bare
        return _decode_parts(known, self.added.texts, first, behind)

    def _decode_bare(self, ids: list[int]) -> str:
        """Return the text of ids that no space of SentencePiece's stands before."""
        # SentencePiece removes a space before the whole: a first word keeps it.
        first = self.library.EncodeAsIds(self.library.IdToPiece(self.library.unk_id()))
        text: str = self.library.DecodeIds([*first, *ids])
        return text.removeprefix(self.library.DecodeIds(first))


def _encode_parts(
    text: bytes,
    added: AddedTokens,
    encode: Callable[[str], list[int]],
    behind: Callable[[str], list[int]] | None = None,
) -> list[int]:
    """Return the ids of a text: added tokens by theirs, the text between them by `encode`.

    Args:
        behind: function in the place of `encode` behind an added token, where it differs.
    """
    ids: list[int] = []
    for part in added.split(decode_utf8("text", text)):
        if isinstance(part, int):
            ids.append(part)
            encode = behind or encode
        else:
            ids += encode(part)
    return ids


def _decode_parts(
    ids: Sequence[int],
    texts: Mapping[int, str],
    decode: Callable[[list[int]], str],
    behind: Callable[[list[int]], str] | None = None,
) -> bytes:
    """Return the text of ids: special tokens by their written forms, the ids between them by `decode`.

    Args:
        behind: function in the place of `decode` behind a special token, where it differs.
    """
    text: list[str] = []
    part: list[int] = []
    for token in ids:
        if token in texts:
            text += [decode(part), texts[token]]
            part = []
            decode = behind or decode
        else:
            part.append(token)
    return "".join([*text, decode(part)]).encode()


@final
class WorldTokenizer(Tokenizer):
    """The byte strings of `rwkv_vocab_v20230424.txt` (RWKV-5 World and later), the longest first at every place.

    Raises:
        NeurosimFormatError: a line that is no `id 'text' length`.
    """

    def __init__(self, path: Path) -> None:
        import ast

        self.texts: dict[int, bytes] = {}
        for number, line in enumerate(decode_utf8(path, read_bytes(path).tobytes()).splitlines(), 1):
            try:
                first, rest = line.split(" ", 1)
                # The file writes texts as Python literals; nothing else is evaluated.
                value = ast.literal_eval(rest[: rest.rindex(" ")])
                text = value.encode() if isinstance(value, str) else bytes(value)
                self.texts[int(first)] = text
                if not text or len(text) != int(rest[rest.rindex(" ") :]):
                    raise ValueError("its length does not fit its text")
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
                raise NeurosimFormatError(f"{path}: line {number}: expected: id 'text' length ({error})") from None
        self.ids = {text: token for token, text in self.texts.items()}
        self.max_length = max(map(len, self.ids), default=0)

    def encode(self, text: bytes) -> list[int]:
        tokens = []
        place = 0
        while place < len(text):
            # The longest word that the text begins with here.
            for size in range(min(self.max_length, len(text) - place), 0, -1):
                token = self.ids.get(text[place : place + size])
                if token is not None:
                    break
            else:
                raise NeurosimInputError(f"text: byte {place} ({text[place]}) is in no word of the vocabulary")
            tokens.append(token)
            place += size
        return tokens

    def decode(self, ids: Sequence[int]) -> bytes:
        return b"".join(self.texts.get(token, b"") for token in ids)


def read_tokenizer(folder: str | os.PathLike[str], vocabulary: int) -> Tokenizer:
    """Return the tokenizer of a model's folder, beside its `.pth` file or in its `.gguf`; else bytes or token ids.

    Args:
        vocabulary: number of words of the model.

    Raises:
        NeurosimMissingError: the library for the file is not installed: says which.
        NeurosimFormatError: a damaged file.
    """
    with tokenizer_folder(folder) as files:
        for name, kind in ((JSON, JsonTokenizer), (SENTENCEPIECE, SentencePieceTokenizer), (WORLD, WorldTokenizer)):
            if (files / name).is_file():
                return kind(files / name)
    # Without a file a model of 256 words reads bytes.
    return ByteTokenizer() if vocabulary == BYTES else TokenIds()


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy the files of a tokenizer, if there are any, into another model's folder; of a GGUF file, write them."""
    with tokenizer_folder(source) as own:
        for name in FILES:
            if (own / name).is_file():
                shutil.copyfile(own / name, folder / name)
        # The other model has a config.json of its own.
        generation = read_generation(own)
        if generation and not (own / GENERATION).is_file():
            (folder / GENERATION).write_text(json.dumps(generation))


def read_generation(folder: Path) -> dict[str, Any]:
    """Return the entries of `generation_config.json`; without one, the end of texts that `config.json` names.

    Raises:
        NeurosimFormatError: the file is damaged.
    """
    if (folder / GENERATION).is_file():
        return read_object(folder / GENERATION)
    end = read_object(folder / "config.json").get("eos_token_id")
    return {} if end is None else {"eos_token_id": end}


@contextmanager
def tokenizer_folder(model: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the folder with the files of a model's tokenizer.

    It is the model's own folder or the folder of its `.pth` file; the files of a `.gguf` file are written into a folder
    that is removed afterwards.

    Raises:
        NeurosimInputError, NeurosimFormatError: a `.gguf` file with a vocabulary that is not read.
    """
    path = Path(model)
    if path.suffix == ".pth":
        yield path.parent
    elif path.suffix == SUFFIX:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in tokenizer_files(read_gguf(path)).items():
                (Path(folder) / name).write_bytes(content)
            yield Path(folder)
    else:
        yield path


def tokenize(tokenizer: Tokenizer, text: bytes, vocabulary: int, where: str = "text") -> Tensor:
    """Return the tokens [n] int64 of a text.

    Raises:
        NeurosimInputError: a token that the model does not have.
    """
    return _checked(torch.tensor(list(tokenizer.encode(text)), dtype=torch.int64), vocabulary, where)


def read_tokens(path: str | os.PathLike[str], tokenizer: Tokenizer, vocabulary: int) -> Tensor:
    """Return the tokens [n] of a text file, or the token ids of a `.npy` file of integers.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: a `.npy` file that holds no integers [n].
        NeurosimInputError: it is empty, or has a token that the model does not have.
    """
    if Path(path).suffix != ".npy":
        return tokenize(tokenizer, read_text(path), vocabulary, str(path))
    if not Path(path).is_file():
        raise NeurosimMissingError(f"{path}: no such file; give a text, or token ids in a .npy file")
    try:
        ids = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise NeurosimFormatError(f"{path}: could not be read ({error}); write it by numpy.save") from None
    are_ids = isinstance(ids, np.ndarray) and ids.ndim == 1 and ids.dtype.kind in "iu" and len(ids) > 0
    if not are_ids:
        raise NeurosimFormatError(f"{path}: must hold token ids [n], integers (got {getattr(ids, 'dtype', type(ids))})")
    return _checked(torch.from_numpy(ids.astype(np.int64)), vocabulary, str(path))


def _checked(tokens: Tensor, vocabulary: int, where: str) -> Tensor:
    """Return tokens that all are words of the model."""
    if len(tokens):
        low = int(tokens.min())
        high = int(tokens.max())
        worst = low if low < 0 else high
        rule = f"must have tokens of 0 to {vocabulary - 1}, the words of the model; is the tokenizer another model's?"
        require(low >= 0 and high < vocabulary, where, rule, worst)
    return tokens


def _missing(path: Path, library: str, error: ImportError) -> NeurosimMissingError:
    """Return the error of a library that is not installed."""
    return NeurosimMissingError(f"{path}: needs {library} ({error}); run: {install('text')}")
