"""Readouts as populations of a network: trained weights, or weights that learn in place, with orthogonal projection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_exports

if TYPE_CHECKING:
    from .lateral import LateralCircuit as LateralCircuit
    from .linear import LinearReadout as LinearReadout
    from .online import OnlineReadout as OnlineReadout
    from .teaching import label_recordings as label_recordings

# Loaded on first use: the readouts need compiled kernels.
__getattr__, __all__ = lazy_exports(__name__)
