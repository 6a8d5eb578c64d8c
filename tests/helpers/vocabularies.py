"""Tokenizers trained on the prose that ships with Python."""

from __future__ import annotations

import io
from pathlib import Path

from neurosim.language import python_text

# All bytes, and a few texts of several: the layout of RWKV's World vocabulary.
_TEXTS = ["and", " an", " and", "é", "🙂"]
WORLD_LINES = "".join(
    [f"{i + 1} {bytes([i])!r} 1\n" for i in range(256)]
    + [f"{257 + i} {text!r} {len(text.encode())}\n" for i, text in enumerate(_TEXTS)]
)


def train_json(folder: Path, words: int) -> None:
    """Write a `tokenizer.json` of so many words: byte pairs, <s> = 0 and </s> = 1."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=words, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([python_text().decode()[:100_000]], trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))


def train_sentencepiece(folder: Path, words: int, *, prefix: bool = False) -> None:
    """Write a `tokenizer.model` of so many pieces with bytes for what is none; <s> = 1 and </s> = 2.

    Args:
        prefix: a text begins with a space, as in the models of Llama.
    """
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(python_text().decode()[:60_000].splitlines()),
        model_writer=model,
        vocab_size=words,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=prefix,
        minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(model.getvalue())
