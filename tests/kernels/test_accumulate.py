"""Rows of weights selected by spikes and added: exact, in an order of its own, and counted."""

from __future__ import annotations

import numpy as np
import pytest

from neurosim.kernels.spikes.accumulate import cpu as compiled
from neurosim.kernels.spikes.accumulate import launch as products
from neurosim.kernels.spikes.accumulate.launch import spike_accumulate
from neurosim.kernels.spikes.accumulate.reference import accumulate_reference, whole_counts
from neurosim.kernels.spikes.encode.launch import encode
from neurosim.kernels.spikes.encode.reference import clip_reference, encode_reference

SHAPES = [(1, 1, 1), (1, 300, 77), (5, 33, 130), (16, 1000, 200), (3, 64, 4097)]


def spikes(rows: int, inputs: int, density: float = 0.3, most: int = 3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.integers(-most, most + 1, (rows, inputs)) * (rng.random((rows, inputs)) < density)).astype(np.int32)


def real_weights(inputs: int, outputs: int) -> np.ndarray:
    return np.random.default_rng(inputs).standard_normal((inputs, outputs)).astype(np.float32)


def whole_weights(inputs: int, outputs: int) -> np.ndarray:
    return np.random.default_rng(inputs).integers(-128, 128, (inputs, outputs)).astype(np.int8)


@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_product(shape: tuple[int, int, int], density: float) -> None:
    rows, inputs, outputs = shape
    whole = spikes(rows, inputs, density, most=500)
    counts, escapes = clip_reference(whole)
    np.testing.assert_array_equal(whole_counts(counts, escapes), whole)
    w = whole_weights(inputs, outputs)
    found = spike_accumulate(counts, w, escapes)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, accumulate_reference(counts, w, escapes))
    r = real_weights(inputs, outputs)
    expected = accumulate_reference(counts, r, escapes)
    np.testing.assert_allclose(spike_accumulate(counts, r, escapes), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("weights", [real_weights, whole_weights])
def test_neither_threads_nor_the_batch_change_a_bit(weights, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(compiled, "PRODUCTS_PER_THREAD", 100)
    counts = spikes(16, 700).astype(np.int8)
    w = weights(700, 1300)
    together = spike_accumulate(counts, w)
    for threads in (2, 3, 8):
        np.testing.assert_array_equal(spike_accumulate(counts, w, threads=threads), together)
    alone = np.concatenate([spike_accumulate(row[None], w) for row in counts])
    np.testing.assert_array_equal(alone, together)


def test_silent_rows_of_weights_are_not_read() -> None:
    counts = np.zeros((2, 40), np.int8)
    w = np.full((40, 30), np.nan, np.float32)
    counts[0, 3] = 2
    counts[1, 17] = -1
    w[[3, 17]] = real_weights(2, 30)
    found = spike_accumulate(counts, w)
    np.testing.assert_array_equal(found, np.stack([2 * w[3], -w[17]]))


def test_tensors_and_bfloat16() -> None:
    torch = pytest.importorskip("torch")
    counts = torch.from_numpy(spikes(3, 200).astype(np.int8))
    w = torch.from_numpy(real_weights(200, 70))
    np.testing.assert_array_equal(spike_accumulate(counts, w).numpy(), spike_accumulate(counts.numpy(), w.numpy()))
    half = w.bfloat16()
    assert torch.equal(spike_accumulate(counts, half), spike_accumulate(counts, half.float()))
    whole = torch.from_numpy(whole_weights(200, 70))
    assert torch.equal(spike_accumulate(counts, whole), counts.int() @ whole.int())
    transposed = torch.from_numpy(np.ascontiguousarray(w.numpy().T)).T
    assert torch.equal(spike_accumulate(counts, transposed), spike_accumulate(counts, w))


@pytest.mark.parametrize("given", [False, True])
def test_a_layer_in_spikes(given: bool) -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((4, 300)).astype(np.float32)
    w = real_weights(300, 60)
    x[1, 1] = 900
    if given:
        thresholds = rng.random(300).astype(np.float32) + 0.2
    else:
        thresholds = None
    y, used = products.encode_accumulate(x, w, 3.0, thresholds, threads=2)
    whole, expected = encode_reference(x, 3.0, thresholds)
    np.testing.assert_array_equal(used, expected)
    product = accumulate_reference(whole, w) * (1 if given else used[:, None])
    np.testing.assert_allclose(y, product, atol=1e-5 * np.abs(product).max())
    torch = pytest.importorskip("torch")
    same, _ = products.encode_accumulate(
        torch.from_numpy(x), torch.from_numpy(w), 3.0, None if thresholds is None else torch.from_numpy(thresholds)
    )
    np.testing.assert_array_equal(same.numpy(), y)


def test_bad_input_is_refused() -> None:
    counts = np.ones((2, 3), np.int8)
    with pytest.raises(ValueError, match=r"counts \(2, 3\) @ weights \(4, 5\) do not fit"):
        spike_accumulate(counts, np.ones((4, 5), np.float32))
    with pytest.raises(ValueError, match="not float64"):
        spike_accumulate(counts, np.ones((3, 5)))
    coded = encode(np.array([[2.0**21, 2.0**22] * 10], np.float32), thresholds=np.ones(20, np.float32))
    with pytest.raises(ValueError, match="int32 sum could overflow"):
        spike_accumulate(coded.counts, np.ones((20, 5), np.int8), coded.escapes)
