"""Choices of tokens, and attention to picked ones: compiled and gathered forms against the plain ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from neurosim.kernels.layers.picks import launch, reference
from neurosim.kernels.layers.picks.reference import PICK_NONE

SIZES = [
    (1, 1, 1, 1, 1, 1),
    (2, 7, 0, 1, 3, 2),
    (1, 37, 11, 2, 4, 9),
    (3, 20, 64, 4, 4, 5),
]  # B, T, before, heads, H, M


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn_picks(batch: int, length: int, before: int, heads: int, count: int) -> Tensor:
    """Picks of tokens so far, each once, in any order, with gaps; the token itself among them."""
    draws = np.random.default_rng(0)
    picks = np.full((batch, length, heads, count), PICK_NONE)
    for row, now in zip(picks.reshape(-1, count), np.tile(np.repeat(np.arange(length), heads), batch), strict=True):
        others = draws.permutation(before + now)[: count - 1]
        row[: len(others) + 1] = [before + now, *others]
        draws.shuffle(row)
    return torch.from_numpy(picks)


@pytest.mark.parametrize("count", [0, 1, 5, 40])
def test_the_best_so_far_are_those_of_a_sort(count: int) -> None:
    """Scores of few values, so that many are equal; ends that stay, and that skip tokens."""
    scores = draw(2, 30, seed=0).mul(2).round()
    ends = torch.tensor([0, 1, 1, 4, 9, 10, 30])
    picks = launch.best_so_far(scores, ends, count)
    assert picks.shape == (2, 7, count)
    for row, score in zip(picks, scores.numpy(), strict=True):
        for own, expected in zip(row, reference.best_so_far(score, ends.numpy(), count), strict=True):
            assert sorted(own[own != PICK_NONE].tolist()) == sorted(expected)


@pytest.mark.parametrize("before", [0, 13])
def test_the_last_of_a_bucket_are_those_of_a_search(before: int) -> None:
    draws = np.random.default_rng(1)
    buckets = draws.integers(250, 256, (2, before + 20))
    asked = draws.integers(249, 256, (2, 20))
    picks = launch.last_of_bucket(torch.from_numpy(asked), torch.from_numpy(buckets).to(torch.float32), 3)
    for row, own, other in zip(picks, asked, buckets, strict=True):
        for chosen, expected in zip(row, reference.last_of_bucket(own, other, 3), strict=True):
            assert chosen[chosen != PICK_NONE].tolist() == expected


def tensors(batch: int, length: int, before: int, heads: int, few: int, seed: int = 0) -> Iterator[Tensor]:
    for i, shape in enumerate([(length, heads, 6), (before + length, few, 6), (before + length, few, 5)]):
        yield draw(batch, *shape, seed=seed + i).requires_grad_()


@pytest.mark.parametrize("form", [launch.attend_to_picks, launch.attend_gathered])
@pytest.mark.parametrize("batch, length, before, few, heads, count", SIZES)
def test_attention_to_picks(
    form, monkeypatch, batch: int, length: int, before: int, few: int, heads: int, count: int
) -> None:
    """Values against the plain form, gradients against a mask; heads with picks of their own, and with common ones."""
    monkeypatch.setattr(launch, "GATHERED", 300)
    heads = heads // few * few
    for own in {1, heads}:
        q, keys, values = tensors(batch, length, before, heads, few)
        picks = drawn_picks(batch, length, before, own, count)
        rows = torch.cat([keys, values, torch.full_like(keys[..., :2], torch.nan)], -1)  # with two more channels
        out = form(q, rows, picks, 5)
        group = heads // few
        for b in range(batch):
            for h in range(heads):
                arrays = (q[b, :, h], keys[b, :, h // group], values[b, :, h // group])
                plain = [x.detach().numpy() for x in arrays]
                expected = reference.attend(*plain, picks[b, :, min(h, own - 1)].numpy())
                torch.testing.assert_close(out[b, :, h].detach(), torch.from_numpy(expected), rtol=0, atol=1e-12)
        absent = torch.where(picks == PICK_NONE, before + length, picks).movedim(2, 1)
        seen = torch.zeros(batch, own, length, before + length + 1).scatter(-1, absent, 1.0)[..., :-1] > 0
        scores = torch.einsum("bihk,bjhk->bhij", q, keys.repeat_interleave(group, 2)) * 6**-0.5
        weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
        masked = torch.einsum("bhij,bjhv->bihv", weights, values.repeat_interleave(group, 2))
        pull = draw(*out.shape, seed=9)
        ours = torch.autograd.grad((out * pull).sum(), (q, keys, values))
        for mine, expected in zip(ours, torch.autograd.grad((masked * pull).sum(), (q, keys, values)), strict=True):
            torch.testing.assert_close(mine, expected, rtol=0, atol=1e-11)


def test_types_of_attention_to_picks() -> None:
    """Float32 is computed in float32, 16 bits in float32 and rounded."""
    q, keys, values = (x.detach() for x in tensors(2, 20, 3, 4, 2))
    picks = drawn_picks(2, 20, 3, 1, 7)
    rows = torch.cat([keys, values], -1)
    exact = launch.attend_to_picks(q, rows, picks, 5)
    for dtype, close in ((torch.float32, 1e-6), (torch.bfloat16, 2e-2)):
        out = launch.attend_to_picks(q.to(dtype), rows.to(dtype), picks, 5)
        assert out.dtype == dtype
        torch.testing.assert_close(out.double(), exact, rtol=0, atol=close)


@torch.no_grad()
@pytest.mark.parametrize("axes", [(3, 2, 6), (3, 1, 6)])
def test_rows_with_room_behind_them_are_read_where_they_lie(axes: tuple[int, ...], monkeypatch) -> None:
    sequences, heads, channels = axes
    buffer = torch.full((sequences, 9, heads, channels), torch.nan, dtype=torch.float64)
    rows = buffer[:, :7]
    rows.copy_(draw(sequences, 7, heads, channels, seed=0))
    wide = launch._with_room(rows)
    assert wide.data_ptr() == rows.data_ptr()
    assert wide.shape == buffer.shape
    q = draw(sequences, 2, heads, 4, seed=1)
    picks = drawn_picks(sequences, 2, 5, heads, 4)
    expected = launch.attend_to_picks(q, rows.contiguous(), picks, 2)
    assert torch.equal(launch.attend_to_picks(q, rows, picks, 2), expected)
    # Without room behind the last sequence, or with rows in another order, they are copied.
    for other in (buffer[1:, 2:], buffer[:, ::2], buffer.transpose(0, 1)):
        assert launch._with_room(other) is other
    assert torch.equal(launch.attend_to_picks(q, buffer.flip(1)[:, 2:].flip(1), picks, 2), expected)
