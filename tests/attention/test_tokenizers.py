"""Tokenizers of models' folders: text there and back, ids without text, damaged files, words that a model lacks."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.vocabularies import WORLD_LINES, train_json, train_sentencepiece

from neurosim.attention import read_tokenizer
from neurosim.attention.tokenizer import copy_tokenizer, read_tokens, tokenize
from neurosim.errors import NeurosimFormatError, NeurosimInputError, NeurosimMissingError

TEXT = "Émile said: <s>x = 3</s>,\n\tand left 🙂.".encode()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {name: tmp_path_factory.mktemp(name) for name in ("json", "sentencepiece", "world")}
    train_json(made["json"], 400)
    train_sentencepiece(made["sentencepiece"], 400)
    (made["world"] / "rwkv_vocab_v20230424.txt").write_text(WORLD_LINES)
    return made


@pytest.mark.parametrize("kind", ["json", "sentencepiece", "world"])
def test_text_there_and_back(folders: dict[str, Path], kind: str) -> None:
    tokenizer = read_tokenizer(folders[kind], 1000)
    ids = tokenize(tokenizer, TEXT, 1000)
    assert tokenizer.unit == "token" and len(ids) < len(TEXT) and tokenizer.decode(ids.tolist()) == TEXT
    assert len(tokenize(tokenizer, b"", 1000)) == 0


def test_special_tokens_are_left_alone(folders: dict[str, Path]) -> None:
    """None is added; those of the text are single tokens, and stay in what is written."""
    tokenizer = read_tokenizer(folders["json"], 400)
    ids = list(tokenizer.encode(b"<s>one</s>"))
    assert ids[0] == 0 and ids[-1] == 1 and tokenizer.decode(ids) == b"<s>one</s>"
    assert 0 not in tokenizer.encode(b"one")
    pieces = read_tokenizer(folders["sentencepiece"], 400)
    assert pieces.decode([1, *pieces.encode(b"one"), 2]) == b"<s>one</s>"
    assert not {1, 2} & set(pieces.encode(b"one"))


def test_words_without_text_are_left_out(folders: dict[str, Path]) -> None:
    for folder in folders.values():
        tokenizer = read_tokenizer(folder, 1000)
        ids = list(tokenizer.encode(b"one two"))
        assert tokenizer.decode([*ids, 999]) == tokenizer.decode(ids)


def test_without_a_tokenizer_bytes_or_ids(tmp_path: Path) -> None:
    plain = read_tokenizer(tmp_path, 256)
    assert plain.unit == "byte" and plain.decode(list(plain.encode(bytes(range(256))))) == bytes(range(256))
    ids = read_tokenizer(tmp_path, 300)
    assert ids.encode(b"1, 299\n7") == [1, 299, 7] and ids.decode([1, 299]) == b"1 299"
    with pytest.raises(NeurosimInputError, match=r"must be token ids, for the model has no tokenizer \(got b'The'"):
        ids.encode(b"1 The")


def test_the_world_vocabulary_takes_the_longest_text(folders: dict[str, Path]) -> None:
    tokenizer = read_tokenizer(folders["world"], 1000)
    assert tokenizer.encode(b"and and") == [257, 259] and tokenizer.encode("é".encode()) == [260]


def test_token_ids_of_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.array([3, 299, 0], np.uint16))
    tokenizer = read_tokenizer(tmp_path, 300)
    assert read_tokens(tmp_path / "ids.npy", tokenizer, 300).tolist() == [3, 299, 0]
    with pytest.raises(NeurosimInputError, match=r"ids.npy: must have tokens of 0 to 298, .*\(got 299\)"):
        read_tokens(tmp_path / "ids.npy", tokenizer, 299)
    np.save(tmp_path / "ids.npy", np.zeros((2, 2)))
    with pytest.raises(NeurosimFormatError, match=r"must hold token ids \[n\], integers \(got float64\)"):
        read_tokens(tmp_path / "ids.npy", tokenizer, 300)
    (tmp_path / "ids.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(NeurosimFormatError, match="could not be read"):
        read_tokens(tmp_path / "ids.npy", tokenizer, 300)
    with pytest.raises(NeurosimMissingError, match="no such file"):
        read_tokens(tmp_path / "none.npy", tokenizer, 300)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer.model", "rwkv_vocab_v20230424.txt"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'{"model": 1}', b"1 'a' 1\nx"])
def test_damaged_files(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    if content or name != "rwkv_vocab_v20230424.txt":
        with pytest.raises(NeurosimInputError, match=name):
            read_tokenizer(tmp_path, 300)


def test_text_that_is_not_utf8(folders: dict[str, Path]) -> None:
    with pytest.raises(NeurosimInputError, match=r"text: must be UTF-8 \(got byte 233 at 2\)"):
        read_tokenizer(folders["json"], 400).encode(b"ab\xe9")


def test_a_missing_library_is_named(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for library, kind in (("tokenizers", "json"), ("sentencepiece", "sentencepiece")):
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(NeurosimMissingError, match=rf"needs {library} .*pip install 'neurosim-spiking\[text\]'"):
            read_tokenizer(folders[kind], 400)


def test_tokenizers_travel_with_the_model(folders: dict[str, Path], tmp_path: Path) -> None:
    copy_tokenizer(folders["json"], tmp_path)
    assert read_tokenizer(tmp_path, 400).encode(TEXT) == read_tokenizer(folders["json"], 400).encode(TEXT)
