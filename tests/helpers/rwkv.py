"""Tiny RWKV-5, 6 and 7 under the names of the RWKV project's files and of its Hugging Face folders."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .recorded import value_of

WORDS = 29
WIDTH = 12
HEADS = 2
SIZE = 6
HIDDEN = 20
LAYERS = 2


def shapes(version: int, words: int = WORDS) -> dict[str, list[int]]:
    """The tensors of a `.pth` file of this version."""
    one = [1, 1, WIDTH]
    found = {"emb.weight": [words, WIDTH], "head.weight": [words, WIDTH]}
    norms = ["ln_out", *(f"blocks.{i}.{n}" for i in range(LAYERS) for n in ("ln1", "ln2", "att.ln_x")), "blocks.0.ln0"]
    found |= {f"{name}.{part}": [WIDTH] for name in norms for part in ("weight", "bias")}
    mixes = {5: "time_mix_{}", 6: "time_maa_{}", 7: "x_{}"}[version]
    for i in range(LAYERS):
        b = f"blocks.{i}"
        names = ["receptance", "key", "value", "output", *(["gate"] if version < 7 else [])]
        found |= {f"{b}.att.{name}.weight": [WIDTH, WIDTH] for name in names}
        found |= {f"{b}.att.{mixes.format(m)}": one for m in {5: "kvrg", 6: "xwkvrg", 7: "rwkvag"}[version]}
        found |= {f"{b}.ffn.{mixes.format(m)}": one for m in ("k" if version == 7 else "kr")}
        found |= {f"{b}.ffn.key.weight": [HIDDEN, WIDTH], f"{b}.ffn.value.weight": [WIDTH, HIDDEN]}
        if version < 7:
            found |= {f"{b}.ffn.receptance.weight": [WIDTH, WIDTH], f"{b}.att.time_faaaa": [HEADS, SIZE]}
            if version == 5:
                found[f"{b}.att.time_decay"] = [HEADS, SIZE]
            else:
                found[f"{b}.att.time_decay"] = one
        if version == 6:
            found |= {f"{b}.att.time_maa_w1": [WIDTH, 15], f"{b}.att.time_maa_w2": [5, 3, WIDTH]}
            found |= {f"{b}.att.time_decay_w1": [WIDTH, 4], f"{b}.att.time_decay_w2": [4, WIDTH]}
        if version == 7:
            found |= {f"{b}.att.{n}0": one for n in "wav"} | {f"{b}.att.{n}": one for n in ("k_k", "k_a")}
            found |= {f"{b}.att.{n}1": [WIDTH, 3] for n in "wavg"} | {f"{b}.att.{n}2": [3, WIDTH] for n in "wavg"}
            found[f"{b}.att.r_k"] = [HEADS, SIZE]
    return found


def tensors(version: int, words: int = WORDS) -> dict[str, Tensor]:
    return {name: value_of(name, shape) for name, shape in shapes(version, words).items()}


_ROOTS = {"emb": "rwkv.embeddings", "ln_out": "rwkv.ln_out", "head": "head", "blocks": "rwkv.blocks"}
_PARTS = {"att": "attention", "ffn": "feed_forward", "ln0": "pre_ln"}


def hugging_face(name: str) -> str:
    """Return the name in a Hugging Face folder of a tensor of a `.pth` file of RWKV-5 or 6."""
    path = name.split(".")
    if path[0] == "blocks":
        inner = [path[1], _PARTS.get(path[2], path[2]), *path[3:]]
    else:
        inner = path[1:]
    return ".".join([_ROOTS[path[0]], *inner])


def hugging_face_config(version: int, words: int = WORDS) -> dict[str, Any]:
    config: dict[str, Any] = {"model_type": f"rwkv{version}", "hidden_size": WIDTH, "num_hidden_layers": LAYERS}
    config |= {"vocab_size": words, "attention_hidden_size": WIDTH, "head_size": SIZE, "head_size_divisor": 8}
    return config | {"rescale_every": 6, "context_length": 64, "layer_norm_epsilon": 1e-5, "num_attention_heads": 64}
