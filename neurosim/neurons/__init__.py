"""Neuron models, each a frozen dataclass that reads as its equation."""

from .base import Neuron as Neuron
from .base import hold_steps as hold_steps
from .base import propagator as propagator
from .current import CubaLIF as CubaLIF
from .lif import IF as IF
from .lif import LI as LI
from .lif import LIF as LIF

NEURONS: dict[str, type[Neuron]] = {model.__name__: model for model in (LIF, IF, LI, CubaLIF)}

__all__ = ["IF", "LI", "LIF", "NEURONS", "CubaLIF", "Neuron", "hold_steps", "propagator"]
