"""Recordings of cameras in pieces and in windows: the events of a whole reading, whatever the size of the pieces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import helpers.mutated_files as made
import numpy as np
import pytest

from neurosim import Spikes
from neurosim.app.report.played import EventCounts, Played
from neurosim.app.runs.frame import view
from neurosim.base import NeurosimFormatError, NeurosimInputError
from neurosim.data import read, stream, write
from neurosim.data.files import array_blocks, csv, csv_guess, pieces
from neurosim.data.files.formats import ReadOptions
from neurosim.data.files.pieces import OPENERS, EventPieces, read_recording

SHAPE = (2, 40, 50)


@pytest.fixture(params=[16, 80, 1 << 20])
def piece_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(pieces, "PIECE", request.param)
    yield request.param


# Names of the sound files of `mutated_files`, where they differ from those of the formats.
SOUND = {"prophesee": "raw", "aedat": "aedat2", "event-stream": "event stream"}


def content(name: str) -> bytes:
    return made.READERS[SOUND.get(name, name)][0]()


def joined(parts: list[Spikes]) -> tuple[list[float], list[int]]:
    return np.concatenate([p.times for p in parts]).tolist(), np.concatenate([p.units for p in parts]).tolist()


@pytest.mark.parametrize("name", sorted(OPENERS))
def test_pieces_are_the_whole(name: str, piece_bytes: int, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(content(name))
    whole = read(path, format=name)
    source = EventPieces(path, ReadOptions(format=name))
    # Each iteration reads the file anew.
    for _ in range(2):
        parts = list(source)
        assert joined(parts) == (whole.times.tolist(), whole.units.tolist())
    # Files of N-MNIST have nothing to report where they are read as a whole.
    assert source.shape == whole.shape and (source.report == whole.report or name == "nmnist")
    assert len(parts) > 1 or piece_bytes > 1000


TABLES = {
    "csv": "csv",
    "csv of others": "csv",
    "csv without names": "csv",
    "npy": "numpy",
    "npz": "numpy",
    "camera hdf5": "camera-hdf5",
    "camera hdf5 lzf": "camera-hdf5",
    "prophesee hdf5": "camera-hdf5",
}


@pytest.fixture(params=[7, 1 << 20])
def rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    for module in (array_blocks, csv, csv_guess):
        monkeypatch.setattr(module, "BLOCK", request.param)
    yield request.param


def whole_and_pieces(path: Path, name: str) -> EventPieces:
    """Return the pieces of a file, which hold the events of the whole."""
    whole = ReadOptions(format=name).read(path)
    source = EventPieces(path, ReadOptions(format=name))
    for _ in range(2):
        parts = list(source)
        assert joined(parts) == (whole.times.tolist(), whole.units.tolist())
    assert source.shape == whole.shape and whole.report in (source.report, None)
    return source


@pytest.mark.parametrize("name", TABLES)
def test_blocks_of_a_table_are_the_whole(name: str, rows: int, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(content(name))
    source = whole_and_pieces(path, TABLES[name])
    assert len(list(source)) > 1 or rows > 1000


def columns_of(spikes: Spikes) -> dict[str, np.ndarray]:
    p, y, x = spikes.coordinates()
    return {"t": np.rint(spikes.times * 1e6).astype(np.int64), "x": x, "y": y, "p": p}


def test_arrays_of_every_layout_in_blocks(rows: int, tmp_path: Path) -> None:
    columns = columns_of(recording(100))
    matrix = np.stack(list(columns.values()), axis=1)
    record = np.rec.fromarrays(list(columns.values()), names=list(columns))
    for name, array in {"c": matrix, "f": np.asfortranarray(matrix), "rows": matrix.T.copy(), "record": record}.items():
        np.save(tmp_path / f"{name}.npy", array)
        np.savez_compressed(tmp_path / f"{name}.npz", events=array)
    # As MATLAB counts, and seconds.
    from_1 = {**columns, "x": columns["x"] + 1, "y": columns["y"] + 1, "p": columns["p"] + 1}
    np.savez(tmp_path / "from1.npz", **from_1)
    np.savez(tmp_path / "seconds.npz", **{**columns, "t": columns["t"] * 1e-6 + 0.5}, height=60, width=70)
    for path in sorted(tmp_path.iterdir()):
        whole_and_pieces(path, "numpy")


def test_datasets_of_every_layout_in_blocks(rows: int, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    columns = columns_of(recording(100))
    matrix = np.stack(list(columns.values()), axis=1)
    for name, array, chunks in (("c", matrix, (9, 3)), ("rows", matrix.T, None), ("whole", matrix, None)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.create_dataset("events", data=array, chunks=chunks)
    with h5py.File(tmp_path / "columns.h5", "w") as file:
        # The columns have chunks of their own sizes.
        for key, size in (("t", 11), ("x", 6), ("y", 100), ("p", 33)):
            file.create_dataset(f"events/{key}", data=columns[key], chunks=(size,), compression="gzip")
        file["t_offset"] = 5_000_000
    for path in sorted(tmp_path.iterdir()):
        whole_and_pieces(path, "camera-hdf5")


def test_faults_in_later_blocks_have_the_place_of_the_whole(rows: int, tmp_path: Path) -> None:
    good = columns_of(recording(100))
    broken = {"t": 0, "p": 3, "x": 40_000}
    for key, value in broken.items():
        columns = {name: array.copy() for name, array in good.items()}
        columns[key] = columns[key].astype(np.int64)
        columns[key][60] = value
        np.savez(tmp_path / "a.npz", **columns)
        lines = zip(*(column.tolist() for column in columns.values()), strict=True)
        (tmp_path / "b.csv").write_text("t,x,y,p\n" + "".join(",".join(map(str, line)) + "\n" for line in lines))
        for path in (tmp_path / "a.npz", tmp_path / "b.csv"):
            with pytest.raises(NeurosimFormatError) as whole:
                read(path, shape=SHAPE)
            with pytest.raises(NeurosimFormatError) as parts:
                list(EventPieces(path, ReadOptions(shape=SHAPE)))
            assert str(parts.value) == str(whole.value)


def test_pieces_of_a_file_without_a_size(piece_bytes: int, tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(content("dat").replace(b"% Height 100\n% Width 120\n", b""))
    source = EventPieces(path, ReadOptions())
    whole = read(path)
    assert source.shape == whole.shape and joined(list(source)) == (whole.times.tolist(), whole.units.tolist())


def test_headers_longer_than_the_first_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # jAER writes its preferences into the header.
    preferences = b"".join(b"#<entry key='%d' value='a preference'/>\r\n" % k for k in range(3000))
    content = made.aedat2().replace(b"# comment\r\n", preferences + b"# AEChip: DVS128\r\n")
    assert len(content) > pieces.HEADER
    path = tmp_path / "a.aedat"
    path.write_bytes(content)
    assert joined(list(EventPieces(path, ReadOptions()))) == joined([read(path)])
    # Wherever the first bytes end.
    for size in (40, 41, 58, 59, 60, 100, len(content) - 320, len(content) - 319):
        monkeypatch.setattr(pieces, "HEADER", size)
        source = EventPieces(path, ReadOptions())
        assert joined(list(source)) == joined([read(path)]) and "dvs128" in source.report.layout


@pytest.mark.parametrize("name", ["aedat31", "aedat4", "event stream"])
def test_cut_files_in_pieces(name: str, piece_bytes: int, tmp_path: Path) -> None:
    format = {"event stream": "event-stream"}.get(name, name)
    content = made.READERS[name][0]()
    path = tmp_path / "a"
    # Behind the packets of AEDAT4 lies a table.
    for cut in (40, 43, 60) if name == "aedat4" else (1, 3, 20):
        path.write_bytes(content[:-cut])
        with pytest.raises(NeurosimFormatError) as whole:
            read(path, format=format)
        with pytest.raises(NeurosimFormatError) as parts:
            list(EventPieces(path, ReadOptions(format=format)))
        assert str(parts.value) == str(whole.value)
        options = ReadOptions(format=format, until_fault=True)
        source = EventPieces(path, options)
        kept = options.read(path)
        assert joined(list(source)) == joined([kept]) and len(kept)
        assert source.report == kept.report


def test_filters_and_faults_act_over_pieces(piece_bytes: int, tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(content("evt3")[:-9])
    options = {"noise_filter": 1e-3, "downsample": 4, "refractory": 2e-3}
    with pytest.raises(NeurosimFormatError, match="expected complete words of 2 bytes, got 1 bytes"):
        list(EventPieces(path, ReadOptions(**options)))
    chosen = ReadOptions(until_fault=True, **options)
    source = EventPieces(path, chosen)
    whole = chosen.read(path)
    assert joined(list(source)) == (whole.times.tolist(), whole.units.tolist()) and len(whole)
    assert source.report == whole.report and source.shape == whole.shape == (2, 180, 320)
    again = read_recording(path, chosen)
    assert again.digest() == whole.digest() and again.duration == whole.duration and again.report == whole.report


def recording(events: int = 3000) -> Spikes:
    rng = np.random.default_rng(1)
    times = np.sort(rng.integers(5_000, 400_000, events)) * 1e-6
    # Nothing for two windows.
    times[times > 0.2] += 0.05
    return Spikes(times, rng.integers(0, 4000, events), 4000, 0.5, SHAPE)


@pytest.mark.parametrize("suffix", ["raw", "dat", "csv"])
@pytest.mark.parametrize("start", ["first", "file", 0.1])
def test_windows_hold_all_events(suffix: str, start: float | str, piece_bytes: int, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    write(path, recording())
    whole = read(path, shape=SHAPE, start=start)
    windows = list(stream(path, 0.02, start=start, shape=SHAPE))
    assert {w.duration for w in windows} == {0.02} and {w.shape for w in windows} == {SHAPE}
    assert [len(w) for w in windows].count(0) >= 1 and len(windows[-1])
    for window in windows:
        Spikes(window.times, window.units, window.size, window.duration, window.shape)
    units = np.concatenate([w.units for w in windows])
    times = np.concatenate([k * 0.02 + w.times for k, w in enumerate(windows)])
    assert np.array_equal(units, whole.units) and np.allclose(times, whole.times, rtol=0, atol=1e-12)


def test_streams_that_break_a_rule(tmp_path: Path) -> None:
    write(tmp_path / "a.raw", recording())
    with pytest.raises(NeurosimInputError, match=r"stream\.window: must be > 0 s \(got 0\)"):
        next(stream(tmp_path / "a.raw", 0))
    with pytest.raises(NeurosimInputError, match=r"stream: unknown .*'shap'; did you mean 'shape'"):
        next(stream(tmp_path / "a.raw", 1, shap=SHAPE))
    with pytest.raises(NeurosimInputError, match=r"read\.tick: must be left out: this format has no such choice"):
        next(stream(tmp_path / "a.raw", 1, tick=1e-6))


def test_counts_of_pieces_are_those_of_the_recording() -> None:
    spikes = recording()
    counts = EventCounts.of(spikes)
    assert np.array_equal(counts.by_unit, spikes.counts()) and counts.events == len(spikes)
    share = spikes.times / spikes.duration
    assert np.array_equal(counts.by_time, np.bincount((share * 100).astype(int), minlength=100))
    p, y, x = spikes.coordinates()
    frames = np.zeros((60, *SHAPE), int)
    np.add.at(frames, (np.minimum((share * 60).astype(int), 59), p, y, x), 1)
    assert np.array_equal(counts.by_frame, frames)
    parts = EventCounts.start(SHAPE, spikes.duration)
    for times, units in zip(np.array_split(spikes.times, 7), np.array_split(spikes.units, 7), strict=True):
        parts.add(Spikes.unchecked(times + 3.0, units, 4000, 9.0, SHAPE), 3.0)
    assert np.array_equal(parts.by_unit, counts.by_unit) and np.array_equal(parts.by_frame, counts.by_frame)
    played = Played("a", parts)
    assert played.facts() == Played("a", spikes).facts()
    with pytest.raises(NeurosimInputError, match="a: is shown by counts of its events, which are not in memory"):
        _ = played.spikes


def test_a_large_file_is_shown_by_its_counts(tmp_path: Path, piece_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.raw"
    write(path, recording())
    options = ReadOptions(shape=SHAPE, downsample=2)
    small = view.read_view(path, options).shown[0]
    monkeypatch.setattr(pieces, "LARGE", 0)
    large = view.read_view(path, options).shown[0]
    assert isinstance(large.recording, EventCounts) and not isinstance(small.recording, EventCounts)
    assert large.facts() == small.facts() and large.remarks == small.remarks
    assert np.array_equal(large.counts.by_unit, small.counts.by_unit)
    assert np.abs(large.counts.by_time - small.counts.by_time).sum() <= 4
    assert view.write_view(view.read_view(path, options), tmp_path).read_text().count('class="film"') == 1


def test_a_large_file_with_row_0_at_the_bottom_is_turned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.es"
    path.write_bytes(content("event-stream"))
    small = view.read_view(path, ReadOptions()).shown[0]
    monkeypatch.setattr(pieces, "LARGE", 0)
    large = view.read_view(path, ReadOptions()).shown[0]
    assert isinstance(large.recording, EventCounts) and large.remarks == small.remarks
    assert np.array_equal(large.counts.by_unit, small.counts.by_unit) and large.facts() == small.facts()
    assert not np.array_equal(large.counts.by_unit, read(path).counts())
