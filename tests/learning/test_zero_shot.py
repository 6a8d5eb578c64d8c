"""The cross-modal projections: the loss by hand, what two senses share is found, choices are counted exactly."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from neurosim.base import NeurosimInputError
from neurosim.learning.liquid.cross_modal import Contrast, CrossModal, SharedProjection, contrast


def senses(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return two views, by fixed matrices of 20 and 30 features, of a meaning of each of 12 labels, and the labels."""
    fixed = np.random.default_rng(7)
    draws = np.random.default_rng([8, seed])
    meanings = fixed.normal(size=(12, 3))
    see = fixed.normal(size=(3, 20))
    hear = fixed.normal(size=(3, 30))
    y = np.arange(n) % 12
    x = [
        (meanings[y] + 0.1 * draws.normal(size=(n, 3))) @ way + 0.05 * draws.normal(size=(n, way.shape[1]))
        for way in (see, hear)
    ]
    return x[0], x[1], y


def test_the_loss_is_its_definition() -> None:
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(4, 3, generator=draws).double()
    y = torch.randn(5, 3, generator=draws).double()
    a = np.array([0, 1, 1, 2])
    b = np.array([0, 0, 1, 2, 1])
    right = torch.from_numpy(a[:, None] == b).double()
    cosines = np.array([[float(p @ q / p.norm() / q.norm()) / 0.7 for q in y] for p in x])
    total = 0.0
    for matrix, mine, theirs in ((cosines, a, b), (cosines.T, b, a)):
        each = []
        for row, label in zip(matrix, mine, strict=True):
            logs = row - np.log(np.exp(row).sum())
            each.append(-logs[theirs == label].mean())
        total += np.mean(each) / 2
    assert float(contrast(x, y, right, 0.7)) == pytest.approx(total, rel=1e-12)


def test_choices_are_counted_exactly() -> None:
    draws = np.random.default_rng(0)
    same = SharedProjection(np.zeros(4), np.eye(4))
    model = CrossModal(same, same)
    x = draws.normal(size=(6, 4))
    y = draws.normal(size=(9, 4))
    a = np.arange(6) % 3
    b = np.arange(9) % 3
    x, y = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y))
    ways = []
    for p, mine, q, theirs in ((x, a, y, b), (y, b, x, a)):
        right = []
        for one, label in zip(p, mine, strict=True):
            for choice in itertools.product(*(np.flatnonzero(theirs == k) for k in range(3))):
                right.append(int(np.argmax(q[list(choice)] @ one)) == label)
        ways.append(np.mean(right))
    assert model.accuracy(x, a, y, b)[0] == pytest.approx(np.mean(ways), rel=1e-12)


def test_labels_never_seen_are_matched_by_what_the_senses_share() -> None:
    x, z, y = senses(240, 0)
    new = y >= 10
    model = Contrast(components=10, steps=150, seed=1).fit(x[~new], y[~new], z[~new], y[~new])
    u, v, w = senses(120, 1)
    asked = w >= 10
    known = w < 10
    single, mean = model.accuracy(u[asked], w[asked], v[asked], w[asked])
    assert single > 0.85 and mean > 0.9
    assert model.accuracy(u[known], w[known], v[known], w[known])[1] > 0.9
    # Without training the two spaces know nothing of one another: worse.
    poor = Contrast(components=10, steps=1, learning_rate=1e-9, seed=1).fit(x[~new], y[~new], z[~new], y[~new])
    assert poor.accuracy(u[known], w[known], v[known], w[known])[0] < 0.6


def test_the_same_seed_gives_the_same_projections() -> None:
    x, z, y = senses(60, 0)
    fits = [Contrast(components=5, steps=5, seed=s).fit(x, y, z, y) for s in (0, 0, 1)]
    assert np.array_equal(fits[0].see.weights, fits[1].see.weights)
    assert not np.array_equal(fits[0].see.weights, fits[2].see.weights)
    assert np.allclose(np.linalg.norm(fits[0].hear(z), axis=1), 1) and fits[0].see(x).shape == (60, 64)


def test_projections_do_not_depend_on_the_threads_of_linear_algebra() -> None:
    draws = np.random.default_rng(0)
    labels = np.arange(60) % 10
    # Wide enough that two threads cut the sums of a product in another place than one.
    seen = draws.random((60, 4000)).astype(np.float32)
    heard = draws.random((60, 3000)).astype(np.float32)
    points = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            model = Contrast(steps=5).fit(seen, labels, heard, labels)
            points.append((model.see(seen), model.hear(heard)))
    np.testing.assert_array_equal(points[0][0], points[1][0])
    np.testing.assert_array_equal(points[0][1], points[1][1])


def test_bad_input_is_named() -> None:
    x, z, y = senses(60, 0)
    with pytest.raises(NeurosimInputError, match=r"Contrast\.temperature: must be > 0"):
        Contrast(temperature=0.0)
    with pytest.raises(NeurosimInputError, match=r"Contrast\.fit: needs 60 labels of what is seen"):
        Contrast().fit(x, y[:5], z, y)
    with pytest.raises(NeurosimInputError, match=r"Contrast\.fit: needs the same two or more labels of both"):
        Contrast().fit(x, y, z[y < 3], y[y < 3])
    with pytest.raises(NeurosimInputError, match=r"SharedProjection: needs 20 features"):
        Contrast(steps=1).fit(x, y, z, y).see(z)


@pytest.mark.slow
@pytest.mark.data
def test_the_benchmark_runs_on_real_recordings(data_root, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """A tenth of the recordings and small liquids: digits it was trained on are found across the senses."""
    import sys

    import zero_shot

    from neurosim.data import catalog
    from neurosim.learning import Liquid

    def few(name: str, split: str, root: object) -> object:
        recordings = load(name, split, root)  # type: ignore[arg-type]
        return recordings.select(range(0, len(recordings), 10 if name == "shd" else 4))

    load = catalog.load
    monkeypatch.setattr(zero_shot.catalog, "load", few)
    monkeypatch.setattr(zero_shot, "Liquid", lambda shape, seed: Liquid(shape, neurons=100, seed=seed))
    try:
        row = zero_shot.measure(1)
    finally:
        sys.modules.pop("zero_shot", None)
    assert row["seen_single"]["mean"] > 2.5 / 7 and 0 <= row["unseen_single"]["mean"] <= 1
