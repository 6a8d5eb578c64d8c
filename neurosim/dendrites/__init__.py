"""Active dendrites: segments that recognise sparse patterns, a layer for continual learning, and the two algorithms of
hierarchical temporal memory, spatial pooler and temporal memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_getattr

if TYPE_CHECKING:
    from .layer import DendriteLayer as DendriteLayer
    from .layer import Prototypes as Prototypes
    from .pooler import SpatialPooler as SpatialPooler
    from .segments import HitCount as HitCount
    from .segments import SegmentUnits as SegmentUnits
    from .segments import measure_false_negatives as measure_false_negatives
    from .segments import measure_false_positives as measure_false_positives
    from .segments import measure_union_false_positives as measure_union_false_positives
    from .temporal import TemporalMemory as TemporalMemory
    from .torch_layer import DendriteNetwork as DendriteNetwork
    from .torch_layer import TrainableDendriteLayer as TrainableDendriteLayer

# Loaded on first use: each needs compiled kernels, or torch, that the others do without.
_PUBLIC = {
    "DendriteLayer": "layer",
    "DendriteNetwork": "torch_layer",
    "Prototypes": "layer",
    "SegmentUnits": "segments",
    "SpatialPooler": "pooler",
    "HitCount": "segments",
    "TemporalMemory": "temporal",
    "TrainableDendriteLayer": "torch_layer",
    "measure_false_negatives": "segments",
    "measure_false_positives": "segments",
    "measure_union_false_positives": "segments",
}
__all__ = list(_PUBLIC)
__getattr__ = lazy_getattr(__name__, _PUBLIC)
