"""Histograms of counts: the compiled form against the plain one, with counts that pass the bins and NaN."""

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
    ours = np.ones((7, 2 * limit + 1), np.int32)
    plain = ours.copy()
    assert count_bins(counts, ours) == count_bins_reference(counts, plain)
    np.testing.assert_array_equal(ours, plain)
    assert ours.sum() - ours.size == (np.abs(counts) <= limit).sum()
    assert count_bins(counts[:0], ours) == (0, 0)
