"""TransNormerLLM in its own layout (OpenNLPLab, Qin et al. 2023, arXiv 2307.14995).

Facts of interoperation only: names and meanings of options and tensors. The code differs from the paper: decays are
ALiBi's slopes, smaller from layer to layer, one norm is over all heads, norms have no weights and divide by the root
mean square alone, and embeddings are scaled by the root of their channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from ..model import LanguageConfig, MixerSpec
from .config import CheckpointConfig, Options
from .reader import CheckpointReader, Tensors

EPS = 1e-16  # the norms add 1e-8 to the root of the mean square
# Entries of training and of tokens.
_UNUSED = "add_bos_token causal init_std"


def _config(source: CheckpointConfig) -> LanguageConfig:
    """Return the config of a TransNormerLLM."""
    width = source.integer("decoder_embed_dim")
    count = source.layers("decoder_layers")
    heads = source.integer("decoder_attention_heads")
    inner = source.integer("hidden_dim", width)
    hidden = source.integer("glu_dim")
    act = source.word("linear_act_fun", "silu")
    norm = source.word("norm_type", "simplermsnorm")
    if act not in ("silu", "swish"):
        source.refuse("linear_act_fun", "must be silu or swish", act)
    if norm != "simplermsnorm":
        source.refuse("norm_type", "must be simplermsnorm", norm)
    if source.flag("bias", False):
        source.refuse("bias", "must be false", True)
    if source.get("glu_act", "none") != "none":
        source.refuse("glu_act", "must be none", source.get("glu_act"))
    if source.flag("no_scale_embedding", False):
        source.refuse("no_scale_embedding", "must be false", True)
    turned = _turned_layers(source, count)
    source.entries_read.update(_UNUSED.split())
    options: Options = {
        "num_heads": heads,
        "key_dim": inner,
        "value_dim": inner,
        "decay": "alibi",
        "feature_map": "silu",
        "gate_fn": "identity",
        "norm_over_heads": True,
        "elementwise_affine": False,
        "norm_eps": EPS,
    }
    mixers = (MixerSpec("retention", {**options, "rotary": turn, "trained_angles": turn}) for turn in turned)
    vocabulary = source.integer("vocab_size")
    return LanguageConfig(tuple(mixers), vocabulary, width, hidden=hidden, gate_act="identity", eps=EPS)


def _turned_layers(source: CheckpointConfig, count: int) -> list[bool]:
    """Return whether each layer turns q and k by trained angles."""
    listed = source.get("linear_use_lrpe_list", [])
    everywhere = source.flag("linear_use_lrpe", False)
    if listed == []:
        return [everywhere] * count
    known = isinstance(listed, list) and len(listed) >= count and all(value in (0, 1) for value in listed)
    if not known:
        source.refuse("linear_use_lrpe_list", f"must be {count} flags", listed)
    return [bool(value) for value in listed[:count]]


def _change(tensors: Tensors, config: LanguageConfig) -> Tensors:
    """Cut q, k, v and the gate apart, scale the embeddings, and give the norms weights of 1."""
    changed: Tensors = {}
    for name, value in tensors.items():
        path = name.rpartition(".")[0].rpartition(".")[0]
        if name.endswith("mixer.qkvu_proj.weight"):
            parts = value.chunk(4)
            changed |= {f"{path}.{part}_proj.weight": each for part, each in zip("qkvg", parts, strict=False)}
        elif name.endswith("lrpe.theta"):
            changed[f"{path}.trained.angles"] = value.flatten(0, -2)
        elif name == "embeddings.weight":
            changed[name] = value * math.sqrt(config.width)
        else:
            changed[name] = value
    norms = [f"layers.{i}.{norm}" for i in range(len(config.layers)) for norm in ("norm", "mlp_norm")]
    for norm in (*norms, "norm"):
        changed.setdefault(f"{norm}.weight", torch.ones(config.width))
    return changed


BLOCK: Mapping[str, str] = {
    "norm": "token_norm",
    "mixer": "token_mixer",
    "mlp_norm": "channel_norm",
    "mlp": "channel_mixer",
}
OUTER = {"embed_tokens": "embeddings", "final_norm": "norm"}
MLP = {"l1": "gate_proj", "l2": "up_proj", "l3": "down_proj"}

TRANSNORMER: dict[str, CheckpointReader] = {
    "transnormer": CheckpointReader(
        config=_config, root="model", outer=OUTER, block=BLOCK, parts={"out_proj": "o_proj"}, mlp=MLP, change=_change
    )
}
