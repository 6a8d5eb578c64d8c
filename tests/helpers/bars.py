"""Small recordings that a network learns in a second: a bar that crosses an 8 x 8 camera in one of four ways."""

from __future__ import annotations

import numpy as np

from neurosim import Recordings, Spikes

WAYS = ("right", "left", "down", "up")


def bar(way: int, seed: int, seconds: float = 0.08) -> Spikes:
    """ON events where a bar of light arrives, OFF events where it leaves, and noise."""
    draw = np.random.default_rng([way, seed])
    places = np.arange(8)
    times = []
    units = []
    for at in places:
        line = at if way % 2 == 0 else 7 - at
        for polarity, lag in ((1, 0.0), (0, 0.01)):
            along = places[draw.random(8) < 0.8]
            y = along if way < 2 else line
            x = line if way < 2 else along
            units.append((polarity * 8 + np.broadcast_to(y, along.shape)) * 8 + np.broadcast_to(x, along.shape))
            times.append(np.clip(at * seconds / 9 + lag * draw.random(len(along)), 0, seconds))
    units.append(draw.integers(0, 128, 10))
    times.append(draw.random(10) * seconds)
    return Spikes.sort(np.concatenate(times), np.concatenate(units), 128, seconds, (2, 8, 8))


def bars(each: int, first: int = 0, ways: int = 4) -> Recordings:
    """`each` recordings of every way, mixed; durations differ."""
    labels = np.tile(np.arange(ways), each)
    spikes = [bar(int(way), first + k, 0.06 + 0.002 * (k % 11)) for k, way in enumerate(labels)]
    return Recordings.collect(spikes, labels, WAYS)
