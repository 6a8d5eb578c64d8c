"""Liquid state machines: a fixed random recurrent network and a trained readout of its spikes."""

from .liquid import Liquid as Liquid
from .readout import Readout as Readout
from .readout import TrainedReadout as TrainedReadout
from .windows import features as features
