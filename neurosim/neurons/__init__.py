"""Neuron models, each a frozen dataclass that reads as its equation."""

from .. import plugins
from .adaptive import AdaptiveLIF as AdaptiveLIF
from .adaptive import AdEx as AdEx
from .adaptive import Izhikevich as Izhikevich
from .base import ExactNeuron as ExactNeuron
from .base import Neuron as Neuron
from .base import hold_steps as hold_steps
from .base import propagator as propagator
from .by_unit import at as at
from .compartments import NMDALIF as NMDALIF
from .compartments import TwoCompartmentLIF as TwoCompartmentLIF
from .conductance import CobaLIF as CobaLIF
from .current import AlphaLIF as AlphaLIF
from .current import CubaLIF as CubaLIF
from .dendritic import DendriticLIF as DendriticLIF
from .lif import IF as IF
from .lif import LI as LI
from .lif import LIF as LIF
from .seadlif import SEAdLIF as SEAdLIF
from .symbolic import equations as equations

# Models that run with any step, and more exactly the shorter it is, and in continuous time.
NEURONS: dict[str, type[Neuron]] = {
    model.__name__: model for model in (LIF, IF, LI, CubaLIF, AlphaLIF, CobaLIF, AdaptiveLIF, AdEx, Izhikevich)
}
# All models, by the names that files give them, and those of plugins.
MODELS: plugins.Extended[type[Neuron]] = plugins.Extended(
    "neurons",
    {
        **NEURONS,
        **{model.__name__: model for model in (DendriticLIF, NMDALIF, SEAdLIF, TwoCompartmentLIF)},
    },
    lambda name, found: plugins.subclass("neurons", name, found, Neuron),
)
