"""Networks: populations of neurons, projections of synapses, learning rules, stimuli."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base.lazy import lazy_exports

if TYPE_CHECKING:
    from .edges import Activation as Activation
    from .edges import Edges as Edges
    from .edges import read_edges as read_edges
    from .neurons.adaptive_lif import AdaptiveLIF as AdaptiveLIF
    from .neurons.base import Neuron as Neuron
    from .neurons.by_unit import at as at
    from .neurons.compartments import NMDALIF as NMDALIF
    from .neurons.compartments import TwoCompartmentLIF as TwoCompartmentLIF
    from .neurons.contract import check_neuron as check_neuron
    from .neurons.current import AlphaLIF as AlphaLIF
    from .neurons.dendritic import DendriticLIF as DendriticLIF
    from .neurons.lif import IF as IF
    from .neurons.lif import LI as LI
    from .neurons.seadlif import SEAdLIF as SEAdLIF
    from .neurons.symbolic.model import equations as equations
    from .nir.files import write_nir as write_nir
    from .nir.load import from_nir as from_nir
    from .nir.save import to_nir as to_nir
    from .plasticity.growth import LinearGrowth as LinearGrowth
    from .plasticity.growth import PairElements as PairElements
    from .plasticity.growth import SynapticElements as SynapticElements
    from .plasticity.homeostasis import SynapticScaling as SynapticScaling
    from .plasticity.short_term import ShortTermPlasticity as ShortTermPlasticity
    from .plasticity.structural import PruneAndRegrow as PruneAndRegrow
    from .plasticity.timing import RewardSTDP as RewardSTDP
    from .stimuli import GapJunctions as GapJunctions
    from .stimuli import NoiseCurrent as NoiseCurrent
    from .stimuli import StepCurrent as StepCurrent
    from .synapses.convolution import Convolution as Convolution
    from .synapses.patterns import DistanceDependentProbability as DistanceDependentProbability
    from .synapses.values import LogNormal as LogNormal
    from .synapses.values import Normal as Normal
    from .synapses.values import Uniform as Uniform

# Loaded on first use.
__getattr__, __all__ = lazy_exports(__name__)
