"""Pixels that fire all the time, and moved copies of training recordings."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from neurosim import Recordings, Spikes
from neurosim.learning import Liquid
from neurosim.learning.liquid import copies as copies_module
from neurosim.learning.liquid.copies import MAX_RECORDINGS, Copies
from neurosim.learning.liquid.hot import HotFilter

SHAPE = (2, 10, 12)


def random_recordings(count: int, events: int = 200, seed: int = 0) -> Recordings:
    """Return recordings of .1 s of a camera, events on any pixel."""
    rng = np.random.default_rng(seed)
    parts = [Spikes(np.sort(rng.uniform(0, 0.1, events)), rng.integers(0, 240, events), 240, 0.1, SHAPE)]
    for _ in range(count - 1):
        parts.append(Spikes(np.sort(rng.uniform(0, 0.1, events)), rng.integers(0, 240, events), 240, 0.1, SHAPE))
    return Recordings.collect(parts, np.arange(count) % 2, ("a", "b"))


def with_hot(recordings: Recordings, pixels: list[int], events: int) -> Recordings:
    """Return the recordings with events of some pixels at equal distances."""
    parts = []
    for spikes in recordings:
        times = np.concatenate([spikes.times, np.tile(np.linspace(0, spikes.duration, events), len(pixels))])
        units = np.concatenate([spikes.units, np.repeat(pixels, events)])
        parts.append(Spikes.sort(times, units, spikes.size, spikes.duration, spikes.shape))
    return Recordings.collect(parts, recordings.labels, recordings.classes)


def test_hot_pixels_are_dropped_and_nothing_else() -> None:
    known = random_recordings(20)
    hot = HotFilter.of(known)
    busiest = int(known.counts().max())
    assert hot is not None and (hot.events, hot.share) == (busiest, busiest / 200)
    assert hot.applied(known) is known
    new = random_recordings(5, seed=1)
    # Two at once hide neither the other nor themselves.
    pixels = [int(np.flatnonzero(new.counts().sum(axis=0) == 0)[0]), 7]
    quiet = hot.applied(with_hot(new, pixels, 500))
    counts = quiet.counts()
    assert not counts[:, pixels].any()
    others = np.setdiff1d(np.arange(240), pixels)
    assert np.array_equal(counts[:, others], new.counts()[:, others])
    # Ten times as many events of all pixels are no hot pixels, and as many over ten times the duration either.
    many = random_recordings(3, events=2000, seed=2)
    assert hot.applied(many) is many
    longer = replace(with_hot(new, [7], 4 * busiest), durations=new.durations * 10)
    assert hot.applied(longer) is longer


def test_a_liquid_drops_hot_pixels_of_a_camera_alone() -> None:
    known = random_recordings(10)
    liquid = Liquid(SHAPE, neurons=30, in_degree=5, patch_radius=0.1).adapt(known)
    new = random_recordings(2, seed=1)
    # The pixel is silent otherwise: without its events the recordings are as before.
    pixel = int(np.flatnonzero(new.counts().sum(axis=0) == 0)[0])
    noisy = with_hot(new, [pixel], 300)
    clean = liquid.run(new).recordings("liquid").digest()
    assert liquid.run(noisy).recordings("liquid").digest() == clean
    assert replace(liquid, hot_filter=False).run(noisy).recordings("liquid").digest() != clean
    flat = known.pool(np.arange(240), (240,))
    assert Liquid((240,), neurons=30, in_degree=5).adapt(flat).hot is None


def test_copies_are_moved_by_whole_pixels() -> None:
    recordings = random_recordings(6)
    copies = Copies(count=3, shift=2)
    every = copies.added(recordings, seed=5)
    assert len(every) == 24 and np.array_equal(every.labels, np.tile(recordings.labels, 4))
    assert every.select(np.arange(6)).digest() == recordings.digest()
    pictures = every.counts().reshape(24, *SHAPE)
    moves = set()
    for k in range(6, 24):
        padded = np.pad(pictures[k % 6], ((0, 0), (2, 2), (2, 2)))
        fits = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if np.array_equal(padded[:, 2 - dy : 12 - dy, 2 - dx : 14 - dx], pictures[k])
        ]
        assert len(fits) == 1
        moves.add(fits[0])
    assert len(moves) > 8
    assert copies.added(recordings, seed=5).digest() == every.digest() != copies.added(recordings, seed=6).digest()


def test_copies_of_one_large_recording_take_memory_like_its_events(monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = random_recordings(3, events=400_000)
    whole = Copies(count=1).added(recordings, seed=5)
    monkeypatch.setattr(copies_module, "BLOCK", 10_001)
    tracemalloc.start()
    parts = Copies(count=1).added(recordings, seed=5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert parts.digest() == whole.digest()
    # The events and their copies, once selected and once moved. The places of all at once make it nine times as much.
    assert peak < 3.5 * (whole.ticks.nbytes + whole.units.nbytes)


def test_sensors_without_rows_and_very_many_recordings_get_no_copies() -> None:
    copies = Copies(count=2)
    flat = random_recordings(2).pool(np.arange(240), (240,))
    assert copies.added(flat, 0) is flat and Copies().added(flat, 0) is flat
    empty = np.empty(0, np.int64)
    count = MAX_RECORDINGS + 1
    many = Recordings(empty, empty, np.zeros(count + 1, int), np.full(count, 0.1), 240, SHAPE)
    assert copies.added(many, 0) is many
