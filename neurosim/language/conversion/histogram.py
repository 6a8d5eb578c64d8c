"""Histogram of the counts that a coder sent: spikes of any expansion follow from it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...base.errors import NeurosimInputError, lookup
from ...kernels.spikes.count_bins import count_bins
from .expansions import EXPANSIONS, count_spikes, usual_planes

MAX_COUNT = 127  # counts up to here have a bin


def require_finite(counts: Tensor, name: str) -> None:
    """Raise `NeurosimInputError` if there is NaN among the counts of a layer of this name."""
    if bool(torch.isnan(counts).any()):
        raise NeurosimInputError(
            f"{name}: its inputs hold NaN, which cannot be coded in spikes; the model's own activations are not finite "
            "on this text: compare it with the library that wrote it"
        )


class CountHistogram:
    """Counts of a layer's inputs.

    Bins of each channel would take 76 MB for SmolLM2: counts have one histogram for all channels, and each channel the
    sum of its spikes.

    Args:
        name: name of the layer, for errors.
        expansion: expansion in which the spikes of channels are summed, a name of `EXPANSIONS`.
        planes: T of this expansion; None for those that counts of +-15 need.
        channels: K of the layer; None: those of the first counts.

    Attributes:
        bins: [2 * 127 + 1] int64: how often -127 .. 127 was sent.
        beyond: counts out of that range, [n] int32 each.
        channel_spikes: [K] int64 spikes of each channel; [0] before the first `add` where K was not said.
        rows: number of tokens.
        outputs: number of nonzero entries of the layer's output.
    """

    def __init__(
        self, name: str = "layer", expansion: str = "bitwise", planes: int | None = None, channels: int | None = None
    ) -> None:
        self.name = name
        self._code = lookup(EXPANSIONS, expansion, "expansion")
        self._planes = planes or usual_planes(self._code)
        # Coders send no negative counts in an expansion without a sign.
        first = -MAX_COUNT if self._code.signed else 0
        values = np.arange(first, MAX_COUNT + 1)
        self._costs = np.zeros(2 * MAX_COUNT + 1, np.int64)
        self._costs[first + MAX_COUNT :] = count_spikes(self._code, values, self._planes)
        self.bins = np.zeros(2 * MAX_COUNT + 1, np.int64)
        self.beyond: list[NDArray[np.int32]] = []
        self.channel_spikes = np.zeros(channels or 0, np.int64)
        self.rows = 0
        self.outputs = 0

    def add(self, counts: Tensor) -> None:
        """Add [.., K] integers.

        Raises:
            NeurosimInputError: NaN among them: the inputs of the layer were not finite.
        """
        if not len(self.channel_spikes):
            self.channel_spikes = np.zeros(counts.shape[-1], np.int64)
        flat = counts.detach().reshape(-1, len(self.channel_spikes)).cpu()
        if flat.dtype not in (torch.float32, torch.float64):
            flat = flat.float()
        self.rows += len(flat)
        beyond, invalid = count_bins(flat.contiguous().numpy(), self.bins, self._costs, self.channel_spikes)
        if invalid:
            require_finite(flat, self.name)
        if beyond:
            far = flat.abs() > MAX_COUNT
            values = flat[far].int().numpy()
            self.beyond.append(values)
            channels = torch.nonzero(far)[:, 1].numpy()
            np.add.at(self.channel_spikes, channels, count_spikes(self._code, values, self._planes))

    @property
    def entries(self) -> int:
        """Channels times tokens."""
        return self.rows * len(self.channel_spikes)

    def silent(self) -> int:
        """Return the number of entries that are zero."""
        return int(self.bins[MAX_COUNT])

    def spikes(self, expansion: str, planes: int) -> int:
        """Return the number of spikes of all channels in an expansion."""
        code = lookup(EXPANSIONS, expansion, "expansion")
        used = np.flatnonzero(self.bins)  # an expansion without a sign refuses negative counts, used or not
        spikes = int(self.bins[used] @ count_spikes(code, used - MAX_COUNT, planes))
        return spikes + sum(int(count_spikes(code, counts, planes).sum()) for counts in self.beyond)

    def escaped(self, expansion: str, planes: int) -> int:
        """Return the number of entries that do not fit into `planes` planes."""
        low, high = lookup(EXPANSIONS, expansion, "expansion").reach(planes)
        values = np.arange(-MAX_COUNT, MAX_COUNT + 1)
        inside = self.bins[(values < low) | (values > high)].sum()
        return int(inside) + sum(int(((c < low) | (c > high)).sum()) for c in self.beyond)
