import hashlib
import itertools
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosim import Recordings, Spikes
from neurosim.base import NeurosimInputError

BAD = [
    (([1.0, 0.5], [0, 1], 4, 1.0), "Spikes.times: must be ascending, in seconds (got 0.5 s after"),
    (([-0.1], [0], 4, 1.0), "Spikes.times: must be >= 0 s (got -0.1)"),
    (([float("nan")], [0], 4, 1.0), "Spikes.times: must be ascending"),
    (([0.1, float("nan")], [0, 0], 4, 1.0), "Spikes.times: must be ascending"),
    (([0.1], [4], 4, 1.0), "Spikes.units: must be < size 4 (got 4)"),
    (([0.1], [-1], 4, 1.0), "Spikes.units: must be >= 0 (got -1)"),
    (([0.1], [0.5], 4, 1.0), "Spikes.units: must be an array of int32"),
    (([0.1], [0, 1], 4, 1.0), "Spikes.units: must have one unit for each time"),
    (([0.1], [0], 0, 1.0), "Spikes.size: must be > 0 units"),
    (([0.1], [0], 4, 0.05), "Spikes.duration: must reach the last event at 0.1 s (got 0.05)"),
    (([0.1], [0], 4, float("inf")), "Spikes.duration: must be finite"),
    (([0.1], [0], 4, 1.0, (2, 3)), "Spikes.shape: must have the product 4 (got (2, 3))"),
    ((["a"], [0], 4, 1.0), "Spikes.times: must be an array of float64"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[m[:40] for _, m in BAD])
def test_bad_events_are_refused_by_name(arguments, message):
    with pytest.raises(NeurosimInputError) as error:
        Spikes(*arguments)
    assert str(error.value).startswith(message)


SOME = Spikes([0.1, 0.3], [0, 1], 2, 0.5)
INF = float("inf")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SOME.window(0.1, INF), "Spikes.window: needs 0 <= start <= stop, in finite seconds (got (0.1, inf))"),
        (lambda: SOME.starting(float("nan")), 'start: must be "first", "file" or seconds (got nan)'),
        (lambda: SOME.starting(INF), 'start: must be "first", "file" or seconds (got inf)'),
        (lambda: SOME.starting("begin"), "start: unknown name 'begin'"),
        (lambda: Spikes.from_grid([[0.5, 2.0]], 1e-3), "Spikes.from_grid.grid: must be an array of int64"),
        (lambda: Spikes.from_grid([[INF, 2.0]], 1e-3), "Spikes.from_grid.grid: must be an array of int64"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in remainder")
def test_times_and_counts_that_cannot_be_are_refused(call, message):
    with pytest.raises(NeurosimInputError) as error:
        call()
    assert str(error.value).startswith(message)


def test_no_recordings_have_no_counts():
    batch = Recordings.collect([SOME, SOME])
    for none in ([], np.zeros(2, bool)):
        assert len(batch.select(none)) == 0 and batch.select(none).counts().shape == (0, 2)
    assert batch.counts().tolist() == [[1, 1], [1, 1]]


def some(seed=0, n=200, size=12, duration=1.0, shape=()):
    rng = np.random.default_rng(seed)
    return Spikes.sort(rng.uniform(0, duration, n), rng.integers(0, size, n), size, duration, shape)


def events(s):
    return list(zip(s.times.tolist(), s.units.tolist(), strict=True))


def test_empty():
    s = Spikes([], [], 3, 0.0)
    assert len(s) == 0 and s.shape == (3,) and s.to_grid(0.1).shape == (0, 3)
    assert s.counts().tolist() == [0, 0, 0]


@given(st.integers(0, 50), st.integers(1, 9))
def test_windows_that_tile_lose_nothing(seed, pieces):
    s = Spikes.sort([*some(seed, 40).times, 1.0], [*some(seed, 40).units, 5], 12, 1.0)
    edges = np.linspace(0, 1, pieces + 1)
    parts = [s.window(a, b) for a, b in itertools.pairwise(edges)]
    assert sum(len(p) for p in parts) == len(s)
    back = np.concatenate([p.times + a for p, a in zip(parts, edges[:-1], strict=True)])
    np.testing.assert_allclose(back, s.times, atol=1e-15)
    assert np.concatenate([p.units for p in parts]).tolist() == s.units.tolist()
    for p in parts:  # every window is itself valid
        Spikes(p.times, p.units, p.size, p.duration, p.shape)


def test_grid_round_trip_and_boundaries():
    s = some(shape=(3, 4))
    grid = s.to_grid(0.01)
    assert grid.shape == (100, 12) and grid.sum() == len(s)
    again = Spikes.from_grid(grid, 0.01, (3, 4))
    assert again.shape == (3, 4) and np.array_equal(again.to_grid(0.01), grid)
    # k * dt belongs to step k although k * dt / dt is not always k in binary.
    k = np.arange(1000)
    assert Spikes(k * 1e-4, np.zeros(1000), 1, 0.1).steps(1e-4).tolist() == k.tolist()


def counted(s: Spikes, windows: int) -> np.ndarray:
    """The definition: one event after the other."""
    counts = np.zeros((windows, s.size))
    for t, unit in zip(s.times, s.units, strict=True):
        counts[min(int(t * (windows / (s.duration or 1.0))), windows - 1), unit] += 1
    return counts


@given(st.integers(0, 20), st.integers(1, 9))
def test_equal_windows_count_by_the_definition(seed, windows):
    every = [some(seed + i, 40) for i in range(3)] + [Spikes([], [], 12, 0.0), Spikes([0.0], [3], 12, 0.0)]
    counts = Recordings.collect(every).window_counts(windows)
    assert counts.dtype == np.float32 and np.array_equal(counts, [counted(s, windows) for s in every])
    assert np.array_equal(every[1].window_counts(windows), counts[1])


def test_windows_between_edges():
    s = Spikes([0.0, 0.1, 0.2, 0.3, 0.9], [0, 0, 1, 0, 1], 2, 1.0)
    assert s.window_counts(np.array([0.1, 0.2, 0.3])).tolist() == [[2, 0], [1, 2]]
    edges = np.array([[0.0, 0.3, 1.0], [0.0, 0.05, 1.0]])
    assert Recordings.collect([s, s]).window_counts(edges).tolist() == [[[2, 1], [1, 1]], [[1, 0], [2, 2]]]
    for wrong in (0, [0.1], np.zeros((3, 2))):
        with pytest.raises(NeurosimInputError, match=r"window_counts\.windows: must be"):
            s.window_counts(wrong)


def test_pooled_units_count_together():
    r = Recordings.collect([some(1), some(2)])
    pooled = r.pool(np.arange(12) // 3, (2, 2))
    assert pooled.shape == (2, 2) and pooled[0].shape == (2, 2)
    assert np.array_equal(pooled.counts(), r.counts().reshape(2, 4, 3).sum(axis=2))
    for pools in (np.arange(12), np.zeros(11, int), np.zeros(12), np.full(12, -1)):
        with pytest.raises(NeurosimInputError, match=r"Recordings\.pool\.pools: must be"):
            r.pool(pools, (4,))


def test_merge_keeps_every_event_in_order():
    a = some(1)
    b = some(2)
    assert events(a.merge(b)) == sorted(events(a) + events(b), key=lambda e: e[0])
    with pytest.raises(NeurosimInputError, match=r"Spikes.merge: needs the same shape \(12,\)"):
        a.merge(some(1, size=13))


def test_coordinates_unfold_the_unit():
    s = some(shape=(2, 3, 2))
    p, y, x = s.coordinates()
    assert np.array_equal(p * 6 + y * 2 + x, s.units)


def test_digest_is_the_documented_hash_whatever_the_order_of_ties():
    s = Spikes([0.0, 0.5, 0.5], [2, 1, 0], 3, 1.0)
    raw = np.array([0.0, 0.5, 0.5], "<f8").tobytes() + np.array([2, 0, 1], "<u8").tobytes()
    assert s.digest() == hashlib.sha256(raw).hexdigest()
    assert s.digest() == Spikes([-0.0, 0.5, 0.5], [2, 0, 1], 9, 2.0).digest()
    assert s.digest() != Spikes([0.0, 0.5, 0.5], [2, 1, 1], 3, 1.0).digest()


def test_recordings_hold_what_was_put_in():
    each = [some(i, n) for i, n in enumerate((5, 0, 30))]
    r = Recordings.collect(each, labels=[2, 0, 1], classes=("a", "b", "c"))
    assert len(r) == 3 and [events(s) for s in r] == [events(s) for s in each]
    assert events(r[-1]) == events(each[2])
    assert np.array_equal(r.counts(), np.stack([s.counts() for s in each]))
    with pytest.raises(IndexError):
        r[3]


def test_recordings_select_reorders_everything():
    each = [some(i, n) for i, n in enumerate((5, 0, 30))]
    r = Recordings.collect(each, labels=[2, 0, 1])
    chosen = r.select([2, 0, 2])
    assert [events(s) for s in chosen] == [events(each[i]) for i in (2, 0, 2)]
    assert chosen.labels is not None and chosen.labels.tolist() == [1, 2, 1]
    assert [events(s) for s in r.select(r.labels == 0)] == [events(each[1])]
    # Neighbours, the end before the beginning, the same twice, and none.
    for indices in ([1, 2], [-1, 0, 1], [0, 0], []):
        part = r.select(np.array(indices, int))
        assert [events(s) for s in part] == [events(each[i]) for i in indices]
        assert part.ticks.dtype == r.ticks.dtype and part.units.dtype == r.units.dtype
    assert r.digest() != chosen.digest() and r.digest() == r.select([0, 1, 2]).digest()


def test_recordings_in_ticks_are_seconds_on_the_way_out():
    r = Recordings(np.array([0, 250], np.uint32), np.array([1, 0], np.uint16), [0, 2], [0.001], 2, tick=1e-6)
    assert events(r[0]) == [(0.0, 1), (250 * 1e-6, 0)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offsets": [0, 3]}, "Recordings.ticks: must hold 3 events"),
        ({"offsets": [0, 1, 2]}, "Recordings.offsets: must rise from 0 in 2 entries"),
        ({"labels": [1, 2]}, "Recordings.labels: must hold 1 labels"),
        ({"groups": {"speaker": np.zeros(2)}}, "Recordings.groups['speaker']: must hold 1 values (got 2)"),
        ({"size": 0}, "Recordings.size: must be > 0 units (got 0)"),
        ({"shape": (2, 3)}, "Recordings.shape: must have the product 2 (got (2, 3))"),
        ({"tick": 0.0}, "Recordings.tick: must be > 0 s (got 0.0)"),
        ({"tick": float("nan")}, "Recordings.tick: must be > 0 s (got nan)"),
        ({"durations": [float("nan")]}, "Recordings.durations: must be finite and >= 0 s (got [nan])"),
        ({"durations": [-1.0]}, "Recordings.durations: must be finite and >= 0 s (got [-1.])"),
    ],
)
def test_recordings_that_do_not_fit_are_refused(change, message):
    good = {"ticks": np.zeros(2), "units": np.zeros(2, int), "offsets": [0, 2], "durations": [1.0], "size": 2}
    with pytest.raises(NeurosimInputError) as error:
        Recordings(**{**good, **change})
    assert str(error.value).startswith(message)


def test_a_duration_may_be_one_rounding_short() -> None:
    # 3 * 0.1 is 0.30000000000000004.
    spikes = Spikes([3 * 0.1], [0], 1, 0.3)
    assert spikes.duration == 3 * 0.1 > 0.3
    with pytest.raises(NeurosimInputError, match=r"Spikes\.duration: must reach the last event"):
        Spikes([0.3 + 1e-12], [0], 1, 0.3)


@pytest.mark.parametrize("tick", [1.0, 1e-6])
@pytest.mark.parametrize("ascending", [True, False])
def test_a_digest_is_of_the_events_sorted_by_time_and_unit(tick: float, ascending: bool) -> None:
    draws = np.random.default_rng(0)
    offsets = np.array([0, 0, 7, 7, 300, 301, 301])
    ticks = draws.integers(0, 20, 301).astype(np.uint32)
    for a, b in itertools.pairwise(offsets):
        if ascending:
            ticks[a:b].sort()
    units = draws.integers(0, 9, 301).astype(np.uint16)
    recordings = Recordings(ticks, units, offsets, np.full(6, 20.0), 9, tick=tick)
    digests = []
    for a, b in itertools.pairwise(offsets):
        events = sorted(zip((ticks[a:b] * tick).tolist(), units[a:b].tolist(), strict=True))
        data = b"".join(struct.pack("<d", time) for time, _ in events)
        digests.append(hashlib.sha256(data + b"".join(struct.pack("<Q", unit) for _, unit in events)).hexdigest())
    assert [one.digest() for one in recordings] == digests
    assert recordings.digest() == hashlib.sha256("".join(digests).encode()).hexdigest()
