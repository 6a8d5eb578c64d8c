"""Readers of others' checkpoints: one `CheckpointReader` for each model type that config.json may name."""

from __future__ import annotations

from .config import CheckpointConfig as CheckpointConfig
from .fla import FLA
from .hybrids import HYBRIDS
from .llama import LLAMA
from .mamba import MAMBA
from .reader import CheckpointReader as CheckpointReader
from .rwkv import PTH as PTH
from .rwkv import RWKV

READERS: dict[str, CheckpointReader] = FLA | HYBRIDS | LLAMA | MAMBA | RWKV
