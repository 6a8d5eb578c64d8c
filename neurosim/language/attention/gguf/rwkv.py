"""RWKV-6 and RWKV-7 in GGUF files.

The mixes of a layer are one tensor. In RWKV-6 matrices that write to the residual stream are divided by 2 once more
every few layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from ..huggingface.config import Options
from ..huggingface.reader import Tensors
from ..model import LanguageConfig, MixerSpec
from .metadata import Metadata

NAMES = {
    "attn_norm": "norm",
    "attn_norm_2": "mlp_norm",
    "time_mix_receptance": "mixer.r_proj",
    "time_mix_key": "mixer.k_proj",
    "time_mix_value": "mixer.v_proj",
    "time_mix_gate": "mixer.g_proj",
    "time_mix_output": "mixer.o_proj",
    "time_mix_ln": "mixer.g_norm",
    "channel_mix_key": "mlp.key",
    "channel_mix_value": "mlp.value",
    "channel_mix_receptance": "mlp.receptance",
}
# Vectors, whose names end in '.weight' in a file alone.
_VECTORS = {"channel_mix_lerp_k": "mlp.x_k", "channel_mix_lerp_r": "mlp.x_r", "time_mix_lerp_x": "mixer.x_x"}
_VECTORS |= {"time_mix_first": "mixer.u", "time_mix_r_k": "mixer.r_k", "time_mix_k_k": "mixer.k_k"}
_VECTORS |= {"time_mix_k_a": "mixer.k_a"}
# Maps of low rank: the decay alone in RWKV-6, whose mixes are computed by another; four in RWKV-7.
NAMES_6 = NAMES | {
    "time_mix_w1": "mixer.mix_in",
    "time_mix_decay_w1": "mixer.w_lora.lora.0",
    "time_mix_decay_w2": "mixer.w_lora.lora.2",
}
NAMES_7 = NAMES | {
    f"time_mix_{m}{n}": f"mixer.{m}_lora.lora.{place}" for m in "wavg" for n, place in (("1", 0), ("2", 2))
}
# Their biases: the vector to which such a map is added.
_BIASES = {"time_mix_decay": "w", "time_mix_w0": "w", "time_mix_a0": "a", "time_mix_v0": "v"}
# Vectors that have a row for each head here.
_BY_HEAD = ("time_mix_first", "time_mix_r_k")
# The eps of norms that llama.cpp takes for all RWKV models.
NORM_EPS = 64e-5


def _rwkv(meta: Metadata, kind: str, options: Options, mlp: str, hidden: int) -> LanguageConfig:
    words, width = meta.shape("token_embd.weight", 2)
    return LanguageConfig(
        (MixerSpec(kind, options),) * meta.integer("block_count"),
        words,
        width,
        mlp,
        hidden=hidden,
        norm="layer",
        first_norm=True,
        eps=meta.number("attention.layer_norm_epsilon", 1e-5),
        tied=not meta.has("output.weight"),
    )


def config_of_rwkv6(meta: Metadata) -> LanguageConfig:
    meta.get("rescale_every_n_layers")
    head = meta.integer("wkv.head_size")
    inner = meta.shape("blk.0.time_mix_receptance.weight", 2)[0]
    options: Options = {
        "head_dim": head,
        "inner_dim": inner,
        "mix_low_rank_dim": meta.shape("blk.0.time_mix_w2.weight", 3)[2],
        "decay_low_rank_dim": meta.shape("blk.0.time_mix_decay_w1.weight", 2)[0],
        "norm_eps": NORM_EPS,
    }
    hidden = meta.shape("blk.0.channel_mix_key.weight", 2)[0]
    return _rwkv(meta, "rwkv6", options, "gated_channel_mix", hidden)


def config_of_rwkv7(meta: Metadata) -> LanguageConfig:
    head = meta.integer("wkv.head_size")
    options: Options = {"head_dim": head, "l2_norm_eps": 1e-24, "norm_eps": NORM_EPS / head}
    for name, part in (("decay", "w1"), ("a", "a1"), ("gate", "g1")):
        options[f"{name}_low_rank_dim"] = meta.shape(f"blk.0.time_mix_{part}.weight", 2)[0]
    if meta.has("blk.1.time_mix_v1.weight"):
        options["v_low_rank_dim"] = meta.shape("blk.1.time_mix_v1.weight", 2)[0]
    hidden = meta.shape("blk.0.channel_mix_key.weight", 2)[0]
    return _rwkv(meta, "rwkv7", options, "channel_mix", hidden)


def _change(tensors: Tensors, config: LanguageConfig, mixes: str, every: int) -> Tensors:
    """Cut fused mixes, give vectors our names, and undo the division of matrices of later layers.

    Args:
        mixes: order of the mixes in the fused tensor.
        every: layers after which matrices are divided by a further 2; 0 for none.
    """
    options: Mapping[str, Any] = config.layers[0].options
    changed: Tensors = {}
    for name, value in tensors.items():
        changed |= _changed_one(name, value, mixes, every, options["head_dim"])
    # Layer 0 provides the values that later layers mix in; a file repeats other maps there, which are not used.
    changed = {name: value for name, value in changed.items() if not name.startswith("layers.0.mixer.v_lora")}
    if config.layers[0].kind != "rwkv7":
        return changed
    # The mixes of RWKV-7 have axes for sequences and tokens.
    return {name: value.view(1, 1, -1) if ".mixer.x_" in name else value for name, value in changed.items()}


def _changed_one(name: str, value: Tensor, mixes: str, every: int, head_dim: int) -> Tensors:
    """Return the tensors that one of theirs holds."""
    path = name.split(".")
    place = ".".join(path[:2])
    part = path[2] if len(path) > 2 else ""
    if part == "time_mix_lerp_fused":
        return {f"{place}.mixer.x_{mix}": row.flatten() for mix, row in zip(mixes, value, strict=True)}
    if part == "time_mix_w2" and value.dim() == 3:
        return {f"{place}.mixer.mix_out.{i}.weight": matrix for i, matrix in enumerate(value.unbind(0))}
    if part in _BIASES:
        return {f"{place}.mixer.{_BIASES[part]}_lora.lora.2.bias": value.flatten()}
    if part in _BY_HEAD:
        return {f"{place}.{_VECTORS[part]}": value.view(-1, head_dim)}
    if part in _VECTORS:
        return {f"{place}.{_VECTORS[part]}": value.flatten()}
    if every and name.endswith(("mixer.o_proj.weight", "mlp.value.weight")):
        # Exact: a power of two moves the exponent alone.
        return {name: value.float() * 2.0 ** (int(path[1]) // every)}
    return {name: value}


def change_of(mixes: str) -> Callable[[Metadata], Callable[[Tensors, LanguageConfig], Tensors]]:
    """Return what makes the change of tensors from the entries of a file, whose fused mixes come in this order."""

    def change(meta: Metadata) -> Callable[[Tensors, LanguageConfig], Tensors]:
        every = meta.get("rescale_every_n_layers", 0)
        if type(every) is not int or every < 0:
            meta.refuse("rescale_every_n_layers", "must be an integer >= 0", every)
        return lambda tensors, config: _change(tensors, config, mixes, every)

    return change
