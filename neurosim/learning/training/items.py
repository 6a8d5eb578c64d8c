"""Items of a training, and their conversion to tensors."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .augment import Augment
from .binning import EventBatch


class Labelled(Protocol):
    """Training items: `Recordings`, or others that a `Batches` takes."""

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Classes [n]."""

    @property
    def durations(self) -> NDArray[np.float64]:
        """Duration of each item, s."""

    def __len__(self) -> int: ...


class Batches(Protocol):
    """Conversion of items to tensors: `Binning` of recordings, or another."""

    @property
    def units(self) -> int:
        """Units of a step."""

    def batch(
        self,
        recordings: Any,
        chosen: NDArray[np.int64],
        augment: Augment | None = None,
        seed: int = 0,
        epoch: int = 0,
    ) -> EventBatch:
        """Return the `chosen` items."""
