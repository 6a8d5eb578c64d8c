"""Sequences of a decoder that join, leave, are copied and go on: each gets the bits that it gets alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.decoding import model_of, text
from helpers.samples import sampled
from numpy.typing import NDArray

from neurosim.base import NeurosimInputError
from neurosim.language import KINDS, Coding, Decoder, LanguageModel, convert
from neurosim.language.conversion.decoder.decoder import chunk_for

QUICK = ["gla", "mamba2", "softmax"]
LENGTH = 14
# Kinds that read a prompt in steps: their states have operations that take one token of each sequence.
NOT_IN_ORDER = [
    "alrnn",
    "bmojo",
    "gsa",
    "hax",
    "lightnet",
    "local_linear",
    "lssl",
    "mamba",
    "memora",
    "moneta",
    "paragru",
    "paralstm",
    "sea",
    "seqboat",
    "ssm",
    "tcnca",
    "titans",
    "titans_context",
    "titans_gate",
    "titans_layer",
    "window_linear",
    "yaad",
]


def spiking(kind: str, options: dict[str, Any] | None = None, **shape: Any) -> LanguageModel:
    return convert(model_of(kind, options, **shape), Coding("ternary", k=4.0)).execute().model


def cases(quick: list[str]) -> list[Any]:
    """Every kind on two threads; the sample, which is the quick run, on one thread as well."""
    both = [(kind, threads) for kind in quick for threads in (1, 2)]
    others = [pytest.param(kind, 2, marks=pytest.mark.slow) for kind in sorted(KINDS) if kind not in quick]
    return [*both, *others]


def alone(model: LanguageModel, tokens: list[int]) -> NDArray[np.float32]:
    """Logits [T, vocabulary] of a sequence in a decoder of its own."""
    decoder = Decoder(model)
    return np.concatenate([decoder.step([token]).copy() for token in tokens])


@pytest.mark.parametrize(("kind", "threads"), cases(QUICK))
def test_sequences_that_join_and_leave_are_as_alone(kind: str, threads: int) -> None:
    model = spiking(kind)
    texts = text(4, LENGTH).tolist()
    expected = [alone(model, own) for own in texts]
    decoder = Decoder(model, 3, threads, sizes=[1, 2])
    # Who has a token in each step; the sequence 0 reads text 0, and then, from its start, text 3.
    turns = [[0], [0, 1], [1, 0], [2, 0, 1], [2, 0, 1], [1], [2, 1], [1, 2, 0]] + [[0, 1, 2]] * 5 + [[2]]
    reads = {0: 0, 1: 1, 2: 2}
    at = dict.fromkeys(range(3), 0)
    for turn, sequences in enumerate(turns):
        if turn == 7:
            decoder.reset(0)
            reads[0] = 3
            at[0] = 0
        logits = decoder.step([texts[reads[s]][at[s]] for s in sequences], sequences)
        for row, s in enumerate(sequences):
            assert np.array_equal(logits[row], expected[reads[s]][at[s]]), (turn, s)
            at[s] += 1


@pytest.mark.parametrize("kind", sampled(sorted(KINDS), QUICK))
def test_a_snapshot_goes_on_in_any_place(kind: str) -> None:
    model = spiking(kind)
    texts = text(2, LENGTH).tolist()
    expected = [alone(model, own) for own in texts]
    decoder = Decoder(model, 2, sizes=[1])
    for token in texts[0][:5]:
        decoder.step([token], [0])
    snapshot = decoder.snapshot(0)
    before = [state.copy() for state in snapshot.states]
    for pair in zip(texts[0][5:], texts[1], strict=False):
        decoder.step(pair, [0, 1])
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(snapshot.states, before, strict=True))
    assert snapshot.position == 5
    assert snapshot.nbytes == sum(state.nbytes for state in before)
    # The other sequence of the same decoder, and a decoder of another width.
    decoder.restore(snapshot, 1)
    other = Decoder(model, 3, sizes=[1])
    other.restore(snapshot, 2)
    for position in range(5, LENGTH):
        token = texts[0][position]
        assert np.array_equal(decoder.step([token], [1])[0], expected[0][position])
        assert np.array_equal(other.step([token], [2])[0], expected[0][position])


def test_windows_of_all_tokens_grow_apart() -> None:
    """One sequence outgrows the first 256 places; the others, also of a narrower step, find their memory."""
    model = spiking("softmax", {"num_heads": 2, "rotary_dim": 8})
    texts = text(2, 300).tolist()
    expected = [alone(model, own) for own in texts]
    decoder = Decoder(model, 2, sizes=[1])
    for position, pair in enumerate(zip(texts[0][:10], texts[1][:10], strict=True)):
        logits = decoder.step(pair)
        assert np.array_equal(logits, np.stack([w[position] for w in expected]))
    for position in range(10, 300):
        assert np.array_equal(decoder.step([texts[0][position]], [0])[0], expected[0][position])
    long = decoder.snapshot(0)
    assert long.states[0].shape[0] == 300
    for position in range(10, 20):
        logits = decoder.step([texts[1][position], 7], [1, 0])
        assert np.array_equal(logits[0], expected[1][position])
    fresh = Decoder(model, 2, sizes=[1])
    fresh.restore(long, 1)
    assert np.array_equal(fresh.snapshot(1).states[0], long.states[0])
    assert np.array_equal(fresh.step([7], [1])[0], logits_after(model, [*texts[0], 7]))


def logits_after(model: LanguageModel, tokens: list[int]) -> NDArray[np.float32]:
    return alone(model, tokens)[-1]


def test_programs_share_their_weights() -> None:
    model = spiking("gla")
    one = Decoder(model, 2)
    two = Decoder(model, 2, sizes=[1])
    assert two.state_bytes == one.state_bytes
    assert two.sizes == (1, 2)
    model.embeddings.weight.data = model.embeddings.weight.data.bfloat16()  # to be widened
    builders = [program.builder for program in Decoder(model, 2, sizes=[1])._programs.values()]
    assert builders[0].weights is builders[1].weights
    assert builders[0].constant(model.embeddings.weight) is builders[1].constant(model.embeddings.weight)


def test_errors_name_the_sequence() -> None:
    decoder = Decoder(spiking("gla"), 3, sizes=[2])
    calls: list[tuple[Any, str]] = [
        (lambda: decoder.step([1], [0]), r"sequences: must be 2 or 3 of them: Decoder\.sizes \(got 1\)"),
        (lambda: decoder.step([1, 2], [0, 3]), r"sequence: must be >= 0 and < 3 \(got 3\)"),
        (lambda: decoder.step([1, 2], [1, 1]), r"sequences: must be named once each \(got \[1, 1\]\)"),
        (lambda: decoder.step([1], [0, 1]), r"tokens: must be 2, one of each sequence \(got 1\)"),
        (lambda: decoder.reset(3), r"sequence: must be >= 0 and < 3 \(got 3\)"),
        (lambda: decoder.snapshot(-1), r"sequence: must be >= 0 and < 3 \(got -1\)"),
        (lambda: decoder.restore(Decoder(spiking("mamba2")).snapshot()), r"snapshot: must have states .*same model"),
        (lambda: Decoder(spiking("gla"), 2, sizes=[3]), r"Decoder\.sizes: must be 1 to 2, the sequences \(got 3\)"),
    ]
    for call, words in calls:
        with pytest.raises(NeurosimInputError, match=words):
            call()


def test_a_sequence_is_reset_alone() -> None:
    model = spiking("softmax")
    decoder = Decoder(model, 2)
    tokens = text(4, 2).tolist()
    first = np.stack([decoder.step(each).copy() for each in tokens])
    decoder.reset(1)
    assert np.array_equal(decoder.step(tokens[0])[1], first[0][1])
    decoder.reset()
    again = np.stack([decoder.step(each).copy() for each in tokens])
    assert np.array_equal(again, first)


def test_tokens_out_of_range_move_nothing() -> None:
    model = spiking("gla")
    decoder = Decoder(model, 2, sizes=[1])
    expected = alone(model, [3, 5])
    assert np.array_equal(decoder.step([3], [1])[0], expected[0])
    with pytest.raises(NeurosimInputError, match=r"token: must be >= 0 and < 256 \(got 256\)"):
        decoder.step([256], [1])
    assert torch.equal(torch.from_numpy(decoder.step([5], [1])[0].copy()), torch.from_numpy(expected[1]))


@pytest.mark.parametrize(("kind", "threads"), cases([*QUICK, "rwkv7"]))
def test_a_prompt_is_read_as_in_steps(kind: str, threads: int) -> None:
    """Bits of logits and states, whether tokens are read at once or, where a kind cannot, in steps."""
    model = spiking(kind)
    prompt = text(1, LENGTH)[0].tolist()
    stepped = Decoder(model, threads=threads)
    for token in prompt:
        expected = stepped.step([token])[0]
    decoder = Decoder(model, 2, threads, sizes=[1], chunk=5)
    assert (decoder._prompts is not None) == (kind not in NOT_IN_ORDER)
    decoder.step([prompt[3]], [0])
    assert np.array_equal(decoder.read(prompt, 1), expected)
    for own, state in zip(decoder.snapshot(1).states, stepped.snapshot().states, strict=True):
        assert np.array_equal(own, state)
    # A prompt goes on where another ended.
    decoder.read(prompt[:7], 0)
    other = Decoder(model)
    for token in [prompt[3], *prompt[:7], prompt[0]]:
        expected = other.step([token])[0]
    assert np.array_equal(decoder.read(prompt[:1], 0), expected)


def test_a_prompt_that_cannot_be_read() -> None:
    decoder = Decoder(spiking("gla"), chunk=4)
    with pytest.raises(NeurosimInputError, match="tokens: must be at least 1"):
        decoder.read([])
    with pytest.raises(NeurosimInputError, match="token: must be >= 0"):
        decoder.read([1] * 6 + [256] + [1] * 6)
    with pytest.raises(NeurosimInputError, match=r"tokens: must be 4: Decoder.chunk \(got 3\)"):
        decoder.read_chunk([1, 2, 3])
    with pytest.raises(NeurosimInputError, match=r"Decoder\.chunk: is 1: tokens are read in steps; call step, or read"):
        Decoder(spiking("gla")).read_chunk([1])
    with pytest.raises(NeurosimInputError, match=r"Decoder.chunk: must be 1 to 256 tokens \(got 0\)"):
        Decoder(spiking("gla"), chunk=0)
    assert [chunk_for(n) for n in (1, 16, 17, 65, 2000)] == [1, 1, 16, 64, 64]
