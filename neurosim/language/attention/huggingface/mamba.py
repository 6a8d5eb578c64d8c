"""Mamba and Falcon-Mamba in transformers' layout, which is flash-linear-attention's too (of Mamba-2 see `fla`).

Facts of interoperation only: names and meanings of options and tensors.
"""

from __future__ import annotations

import math
from functools import partial

from ..model import LanguageConfig, MixerSpec
from .config import CheckpointConfig, Options
from .family import activation
from .fla import MAMBA as BLOCK
from .reader import CheckpointReader

# Entries of training, or that choose among equal algorithms.
_TRAINING = "intermediate_size rescale_prenorm_residual residual_in_fp32 time_step_scale use_associative_scan"


def _config(source: CheckpointConfig, *, normed: bool) -> LanguageConfig:
    """Return the config of a Mamba, or of a Falcon-Mamba, whose dt, B and C are `normed`."""
    width = source.integer("hidden_size")
    count = source.layers()
    rank = source.get("time_step_rank", "auto")
    options: Options = {
        "inner_dim": source.integer("intermediate_size", source.share(width, "expand", 2)),
        "time_step_rank": math.ceil(width / 16) if rank == "auto" else source.integer("time_step_rank"),
        "inner_norm_eps": source.number("mixer_rms_eps", 1e-6) if normed else None,
        **source.options(state_size=16, conv_kernel=4, use_conv_bias=True, use_bias=False),
        "hidden_act": activation(source),
    }
    source.entries_read.update(_TRAINING.split())
    return LanguageConfig(
        (MixerSpec("mamba", options),) * count,
        source.integer("vocab_size"),
        width,
        "none",
        eps=source.number("layer_norm_epsilon", source.eps(1e-5)),
        # flash-linear-attention, which says `norm_eps`, has a head of its own where nothing is said.
        tied=source.flag("tie_word_embeddings", "norm_eps" not in source.config),
    )


OUTER = {"norm_f": "norm", "embeddings": "embeddings", "embedding": "embeddings"}

MAMBA: dict[str, CheckpointReader] = {
    name: CheckpointReader(partial(_config, normed=normed), "backbone", OUTER, BLOCK)
    for name, normed in (("mamba", False), ("falcon_mamba", True))
}
