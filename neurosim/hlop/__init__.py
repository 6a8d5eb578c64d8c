"""Hebbian orthogonal projection: spiking networks that learn task after task in directions not used before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_exports

if TYPE_CHECKING:
    from .export import run_in_engine as run_in_engine
    from .export import to_network as to_network
    from .network import HLOPNetwork as HLOPNetwork
    from .projected import ProjectedConv2d as ProjectedConv2d
    from .projected import ProjectedLinear as ProjectedLinear
    from .subspace import Subspace as Subspace
    from .trainings import BPTT as BPTT
    from .trainings import TRAININGS as TRAININGS
    from .trainings import HLOPTraining as HLOPTraining
    from .trainings import Online as Online
    from .trainings import Rate as Rate

# Loaded on first use: each needs torch.
__getattr__, __all__ = lazy_exports(__name__)
