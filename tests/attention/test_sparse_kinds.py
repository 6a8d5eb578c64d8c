"""Kinds whose tokens see a few others, or a bank: what is seen, and what they are in their simplest case."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from neurosim.attention import Depth, build

WIDTH = 12


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer_of(kind: str, **options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(kind, WIDTH, Depth(), options).double()


def like(other: Any, kind: str, **options: Any) -> Any:
    """A layer of this kind with the weights of another, of the same names."""
    layer = layer_of(kind, **options)
    layer.load_state_dict({name: other.state_dict()[name] for name in layer.state_dict()})
    return layer


def test_a_checkpoint_of_every_token_is_softmax_attention() -> None:
    scout, x = layer_of("scout", num_heads=2, interval=1), noise(2, 30, WIDTH)
    torch.testing.assert_close(scout(x)[0], like(scout, "softmax", num_heads=2)(x)[0], rtol=0, atol=1e-12)


def test_a_token_sees_checkpoints_before_it_and_itself() -> None:
    """A change of token 7 of 20, checkpoints 4, 9, 14, 19, reaches no other token; one of token 9, all behind it."""
    scout, x = layer_of("scout", num_heads=2, interval=5), noise(1, 20, WIDTH)
    before, state = scout(x)
    assert state["memory"].shape[1] == 4
    for token, reached in ((7, [7]), (9, list(range(9, 20)))):
        other = x.clone()
        other[0, token] += 1
        changed = (scout(other)[0] - before)[0].abs().amax(-1) > 1e-9
        assert changed.nonzero()[:, 0].tolist() == reached


def test_a_bank_at_low_temperature_returns_the_nearest_pattern() -> None:
    """As a dense associative memory with values for patterns: the bank alone, its gate open."""
    gam, patterns = layer_of("gam", slots=8), torch.nn.functional.normalize(noise(8, WIDTH, seed=3), dim=-1)
    with torch.no_grad():
        gam.bank.weight.copy_(200 * patterns)
        gam.o_proj.weight.copy_(patterns.T)
        gam.gate_proj.weight.zero_()
        gam.gate_proj.bias.copy_(torch.cat([torch.full((WIDTH,), -1e9), torch.full((WIDTH,), 1e9)]))
    cue = patterns + 0.1 * noise(8, WIDTH, seed=4)
    torch.testing.assert_close(gam(cue[None])[0][0], patterns, rtol=0, atol=1e-3)


def test_a_bank_that_is_not_written_hears_no_more_than_its_convolution() -> None:
    gam, x = layer_of("gam", slots=8), noise(1, 12, WIDTH)
    before, _ = gam(x)
    x[0, 3] += 1
    changed = (gam(x)[0] - before)[0].abs().amax(-1) > 1e-9
    assert changed.nonzero()[:, 0].tolist() == [3, 4, 5]
