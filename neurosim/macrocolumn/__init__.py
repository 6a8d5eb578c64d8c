"""Sparsey-style macrocolumns: single-trial, fixed-time sparse memories of items and sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_exports

if TYPE_CHECKING:
    from ..errors import CapacityWarning as CapacityWarning
    from .column import Macrocolumn as Macrocolumn
    from .encoders import on_off_pixels as on_off_pixels
    from .encoders import on_off_spectrum as on_off_spectrum
    from .encoders import on_off_windows as on_off_windows
    from .fields import patches as patches
    from .fields import scattered as scattered
    from .hierarchy import Hierarchy as Hierarchy
    from .hierarchy import HierarchyMemory as HierarchyMemory
    from .level import Level as Level
    from .recognition import Recogniser as Recogniser
    from .recognition import RecogniserMemory as RecogniserMemory
    from .recognition import Recognition as Recognition
    from .recognition import build_recogniser as build_recogniser
    from .saved import load as load
    from .saved import save as save
    from .selection import Permanence as Permanence
    from .selection import Selection as Selection
    from .state import ColumnBatch as ColumnBatch
    from .state import ColumnMemory as ColumnMemory
    from .state import ColumnOutput as ColumnOutput
    from .state import ColumnTrace as ColumnTrace
    from .state import LevelBatch as LevelBatch
    from .theory import capacity as capacity
    from .theory import crosstalk as crosstalk
    from .theory import expected_intersection as expected_intersection
    from .theory import expected_recall as expected_recall
    from .theory import modulation as modulation

# Loaded on first use: starting up needs no numba.
__getattr__, __all__ = lazy_exports(__name__)
