"""Counts as packed bits: nothing is lost, and products are those of the counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosim.kernels.spikes.accumulate.launch import spike_accumulate
from neurosim.kernels.spikes.accumulate.reference import accumulate_reference
from neurosim.kernels.spikes.encode.launch import encode
from neurosim.kernels.spikes.encode.reference import encode_reference
from neurosim.kernels.spikes.planes import launch as bits
from neurosim.kernels.spikes.planes import numba as compiled
from neurosim.kernels.spikes.planes import reference as plain


def counts(rows: int, inputs: int, most: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-most, most + 1, (rows, inputs)).astype(np.int32)


@given(
    rows=st.integers(1, 4),
    inputs=st.integers(1, 99),
    planes=st.integers(1, 7),
    most=st.sampled_from([1, 7, 127, 9999]),
)
def test_there_and_back(rows: int, inputs: int, planes: int, most: int) -> None:
    whole = counts(rows, inputs, most)
    packed = plain.pack_reference(whole, planes)
    assert packed.words.shape == (rows, 1 + planes, -(-inputs // 32))
    np.testing.assert_array_equal(plain.unpack_reference(packed), whole)
    small = np.clip(whole, -127, 127).astype(np.int8)
    found = bits.pack(small, planes)
    np.testing.assert_array_equal(found.words, plain.pack_reference(small, planes).words)
    np.testing.assert_array_equal(plain.unpack_reference(found), small)


def test_which_bit_is_which() -> None:
    whole = np.zeros((1, 40), np.int32)
    whole[0, 1], whole[0, 33] = -5, 2
    words = plain.pack_reference(whole, 3).words[0]
    assert words.tolist() == [[2, 0], [2, 0], [0, 2], [2, 0]]


@pytest.mark.parametrize("planes", [1, 3, 7])
@pytest.mark.parametrize("shape", [(1, 33), (5, 200)])
def test_encode_and_multiply_packed(planes: int, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(planes)
    x = rng.standard_normal(shape).astype(np.float32)
    x[0, 3] = -200  # escapes from any number of planes
    packed, thresholds = bits.encode_planes(x, planes=planes, threads=2)
    whole, expected = encode_reference(x)
    np.testing.assert_array_equal(thresholds, expected)
    np.testing.assert_array_equal(plain.unpack_reference(packed), whole)
    coded = encode(x)
    for weights in (rng.standard_normal((shape[1], 77)).astype(np.float32), counts(shape[1], 77, 127).astype(np.int8)):
        found = bits.product(packed, weights, threads=2)
        np.testing.assert_array_equal(found, spike_accumulate(coded.counts, weights, coded.escapes))
        np.testing.assert_allclose(found, plain.product_reference(packed, weights), rtol=1e-5, atol=1e-4)


def test_channels_are_listed_once_and_in_order() -> None:
    whole = counts(3, 70, 40)
    chosen = compiled.active(plain.pack_reference(whole, 3))
    for i, row in enumerate(whole):
        part = slice(chosen.ends[i], chosen.ends[i + 1])
        np.testing.assert_array_equal(chosen.channels[part], np.flatnonzero(row))
        np.testing.assert_array_equal(chosen.values[part], row[row != 0])


def test_spikes_are_the_bits_set() -> None:
    whole = counts(4, 70, 127)
    expected = [sum(int(c).bit_count() for c in row) for row in np.abs(whole)]
    assert compiled.spikes(plain.pack_reference(whole, 7)).tolist() == expected
    # 100 = 7 in three planes and 93 (five bits) that escapes.
    assert compiled.spikes(plain.pack_reference(np.array([[100, 1]]), 3)).tolist() == [3 + 5 + 1]


def test_tensors_of_the_cpu() -> None:
    torch = pytest.importorskip("torch")
    x = torch.randn(3, 70, generator=torch.Generator().manual_seed(0))
    weights = torch.randn(70, 20, generator=torch.Generator().manual_seed(1))
    packed, thresholds = bits.encode_planes(x)
    plain, same = bits.encode_planes(x.numpy())
    np.testing.assert_array_equal(packed.words.numpy().view(np.uint32), plain.words)
    np.testing.assert_array_equal(thresholds.numpy(), same)
    np.testing.assert_array_equal(bits.product(packed, weights).numpy(), bits.product(plain, weights.numpy()))
    again = bits.pack(encode(x).counts, 3)
    np.testing.assert_array_equal(again.words.numpy(), packed.words.numpy())


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="planes must be 1 to 7"):
        bits.encode_planes(np.ones((1, 3), np.float32), planes=8)
    with pytest.raises(ValueError, match="planes must be 1 to 7"):
        bits.pack(np.ones((1, 3), np.int8), 0)
    coded = encode(np.ones((1, 3), np.float32))
    with pytest.raises(ValueError, match="counts beyond 1 do not fit 1 planes"):
        bits.pack(coded.counts, 1, coded.escapes)
    with pytest.raises(ValueError, match="planes of 3 channels @ weights"):
        bits.product(plain.pack_reference(np.ones((1, 3), np.int32), 2), np.ones((4, 2), np.float32))


def test_the_reference_is_a_product() -> None:
    whole, weights = counts(3, 40, 20), counts(40, 9, 127).astype(np.int8)
    np.testing.assert_array_equal(
        plain.product_reference(plain.pack_reference(whole, 2), weights), accumulate_reference(whole, weights)
    )
