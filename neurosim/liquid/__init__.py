"""Liquid state machines: a fixed random recurrent network, and a trained readout of what it does."""

from .liquid import Liquid as Liquid
from .readout import Readout as Readout
from .readout import features as features

__all__ = ["Liquid", "Readout", "features"]
