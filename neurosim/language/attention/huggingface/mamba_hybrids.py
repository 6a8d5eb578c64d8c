"""Granite 4 (`granitemoehybrid`) and Bamba in transformers' layout: Mamba-2, softmax attention every few layers, and
feed-forward layers that are dense or of experts.

Facts of interoperation only: names and meanings of options and tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..experts import ExpertsSpec
from ..model import LanguageConfig, MixerSpec
from .config import CheckpointConfig, Options, require
from .family import BLOCK, OUTER, Family, activation, family_config
from .fla import dt_limits
from .llama import granite_factors
from .mixtures import part_experts, some_layers
from .reader import CheckpointReader, Tensors

# Whether a layer of a kind is Mamba-2, by the names of transformers 5 and of older configs.
KINDS = {"full_attention": False, "attention": False, "linear_attention": True, "mamba": True}
# Entries of training, of how a text is cut into chunks, and of which logits are computed.
_TRAINING = "init_method mamba_chunk_size num_logits_to_keep output_router_logits z_loss_coefficient"


def _mamba2(source: CheckpointConfig) -> Options:
    """Return the options of the layers of Mamba-2."""
    width = source.integer("hidden_size")
    inner = source.share(width, "mamba_expand", 2)
    heads = source.integer("mamba_n_heads", 128)
    require(inner % heads == 0, "mamba_n_heads", f"must divide {inner} channels", heads)
    size = source.get("mamba_d_head", "auto")
    require(size in ("auto", inner // heads), "mamba_d_head", f"must be auto or {inner // heads}", size)
    return {
        "expand": inner / width,
        "head_dim": inner // heads,
        "state_size": source.integer("mamba_d_state", 256),
        "n_groups": source.integer("mamba_n_groups", 1),
        "conv_kernel": source.integer("mamba_d_conv", 4),
        "use_conv_bias": source.flag("mamba_conv_bias", True),
        "use_bias": source.flag("mamba_proj_bias", False),
        "hidden_act": activation(source),
        "dt_limit": dt_limits(source),
        "norm_eps": source.eps(1e-6, "rms_norm_eps"),
    }


def _with_mamba(config: LanguageConfig, source: CheckpointConfig, are_mamba: Sequence[bool]) -> LanguageConfig:
    """Return the config of a softmax model with layers of Mamba-2 in the place of some."""
    source.entries_read.update(_TRAINING.split())
    mamba = MixerSpec("mamba2", _mamba2(source))
    layers = zip(are_mamba, config.layers, strict=True)
    return replace(config, layers=tuple(mamba if is_mamba else softmax for is_mamba, softmax in layers))


def _granite_experts(source: CheckpointConfig, count: int) -> tuple[ExpertsSpec | None, tuple[int, ...]]:
    """Return the experts, which all layers have, and the one that every token passes; none where it stands alone."""
    experts = source.integer("num_local_experts", 8, at_least=0)
    top = source.integer("num_experts_per_tok", 2, at_least=0)
    if not experts:
        return None, ()
    shared = source.integer("shared_intermediate_size", 1024)
    return ExpertsSpec(experts, top, source.integer("intermediate_size"), shared), ()


def _without_positions(layer: MixerSpec) -> MixerSpec:
    """Return a layer of softmax that does not turn q and k."""
    return MixerSpec("softmax", {**layer.options, "rotary_dim": 0, "rope_scaling": None})


_GRANITE = Family(slides=False, factors=granite_factors, experts=_granite_experts)


def _granite(source: CheckpointConfig) -> LanguageConfig:
    """Return the config of a Granite 4, whose layers of softmax may have no positions."""
    norm = source.word("normalization_function", "rmsnorm")
    require(norm == "rmsnorm", "normalization_function", "must be rmsnorm", norm)
    kinds = source.get("layer_types", source.get("layers_block_type", ["mamba"] * source.layers()))
    known = isinstance(kinds, list) and all(isinstance(kind, str) and kind in KINDS for kind in kinds)
    count = source.layers()
    require(known and len(kinds) == count, "layer_types", f"must be {count} of {', '.join(KINDS)}", kinds)

    config = family_config(source, _GRANITE)
    if source.get("position_embedding_type") != "rope":
        config = replace(config, layers=tuple(map(_without_positions, config.layers)))
    if config.experts is None:
        config = replace(config, hidden=source.integer("shared_intermediate_size", 1024))
    return _with_mamba(config, source, [KINDS[kind] for kind in kinds])


def _change_granite(tensors: Tensors, config: LanguageConfig) -> Tensors:
    """Cut experts apart; without experts the one that every token passes is the feed-forward layer."""
    parts = part_experts(tensors, config)
    if config.experts is None:
        parts = {name.replace(".mlp.shared.", ".mlp."): value for name, value in parts.items()}
    return parts


# Half of the channels of a head turn by their positions, also where the config does not say so.
_BAMBA: Options = {"intermediate_size": 14336, "num_key_value_heads": 8, "partial_rotary_factor": 0.5}


def _bamba(source: CheckpointConfig) -> LanguageConfig:
    given = source.with_defaults(_BAMBA | {"rms_norm_eps": 1e-5})
    config = family_config(given, Family(slides=False, part_turns=True))
    count = len(config.layers)
    softmax = some_layers(given, "attn_layer_indices", count)
    return _with_mamba(config, given, [i not in softmax for i in range(count)])


MAMBA_HYBRIDS: dict[str, CheckpointReader] = {
    "bamba": CheckpointReader(
        _bamba,
        outer=OUTER | {"final_layernorm": "norm"},
        block=BLOCK | {"mlp_norm": "pre_ff_layernorm", "mlp": "feed_forward"},
        also={"mamba": "mixer"},
    ),
    "granitemoehybrid": CheckpointReader(
        _granite,
        outer=OUTER,
        block=BLOCK,
        also={"mamba": "mixer", "block_sparse_moe": "mlp", "shared_mlp": "mlp.shared"},
        change=_change_granite,
    ),
}
