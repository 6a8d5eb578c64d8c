"""Sparsity, synaptic operations and energy estimates: one table for every paradigm, from the counts it hands over.

layers = result.work                                # what the engine, a readout, a memory counted
measures = measure.measure(layers, samples=100, duration=30.0, events_in=420_000)
estimate = measure.energy(layers, samples=100, profile="horowitz45")
"""

from .activity import count as count
from .energy import energy as energy
from .measures import DEFINITIONS as DEFINITIONS
from .measures import Definition as Definition
from .measures import Measures as Measures
from .measures import measure as measure
from .profiles import PROFILES as PROFILES
from .profiles import Profile as Profile
from .profiles import find as find_profile
from .profiles import read as read_profile
from .work import LayerCounts as LayerCounts

__all__ = [
    "DEFINITIONS",
    "PROFILES",
    "Definition",
    "LayerCounts",
    "Measures",
    "Profile",
    "count",
    "energy",
    "find_profile",
    "measure",
    "read_profile",
]
