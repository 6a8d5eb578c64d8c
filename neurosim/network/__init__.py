"""What a network is: populations of neurons, projections of synapses, learning rules, stimuli."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base.lazy import lazy_exports

if TYPE_CHECKING:
    from .network import Link as Link
    from .network import Network as Network
    from .network import PoissonInput as PoissonInput
    from .network import PoissonSource as PoissonSource
    from .network import Population as Population
    from .network import Projection as Projection
    from .network import SpikeSource as SpikeSource
    from .neurons.adaptive import AdaptiveLIF as AdaptiveLIF
    from .neurons.adaptive import AdEx as AdEx
    from .neurons.adaptive import Izhikevich as Izhikevich
    from .neurons.base import Neuron as Neuron
    from .neurons.compartments import NMDALIF as NMDALIF
    from .neurons.compartments import TwoCompartmentLIF as TwoCompartmentLIF
    from .neurons.conductance import CobaLIF as CobaLIF
    from .neurons.current import AlphaLIF as AlphaLIF
    from .neurons.current import CubaLIF as CubaLIF
    from .neurons.dendritic import DendriticLIF as DendriticLIF
    from .neurons.lif import IF as IF
    from .neurons.lif import LI as LI
    from .neurons.lif import LIF as LIF
    from .neurons.seadlif import SEAdLIF as SEAdLIF
    from .neurons.symbolic.model import equations as equations
    from .nir.load import from_nir as from_nir
    from .plasticity.homeostasis import SynapticScaling as SynapticScaling
    from .plasticity.short_term import ShortTermPlasticity as ShortTermPlasticity
    from .plasticity.timing import STDP as STDP
    from .plasticity.timing import RewardSTDP as RewardSTDP
    from .stimuli import NoiseCurrent as NoiseCurrent
    from .stimuli import StepCurrent as StepCurrent
    from .synapses.patterns import AllToAll as AllToAll
    from .synapses.patterns import Convolution as Convolution
    from .synapses.patterns import DistanceDependentProbability as DistanceDependentProbability
    from .synapses.patterns import FixedNumberPre as FixedNumberPre
    from .synapses.patterns import FixedProbability as FixedProbability
    from .synapses.patterns import FromList as FromList
    from .synapses.patterns import OneToOne as OneToOne
    from .synapses.values import LogNormal as LogNormal
    from .synapses.values import Normal as Normal
    from .synapses.values import Uniform as Uniform
    from .windowed import Windowed as Windowed

# Loaded on first use.
__getattr__, __all__ = lazy_exports(__name__)
