"""Tables of events in files of NumPy: by names, by order, and what is no table."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

from neurosim.base import GuessWarning, NeurosimFormatError, NeurosimInputError, raw
from neurosim.data import read
from neurosim.data.files.numpy_files import open_npy

N = 200
RNG = np.random.default_rng(8)
T = np.sort(RNG.integers(0, 1_000_000, N))
X = RNG.integers(0, 60, N)
Y = RNG.integers(0, 50, N)
P = RNG.integers(0, 2, N)
X[0] = 60
Y[0] = 50


def check(path: Path, sensor: tuple[int, ...] = (2, 51, 61), **options: object) -> None:
    spikes = read(path, **options)
    assert spikes.shape == sensor and np.array_equal(np.rint(spikes.times * 1e6), T)
    assert all(np.array_equal(a, b) for a, b in zip(spikes.coordinates(), (P, Y, X), strict=True))
    assert spikes.duration == spikes.times[-1]


@pytest.mark.parametrize("names", ["t x y p", "timestamp x y polarity", "ts X Y pol", "time x y on"])
@pytest.mark.parametrize("kinds", ["<i8 <u2 <u2 ?", ">u4 >i2 >i2 i1", "<f8 <f4 <f4 <f8"])
def test_structured_arrays(names: str, kinds: str, tmp_path: Path) -> None:
    events = np.zeros(N, list(zip(names.split(), kinds.split(), strict=True)))
    for name, values in zip(names.split(), (T, X, Y, P), strict=True):
        events[name] = values
    np.save(tmp_path / "a.npy", events)
    check(tmp_path / "a.npy")
    check(tmp_path / "a.npy", (2, 480, 640), shape=(2, 480, 640))
    np.savez(tmp_path / "a.npz", events=events, other=np.arange(5))
    check(tmp_path / "a.npz")


@pytest.mark.parametrize("order", ["txyp", "xytp", "xypt"])
def test_columns_without_names(order: str, tmp_path: Path) -> None:
    columns = {"t": T, "x": X, "y": Y, "p": P * 2 - 1}
    table = np.stack([columns[key] for key in order], axis=1)
    for array in (table, table.T, table.astype(float), np.asfortranarray(table)):
        np.save(tmp_path / "a.npy", array)
        check(tmp_path / "a.npy")
        check(tmp_path / "a.npy", columns=order)


def test_an_array_for_each_column(tmp_path: Path) -> None:
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", t=T, x=X[:, None], y=Y[None], p=P.astype(bool), height=np.int32(70), width=80)
        check(tmp_path / "a.npz", (2, 70, 80))
        check(tmp_path / "a.npz", (2, 90, 99), shape=(2, 90, 99))


def test_units_of_time(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, t=T * 1e-6, x=X, y=Y, p=P)
    check(path)
    assert read(path).report.tick == 1
    np.savez(path, t=T.astype(float), x=X, y=Y, p=P)
    check(path)
    assert read(path).report.tick == 1e-6 and read(path, tick=1e-3).times[-1] == T[-1] * 1e-3
    with pytest.raises(NeurosimInputError, match=r"read\.tick: must be > 0 s"):
        read(path, tick=0)


@pytest.mark.parametrize(("name", "unit"), [("t_us", 1e-6), ("timestamp_ns", 1e-9), ("time [ms]", 1e-3), ("ts_s", 1.0)])
def test_a_name_may_say_the_unit_of_time(name: str, unit: float, tmp_path: Path) -> None:
    times = T * (1e-6 / unit)
    times = np.rint(times).astype(np.int64) if unit < 1e-6 else times
    np.savez(tmp_path / "a.npz", **{name: times}, x=X, y=Y, p=P)
    check(tmp_path / "a.npz")
    assert open_npy(tmp_path / "a.npz").report.tick == unit
    with h5py.File(tmp_path / "a.h5", "w") as root:
        for key, values in {name: times, "x": X, "y": Y, "p": P}.items():
            root[f"events/{key}"] = values
    check(tmp_path / "a.h5")
    assert read(tmp_path / "a.npz", tick=1.0).times[-1] == times[-1]


def test_tables_that_count_from_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", t=T, x=X + 1, y=Y + 1, p=P + 1)
    check(tmp_path / "a.npz")
    assert read(tmp_path / "a.npz").report.changed == {"places and polarities counted from 0, not 1": N}


@pytest.mark.parametrize("kind", [np.uint8, np.int64])
def test_places_count_from_zero_where_only_polarities_count_from_one(kind: type, tmp_path: Path) -> None:
    """Pixels of row or column 0 say so."""
    np.savez(tmp_path / "a.npz", t=T, x=X.astype(kind), y=Y.astype(kind), p=(P + 1).astype(kind))
    check(tmp_path / "a.npz")
    assert read(tmp_path / "a.npz").report.changed == {"polarities counted from 0, not 1": N}
    pieces = list(open_npy(tmp_path / "a.npz"))
    assert np.array_equal(np.concatenate([piece.units for piece in pieces]), read(tmp_path / "a.npz").units)


@pytest.mark.parametrize("times", [T * 1000 + 1_700_000_000_000_000_000, T.astype(np.uint64) + np.uint64(2**63 - 10)])
def test_times_too_late_for_their_unit_are_refused(times: np.ndarray, tmp_path: Path) -> None:
    """Nanoseconds since 1970 that are taken for microseconds last a thousand times as long."""
    np.savez(tmp_path / "a.npz", t=times, x=X, y=Y, p=P)
    message = r"t: expected times below 2\^33 s, 272 years, got .* in units of 1e-06 s; give their unit as tick="
    with pytest.raises(NeurosimFormatError, match=message):
        read(tmp_path / "a.npz")
    with pytest.raises(NeurosimFormatError, match=message):
        open_npy(tmp_path / "a.npz")


def test_nanoseconds_since_1970_are_read_with_their_unit(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", t=T * 1000 + 1_700_000_000_000_000_000, x=X, y=Y, p=P)
    times = read(tmp_path / "a.npz", tick=1e-9).times
    np.testing.assert_allclose(times - times[0], (T - T[0]) * 1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("names", "missing", "unread"),
    [("t x y sign", "polarity", "sign"), ("t x row sign", "y or polarity", "row, sign"), ("t x y p sign", "", "")],
)
def test_columns_that_may_be_y_or_polarity_are_named(names: str, missing: str, unread: str, tmp_path: Path) -> None:
    """A recording without a column is read, as before; a warning says which columns were left out."""
    values = {"t": T, "x": X, "y": Y, "row": Y, "p": P, "sign": 2 * P - 1}
    columns = {name: values[name] for name in names.split()}
    records = np.zeros(N, [(name, "i8") for name in columns])
    for name, column in columns.items():
        records[name] = column
    np.save(tmp_path / "a.npy", records)
    np.savez(tmp_path / "a.npz", **columns, other=np.arange(5))
    with h5py.File(tmp_path / "a.h5", "w") as root:
        for name, column in columns.items():
            root[f"events/{name}"] = column
        root["events/ms_to_idx"] = np.arange(5)
    np.savetxt(tmp_path / "a.csv", records.tolist(), "%d", delimiter=",", header=",".join(columns), comments="")
    expected = f"no column is named {missing}, and these are not read unless renamed: {unread}"
    for suffix in ("npy", "npz", "h5", "csv"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", GuessWarning)
            read(tmp_path / f"a.{suffix}")
        assert any(expected in str(each.message) for each in caught) == bool(missing), suffix
        assert not any("not read" in str(each.message) for each in caught) or missing, suffix


def test_a_place_that_is_no_number_is_named_by_its_row(tmp_path: Path) -> None:
    x = X.astype(float)
    x[7] = np.nan
    np.savez(tmp_path / "a.npz", t=T, x=x, y=Y, p=P)
    with pytest.raises(NeurosimFormatError, match="entry 7: expected a finite place, got nan"):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize("kind", [np.uint32, np.int32, np.int64])
@pytest.mark.parametrize("named", [True, False])
def test_a_counter_of_32_bits_that_starts_again(
    kind: type, named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = 1 << (31 if kind is np.int32 else 32)
    times = (T + behind - 500_000).astype(np.int64)
    shown = times.astype(np.uint32).astype(kind)
    path = tmp_path / "a.npz"
    if named:
        np.savez(path, t=shown, x=X, y=Y, p=P)
    else:
        np.savez(path, events=np.stack([shown, X, Y, P], axis=1))
    spikes = read(path)
    assert np.array_equal(np.rint(spikes.times * 1e6).astype(np.int64), times)
    moved = np.count_nonzero(times >= behind)
    assert spikes.report.changed == {"times go on where the counter of 32 bits starts again": moved}
    monkeypatch.setattr("neurosim.data.files.array_blocks.BLOCK", 7)
    pieces = np.concatenate([piece.times for piece in open_npy(path)])
    assert np.array_equal(pieces, spikes.times)


def test_polarities_as_in_pictures(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", t=T, x=X, y=Y, p=(P * 255).astype(np.uint8))
    check(tmp_path / "a.npz")


def test_a_table_that_counts_from_one_and_has_on_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", t=T, x=X + 1, y=Y + 1, p=np.full(N, 2))
    spikes = read(tmp_path / "a.npz")
    polarity, y, x = spikes.coordinates()
    assert (polarity == 1).all()
    assert np.array_equal(y, Y)
    assert np.array_equal(x, X)


def test_a_table_without_rows_of_pixels(tmp_path: Path) -> None:
    events = np.zeros(N, [("t", "i8"), ("x", "i8"), ("p", "i8")])
    events["t"] = T
    events["x"] = X
    events["p"] = 1
    path = tmp_path / "a.npy"
    np.save(path, events)
    spikes = read(path)
    assert spikes.shape == (61,) and np.array_equal(spikes.units, X) and read(path, shape=(700,)).size == 700
    events["p"] = P
    np.save(path, events)
    with pytest.raises(NeurosimFormatError, match="columns: expected a column y beside p, got none; without y"):
        read(path)


def test_no_events_at_all(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", t=T[:0], x=X[:0], y=Y[:0], p=P[:0])
    spikes = read(tmp_path / "a.npz")
    assert len(spikes) == 0 and spikes.shape == (2, 1, 1) and spikes.duration == 0


def saved(array: np.ndarray, **options: object) -> bytes:
    data = io.BytesIO()
    np.save(data, array, **options)
    return data.getvalue()


def table(**changes: object) -> np.ndarray:
    columns = {"t": [1, 2, 3], "x": [4, 5, 6], "y": [7, 8, 9], "p": [0, 1, 0], **changes}
    kinds = [(name, np.asarray(values).dtype) for name, values in columns.items()]
    return np.array(list(zip(*columns.values(), strict=True)), kinds)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "byte 0: expected a NumPy array, got an empty file; fetch it again"),
        (b"\x93NUMPY", "byte 0: expected a NumPy array, version 1 or 2, got"),
        (saved(np.array([{}]), allow_pickle=True), "byte 0: expected an array of numbers, got one of pickled objects"),
        (saved(table())[:-1], r"byte \d+: expected 96 bytes, got 95; the file is damaged: fetch it again"),
        (saved(table()) + b"\0", r"byte \d+: expected 96 bytes, got 97"),
        (saved(np.arange(8.0)), "arrays: expected one table with columns t, x, y and p, got"),
        (saved(np.array([["a"] * 4])), "array: expected numbers, got <U1"),
        (
            saved(np.array([[3, 1, 0, 5], [2, 1, 1, 4], [1, 7, 0, 3]])),
            "array: .* xypt, got none of them fits; give col",
        ),
        (saved(np.array([[1, 1, 1, 1]])), "array: expected columns in one of the orders .*, got several fit"),
        (saved(table(t=[1, 3, 2])), "t, entry 2: expected times in ascending order, got 2 after 3"),
        (saved(table(t=[1.0, np.nan, 2])), "t, entry 1: expected times in ascending order"),
        (saved(table(t=[-1, 3, 4])), "t, entry 0: expected a finite time >= 0, got -1"),
        (saved(table(t=[1, 3, np.inf])), "t, entry 2: expected a finite time >= 0, got inf"),
        (saved(table(p=[0, 1, 3])), "p, entry 2: expected polarities 0 and 1, -1 and 1, 1 and 2, or 0 and 255, got 3"),
        (saved(table(p=[0, -1, 1])), "p, entry 0: expected polarities 0 and 1, -1 and 1"),
        (saved(table(p=[0, 1, 255])), "p, entry 0: expected polarities 0 and 1, -1 and 1"),
        (saved(table(x=[0, 1.5, 1])), r"entry 1: expected an event inside shape \(2, 10, 2\), got 1.5"),
        (saved(table(x=[0, -1, 1])), r"entry 1: expected an event inside shape \(2, 10, 2\), got -1; for another"),
        (saved(table(x=[0, 1 << 40, 1])), "x, y: expected places below 2.31"),
        (saved(table(x=[0, 1 << 29, 1])), "x, y: expected fewer than 2.31 units"),
        (saved(table(x=["a", "b", "c"])), "x: expected numbers, got <U1"),
        (b"PK\x03\x04", "archive: expected an intact .npz archive"),
    ],
)
def test_files_that_are_no_tables(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with pytest.raises(NeurosimFormatError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_several_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "MIN_UNPACKED", 1 << 16)
    np.savez(tmp_path / "a.npz", one=table(), two=table())
    with pytest.raises(NeurosimFormatError, match=r"columns t, x, y and p, got one, two; .* save t, x, y and p of"):
        read(tmp_path / "a.npz")
    np.savez_compressed(tmp_path / "a.npz", zeros=np.zeros(1_000_000))
    with pytest.raises(NeurosimFormatError, match="archive: expected at most 1000 arrays and"):
        read(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", t=T, x=X[1:], y=Y, p=P)
    with pytest.raises(NeurosimFormatError, match="x: expected 200 entries, as t, got 199"):
        read(tmp_path / "a.npz")


@pytest.mark.data
def test_the_sample_of_another_decoder(data_root: Path) -> None:
    folder = data_root / "event_formats"
    spikes = read(folder / "evt3_sample.npy", shape=(2, 720, 1280))
    # Its places are right; its times are those of the other clock.
    own = read(folder / "evt3_sample.raw", clock="running")
    assert np.array_equal(spikes.units, own.units) and np.array_equal(spikes.times, own.times)
