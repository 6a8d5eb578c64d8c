"""Plasticity: learning rules of weights, and short-term changes of the effect of spikes."""

from .base import LearningRule
from .hebbian import Hebbian
from .homeostasis import Homeostasis, SynapticScaling, WeightNormalisation
from .timing import STDP, RewardSTDP, TripletSTDP

RULES: dict[str, type[LearningRule]] = {rule.__name__: rule for rule in (STDP, TripletSTDP, RewardSTDP, Hebbian)}
HOMEOSTASIS: dict[str, type[Homeostasis]] = {rule.__name__: rule for rule in (SynapticScaling, WeightNormalisation)}
