"""Simple classifiers of the events counted in windows: what a run is worth beside its accuracy."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..spikes import Recordings
from .data import even
from .summary import labels_of

WINDOWS = 3
MAX_UNITS = 600  # of the sensor, after neighbours were summed: more cost seconds and no baseline was better
MAX_TRAIN = 3000  # recordings that are learned from, evenly over classes
NAMES = ("logistic regression", "nearest neighbour", "RBF SVM")


def baselines(train: Recordings, test: Recordings) -> Mapping[str, float]:
    """Return the test accuracies of simple classifiers, by name in `NAMES`.

    Each sees the square roots of the numbers of events by unit, in three equal windows of a recording. Settings are the
    same for all data; they were chosen on folds of the training recordings of N-MNIST-800 and FSDD-SHD.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC
    from threadpoolctl import threadpool_limits

    rows = even(labels_of(train), MAX_TRAIN)
    some = train.select(rows)
    x, z = features(some), features(test)
    scale = max(float(x.std()) * np.sqrt(x.shape[1]), 1e-12)
    mean = x.mean(axis=0)
    x, z = (x - mean) / scale, (z - mean) / scale
    models = LogisticRegression(C=100.0, max_iter=100), KNeighborsClassifier(1), SVC(C=10.0, gamma=1.0)
    found = {}
    with threadpool_limits(1), warnings.catch_warnings():
        # A hundred steps are near enough, and more cost seconds.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for name, model in zip(NAMES, models, strict=True):
            predicted = model.fit(x, labels_of(some)).predict(z)
            found[name] = float(np.mean(predicted == labels_of(test)))
    return found


def features(recordings: Recordings) -> NDArray[np.float32]:
    """Return [n, windows * units] square roots of counts, with neighbours summed until `MAX_UNITS` are left."""
    planes, height, width = ((1,) * (3 - len(recordings.shape)) + tuple(recordings.shape))[-3:]
    tall = wide = 1
    while planes * -(-height // tall) * -(-width // wide) > MAX_UNITS:
        wide += 1
        tall = wide if height > 1 else 1
    high, broad = -(-height // tall), -(-width // wide)
    units = planes * high * broad
    which = np.repeat(np.arange(len(recordings)), np.diff(recordings.offsets))
    unit = np.asarray(recordings.units, np.int64)
    place = (unit // (height * width) * high + unit // width % height // tall) * broad + unit % width // wide
    share = np.asarray(recordings.ticks, np.float64) * recordings.tick / np.maximum(recordings.durations, 1e-12)[which]
    window = np.clip(share * WINDOWS, 0, WINDOWS - 1).astype(np.int64)
    flat = (which * WINDOWS + window) * units + place
    counts = np.bincount(flat, minlength=len(recordings) * WINDOWS * units)
    return np.sqrt(counts.reshape(len(recordings), -1)).astype(np.float32)
