"""Simple classifiers of the events counted in windows, in a module that a process beside a run imports at once."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...base.collection import without_collection
from ...data.recordings import Recordings

WINDOWS = 3
MAX_UNITS = 600  # of the sensor, after neighbours were summed: more cost seconds and no baseline was better
NAMES = ("logistic regression", "nearest neighbour", "RBF SVM", "naive Bayes on patches")
# Of the dictionary of patches: its words, side and distance of patches along both axes of a camera or along channels,
# drawn patches that it is made from, and what is added to counts of words.
WORDS = 256
SIDE = 5
STRIDE = 2
CHANNELS = 12
DRAWN = 5000
SMOOTHING = 0.1


@dataclass(frozen=True, eq=False)
class CountedEvents:
    """Counted events: of recordings that simple classifiers learn, and of those that they answer.

    Attributes:
        x, z: `features` of both.
        labels: [n] classes of the first.
        shape: of the sensor.
    """

    x: NDArray[np.float32]
    labels: NDArray[np.int64]
    z: NDArray[np.float32]
    shape: tuple[int, ...]

    def answers(self) -> list[NDArray[np.int64]]:
        """Return the classes of the test recordings by each of `NAMES`."""
        from threadpoolctl import threadpool_limits

        # Before the limit, which holds for libraries that are loaded.
        _load_libraries()
        # One thread: sums in another order could move an answer at a border.
        with threadpool_limits(1):
            simple = answers_of(self.x, self.labels, self.z)
            patches = _naive_bayes(_patches(self.x, self.shape), self.labels, _patches(self.z, self.shape))
        return [*simple, patches]


def _load_libraries() -> None:
    with without_collection():
        import sklearn.cluster
        import sklearn.linear_model
        import sklearn.neighbors
        import sklearn.svm  # noqa: F401


def answers_of(x: NDArray[np.float32], labels: NDArray[np.int64], z: NDArray[np.float32]) -> list[NDArray[np.int64]]:
    """Return the classes [m] of vectors z [m, d] by the first three of `NAMES`, trained on x [n, d]."""
    _load_libraries()
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    # Divided by sqrt(d), distances are near 1 for any number of units, and gamma = 1 suits all data.
    scale = max(float(x.std()) * np.sqrt(x.shape[1]), 1e-12)
    mean = x.mean(axis=0)
    x = (x - mean) / scale
    z = (z - mean) / scale
    models = LogisticRegression(C=100.0, max_iter=100), KNeighborsClassifier(1), SVC(C=10.0, gamma=1.0)
    with warnings.catch_warnings():
        # A hundred steps are near enough, and more cost seconds.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [model.fit(x, labels).predict(z) for model in models]


def _patches(x: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return [n, places, d] the patches of `features` of a sensor, all windows and planes of a place together."""
    planes, height, width = _pooled(shape)[:3]
    grid = x.reshape(len(x), WINDOWS * planes, height, width)
    if height > 1:
        side = (min(SIDE, height), min(SIDE, width))
    else:
        side = (1, min(CHANNELS, width))
    cut = np.lib.stride_tricks.sliding_window_view(grid, side, axis=(2, 3))[:, :, ::STRIDE, ::STRIDE]
    places = cut.shape[2] * cut.shape[3]
    return np.ascontiguousarray(np.moveaxis(cut, 1, 3)).reshape(len(x), places, -1)


def _naive_bayes(train: NDArray[np.float32], labels: NDArray[np.int64], test: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return [n] classes of patches: each becomes the nearest word of a dictionary, and votes by how often it was that
    word in its place with each class (naive Bayes; Coates, Lee & Ng 2011 for dictionaries by k-means)."""
    from sklearn.cluster import MiniBatchKMeans

    flat = train.reshape(-1, train.shape[2])
    drawn = flat[np.random.default_rng(0).permutation(len(flat))[:DRAWN]]
    words = MiniBatchKMeans(min(WORDS, len(drawn)), random_state=0, n_init=1, max_iter=20, batch_size=1000).fit(drawn)
    train_words = words.predict(flat).reshape(train.shape[:2])
    test_words = words.predict(test.reshape(-1, test.shape[2])).reshape(test.shape[:2])
    known, column = np.unique(labels, return_inverse=True)
    places = np.arange(train.shape[1])
    counts = np.full((len(places), words.n_clusters, len(known)), SMOOTHING)
    np.add.at(counts, (places, train_words, column[:, None]), 1.0)
    logs = np.log(counts / counts.sum(axis=1, keepdims=True))
    # log p(class | words) = sum over places of log p(word | place, class) + log p(class) + const.
    votes = logs[places, test_words].sum(axis=1) + np.log(np.bincount(column))
    return np.asarray(known[votes.argmax(axis=1)])


def features(recordings: Recordings) -> NDArray[np.float32]:
    """Return [n, windows * units] square roots of counts, with neighbours summed until `MAX_UNITS` are left."""
    return np.concatenate([_features(part) for part in recordings.parts()])


def _features(recordings: Recordings) -> NDArray[np.float32]:
    """Return `features` of recordings in memory."""
    height, width = (1, *recordings.shape)[-2:]
    planes, high, broad, tall, wide = _pooled(recordings.shape)
    units = planes * high * broad
    which = np.repeat(np.arange(len(recordings)), np.diff(recordings.offsets))
    unit = np.arange(recordings.size)
    # [plane, row, column] of a unit after neighbours were summed.
    places = (unit // (height * width) * high + unit // width % height // tall) * broad + unit % width // wide
    place = places[recordings.units]
    share = np.asarray(recordings.ticks, np.float64) * recordings.tick / np.maximum(recordings.durations, 1e-12)[which]
    window = np.clip(share * WINDOWS, 0, WINDOWS - 1).astype(np.int64)
    flat = (which * WINDOWS + window) * units + place
    counts = np.bincount(flat, minlength=len(recordings) * WINDOWS * units)
    return np.sqrt(counts.reshape(len(recordings), -1)).astype(np.float32)


def _pooled(shape: tuple[int, ...]) -> tuple[int, int, int, int, int]:
    """Return planes, height and width of a sensor after neighbours were summed, and how many: rows, columns."""
    planes, height, width = ((1,) * (3 - len(shape)) + tuple(shape))[-3:]
    tall = wide = 1
    # Neighbours are summed on both sides of a camera, along the channels alone otherwise.
    while planes * -(-height // tall) * -(-width // wide) > MAX_UNITS:
        wide += 1
        tall = wide if height > 1 else 1
    return planes, -(-height // tall), -(-width // wide), tall, wide
