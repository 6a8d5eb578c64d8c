"""Trained linear-attention models made to communicate in spikes, and run by adding rows of weights.

spiking = convert(read_model("folder"), Coding("calibrated", spikes=0.9), tokens)
spiking.execute()                               # spikes are accumulated for real
logits, state = spiking.model.step(token, state)
logits = Decoder(spiking.model).step([token])   # the same as one compiled program, which holds the state
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_exports

if TYPE_CHECKING:
    from .coding import SCHEMES as SCHEMES
    from .coding import Coder as Coder
    from .coding import Scheme as Scheme
    from .decoder import Decoder as Decoder
    from .expansions import EXPANSIONS as EXPANSIONS
    from .expansions import Expansion as Expansion
    from .expansions import collapse as collapse
    from .expansions import count_spikes as count_spikes
    from .expansions import expand as expand
    from .linear import SpikedLinear as SpikedLinear
    from .model import Calibration as Calibration
    from .model import Coding as Coding
    from .model import Converted as Converted
    from .model import calibrate_channels as calibrate_channels
    from .model import convert as convert
    from .tuning import Tuning as Tuning
    from .tuning import tune as tune

# Loaded on first use: all but the expansions need torch.
__getattr__, __all__ = lazy_exports(__name__)
