"""TransNormer's blocks against their equations, token by token."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from neurosim.base import NeurosimInputError
from neurosim.language import Decoder, Depth, LanguageModel
from neurosim.language.attention.checkpoint import read_model
from neurosim.language.attention.kinds.linear import Retention
from neurosim.language.attention.kinds.rotary import build_rotary
from neurosim.language.attention.transnormer import published_transnormer, transnormer_config


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
    logits = model(torch.tensor([[3, 1, 4]]))[0][0].detach().numpy()
    decoder = Decoder(model)
    steps = [np.array(decoder.step([token])).ravel() for token in (3, 1, 4)]
    np.testing.assert_allclose(steps, logits, rtol=0, atol=1e-4 * np.abs(logits).max())
    with pytest.raises(NeurosimInputError, match=r"Retention\.rotary: must be true with trained_angles"):
        Retention(8, Depth(0, 1), num_heads=2, rotary=False, trained_angles=True)


def layout(heads: int = 3, layers: int = 3) -> tuple[dict[str, object], dict[str, Tensor]]:
    """Return the config and drawn tensors of a model in the layout of its source; layer 0 alone is turned."""
    width, inner, hidden, vocabulary = 8, 4 * heads, 10, 11
    draws = torch.Generator().manual_seed(5)
    shapes = {"model.embed_tokens.weight": (vocabulary, width), "lm_head.weight": (vocabulary, width)}
    for i in range(layers):
        block = f"model.layers.{i}"
        shapes |= {
            f"{block}.token_mixer.qkvu_proj.weight": (4 * inner, width),
            f"{block}.token_mixer.out_proj.weight": (width, inner),
            f"{block}.channel_mixer.l1.weight": (hidden, width),
            f"{block}.channel_mixer.l2.weight": (hidden, width),
            f"{block}.channel_mixer.l3.weight": (width, hidden),
        }
    shapes["model.layers.0.token_mixer.lrpe.theta"] = (heads, 1, 4)
    config: dict[str, object] = {
        "model_type": "transnormer",
        "decoder_attention_heads": heads,
        "decoder_embed_dim": width,
        "decoder_layers": layers,
        "hidden_dim": inner,
        "glu_dim": hidden,
        "glu_act": "none",
        "linear_act_fun": "swish",
        "linear_use_lrpe_list": [1] + [0] * (layers - 1),
        "no_scale_embedding": False,
        "norm_type": "simplermsnorm",
        "bias": False,
        "vocab_size": vocabulary,
        "init_std": 0.02,
        "use_cache": True,
    }
    return config, {name: torch.randn(shape, generator=draws) / 2 for name, shape in shapes.items()}


def write(folder: Path, config: dict[str, object], tensors: dict[str, Tensor]) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


def by_hand(config: dict[str, object], tensors: dict[str, Tensor], tokens: list[int]) -> np.ndarray:
    """Return the logits of the source's equations, a token and a head at a time."""
    w = {name: value.double().numpy() for name, value in tensors.items()}
    heads, layers = 3, 3
    # ALiBi's slopes of 2 heads, then the first of 4.
    slopes = [2**-4.0, 2**-8.0, 2**-2.0]

    def norm(x: np.ndarray) -> np.ndarray:
        return x / (np.sqrt((x**2).mean(-1, keepdims=True)) + 1e-8)

    def silu(x: np.ndarray) -> np.ndarray:
        return x / (1 + np.exp(-x))

    x = w["model.embed_tokens.weight"][tokens] * math.sqrt(8)
    for layer in range(layers):
        block = f"model.layers.{layer}"
        q, k, v, u = np.split(norm(x) @ w[f"{block}.token_mixer.qkvu_proj.weight"].T, 4, -1)
        q, k = (silu(each).reshape(-1, heads, 4) for each in (q, k))
        v = v.reshape(-1, heads, 4)
        out = np.zeros_like(v)
        for head in range(heads):
            decay = np.exp(-slopes[head] * (1 - layer / (layers - 1) + 1e-5))
            state = np.zeros((8 if layer == 0 else 4, 4))
            for t in range(len(tokens)):
                a, b = q[t, head], k[t, head]
                if layer == 0:
                    angles = w[f"{block}.token_mixer.lrpe.theta"][head, 0] * t
                    a, b = (np.concatenate([each * np.cos(angles), each * np.sin(angles)]) for each in (a, b))
                state = decay * state + np.outer(b, v[t, head])
                out[t, head] = a @ state
        x = x + (u * norm(out.reshape(len(tokens), -1))) @ w[f"{block}.token_mixer.out_proj.weight"].T
        n = norm(x)
        l1, l2, l3 = (w[f"{block}.channel_mixer.l{i}.weight"] for i in (1, 2, 3))
        x = x + ((n @ l1.T) * (n @ l2.T)) @ l3.T
    return norm(x) @ w["lm_head.weight"].T


def test_a_folder_of_the_source_is_read_and_gives_its_logits(tmp_path: Path) -> None:
    config, tensors = layout()
    model = read_model(write(tmp_path, config, tensors))
    tokens = [3, 1, 4, 1, 5, 9, 2, 6, 5]
    expected = by_hand(config, tensors, tokens)
    whole = model.double()(torch.tensor([tokens]))[0][0]
    np.testing.assert_allclose(whole.detach().numpy(), expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    state = None
    for token in tokens:
        logits, state = model(torch.tensor([[token]]), state)
    torch.testing.assert_close(logits[0, 0], whole[-1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("angles", [True, False])
def test_a_folder_of_the_source_has_a_compiled_step(angles: bool, tmp_path: Path) -> None:
    config, tensors = layout()
    if not angles:
        tensors.pop("model.layers.0.token_mixer.lrpe.theta")
        config = config | {"linear_use_lrpe_list": []}
    model = read_model(write(tmp_path, config, tensors))
    decoder = Decoder(model)
    tokens = [3, 1, 4, 1, 5]
    steps = [np.array(decoder.step([token])).ravel() for token in tokens]
    whole = model(torch.tensor([tokens]))[0][0].detach().numpy()
    np.testing.assert_allclose(steps, whole, rtol=0, atol=1e-4 * np.abs(whole).max())


@pytest.mark.parametrize(
    "change, words",
    [
        ({"norm_type": "layernorm"}, r"norm_type: must be simplermsnorm .got layernorm"),
        ({"linear_act_fun": "elu"}, r"linear_act_fun: must be silu or swish .got elu"),
        ({"bias": True}, r"bias: must be false"),
        ({"glu_act": "silu"}, r"glu_act: must be none"),
        ({"no_scale_embedding": True}, r"no_scale_embedding: must be false"),
        ({"linear_use_lrpe_list": [1]}, r"linear_use_lrpe_list: must be 3 flags"),
        ({"decoder_layers": 4}, r"decoder_layers: must be 3, the layers that have tensors .got 4"),
    ],
)
def test_other_layers_are_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    config, tensors = layout()
    with pytest.raises(NeurosimInputError, match=words):
        read_model(write(tmp_path, config | change, tensors))
