"""LightNet over images: one scan in any order, and positions that depend on distances."""

from __future__ import annotations

import pytest
import torch
from helpers.attention_kinds import noise

from neurosim.base import NeurosimInputError
from neurosim.language.attention.kinds.lightnet import LightNet2D


def test_without_positions_the_order_of_pixels_counts_nothing() -> None:
    x = noise(2, 4, 5, 8)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    mixed = x.flatten(1, 2)[:, order].view_as(x)
    for toeplitz, cosine in ((False, False), (True, False), (False, True)):
        layer = LightNet2D(8, 2, toeplitz=toeplitz, cosine=cosine).double()
        expected = layer(x).flatten(1, 2)[:, order].view_as(x)
        assert torch.allclose(layer(mixed), expected, atol=1e-12) != (toeplitz or cosine)


def test_cosine_positions_depend_on_distances() -> None:
    """The same pixels and weights, written pair by pair: o_i = sum_j sum_k q_ik cos(w_k (p_i - p_j)) k_jk v_j."""
    layer = LightNet2D(6, 1, toeplitz=False).double()
    x = noise(1, 3, 4, 6)
    q = torch.nn.functional.silu(layer.q_proj(x)).view(12, 6) * 6**-0.5
    k = layer.k_proj(x).view(12, 6).softmax(0)
    v = layer.v_proj(x).view(12, 6)
    out = torch.zeros(12, 6, dtype=torch.float64)
    for i in range(12):
        for j in range(12):
            apart = torch.tensor([i // 4 - j // 4, i % 4 - j % 4], dtype=torch.float64)
            turned = (apart @ layer.turns.double()).cos()  # type: ignore[union-attr]
            out[i] += (q[i] * turned * k[j]).sum() * v[j]
    gate = torch.nn.functional.silu(layer.g_proj(x)).view(12, 6)
    torch.testing.assert_close(layer(x).view(12, 6), layer.o_proj(layer.norm(out) * gate), rtol=0, atol=1e-11)


def test_toeplitz_positions_are_decays_along_each_axis() -> None:
    """Against recurrences to the right, left, down and up."""
    layer = LightNet2D(4, 1).double()
    x = noise(2, 3, 5, 4)
    found = torch.zeros_like(x)
    assert layer.reach is not None and layer.gain is not None
    for axis in (1, 2):
        decay = layer.reach[axis - 1].sigmoid()
        gain = layer.gain[axis - 1]
        for flip in (False, True):
            lines = (x.flip(axis) if flip else x).transpose(1, axis)
            state = torch.zeros_like(lines[:, 0])
            out = []
            for line in lines.unbind(1):
                out.append(decay * state)  # the pixel itself is added once, below
                state = decay * state + line
            each = torch.stack(out, 1).transpose(1, axis)
            found = found + gain * (each.flip(axis) if flip else each)
        found = found + gain * x
    torch.testing.assert_close(layer.neighbours(x), found, rtol=0, atol=1e-12)
    with pytest.raises(NeurosimInputError, match=r"LightNet2D.width: must be a multiple of 3 and > 0 \(got 4\)"):
        LightNet2D(4, 3)
