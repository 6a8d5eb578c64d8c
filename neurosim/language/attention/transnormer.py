"""TransNormer, from the kind `retention`."""

from __future__ import annotations

from torch import nn

from .model import LanguageConfig, LanguageModel, MixerSpec


def transnormer_config(
    layers: int,
    num_heads: int = 4,
    width: int = 128,
    vocabulary: int = 256,
    hidden: int | None = None,
    *,
    trained_angles: bool = False,
) -> LanguageConfig:
    """Return the config of a TransNormer (TransNormerLLM, Qin et al. 2023, arXiv 2307.14995).

        x + W_o (norm(S^T q) (W_u n)),  S = e^{-(8/H)(1 - layer/L) h} S + k v^T,  q, k = silu(W n),  n = norm(x)
        x + W_d ((W_g n) (W_v n)),  without an activation

    In layer 0 alone q and k are turned by their positions, with `trained_angles` by angles that are trained, as in the
    source. The norms are by the root mean square; the source's have no weights, here they start at 1 and are trained
    (`published_transnormer` leaves them at 1).
    """
    mixers = (
        MixerSpec(
            "retention",
            {
                "num_heads": num_heads,
                "decay": "lightning",
                "rotary": layer == 0,
                "trained_angles": trained_angles and layer == 0,
                "feature_map": "silu",
                "gate_fn": "identity",
            },
        )
        for layer in range(layers)
    )
    return LanguageConfig(tuple(mixers), vocabulary, width, hidden=hidden, gate_act="identity")


def published_transnormer(
    layers: int, num_heads: int = 4, width: int = 128, vocabulary: int = 256, hidden: int | None = None, seed: int = 0
) -> LanguageModel:
    """Return a TransNormer as published: with trained angles, and norms whose weights stay 1."""
    model = LanguageModel(transnormer_config(layers, num_heads, width, vocabulary, hidden, trained_angles=True), seed)
    for module in model.modules():
        if isinstance(module, nn.RMSNorm) and module.weight is not None:
            module.weight.requires_grad_(False)
    return model
