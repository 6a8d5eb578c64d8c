"""Hebbian orthogonal projection: spiking networks that learn task after task in directions not used before."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .network import HLOPNetwork as HLOPNetwork
    from .projected import ProjectedConv2d as ProjectedConv2d
    from .projected import ProjectedLinear as ProjectedLinear
    from .subspace import Subspace as Subspace
    from .trainings import BPTT as BPTT
    from .trainings import TRAININGS as TRAININGS
    from .trainings import Online as Online
    from .trainings import Rate as Rate
    from .trainings import Training as Training

# Loaded on first use: each needs torch.
_PUBLIC = {
    "BPTT": "trainings",
    "HLOPNetwork": "network",
    "Online": "trainings",
    "ProjectedConv2d": "projected",
    "ProjectedLinear": "projected",
    "Rate": "trainings",
    "Subspace": "subspace",
    "TRAININGS": "trainings",
    "Training": "trainings",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)
    return value
