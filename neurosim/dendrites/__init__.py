"""Active dendrites: segments that recognise sparse patterns, a layer for continual learning, and the two algorithms of
hierarchical temporal memory, spatial pooler and temporal memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_exports

if TYPE_CHECKING:
    from .elm import ELMUnits as ELMUnits
    from .layer import DendriteLayer as DendriteLayer
    from .layer import Prototypes as Prototypes
    from .pooler import SpatialPooler as SpatialPooler
    from .predictive import DendriticSegments as DendriticSegments
    from .segments import HitCount as HitCount
    from .segments import SegmentUnits as SegmentUnits
    from .segments import measure_false_negatives as measure_false_negatives
    from .segments import measure_false_positives as measure_false_positives
    from .segments import measure_union_false_positives as measure_union_false_positives
    from .temporal import TemporalMemory as TemporalMemory
    from .torch_layer import DendriteNetwork as DendriteNetwork
    from .torch_layer import TrainableDendriteLayer as TrainableDendriteLayer

# Loaded on first use: each needs compiled kernels, or torch, that the others do without.
__getattr__, __all__ = lazy_exports(__name__)
