"""Liquid state machines: a fixed random recurrent network, and a trained readout of what it does."""

from .features import features as features
from .liquid import Liquid as Liquid
from .readout import Readout as Readout
from .readout import TrainedReadout as TrainedReadout

__all__ = ["Liquid", "Readout", "TrainedReadout", "features"]
