"""Linear-attention kinds, each one recurrence; the reference language model of any mix of them; reading checkpoints."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Codes as Codes
    from .base import Mixer as Mixer
    from .base import Place as Place
    from .kinds import KINDS as KINDS
    from .kinds import build as build
    from .kinds import options_of as options_of
    from .model import LanguageConfig as LanguageConfig
    from .model import LanguageModel as LanguageModel
    from .model import Layer as Layer

# Loaded on first use: all but the text need torch.
_PUBLIC = {
    "KINDS": "kinds",
    "Codes": "base",
    "LanguageConfig": "model",
    "LanguageModel": "model",
    "Layer": "model",
    "Mixer": "base",
    "Place": "base",
    "build": "kinds",
    "options_of": "kinds",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'neurosim.attention' has no attribute '{name}'")
    value = globals()[name] = getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)
    return value
