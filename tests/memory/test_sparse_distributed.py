"""Sparse distributed memories: their definition, noise, bits without noise, and what does not fit."""

import numpy as np
import pytest
from helpers.patterns import signs

from neurosim.base import NeurosimInputError
from neurosim.memory.associative.sparse import SparseDistributed, _within_both, sparse_bit_error


@pytest.mark.parametrize("kappa", [0, 2])
def test_a_sparse_distributed_memory_is_its_definition(kappa):
    memory = SparseDistributed.random(40, 12, 7, p=0.2, kappa=kappa, seed=3)
    addresses = signs(0, 30, 12)
    values = signs(1, 30, 7)
    counters = np.zeros((40, 7), int)
    for address, value in zip(addresses, values, strict=True):
        for place, bits in enumerate(memory.addresses):
            if np.count_nonzero(bits != address) <= memory.radius:
                counters[place] += value.astype(int)
                if kappa:
                    counters[place] = counters[place].clip(-kappa, kappa)
    written = memory.write(addresses[:11], values[:11]).write(addresses[11:], values[11:])
    assert np.array_equal(written.content, counters) and written.stored == 30 and not memory.content.any()
    cues = signs(2, 6, 12)
    for cue, read in zip(cues, written.read(cues), strict=True):
        near = [place for place, bits in enumerate(memory.addresses) if np.count_nonzero(bits != cue) <= memory.radius]
        assert np.array_equal(read, np.sign(counters[near].sum(axis=0)))


def test_a_sparse_distributed_memory_cleans_a_noisy_pattern_and_is_saved(tmp_path):
    patterns = signs(0, 20, 256)
    memory = SparseDistributed.random(1000, 256, 256, p=0.02).write(patterns, patterns)
    cues = np.where(np.arange(256) < 20, -patterns, patterns)
    many = memory.recall_many(cues)
    assert np.mean(many.states == patterns) > 0.999 and many.sweeps.max() > 1
    alone = memory.recall(cues[4])
    assert np.array_equal(alone.state, many.states[4])
    assert (alone.sweeps, alone.operations) == (many.sweeps[4], many.operations[4])
    memory.save(tmp_path / "memory")
    again = SparseDistributed.load(tmp_path / "memory")
    assert np.array_equal(again.read(cues), memory.read(cues)) and again.stored == 20


def test_within_both_counts_addresses():
    every = 1 - 2 * (np.arange(2**7)[:, None] >> np.arange(7) & 1)
    first = np.ones(7)
    for distance in (0, 1, 4, 7):
        second = np.where(np.arange(7) < distance, -1, 1)
        for radius in (0, 2, 4):
            inside = ((every != first).sum(axis=1) <= radius) & ((every != second).sum(axis=1) <= radius)
            assert _within_both(7, radius, distance) == pytest.approx(inside.mean())


def test_bits_of_a_sparse_distributed_memory_without_noise():
    # One content: wrong only where no address answers, and then in half of the bits.
    p = _within_both(20, 5, 0)
    assert sparse_bit_error(50, 20, 5, 1) == pytest.approx(0.5 * (1 - p) ** 50)
    assert sparse_bit_error(50, 20, 5, 1, flips=20) == pytest.approx(0.5)
    errors = [sparse_bit_error(1000, 64, 22, contents) for contents in (1, 10, 100, 1000)]
    assert errors == sorted(errors) and errors[-1] > 1000 * errors[0]


def test_a_sparse_distributed_memory_refuses_what_does_not_fit():
    memory = SparseDistributed.random(10, 8, 5)
    with pytest.raises(NeurosimInputError, match=r"SparseDistributed.write: needs values \[2, 5\] \(got \(2, 4\)\)"):
        memory.write(signs(0, 2, 8), signs(1, 2, 4))
    with pytest.raises(NeurosimInputError, match=r"recall.cues: must be an array \[n, 8\] with n >= 1"):
        memory.read(signs(0, 2, 7))
    with pytest.raises(NeurosimInputError, match=r"SparseDistributed.recall: needs contents of 8 bits \(got 5\)"):
        memory.recall(signs(0, 8))
    with pytest.raises(NeurosimInputError, match=r"SparseDistributed.p: must be in 0..1, 0 excluded \(got 0\)"):
        SparseDistributed.random(10, 8, 5, p=0)
    with pytest.raises(NeurosimInputError, match=r"SparseDistributed.radius: must be in 0..8 \(got 9\)"):
        SparseDistributed(memory.addresses, memory.content, 9)
