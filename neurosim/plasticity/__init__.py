"""Plasticity: learning rules of weights, and short-term changes of the effect of spikes."""

from .base import PAIRINGS as PAIRINGS
from .base import LearningRule as LearningRule
from .base import Modulation as Modulation
from .base import Terms as Terms
from .growth import GaussianGrowth as GaussianGrowth
from .growth import GrowthCurve as GrowthCurve
from .growth import LinearGrowth as LinearGrowth
from .growth import PairElements as PairElements
from .growth import SynapticElements as SynapticElements
from .hebbian import Hebbian as Hebbian
from .homeostasis import Homeostasis as Homeostasis
from .homeostasis import HomeostasisTerms as HomeostasisTerms
from .homeostasis import SynapticScaling as SynapticScaling
from .homeostasis import WeightNormalisation as WeightNormalisation
from .short_term import ShortTermPlasticity as ShortTermPlasticity
from .structural import PruneAndRegrow as PruneAndRegrow
from .structural import Rewired as Rewired
from .structural import StructuralRule as StructuralRule
from .structural import Synapses as Synapses
from .timing import STDP as STDP
from .timing import RewardSTDP as RewardSTDP
from .timing import TripletSTDP as TripletSTDP

RULES: dict[str, type[LearningRule]] = {rule.__name__: rule for rule in (STDP, TripletSTDP, RewardSTDP, Hebbian)}
HOMEOSTASIS: dict[str, type[Homeostasis]] = {rule.__name__: rule for rule in (SynapticScaling, WeightNormalisation)}
