"""Memories of all tokens: appended without copies, never changed, and what recurrences give with them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from neurosim.language import Depth, build
from neurosim.language.attention.kinds.growing import appended, last_channels

OPTIONS = {
    "hax": {"key_dim": 8, "topk": 4, "mamba": {"head_dim": 8, "state_size": 4}},
    "latent": {"num_heads": 2, "kv_lora_rank": 8},
    "sea": {"num_heads": 2, "topk": 4, "columns": 8},
    "softmax": {"num_heads": 4, "num_kv_heads": 2},
}


def rows(first: int, count: int, batch: int = 2) -> Tensor:
    numbers = torch.arange(first, first + count, dtype=torch.float32)
    return torch.stack([numbers + 1000 * b for b in range(batch)])[..., None]


@torch.no_grad()
def test_rows_are_appended_in_place_and_copied_four_times_in_all() -> None:
    memory = rows(0, 0)
    places = set()
    for token in range(5000):
        memory = appended(memory, rows(token, 1))
        places.add(memory.data_ptr())
    assert torch.equal(memory, rows(0, 5000))
    # Room grows by a quarter of the tokens: log(5000 / 256) / log(1.25) = 13.3 copies, and four of the first 256.
    assert len(places) < 20


@torch.no_grad()
def test_texts_that_go_on_from_one_memory_do_not_meet() -> None:
    common = appended(rows(0, 0), rows(0, 7))
    kept = common.clone()
    first = appended(common, rows(100, 1))
    second = appended(common, rows(200, 2))
    first = appended(first, rows(101, 1))
    assert torch.equal(common, kept)
    assert torch.equal(first, torch.cat([kept, rows(100, 2)], 1))
    assert torch.equal(second, torch.cat([kept, rows(200, 2)], 1))


@torch.no_grad()
def test_last_channels_of_memories_that_branch() -> None:
    def both(*parts: Tensor) -> Tensor:
        return torch.cat([torch.cat([part * k for k in (1, 2, 3)], -1) for part in parts], 1)

    start = both(rows(0, 0))
    common = appended(start, both(rows(0, 5)))
    assert last_channels(start, common, 2).is_contiguous()
    for first in (100, 200, 300):
        memory = common
        for token in range(4):
            after = appended(memory, both(rows(first + token, 1)))
            channels = last_channels(memory, after, 2)
            memory = after
        assert torch.equal(channels, both(rows(0, 5), rows(first, 4))[..., 1:])
        assert torch.equal(memory, both(rows(0, 5), rows(first, 4)))


def test_with_gradients_and_other_types_rows_are_copied() -> None:
    memory = torch.ones(1, 2, 3, requires_grad=True)
    appended(memory, torch.zeros(1, 1, 3)).sum().backward()
    assert torch.equal(memory.grad, torch.ones(1, 2, 3))
    with torch.no_grad():
        assert appended(torch.ones(1, 2, 3), torch.zeros(1, 1, 3, dtype=torch.float64)).dtype == torch.float64
    with torch.inference_mode():
        inside = appended(torch.ones(1, 0, 3), torch.ones(1, 1, 3))
    with torch.no_grad():
        assert torch.equal(appended(inside, torch.zeros(1, 1, 3))[0, :, 0], torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("kind", OPTIONS)
def test_recurrences_that_branch_are_as_with_copies(kind: str) -> None:
    """Three texts from one prompt, their tokens in turn: each as with gradients, where memories are copied."""
    torch.manual_seed(0)
    mixer = build(kind, 16, Depth(), OPTIONS[kind]).eval()
    prompt = torch.randn(2, 70, 16)
    texts = torch.randn(3, 2, 9, 16)
    _, start = mixer(prompt)
    with torch.no_grad():
        _, room = mixer(prompt)
        own = [room, room, room]
    outputs: list[list[Tensor]] = [[], [], []]
    for t in range(9):
        for n in range(3):
            with torch.no_grad():
                y, own[n] = mixer(texts[n, :, t : t + 1], own[n])
            outputs[n].append(y)
    for n in range(3):
        state = start
        for t in range(9):
            y, state = mixer(texts[n, :, t : t + 1], state)
            assert torch.equal(outputs[n][t], y.detach())


@torch.no_grad()
@pytest.mark.parametrize("kind", OPTIONS)
def test_steps_write_behind_the_memory(kind: str) -> None:
    torch.manual_seed(0)
    mixer = build(kind, 16, Depth(), OPTIONS[kind]).eval()
    _, state = mixer(torch.randn(2, 80, 16))
    place = state["memory"].data_ptr()
    for _ in range(40):
        _, state = mixer(torch.randn(2, 1, 16), state)
    assert state["memory"].shape[1] == 120
    assert state["memory"].data_ptr() == place
