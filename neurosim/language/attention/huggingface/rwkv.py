"""RWKV-5, 6 and 7: Hugging Face folders in the layout of the RWKV project, and its `.pth` files, which have no config.

Facts of interoperation only: names and meanings of options and tensors. Sizes come from the shapes of the tensors.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ....base.errors import NeurosimFormatError
from ..kinds.rwkv6 import RWKV6
from ..model import LanguageConfig, MixerSpec
from .config import CheckpointConfig, Options, layer_numbers, require
from .reader import CheckpointReader, Tensors

DIVISOR = 8  # of the heads' outputs before their norm, whose eps is 1e-5


def _shape(source: CheckpointConfig, ending: str, dimensions: int) -> tuple[int, ...]:
    """Return the shape of the tensor of layer 0 whose name ends in `ending`, and check its number of axes."""
    names = [n for n in source.shapes if n.endswith(ending) and (".0." in n or n.endswith("emb.weight"))]
    shape = source.shapes[names[0]] if names else ()
    require(len(shape) == dimensions, f"tensor '..{ending}'", f"must be there, with {dimensions} axes", list(shape))
    return shape


def _require_agreement(source: CheckpointConfig, name: str, value: int) -> None:
    """Raise if the config gives another number than the tensors."""
    stated = source.maybe(source.integer, name)
    require(stated in (None, value), name, f"must be {value}, as in the tensors", stated)


def _options(source: CheckpointConfig, version: int, part: str) -> Options:
    """Return the options of the mixers; `part` is their name in names of tensors."""
    heads = _shape(source, f"{part}.time_faaaa", 2)
    divisor = source.number("head_size_divisor", DIVISOR)
    # To divide outputs before their norm is to make its epsilon larger by the square.
    options: Options = {"head_dim": heads[1], "inner_dim": heads[0] * heads[1], "norm_eps": 1e-5 * divisor**2}
    _require_agreement(source, "head_size", heads[1])
    _require_agreement(source, "attention_hidden_size", heads[0] * heads[1])
    if version == 6:
        mix = _shape(source, f"{part}.time_maa_w2", 3)[1]
        decay = _shape(source, f"{part}.time_decay_w1", 2)[1]
        options |= {"mix_low_rank_dim": mix, "decay_low_rank_dim": decay}
    return options


def _folder(source: CheckpointConfig, version: int) -> LanguageConfig:
    """Return the config of a folder."""
    source.entries_read.update(("rescale_every", "context_length", "num_attention_heads", "model_version"))
    width = source.integer("hidden_size")
    count = source.layers()
    return LanguageConfig(
        (MixerSpec(f"rwkv{version}", _options(source, version, "attention")),) * count,
        source.integer("vocab_size"),
        width,
        "gated_channel_mix",
        hidden=_shape(source, "feed_forward.key.weight", 2)[0],
        norm="layer",
        first_norm=True,
        eps=source.number("layer_norm_epsilon", 1e-5),
        tied=source.flag("tie_word_embeddings", False),
    )


def _change(tensors: Tensors, config: LanguageConfig) -> Tensors:
    """Turn the mixes and low-rank maps of RWKV-5 and 6 into ours."""
    changed: Tensors = {}
    for name, value in tensors.items():
        inside = ".mixer" in name or ".mlp" in name
        changed |= _changed_inside(name, value, tensors) if inside else {name: value}
    return changed


# Our names of the matrices of low-rank maps.
_LOW_RANK = {"time_maa_w1": "mix_in", "time_decay_w1": "w_lora.lora.0", "time_decay_w2": "w_lora.lora.2"}


def _changed_inside(name: str, value: Tensor, tensors: Tensors) -> Tensors:
    """Return the tensors that one of a mixer or feed-forward layer holds."""
    path, _, part = name.rpartition(".")
    if part.startswith("time_mix_"):
        # Theirs is the share of the token itself.
        return {f"{path}.x_{part[9]}": 1 - value.float().flatten()}
    if part in _LOW_RANK:
        return {f"{path}.{_LOW_RANK[part]}.weight": value.T}
    if part == "time_maa_w2":
        return {f"{path}.mix_out.{i}.weight": matrix.T for i, matrix in enumerate(value)}
    if part.startswith("time_maa_"):
        return {f"{path}.x_{part[9:]}": value.flatten()}
    if part == "time_decay":
        # RWKV-6 adds a low-rank map to the decay, whose bias it then is; RWKV-5 has the decay alone.
        if f"{path}.time_decay_w1" in tensors:
            return {f"{path}.w_lora.lora.2.bias": value.flatten()}
        return {f"{path}.w": _as(value, tensors[f"{path}.time_faaaa"].shape)}
    if part == "time_faaaa":
        return {f"{path}.u": value}
    return {name: value}


def _as(value: Tensor, shape: Any) -> Tensor:
    """Return values in a shape, or unchanged where the sizes differ: `match_tensors` then reports their shape."""
    if value.numel() == shape.numel():
        return value.reshape(shape)
    return value


PROJECTIONS = {"receptance": "r_proj", "key": "k_proj", "value": "v_proj", "gate": "g_proj", "output": "o_proj"}
PROJECTIONS |= {"ln_x": "g_norm"}
OUTER = {"emb": "embeddings", "ln_out": "norm", "head": "lm_head"}
HF_BLOCK = {"pre_norm": "pre_ln", "norm": "ln1", "mixer": "attention", "mlp_norm": "ln2", "mlp": "feed_forward"}
PTH_BLOCK = {"pre_norm": "ln0", "norm": "ln1", "mixer": "att", "mlp_norm": "ln2", "mlp": "ffn"}


def _reader(version: int) -> CheckpointReader:
    """Return the reader of folders of a version."""
    return CheckpointReader(
        config=partial(_folder, version=version),
        root="rwkv",
        outer=OUTER,
        block=HF_BLOCK,
        parts=PROJECTIONS,
        change=_change,
        layers="blocks",
    )


RWKV: dict[str, CheckpointReader] = {"rwkv5": _reader(5), "rwkv6": _reader(6)}


def _seven(source: CheckpointConfig) -> tuple[str, Options]:
    """Return the kind and options of RWKV-7."""
    heads = _shape(source, "att.r_k", 2)
    width = _shape(source, "emb.weight", 2)[1]
    ranks = {"decay": "w1", "a": "a1", "gate": "g1", "v": "v1"}
    options: Options = {"head_dim": heads[1], "l2_norm_eps": 1e-24, "norm_eps": 64e-5 / heads[1]}
    for name, part in ranks.items():
        shapes = [shape for n, shape in source.shapes.items() if n.endswith(f"att.{part}") and len(shape) == 2]
        options[f"{name}_low_rank_dim"] = shapes[-1][1] if shapes else 1
    require(heads[0] * heads[1] == width, "tensor '..att.r_k'", f"must have {width} values", list(heads))
    return "rwkv7", options


def _pth(source: CheckpointConfig) -> LanguageConfig:
    """Return the config of a `.pth` file, from the names and shapes of its tensors."""
    words, width = _shape(source, "emb.weight", 2)
    if source.has("att.r_k"):
        kind, options = _seven(source)
    elif source.has("att.time_faaaa"):
        version = 6 if source.has("att.time_maa_w1") else 5
        kind = f"rwkv{version}"
        options = _options(source, version, "att")
    else:
        raise NeurosimFormatError(
            "the tensors belong to no RWKV-5.2, 6 or 7; of the RWKV project's .pth files, these versions are read"
        )
    count = 1 + max(layer_numbers(source.names), default=-1)
    return LanguageConfig(
        (MixerSpec(kind, options),) * count,
        words,
        width,
        "channel_mix" if kind == "rwkv7" else "gated_channel_mix",
        hidden=_shape(source, "ffn.key.weight", 2)[0],
        norm="layer",
        first_norm=True,
        eps=1e-5,
    )


def _change_pth(tensors: Tensors, config: LanguageConfig) -> Tensors:
    """Turn the tensors of a `.pth` file into ours."""
    if config.layers[0].kind != "rwkv7":
        return _change(tensors, config)
    changed: Tensors = {}
    for name, value in tensors.items():
        path = name.rpartition(".")[0]
        part = name.rpartition(".")[2]
        if ".mixer" in name and len(part) == 2 and part[0] in "wavg" and part[1] in "012":
            place = {"0": "2.bias", "1": "0.weight", "2": "2.weight"}[part[1]]
            # w0, w1 and w2 are the bias and both matrices [in, out] of a low-rank map; so are a, v and g.
            changed[f"{path}.{part[0]}_lora.lora.{place}"] = value.flatten() if part[1] == "0" else value.T
        elif (".mixer" in name and part in ("k_k", "k_a")) or (".mlp" in name and part == "x_k"):
            changed[name] = value.flatten()
        else:
            changed[name] = value
    # Layer 0 provides the values that later layers mix in; its own maps in the file are not used.
    return {n: v for n, v in changed.items() if not n.startswith("layers.0.mixer.v_lora")}


PTH = CheckpointReader(
    config=_pth, root="", outer=OUTER, block=PTH_BLOCK, parts=PROJECTIONS, change=_change_pth, layers="blocks"
)


_RWKV6_ORDER = "rwkvg"  # of the mixes in its tensors


def change_fla_rwkv6(tensors: Tensors, config: LanguageConfig) -> Tensors:
    """Turn flash-linear-attention's mixes of RWKV-6, which are in one matrix each way, into ours.

    Ours are in the order of `RWKV6.mixes`.
    """
    changed: Tensors = {}
    for name, value in tensors.items():
        changed |= _changed_rwkv6(name, value)
    return changed


def _changed_rwkv6(name: str, value: Tensor) -> Tensors:
    """Return the tensors that one of flash-linear-attention's holds."""
    path, _, part = name.partition(".x_proj.")
    if part == "0.linear.weight":
        # Rows: the maps of all mixes into few channels, one below the other.
        parts = dict(zip(_RWKV6_ORDER, value.chunk(len(_RWKV6_ORDER)), strict=True))
        return {f"{path}.mix_in.weight": torch.cat([parts[mix] for mix in RWKV6.mixes])}
    if part == "0.mu":
        return {f"{path}.x_x": value}
    if part == "2.weight":
        # Columns: the maps of all mixes back, side by side.
        parts = dict(zip(_RWKV6_ORDER, value.unflatten(1, (len(_RWKV6_ORDER), -1)).unbind(1), strict=True))
        return {f"{path}.mix_out.{i}.weight": parts[mix] for i, mix in enumerate(RWKV6.mixes)}
    if name.endswith(".x_bias"):
        path = name.removesuffix(".x_bias")
        return {f"{path}.x_{mix}": row for mix, row in zip(_RWKV6_ORDER, value, strict=True)}
    if name.endswith((".key.mu", ".receptance.mu")):
        path, layer, _ = name.rsplit(".", 2)
        return {f"{path}.x_{layer[0]}": value}
    return {name.replace(".linear.weight", ".weight").replace(".w_proj.linear.", ".w_lora."): value}
