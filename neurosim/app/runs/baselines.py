"""Simple classifiers of the events counted in windows: what a run is worth beside its accuracy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...data.recordings import Recordings
from .classifiers import NAMES, CountedEvents, features
from .data import even
from .frame.beside import called_beside
from .frame.config import Baselines, Energy
from .frame_cnn import train_frame_cnn
from .score import FrameCNN, OtherClassifiers
from .summary import labels_of

# Recordings to learn from that are worth another process, and those whose counts are sent to it.
MIN_BESIDE = 300
MAX_BESIDE = 10_000
MAX_TRAIN = 3000  # recordings that are learned from, evenly over classes


def measure_baselines(train: Recordings, test: Recordings) -> Mapping[str, float]:
    """Return the test accuracies of simple classifiers, by name in `classifiers.NAMES`.

    Each sees the square roots of the numbers of events by unit, in three equal windows of a recording, the last as
    patches. Settings are the same for all data; they were chosen on folds of the training recordings of N-MNIST-800
    and FSDD-SHD.
    """
    return _accuracies(_counted(train, test).answers(), test)


@contextmanager
def baselines_beside(
    train: Recordings, test: Recordings, *, free_core: bool
) -> Iterator[Callable[[], Mapping[str, float]]]:
    """Let another process do what `measure_baselines` does, where a core is free; yield a function that waits for it.

    Where none is, or recordings are few or very many, the function does it.
    """
    if not (free_core and MIN_BESIDE <= len(train) <= MAX_BESIDE - len(test)):
        yield functools.partial(measure_baselines, train, test)
        return
    with called_beside(CountedEvents.answers, _counted(train, test)) as answers:
        yield lambda: _accuracies(answers(), test)


def _counted(train: Recordings, test: Recordings) -> CountedEvents:
    """Return the events of at most `MAX_TRAIN` recordings, and of all test recordings."""
    some = train.select(even(labels_of(train), MAX_TRAIN))
    return CountedEvents(features(some), labels_of(some), features(test), tuple(train.shape))


def _accuracies(answers: Sequence[NDArray[np.int64]], test: Recordings) -> Mapping[str, float]:
    labels = labels_of(test)
    return {name: float(np.mean(predicted == labels)) for name, predicted in zip(NAMES, answers, strict=True)}


class ComparisonConfig(Protocol):
    """Settings of a run whose answers are compared."""

    @property
    def baselines(self) -> Baselines: ...

    @property
    def energy(self) -> Energy: ...


def measure_comparison(
    config: ComparisonConfig, train: Recordings, test: Recordings, parameters: int
) -> OtherClassifiers:
    """Return what simple classifiers reach, and a small convolutional network unless the settings ask for none.

    Args:
        parameters: of the run's own network; the small one has about as many.
    """
    simple = measure_baselines(train, test)
    return OtherClassifiers(baselines=simple, cnn=measure_cnn(config, train, test, parameters))


def measure_cnn(config: ComparisonConfig, train: Recordings, test: Recordings, parameters: int) -> FrameCNN | None:
    """Return what the small convolutional network of `measure_comparison` reaches; None: the settings ask for none."""
    if not config.baselines.cnn:
        return None
    return train_frame_cnn(train, test, parameters, config.energy.profile)
