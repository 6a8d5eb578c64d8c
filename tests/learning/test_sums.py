"""Learners that keep sums: scikit-learn's classifiers on all items together, filters place by place, counted work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import bruteforce

from neurosim.base import NeurosimInputError
from neurosim.learning import Items, Problem, Stream, Task
from neurosim.learning.continual.learners import kind
from neurosim.learning.continual.learners.sums import UNMET
from neurosim.learning.continual.streams import Permuted, Rotated, Split

LIMITS = {"train_limit": 150, "validation_limit": 20, "test_limit": 40}


@pytest.fixture(scope="module")
def stream() -> Stream:
    return Split(**LIMITS).build(1)


def learned(name: str, stream: Stream, tasks: int = 5, **settings: Any) -> Any:
    owner = kind(name)
    learner = owner(stream.problem, owner.SETTINGS(**settings))
    for index in range(tasks):
        learner.begin(stream[index])
        learner.learn(stream[index])
    return learner


def every(stream: Stream, split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    parts = [getattr(task, split) for task in stream]
    return np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts])


def test_the_nearest_mean_is_that_of_all_items(stream: Stream) -> None:
    x, y = every(stream)
    tested, _ = every(stream, "test")
    means = np.stack([x[y == label, 0].mean(axis=0) for label in range(10)])
    distances = ((tested.astype(np.float64) - means) ** 2).sum(axis=2)
    answers = learned("nearest_mean", stream).predict(tested)
    assert np.array_equal(answers, distances.argmin(axis=1))


def test_streaming_discriminants_are_those_of_all_items(stream: Stream) -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    x, y = every(stream)
    tested, _ = every(stream, "test")
    # scikit-learn shrinks the covariance of standardised features only with a given estimator of it: as ours.
    reference = LinearDiscriminantAnalysis(solver="lsqr", priors=np.full(10, 0.1), covariance_estimator=Shrunk(0.2))
    reference.fit(x[:, 0] / 255, y)
    learner = learned("slda", stream, shrinkage=0.2)
    expected = reference.decision_function(tested[:, 0] / 255)
    differences = learner.scores(tested, None) - expected
    # Scores may differ by a number that all classes share, and by each class's part of the items.
    np.testing.assert_allclose(np.ptp(differences, axis=1), 0, atol=0.05 * np.ptp(expected, axis=1).mean())
    assert (learner.predict(tested) == expected.argmax(axis=1)).mean() > 0.98


class Shrunk:
    """An estimator of the covariance of scikit-learn's form: shrunk towards its mean variance."""

    def __init__(self, share: float) -> None:
        self.share = share

    def get_params(self, deep: bool = True) -> dict[str, float]:
        return {"share": self.share}

    def fit(self, x: np.ndarray) -> Shrunk:
        covariance = np.cov(x.T, bias=True)
        mean = np.trace(covariance) / len(covariance)
        self.covariance_ = (1 - self.share) * covariance + self.share * mean * np.eye(len(covariance))
        return self


@pytest.mark.parametrize(("name", "more"), [("random_features", {"features": 60}), ("random_filters", {"filters": 5})])
def test_the_readout_is_ridge_regression_on_all_items(name: str, more: dict[str, int], stream: Stream) -> None:
    from sklearn.linear_model import Ridge

    learner = learned(name, stream, penalty=0.03, **more)
    x, y = every(stream)
    z = learner.features(x)
    varied = z - z.mean(axis=0)
    reference = Ridge(alpha=0.03 * float((varied**2).sum()) / z.shape[1]).fit(z, np.eye(10)[y])
    tested, _ = every(stream, "test")
    np.testing.assert_allclose(learner.scores(tested, None), reference.predict(learner.features(tested)), atol=1e-6)


def test_classes_without_items_are_no_answers(stream: Stream) -> None:
    learner = learned("slda", stream, tasks=2)
    tested, _ = every(stream, "test")
    assert (learner.scores(tested, None)[:, 4:] == UNMET).all()
    assert set(learner.predict(tested).tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("windows", ["planes", "sum"])
def test_filters_are_products_at_every_place_and_means_of_squares(windows: str) -> None:
    problem = Problem(2, 2 * 5 * 6, ((0, 1),), seed=3, shape=(2, 5, 6))
    owner = kind("random_filters")
    learner = owner(problem, owner.SETTINGS(filters=3, side=3, pool=(2, 3), windows=windows))
    x = np.random.default_rng(0).integers(0, 256, (4, 2, 60)).astype(np.uint8)
    x[x < 128] = 0
    if windows == "sum":
        pictures = (x / 255).sum(axis=1).reshape(4, 2, 5, 6)
    else:
        pictures = (x / 255).reshape(4, 4, 5, 6)
    planes = pictures.shape[1]
    weights = learner.features.weights.reshape(planes, 3, 3, 3)
    maps = np.zeros((4, 3, 4, 3))
    for row in range(3):
        for column in range(4):
            seen = pictures[:, :, row : row + 3, column : column + 3]
            maps[:, row, column] = np.maximum(np.einsum("nprc,prcf->nf", seen, weights), 0)
    expected = np.zeros((4, 2, 2, 3))
    for row in range(3):
        for column in range(4):
            expected[:, row // 2, column // 3] += maps[:, row, column] / 6
    np.testing.assert_allclose(learner.features(x), expected.reshape(4, -1), rtol=1e-5)
    # A driven place selects its row of the filters' weights once for each place of the filters that sees it.
    seen = sum(
        np.count_nonzero(pictures[:, :, row : row + 3, column : column + 3]) for row in range(3) for column in range(4)
    )
    filters, _ = learner.work(x)
    assert filters.synaptic_operations == 3 * seen
    assert filters.input_events == np.count_nonzero(pictures) and filters.inputs == 30 * planes
    assert filters.dense_operations == 4 * 12 * 9 * planes * 3 and filters.weights == 9 * planes * 3


def test_filters_move_over_time_where_windows_are_rows() -> None:
    problem = Problem(4, 7, ((0, 1),), seed=3)
    owner = kind("random_filters")
    learner = owner(problem, owner.SETTINGS(filters=3, side=(2, 5), pool=(3, 1), windows="rows"))
    x = np.random.default_rng(0).integers(0, 256, (4, 4, 7)).astype(np.uint8)
    weights = learner.features.weights.reshape(2, 5, 3)
    expected = np.zeros((4, 1, 3, 3))
    for time in range(3):
        for unit in range(3):
            seen = x[:, time : time + 2, unit : unit + 5] / 255
            expected[:, 0, unit] += np.maximum(np.einsum("nrc,rcf->nf", seen, weights), 0) / 3
    np.testing.assert_allclose(learner.features(x), expected.reshape(4, -1), rtol=1e-5)
    camera = Problem(4, 50, ((0, 1),), shape=(2, 5, 5))
    assert owner(camera, owner.SETTINGS(windows="rows")).features.view.shape == (8, 5, 5), "no line: planes"


def test_views_that_do_not_suit_the_items_are_refused() -> None:
    owner = kind("random_filters")
    with pytest.raises(NeurosimInputError, match=r"FiltersSettings.pool: must be an integer of at least 1, .*\(2, 0\)"):
        owner.SETTINGS(pool=(2, 0))
    patches = kind("patches")
    with pytest.raises(NeurosimInputError, match=r"PatchesSettings.side: must leave a patch two inputs at least"):
        patches(Problem(1, 25, ((0, 1),), shape=(5, 5)), patches.SETTINGS(side=1))


def test_a_stream_says_where_its_units_are() -> None:
    assert Split(source="digits").build(0).problem.shape == Rotated().build(0).problem.shape == (8, 8)
    assert Permuted().build(0).problem.shape == (), "permuted units have no neighbours"
    owner = kind("random_filters")
    with pytest.raises(NeurosimInputError, match=r"FiltersSettings.shape: must be \[units\], .* of the 64 units"):
        owner(Split().build(0).problem, owner.SETTINGS(shape=(28, 28)))


def test_too_many_pairs_are_refused() -> None:
    owner = kind("random_filters")
    words = r"random_filters: features: must be at most 16384, .* \(got 19500\)"
    with pytest.raises(NeurosimInputError, match=words):
        owner(Problem(1, 784, ((0, 1),)), owner.SETTINGS())


def test_the_work_is_that_of_both_layers(stream: Stream) -> None:
    learner = learned("random_features", stream, tasks=1, features=12)
    x = stream[0].test.x
    units, readout = learner.work(x)
    z = learner.features(x)[:, None].astype(np.float32)
    weights = learner._solved()[0].astype(np.float32)
    expected = bruteforce.count(learner.features.weights, x / np.float32(255), z)
    assert {name: getattr(units, name) for name in ("synaptic_operations", "dense_operations")} == {
        name: expected[name] for name in ("synaptic_operations", "dense_operations")
    }
    assert readout.synaptic_operations == bruteforce.count(weights, z, z @ weights)["synaptic_operations"]
    assert learner.updates == 150 * (12 + 1 + 12 * 12) + 13 * 10
    assert learner.memory_bytes()["sums"] == 8 * (10 + 10 * 12 + 12 * 12)


def test_stored_patches_answer_where_the_picture_is_like_them() -> None:
    problem = Problem(1, 36, ((0, 1),), seed=2, shape=(6, 6))
    owner = kind("patches")
    learner = owner(problem, owner.SETTINGS(filters=8, side=3, pool=2, threshold=0.25))
    x = np.random.default_rng(0).integers(0, 256, (30, 1, 36)).astype(np.uint8)
    items = Items(x, np.arange(30) % 2)
    learner.begin(Task("one", 0, (0, 1), items, items, items))
    stored = learner.features.weights.T.astype(np.float64)
    # Of length 1 but for the floor, without a mean, and none like another.
    alike = stored @ stored.T
    assert np.abs(stored.sum(axis=1)).max() < 1e-5 and (np.diag(alike) > 0.9).all()
    assert (alike - np.diag(np.diag(alike))).max() < 0.9
    maps = np.zeros((30, 4, 4, 8))
    for row in range(4):
        for column in range(4):
            patches = (x / 255).reshape(30, 6, 6)[:, row : row + 3, column : column + 3].reshape(30, 9)
            patches = patches - patches.mean(axis=1, keepdims=True)
            lengths = np.sqrt((patches**2).sum(axis=1) + 9e-3)
            maps[:, row, column] = np.maximum(patches @ stored.T / lengths[:, None] - 0.25, 0)
    expected = np.sqrt(maps.reshape(30, 2, 2, 2, 2, 8).mean(axis=(2, 4))).reshape(30, -1)
    np.testing.assert_allclose(learner.features(x), expected, atol=1e-4)
    assert learner.memory_bytes()["features"] == 4 * 9 * 8


def test_a_dictionary_holds_as_many_patches_as_the_items_have() -> None:
    """Items of one bright pixel have nine patches of 3 x 3 that are not empty; the other places stay 0."""
    problem = Problem(1, 25, ((0, 1),), shape=(5, 5))
    owner = kind("patches")
    learner = owner(problem, owner.SETTINGS(filters=20, side=3, pool=3))
    x = np.zeros((4, 1, 25), np.uint8)
    x[:, 0, 12] = 255
    items = Items(x, np.arange(4) % 2)
    learner.begin(Task("one", 0, (0, 1), items, items, items))
    assert (np.abs(learner.features.weights).sum(axis=0) > 0).sum() == 9
    learner.learn(Task("one", 0, (0, 1), items, items, items))
    assert np.isfinite(learner.scores(x, None)[:, :2]).all()
