"""Language models of linear attention, and their conversion into spikes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base.lazy import lazy_exports

if TYPE_CHECKING:
    from .attention.checkpoint import read_model as read_model
    from .attention.checkpoint import write_model as write_model
    from .attention.kinds import KINDS as KINDS
    from .attention.kinds import build as build
    from .attention.kinds.base import Codes as Codes
    from .attention.kinds.base import Depth as Depth
    from .attention.kinds.base import Mixer as Mixer
    from .attention.model import LanguageConfig as LanguageConfig
    from .attention.model import LanguageModel as LanguageModel
    from .attention.model import MixerSpec as MixerSpec
    from .attention.text import python_text as python_text
    from .attention.text import read_text as read_text
    from .attention.tokenizer import Tokenizer as Tokenizer
    from .attention.tokenizer import read_tokenizer as read_tokenizer
    from .attention.train import LanguageTraining as LanguageTraining
    from .attention.train import split_text as split_text
    from .attention.train import train_bytes as train_bytes
    from .attention.train import validation_loss as validation_loss
    from .conversion.checkpoint import read_converted as read_converted
    from .conversion.checkpoint import write_converted as write_converted
    from .conversion.coding import SCHEMES as SCHEMES
    from .conversion.coding import Coder as Coder
    from .conversion.comparison import check_execution as check_execution
    from .conversion.comparison import compare_models as compare_models
    from .conversion.convert import Calibration as Calibration
    from .conversion.convert import calibrate_channels as calibrate_channels
    from .conversion.convert import convert as convert
    from .conversion.costs import energy_comparison as energy_comparison
    from .conversion.costs import layer_counts as layer_counts
    from .conversion.costs import spike_totals as spike_totals
    from .conversion.decoder.decoder import Decoder as Decoder
    from .conversion.expansions import EXPANSIONS as EXPANSIONS
    from .conversion.generate import Sampling as Sampling
    from .conversion.generate import generate_tokens as generate_tokens
    from .conversion.linear import SpikedLinear as SpikedLinear
    from .conversion.model import Converted as Converted
    from .conversion.settings import Coding as Coding
    from .conversion.speed import measure_speed as measure_speed
    from .conversion.tuning import Tuning as Tuning
    from .conversion.tuning import tune as tune

# Loaded on first use.
__getattr__, __all__ = lazy_exports(__name__)
