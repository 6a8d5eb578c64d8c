"""TransNormer's blocks against their equations, token by token."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from neurosim.base import NeurosimInputError
from neurosim.language import Decoder, Depth, LanguageModel
from neurosim.language.attention.kinds.linear import Retention
from neurosim.language.attention.kinds.rotary import build_rotary
from neurosim.language.attention.transnormer import published_transnormer, transnormer_config
from neurosim.language.conversion.decoder.program import NotCompiledError


@pytest.mark.parametrize("trained", [False, True])
def test_two_blocks_against_their_equations(trained: bool) -> None:
    model = LanguageModel(transnormer_config(2, 2, 8, 11, 12, trained_angles=trained)).double()
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 2:
                p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()), dtype=p.dtype) / 3)
    tokens = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6])
    weights = model.state_dict()

    def norm(x: Tensor, eps: float = 1e-6) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + eps).sqrt()

    x = weights["embeddings.weight"][tokens]
    for layer in range(2):
        w = {name: weights[f"layers.{layer}.mixer.{name}_proj.weight"] for name in "qkvgo"}
        n = norm(x)
        q, k = (torch.nn.functional.silu(n @ w[name].T).view(8, 2, 4) for name in "qk")
        v = n @ w["v"].T
        u = n @ w["g"].T
        angles = torch.zeros(2, 4, dtype=x.dtype)
        if layer == 0 and trained:
            angles = weights["layers.0.mixer.trained.angles"]
        elif layer == 0:
            q, k = (build_rotary(4).turn(each[None], torch.tensor(0))[0] for each in (q, k))
        out = torch.zeros(8, 2, 4, dtype=x.dtype)
        for t in range(8):
            for s in range(t + 1):
                for head in range(2):
                    decay = torch.tensor(-4.0 * (1 - layer / 2) * head * (t - s)).double().exp()
                    score = (q[t, head] * k[s, head] * (angles[head] * (t - s)).cos()).sum() / 2
                    out[t, head] += decay * score * v[s].view(2, 4)[head]
        x = x + (norm(out, 1e-5).flatten(1) * u) @ w["o"].T
        n = norm(x)
        w = {name: weights[f"layers.{layer}.mlp.{name}_proj.weight"] for name in ("gate", "up", "down")}
        x = x + ((n @ w["gate"].T) * (n @ w["up"].T)) @ w["down"].T
    torch.testing.assert_close(model(tokens[None])[0][0], norm(x) @ weights["lm_head.weight"].T, rtol=0, atol=1e-6)


def test_the_published_form_trains_its_angles_and_no_norm() -> None:
    model = published_transnormer(2, 2, 8, 11, 12)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert "layers.0.mixer.trained.angles" in trained and "layers.1.mixer.trained.angles" not in trained
    assert not [name for name in trained if "norm" in name]
    model(torch.tensor([[3, 1, 4]]))[0].square().sum().backward()
    angles = model.layers[0].mixer.trained.angles  # type: ignore[union-attr]
    # Ten thousand to one over all channels of all heads.
    torch.testing.assert_close(angles.flatten()[4].item(), 10000.0 ** (-8 / 8))
    assert float(angles.grad.abs().max()) > 0  # type: ignore[union-attr,operator]
    with pytest.raises(NotCompiledError):
        Decoder(model)
    with pytest.raises(NeurosimInputError, match=r"Retention\.rotary: must be true with trained_angles"):
        Retention(8, Depth(0, 1), num_heads=2, rotary=False, trained_angles=True)
