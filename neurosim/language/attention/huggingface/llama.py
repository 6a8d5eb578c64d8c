"""The model types of the Llama family, and what each differs in: its factors, names and defaults.

Facts of interoperation only: names and meanings of options and tensors.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

from ..model import LanguageConfig
from .config import CheckpointConfig, Options, require
from .family import ACTS, Factors, Family, family_config, family_reader
from .mixtures import granite_experts, mixtral_experts, olmoe_experts, part_experts, qwen2_experts, qwen_experts
from .reader import CheckpointReader


def _positive(source: CheckpointConfig, name: str) -> float:
    """Return a factor > 0, 1 where the file has none."""
    value = source.number(name, 1.0)
    require(value > 0, name, "must be > 0", value)
    return value


def granite_factors(source: CheckpointConfig) -> Factors:
    return Factors(
        scores=_positive(source, "attention_multiplier"),
        embedding=_positive(source, "embedding_multiplier"),
        branches=_positive(source, "residual_multiplier"),
        logits=1 / _positive(source, "logits_scaling"),
    )


def _gemma_factors(source: CheckpointConfig) -> Factors:
    positive = partial(_positive, source)
    scalar = source.maybe(positive, "query_pre_attn_scalar")
    return Factors(
        scores=None if scalar is None else scalar**-0.5,
        score_cap=source.maybe(positive, "attn_logit_softcapping"),
        logit_cap=source.maybe(positive, "final_logit_softcapping"),
        embedding=math.sqrt(source.integer("hidden_size")),
    )


def _gemma3_factors(source: CheckpointConfig) -> Factors:
    # transformers passes over it in Gemma 3.
    cap = source.get("attn_logit_softcapping")
    require(cap is None, "attn_logit_softcapping", "must be null in this model type", cap)
    return _gemma_factors(source)


_QWEN3: Options = {"head_dim": 128, "sliding_window": 4096}
_EXPERTS: Options = {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768}
_QWEN2_EXPERTS: Options = {
    "num_experts": 60,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 1408,
    "shared_expert_intermediate_size": 5632,
}
_MIXTRAL: Options = {
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1e6,
}
_OLMO: Options = {"rms_norm_eps": 1e-5}
_GEMMA: Options = {"head_dim": 256, "tie_word_embeddings": True}
_GEMMA2: Options = _GEMMA | {
    "hidden_activation": "gelu_pytorch_tanh",
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
}
_CAPS: Options = {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
_GEMMA_FAMILY = Family(
    norms="both", norms_about_one=True, act="hidden_activation", factors=_gemma_factors, defaults=_GEMMA2
)
_GEMMA3_FAMILY = replace(
    _GEMMA_FAMILY,
    factors=_gemma3_factors,
    qk_norm="heads",
    full_every=6,
    local_theta="rope_local_base_freq",
    defaults=_GEMMA2 | {"rope_theta": 1e6, "vocab_size": 262208},
)
_GRANITE_EXPERTS = Family(
    slides=False,
    factors=granite_factors,
    experts=granite_experts,
    name_experts=part_experts,
    defaults={"num_local_experts": 8, "num_experts_per_tok": 2},
)
_MISTRAL = Family(bias=(False, False), defaults={"sliding_window": 4096})
_PICTURES = "boi_token_index eoi_token_index image_token_index mm_tokens_per_image vision_config"


def _gemma3(source: CheckpointConfig) -> LanguageConfig:
    """Return the config of the language model, a table of the config of a model that also reads pictures."""
    inner = source.nested("text_config") or source
    source.entries_read.update(["tie_word_embeddings", *_PICTURES.split()])
    tied = source.config.get("tie_word_embeddings", True)
    return family_config(inner.with_defaults({"tie_word_embeddings": tied}), _GEMMA3_FAMILY)


LLAMA: dict[str, CheckpointReader] = {
    "arcee": family_reader(
        Family(slides=False, mlp="plain", acts={"relu2": "sqrelu"}, defaults={"hidden_act": "relu2"} | _OLMO)
    ),
    "gemma": family_reader(
        Family(
            norms_about_one=True,
            slides=False,
            # The first configs say "gelu" of what was trained, its approximation by tanh.
            acts=ACTS | {"gelu": "gelu"},
            factors=_gemma_factors,
            defaults=_GEMMA | {"hidden_act": "gelu_pytorch_tanh"},
        )
    ),
    "gemma2": family_reader(replace(_GEMMA_FAMILY, full_every=2, defaults=_GEMMA2 | _CAPS)),
    # With a part that reads pictures, which is passed over.
    "gemma3": replace(
        family_reader(_GEMMA3_FAMILY),
        config=_gemma3,
        root="language_model.model",
        other_parts=("multi_modal_projector.", "vision_tower."),
    ),
    "gemma3_text": family_reader(_GEMMA3_FAMILY),
    "granite": family_reader(Family(slides=False, factors=granite_factors)),
    "granitemoe": family_reader(_GRANITE_EXPERTS),
    "granitemoeshared": family_reader(_GRANITE_EXPERTS),
    "llama": family_reader(Family(slides=False)),
    "ministral": family_reader(_MISTRAL),
    "mistral": family_reader(_MISTRAL),
    "mixtral": family_reader(Family(bias=(False, False), experts=mixtral_experts, defaults=_MIXTRAL)),
    "olmo2": family_reader(Family(qk_norm="whole", norms="behind", slides=False, defaults=_OLMO)),
    "olmo3": family_reader(
        Family(
            qk_norm="whole",
            norms="behind",
            full_every=4,
            local_theta="rope_theta",
            defaults=_OLMO | {"sliding_window": 4096, "rope_theta": 5e5},
        )
    ),
    "olmoe": family_reader(
        Family(qk_norm="whole", slides=False, experts=olmoe_experts, defaults=_OLMO | {"num_experts_per_tok": 8})
    ),
    "phi3": family_reader(Family(bias=(False, False), fused=True, part_turns=True, defaults={"rms_norm_eps": 1e-5})),
    "qwen2": family_reader(Family(bias=(True, False), optional_window=True, defaults={"sliding_window": 4096})),
    "qwen2_moe": family_reader(
        Family(
            bias=("qkv_bias", False),
            optional_window=True,
            experts=qwen2_experts,
            defaults={"qkv_bias": True, "sliding_window": 4096} | _QWEN2_EXPERTS,
        )
    ),
    "qwen3": family_reader(Family(qk_norm="heads", optional_window=True, defaults=_QWEN3)),
    "qwen3_moe": family_reader(
        Family(qk_norm="heads", optional_window=True, all_slide=True, experts=qwen_experts, defaults=_QWEN3 | _EXPERTS)
    ),
    "seed_oss": family_reader(
        Family(
            slides=False,
            bias=("attention_bias", "attention_out_bias"),
            defaults={"attention_bias": True, "head_dim": 128},
        )
    ),
    "smollm3": family_reader(Family(optional_window=True, some_turn=True)),
}
