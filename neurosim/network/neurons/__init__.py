"""Neuron models, each a frozen dataclass that reads as its equation."""

from ...base import plugins
from .adaptive_lif import AdaptiveLIF
from .adex import AdEx
from .base import Neuron
from .compartments import NMDALIF, TwoCompartmentLIF
from .conductance import CobaLIF
from .conductance_adaptive import AlphaCobaAdEx, CobaAdEx
from .conductance_alpha import AlphaCobaLIF
from .current import AlphaLIF, CubaLIF
from .dendritic import DendriticLIF
from .hodgkin_huxley import HodgkinHuxley
from .izhikevich import Izhikevich
from .lif import IF, LI, LIF
from .seadlif import SEAdLIF

# Models that run with any step, and more exactly the shorter it is, and in continuous time.
NEURONS: dict[str, type[Neuron]] = {
    model.__name__: model for model in (LIF, IF, LI, CubaLIF, AlphaLIF, CobaLIF, AdaptiveLIF, AdEx, Izhikevich)
}
# Models that run on a grid alone.
GRID_ONLY: tuple[type[Neuron], ...] = (
    AlphaCobaAdEx,
    AlphaCobaLIF,
    CobaAdEx,
    DendriticLIF,
    HodgkinHuxley,
    NMDALIF,
    SEAdLIF,
    TwoCompartmentLIF,
)
# All models, by their names in files, and models of plugins.
MODELS: plugins.Extended[type[Neuron]] = plugins.Extended(
    "neurons",
    {
        **NEURONS,
        **{model.__name__: model for model in GRID_ONLY},
    },
    lambda name, plugin: plugins.subclass("neurons", name, plugin, Neuron),
)
