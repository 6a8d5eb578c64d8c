"""Codes of activity and their nearest: bits counted by hand, classes against a plain search."""

from __future__ import annotations

import numpy as np
import pytest

from neurosim import Recordings
from neurosim.base import NeurosimInputError
from neurosim.memory import SDR
from neurosim.memory.sdr.activity import NearestCodes, activity_codes, redundancy


def test_bits_are_units_that_fired_in_a_window() -> None:
    ticks = np.array([0, 5, 5, 9, 10, 2])
    units = np.array([3, 0, 3, 3, 1, 2])
    offsets = np.array([0, 5, 6, 6])
    recordings = Recordings(ticks, units, offsets, np.array([10.0, 4.0, 1.0]), 4)
    whole = activity_codes(recordings)
    assert [code.indices.tolist() for code in whole] == [[0, 1, 3], [2], []] and whole[0].size == 4
    halves = activity_codes(recordings, 2)
    # The spike at the end belongs to the last window.
    assert [code.indices.tolist() for code in halves] == [[3, 4, 5, 7], [6], []] and halves[0].size == 8
    with pytest.raises(NeurosimInputError, match=r"activity_codes\.windows: must be >= 1"):
        activity_codes(recordings, 0)


def test_the_nearest_against_a_plain_search() -> None:
    rng = np.random.default_rng(0)
    dense = rng.random((60, 50)) < rng.uniform(0.05, 0.4, (60, 1))
    codes = [SDR.from_dense(row) for row in dense]
    labels = rng.integers(4, size=60)
    memory = NearestCodes.store(codes[:40], labels[:40])
    found = {k: memory.predict(codes[40:], k) for k in (1, 5)}
    for i, row in enumerate(dense[40:]):
        likeness = [(row & other).sum() / max((row | other).sum(), 1) for other in dense[:40]]
        order = sorted(range(40), key=lambda j: (-likeness[j], j))
        np.testing.assert_allclose(memory.likeness(codes[40 + i]), likeness)
        assert found[1][i] == labels[order[0]]
        votes = [labels[j] for j in order[:5]]
        assert found[5][i] == max(votes, key=lambda c: (votes.count(c), -votes.index(c)))
    assert np.array_equal(memory.predict(codes[:40]), labels[:40])
    with pytest.raises(NeurosimInputError, match=r"NearestCodes\.neighbours: must be 1 to 40 \(got 41\)"):
        memory.predict(codes, 41)
    with pytest.raises(NeurosimInputError, match=r"NearestCodes\.labels: must be \[40\]"):
        NearestCodes.store(codes[:40], labels)


def test_redundancy_counts_codes_that_occurred_before() -> None:
    a = SDR(np.array([1, 2]), 9)
    b = SDR(np.array([3]), 9)
    assert redundancy([a, b, SDR(np.array([2, 1]), 9), a]) == 0.5 and redundancy([a, b]) == 0
