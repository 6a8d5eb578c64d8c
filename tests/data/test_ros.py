"""Events of cameras in bags of ROS 1 and ROS 2, written by rosbags; and bags where it is not installed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.bags import SHAPE, START, write_arrays, write_packets

from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.data import read, stream
from neurosim.data.files.formats import find_format

HEIGHT, WIDTH = SHAPE


@pytest.fixture
def rosbags() -> None:
    pytest.importorskip("rosbags", reason="rosbags is not installed")


def events(count: int) -> np.ndarray:
    rng = np.random.default_rng(count)
    t = np.sort(rng.integers(0, 2_000_000_000, count))
    return np.stack([t, rng.integers(0, WIDTH, count), rng.integers(0, HEIGHT, count), rng.integers(0, 2, count)], 1)


def mono(table: np.ndarray, base: int, order: str = "<") -> bytes:
    """Return words of 64 bits: polarity, y (15 bits), x (16 bits), ns after `base`."""
    t, x, y, p = (column.astype(np.uint64) for column in table.T)
    words = p << np.uint64(63) | y << np.uint64(48) | x << np.uint64(32) | (t - np.uint64(base))
    return words.astype(f"{order}u8").tobytes()


def evt3(table: np.ndarray) -> bytes:
    """Return words of EVT3 of events whose times are us."""
    words = []
    for t, x, y, p in table.tolist():
        words += [0x8000 | t >> 12 & 0xFFF, 0x6000 | t & 0xFFF, y, 0x2000 | p << 11 | x]
    return np.array(words, "<u2").tobytes()


@pytest.mark.parametrize("kind", [".bag", ".db3"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.usefixtures("rosbags")
def test_packets_of_the_encoding_mono(kind: str, order: str, tmp_path: Path) -> None:
    table = events(100)
    base = 7_000_000_000
    table[:, 0] += base
    parts = np.array_split(table, 3)
    payloads = [(int(part[0, 0]) - 5, mono(part, int(part[0, 0]) - 5, order)) for part in parts]
    spikes = read(write_packets(tmp_path / "bag", kind, "mono", [*payloads, (base, b"")], big=order == ">"))
    assert spikes.shape == (2, HEIGHT, WIDTH)
    assert np.array_equal(np.rint(spikes.times * 1e9), table[:, 0] - table[0, 0])
    p, y, x = spikes.coordinates()
    assert np.array_equal(np.stack([x, y, p], 1), table[:, 1:])
    assert abs(spikes.report.start - table[0, 0] * 1e-9) < 1e-9


@pytest.mark.usefixtures("rosbags")
def test_packets_of_the_encoding_evt3(tmp_path: Path) -> None:
    table = events(100)
    # us, from before to behind the moment at which the upper part of the clock begins again.
    table[:, 0] = table[:, 0] // 1000 + (1 << 24) - 1_000_000
    words = evt3(table)
    # The first event of the second message has its time in the first message.
    cut = 8 * 40 + 4
    path = write_packets(tmp_path / "bag", ".db3", "evt3", [(0, words[:cut]), (0, words[cut:]), (0, b"")])
    spikes = read(path)
    assert np.array_equal(np.rint(spikes.times * 1e6), table[:, 0] - table[0, 0])
    p, y, x = spikes.coordinates()
    assert np.array_equal(np.stack([x, y, p], 1), table[:, 1:])
    windows = list(stream(path, 0.1))
    assert sum(map(len, windows)) == 100 and np.array_equal(np.concatenate([w.units for w in windows]), spikes.units)


@pytest.mark.usefixtures("rosbags")
def test_packets_of_another_encoding_are_refused(tmp_path: Path) -> None:
    path = write_packets(tmp_path / "bag", ".db3", "libcaer", [(0, b"12345678")])
    with pytest.raises(NeurosimFormatError, match="encoding: expected mono or evt3, got 'libcaer'; record with"):
        read(path)
    path = write_packets(tmp_path / "cut", ".db3", "mono", [(0, b"12345")])
    with pytest.raises(NeurosimFormatError, match="cannot be read as a bag of ROS"):
        read(path)


@pytest.mark.parametrize("kind", [".bag", ".db3", ".mcap"])
@pytest.mark.parametrize("package", ["dvs_msgs", "prophesee_event_msgs"])
@pytest.mark.usefixtures("rosbags")
def test_bags_hold_their_events(package: str, kind: str, tmp_path: Path) -> None:
    table = events(170)
    path = write_arrays(tmp_path / "bag", package, kind, table)
    spikes = read(path)
    assert spikes.shape == (2, HEIGHT, WIDTH) and spikes.report.format == "ros"
    assert np.array_equal(np.rint(spikes.times * 1e9), table[:, 0] - table[0, 0])
    p, y, x = spikes.coordinates()
    assert np.array_equal(np.stack([x, y, p], 1), table[:, 1:])
    assert abs(spikes.report.start - START - table[0, 0] * 1e-9) < 1e-6


@pytest.mark.usefixtures("rosbags")
def test_bags_that_break_a_rule(tmp_path: Path) -> None:
    path = write_arrays(tmp_path / "two", "dvs_msgs", ".bag", events(50), ("/left/events", "/right/events"))
    with pytest.raises(NeurosimFormatError, match="topics: expected one with events, got /left/events, /right/events"):
        read(path)
    assert len(read(path, population="/right/events")) == 50
    with pytest.raises(
        NeurosimInputError, match=r"read\.population: unknown name '/rigt/events'; did you mean '/right/events'"
    ):
        read(path, population="/rigt/events")
    with pytest.raises(NeurosimFormatError, match=r"event 0: expected an event inside shape \(2, 1, 1\)"):
        read(path, population="/left/events", shape=(2, 1, 1))
    (tmp_path / "cut.bag").write_bytes(path.read_bytes()[:200])
    with pytest.raises(NeurosimFormatError, match=r"cut\.bag: cannot be read as a bag of ROS"):
        read(tmp_path / "cut.bag")
    alone = tmp_path / "alone.mcap"
    alone.write_bytes(b"\x89MCAP0\r\n")
    with pytest.raises(NeurosimMissingError, match=r"needs metadata\.yaml beside it; write it: ros2 bag reindex"):
        read(alone)


def test_bags_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rosbags.highlevel", None)
    path = tmp_path / "a.bag"
    path.write_bytes(b"#ROSBAG V2.0\n")
    assert find_format(path) == "ros"
    with pytest.raises(NeurosimMissingError, match=r"need rosbags .*; run: pip install .*\[ros\]'"):
        read(path)
