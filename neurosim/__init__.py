"""neurosim: spiking networks and sparse distributed representations, event by event."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .lazy import lazy_exports

if TYPE_CHECKING:
    from .data import catalog as catalog
    from .engine import Probe as Probe
    from .engine import Simulation as Simulation
    from .engine import simulate as simulate
    from .errors import NeurosimError as NeurosimError
    from .network import Link as Link
    from .network import Network as Network
    from .network import PoissonInput as PoissonInput
    from .network import PoissonSource as PoissonSource
    from .network import Population as Population
    from .network import Projection as Projection
    from .network import SpikeSource as SpikeSource
    from .spikes import Recordings as Recordings
    from .spikes import Spikes as Spikes
    from .windowed import Windowed as Windowed

__version__ = "0.1.0"

# kernels/ and datasets/ are links to folders beside this one; a checkout without symbolic links finds them there.
_HERE = os.path.dirname(os.path.abspath(__file__))
if not os.path.isdir(os.path.join(_HERE, "kernels")):
    __path__.append(os.path.dirname(_HERE))

# Loaded on first use, so that importing the package, and `neurosim --help`, costs milliseconds.
__getattr__, __all__ = lazy_exports(__name__)
