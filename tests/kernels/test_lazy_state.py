"""The state of linear attention, decayed where it is touched: equal to the dense recurrence, and fewer bytes."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.samples import sampled

from neurosim.kernels.spikes.lazy_state import launch
from neurosim.kernels.spikes.lazy_state import reference as lazy

SHAPES = [(3, 33, 17, 50), (1, 1, 1, 3), (2, 64, 64, 20)]


def new_state(heads: int, keys: int, width: int, dtype: type = np.float32) -> lazy.LazyState:
    return lazy.LazyState(np.zeros((heads, keys, width), dtype), np.zeros((heads, keys), dtype))


def dense(state: lazy.LazyState) -> np.ndarray:
    """The state [H, K, V] with all owed decays applied."""
    return np.asarray(state.rows) * np.exp(np.asarray(state.owed))[..., None]


def inputs(shape: tuple[int, int, int, int], dtype: type, density: float = 0.3) -> dict[str, np.ndarray]:
    """Sparse q and k; decays from slight to such that a row is forgotten within a token or two."""
    heads, keys, width, tokens = shape
    rng = np.random.default_rng(sum(shape))
    q, k = (rng.standard_normal((tokens, heads, keys)) * (rng.random((tokens, heads, keys)) < density) for _ in "qk")
    found = {
        "q": q,
        "k": k / np.maximum(np.linalg.norm(k, axis=-1, keepdims=True), 1),
        "v": rng.standard_normal((tokens, heads, width)),
        "decay": -rng.random((tokens, heads, keys)) * rng.choice([0.01, 1.0, 90.0], (tokens, heads, keys)),
        "beta": 2 * rng.random((tokens, heads)),
    }
    return {name: a.astype(dtype) for name, a in found.items()}


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-5)])
@pytest.mark.parametrize("decay", sampled(["none", "head", "key"], ["key"]))
@pytest.mark.parametrize("delta", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_dense_recurrence(
    shape: tuple[int, int, int, int], delta: bool, decay: str, dtype: type, tolerance: float
) -> None:
    heads, keys, width, _ = shape
    a = inputs(shape, dtype)
    g = {"none": None, "head": a["decay"][..., 0], "key": a["decay"]}[decay]
    beta = a["beta"] if delta else None
    rows = np.zeros((heads, keys, width), dtype)
    expected = lazy.dense_scan_reference(rows, a["q"], a["k"], a["v"], g, beta, 0.7)
    state = new_state(heads, keys, width, dtype)
    found = launch.lazy_scan(state, a["q"], a["k"], a["v"], g, beta, 0.7, threads=2)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max()))
    np.testing.assert_allclose(dense(state), rows, rtol=0, atol=tolerance * max(1, np.abs(rows).max()))


def test_cuts_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "ENTRIES_PER_THREAD", 10)
    a = inputs((5, 20, 30, 12), np.float32)
    arrays = a["q"], a["k"], a["v"], a["decay"], a["beta"]
    one = new_state(5, 20, 30)
    many = new_state(5, 20, 30)
    whole = launch.lazy_scan(one, *arrays)
    cut = np.concatenate(
        [launch.lazy_scan(many, *(x[part] for x in arrays), threads=3) for part in (slice(5), slice(5, None))]
    )
    np.testing.assert_array_equal(cut, whole)
    np.testing.assert_array_equal(many.rows, one.rows)


def test_long_streams_neither_drift_nor_overflow() -> None:
    """Thousands of tokens at decays that a running product would have underflowed by."""
    tokens = 4000
    keys = 16
    rng = np.random.default_rng(0)
    q, k = (rng.standard_normal((tokens, 1, keys)) * (rng.random((tokens, 1, keys)) < 0.05) for _ in "qk")
    v = rng.standard_normal((tokens, 1, 8))
    g = np.full((tokens, 1), -0.3)
    rows = np.zeros((1, keys, 8))
    state = new_state(1, keys, 8, np.float64)
    expected = lazy.dense_scan_reference(rows, q, k, v, g)
    np.testing.assert_allclose(launch.lazy_scan(state, q, k, v, g), expected, rtol=0, atol=1e-12)
    single = new_state(1, keys, 8)
    found = launch.lazy_scan(single, *(x.astype(np.float32) for x in (q, k, v, g)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_untouched_rows_are_neither_read_nor_written() -> None:
    state = new_state(1, 6, 4)
    state.rows[:] = np.nan
    state.rows[0, [1, 2]] = 1.0
    q, k = np.zeros((2, 1, 1, 6), np.float32)
    q[..., 1] = 1.0
    k[..., 2] = 2.0
    found = launch.lazy_scan(state, q, k, np.ones((1, 1, 4), np.float32), np.zeros((1, 1), np.float32))
    assert (found == 1).all() and (state.rows[0, 2] == 3).all()
    assert np.isnan(state.rows[0, [0, 3, 4, 5]]).all()


def test_a_row_that_owes_too_much_is_empty() -> None:
    state = new_state(1, 2, 3)
    state.rows[:] = np.nan
    state.owed[:] = -81.0
    one = np.ones((1, 1, 2), np.float32)
    u = np.full((1, 1, 3), 5.0, np.float32)
    assert not launch.lazy_scan(state, one, 0 * one, u).any()
    assert (launch.lazy_scan(state, one, one, u) == 10).all()
    assert (state.rows == 5).all() and not state.owed.any()


def test_what_is_read_before_the_decay_is_written_along_another_direction() -> None:
    """RWKV-7: S = diag(e^g) S + b (a^T S before the decay) + k v^T, o = S^T r, against the dense form."""
    heads = 2
    keys = 20
    width = 9
    tokens = 30
    rng = np.random.default_rng(3)
    a, b, k, r = rng.standard_normal((4, tokens, heads, keys)) * (rng.random((4, tokens, heads, keys)) < 0.4) * 0.5
    v = rng.standard_normal((tokens, heads, width))
    g = -rng.random((tokens, heads, keys))
    state = new_state(heads, keys, width, np.float64)
    rows = np.zeros((heads, keys, width))
    found = launch.lazy_scan(state, r, k, v, g, turn=(a, b))
    for t in range(tokens):
        before = np.einsum("hk,hkv->hv", a[t], rows)
        rows = rows * np.exp(g[t])[..., None] + b[t][..., None] * before[:, None] + k[t][..., None] * v[t][:, None]
        np.testing.assert_allclose(found[t], np.einsum("hk,hkv->hv", r[t], rows), atol=1e-10)
    np.testing.assert_allclose(dense(state), rows, atol=1e-10)


@pytest.mark.parametrize("decays", [None, 2, 3])
@pytest.mark.parametrize("delta", [False, True])
def test_dense_products_of_a_gpu_are_the_turned_recurrence(decays: int | None, delta: bool) -> None:
    """The form for a GPU is plain torch, which runs here too."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    a, b, k, q = rng.standard_normal((4, 12, 2, 10)) * (rng.random((4, 12, 2, 10)) < 0.5) * 0.5
    v = rng.standard_normal((12, 2, 7))
    g = None if decays is None else -rng.random((12, 2, 10)[:decays])
    beta = rng.random((12, 2)) if delta else None
    expected = launch.lazy_scan(new_state(2, 10, 7, np.float64), q, k, v, g, beta, 0.7, turn=(a, b))
    state = lazy.LazyState(*(torch.from_numpy(x) for x in new_state(2, 10, 7, np.float64)))
    arrays = [None if x is None else torch.from_numpy(x) for x in (q, k, v, g, beta)]
    found = launch._turned(state, *arrays, 0.7, torch.from_numpy(a), torch.from_numpy(b))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-10)


def test_tensors_of_the_cpu_are_updated_in_place() -> None:
    torch = pytest.importorskip("torch")
    a = inputs((2, 20, 9, 8), np.float32)
    arrays = a["q"], a["k"], a["v"], a["decay"][..., 0].copy(), a["beta"]
    plain = new_state(2, 20, 9)
    state = lazy.LazyState(*(torch.from_numpy(x) for x in new_state(2, 20, 9)))
    expected = launch.lazy_scan(plain, *arrays)
    found = launch.lazy_scan(state, *(torch.from_numpy(x) for x in arrays))
    np.testing.assert_array_equal(found.numpy(), expected)
    np.testing.assert_array_equal(state.rows.numpy(), plain.rows)
    np.testing.assert_allclose(dense(state), dense(plain), rtol=1e-6)


def test_traffic_is_counted() -> None:
    q = np.array([[1, 0, 0, 2], [0, 0, 0, 0]])
    k = np.array([[1, 1, 0, 0], [0, 0, 1, 0]])
    found = lazy.traffic(q, k, width=10, itemsize=4)
    assert found == lazy.StateTraffic(
        rows_read=4,
        rows_written=3,
        lazy_bytes=7 * 40 + 2 * 8 * 4,
        dense_bytes=2 * 8 * 40,
        operations=10 * (2 * 3 + 2),
        dense_operations=10 * 8 * 3,
    )
    rng = np.random.default_rng(0)
    for density, times in ((0.3, 2.4), (0.1, 6.5)):
        q, k = rng.random((2, 1000, 128)) < density
        found = lazy.traffic(q, k, 128)
        assert found.dense_bytes / found.lazy_bytes > times


def test_bad_input_is_refused() -> None:
    state = new_state(2, 3, 4)
    x = np.ones((5, 2, 3), np.float32)
    with pytest.raises(ValueError, match=r"lazy_scan: v must be \[5, 2, 4\] \(got \[5, 2, 3\]\)"):
        launch.lazy_scan(state, x, x, x)
    v = np.ones((5, 2, 4), np.float32)
    with pytest.raises(ValueError, match=r"log_decay must be \[5, 2, 3\] \(got \[5, 2, 4\]\)"):
        launch.lazy_scan(state, x, x, v, v)
    with pytest.raises(ValueError, match=r"beta must be \[5, 2\] \(got \[5, 3\]\)"):
        launch.lazy_scan(state, x, x, v, beta=np.ones((5, 3), np.float32))
