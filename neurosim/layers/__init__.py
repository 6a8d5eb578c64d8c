"""Trainable spiking layers: plain torch modules, time first; needs torch (the `train` extra)."""

from __future__ import annotations

from ..errors import NeurosimMissingError
from ..lazy import lazy_exports

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise NeurosimMissingError(
        f"neurosim.layers: needs torch ({error}); run: pip install 'neurosim-spiking[train]'"
    ) from None

from .base import NeuronLayer as NeuronLayer
from .base import Stateful as Stateful
from .delayed import DelayedLinear as DelayedLinear
from .linear import SpikeLinear as SpikeLinear
from .neurons import CurrentLIFLayer as CurrentLIFLayer
from .neurons import LeakyIntegrator as LeakyIntegrator
from .neurons import LIFLayer as LIFLayer
from .neurons import SEAdLIFLayer as SEAdLIFLayer
from .parallel import PSN as PSN
from .parallel import FixedPointLIF as FixedPointLIF
from .parallel import SmoothLIF as SmoothLIF
from .snntorch import from_snntorch as from_snntorch
from .snntorch import to_snntorch as to_snntorch
from .stack import Stack as Stack
from .surrogates import SURROGATES as SURROGATES
from .surrogates import Surrogate as Surrogate
from .unit_parameter import UnitParameter as UnitParameter

__getattr__, __all__ = lazy_exports(__name__)
