"""Run a network event by event, on a grid or in continuous time, and count its work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base.lazy import lazy_exports

if TYPE_CHECKING:
    from ..base.measure.activity import count as count
    from ..base.measure.estimates import EnergyEstimates as EnergyEstimates
    from ..base.measure.estimates import EnergyRange as EnergyRange
    from ..base.measure.estimates import energy as energy
    from ..base.measure.measures import DEFINITIONS as DEFINITIONS
    from ..base.measure.measures import Measures as Measures
    from ..base.measure.measures import measure as measure
    from ..base.measure.profiles import PROFILES as PROFILES
    from ..base.measure.profiles import Profile as Profile
    from ..base.measure.work import LayerCounts as LayerCounts
    from ..base.measure.work import sum_counts as sum_counts
    from .connections import Connections as Connections
    from .description.description import Description as Description
    from .description.description import Settings as Settings
    from .description.dump import write_description as write_description
    from .description.parse import read_description as read_description
    from .packets import live as live
    from .packets import response as response
    from .result import Progress as Progress
    from .result import Result as Result

# Loaded on first use.
__getattr__, __all__ = lazy_exports(__name__)
