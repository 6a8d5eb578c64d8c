"""Linear-attention kinds, each one recurrence; the reference language model of any mix of them; reading checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_exports

if TYPE_CHECKING:
    from .checkpoint import fit_tensors as fit_tensors
    from .checkpoint import read_model as read_model
    from .checkpoint import write_model as write_model
    from .kinds import KINDS as KINDS
    from .kinds import build as build
    from .kinds import current_options as current_options
    from .kinds import options_of as options_of
    from .kinds.base import Codes as Codes
    from .kinds.base import Depth as Depth
    from .kinds.base import Mixer as Mixer
    from .model import LanguageConfig as LanguageConfig
    from .model import LanguageModel as LanguageModel
    from .model import MixerSpec as MixerSpec
    from .parallel import forward_slice as forward_slice
    from .text import python_text as python_text
    from .text import read_text as read_text
    from .tokenizer import Tokenizer as Tokenizer
    from .tokenizer import read_tokenizer as read_tokenizer
    from .train import LanguageTraining as LanguageTraining
    from .train import TrainingProgress as TrainingProgress
    from .train import small as small
    from .train import train_bytes as train_bytes
    from .train import validation_loss as validation_loss

# Loaded on first use: all but the text need torch.
__getattr__, __all__ = lazy_exports(__name__)
