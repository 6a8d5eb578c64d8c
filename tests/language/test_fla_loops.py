"""HGRN, GSA and Comba in flash-linear-attention's layout, against loops written from their equations and names."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.activations import sigmoid, silu
from safetensors.torch import save_file

from neurosim.base import NeurosimInputError
from neurosim.language import Coding, convert, read_model

WORDS = 23
WIDTH = 12
LAYERS = 2
HIDDEN = 20
EPS = 1e-4
HEADS = 2
KV = 1
SLOTS = 5
CONV = 3
HEAD = 4
VALUE_HEADS = 4
VALUE = 6
TOKENS = [3, 11, 3, 0, 22, 7, 19, 11]
BASE = {
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "vocab_size": WORDS,
    "intermediate_size": HIDDEN,
    "norm_eps": EPS,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "comba": {"num_heads": HEADS, "head_dim": HEAD, "num_v_heads": VALUE_HEADS, "expand_v": 1.5, "conv_size": CONV},
    "gsa": {"num_heads": HEADS, "num_kv_heads": KV, "num_slots": SLOTS, "use_output_gate": False},
    "hgrn": {"use_short_conv": True, "conv_size": CONV},
}
Arrays = dict[str, np.ndarray]


def shapes_of(kind: str) -> dict[str, tuple[int, ...]]:
    if kind == "hgrn":
        found = {f"{n}_proj.weight": (WIDTH, WIDTH) for n in "ifgo"} | {"g_norm.weight": (WIDTH,)}
        return found | {f"{n}_conv1d.weight": (WIDTH, 1, CONV) for n in "fi"}
    if kind == "gsa":
        shared = WIDTH * KV // HEADS
        found = {"q_proj.weight": (WIDTH, WIDTH), "o_proj.weight": (WIDTH, WIDTH), "g_norm.weight": (WIDTH,)}
        found |= {f"{n}_proj.weight": (shared, WIDTH) for n in "kv"}
        return found | {"f_proj.weight": (KV * SLOTS, WIDTH)}
    sizes = {"q": HEADS * HEAD, "k": HEADS * HEAD, "v": VALUE_HEADS * VALUE}
    found = {f"{n}_proj.weight": (size, WIDTH) for n, size in sizes.items()}
    found |= {f"{n}_conv1d.weight": (size, 1, CONV) for n, size in sizes.items()}
    found |= {f"{n}_proj.weight": (VALUE_HEADS, WIDTH) for n in "ab"} | {"decay": (HEADS,), "D": (HEADS,)}
    found |= {"A_log": (VALUE_HEADS,), "dt_bias": (VALUE_HEADS,), "o_norm.weight": (VALUE,)}
    return found | {"g_proj.weight": (sizes["v"], WIDTH), "o_proj.weight": (WIDTH, sizes["v"])}


def tensors(kind: str) -> dict[str, torch.Tensor]:
    shapes: dict[str, tuple[int, ...]] = {"model.embeddings.weight": (WORDS, WIDTH), "lm_head.weight": (WORDS, WIDTH)}
    shapes |= {"model.norm.weight": (WIDTH,)} | ({"model.lower_bounds": (LAYERS, WIDTH)} if kind == "hgrn" else {})
    for i in range(LAYERS):
        block = f"model.layers.{i}"
        shapes |= {f"{block}.attn.{name}": shape for name, shape in shapes_of(kind).items()}
        shapes |= {f"{block}.{n}_norm.weight": (WIDTH,) for n in ("attn", "mlp")}
        shapes |= {f"{block}.mlp.{n}_proj.weight": (HIDDEN, WIDTH) for n in ("gate", "up")}
        shapes[f"{block}.mlp.down_proj.weight"] = (WIDTH, HIDDEN)
    draws = torch.Generator().manual_seed(4)
    found = {n: torch.randn(s, generator=draws) / math.sqrt(s[-1]) + ("norm" in n) for n, s in shapes.items()}
    return {n: 4 * v if n.endswith("embeddings.weight") else v for n, v in found.items()}


def normed(x: np.ndarray, weight: np.ndarray, eps: float = EPS) -> np.ndarray:
    return x / np.sqrt(np.square(x).mean(-1, keepdims=True) + eps) * weight


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt(np.square(x).sum(-1, keepdims=True) + 1e-6)


class Layer:
    """One layer's state: `tails` of convolutions by name, and whatever `memory` its kind keeps."""

    def __init__(self, p: Arrays, path: str, bound: np.ndarray | None) -> None:
        self.p = p
        self.path = path
        self.bound = bound
        self.tails: Arrays = {}
        self.memory: Any = None

    def __call__(self, name: str) -> np.ndarray:
        return self.p[f"{self.path}.attn.{name}"]

    def convolved(self, name: str, x: np.ndarray) -> np.ndarray:
        x = self(f"{name}_proj.weight") @ x
        weight = self(f"{name}_conv1d.weight")[:, 0]
        seen = np.concatenate([self.tails.get(name, np.zeros((CONV - 1, len(x)))), x[None]])
        self.tails[name] = seen[1:]
        return (seen.T * weight).sum(1)


def hgrn(layer: Layer, x: np.ndarray) -> np.ndarray:
    forget = sigmoid(layer.convolved("f", x))
    if layer.bound is not None:
        forget = layer.bound + (1 - layer.bound) * forget
    new = (1 - forget) * silu(layer.convolved("i", x))
    if layer.memory is None:
        layer.memory = new
    else:
        layer.memory = forget * layer.memory + new
    out = normed(layer.memory, layer("g_norm.weight")) * silu(layer("g_proj.weight") @ x)
    return layer("o_proj.weight") @ out


def gsa(layer: Layer, x: np.ndarray) -> np.ndarray:
    q = silu(layer("q_proj.weight") @ x).reshape(HEADS, -1)
    k, v = (silu(layer(f"{n}_proj.weight") @ x).reshape(KV, -1) for n in "kv")
    forget = sigmoid((layer("f_proj.weight") @ x).reshape(KV, SLOTS)) ** (1 / 8)
    if layer.memory is None:
        layer.memory = np.zeros((KV, SLOTS, k.shape[1])), np.zeros((KV, SLOTS, v.shape[1]))
    out = []
    for state, new in zip(layer.memory, (k, v), strict=True):
        state[:] = forget[..., None] * state + (1 - forget)[..., None] * new[:, None]
    for h in range(HEADS):
        keys, values = (state[h * KV // HEADS] for state in layer.memory)
        scores = np.exp(keys @ q[h])
        out.append(values.T @ (scores / scores.sum()))
    # The eps of this norm is fixed.
    return layer("o_proj.weight") @ normed(silu(np.concatenate(out)), layer("g_norm.weight"), 1e-5)


def comba(layer: Layer, x: np.ndarray) -> np.ndarray:
    q, k, v = (silu(layer.convolved(n, x)) for n in "qkv")
    q = q.reshape(HEADS, -1)
    k = k.reshape(HEADS, -1)
    v = v.reshape(VALUE_HEADS, -1)
    p = k * sigmoid(layer("decay"))[:, None]
    q = unit(q - layer("D")[:, None] * p)
    k = unit(k)
    p = unit(p)
    beta = sigmoid(layer("b_proj.weight") @ x)
    step = np.logaddexp(0, layer("a_proj.weight") @ x + layer("dt_bias"))
    alpha = np.exp(-np.exp(layer("A_log")) * step)
    if layer.memory is None:
        layer.memory = np.zeros((VALUE_HEADS, HEAD, VALUE))
    out = np.zeros((VALUE_HEADS, VALUE))
    for h in range(VALUE_HEADS):
        g = h * HEADS // VALUE_HEADS
        state = layer.memory[h]
        # S (alpha - beta p k^T) + beta v k^T, transposed.
        layer.memory[h] = alpha[h] * state + np.outer(k[g], beta[h] * (v[h] - p[g] @ state))
        out[h] = q[g] @ layer.memory[h] / math.sqrt(HEAD)
    gate = sigmoid(layer("g_proj.weight") @ x).reshape(VALUE_HEADS, -1)
    return layer("o_proj.weight") @ (normed(out, layer("o_norm.weight")) * gate).reshape(-1)


LOOPS: dict[str, Callable[[Layer, np.ndarray], np.ndarray]] = {"comba": comba, "gsa": gsa, "hgrn": hgrn}


def loop(kind: str) -> np.ndarray:
    """[T, words] logits, token by token."""
    p: Arrays = {name: value.double().numpy() for name, value in tensors(kind).items()}
    bounds = None
    if kind == "hgrn":
        parts = np.exp(p["model.lower_bounds"])
        parts /= parts.sum(0)
        bounds = parts.cumsum(0) - parts[0]
    layers = [Layer(p, f"model.layers.{i}", bounds[i] if bounds is not None and i else None) for i in range(LAYERS)]
    logits = []
    for token in TOKENS:
        x = p["model.embeddings.weight"][token]
        for layer in layers:
            x = x + LOOPS[kind](layer, normed(x, p[f"{layer.path}.attn_norm.weight"]))
            y = normed(x, p[f"{layer.path}.mlp_norm.weight"])
            mlp = f"{layer.path}.mlp"
            y = silu(p[f"{mlp}.gate_proj.weight"] @ y) * (p[f"{mlp}.up_proj.weight"] @ y)
            x = x + p[f"{mlp}.down_proj.weight"] @ y
        logits.append(p["lm_head.weight"] @ normed(x, p["model.norm.weight"]))
    return np.stack(logits)


def folder_of(kind: str, folder: Path, **changes: Any) -> Path:
    save_file(tensors(kind), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": kind} | BASE | CONFIGS[kind] | changes))
    return folder


@torch.no_grad()
@pytest.mark.parametrize("kind", LOOPS)
def test_logits_are_those_of_the_loop(kind: str, tmp_path: Path) -> None:
    model = read_model(folder_of(kind, tmp_path))
    expected = loop(kind)
    scale = np.abs(expected).max()
    state = None
    np.testing.assert_allclose(model(torch.tensor([TOKENS]))[0][0], expected, rtol=0, atol=2e-5 * scale)
    for token, wanted in zip(TOKENS, expected, strict=True):
        logits, state = model.step(torch.tensor([token]), state)
        np.testing.assert_allclose(logits[0], wanted, rtol=0, atol=2e-5 * scale)
    # Many counts a channel: the spikes say what the numbers say.
    spiking = convert(read_model(tmp_path), Coding("ternary", k=200.0)).execute().model
    np.testing.assert_allclose(spiking(torch.tensor([TOKENS]))[0][0], expected, rtol=0, atol=0.1 * scale)


def test_sizes_that_do_not_fit_are_named(tmp_path: Path) -> None:
    for kind, changes, error in (
        ("hgrn", {"expand_ratio": 2}, r"HGRN.expand_ratio: must be 1 with lower bounds, one a channel \(got 2.0\)"),
        ("gsa", {"feature_map": "hedgehog"}, r"feature_map: must not change the number of channels \(got hedgehog\)"),
    ):
        with pytest.raises(NeurosimInputError, match=error):
            read_model(folder_of(kind, tmp_path, **changes))
