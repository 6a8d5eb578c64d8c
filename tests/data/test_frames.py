"""Frames and voxel grids: kernels against their references, and both against tonic's, number for number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.samples import sampled

from neurosim import Recordings, Spikes
from neurosim.base import NeurosimInputError
from neurosim.data import to_frames, to_voxel_grid
from neurosim.data.files.nmnist import read_nmnist_many
from neurosim.kernels.io.frames import cpu as kernel
from neurosim.kernels.io.frames.reference import count_frames_reference, time_frames_reference, voxels_reference

SHAPE = (2, 5, 7)
SIZE = 70
WAYS = [
    {"bins": 1},
    {"bins": 10},
    {"bins": 7, "overlap": 0.25},
    {"window": 0.01},
    {"window": 0.0003},
    {"window": 0.007777, "overlap": 0.000333},
    {"window": 0.007777, "overlap": 0.000333, "partial": True},
    {"window": 5.0},
    {"count": 13},
    {"count": 50, "overlap": 7},
    {"count": 50, "overlap": 7, "partial": True},
    {"count": 10_000},
]
# tonic's words for ours, and microseconds for seconds.
WORDS = {"bins": "n_time_bins", "window": "time_window", "count": "event_count", "partial": "include_incomplete"}


def made(n: int, seed: int, last: int = 60_000) -> Spikes:
    rng = np.random.default_rng(seed)
    # Few distinct times, so that events lie on the edges of frames.
    return Spikes.sort(rng.integers(0, last // 7, n) * 7e-6, rng.integers(0, SIZE, n), SIZE, shape=SHAPE)


@pytest.fixture(scope="module")
def many() -> Recordings:
    return Recordings.collect([made(n, n, 60_000 + 900 * n) for n in (1, 2, 30, 257, 1000, 40)])


def dense_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill what np.empty hands out, so that whoever relies on it holding zeros is found out."""
    empty = np.empty

    def filled(shape: object, dtype: object = float, **options: object) -> np.ndarray:
        array = empty(shape, dtype, **options)
        if array.dtype.kind in "iuf":
            array.fill(np.nan if array.dtype.kind == "f" else 77)
        return array

    monkeypatch.setattr("neurosim.data.frames.np.empty", filled)


@pytest.mark.parametrize("bins", [1, 3, 10])
@pytest.mark.parametrize("scale", [1e6, 1.0])
def test_kernels_are_their_references(bins: int, scale: float) -> None:
    for n in (0, 1, 2, 300):
        spikes = made(n, n)
        if scale > 1:
            times = spikes.times
        else:
            times = np.rint(spikes.times * 1e6).astype(np.uint32)
        for start, width, stride in ((0, 6000, 6000), (100, 900.5, 450.25), (0, 7, 7)):
            out = np.full((bins, SIZE), 9, np.int16)
            kernel.time_frames(times, spikes.units, scale, float(start), float(width), float(stride), out)
            want = time_frames_reference(times, spikes.units, scale, start, width, stride, bins, SIZE)
            assert np.array_equal(out, want)
        for count, stride in ((5, 5), (40, 13)):
            out = np.full((bins, SIZE), 9, np.int16)
            kernel.count_frames(spikes.units, count, stride, out)
            assert np.array_equal(out, count_frames_reference(spikes.units, count, stride, bins, SIZE))
        grid = np.full((bins, 35), np.nan)
        room = np.full(n, 99, np.uint32), np.full(n, np.nan)
        kernel.voxels(times, spikes.units, scale, *room, grid)
        assert np.array_equal(grid, voxels_reference(times, spikes.units, scale, bins, 35))


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_frames_equal_tonics(way: dict, many: Recordings, monkeypatch: pytest.MonkeyPatch) -> None:
    transforms = pytest.importorskip("tonic.transforms", reason="tonic is not installed")
    from neurosim.data.tonic import to_events

    words = {WORDS.get(name, name): value for name, value in way.items()}
    if "window" in way:
        words |= {name: round(words[name] * 1e6) for name in ("time_window", "overlap") if name in words}
    theirs = transforms.ToFrame((7, 5, 2), **words)
    dense_nan(monkeypatch)
    batch = to_frames(many, **way)
    for spikes, ours in zip(many, batch, strict=True):
        want = theirs(to_events(spikes))
        alone = to_frames(spikes, **way)
        assert alone.dtype == want.dtype and np.array_equal(alone, want)
        assert np.array_equal(ours[: len(want)], want) and not ours[len(want) :].any()


@pytest.mark.parametrize("bins", [1, 2, 9, 50])
def test_voxel_grids_equal_tonics(bins: int, many: Recordings, monkeypatch: pytest.MonkeyPatch) -> None:
    transforms = pytest.importorskip("tonic.transforms", reason="tonic is not installed")
    from neurosim.data.tonic import to_events

    theirs = transforms.ToVoxelGrid((7, 5, 2), n_time_bins=bins)
    dense_nan(monkeypatch)
    batch = to_voxel_grid(many, bins)
    for spikes, ours in zip(many, batch, strict=True):
        alone = to_voxel_grid(spikes, bins)
        assert np.array_equal(alone, ours)
        # Of events at one moment tonic makes 0 / 0.
        if spikes.times[-1] > spikes.times[0]:
            want = theirs(to_events(spikes))
            assert alone.dtype == want.dtype and np.array_equal(alone, want)


def test_every_event_is_in_one_frame(many: Recordings) -> None:
    assert np.array_equal(to_frames(many, bins=1)[:, 0].reshape(6, -1).sum(axis=1), _kept(many))
    for spikes in many:
        frames = to_frames(spikes, window=0.001, partial=True)
        assert frames.sum() == len(spikes) - (spikes.times == spikes.times[-1]).sum() * _on_edge(spikes, 1000)
        assert np.array_equal(to_frames(spikes, count=1).sum(axis=0).ravel(), spikes.counts())


def _kept(many: Recordings) -> list[int]:
    # The one bin ends where the last event lies, and does not hold it.
    return [int((s.times < s.times[-1]).sum()) for s in many]


def _on_edge(spikes: Spikes, width: int) -> bool:
    span = round((spikes.times[-1] - spikes.times[0]) * 1e6)
    return span > 0 and span % width == 0


def test_a_voxel_grid_shares_each_event() -> None:
    # At 0, 0.25 and 1 of the recording, in 2 bins: at 0, 0.5 and 2, so the last one falls past the end.
    spikes = Spikes([0.0, 0.25, 1.0], [35, 36, 0], SIZE, 1.0, SHAPE)
    grid = to_voxel_grid(spikes, 2)
    assert grid.shape == (2, 1, 5, 7)
    assert grid[0, 0, 0, :3].tolist() == [1.0, 0.5, 0.0] and grid[1, 0, 0, :3].tolist() == [0.0, 0.5, 0.0]
    assert np.count_nonzero(grid) == 3
    # A negative event subtracts.
    assert to_voxel_grid(Spikes([0.0, 1.0], [0, 0], SIZE, 1.0, SHAPE), 1).ravel()[0] == -1.0


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_do_not_depend_on_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for grain in ("MIN_FRAME_EVENTS", "MIN_VOXEL_EVENTS"):
        monkeypatch.setattr(f"neurosim.data.frames.{grain}", 100)
    many = Recordings.collect([made(50 + i, i) for i in range(70)])
    for way in ({"bins": 6}, {"window": 0.02}, {"count": 9}):
        assert np.array_equal(to_frames(many, threads=threads, **way), to_frames(many, threads=1, **way))
    assert np.array_equal(to_voxel_grid(many, 6, threads=threads), to_voxel_grid(many, 6, threads=1))


@pytest.mark.parametrize("dtype", sampled([np.float16, np.float32, np.uint32, np.int64], [np.uint32]))
def test_ticks_of_every_width(dtype: type) -> None:
    ticks = np.array([0, 1, 2, 3, 5, 8, 13, 21], dtype)
    many = Recordings(ticks, np.arange(8, dtype=np.uint16), [0, 8], [21 * 2**-7], SIZE, SHAPE, tick=2**-7)
    assert np.array_equal(to_frames(many, bins=4)[0], to_frames(many[0], bins=4))
    assert np.array_equal(to_voxel_grid(many, 4)[0], to_voxel_grid(many[0], 4))


def test_recordings_without_events() -> None:
    none = Spikes([], [], SIZE, 1.0, SHAPE)
    assert to_frames(none, bins=3).shape == (3, *SHAPE) and not to_frames(none, bins=3).any()
    assert to_frames(none, window=0.1).shape == (1, *SHAPE) and to_frames(none, count=5).shape == (1, *SHAPE)
    assert to_voxel_grid(none, 3).shape == (3, 1, 5, 7) and not to_voxel_grid(none, 3).any()
    many = Recordings.collect([none, made(20, 1), none])
    frames = to_frames(many, bins=3)
    assert not frames[0].any() and not frames[2].any() and np.array_equal(frames[1], to_frames(made(20, 1), bins=3))
    assert not to_voxel_grid(many, 3)[[0, 2]].any()


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ({}, r"to_frames: needs exactly one of bins, window and count \(got 0 of them\)"),
        ({"bins": 3, "window": 0.1}, r"needs exactly one of bins, window and count \(got 2 of them\)"),
        ({"bins": 0}, r"to_frames: needs bins, window or count > 0 \(got 0\)"),
        ({"window": -1.0}, r"needs bins, window or count > 0 \(got -1.0\)"),
        ({"bins": 3, "overlap": 1.0}, r"to_frames.overlap: must be >= 0 and less than a frame \(got 1.0\)"),
        ({"window": 0.1, "overlap": 0.1}, r"to_frames.overlap: must be >= 0 and less than a frame"),
        ({"count": 5, "overlap": -1}, r"to_frames.overlap: must be >= 0"),
        ({"count": 5, "overlap": 0.5}, r"to_frames.overlap: must be an integer of events where .* \(got 0.5\)"),
        ({"count": 2.5}, r"to_frames.count: must be an integer \(got 2.5\)"),
        ({"bins": 2.5}, r"to_frames.bins: must be an integer \(got 2.5\)"),
        ({"window": float("inf")}, r"to_frames: needs bins, window or count > 0 \(got inf\)"),
    ],
)
def test_ways_to_cut_that_are_none(way: dict, message: str) -> None:
    with pytest.raises(NeurosimInputError, match=message):
        to_frames(made(5, 1), **way)


def test_units_that_are_none() -> None:
    for units in ([0, SIZE, 0, 0], [0, -1, 0, 0], [0, 0, (1 << 32) - 1, 0]):
        many = Recordings(np.arange(4), np.array(units), [0, 4], [1.0], SIZE, SHAPE, tick=1e-6)
        for work in (lambda m: to_frames(m, bins=2), lambda m: to_frames(m, count=1), lambda m: to_voxel_grid(m, 2)):
            with pytest.raises(NeurosimInputError, match=r"Recordings\.units: must be >= 0 and < size 70 \(got "):
                work(many)


def test_sensors_and_threads_that_are_none(many: Recordings) -> None:
    with pytest.raises(NeurosimInputError, match=r"to_voxel_grid: needs a sensor \(2 polarities, height, width\)"):
        to_voxel_grid(Spikes([0.1], [3], 700, 1.0), 3)
    with pytest.raises(NeurosimInputError, match=r"to_voxel_grid.bins: must be an integer > 0 \(got 0\)"):
        to_voxel_grid(many, 0)
    with pytest.raises(NeurosimInputError, match=r"threads: must be > 0 \(got 0\)"):
        to_frames(many, bins=3, threads=0)


@pytest.mark.data
def test_real_recordings_frame_as_tonics(data_root: Path) -> None:
    tonic = pytest.importorskip("tonic", reason="tonic is not installed")
    paths = sorted((data_root / "NMNIST" / "Test").glob("*/*.bin"))
    many = read_nmnist_many(paths)
    frames = to_frames(many, bins=10)
    grids = to_voxel_grid(many, 9)
    make_frames = tonic.transforms.ToFrame((34, 34, 2), n_time_bins=10)
    make_grid = tonic.transforms.ToVoxelGrid((34, 34, 2), n_time_bins=9)
    for i, path in enumerate(paths):
        events = tonic.io.read_mnist_file(str(path), dtype=tonic.datasets.NMNIST.dtype)
        assert np.array_equal(frames[i], make_frames(events)) and np.array_equal(grids[i], make_grid(events))


@pytest.mark.parametrize("many", [False, True])
def test_a_given_array_is_filled_whatever_it_held(many):
    recordings = Recordings.collect([made(n, seed=n) for n in (400, 0, 90)])
    events = recordings if many else recordings[0]
    for cut in (
        lambda out: to_frames(events, bins=4, out=out),
        lambda out: to_frames(events, window=0.02, out=out),
        lambda out: to_frames(events, count=30, out=out),
        lambda out: to_voxel_grid(events, 5, out=out),
    ):
        fresh = cut(None)
        used = np.full_like(fresh, 77)
        assert cut(used) is used and np.array_equal(used, fresh)
        with pytest.raises(NeurosimInputError, match=r"^out: must be a contiguous"):
            cut(np.zeros((1, 2), fresh.dtype))
