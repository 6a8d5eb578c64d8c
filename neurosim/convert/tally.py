"""What went through a coder: how often each channel sent each count, from which spikes of any expansion follow."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import lookup
from .expansions import EXPANSIONS, count_spikes

WIDE = 127  # counts up to here have a bin


class Tally:
    """Counts of a layer's inputs.

    Attributes:
        bins: [K, 2 * 127 + 1] int64: how often channel k sent -127 .. 127; no channels before something was added.
        beyond: counts out of that range and their channels, [n] each.
        rows: tokens.
        outputs: nonzero entries of the layer's output.
    """

    def __init__(self) -> None:
        self.bins = torch.zeros(0, 2 * WIDE + 1, dtype=torch.int64)
        self.beyond: list[tuple[Tensor, Tensor]] = []
        self.rows = self.outputs = 0

    def add(self, counts: Tensor) -> None:
        """Count [.., K] whole numbers."""
        if not len(self.bins):
            self.bins = torch.zeros(counts.shape[-1], 2 * WIDE + 1, dtype=torch.int64)
        channels, width = self.bins.shape
        flat = counts.reshape(-1, channels).to("cpu", torch.int32)
        places = torch.arange(channels, dtype=torch.int32) * width + WIDE + flat
        if len(flat) and int(flat.abs().max()) > WIDE:
            far = flat.abs() > WIDE
            self.beyond.append((torch.nonzero(far)[:, 1], flat[far].to(torch.int64)))
            places = places[~far]
        self.bins += torch.bincount(places.flatten(), minlength=self.bins.numel()).view_as(self.bins)
        self.rows += len(flat)

    @property
    def entries(self) -> int:
        return self.rows * len(self.bins)

    def silent(self) -> int:
        """Entries that are zero: nothing is sent."""
        return int(self.bins[:, WIDE].sum())

    def spikes(self, expansion: str, planes: int) -> NDArray[np.int64]:
        """[K] spikes of each channel in an expansion."""
        code = lookup(EXPANSIONS, expansion, "expansion")
        values = np.arange(-WIDE, WIDE + 1)
        bins = self.bins.numpy()
        used = bins.any(axis=0)  # a code without a sign has no word for what did not occur
        each = np.zeros(len(values), np.int64)
        each[used] = count_spikes(code, values[used], planes)
        spikes: NDArray[np.int64] = bins @ each
        for channels, counts in self.beyond:
            np.add.at(spikes, channels.numpy(), count_spikes(code, counts.numpy(), planes))
        return spikes

    def escaped(self, expansion: str, planes: int) -> int:
        """Entries out of reach of so many planes."""
        low, high = lookup(EXPANSIONS, expansion, "expansion").reach(planes)
        values = np.arange(-WIDE, WIDE + 1)
        inside = self.bins.numpy()[:, (values < low) | (values > high)].sum()
        return int(inside) + sum(int(((c < low) | (c > high)).sum()) for _, c in self.beyond)
