"""Objectives as changes of text, their mixture by reward, prefixes in both directions, and training that resumes."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.attention_kinds import SMALL, WIDTH, mixer_of, noise
from torch.nn import functional as F

from neurosim.base import NeurosimInputError
from neurosim.language import KINDS, LanguageConfig, LanguageModel, LanguageTraining, MixerSpec, train_bytes
from neurosim.language.attention.mixture import MIN_SHARE, Interval, choose_shares, rewards
from neurosim.language.attention.objectives import (
    CONTROLS,
    FIND,
    MASK,
    MIN_LENGTH,
    NAMES,
    NEXT_TOKEN,
    OBJECTIVES,
    PADDING,
    SEPARATOR,
    draw_batch,
)
from neurosim.language.attention.train import TrainingProgress

TEXT = bytes(range(32, 127)) * 40
TINY = LanguageConfig(
    (MixerSpec("gated_deltanet", {"num_heads": 2, "head_dim": 8, "head_v_dim": 8}),), width=16, hidden=32
)
MIXED = LanguageTraining(
    steps=64, batch=4, length=48, learning_rate=1e-2, warmup=4, every=20, objective="birdie", bidirectional=True
)


def source() -> torch.Tensor:
    return torch.frombuffer(bytearray(TEXT), dtype=torch.uint8).long()


def rows(name: str, length: int, count: int = 40) -> list[tuple[list[int], list[int]]]:
    """(given, answer) of sequences, after a check of what all objectives have in common."""
    batch = draw_batch(source(), [name] * count, length, 3)
    found = []
    for tokens, asked, before in zip(
        batch.tokens.tolist(), batch.loss_mask.tolist(), batch.prefix.tolist(), strict=True
    ):
        if PADDING not in tokens:
            answer = tokens[before:]
        else:
            answer = tokens[before : tokens.index(PADDING)]
        assert tokens[0] == OBJECTIVES[name][0] and tokens[before - 1] == SEPARATOR
        assert asked == [before <= t + 1 < before + len(answer) for t in range(length)]
        assert len(tokens) == length + 1 and set(tokens[before + len(answer) :]) <= {PADDING}
        assert length + 1 - before - len(answer) <= 8  # hardly any room is lost
        found.append((tokens[1 : before - 1], answer))
    return found


def in_text(part: list[int]) -> bool:
    return bytes(part) in TEXT


def filled(given: list[int], answer: list[int]) -> list[int]:
    """The text with its spans put back."""
    spans = bytes(answer).split(bytes([MASK]))[1:]
    found = list(given)
    for number, span in enumerate(spans):
        at = found.index(MASK)
        # The number of a mask tells where its span belongs.
        assert found[at + 1] == span[0] == ord("0") + number % 20
        found[at : at + 2] = list(span[1:])
    return found


@pytest.mark.parametrize("length", [MIN_LENGTH, 49, 128])
def test_every_objective_can_be_solved_from_what_is_given(length: int) -> None:
    for given, answer in rows("infilling", length):
        assert given.count(MASK) == answer.count(MASK) > 0 and in_text(filled(given, answer))
        hidden = len(answer) - 2 * answer.count(MASK)
        assert abs(hidden - 0.15 * (len(given) - 2 * given.count(MASK) + hidden)) < 2
    for given, answer in rows("autoencoding", length):
        assert in_text(answer) and given.count(MASK) > 0 and len(answer) > len(given)
        first, *pieces = bytes(given).split(bytes([MASK]))
        assert first in bytes(answer) and all(piece[1:] in bytes(answer) for piece in pieces)
    for given, answer in rows("copying", length):
        assert given == answer and in_text(answer)
    for given, answer in rows("deshuffling", length):
        assert given != answer and sorted(given) == sorted(answer) and in_text(answer)
        assert 0.2 < np.mean(np.equal(given, answer)) < 0.45
    for given, answer in rows("prefix", length):
        assert in_text([*given, *answer]) and len(given) / (len(given) + len(answer)) == pytest.approx(0.75, abs=0.02)
    for given, answer in rows("selective_copying", length):
        context, *edges = bytes(given).split(bytes([FIND]))
        *found, end = bytes(answer).split(bytes([FIND]))
        assert not end and len(edges) == 2 * len(found) > 0 and len({len(edge) for edge in edges}) == 1
        for k, span in enumerate(found):
            assert edges[2 * k] + span + edges[2 * k + 1] in context


def test_plain_windows_have_no_control_byte_and_draws_are_keyed() -> None:
    batch = draw_batch(source(), [NEXT_TOKEN] * 3, 60, 5)
    assert bool(batch.loss_mask.all()) and not batch.prefix.any() and in_text(batch.tokens[1].tolist())
    assert torch.equal(batch.tokens, draw_batch(source(), [NEXT_TOKEN] * 3, 60, 5).tokens)
    assert not torch.equal(batch.tokens, draw_batch(source(), [NEXT_TOKEN] * 3, 60, 6).tokens)
    assert len(set(CONTROLS)) == 10 and min(CONTROLS) > 0xF4  # bytes that UTF-8 does not have
    with pytest.raises(NeurosimInputError, match=r"objective: unknown name 'infiling'; did you mean 'infilling'"):
        draw_batch(source(), ["infiling"], 60, 5)
    with pytest.raises(NeurosimInputError, match=r"length: must be at least 48 bytes for these objectives \(got 40\)"):
        draw_batch(source(), ["copying"], 40, 5)


def test_rewards_are_of_losses_that_fell() -> None:
    before = torch.tensor([2.0, 2.0, 2.0, 1.0])
    after = torch.tensor([2.0, 1.9, 2.1, 0.2])
    found = rewards(before, after).tolist()
    by_hand = -100 * math.e * math.tanh(math.e * math.sqrt(3.8) * (-0.05) ** 3)
    assert found[0] == 0 and math.isclose(found[1], by_hand, rel_tol=1e-4) and found[2] < 0 and found[3] == 1
    assert min(found) >= -1


def test_shares_follow_what_was_rewarded() -> None:
    """An objective whose share alone brings rewards gets more of it, when nothing is explored any more."""
    draws = torch.Generator().manual_seed(2)
    known = []
    for _ in range(40):
        shares = torch.rand(3, generator=draws)
        shares = shares / shares.sum()
        reward = (0.0, float(2 * shares[1] - 1), 0.0)
        known.append(Interval(shares=tuple(shares.tolist()), losses=(1.0, 1.0, 1.0), rewards=reward))
    found = [choose_shares(tuple(known[: 30 + k]), (1.0, 1.0, 1.0), 1.0, seed=0) for k in range(3)]
    assert np.median([shares[1] for shares in found]) > 0.7
    for shares in found:
        assert math.isclose(sum(shares), 1.0, rel_tol=1e-6) and min(shares) >= MIN_SHARE * 0.999
    assert choose_shares(tuple(known[:30]), (1.0, 1.0, 1.0), 1.0, seed=0) == found[0]


BACKWARDS = [kind for kind in sorted(KINDS) if mixer_of(kind, SMALL[kind]).reads_backwards]


@pytest.mark.parametrize("kind", BACKWARDS)
def test_half_of_the_heads_read_a_prefix_backwards(kind: str) -> None:
    """Those heads equal a run over the prefix turned around, and all go on causally behind it."""
    mixer = mixer_of(kind, SMALL[kind])
    x = noise(2, 14, WIDTH)
    state = mixer.initial(x)
    inputs, _ = mixer.project(x, state, {})
    prefix = torch.tensor([6, 9])
    memory, out = mixer.both_ways(state["memory"], inputs, prefix, mixer.chunked)
    plain, causal = mixer.chunked(state["memory"], inputs)
    first = memory.shape[1] - memory.shape[1] // 2
    torch.testing.assert_close(out[:, :, :first], causal[:, :, :first], rtol=0, atol=1e-11)
    torch.testing.assert_close(memory[:, :first], plain[:, :first], rtol=0, atol=1e-11)
    for row, length in enumerate(prefix.tolist()):
        order = [*reversed(range(length)), *range(length, 14)]
        turned = {name: value[row : row + 1, order] for name, value in inputs.items()}
        after, expected = mixer.stepwise(state["memory"][row : row + 1], turned)
        torch.testing.assert_close(out[row, order, first:], expected[0, :, first:], rtol=0, atol=1e-11)
        torch.testing.assert_close(memory[row, first:], after[0, first:], rtol=0, atol=1e-11)


def test_answers_see_the_past_alone_and_given_bytes_see_all_that_is_given() -> None:
    model = LanguageModel(TINY, 2).double()
    tokens = torch.arange(40, 52)[None]
    changed = tokens.clone()
    changed[0, 9] = 7
    prefix = torch.tensor([6])
    one, other = (model(each, prefix=prefix)[0][0] for each in (tokens, changed))
    assert torch.equal(one[:9], other[:9]) and not torch.equal(one[9], other[9])
    changed = tokens.clone()
    changed[0, 5] = 7
    assert not torch.equal(one[0], model(changed, prefix=prefix)[0][0][0])
    assert torch.equal(model(tokens)[0][0][0], model(changed)[0][0][0])
    refused: dict[str, dict[str, Any]] = {"mom": {}, "lightnet": {}, "retention": {"num_heads": 1}}
    for kind, options in refused.items():
        other_model = LanguageModel(LanguageConfig((MixerSpec(kind, options),), width=128))
        with pytest.raises(NeurosimInputError, match="cannot read a prefix backwards; give it two heads or more"):
            other_model(tokens, prefix=prefix)


@pytest.mark.slow
def test_a_killed_training_of_a_mixture_resumes_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurosim.language.attention.mixture.FITS", 5)  # seconds less
    brief = dataclasses.replace(MIXED, steps=14, every=4)
    heard: list[TrainingProgress] = []
    whole, loss = train_bytes(TEXT, TINY, brief, heard.append)

    def kill(progress: TrainingProgress) -> None:
        if progress.step == 12:
            raise KeyboardInterrupt

    path = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_bytes(TEXT, TINY, brief, kill, checkpoint=path)
    again: list[TrainingProgress] = []
    resumed, same = train_bytes(TEXT, TINY, brief, again.append, checkpoint=path)
    assert same == loss and all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True)
    )
    assert [p for p in again if p.validation] == [p for p in heard if p.validation] and again[-1] == heard[-1]
    assert 12 not in [p.step for p in again[:2]]  # what was done was not done again
    with pytest.raises(NeurosimInputError, match="is the training of another model; run it again"):
        train_bytes(TEXT, dataclasses.replace(TINY, width=32), brief, checkpoint=path)


def test_a_mixture_learns_each_of_its_objectives() -> None:
    training = dataclasses.replace(
        MIXED, steps=60, objective="mixture", shares={"copying": 1, NEXT_TOKEN: 3}, learning_rate=3e-2, every=0
    )
    model, loss = train_bytes(TEXT, TINY, training)
    batch = draw_batch(source(), ["copying"] * 8, 48, 1)
    with torch.no_grad():
        logits, _ = model(batch.tokens[:, :-1], prefix=batch.prefix)
    copied = float(F.cross_entropy(logits[batch.loss_mask], batch.tokens[:, 1:][batch.loss_mask]))
    assert loss < 2.5 and copied < 3.0 < math.log(95)  # 95 bytes in turn


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"objective": "bird"}, r"LanguageTraining\.objective: unknown name 'bird'; did you mean 'birdie'"),
        ({"shares": {"copyin": 1.0}}, r"LanguageTraining\.shares: unknown name 'copyin'; did you mean 'copying'"),
        ({"shares": {"copying": 0.0}}, r"LanguageTraining\.shares: must be finite, >= 0, and not all 0"),
        ({"objective": NEXT_TOKEN}, r"LanguageTraining\.bidirectional: must be left out for the objective next_token"),
        ({"length": 40}, r"length: must be >= 48 for a mixture \(got 40\)"),
    ],
)
def test_settings_that_break_their_rule(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(NeurosimInputError, match=message):
        train_bytes(TEXT, TINY, dataclasses.replace(MIXED, **changes))
    with pytest.raises(NeurosimInputError, match=r"text: must be UTF-8 for other objectives .* \(got \[255\]\)"):
        train_bytes(TEXT + b"\xff", TINY, MIXED)


def test_all_names_are_known() -> None:
    assert set(NAMES) == {NEXT_TOKEN, *OBJECTIVES} and len(NAMES) == 7
