"""Architectures of GGUF files: config from the metadata, names and values of tensors.

llama.cpp stores some tensors in other forms than their authors, and the module of each family turns them back. Facts of
interoperation only: names and meanings of entries and tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ....base.errors import NeurosimInputError, lookup
from ..huggingface.config import CheckpointConfig
from ..huggingface.family import split_fused
from ..huggingface.reader import CheckpointReader, Tensors
from ..model import LanguageConfig
from . import experts, mamba, qwen35, relatives, rwkv, softmax
from .file import GgufFile
from .metadata import Metadata

OUTER = {"token_embd": "embeddings", "output_norm": "norm", "output": "lm_head", "token_embd_norm": "layers.0.pre_norm"}


DIVISORS = {"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"}


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
        if "experts" in path and path[4].isdigit():
            # One tensor has all experts of a layer.
            del path[4]
        for size in (3, 2, 1):
            part = parts.get(".".join(path[2 : 2 + size]))
            if part is not None:
                return ".".join(["blk", path[1], part, *path[2 + size :]])
        return ".".join(["blk", *path[1:]])


Change = Callable[[Tensors, LanguageConfig], Tensors]


@dataclass(frozen=True)
class Architecture:
    """An architecture: its config, its names, and what turns its tensors into ours."""

    config: Callable[[Metadata], LanguageConfig]
    names: Mapping[str, str]
    change: Callable[[Metadata], Change]


def _unchanged(tensors: Tensors, config: LanguageConfig) -> Tensors:
    return tensors


def _unpaired_experts(tensors: Tensors, config: LanguageConfig) -> Tensors:
    return experts.apart(softmax.unpaired(tensors, config), config)


LLAMA = softmax.SOFTMAX | softmax.GATED
# Norms behind layers are there in addition, or in the place of the others.
BEHIND = LLAMA | relatives.BEHIND
EXPERTS = LLAMA | experts.NAMES
ARCHITECTURES: Mapping[str, Architecture] = {
    "gemma": Architecture(relatives.config_of_gemma, LLAMA, lambda meta: _unchanged),
    "gemma2": Architecture(relatives.config_of_gemma2, BEHIND, lambda meta: _unchanged),
    "gemma3": Architecture(relatives.config_of_gemma3, BEHIND, lambda meta: _unchanged),
    "granite": Architecture(relatives.config_of_granite, LLAMA, lambda meta: softmax.unpaired),
    "granitemoe": Architecture(relatives.config_of_granite_experts, EXPERTS, lambda meta: _unpaired_experts),
    "llama": Architecture(softmax.config_of_llama, EXPERTS, lambda meta: _unpaired_experts),
    "mamba": Architecture(mamba.config_of_mamba, mamba.NAMES, lambda meta: mamba.change_tensors),
    "mamba2": Architecture(mamba.config_of_mamba2, mamba.NAMES, lambda meta: mamba.change_tensors),
    "olmo2": Architecture(relatives.config_of_olmo2, BEHIND, lambda meta: _unchanged),
    "phi3": Architecture(relatives.config_of_phi3, LLAMA | relatives.FUSED, lambda meta: split_fused),
    "qwen2": Architecture(lambda meta: softmax.config_of_qwen(meta, "qwen2"), LLAMA, lambda meta: _unchanged),
    "qwen3": Architecture(lambda meta: softmax.config_of_qwen(meta, "qwen3"), LLAMA, lambda meta: _unchanged),
    "qwen3moe": Architecture(relatives.config_of_qwen3_experts, EXPERTS, lambda meta: experts.apart),
    "qwen35": Architecture(qwen35.config_of_qwen35, qwen35.NAMES, lambda meta: qwen35.change_tensors),
    "rwkv6": Architecture(rwkv.config_of_rwkv6, rwkv.NAMES_6, rwkv.change_of("wkvrg")),
    "rwkv7": Architecture(rwkv.config_of_rwkv7, rwkv.NAMES_7, rwkv.change_of("rwkvag")),
    "smollm3": Architecture(relatives.config_of_smollm3, LLAMA, lambda meta: softmax.unpaired),
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
    return {name: stored for name, stored in file.tensors.items() if name not in DIVISORS}
