"""Sparsity, synaptic operations and energy estimates, computed for every paradigm from the same counts of layers.

layers = result.work                                # counts of the engine; of other models model.work(inputs)
measures = measure.measure(layers, samples=100, duration=30.0, events_in=420_000)
estimate = measure.energy(layers, samples=100, profile="horowitz45")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..deprecated import former_names
from .activity import count as count
from .estimates import EnergyEstimates as EnergyEstimates
from .estimates import EnergyRange as EnergyRange
from .estimates import energy as energy
from .measures import DEFINITIONS as DEFINITIONS
from .measures import Definition as Definition
from .measures import Measures as Measures
from .measures import measure as measure
from .profiles import PROFILES as PROFILES
from .profiles import Profile as Profile
from .profiles import find as find_profile
from .profiles import read as read_profile
from .work import LayerCounts as LayerCounts
from .work import sum_counts as sum_counts

__all__ = [
    "DEFINITIONS",
    "PROFILES",
    "Definition",
    "EnergyEstimates",
    "EnergyRange",
    "LayerCounts",
    "Measures",
    "Profile",
    "count",
    "energy",
    "find_profile",
    "measure",
    "read_profile",
    "sum_counts",
]

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__)
