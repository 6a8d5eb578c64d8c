"""neurosim: spiking networks and sparse distributed representations, event by event."""

from __future__ import annotations

# Before the imports: `base` reads it to see whose file this is.
__distribution__ = "neurosim-spiking"

import os
from typing import TYPE_CHECKING

from .base.lazy import lazy_exports

if TYPE_CHECKING:
    from .app import plot as plot
    from .base.errors import NeurosimError as NeurosimError
    from .data import catalog as catalog
    from .data.recordings import Recordings as Recordings
    from .data.spikes import Spikes as Spikes
    from .engine.batch import simulate as simulate
    from .engine.probe import Probe as Probe
    from .engine.simulation import Simulation as Simulation
    from .network.network import Network as Network
    from .network.neurons.adex import AdEx as AdEx
    from .network.neurons.conductance import CobaLIF as CobaLIF
    from .network.neurons.current import CubaLIF as CubaLIF
    from .network.neurons.izhikevich import Izhikevich as Izhikevich
    from .network.neurons.lif import LIF as LIF
    from .network.plasticity.timing import STDP as STDP
    from .network.population import Population as Population
    from .network.projection import Link as Link
    from .network.projection import Projection as Projection
    from .network.stimuli import PoissonInput as PoissonInput
    from .network.stimuli import PoissonSource as PoissonSource
    from .network.stimuli import SpikeSource as SpikeSource
    from .network.synapses.patterns import AllToAll as AllToAll
    from .network.synapses.patterns import FixedNumberPre as FixedNumberPre
    from .network.synapses.patterns import FixedProbability as FixedProbability
    from .network.synapses.patterns import FromList as FromList
    from .network.synapses.patterns import OneToOne as OneToOne
    from .network.windowed import Windowed as Windowed

__version__ = "0.1.0"

# kernels/ and datasets/ are links to folders beside this one; a checkout without symbolic links finds them there.
_HERE = os.path.dirname(os.path.abspath(__file__))
if not os.path.isdir(os.path.join(_HERE, "kernels")):
    __path__.append(os.path.dirname(_HERE))

# Scripts of PyNN say `import neurosim.pynn as sim`: the module lies in its room, with those that are called so.
__path__.append(os.path.join(_HERE, "engine", "adapters"))

# Loaded on first use, so that importing the package, and `neurosim --help`, costs milliseconds.
__getattr__, __all__ = lazy_exports(__name__)
