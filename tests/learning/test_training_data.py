"""Recordings as tensors: bins, pools, changes keyed by recording, and the division for validation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.bars import WAYS, bars

from neurosim import Recordings, Spikes
from neurosim.base import NeurosimInputError
from neurosim.kernels.layers.bins import reference as kernel
from neurosim.learning import Augment, Binning, TrainingSpec, split
from neurosim.learning.training.binned import BinnedRecordings
from neurosim.learning.training.validation import check_labels, split_apart

EVERY = Augment(shift=1.5, zoom=0.2, rotate=0.3, jitter=0.4, stretch=0.2, drop=0.4, mask=0.3, lag=0.02, noise=9)
BLENDED = replace(EVERY, blend=0.5, cutmix=0.5)


def channels(seed: int = 0, n: int = 7, events: int = 200) -> Recordings:
    draw = np.random.default_rng(seed)
    spikes = []
    for k in range(n):
        spikes.append(Spikes.sort(draw.random(events) * 0.3, draw.integers(0, 23, events), 23, 0.3 + 0.01 * k))
    return Recordings.collect(spikes, np.arange(n) % 2, ("a", "b"))


def halved(recordings: Recordings) -> Recordings:
    """Return recordings whose ticks are seconds in half precision."""
    return replace(recordings, ticks=recordings.ticks.astype(np.float16))


@pytest.mark.parametrize("pool", [1, 3])
def test_bins_are_the_counts_of_each_pool(pool: int) -> None:
    recordings = bars(3)
    binning = Binning(recordings.shape, dt=0.007, duration=0.09, pool=pool, max_count=0)
    batch = binning.batch(recordings, np.arange(12))
    assert binning.shape == (2, -(-8 // pool), -(-8 // pool))
    for k, spikes in enumerate(recordings):
        grid = spikes.to_grid(0.007).reshape(-1, 2, 8, 8)
        padded = np.zeros((len(grid), 2, 9, 9)) if pool == 3 else grid
        padded[:, :, :8, :8] = grid
        side = binning.shape[1]
        pooled = padded.reshape(len(grid), 2, side, pool, side, pool).sum(axis=(3, 5)).reshape(len(grid), -1)
        steps = batch.lengths[k]
        # A last event may lie exactly on the end, one step beyond it.
        assert steps in (len(grid), len(grid) - 1)
        np.testing.assert_array_equal(batch.x[:steps, k], pooled[:steps])
    assert batch.labels.tolist() == [0, 1, 2, 3] * 3


@pytest.mark.parametrize("recordings", [bars(4), channels()], ids=["camera", "channels"])
@pytest.mark.parametrize("most", [0, 1, 2])
@pytest.mark.parametrize("augment", [EVERY, replace(EVERY, jitter=0.0)], ids=["jitter", "still"])
@pytest.mark.parametrize("table_units", [0, 4], ids=["by event", "by table"])
def test_compiled_bins_are_the_reference(
    recordings: Recordings, most: int, augment: Augment, table_units: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurosim.kernels.layers.bins.cpu.TABLE_UNITS", table_units)
    binning = Binning(recordings.shape, dt=0.011, duration=0.25, pool=2, max_count=most)
    chosen = np.array([3, 0, 5])
    durations = recordings.durations[chosen]
    views, keys = augment.views(5, 2, chosen, binning.camera, binning.planes[2], durations)
    expected = np.full((binning.steps, 3, binning.units), np.nan, np.float32)
    events = kernel.Events(
        recordings.ticks,
        recordings.units,
        recordings.offsets[:-1][chosen],
        recordings.offsets[1:][chosen],
        recordings.tick,
    )
    where = kernel.Bins(binning.dt, binning.planes, binning.pools, most)
    kernel.bin_events_reference(events, where, views, keys, expected)
    batch = binning.batch(recordings, chosen, augment, seed=5, epoch=2)
    found = batch.x
    expected *= np.arange(len(expected))[:, None, None] < batch.lengths[:, None]
    np.testing.assert_array_equal(found, expected[: len(found)])
    assert not expected[len(found) :].any() or len(found) < binning.steps
    assert 0 < found.sum() < len(recordings.ticks)


def test_half_precision_seconds_are_read() -> None:
    half = halved(channels())
    x = Binning((23,), 0.01, 0.4, max_count=0).batch(half, np.arange(7)).x
    expected = [np.bincount(half[k].steps(0.01), minlength=len(x)) for k in range(7)]
    np.testing.assert_array_equal(x.sum(axis=2).T, expected)


def test_a_recording_is_changed_alike_in_every_batch_and_differently_in_every_epoch() -> None:
    recordings = bars(4)
    binning = Binning(recordings.shape, 0.005, 0.1)
    a = binning.batch(recordings, np.array([2, 9]), BLENDED, seed=1, epoch=3).x
    b = binning.batch(recordings, np.array([9, 4, 2]), BLENDED, seed=1, epoch=3).x
    steps = min(len(a), len(b))
    np.testing.assert_array_equal(a[:steps, 0], b[:steps, 2])
    np.testing.assert_array_equal(a[:steps, 1], b[:steps, 0])
    for seed, epoch in ((1, 4), (2, 3)):
        other = binning.batch(recordings, np.array([2, 9]), BLENDED, seed=seed, epoch=epoch).x
        assert other.shape != a.shape or (other != a).any()


@pytest.mark.parametrize(
    ("augment", "rule"),
    [
        (Augment(shift=2.0), lambda plain, x: x.sum() < plain.sum()),  # some leave the sensor
        (Augment(drop=0.9), lambda plain, x: 0.3 * plain.sum() < x.sum() < 0.8 * plain.sum()),
        (Augment(stretch=0.5), lambda plain, x: x.sum() == plain.sum() and len(x) > len(plain)),
        (Augment(mask=0.6), lambda plain, x: x.sum() < plain.sum() and (x <= plain[: len(x)]).all()),
        (Augment(noise=50), lambda plain, x: (x >= plain).all() and 10 * 40 < (x - plain).sum() < 40 * 40),
    ],
    ids=["shift", "drop", "stretch", "mask", "noise"],
)
def test_what_a_change_does(augment: Augment, rule: object) -> None:
    recordings = bars(10)
    binning = Binning(recordings.shape, 0.005, 0.2, max_count=0)
    every = np.arange(40)
    plain, changed = (binning.batch(recordings, every, a).x for a in (None, augment))
    assert rule(plain, changed)  # type: ignore[operator]


def test_a_blend_is_half_of_two_of_a_class_laid_over_one_another() -> None:
    at = {0: (3, 4), 1: (10, 8), 2: (17, 5), 3: (20, 1)}  # channel and centisecond
    spikes = [Spikes(np.linspace(s, s + 1, 400) / 100, np.full(400, c), 23, 0.12) for c, s in at.values()]
    recordings = Recordings.collect(spikes, [0, 0, 1, 1], ("a", "b"))
    binning = Binning((23,), 0.01, 0.12, max_count=0)
    blend = Augment(blend=1.0)
    places = []
    for epoch in range(8):
        partners = blend.partners(0, epoch, np.arange(4), np.array([0, 0, 1, 1]))
        assert set(partners[:2]) <= {0, 1} and set(partners[2:]) <= {2, 3}
        x = binning.batch(recordings, np.arange(4), blend, 0, epoch).x
        for k, (channel, step) in at.items():
            # Time may be off by a rounding at the edge of a bin.
            near = x[max(step - 1, 0) : step + 2, k, channel].sum()
            assert near == x[:, k].sum()
            assert 300 < near < 500 if partners[k] != k else near == 400
        places.append(partners)
    assert len({tuple(p) for p in places}) > 3


def test_a_lag_moves_whole_channels() -> None:
    spikes = [Spikes(np.repeat([0.05, 0.1], 23), np.tile(np.arange(23), 2), 23, 0.2)] * 5
    recordings = Recordings.collect(spikes, [0, 1] * 2 + [0], ("a", "b"))
    x = Binning((23,), 0.01, 0.2).batch(recordings, np.arange(5), Augment(lag=0.04), 3).x
    moved = x.argmax(axis=0) - 5  # steps, [recordings, channels]
    assert (x.sum(axis=0) == 2).all() and moved.min() >= -4 and moved.max() <= 4
    assert (np.diff(np.where(x == 1, np.arange(20)[:, None, None], 99).argsort(axis=0)[:2], axis=0) == 5).all()
    assert all(len(set(row.tolist())) > 4 for row in moved) and len({tuple(row) for row in moved}) == 5


def test_a_recording_is_blended_or_its_channels_are_shifted_but_not_both() -> None:
    some = np.arange(400)
    where = np.ones(400)
    thirds = Augment(blend=1 / 3, lag=0.04, lagged=1 / 3)
    lags = thirds.views(0, 0, some, False, 23, where)[0][:, kernel.LAG]
    # Of one class: a partner may be the recording itself, but rarely.
    blended = thirds.partners(0, 0, some, np.zeros(400, np.int64)) != some
    assert set(lags.tolist()) == {0.0, 0.04} and not (blended & (lags > 0)).any()
    assert 110 < (lags > 0).sum() < 160 and 110 < blended.sum() < 160
    assert (Augment(lag=0.04).views(0, 0, some, False, 23, where)[0][:, kernel.LAG] == 0.04).all()


def test_a_cut_holds_a_stretch_of_another_and_its_share_of_the_loss() -> None:
    spikes = [Spikes(np.arange(40) / 200, np.full(40, c), 23, 0.2) for c in (3, 9, 15)]
    recordings = Recordings.collect(spikes, [0, 1, 2], ("a", "b", "c"))
    binning = Binning((23,), 0.01, 0.2, max_count=0)
    cut = Augment(cutmix=0.7)
    seen = set()
    for epoch in range(12):
        batch = binning.batch(recordings, np.arange(3), cut, 0, epoch)
        for k, channel in enumerate((3, 9, 15)):
            own = batch.x[:, k, channel]
            other = batch.x[:, k, (3, 9, 15)[batch.others[k]]]
            np.testing.assert_array_equal(own + (other if batch.others[k] != k else 0), np.full(20, 2.0))
            if batch.others[k] != k:
                assert batch.shares[k] == pytest.approx(other.sum() / 40)
                steps = np.flatnonzero(other)
                assert len(steps) == 0 or np.ptp(steps) == len(steps) - 1
            seen.add((k, int(batch.others[k]), bool(batch.shares[k] > 0)))
    assert len(seen) > 9 and {False, True} == {each[2] for each in seen}
    assert not binning.batch(recordings, np.arange(3)).shares.any()


@pytest.mark.parametrize(
    "recordings",
    [bars(20), channels(n=70), channels(n=70, events=2500), halved(channels(n=70))],
    ids=["camera", "channels", "many events", "half precision"],
)
@pytest.mark.parametrize("most", [0, 1])
def test_recordings_that_are_binned_once_give_the_same_batches(recordings: Recordings, most: int) -> None:
    binning = Binning(recordings.shape, dt=0.011, duration=0.25, pool=2, max_count=most)
    binned = BinnedRecordings(binning, recordings)
    assert BinnedRecordings.fits(recordings) and not BinnedRecordings.fits(replace(recordings, labels=None))
    # Short and long recordings, one alone, and one twice.
    for chosen in (np.array([69, 0, 5, 5]), np.array([3]), np.arange(len(recordings))):
        found = binned.batch(chosen)
        expected = binning.batch(recordings, chosen)
        for name, array in vars(expected).items():
            np.testing.assert_array_equal(getattr(found, name), array, name)
        listed = binned.listed(chosen)
        np.testing.assert_array_equal(listed.x.dense(), expected.x)
        assert (listed.x.active.values.size == 0) == (most == 1) and listed.labels.tolist() == found.labels.tolist()


@pytest.mark.parametrize("most", [0, 1])
def test_an_event_exactly_at_the_end_of_a_recording_lies_in_no_bin(most: int) -> None:
    short = Spikes(np.array([0.01, 0.05]), np.array([1, 2]), 5, 0.05)
    long = Spikes(np.array([0.02, 0.1]), np.array([3, 4]), 5, 0.12)
    recordings = Recordings.collect([short, long], [0, 1], ("a", "b"))
    binning = Binning((5,), 0.01, 0.12, max_count=most)
    both = np.arange(2)
    for batch in (binning.batch(recordings, both), BinnedRecordings(binning, recordings).batch(both)):
        assert np.argwhere(batch.x).tolist() == [[1, 0, 1], [2, 1, 3], [10, 1, 4]]


def test_events_of_a_tensor_are_the_tensor_again() -> None:
    recordings = bars(20)
    binning = Binning(recordings.shape, 0.006, 0.07, pool=2, max_count=3)
    events = binning.recordings(recordings)
    batch = binning.batch(recordings, np.arange(80))
    assert events.shape == binning.shape and events.labels is recordings.labels
    for k in range(80):
        grid = events[k].to_grid(0.006)
        assert len(grid) == batch.lengths[k]
        np.testing.assert_array_equal(grid, batch.x[: len(grid), k])


def test_split_keeps_classes_and_groups_alike() -> None:
    labels = np.repeat([0, 1, 2], [40, 20, 10])
    groups = np.tile([0, 1], 35)
    train, held = split(labels, 0.2, 0, groups)
    assert sorted([*train, *held]) == list(range(70))
    assert np.bincount(labels[held]).tolist() == [8, 4, 2]
    assert np.bincount(groups[held]).tolist() == [7, 7]
    assert not np.array_equal(split(labels, 0.2, 1)[1], held)
    assert len(split(labels, 0.0, 0)[1]) == 0
    # A class of one is learned from.
    assert 3 in split(np.array([0, 0, 0, 1]), 0.6, 0)[0]


def test_speakers_who_are_validated_on_are_not_trained_on() -> None:
    labels = np.tile([0, 1, 2], 40)
    speakers = np.repeat([7, 3, 5, 9], 30)
    found = [
        split_apart(labels, speakers, fraction, seed) for fraction, seed in ((0.1, 0), (0.5, 0), (0.1, 1), (0.1, 2))
    ]
    for parts, count in zip(found, (1, 2, 1, 1), strict=True):
        assert parts is not None
        train, held = (set(speakers[part].tolist()) for part in parts)
        assert not train & held and len(held) == count and sorted([*parts[0], *parts[1]]) == list(range(120))
    assert len({tuple(parts[1]) for parts in found if parts}) > 2  # the seed chooses
    # A speaker with a class of his own is never spared, nor one of two, nor anybody where nothing is to be validated.
    labels[speakers == 3] = 3
    for seed in range(6):
        parts = split_apart(labels, speakers, 0.9, seed)
        assert parts is not None and 3 not in speakers[parts[1]] and set(labels[parts[0]]) == {0, 1, 2, 3}
    assert split_apart(labels, np.where(speakers == 3, 3, 5), 0.1, 0) is None
    assert split_apart(labels, speakers, 0.0, 0) is None


def test_what_cannot_be_learned_or_tested_says_so() -> None:
    with pytest.raises(NeurosimInputError) as one:
        check_labels(np.zeros(5, np.int64), np.zeros(2, np.int64), WAYS, "the test recordings")
    assert str(one.value) == "the training recordings: must be of at least two classes (got only 'right')"
    with pytest.raises(NeurosimInputError) as unseen:
        check_labels(np.array([0, 1]), np.array([1, 3]), WAYS, "the test recordings")
    assert str(unseen.value) == (
        "the test recordings: must have no label that the training recordings lack; train on more of them or leave "
        "it out (got 'up')"
    )
    with pytest.raises(NeurosimInputError, match="labels must lie below the 4 classes"):
        check_labels(np.array([0, 7]), np.array([0]), WAYS, "the test recordings")
    with pytest.raises(NeurosimInputError, match=r"each class, at most \d of 4 recordings, leaves none to validate on"):
        split(np.arange(4), 0.5, 0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Binning((4,), dt=0.0), "Binning.dt: must be > 0 s (got 0.0)"),
        (lambda: Binning((4,), dt=0.1, duration=0.01), "Binning.duration: must be >= dt 0.1 s (got 0.01)"),
        (lambda: Binning((4,), pool=5), "Binning.pool: must be 1 to 4 (got 5)"),
        (lambda: Augment(stretch=1.0), "Augment.stretch: must be >= 0 and < 1 (got 1.0)"),
        (lambda: Augment(shift=float("nan")), "Augment.shift: must be >= 0 and finite (got nan)"),
        (lambda: Augment(cutmix=1.1), "Augment.cutmix: must be >= 0 and <= 1 (got 1.1)"),
        (lambda: Augment(noise=-1), "Augment.noise: must be >= 0 and finite (got -1)"),
        (lambda: TrainingSpec(epochs=0), "TrainingSpec.epochs: must be >= 1 (got 0)"),
        (lambda: Binning((4,), dt=1e-300), "Binning.dt: must leave fewer than 2^31 bins of 1 s (got 1e-300)"),
        (lambda: TrainingSpec(learning_rate=-1.0), "TrainingSpec.learning_rate: must be > 0 and < 1e38 (got -1.0)"),
        (
            lambda: Binning((4,)).batch(bars(1), np.arange(2)),
            "Binning.batch: needs the sensor (4,) (got (2, 8, 8))",
        ),
    ],
)
def test_bad_settings_are_named(make: object, words: str) -> None:
    with pytest.raises(NeurosimInputError) as error:
        make()  # type: ignore[operator]
    assert str(error.value) == words


def test_the_learning_rate_rises_then_falls() -> None:
    schedule = TrainingSpec(learning_rate=0.1, warmup=0.2)
    rates = [schedule.learning_rate_at(step, 50) for step in range(50)]
    assert rates[9] == pytest.approx(0.1) and max(rates) == pytest.approx(0.1)
    assert np.all(np.diff(rates[:10]) > 0) and np.all(np.diff(rates[10:]) < 0) and rates[-1] < 2e-4
