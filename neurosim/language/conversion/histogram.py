"""Histogram of the counts that a coder sent, by channel; spikes of any expansion follow from it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...base.errors import NeurosimInputError, lookup
from ...kernels.spikes.count_bins import count_bins
from .expansions import EXPANSIONS, count_spikes

MAX_COUNT = 127  # counts up to here have a bin
# Tokens up to which bins take 16 bits: those of SmolLM2 are 76 MB then, and 153 MB in 32 bits.
MAX_ROWS = 2**15 - 1


def require_finite(counts: Tensor, name: str) -> None:
    """Raise `NeurosimInputError` if there is NaN among the counts of a layer of this name."""
    if bool(torch.isnan(counts).any()):
        raise NeurosimInputError(
            f"{name}: its inputs hold NaN, which cannot be coded in spikes; the model's own activations are not finite "
            "on this text: compare it with the library that wrote it"
        )


class CountHistogram:
    """Counts of a layer's inputs.

    Attributes:
        name: name of the layer, for errors.
        bins: [K, 2 * 127 + 1] int16, int32 from `MAX_ROWS` tokens on: how often channel k sent -127 .. 127; [0, ..]
            before the first `add`.
        beyond: channels and counts out of that range, [n] int32 each.
        rows: number of tokens.
        outputs: number of nonzero entries of the layer's output.
    """

    def __init__(self, name: str = "layer") -> None:
        self.name = name
        self.bins = torch.zeros(0, 2 * MAX_COUNT + 1, dtype=torch.int16)
        self.beyond: list[tuple[Tensor, Tensor]] = []
        self.rows = 0
        self.outputs = 0

    def add(self, counts: Tensor) -> None:
        """Add [.., K] integers.

        Raises:
            NeurosimInputError: NaN among them: the inputs of the layer were not finite.
        """
        if not len(self.bins):
            self.bins = torch.zeros(counts.shape[-1], 2 * MAX_COUNT + 1, dtype=torch.int16)
        flat = counts.detach().reshape(-1, len(self.bins)).cpu()
        if flat.dtype not in (torch.float32, torch.float64):
            flat = flat.float()
        self.rows += len(flat)
        if self.rows > MAX_ROWS:
            self.bins = self.bins.int()
        beyond, invalid = count_bins(flat.contiguous().numpy(), self.bins.numpy())
        if invalid:
            require_finite(flat, self.name)
        if beyond:
            far = flat.abs() > MAX_COUNT
            self.beyond.append((torch.nonzero(far)[:, 1].int(), flat[far].int()))

    @property
    def entries(self) -> int:
        """Channels times tokens."""
        return self.rows * len(self.bins)

    def silent(self) -> int:
        """Return the number of entries that are zero."""
        return int(self.bins[:, MAX_COUNT].sum())

    def spikes(self, expansion: str, planes: int) -> NDArray[np.int64]:
        """Return [K] spikes of each channel in an expansion."""
        code = lookup(EXPANSIONS, expansion, "expansion")
        values = np.arange(-MAX_COUNT, MAX_COUNT + 1)
        bins = self.bins.numpy()
        used = bins.any(axis=0)  # an expansion without a sign refuses negative counts, used or not
        each = np.zeros(len(values), np.int64)
        each[used] = count_spikes(code, values[used], planes)
        spikes: NDArray[np.int64] = bins @ each
        for channels, counts in self.beyond:
            np.add.at(spikes, channels.numpy(), count_spikes(code, counts.numpy(), planes))
        return spikes

    def escaped(self, expansion: str, planes: int) -> int:
        """Return the number of entries that do not fit into `planes` planes."""
        low, high = lookup(EXPANSIONS, expansion, "expansion").reach(planes)
        values = np.arange(-MAX_COUNT, MAX_COUNT + 1)
        inside = self.bins.numpy()[:, (values < low) | (values > high)].sum()
        return int(inside) + sum(int(((c < low) | (c > high)).sum()) for _, c in self.beyond)
