"""Triton's lazily decayed state against the dense recurrence. Run by `triton_tools`."""

from __future__ import annotations

import numpy as np
import torch

from neurosim.kernels.spikes.lazy_state import gpu as lazy_state_triton
from neurosim.kernels.spikes.lazy_state.reference import LazyState, dense_scan_reference

# Heads, keys, width, tokens.
SHAPES = [(2, 33, 17, 7), (1, 64, 130, 5)]


def new_state(heads, keys, width, dtype=np.float32):
    """Return a `LazyState` of zeros: numpy [heads, keys, width]."""
    return LazyState(np.zeros((heads, keys, width), dtype), np.zeros((heads, keys), dtype))


def inputs(shape: tuple[int, int, int, int], density: float = 0.3) -> dict[str, np.ndarray]:
    """Sparse q and k, decays from slight to such that a row is forgotten at once."""
    heads, keys, width, tokens = shape
    rng = np.random.default_rng(sum(shape))
    k, q = rng.standard_normal((2, tokens, heads, keys)) * (rng.random((2, tokens, heads, keys)) < density)
    decay = -rng.random((tokens, heads, keys)) * rng.choice([0.01, 1.0, 90.0], (tokens, heads, keys), p=[0.6, 0.3, 0.1])
    found = {
        "q": q,
        "k": k / np.maximum(np.linalg.norm(k, axis=-1, keepdims=True), 1),
        "v": rng.standard_normal((tokens, heads, width)),
        "decay": decay,
        "beta": 2 * rng.random((tokens, heads)),
    }
    return {name: a.astype(np.float32) for name, a in found.items()}


def check(device: str, decays: str, *, delta: bool) -> None:
    """Compare with the dense recurrence; `decays` are "none", of each "head" or of each "key"."""
    for shape in SHAPES:
        heads, keys, width, _ = shape
        a = inputs(shape)
        decay = {"none": None, "head": a["decay"][..., 0].copy(), "key": a["decay"]}[decays]
        beta = a["beta"] if delta else None
        rows = np.zeros((heads, keys, width), np.float32)
        expected = dense_scan_reference(rows, a["q"], a["k"], a["v"], decay, beta, 0.7)
        state = LazyState(*(torch.from_numpy(part).to(device) for part in new_state(heads, keys, width)))
        # In two runs, so that what is owed is carried over.
        outputs = []
        for part in (slice(3), slice(3, None)):
            tokens = [_on_device(x, part, device) for x in (a["q"], a["k"], a["v"], decay, beta)]
            outputs.append(lazy_state_triton.lazy_scan(state, *tokens, 0.7))
        found = torch.cat(outputs)
        np.testing.assert_allclose(found.cpu().numpy(), expected, rtol=1e-5, atol=2e-5 * np.abs(expected).max())
        dense = (state.rows * state.owed.exp()[..., None]).cpu().numpy()
        np.testing.assert_allclose(dense, rows, rtol=1e-5, atol=2e-5 * np.abs(rows).max())


def _on_device(x: np.ndarray | None, part: slice, device: str) -> torch.Tensor | None:
    """Return some tokens of an input on a device; None of none."""
    return None if x is None else torch.from_numpy(x[part]).to(device)


def case_no_decay(device: str) -> None:
    check(device, "none", delta=False)


def case_decay_of_a_head(device: str) -> None:
    check(device, "head", delta=False)


def case_decay_of_each_key(device: str) -> None:
    check(device, "key", delta=False)


def case_delta_rule(device: str) -> None:
    check(device, "none", delta=True)
    check(device, "key", delta=True)


def case_untouched_rows_are_neither_read_nor_written(device: str) -> None:
    state = LazyState(*(torch.from_numpy(part).to(device) for part in new_state(1, 20, 16)))
    state.rows[:] = float("nan")
    state.rows[0, [2, 5, 7]] = 1.0
    one = torch.zeros(1, 1, 20, device=device)
    q = one.clone()
    k = one.clone()
    q[..., [2, 5]] = 1.0
    k[..., 7] = 2.0
    found = lazy_state_triton.lazy_scan(state, q, k, torch.ones(1, 1, 16, device=device), None, None, 1.0)
    assert (found == 2).all() and (state.rows[0, 7] == 3).all()
    assert state.rows.isnan().sum() == 17 * 16
