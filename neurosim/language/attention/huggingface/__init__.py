"""Readers of others' checkpoints: one `CheckpointReader` for each model type that config.json may name."""

from __future__ import annotations

from ....base.errors import lookup
from .config import CheckpointConfig
from .fla import FLA, FLA_RWKV6
from .hybrids import HYBRIDS
from .llama import LLAMA
from .mamba import MAMBA
from .reader import CheckpointReader
from .rwkv import RWKV
from .transnormer import TRANSNORMER

READERS: dict[str, CheckpointReader] = FLA | HYBRIDS | LLAMA | MAMBA | RWKV | TRANSNORMER


def reader_of(kind: str, source: CheckpointConfig, where: str) -> CheckpointReader:
    """Return the reader of a model type; where a type has two layouts, the one that fits the tensors.

    Raises:
        NeurosimInputError: an unknown model type.
    """
    if kind == "rwkv6" and source.has(".bonus"):
        return FLA_RWKV6
    return lookup(READERS, kind, where)
