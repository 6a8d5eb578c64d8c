"""Flashes: three kinds of light before a small event camera, made from a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neurosim import Recordings, Spikes
from neurosim.data.catalog import Dataset

SHAPE = (2, 12, 12)  # polarity, y, x
DURATION = 0.1  # s

INFO = Dataset(
    name="flashes",
    title="Flashes: three kinds of light, made from a seed",
    folder="flashes",
    layout="nothing: the recordings are made",
    shape=SHAPE,
    classes=("steady", "fading", "moving"),
    splits=("train", "test"),
    recordings={"train": 60, "test": 30},
    licence="CC0",
    about="Events of one camera that sees a spot which flickers, fades or moves.",
    made=True,
)


def load(split: str, root: Path) -> Recordings:
    """Return the recordings of a split; `root` is not read."""
    count = INFO.recordings[split]
    labels = np.arange(count) % len(INFO.classes)
    # Keyed by the split, so that both parts differ and stay the same.
    rng = np.random.default_rng(INFO.splits.index(split))
    return Recordings.collect([_seen(rng, label) for label in labels], labels, INFO.classes)


def _seen(rng: np.random.Generator, label: int) -> Spikes:
    events = int(rng.poisson(300))
    times = rng.uniform(0, DURATION, events)
    if INFO.classes[label] == "fading":
        times = DURATION * (times / DURATION) ** 3
    centre = 5.5
    if INFO.classes[label] == "moving":
        centre = 2.5 + 6 * times / DURATION
    x = np.clip(np.rint(rng.normal(centre, 1.0, events)), 0, 11).astype(int)
    y = np.clip(np.rint(rng.normal(5.5, 1.0, events)), 0, 11).astype(int)
    polarity = rng.integers(0, 2, events)
    units = np.ravel_multi_index((polarity, y, x), SHAPE)
    return Spikes.sort(times, units, int(np.prod(SHAPE)), DURATION, SHAPE)
