"""Accuracy on disturbed recordings: a liquid and its readout, an SVM on counts in windows, a small CNN on frames.

    NEUROSIM_DATA=FOLDER python benchmarks/robustness.py [nmnist digits] [--seeds 3] [--json]

Each learns the training recordings as they are, with default settings, and answers the test recordings disturbed: more
events, fewer events, broken pixels, moved, slower, faster, longer. Nothing is chosen by these answers, and nobody is
told of the disturbance. "Played ten times" is each recording ten times in a row; "ten times slower" stretches it.
Disturbances are drawn once, by seed 0, and are the same for all three and all seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import frame
import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

from neurosim import Recordings
from neurosim.app.runs import classifiers
from neurosim.app.runs.data import even
from neurosim.app.runs.frame_cnn import FrameClassifier, frames
from neurosim.data import catalog
from neurosim.learning import Liquid, Readout
from neurosim.learning.liquid.copies import Copies

# As in `neurosim simulate`, of a camera of 34 x 34 pixels.
GAIN_RECORDINGS = 100
COPIES = Copies(count=1, shift=2)
CNN_PARAMETERS = 127_000
HOT_RATE = 1000.0  # events a second of a hot pixel
Predict = Callable[[Recordings], NDArray[np.int64]]


def pixels(recordings: Recordings) -> tuple[NDArray[np.intp], ...]:
    """Return polarity, row and column of every event of a camera."""
    return np.unravel_index(np.asarray(recordings.units, np.int64), recordings.shape)


def kept(recordings: Recordings, keep: NDArray[np.bool_]) -> Recordings:
    """Return the recordings with some of their events."""
    offsets = np.concatenate([[0], np.cumsum(keep)])[recordings.offsets]
    return replace(recordings, ticks=recordings.ticks[keep], units=recordings.units[keep], offsets=offsets)


def added(recordings: Recordings, of: NDArray[np.int64], seconds: NDArray, units: NDArray) -> Recordings:
    """Return the recordings with more events: of which recording each is, its time and unit."""
    which = np.concatenate([np.repeat(np.arange(len(recordings)), np.diff(recordings.offsets)), of])
    ticks = np.concatenate([np.asarray(recordings.ticks, np.float64), seconds / recordings.tick])
    order = np.lexsort((ticks, which))
    counts = np.bincount(which, minlength=len(recordings))
    return replace(
        recordings,
        ticks=ticks[order],
        units=np.concatenate([recordings.units, units])[order].astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(counts)]),
    )


def noise(recordings: Recordings, share: float) -> Recordings:
    """Add events of any unit at any time, a share of the recording's own."""
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(len(recordings)), np.rint(share * np.diff(recordings.offsets)).astype(int))
    seconds = rng.uniform(0, 1, len(of)) * recordings.durations[of]
    return added(recordings, of, seconds, rng.integers(0, recordings.size, len(of)))


def hot(recordings: Recordings, count: int) -> Recordings:
    """Let some pixels of each recording fire all the time."""
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, recordings.size, (len(recordings), count))
    each = np.rint(HOT_RATE * recordings.durations).astype(int)
    of = np.repeat(np.arange(len(recordings)), each * count)
    seconds = rng.uniform(0, 1, len(of)) * recordings.durations[of]
    units = np.concatenate([np.repeat(row, n) for row, n in zip(chosen, each, strict=True)])
    return added(recordings, of, seconds, units)


def dead(recordings: Recordings, share: float) -> Recordings:
    """Drop the events of a share of the pixels, the same in all recordings."""
    works = np.random.default_rng(0).random(recordings.shape[-2:]) >= share
    _, y, x = pixels(recordings)
    return kept(recordings, works[y, x])


def dropped(recordings: Recordings, share: float) -> Recordings:
    """Drop a share of the events."""
    return kept(recordings, np.random.default_rng(0).random(len(recordings.ticks)) >= share)


def without_polarity(recordings: Recordings) -> Recordings:
    """Give all events polarity 0."""
    _, y, x = pixels(recordings)
    return replace(recordings, units=(y * recordings.shape[-1] + x).astype(np.int32))


def moved(recordings: Recordings, right: int) -> Recordings:
    """Move all events to the right; those that leave the sensor are dropped."""
    _, _, x = pixels(recordings)
    there = kept(recordings, x + right < recordings.shape[-1])
    return replace(there, units=there.units + right)


def paused(recordings: Recordings, seconds: float) -> Recordings:
    """Put silence in front."""
    ticks = recordings.ticks + seconds / recordings.tick
    return replace(recordings, ticks=ticks, durations=recordings.durations + seconds)


def stretched(recordings: Recordings, factor: float) -> Recordings:
    """Play recordings slower, or faster with a factor below 1."""
    ticks = np.asarray(recordings.ticks, np.float64) * factor
    return replace(recordings, ticks=ticks, durations=recordings.durations * factor)


def repeated(recordings: Recordings, times: int) -> Recordings:
    """Play each recording several times in a row."""
    lengths = np.diff(recordings.offsets)
    first = np.repeat(recordings.offsets[:-1], lengths * times)
    offsets = np.concatenate([[0], np.cumsum(lengths * times)])
    # Number of an event within the repeated recording.
    number = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths * times)
    length = np.repeat(lengths, lengths * times)
    event = first + number % np.maximum(length, 1)
    begins = number // np.maximum(length, 1) * np.repeat(recordings.durations, lengths * times) / recordings.tick
    return replace(
        recordings,
        ticks=np.asarray(recordings.ticks, np.float64)[event] + begins,
        units=recordings.units[event],
        offsets=offsets,
        durations=recordings.durations * times,
    )


DISTURBANCES: Mapping[str, Callable[[Recordings], Recordings]] = {
    "none": lambda r: r,
    "as many noise events as events": lambda r: noise(r, 1.0),
    "no polarity": without_polarity,
    "half of the events": lambda r: dropped(r, 0.5),
    "12 hot pixels, 1,000 events/s each": lambda r: hot(r, 12),
    "a tenth of the pixels dead": lambda r: dead(r, 0.1),
    "3 pixels to the right": lambda r: moved(r, 3),
    "0.1 s of silence in front": lambda r: paused(r, 0.1),
    "twice as fast": lambda r: stretched(r, 0.5),
    "half as fast": lambda r: stretched(r, 2.0),
    "ten times slower": lambda r: stretched(r, 10.0),
    "played ten times": lambda r: repeated(r, 10),
}


def liquid(train: Recordings, seed: int) -> Predict:
    """Return the answers of the liquid and readout that `neurosim simulate` makes."""
    labels = np.asarray(train.labels)
    made = Liquid(train.shape, seed=seed).adapt(train.select(even(labels, GAIN_RECORDINGS)))
    made = made.knowing(train, np.asarray(made.gains))
    learned = COPIES.added(train, seed)
    readout = Readout(seed=seed).fit(made.run(learned).recordings("liquid"), learned.labels)
    return lambda recordings: readout.predict(made.run(recordings).recordings("liquid"))


def svm(train: Recordings, seed: int) -> Predict:
    """Return the answers of the RBF SVM that stands beside every run."""
    x = classifiers.features(train)
    mean = x.mean(axis=0)
    scale = float(x.std()) * np.sqrt(x.shape[1])
    model = SVC(C=10.0, gamma=1.0).fit((x - mean) / scale, train.labels)
    return lambda recordings: model.predict((classifiers.features(recordings) - mean) / scale)


def cnn(train: Recordings, seed: int) -> Predict:
    """Return the answers of the small CNN that stands beside every run."""
    model = FrameClassifier.fitted(frames(train), np.asarray(train.labels), CNN_PARAMETERS, seed)
    return lambda recordings: model.answer(frames(recordings))


READERS: Mapping[str, Callable[[Recordings, int], Predict]] = {"liquid": liquid, "SVM": svm, "CNN": cnn}


def measure(name: str, seeds: int) -> list[dict[str, Any]]:
    """Return a row for each disturbance: the mean accuracy of each reader over seeds."""
    train, test = (catalog.load(name, split) for split in ("train", "test"))
    scores: dict[str, dict[str, list[float]]] = {label: {each: [] for each in READERS} for label in DISTURBANCES}
    for seed in range(seeds):
        for reader, learn in READERS.items():
            # The SVM has no seed.
            if reader == "SVM" and seed:
                continue
            predict = learn(train, seed)
            for label, disturb in DISTURBANCES.items():
                right = predict(disturb(test)) == test.labels
                scores[label][reader].append(float(np.mean(right)))
            frame.say(f"{name}, seed {seed}: {reader}")
    rows = []
    for label, own in scores.items():
        means = {reader: round(float(np.mean(values)), 3) for reader, values in own.items()}
        rows.append({"dataset": name, "test": len(test), "disturbance": label, **means})
    return rows


def main() -> None:
    parser = frame.arguments(__doc__, seeds=3)
    parser.add_argument("names", nargs="*", default=["nmnist"], metavar="DATASET", help="datasets of cameras")
    options = parser.parse_args()
    rows = [row for name in options.names for row in measure(name, options.seeds)]
    frame.report(options, frame.records(rows), {"rows": rows})


if __name__ == "__main__":
    main()
