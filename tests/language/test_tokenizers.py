"""Tokenizers of models' folders: text there and back, ids without text, damaged files, words that a model lacks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.vocabularies import WORLD_LINES, train_json, train_sentencepiece

from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.language import read_tokenizer
from neurosim.language.attention.tokenizer import copy_tokenizer, read_tokens, tokenize

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


def test_special_tokens_of_a_text_are_single_ids(folders: dict[str, Path], tmp_path: Path) -> None:
    """They stay in what is written, and none is added without a configuration."""
    for kind, begin, end in (("json", 0, 1), ("sentencepiece", 1, 2)):
        tokenizer = read_tokenizer(folders[kind], 400)
        ids = list(tokenizer.encode(b"<s>one</s>"))
        inner = list(tokenizer.encode(b"one"))
        assert ids == [begin, *inner, end] and not {begin, end} & set(inner)
        assert tokenizer.decode(ids) == b"<s>one</s>"
        assert tokenizer.first == () and tokenizer.encode_prompt(b"one") == inner
    train_sentencepiece(tmp_path, 400, prefix=True)
    spaced = read_tokenizer(tmp_path, 400)
    ids = list(spaced.encode(b"<s>one</s>two"))
    assert ids == [1, *spaced.encode(b"one"), 2, *spaced.encode(b"two")]
    assert spaced.decode(ids) == b"<s>one</s>two"
    # Not legacy: only the first text has a space of SentencePiece's before it.
    (tmp_path / "tokenizer_config.json").write_text('{"legacy": false}')
    plain = read_tokenizer(tmp_path, 400)
    first = plain.encode(b"one")
    assert list(plain.encode(b"one</s> one")) == [*first, 2, *first] == list(spaced.encode(b"one</s>one"))
    for text in (b"<s>one</s>two", b"one</s> two<s>"):
        assert plain.decode(plain.encode(text)) == text
    assert list(plain.encode(b"one</s>one")) != [*first, 2, *first]


def test_a_space_before_a_text_is_as_in_transformers(tmp_path: Path) -> None:
    """It joins SentencePiece's own, takes its place with `legacy: false`, and stands alone without a prefix."""
    train_sentencepiece(tmp_path, 400, prefix=True)
    config = tmp_path / "tokenizer_config.json"
    spaced = read_tokenizer(tmp_path, 400)
    one = list(spaced.encode(b"one"))
    two = list(spaced.encode(b" one"))
    assert len(two) == len(one) + 1

    config.write_text('{"legacy": false}')
    plain = read_tokenizer(tmp_path, 400)
    for text in (b"one", b" one", "\u2581one".encode()):
        assert list(plain.encode(text)) == one
    assert list(plain.encode(b"  one")) == two
    assert list(plain.encode(b"<s> one")) == [1, *one]

    config.write_text('{"legacy": false, "add_prefix_space": false}')
    bare = read_tokenizer(tmp_path, 400)
    assert list(bare.encode(b" one")) == one and list(bare.encode(b"<s> one")) == [1, *one]
    for text in (b"one", b" one", b"one</s>one", b"  one</s> one"):
        assert bare.decode(bare.encode(text)) == text
    assert list(bare.encode(b"one")) != one


def test_the_unknown_word_of_a_text_is_its_id(folders: dict[str, Path]) -> None:
    tokenizer = read_tokenizer(folders["sentencepiece"], 400)
    ids = [*tokenizer.encode(b"one "), 0, *tokenizer.encode(b" two")]
    assert list(tokenizer.encode(b"one <unk> two")) == ids and tokenizer.decode(ids) == b"one <unk> two"


@pytest.mark.parametrize("kind", ["json", "sentencepiece"])
def test_added_tokens_of_the_configuration(folders: dict[str, Path], tmp_path: Path, kind: str) -> None:
    """Of all files; the longest first, and white space belongs to those that say so."""
    copy_tokenizer(folders[kind], tmp_path)
    entries = {
        "400": {"content": "<|user|>", "rstrip": True},
        "401": {"content": "<|user|>x", "lstrip": True},
        "x": {"content": "<|none|>"},
        "402": {"content": ""},
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": entries}))
    (tmp_path / "added_tokens.json").write_text('{"<pad>": 403}')
    tokenizer = read_tokenizer(tmp_path, 404)
    one = tokenizer.encode(b"one")
    two = tokenizer.encode(b"two")
    assert list(tokenizer.encode(b"<|user|>\n one<|user|> two<pad>")) == [400, *one, 400, *two, 403]
    assert list(tokenizer.encode(b"one <|user|>x")) == [*one, 401]
    assert tokenizer.decode([400, *one, 401, 403, 999]) == b"<|user|>one<|user|>x<pad>"
    assert len(tokenizer.encode(b"<|none|>")) > 1


@pytest.mark.parametrize(
    "config, begins",
    [
        ({"add_bos_token": True}, True),
        ({"add_bos_token": True, "bos_token": {"content": "<s>"}}, True),
        ({"add_bos_token": False, "tokenizer_class": "LlamaTokenizer"}, False),
        ({"tokenizer_class": "LlamaTokenizer"}, True),
        ({"tokenizer_class": "GPT2Tokenizer", "bos_token": "<s>"}, False),
    ],
)
def test_a_prompt_begins_as_the_configuration_says(
    folders: dict[str, Path], tmp_path: Path, config: dict[str, object], begins: bool
) -> None:
    copy_tokenizer(folders["sentencepiece"], tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = read_tokenizer(tmp_path, 400)
    inner = list(tokenizer.encode(b"one"))
    assert tokenizer.encode_prompt(b"one") == [*([1] if begins else []), *inner]
    assert tokenizer.encode_prompt(b"<s>one") == [1, *inner]  # no second
    assert list(tokenizer.encode(b"one")) == inner


def test_a_prompt_begins_as_the_template_of_the_file_says(folders: dict[str, Path], tmp_path: Path) -> None:
    content = json.loads((folders["json"] / "tokenizer.json").read_text())
    template = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    special = {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}
    content["post_processor"] = {
        "type": "TemplateProcessing", "single": template, "pair": template, "special_tokens": special,
    }  # fmt: skip
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    tokenizer = read_tokenizer(tmp_path, 400)
    assert tokenizer.first == (0,) and tokenizer.encode_prompt(b"one") == [0, *tokenizer.encode(b"one")]
    (tmp_path / "tokenizer_config.json").write_text('{"add_bos_token": false}')
    assert read_tokenizer(tmp_path, 400).first == ()
    copy_tokenizer(folders["json"], tmp_path)  # without a template
    (tmp_path / "tokenizer_config.json").write_text('{"add_bos_token": true}')
    (tmp_path / "special_tokens_map.json").write_text('{"bos_token": "<s>"}')
    assert read_tokenizer(tmp_path, 400).first == (0,)
    # A class whose tokenizers of transformers 4 put it first; files of transformers 5 say it in their template.
    config = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert read_tokenizer(tmp_path, 400).first == (0,)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"backend": "tokenizers"}))
    assert read_tokenizer(tmp_path, 400).first == ()


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000])
def test_a_damaged_configuration(folders: dict[str, Path], tmp_path: Path, content: str) -> None:
    copy_tokenizer(folders["sentencepiece"], tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(content)
    with pytest.raises(NeurosimFormatError, match=r"tokenizer_config\.json: is no tokenizer that can be read"):
        read_tokenizer(tmp_path, 400)


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
    with pytest.raises(NeurosimInputError, match=r"must be token ids, .*tokenizer.json .* \(got b'The'"):
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
        with pytest.raises(NeurosimMissingError, match=rf"needs {library} .*pip install .*\[text\]'"):
            read_tokenizer(folders[kind], 400)


def test_tokenizers_travel_with_the_model(folders: dict[str, Path], tmp_path: Path) -> None:
    copy_tokenizer(folders["json"], tmp_path)
    assert read_tokenizer(tmp_path, 400).encode(TEXT) == read_tokenizer(folders["json"], 400).encode(TEXT)
