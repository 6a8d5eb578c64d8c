"""RWKV-6 in flash-linear-attention's layout, against a loop written from its published equations and names."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.activations import sigmoid
from safetensors.torch import save_file

from neurosim.base import NeurosimInputError
from neurosim.language import Coding, Decoder, convert, read_model
from neurosim.language.attention.huggingface import READERS
from neurosim.language.attention.huggingface.config import CheckpointConfig

WORDS = 23
WIDTH = 24
HEADS = 3
LAYERS = 2
RANK = 4
DECAY = 6
# 3.5 x 24, up to a multiple of 32
KEYS = WIDTH // 2
VALUES = WIDTH
HIDDEN = 96
ORDER = "rwkvg"  # of the mixes in the files
TOKENS = [3, 11, 3, 0, 22, 7, 19]
CONFIG = {
    "model_type": "rwkv6",
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_heads": HEADS,
    "vocab_size": WORDS,
    "proj_low_rank_dim": RANK,
    "gate_low_rank_dim": DECAY,
    "expand_k": 0.5,
    "expand_v": 1.0,
    "norm_eps": 1e-4,
    "fuse_norm": True,
}
Arrays = dict[str, np.ndarray]


def tensors() -> dict[str, torch.Tensor]:
    shapes: dict[str, tuple[int, ...]] = {"model.embeddings.weight": (WORDS, WIDTH), "lm_head.weight": (WORDS, WIDTH)}
    norms = ["model.norm", "model.layers.0.pre_norm"]
    for i in range(LAYERS):
        block = f"model.layers.{i}"
        a = f"{block}.attn"
        f = f"{block}.ffn"
        norms += [f"{block}.attn_norm", f"{block}.ffn_norm"]
        shapes |= {f"{a}.x_proj.0.mu": (WIDTH,), f"{a}.x_proj.0.linear.weight": (5 * RANK, WIDTH)}
        shapes |= {f"{a}.x_proj.2.weight": (WIDTH, 5 * RANK), f"{a}.x_bias": (5, WIDTH), f"{a}.bonus": (HEADS, 4)}
        shapes |= {f"{a}.{n}_proj.linear.weight": (KEYS if n in "rk" else VALUES, WIDTH) for n in "rkvg"}
        lora = f"{a}.w_proj.linear.lora"
        shapes |= {f"{lora}.0.weight": (DECAY, WIDTH), f"{lora}.2.weight": (KEYS, DECAY), f"{lora}.2.bias": (KEYS,)}
        shapes |= {f"{a}.g_norm.{n}": (VALUES,) for n in ("weight", "bias")} | {f"{a}.o_proj.weight": (WIDTH, VALUES)}
        shapes |= {f"{f}.key.mu": (WIDTH,), f"{f}.receptance.mu": (WIDTH,), f"{f}.value.weight": (WIDTH, HIDDEN)}
        shapes |= {f"{f}.key.linear.weight": (HIDDEN, WIDTH), f"{f}.receptance.linear.weight": (WIDTH, WIDTH)}
    shapes |= {f"{name}.{part}": (WIDTH,) for name in norms for part in ("weight", "bias")}
    draws = torch.Generator().manual_seed(4)
    return {n: torch.randn(s, generator=draws) / math.sqrt(s[-1]) + ("norm.w" in n) for n, s in shapes.items()}


def normed(x: np.ndarray, p: Arrays, name: str, groups: int = 1) -> np.ndarray:
    y = x.reshape(groups, -1)
    y = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + 1e-4)
    return y.reshape(-1) * p[f"{name}.weight"] + p[f"{name}.bias"]


def attention(p: Arrays, a: str, x: np.ndarray, last: np.ndarray, state: np.ndarray) -> np.ndarray:
    delta = last - x
    low = np.tanh(p[f"{a}.x_proj.0.linear.weight"] @ (x + delta * p[f"{a}.x_proj.0.mu"])).reshape(5, RANK)
    shares = np.einsum("nr,hnr->nh", low, p[f"{a}.x_proj.2.weight"].reshape(WIDTH, 5, RANK)) + p[f"{a}.x_bias"]
    mixed = {n: x + delta * share for n, share in zip(ORDER, shares, strict=True)}
    r, k, v, g = (p[f"{a}.{n}_proj.linear.weight"] @ mixed[n] for n in "rkvg")
    lora = f"{a}.w_proj.linear.lora"
    w = p[f"{lora}.2.weight"] @ np.tanh(p[f"{lora}.0.weight"] @ mixed["w"]) + p[f"{lora}.2.bias"]
    r = r.reshape(HEADS, -1)
    k = k.reshape(HEADS, -1)
    w = np.exp(-np.exp(w)).reshape(HEADS, -1)
    v = v.reshape(HEADS, -1)
    out = np.zeros((HEADS, VALUES // HEADS))
    for h in range(HEADS):
        new = np.outer(k[h], v[h])
        out[h] = r[h] @ (state[h] + p[f"{a}.bonus"][h][:, None] * new)
        state[h] = w[h][:, None] * state[h] + new
    return p[f"{a}.o_proj.weight"] @ (normed(out.reshape(-1), p, f"{a}.g_norm", HEADS) * g * sigmoid(g))


def channels(p: Arrays, f: str, x: np.ndarray, last: np.ndarray) -> np.ndarray:
    mixed = {n: x + (last - x) * p[f"{f}.{n}.mu"] for n in ("key", "receptance")}
    hidden = np.maximum(p[f"{f}.key.linear.weight"] @ mixed["key"], 0) ** 2
    return sigmoid(p[f"{f}.receptance.linear.weight"] @ mixed["receptance"]) * (p[f"{f}.value.weight"] @ hidden)


def loop() -> np.ndarray:
    """[T, words] logits, token by token."""
    p: Arrays = {name: value.double().numpy() for name, value in tensors().items()}
    tails = np.zeros((LAYERS, 2, WIDTH))
    states = np.zeros((LAYERS, HEADS, KEYS // HEADS, VALUES // HEADS))
    logits = []
    for token in TOKENS:
        x = normed(p["model.embeddings.weight"][token], p, "model.layers.0.pre_norm")
        for i in range(LAYERS):
            block = f"model.layers.{i}"
            for j, (part, norm) in enumerate((("attn", "attn_norm"), ("ffn", "ffn_norm"))):
                y = normed(x, p, f"{block}.{norm}")
                name = f"{block}.{part}"
                x = x + (channels(p, name, y, tails[i, j]) if j else attention(p, name, y, tails[i, j], states[i]))
                tails[i, j] = y
        logits.append(p["lm_head.weight"] @ normed(x, p, "model.norm"))
    return np.stack(logits)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file(tensors(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


@torch.no_grad()
def test_logits_are_those_of_the_loop(folder: Path) -> None:
    model = read_model(folder)
    expected = loop()
    scale = np.abs(expected).max()
    state = None
    np.testing.assert_allclose(model(torch.tensor([TOKENS]))[0][0], expected, rtol=0, atol=2e-5 * scale)
    for token, wanted in zip(TOKENS, expected, strict=True):
        logits, state = model.step(torch.tensor([token]), state)
        np.testing.assert_allclose(logits[0], wanted, rtol=0, atol=2e-5 * scale)
    spiking = convert(model, Coding("ternary", weights="int8")).execute().model
    decoder = Decoder(spiking)
    state = None
    for token in TOKENS:
        logits, state = spiking.step(torch.tensor([token]), state)
        np.testing.assert_allclose(decoder.step([token]), logits, rtol=0, atol=5e-5 * scale)


def test_sizes_that_do_not_fit_are_named(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG | {"num_heads": 5}))
    with pytest.raises(NeurosimInputError, match=r"num_heads: must divide 12 channels of keys \(got 5\)"):
        read_model(folder)


def test_mamba_of_flash_linear_attention_has_a_norm_of_its_own_name() -> None:
    base = {"hidden_size": 8, "vocab_size": 5, "num_hidden_layers": 1}
    for more, eps, tied in (({"norm_eps": 1e-3}, 1e-3, False), ({"layer_norm_epsilon": 1e-4}, 1e-4, True)):
        source = CheckpointConfig(base | more)
        config = READERS["mamba"].config(source)
        assert (config.eps, config.tied, source.unknown()) == (eps, tied, [])
