"""Histograms of counts and spikes of channels: the compiled form against the plain one, with NaN and large counts."""

from __future__ import annotations

import numpy as np
import pytest

from neurosim.kernels.spikes.count_bins import count_bins, count_bins_reference


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("limit", [1, 127])
def test_the_compiled_form_is_the_plain_one(dtype: type, limit: int) -> None:
    rng = np.random.default_rng(limit)
    counts = np.rint(rng.normal(0, 60, (33, 7))).astype(dtype)
    counts[3, 2] = 1e9
    counts[4, 2] = -np.inf
    counts[5, 6] = np.nan
    costs = rng.integers(0, 9, 2 * limit + 1)
    ours = np.ones(2 * limit + 1, np.int64), np.arange(7)
    plain = tuple(part.copy() for part in ours)
    assert count_bins(counts, ours[0], costs, ours[1]) == count_bins_reference(counts, plain[0], costs, plain[1])
    for part, other in zip(ours, plain, strict=True):
        np.testing.assert_array_equal(part, other)
    bins, spikes = ours
    assert bins.sum() - bins.size == (np.abs(counts) <= limit).sum()
    assert spikes.sum() - np.arange(7).sum() == (bins - 1) @ costs
    assert count_bins(counts[:0], bins, costs, spikes) == (0, 0)
