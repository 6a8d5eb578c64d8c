"""Sparsey-style macrocolumns: single-trial, fixed-time sparse memories of items and sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_getattr

if TYPE_CHECKING:
    from .column import Macrocolumn as Macrocolumn
    from .fields import patches as patches
    from .fields import scattered as scattered
    from .hierarchy import Hierarchy as Hierarchy
    from .hierarchy import HierarchyMemory as HierarchyMemory
    from .hierarchy import Level as Level
    from .recognition import Recogniser as Recogniser
    from .recognition import RecogniserMemory as RecogniserMemory
    from .recognition import Recognition as Recognition
    from .recognition import recogniser as recogniser
    from .records import Answer as Answer
    from .records import Batch as Batch
    from .records import CapacityWarning as CapacityWarning
    from .records import LevelBatch as LevelBatch
    from .records import Memory as Memory
    from .records import Trace as Trace
    from .saved import load as load
    from .saved import save as save
    from .selection import Permanence as Permanence
    from .selection import Selection as Selection
    from .theory import capacity as capacity
    from .theory import crosstalk as crosstalk
    from .theory import expected_intersection as expected_intersection
    from .theory import expected_recall as expected_recall
    from .theory import modulation as modulation
    from .views import ink as ink
    from .views import spectrum as spectrum
    from .views import windows as windows

# Loaded on first use: starting up needs no numba.
_PUBLIC = {
    "Answer": "records",
    "Batch": "records",
    "CapacityWarning": "records",
    "Hierarchy": "hierarchy",
    "HierarchyMemory": "hierarchy",
    "Level": "hierarchy",
    "LevelBatch": "records",
    "Macrocolumn": "column",
    "Memory": "records",
    "Permanence": "selection",
    "Recogniser": "recognition",
    "RecogniserMemory": "recognition",
    "Recognition": "recognition",
    "Selection": "selection",
    "Trace": "records",
    "capacity": "theory",
    "crosstalk": "theory",
    "expected_intersection": "theory",
    "expected_recall": "theory",
    "load": "saved",
    "modulation": "theory",
    "ink": "views",
    "patches": "fields",
    "recogniser": "recognition",
    "save": "saved",
    "scattered": "fields",
    "spectrum": "views",
    "windows": "views",
}
__all__ = list(_PUBLIC)
__getattr__ = lazy_getattr(__name__, _PUBLIC)
