"""Attention over the last tokens, in blocks: the definition by a mask, and work that grows with the tokens alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.attention_kinds import SMALL, WIDTH, handed, mixer_of, noise
from helpers.element_count import elements_of
from torch import Tensor

from neurosim.language.attention.kinds.windows import MIN_BLOCK, Blocks, attend_to_last

# Kinds whose tokens see few others: their attention is no operation of torch, but the rest of them is.
SPARSE: list[tuple[str, dict[str, Any]]] = [(kind, SMALL[kind]) for kind in ("bmojo", "hax", "sea")]
# Kinds whose tokens see a window, in options whose blocks are shorter than the texts below.
WINDOWED: list[tuple[str, dict[str, Any]]] = [
    ("local_linear", {"num_heads": 4, "num_kv_heads": 2, "window_size": 7}),
    ("seqboat", {"slots": 6, "key_dim": 8, "state_size": 3}),
    ("tcnca", {"layers": 2, "kernel": 3, "dilation": 2, "window_size": 7, "key_dim": 8}),
    ("window", {"num_heads": 4, "num_kv_heads": 2, "window_size": 7}),
    ("window", {"num_heads": 2, "window_size": 45}),
]


def masked(q: Tensor, keys: Tensor, values: Tensor, window: int) -> Tensor:
    """Softmax attention by a mask over all pairs."""
    keys, values = (x.repeat_interleave(q.shape[2] // keys.shape[2], 2) for x in (keys, values))
    now = torch.arange(keys.shape[1] - q.shape[1], keys.shape[1])[:, None]
    then = torch.arange(keys.shape[1])
    unseen = (then > now) | (then <= now - window)
    scores = torch.einsum("bihk,bjhk->bhij", q, keys) * q.shape[-1] ** -0.5
    return torch.einsum("bhij,bjhv->bihv", scores.masked_fill(unseen, -torch.inf).softmax(-1), values)


@pytest.mark.parametrize("window", [1, 5, 16, 50])
@pytest.mark.parametrize("length, before", [(1, 60), (70, 0), (100, 0), (161, 49), (128, 3), (200, 120)])
def test_a_window_in_blocks_is_a_mask_over_all_pairs(window: int, length: int, before: int) -> None:
    q, keys, values = (
        noise(2, count, heads, size, seed=seed).requires_grad_()
        for seed, (count, heads, size) in enumerate([(length, 4, 6), (before + length, 2, 6), (before + length, 2, 5)])
    )
    pull = noise(2, length, 4, 5, seed=9)
    results = []
    for attend in (attend_to_last, masked):
        out = attend(q, keys, values, window)
        results.append([out, *torch.autograd.grad((out * pull).sum(), (q, keys, values))])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("skip", [0, 4, 70])
def test_blocks_hold_the_tokens_that_their_queries_see(skip: int) -> None:
    """Numbers of tokens for their values: what is visible to query i are the w tokens that end `skip` before it."""
    window = 4
    length = 75
    known = 81
    blocks = Blocks(window, length, known)
    assert blocks.size == MIN_BLOCK
    tokens = blocks.tokens(torch.arange(known)[None, :, None, None] + 1.0, skip)[0, :, 0, :, 0]
    visible = blocks.visible(torch.device("cpu"), skip)
    numbers = torch.arange(length)[None, :, None, None] + 1.0
    places = blocks.queries(numbers)
    assert torch.equal(blocks.join(places), numbers)
    for block, query in places[0, :, :, 0, 0].nonzero().tolist():
        now = known - length + block * MIN_BLOCK + query - skip
        seen = tokens[block][visible[block, query]].long() - 1
        assert seen.tolist() == list(range(max(now - window + 1, 0), now + 1))


@pytest.mark.parametrize("kind, options", WINDOWED, ids=lambda x: x if isinstance(x, str) else "")
def test_kinds_in_blocks_are_their_recurrence(kind: str, options: dict[str, Any]) -> None:
    """Values and gradients over several blocks and a rest, from a state that is not empty."""
    mixer = mixer_of(kind, options)
    _, state = mixer(noise(2, 9, WIDTH, seed=1), None, handed(9))
    x = noise(2, 100, WIDTH).requires_grad_()
    inputs, _ = mixer.project(x, state, handed(100))
    results = []
    for run in (mixer.stepwise, mixer.chunked):
        memory, out = run(state["memory"], inputs)
        y = mixer.finish(out, x, inputs)
        loss = (y * noise(*y.shape, seed=2)).sum() + memory.square().sum()
        results.append([memory, y, *torch.autograd.grad(loss, [x, *mixer.parameters()], retain_graph=True)])
    for chunked, stepwise in zip(*results, strict=True):
        torch.testing.assert_close(chunked, stepwise, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind, options", [*WINDOWED[:4], *SPARSE], ids=lambda x: x if isinstance(x, str) else "")
def test_work_grows_with_the_tokens_and_not_with_their_pairs(kind: str, options: dict[str, Any]) -> None:
    """Four times the tokens, at most 4.3 times the elements, forward and back; of a mask over pairs 10 to 15 times."""
    mixer = mixer_of(kind, options, torch.float32)
    # So long a text that losses on 256 tokens of it do not grow.
    short = 256 if kind not in ("hax", "sea") else 512

    def work(length: int) -> int:
        x = noise(1, length, WIDTH, dtype=torch.float32).requires_grad_()
        return elements_of(lambda: mixer(x)[0].sum().backward())

    assert work(4 * short) <= 4.3 * work(short)


@pytest.mark.parametrize(
    "kind", ["gla", "gated_deltanet", "rwkv7", pytest.param("titans", marks=pytest.mark.slow), "plstm"]
)
def test_gradients_of_chunks_grow_with_the_tokens(kind: str) -> None:
    """Four times the tokens, four times the elements: the gradient of a chunk is no tensor of all chunks."""
    options = SMALL.get(kind, {}) | ({"states": 2} if kind == "plstm" else {})
    mixer = mixer_of(kind, options, torch.float32)

    def work(length: int) -> int:
        x = noise(2, length, WIDTH, dtype=torch.float32).requires_grad_()
        return elements_of(lambda: mixer(x, None, handed(length, torch.float32))[0].sum().backward())

    assert work(1024) <= 4.1 * work(256)


def test_a_router_that_activates_no_token_reads_nothing() -> None:
    layer = mixer_of("seqboat", {"slots": 6, "key_dim": 8, "state_size": 3})
    with torch.no_grad():
        layer.hx_proj.weight[:2] = 0  # type: ignore[union-attr,index]
        layer.hx_proj.bias[:2] = torch.tensor([1e4, -1e4])  # type: ignore[union-attr,index]
    x = noise(2, 20, WIDTH)
    y, state = layer(x)
    s = torch.nn.functional.silu(layer.average(x)[0])  # type: ignore[operator]
    # y - x_0 of y = silu(h + x_0): what the block adds to the stream.
    expected = torch.nn.functional.silu(layer.hx_proj(s)[..., 2:] + x) - x  # type: ignore[operator]
    torch.testing.assert_close(y, expected)
    assert not state["memory"].any()
