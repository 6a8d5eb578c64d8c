"""Architectures of GGUF files: config from the metadata, names and values of tensors.

llama.cpp stores some tensors in other forms than their authors, and these are turned back here:

- llama: rows of q and k in the order of rotary pairs that lie beside each other;
- mamba, mamba2, qwen35: A = -exp(A_log), convolutions without the axis of length 1;
- rwkv6: matrices that write to the residual stream, divided by 2 every few layers; mixes in one tensor, as in rwkv7;
- qwen35: heads of values in the order [value of a key, key] instead of [key, value of a key].

Facts of interoperation only: names and meanings of entries and tensors.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ....base.errors import CheckpointWarning, NeurosimFormatError, NeurosimInputError, lookup
from ..huggingface import READERS
from ..huggingface.config import CheckpointConfig, Options
from ..huggingface.reader import CheckpointReader, Tensors
from ..model import LanguageConfig, MixerSpec
from ..tensors import MappedFiles
from .file import GgufFile

# Entries that change no logits of a text read from its start; llama.cpp takes ranks and sizes from the tensors, too.
_HARMLESS = """
block_count context_length embedding_length vocab_size feed_forward_length attention.head_count tensor_data_layout
rope.dimension_sections rope.scaling.finetuned rope.scaling.original_context_length time_mix_extra_dim
time_decay_extra_dim attention.decay_lora_rank attention.iclr_lora_rank attention.gate_lora_rank
attention.value_residual_mix_lora_rank
"""
HARMLESS = frozenset(_HARMLESS.split())


@dataclass(eq=False)
class Metadata:
    """The entries of one architecture, checked as they are read.

    Attributes:
        file: the header.
        architecture: first part of the entries' names.
        entries_read: names of the entries that were read, without that part.
    """

    file: GgufFile
    architecture: str
    entries_read: set[str] = field(default_factory=set)

    def get(self, name: str, default: Any = None) -> Any:
        self.entries_read.add(name)
        return self.file.metadata.get(f"{self.architecture}.{name}", default)

    def refuse(self, name: str, rule: str, got: object) -> None:
        """Raise `NeurosimFormatError` for an entry."""
        raise NeurosimFormatError(f"{self.file.path}: metadata '{self.architecture}.{name}' {rule} (got {got!s:.60})")

    def integer(self, name: str, default: int | None = None) -> int:
        """Return an integer > 0.

        Raises:
            NeurosimFormatError: it is missing, or something else.
        """
        value = self.get(name, default)
        if isinstance(value, list) and len(set(map(str, value))) == 1:
            value = value[0]  # one for each layer
        if type(value) is not int or not 0 < value <= 2**40:
            self.refuse(name, "must be an integer > 0", value)
        return int(value)

    def number(self, name: str, default: float) -> float:
        value = self.get(name, default)
        if type(value) not in (int, float) or not abs(value) <= 1e30:
            self.refuse(name, "must be a finite number", value)
        # Sizes of float32, such as 1e-05: the shortest decimal number that is the same float32.
        return float(f"{value:.7g}")

    def shape(self, name: str, axes: int) -> tuple[int, ...]:
        """Return the shape of a tensor.

        Raises:
            NeurosimFormatError: it is not there, or has another number of axes.
        """
        stored = self.file.tensors.get(name)
        got = None if stored is None else list(stored.shape)
        if got is None or len(got) != axes:
            raise NeurosimFormatError(f"{self.file.path}: tensor '{name}' must be there, with {axes} axes (got {got})")
        return tuple(got)

    def has(self, name: str) -> bool:
        return name in self.file.tensors

    def warn(self) -> None:
        """Warn of entries that were not read and may change numbers."""
        own = f"{self.architecture}."
        names = (name.removeprefix(own) for name in self.file.metadata if name.startswith(own))
        unknown = [name for name in names if name not in self.entries_read | HARMLESS and self.get(name)]
        if unknown:
            listed = ", ".join(f"'{own}{name}'" for name in unknown[:8])
            warnings.warn(
                f"{self.file.path}: entries {listed} are not known to neurosim and are ignored: compare the outputs "
                "with those of llama.cpp",
                CheckpointWarning,
                stacklevel=4,
            )


@dataclass(frozen=True)
class GgufReader(CheckpointReader):
    """Names and values of one architecture.

    Attributes:
        names: our names of the parts of a block, by the names in the file.
    """

    names: Mapping[str, str] = field(default_factory=dict)

    def ours(self, name: str) -> str:
        path = name.split(".")
        if path[0] == "blk" and len(path) > 2:
            return ".".join(["layers", path[1], self.names.get(path[2], path[2]), *path[3:]])
        return ".".join([OUTER.get(path[0], path[0]), *path[1:]])

    def theirs(self, name: str) -> str:
        path = name.split(".")
        if path[0] != "layers":
            theirs = {ours: theirs for theirs, ours in OUTER.items()}
            return ".".join([theirs.get(path[0], path[0]), *path[1:]])
        parts = {ours: theirs for theirs, ours in self.names.items()}
        for size in (2, 1):
            part = parts.get(".".join(path[2 : 2 + size]))
            if part is not None:
                return ".".join(["blk", path[1], part, *path[2 + size :]])
        return ".".join(["blk", *path[1:]])


OUTER = {"token_embd": "embeddings", "output_norm": "norm", "output": "lm_head", "token_embd_norm": "layers.0.pre_norm"}
GATED = {"ffn_norm": "mlp_norm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
SOFTMAX = {"attn_q": "mixer.q_proj", "attn_k": "mixer.k_proj", "attn_v": "mixer.v_proj", "attn_output": "mixer.o_proj"}
SOFTMAX |= {"attn_norm": "norm", "attn_q_norm": "mixer.q_norm", "attn_k_norm": "mixer.k_norm"}


def _tree(meta: Metadata, **more: object) -> dict[str, object]:
    """Return the entries of a config.json that all architectures have."""
    words, width = meta.shape("token_embd.weight", 2)
    return {
        "hidden_size": width,
        "vocab_size": words,
        "num_hidden_layers": meta.integer("block_count"),
        "tie_word_embeddings": not meta.has("output.weight"),
        **more,
    }


def _read(model_type: str, tree: Mapping[str, object]) -> LanguageConfig:
    return READERS[model_type].config(CheckpointConfig(tree))


def _positions(meta: Metadata, head: int) -> dict[str, object]:
    """Return the entries of rotary positions."""
    turned = meta.integer("rope.dimension_count", head)
    entries: dict[str, object] = {
        "rope_theta": meta.number("rope.freq_base", 10000.0),
        "partial_rotary_factor": turned / head,
    }
    kind = meta.get("rope.scaling.type", "none")
    factor = meta.get("rope.scaling.factor")
    if meta.has("rope_freqs.weight"):
        stored = MappedFiles().load(meta.file.tensors["rope_freqs.weight"]).float().flatten()
        entries |= {"rope_type": "divided", "divisors": stored.tolist()}
    elif kind == "linear":
        entries |= {"rope_type": "linear", "factor": meta.number("rope.scaling.factor", 1.0)}
    elif kind == "yarn":
        length = meta.integer("rope.scaling.original_context_length", meta.integer("context_length"))
        entries |= {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": length}
    elif kind != "none":
        meta.refuse("rope.scaling.type", "must be none, linear or yarn", kind)
    return {"rope_parameters": entries}


def _softmax(meta: Metadata) -> dict[str, object]:
    """Return the entries of the Llama family."""
    experts = meta.get("expert_count", 0)
    if experts:
        meta.refuse(
            "expert_count", "must be 0: experts are not read from GGUF files; use the Hugging Face folder", experts
        )
    heads = meta.integer("attention.head_count")
    width = meta.shape("token_embd.weight", 2)[1]
    head = meta.integer("attention.key_length", max(width // heads, 1))
    values = meta.integer("attention.value_length", head)
    if values != head:
        meta.refuse("attention.value_length", f"must be {head}, as attention.key_length", values)
    return _tree(
        meta,
        intermediate_size=meta.integer("feed_forward_length"),
        num_attention_heads=heads,
        num_key_value_heads=meta.integer("attention.head_count_kv", heads),
        head_dim=head,
        rms_norm_eps=meta.number("attention.layer_norm_rms_epsilon", 1e-6),
        max_position_embeddings=meta.integer("context_length", 1),
        **_positions(meta, head),
    )


def _llama(meta: Metadata) -> LanguageConfig:
    biases = {"attention_bias": meta.has("blk.0.attn_q.bias"), "mlp_bias": meta.has("blk.0.ffn_gate.bias")}
    return _read("llama", _softmax(meta) | biases)


def _qwen(meta: Metadata, model_type: str) -> LanguageConfig:
    return _read(model_type, _softmax(meta))


def _unpaired(tensors: Tensors, config: LanguageConfig) -> Tensors:
    """Put the rows of q and k into the order [first of a pair, second of a pair]."""
    changed = dict(tensors)
    for name, value in tensors.items():
        part = name.split(".")[-2]
        if part in ("q_proj", "k_proj"):
            options: Mapping[str, Any] = config.layers[0].options
            heads = options["num_heads" if part == "q_proj" else "num_kv_heads"]
            rows = torch.arange(len(value)).view(heads, -1, 2).mT.flatten()
            changed[name] = value.index_select(0, rows.to(value.device))
    return changed


MAMBA = {
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


def _mamba(meta: Metadata) -> LanguageConfig:
    eps = meta.number("attention.layer_norm_rms_epsilon", 1e-5)
    normed = bool(meta.get("ssm.dt_b_c_rms", False))
    tree = _tree(
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
    return _read("falcon_mamba" if normed else "mamba", tree)


def _mamba2(meta: Metadata) -> LanguageConfig:
    width = meta.shape("token_embd.weight", 2)[1]
    inner = meta.integer("ssm.inner_size")
    heads = meta.integer("ssm.time_step_rank")
    tree = _tree(
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
    return _read("mamba2", tree)


def _log_a(value: Tensor) -> Tensor:
    """Return log(-A)."""
    return (-value.float()).log()


def _change_mamba(tensors: Tensors, config: LanguageConfig) -> Tensors:
    changed: Tensors = {}
    second = config.layers[0].kind == "mamba2"
    for name, value in tensors.items():
        if name.endswith("A_log"):
            changed[name] = _log_a(value.flatten() if second else value)
        elif name.endswith("conv1d.weight"):
            changed[name] = value[:, None]
        elif second and name.endswith((".mixer.D", ".mixer.norm.weight")):
            changed[name] = value.flatten()
        elif second and name.endswith("dt_proj.bias"):
            changed[name.replace("dt_proj.bias", "dt_bias")] = value
        else:
            changed[name] = value
    return changed


RWKV = {
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
_MAPS = {f"time_mix_{m}{n}": f"mixer.{m}_lora.lora.{place}" for m in "wavg" for n, place in (("1", 0), ("2", 2))}
_SIX = {"time_mix_w1": "mixer.mix_in", "time_mix_decay_w1": "mixer.w_lora.lora.0"}
_SIX |= {"time_mix_decay_w2": "mixer.w_lora.lora.2"}


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


def _rwkv6(meta: Metadata) -> LanguageConfig:
    meta.get("rescale_every_n_layers")
    head = meta.integer("wkv.head_size")
    inner = meta.shape("blk.0.time_mix_receptance.weight", 2)[0]
    options: Options = {
        "head_dim": head,
        "inner_dim": inner,
        "mix_low_rank_dim": meta.shape("blk.0.time_mix_w2.weight", 3)[2],
        "decay_low_rank_dim": meta.shape("blk.0.time_mix_decay_w1.weight", 2)[0],
        "norm_eps": RWKV_NORM_EPS,
    }
    hidden = meta.shape("blk.0.channel_mix_key.weight", 2)[0]
    return _rwkv(meta, "rwkv6", options, "gated_channel_mix", hidden)


RWKV_NORM_EPS = 64e-5  # which llama.cpp takes for all RWKV models


def _rwkv7(meta: Metadata) -> LanguageConfig:
    head = meta.integer("wkv.head_size")
    options: Options = {"head_dim": head, "l2_norm_eps": 1e-24, "norm_eps": RWKV_NORM_EPS / head}
    for name, part in (("decay", "w1"), ("a", "a1"), ("gate", "g1")):
        options[f"{name}_low_rank_dim"] = meta.shape(f"blk.0.time_mix_{part}.weight", 2)[0]
    if meta.has("blk.1.time_mix_v1.weight"):
        options["v_low_rank_dim"] = meta.shape("blk.1.time_mix_v1.weight", 2)[0]
    hidden = meta.shape("blk.0.channel_mix_key.weight", 2)[0]
    return _rwkv(meta, "rwkv7", options, "channel_mix", hidden)


def _change_rwkv(tensors: Tensors, config: LanguageConfig, mixes: str, every: int = 0) -> Tensors:
    """Cut fused mixes, give vectors our names, and undo the division of matrices of later layers.

    Args:
        mixes: order of the mixes in the fused tensor.
        every: layers after which matrices are divided by a further 2; 0 for none.
    """
    changed: Tensors = {}
    for name, value in tensors.items():
        path = name.split(".")
        part = path[2] if len(path) > 2 else ""
        place = ".".join(path[:2])
        if part == "time_mix_lerp_fused":
            changed |= {f"{place}.mixer.x_{mix}": row.flatten() for mix, row in zip(mixes, value, strict=True)}
        elif part == "time_mix_w2" and value.dim() == 3:
            changed |= {f"{place}.mixer.mix_out.{i}.weight": matrix for i, matrix in enumerate(value.unbind(0))}
        elif part in ("time_mix_decay", "time_mix_w0", "time_mix_a0", "time_mix_v0"):
            own = "w" if part == "time_mix_decay" else part[-2]
            changed[f"{place}.mixer.{own}_lora.lora.2.bias"] = value.flatten()
        elif part in _VECTORS:
            own = f"{place}.{_VECTORS[part]}"
            changed[own] = (
                value.view(-1, _head(config)) if part in ("time_mix_first", "time_mix_r_k") else value.flatten()
            )
        elif every and name.endswith(("mixer.o_proj.weight", "mlp.value.weight")):
            changed[name] = value.float() * 2.0 ** (int(path[1]) // every)
        else:
            changed[name] = value
    # Layer 0 provides the values that later layers mix in; a file repeats other maps there, which are not used.
    changed = {name: value for name, value in changed.items() if not name.startswith("layers.0.mixer.v_lora")}
    # The mixes of RWKV-7 have axes for sequences and tokens.
    seven = config.layers[0].kind == "rwkv7"
    return {n: v.view(1, 1, -1) if seven and ".mixer.x_" in n else v for n, v in changed.items()}


def _head(config: LanguageConfig) -> int:
    options: Mapping[str, Any] = config.layers[0].options
    return int(options["head_dim"])


QWEN35 = SOFTMAX | GATED | {
    "attn_qkv": "mixer.qkv_proj",
    "attn_gate": "mixer.g_proj",
    "post_attention_norm": "mlp_norm",
    "ssm_beta": "mixer.b_proj",
    "ssm_alpha": "mixer.a_proj",
    "ssm_a": "mixer.A_log",
    "ssm_dt": "mixer.dt",
    "ssm_conv1d": "mixer.conv1d",
    "ssm_norm": "mixer.o_norm",
    "ssm_out": "mixer.o_proj",
}  # fmt: skip


def _qwen35(meta: Metadata) -> LanguageConfig:
    values = meta.integer("ssm.time_step_rank")
    following = meta.get("nextn_predict_layers", 0)
    if following:
        meta.refuse("nextn_predict_layers", "must be 0: layers that predict several tokens are not read", following)
    tree = _softmax(meta) | {
        "full_attention_interval": meta.integer("full_attention_interval", 4),
        "linear_num_key_heads": meta.integer("ssm.group_count"),
        "linear_key_head_dim": meta.integer("ssm.state_size"),
        "linear_num_value_heads": values,
        "linear_value_head_dim": meta.integer("ssm.inner_size") // values,
        "linear_conv_kernel_dim": meta.integer("ssm.conv_kernel"),
    }
    return _read("qwen3_5_text", tree)


def _change_qwen35(tensors: Tensors, config: LanguageConfig) -> Tensors:
    changed: Tensors = {}
    for name, value in tensors.items():
        path = name.split(".")
        inside = len(path) > 3 and path[2] == "mixer"
        layer = config.layers[int(path[1])] if inside else None
        if layer is None:
            changed[name] = value
        elif layer.kind == "softmax":
            changed |= _gated_queries(name, value, layer.options)
        else:
            changed |= _delta_part(".".join(path[:3]), path[3], value, layer.options)
    return changed


def _gated_queries(name: str, value: Tensor, options: Mapping[str, Any]) -> Tensors:
    """Cut queries and their gates, which alternate head by head."""
    if not name.endswith("q_proj.weight"):
        return {name: value}
    head = options["head_dim"]
    rows = torch.arange(len(value), device=value.device).view(options["num_heads"], 2, head)
    return {
        name: value.index_select(0, rows[:, 0].flatten()),
        name.replace("q_proj", "g_proj"): value.index_select(0, rows[:, 1].flatten()),
    }


def _delta_part(place: str, part: str, value: Tensor, options: Mapping[str, Any]) -> Tensors:
    """Turn a tensor of a layer of gated DeltaNet into ours; heads of values go back to [key, value of a key]."""
    keys = options["num_heads"] * options["head_dim"]
    heads = torch.arange(options["num_v_heads"], device=value.device).view(-1, options["num_heads"]).mT.flatten()
    size = options["head_v_dim"]
    channels = (heads[:, None] * size + torch.arange(size, device=value.device)).flatten()
    if part == "qkv_proj":
        q, k, v = value.split([keys, keys, len(value) - 2 * keys])
        return {
            f"{place}.q_proj.weight": q,
            f"{place}.k_proj.weight": k,
            f"{place}.v_proj.weight": v.index_select(0, channels),
        }
    if part == "conv1d":
        q, k, v = value[:, None].split([keys, keys, len(value) - 2 * keys])
        return {
            f"{place}.q_conv1d.weight": q,
            f"{place}.k_conv1d.weight": k,
            f"{place}.v_conv1d.weight": v.index_select(0, channels),
        }
    if part == "g_proj":
        return {f"{place}.g_proj.weight": value.index_select(0, channels)}
    if part == "o_proj":
        return {f"{place}.o_proj.weight": value.index_select(1, channels)}
    if part in ("a_proj", "b_proj"):
        return {f"{place}.{part}.weight": value.index_select(0, heads)}
    if part == "A_log":
        return {f"{place}.A_log": _log_a(value).index_select(0, heads)}
    if part == "dt":
        return {f"{place}.dt_bias": value.index_select(0, heads)}
    return {f"{place}.{part}.weight": value}


Change = Callable[[Tensors, LanguageConfig], Tensors]


@dataclass(frozen=True)
class Architecture:
    """An architecture: its config, its names, and what turns its tensors into ours."""

    config: Callable[[Metadata], LanguageConfig]
    names: Mapping[str, str]
    change: Callable[[Metadata], Change]


def _unchanged(tensors: Tensors, config: LanguageConfig) -> Tensors:
    return tensors


def _rwkv_change(mixes: str) -> Callable[[Metadata], Change]:
    def change(meta: Metadata) -> Change:
        every = meta.get("rescale_every_n_layers", 0)
        if type(every) is not int or every < 0:
            meta.refuse("rescale_every_n_layers", "must be an integer >= 0", every)
        return lambda tensors, config: _change_rwkv(tensors, config, mixes, every)

    return change


ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture(_llama, SOFTMAX | GATED, lambda meta: _unpaired),
    "mamba": Architecture(_mamba, MAMBA, lambda meta: _change_mamba),
    "mamba2": Architecture(_mamba2, MAMBA, lambda meta: _change_mamba),
    "qwen2": Architecture(lambda meta: _qwen(meta, "qwen2"), SOFTMAX | GATED, lambda meta: _unchanged),
    "qwen3": Architecture(lambda meta: _qwen(meta, "qwen3"), SOFTMAX | GATED, lambda meta: _unchanged),
    "qwen35": Architecture(_qwen35, QWEN35, lambda meta: _change_qwen35),
    "rwkv6": Architecture(_rwkv6, RWKV | _SIX, _rwkv_change("wkvrg")),
    "rwkv7": Architecture(_rwkv7, RWKV | _MAPS, _rwkv_change("rwkvag")),
}


def reader_of_gguf(file: GgufFile) -> tuple[LanguageConfig, CheckpointReader]:
    """Return the config of a file's model, and the reader of its tensors.

    Raises:
        NeurosimInputError: an architecture, or an option of it, that is not read: names it.
        NeurosimFormatError: entries or tensors are missing, or break their rules.
    """
    name = file.metadata.get("general.architecture")
    where = f"{file.path}: general.architecture"
    if not isinstance(name, str):
        raise NeurosimInputError(
            f"{where}: must be the name of an architecture (got {name!s:.40}); fetch the file again"
        )
    architecture = lookup(ARCHITECTURES, name, where)
    meta = Metadata(file, name)
    config = architecture.config(meta)
    reader = GgufReader(_no_config, names=architecture.names, change=architecture.change(meta))
    meta.warn()
    return config, reader


def _no_config(source: CheckpointConfig) -> LanguageConfig:
    raise NeurosimInputError("a GGUF file has no config.json")


def tensors_of(file: GgufFile) -> dict[str, Any]:
    """Return the tensors that are weights: without the divisors of rotary positions, which are in the config."""
    return {name: stored for name, stored in file.tensors.items() if name != "rope_freqs.weight"}
