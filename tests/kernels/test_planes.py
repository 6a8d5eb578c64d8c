"""Counts as packed bits: nothing is lost, and products are those of the counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosim.kernels.spikes.accumulate.reference import accumulate_reference
from neurosim.kernels.spikes.planes import reference as plain


def counts(rows: int, inputs: int, largest: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-largest, largest + 1, (rows, inputs)).astype(np.int32)


@given(
    rows=st.integers(1, 4),
    inputs=st.integers(1, 99),
    planes=st.integers(1, 7),
    largest=st.sampled_from([1, 7, 127, 9999]),
)
def test_packed_counts_are_unpacked_as_they_were(rows: int, inputs: int, planes: int, largest: int) -> None:
    whole = counts(rows, inputs, largest)
    packed = plain.pack_reference(whole, planes)
    assert packed.words.shape == (rows, 1 + planes, -(-inputs // 32))
    np.testing.assert_array_equal(plain.unpack_reference(packed), whole)


def test_bit_j_of_word_w_is_channel_32_w_plus_j() -> None:
    whole = np.zeros((1, 40), np.int32)
    whole[0, 1] = -5
    whole[0, 33] = 2
    words = plain.pack_reference(whole, 3).words[0]
    assert words.tolist() == [[2, 0], [2, 0], [0, 2], [2, 0]]


@pytest.mark.parametrize("planes", [2, 7])
def test_the_reference_is_a_product(planes: int) -> None:
    whole = counts(3, 40, 20)
    weights = counts(40, 9, 127).astype(np.int8)
    found = plain.product_reference(plain.pack_reference(whole, planes), weights)
    np.testing.assert_array_equal(found, accumulate_reference(whole, weights))
