"""Mamba in GGUF files: A = -exp(A_log), and convolutions without the axis of length 1."""

from __future__ import annotations

from torch import Tensor

from ..huggingface.reader import Tensors
from ..model import LanguageConfig
from .metadata import Metadata
from .softmax import read_config, tree_of

NAMES = {
    "attn_norm": "norm",
    "ssm_in": "mixer.in_proj",
    "ssm_conv1d": "mixer.conv1d",
    "ssm_x": "mixer.x_proj",
    "ssm_dt": "mixer.dt_proj",
    "ssm_a": "mixer.A_log",
    "ssm_d": "mixer.D",
    "ssm_norm": "mixer.norm",
    "ssm_out": "mixer.out_proj",
}


def config_of_mamba(meta: Metadata) -> LanguageConfig:
    eps = meta.number("attention.layer_norm_rms_epsilon", 1e-5)
    normed = bool(meta.get("ssm.dt_b_c_rms", False))
    tree = tree_of(
        meta,
        intermediate_size=meta.integer("ssm.inner_size"),
        state_size=meta.integer("ssm.state_size"),
        conv_kernel=meta.integer("ssm.conv_kernel"),
        time_step_rank=meta.integer("ssm.time_step_rank"),
        layer_norm_epsilon=eps,
        mixer_rms_eps=eps,
        use_conv_bias=meta.has("blk.0.ssm_conv1d.bias"),
        use_bias=meta.has("blk.0.ssm_in.bias"),
    )
    return read_config("falcon_mamba" if normed else "mamba", tree)


def config_of_mamba2(meta: Metadata) -> LanguageConfig:
    width = meta.shape("token_embd.weight", 2)[1]
    inner = meta.integer("ssm.inner_size")
    heads = meta.integer("ssm.time_step_rank")
    tree = tree_of(
        meta,
        expand=inner / width,
        head_dim=max(inner // heads, 1),
        state_size=meta.integer("ssm.state_size"),
        n_groups=meta.integer("ssm.group_count", 1),
        conv_kernel=meta.integer("ssm.conv_kernel"),
        layer_norm_epsilon=meta.number("attention.layer_norm_rms_epsilon", 1e-5),
        use_conv_bias=meta.has("blk.0.ssm_conv1d.bias"),
        use_bias=meta.has("blk.0.ssm_in.bias"),
    )
    return read_config("mamba2", tree)


def log_of_minus(value: Tensor) -> Tensor:
    """Return log(-A)."""
    return (-value.float()).log()


def change_tensors(tensors: Tensors, config: LanguageConfig) -> Tensors:
    """Return the tensors in the shapes of their authors, with A_log in place of A."""
    changed: Tensors = {}
    second = config.layers[0].kind == "mamba2"
    for name, value in tensors.items():
        if name.endswith("A_log"):
            changed[name] = log_of_minus(value.flatten() if second else value)
        elif name.endswith("conv1d.weight"):
            changed[name] = value[:, None]
        elif second and name.endswith((".mixer.D", ".mixer.norm.weight")):
            changed[name] = value.flatten()
        elif second and name.endswith("dt_proj.bias"):
            changed[name.replace("dt_proj.bias", "dt_bias")] = value
        else:
            changed[name] = value
    return changed
