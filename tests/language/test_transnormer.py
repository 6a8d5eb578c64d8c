"""TransNormer's blocks against their equations, token by token."""

from __future__ import annotations

import torch
from torch import Tensor

from neurosim.language import LanguageModel
from neurosim.language.attention.kinds.rotary import build_rotary
from neurosim.language.attention.transnormer import transnormer_config


def test_two_blocks_against_their_equations() -> None:
    model = LanguageModel(transnormer_config(2, 2, 8, 11, 12)).double()
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
        if layer == 0:
            q, k = (build_rotary(4).turn(each[None], torch.tensor(0))[0] for each in (q, k))
        out = torch.zeros(8, 2, 4, dtype=x.dtype)
        for t in range(8):
            for s in range(t + 1):
                for head in range(2):
                    decay = torch.tensor(-4.0 * (1 - layer / 2) * head * (t - s)).double().exp()
                    out[t, head] += decay * (q[t, head] @ k[s, head]) / 2 * v[s].view(2, 4)[head]
        x = x + (norm(out, 1e-5).flatten(1) * u) @ w["o"].T
        n = norm(x)
        w = {name: weights[f"layers.{layer}.mlp.{name}_proj.weight"] for name in ("gate", "up", "down")}
        x = x + ((n @ w["gate"].T) * (n @ w["up"].T)) @ w["down"].T
    torch.testing.assert_close(model(tokens[None])[0][0], norm(x) @ weights["lm_head.weight"].T, rtol=0, atol=1e-6)
