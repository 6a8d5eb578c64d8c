"""GPT-NeoX and Pythia in transformers' layout: feed-forward layers beside attention, q, k and v of a head together.

Facts of interoperation only: names and meanings of options and tensors.
"""

from __future__ import annotations

from ..model import LanguageConfig, MixerSpec
from .config import CheckpointConfig
from .family import activation, head_size, positions
from .reader import CheckpointReader, Tensors

ACTS = {"gelu": "gelu_erf", "gelu_fast": "gelu", "gelu_new": "gelu", "gelu_pytorch_tanh": "gelu", "relu": "relu"}
# Entries by which the first configs name the positions.
_FIRST_NAMES = {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"}


def _config(given: CheckpointConfig) -> LanguageConfig:
    named = {name: given.get(first) for name, first in _FIRST_NAMES.items() if given.get(first) is not None}
    source = given.with_defaults({"partial_rotary_factor": 0.25, "hidden_act": "gelu"} | named)
    head = head_size(source)
    bias = source.flag("attention_bias", True)
    options = {
        "num_heads": source.integer("num_attention_heads"),
        "head_dim": head,
        "qkv_bias": bias,
        "o_bias": bias,
        **positions(source, head),
    }
    return LanguageConfig(
        (MixerSpec("softmax", options),) * source.layers(),
        source.integer("vocab_size"),
        source.integer("hidden_size"),
        mlp="plain",
        hidden=source.integer("intermediate_size"),
        act=activation(source, names=ACTS),
        mlp_bias=True,
        parallel=source.flag("use_parallel_residual", True),
        norm="layer",
        eps=source.eps(1e-5, "layer_norm_eps"),
        tied=source.flag("tie_word_embeddings", False),
    )


def _apart(tensors: Tensors, config: LanguageConfig) -> Tensors:
    """Cut the tensors that hold, head by head, its q, k and v."""
    apart: Tensors = {}
    heads = config.layers[0].options["num_heads"]
    for name, value in tensors.items():
        if ".query_key_value." not in name:
            apart[name] = value
            continue
        # [heads, 3, channels of a head, ..]
        by_head = value.unflatten(0, (heads, 3, -1))
        for i, part in enumerate(("q_proj", "k_proj", "v_proj")):
            apart[name.replace("query_key_value", part)] = by_head[:, i].flatten(0, 1)
    return apart


NEOX: dict[str, CheckpointReader] = {
    "gpt_neox": CheckpointReader(
        _config,
        root="gpt_neox",
        outer={"embed_in": "embeddings", "final_layer_norm": "norm", "embed_out": "lm_head"},
        block={
            "norm": "input_layernorm",
            "mixer": "attention",
            "mlp_norm": "post_attention_layernorm",
            "mlp": "mlp",
        },
        parts={"dense": "o_proj"},
        mlp={"dense_h_to_4h": "up_proj", "dense_4h_to_h": "down_proj"},
        change=_apart,
    )
}
