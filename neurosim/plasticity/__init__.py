"""Plasticity: learning rules of weights, and short-term changes of the effect of spikes."""

from .base import PAIRINGS as PAIRINGS
from .base import LearningRule as LearningRule
from .base import Modulation as Modulation
from .base import Terms as Terms
from .hebbian import Hebbian as Hebbian
from .short_term import ShortTermPlasticity as ShortTermPlasticity
from .timing import STDP as STDP
from .timing import RewardSTDP as RewardSTDP
from .timing import TripletSTDP as TripletSTDP

RULES: dict[str, type[LearningRule]] = {rule.__name__: rule for rule in (STDP, TripletSTDP, RewardSTDP, Hebbian)}
