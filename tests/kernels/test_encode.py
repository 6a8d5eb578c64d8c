"""Coding numbers as spike counts: the rule, the bits of every form, and what clipping must not lose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosim.kernels.spikes.accumulate.reference import whole_counts
from neurosim.kernels.spikes.encode.launch import encode
from neurosim.kernels.spikes.encode.launch import whole_counts as with_escapes
from neurosim.kernels.spikes.encode.reference import (
    AWAY,
    EVEN,
    MAX_COUNT,
    PRICED,
    SEARCH,
    UP,
    Rounding,
    clip_reference,
    encode_reference,
    thresholds_reference,
)


def numbers(rows: int, inputs: int, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    """Normal numbers, a large one, a row of zeros if there is room, and exact ties of the first row."""
    x = np.random.default_rng(seed).standard_normal((rows, inputs)).astype(np.float32) * np.float32(scale)
    x[0, 0] = 1000 * scale
    if rows > 2:
        x[-1] = 0
    return x


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1.0, 1e6, 1e30])
@pytest.mark.parametrize("k", [0.5, 3.0])
def test_threshold_is_the_clamped_mean(scale: float, k: float) -> None:
    x = numbers(5, 1001, scale)
    exact = np.clip(np.abs(x.astype(np.float64)).mean(axis=1) / k, 1e-5, 1e4)
    np.testing.assert_allclose(thresholds_reference(x, k), exact, rtol=2e-7)
    np.testing.assert_array_equal(encode(x, k).thresholds, thresholds_reference(x, k))


def test_threshold_has_no_order() -> None:
    """The same bits from any order of the channels: what lets every form, on any machine, agree."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((1, 4096)) * np.exp(4 * rng.standard_normal((1, 4096)))).astype(np.float32)
    first = thresholds_reference(x, 3.0)
    for _ in range(20):
        assert encode(x[:, rng.permutation(4096)]).thresholds[0] == first[0]


@given(
    rows=st.integers(1, 5),
    inputs=st.integers(1, 130),
    exponent=st.integers(-12, 12),
    k=st.sampled_from([0.3, 1.0, 3.0]),
    limit=st.sampled_from([1, 7, 127]),
    given_thresholds=st.booleans(),
    seed=st.integers(0, 99),
)
def test_numba_gives_the_bits_of_the_reference(
    rows: int, inputs: int, exponent: int, k: float, limit: int, given_thresholds: bool, seed: int
) -> None:
    x = numbers(rows, inputs, 10.0**exponent, seed)
    thresholds = None
    if given_thresholds:
        thresholds = (np.random.default_rng(seed).random(inputs).astype(np.float32) + 0.1) * np.float32(10.0**exponent)
    whole, used = encode_reference(x, k, thresholds)
    counts, escapes = clip_reference(whole, limit)
    found = encode(x, k, thresholds, limit, threads=2)
    assert found.counts.dtype == np.int8
    np.testing.assert_array_equal(found.thresholds, used)
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_array_equal(found.escapes.number, escapes.number)
    np.testing.assert_array_equal(whole_counts(found.counts, found.escapes), whole)


def test_rounds_to_nearest_with_ties_to_even() -> None:
    x = np.array([[0.5, 1.5, 2.5, -0.5, -1.5, 2.4999999, 126.5, 127.5]], np.float32)
    found = encode(x, thresholds=np.ones(8, np.float32))
    assert whole_counts(found.counts, found.escapes).tolist() == [[0, 2, 2, 0, -2, 2, 126, 128]]


def test_counts_agree_with_torch_given_the_threshold() -> None:
    """round(x / v_th) in torch, which divides and rounds as IEEE says: not one count differs."""
    torch = pytest.importorskip("torch")
    x = torch.randn(64, 1000, generator=torch.Generator().manual_seed(0))
    found = encode(x)
    expected = torch.round(x / found.thresholds[:, None])
    assert torch.equal(found.counts.float(), expected) and not found.escapes.number.any()
    mean = x.abs().mean(dim=1) / 3
    torch.testing.assert_close(found.thresholds, mean, rtol=3e-7, atol=0)


LEVELS = np.minimum(np.array([0, 1, 2, 4, 8, 16, 32, 64] + [127] * 120), 127).astype(np.int8)
EDGES = np.array([0.75, 1.5, 3.25, 6, 12, 24, 48, 96] + [np.inf] * 119, np.float32)
TABLE = LEVELS[np.searchsorted(EDGES, np.arange(1024) / 8, side="right")]

ROUNDINGS = {
    "even, shrunk": Rounding(EVEN, shrink=0.4, max_count=9.0),
    "away": Rounding(AWAY, max_count=7.0),
    "up": Rounding(UP, shrink=0.1),
    "factor": Rounding(factor=1.7),
    "search": Rounding(SEARCH, max_count=127.0, edges=EDGES, levels=LEVELS),
    "look-up": Rounding(SEARCH, max_count=100.0, edges=EDGES, levels=LEVELS, table=TABLE),
    "priced": Rounding(PRICED, price=0.5),
    "priced, shrunk": Rounding(PRICED, shrink=0.3, max_count=90.0, price=0.9),
}


@pytest.mark.parametrize("name", ROUNDINGS)
@pytest.mark.parametrize("given_thresholds", [False, True])
def test_every_rounding_has_the_bits_of_the_reference(name: str, given_thresholds: bool) -> None:
    """Ties on both sides of 0, zeros, and numbers far beyond every level."""
    rounding = ROUNDINGS[name]
    rng = np.random.default_rng(5)
    x = np.concatenate([np.arange(-40, 41) / 8, [0.0, -0.0, 1e30, -1e30, 300.0], rng.standard_normal(70)])
    x = (x * np.array([[1.0], [3.0]])).astype(np.float32)
    if given_thresholds:
        thresholds = np.full(x.shape[1], 0.5, np.float32)
    else:
        thresholds = None
    whole, used = encode_reference(x, 2.0, thresholds, rounding)
    counts, _ = clip_reference(whole)
    found = encode(x, 2.0, thresholds, rounding=rounding, threads=2)
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_array_equal(found.thresholds, used)
    np.testing.assert_array_equal(whole_counts(found.counts, found.escapes), whole)
    assert np.abs(whole).max() <= rounding.max_count
    torch = pytest.importorskip("torch")
    arrays = {name: getattr(rounding, name) for name in ("edges", "levels", "table")}
    tensors = {name: None if array is None else torch.from_numpy(array) for name, array in arrays.items()}
    on = encode(torch.from_numpy(x), 2.0, None if thresholds is None else torch.from_numpy(thresholds),
                rounding=rounding._replace(**tensors))  # fmt: skip
    np.testing.assert_array_equal(with_escapes(on).numpy(), whole)


def test_large_counts_escape_exactly_and_saturate_far_out() -> None:
    x = np.array([[1.0, 300.0, -5000.0, 2.0**22, 2.0**23, -1e30]], np.float32)
    found = encode(x, thresholds=np.ones(6, np.float32))
    most = int(MAX_COUNT)
    assert whole_counts(found.counts, found.escapes).tolist() == [[1, 300, -5000, most, most, -most]]
    assert found.counts.tolist() == [[1, 127, -127, 127, 127, -127]]
    assert found.escapes.channels.tolist() == [[1, 2, 3, 4, 5]]


def test_few_channels_can_escape() -> None:
    """Under a token's own threshold |s| > L for at most K k / L of K channels, however x is made."""
    for seed in range(20):
        x = np.random.default_rng(seed).standard_cauchy((4, 500)).astype(np.float32)
        assert encode(x, k=3.0, limit=7).escapes.number.max() <= 500 * 3 / 7


def test_half_precision_and_views_come_as_float32() -> None:
    torch = pytest.importorskip("torch")
    x = torch.randn(6, 40, generator=torch.Generator().manual_seed(1)).bfloat16()
    found = encode(x)
    same = encode(x.float())
    assert torch.equal(found.counts, same.counts) and torch.equal(found.thresholds, same.thresholds)
    wide = np.random.default_rng(0).standard_normal((40, 6))
    np.testing.assert_array_equal(encode(wide.T).counts, encode(np.ascontiguousarray(wide.T, np.float32)).counts)


def test_bad_input_is_refused() -> None:
    x = np.ones((2, 3), np.float32)
    for bad in (np.inf, np.nan):
        y = x.copy()
        y[1, 2] = bad
        with pytest.raises(ValueError, match=r"encode: x must be finite \(row 1 is not\)"):
            encode(y)
    for k in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="encode: k must be > 0"):
            encode(x, k)
    with pytest.raises(ValueError, match=r"thresholds \[K\] \(got x \(2, 3\), thresholds \(2,\)\)"):
        encode(x, thresholds=np.ones(2, np.float32))
    with pytest.raises(ValueError, match=r"x must be \[B, K\]"):
        encode(x[0])
    with pytest.raises(ValueError, match="thresholds must be > 0"):
        encode(x, thresholds=np.array([1, 0, 1], np.float32))
    with pytest.raises(ValueError, match="limit must be 1 to 127"):
        encode(x, limit=128)
