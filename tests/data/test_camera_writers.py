"""Writers of the formats of cameras: what is written comes back, and what does not fit is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from neurosim import Spikes
from neurosim.base import NeurosimInputError
from neurosim.data import read, write, write_evt2
from neurosim.data.read_report import ReadReport

SHAPE = (2, 90, 120)
WRITTEN = ("a.dat", "a.raw", "a.aedat4", "a.npz", "a.npy")


def recording(n: int = 9000, start: int = 1_000_000, shape: tuple[int, ...] = SHAPE) -> Spikes:
    rng = np.random.default_rng(2)
    ticks = np.sort(rng.integers(start, start + 3_000_000, n))
    units = rng.integers(0, int(np.prod(shape)), n)
    units[:1] = int(np.prod(shape)) - 1  # the far corner
    return Spikes(ticks * 1e-6, units, int(np.prod(shape)), float(ticks[-1]) * 1e-6 if n else 0.0, shape)


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("n", [1, 9000])
def test_what_is_written_comes_back(name: str, n: int, tmp_path: Path) -> None:
    spikes = recording(n)
    write(tmp_path / name, spikes)
    back = read(tmp_path / name)
    # AEDAT4 counts from the first event.
    first = spikes.times[0] if name == "a.aedat4" else 0.0
    assert np.array_equal(np.rint(back.times * 1e6), np.rint((spikes.times - first) * 1e6))
    assert np.array_equal(back.units, spikes.units) and back.shape == SHAPE
    if name == "a.aedat4":
        assert back.report is not None and back.report.start == pytest.approx(first)


@pytest.mark.parametrize("name", ["a.dat", "a.raw", "a.aedat4", "a.npz"])
def test_recordings_without_events(name: str, tmp_path: Path) -> None:
    write(tmp_path / name, Spikes([], [], 21600, 0.0, SHAPE))
    assert len(read(tmp_path / name)) == 0 and read(tmp_path / name).shape == SHAPE


def test_words_of_evt2(tmp_path: Path) -> None:
    write_evt2(tmp_path / "a.raw", Spikes([63e-6, 64e-6, 65e-6], [0, 121, 10800], 21600, 1e-4, SHAPE))
    head, _, data = (tmp_path / "a.raw").read_bytes().partition(b"% end\n")
    assert head.startswith(b"% evt 2.0\n") and b"% geometry 120x90\n" in head
    high = 28
    low = 22
    x = 11
    words = [8 << high, 63 << low, 8 << high | 1, 0 << low | 1 << x | 1, 1 << high | 1 << low]
    assert struct.unpack("<5I", data) == tuple(words)


def test_unix_time_of_aedat4(tmp_path: Path) -> None:
    spikes = Spikes([0.5], [0], 21600, 1.0, SHAPE, ReadReport("aedat4", 1_600_000_000.0))
    write(tmp_path / "a.aedat4", spikes)
    back = read(tmp_path / "a.aedat4")
    assert back.report is not None and back.report.start == pytest.approx(1_600_000_000.5, abs=1e-6)


def test_rows_of_units(tmp_path: Path) -> None:
    spikes = recording(50, shape=(77,))
    write(tmp_path / "a.npy", spikes)
    back = read(tmp_path / "a.npy")
    assert back.shape == (77,) and np.array_equal(back.units, spikes.units)


@pytest.mark.parametrize(
    ("name", "spikes", "message"),
    [
        ("a.raw", recording(shape=(2, 10, 3000)), "width <= 2048"),
        ("a.dat", recording(shape=(2, 10, 20000)), "width <= 16384"),
        ("a.aedat4", recording(shape=(77,)), "must be .2 polarities, height, width"),
        ("a.npz", recording(shape=(3, 5, 5)), "must be .2 polarities"),
        ("a.dat", Spikes([5000.0], [0], 21600, 5000.0, SHAPE), r"times: DAT holds less than 4295 s \(got 5000\)"),
    ],
)
def test_what_a_format_cannot_hold(name: str, spikes: Spikes, message: str, tmp_path: Path) -> None:
    with pytest.raises(NeurosimInputError, match=message):
        write(tmp_path / name, spikes)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["a.dat", "a.raw"])
def test_the_start_in_the_header_is_kept(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write(path, recording(10, 0))
    head, line, rest = path.read_bytes().partition(b"\n")
    path.write_bytes(head + line + b"% t0 913700000\n" + rest)
    found = read(path)
    assert found.report is not None and found.report.start == 913.7
    assert found.starting("first").report.start == pytest.approx(913.7 + found.times[0])  # type: ignore[union-attr]
