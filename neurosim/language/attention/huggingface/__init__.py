"""Readers of others' checkpoints: one `CheckpointReader` for each model type that config.json may name."""

from __future__ import annotations

from ....base.errors import lookup
from .config import CheckpointConfig
from .fla import FLA, FLA_RWKV6
from .kimi_linear import KIMI
from .llama import LLAMA
from .mamba import MAMBA
from .mamba_hybrids import MAMBA_HYBRIDS
from .neox import NEOX
from .qwen_hybrids import QWEN_HYBRIDS
from .reader import CheckpointReader
from .rwkv import RWKV
from .transnormer import TRANSNORMER

READERS: dict[str, CheckpointReader] = (
    FLA | KIMI | LLAMA | MAMBA | MAMBA_HYBRIDS | NEOX | QWEN_HYBRIDS | RWKV | TRANSNORMER
)


def reader_of(kind: str, source: CheckpointConfig, where: str) -> CheckpointReader:
    """Return the reader of a model type; where a type has two layouts, the one that fits the tensors.

    Raises:
        NeurosimInputError: an unknown model type.
    """
    if kind == "rwkv6" and source.has(".bonus"):
        return FLA_RWKV6
    return lookup(READERS, kind, where)
