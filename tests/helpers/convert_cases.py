"""Converted layers and states executed by Triton, against their simulated form. Run by `triton_tools`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from neurosim.language import SCHEMES, Coder, Coding, LanguageConfig, LanguageModel, MixerSpec, SpikedLinear, convert


@contextmanager
def card(device: str) -> Iterator[None]:
    """In the interpreter, let tensors of the CPU say that they are on a card: the Triton forms are then chosen."""
    if device == "cpu":
        torch.Tensor.is_cuda = property(lambda self: True)  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        if device == "cpu":
            del torch.Tensor.is_cuda  # that of its base is seen again


def case_layers(device: str) -> None:
    """One token, a few, and a batch whose counts go as bit planes; outliers escape from them."""
    draws = torch.Generator().manual_seed(2)
    for scheme in SCHEMES:
        dense = nn.Linear(45, 23)
        nn.init.normal_(dense.weight, generator=draws)
        thresholds = torch.rand(45 if SCHEMES[scheme].channel else 1, generator=draws) + 0.2
        coder = Coder(scheme, thresholds, thresholds * 1.1, price=0.5, limit=127)
        layer = SpikedLinear(dense.to(device), coder, "int8", planes=4)
        for rows in (1, 5, 20):
            x = 3 * torch.randn(rows, 45, generator=draws)
            x[0, 3] = 100.0
            layer.execute(False)
            simulated = layer(x.to(device))
            with card(device):
                layer.execute(True)
                assert torch.equal(layer(x.to(device)), simulated), (scheme, rows)


def case_states(device: str) -> None:
    """A model of kinds with lazy states, token by token: the same states and outputs as densely, within rounding."""
    kinds = {
        "gated_deltanet": {"num_heads": 2, "head_dim": 8, "head_v_dim": 12},
        "gla": {"num_heads": 2},
        "deltaproduct": {"num_heads": 2, "head_dim": 8, "head_v_dim": 8},
        "rwkv7": {"head_dim": 8},
    }
    for kind, options in kinds.items():
        model = LanguageModel(LanguageConfig((MixerSpec(kind, options),), width=16, hidden=16), 1).eval()
        made = convert(model, Coding("ternary", k=1.0, qk=True)).to(device)
        x = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(1)).to(device)
        with torch.no_grad():
            simulated, after = made.model.mixers()[0](x, None, {})
            with card(device):
                made.execute()
                mixer = made.model.mixers()[0]
                first, state = mixer(x[:, :4], None, {})
                rest, state = mixer(x[:, 4:], state, {})
        torch.testing.assert_close(torch.cat([first, rest], 1), simulated, rtol=1e-4, atol=1e-5)
        memory = state["memory"] * state["owed"].exp()[..., None]
        torch.testing.assert_close(memory, after["memory"], rtol=1e-4, atol=1e-5)
