"""AEDAT 3.1 and Event Stream: recordings written byte by byte, and every kernel against its plain reference."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from neurosim import Spikes
from neurosim.base import NeurosimFormatError, NeurosimInputError
from neurosim.data import read
from neurosim.kernels.io.streams.reference import aedat31_reference, event_stream_reference

Event = tuple[int, int, int, int]


def events_of(spikes: Spikes) -> list[Event]:
    """Return (microseconds, polarity, y, x) of each event."""
    columns = (np.rint(spikes.times * 1e6).astype(int), *spikes.coordinates())
    return list(zip(*(c.tolist() for c in columns), strict=True))


def made(n: int, height: int, width: int, last: int, seed: int = 0) -> list[Event]:
    rng = np.random.default_rng(seed)
    columns = (np.sort(rng.integers(0, last, n)), *(rng.integers(0, k, n) for k in (2, height, width)))
    return list(zip(*(c.tolist() for c in columns), strict=True))


# Event Stream


def event_stream(events: list[Event], kind: int, width: int, height: int, exposures: tuple[int, ...] = ()) -> bytes:
    """Return the file that the format's definition asks for; `exposures` are indices of events that measure light."""
    data = bytearray()
    last = 0
    step, rest = (127, 1) if kind == 1 else (63, 2)
    for k, (t, p, y, x) in enumerate(events):
        jumps, short = divmod(t - last, step)
        while jumps:
            here = min(jumps, (1 << rest) - 1)
            data.append(step << rest | here)
            jumps -= here
        bits = p if kind == 1 else p << 1 | (k in exposures)
        data += bytes([short << rest | bits]) + struct.pack("<HH", x, y)
        last = t
    return b"Event Stream\x02\x00\x00" + bytes([kind]) + struct.pack("<HH", width, height) + bytes(data)


@pytest.mark.parametrize("kind", [1, 2])
def test_event_stream(kind: int, tmp_path: Path) -> None:
    path = tmp_path / "a.es"
    for n, last in ((0, 1), (1, 5), (300, 2000), (300, 1_000_000)):
        events = made(n, 240, 304, last)
        path.write_bytes(event_stream(events, kind, 304, 240))
        spikes = read(path)
        assert events_of(spikes) == events and spikes.shape == (2, 240, 304)
        assert spikes.report.format == "event-stream" and not spikes.report.skipped
        reference, others = event_stream_reference(path.read_bytes()[20:], kind)
        assert reference.tolist() == [list(event) for event in events] and others == 0


def test_event_stream_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "a.es"
    head = b"Event Stream\x02\x01\x05"
    # 3 us, a rise; a reset, which is no event; an overflow of 127 us and 0 us, a fall at the same pixel.
    path.write_bytes(
        head + b"\x01\x00\x05\x00\x03" + b"\x07\x01\x02\x04\x01" + b"\xfe\xfe" + b"\xff\x00\x01\x02\x04\x01"
    )
    spikes = read(path)
    assert events_of(spikes) == [(3, 1, 260, 513), (130, 0, 260, 513)] and spikes.shape == (2, 768, 1280)


def test_event_stream_of_an_atis_counts_exposures(tmp_path: Path) -> None:
    events = made(40, 240, 304, 90_000)
    path = tmp_path / "a.es"
    path.write_bytes(event_stream(events, 2, 304, 240, (0, 7, 39)))
    spikes = read(path)
    assert events_of(spikes) == [event for k, event in enumerate(events) if k not in (0, 7, 39)]
    assert spikes.report.skipped == {"measurements of exposure": 3}
    reference, others = event_stream_reference(path.read_bytes()[20:], 2)
    assert len(reference) == 37 and others == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "byte 0: expected 'Event Stream', got an empty file"),
        (b"Event Streak", "byte 0: expected 'Event Stream', got b'Event Streak'"),
        (b"Event Stream\x02", "byte 13: expected a header of 20 bytes, got the end; it was cut short"),
        (b"Event Stream\x01\x00\x00" + bytes(5), "byte 12: expected version 2, got version 1.0"),
        (b"Event Stream\x02\x00\x00\x04" + bytes(4), r"byte 15: expected DVS or ATIS events \(1 or 2\), got colour"),
        (event_stream([(1, 0, 0, 4)], 1, 4, 4), r"byte 20: expected an event inside shape \(2, 4, 4\)"),
        (event_stream([(1, 0, 4, 0)], 2, 4, 4), r"byte 20: expected an event inside shape \(2, 4, 4\)"),
        (event_stream([(1, 0, 0, 0)], 1, 4, 4)[:-1], "byte 20: expected a complete record, got the end of the file"),
    ],
)
def test_event_streams_that_are_none(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.es"
    path.write_bytes(content)
    with pytest.raises(NeurosimFormatError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")


# AEDAT 3.1

HEAD = (
    b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n"
    b"#Start-Time: 2016-08-03 15:00:00 (TZ+0200)\r\n#!END-HEADER\r\n"
)


def packet(
    events: list[Event],
    kind: int = 1,
    source: int = 1,
    overflow: int = 0,
    spare: int = 0,
    invalid: tuple[int, ...] = (),
    size: int = 8,
) -> bytes:
    """Return a packet with room for `spare` events more than it has."""
    words = [
        struct.pack("<II", x << 17 | y << 2 | p << 1 | (k not in invalid), t & 0x7FFFFFFF).ljust(size, b"\0")
        for k, (t, p, y, x) in enumerate(events)
    ]
    count = len(events)
    head = struct.pack("<hhiiiiii", kind, source, size, 4, overflow, count + spare, count, count - len(invalid))
    return head + b"".join(words) + bytes(max(size * spare, 0))


def test_aedat31(tmp_path: Path) -> None:
    path = tmp_path / "user01_natural.aedat"
    events = made(500, 128, 128, 5_000_000)
    cuts = [0, 1, 90, 90, 300, 500]
    pieces = [packet(events[a:b], spare=k) for k, (a, b) in enumerate(pairwise(cuts))]
    path.write_bytes(HEAD + b"".join(pieces))
    spikes = read(path)
    assert events_of(spikes) == events and spikes.shape == (2, 128, 128)
    assert spikes.report.format == "aedat31" and not spikes.report.skipped
    assert aedat31_reference(b"".join(pieces)).tolist() == [list(event) for event in events]
    assert read(path, shape=(2, 200, 300)).shape == (2, 200, 300)


def test_aedat31_skips_and_counts_what_is_no_event(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat"
    first = made(20, 128, 128, 1000)
    second = [(t + 2000, *rest) for t, *rest in made(20, 128, 128, 1000, seed=1)]
    path.write_bytes(
        HEAD
        + packet(first[:2], kind=0)
        + packet(first, invalid=(3, 4))
        + packet(first[:1], kind=2, size=36)
        + packet(first[:5], source=2)
        + packet(first[:3], kind=3, size=36)
        + packet(first[:4], kind=6)
        + packet(second, size=12)
    )
    spikes = read(path)
    assert events_of(spikes) == [e for k, e in enumerate(first) if k not in (3, 4)] + second
    assert spikes.report.skipped == {
        "special events": 2,
        "invalid events": 2,
        "frames": 1,
        "inertial samples": 3,
        "records of other kinds": 4,
        "events of other sources": 5,
    }


def test_aedat31_clock_past_31_bits(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat"
    path.write_bytes(HEAD + packet([(0x7FFFFFFF, 1, 2, 3)]) + packet([(4, 0, 2, 3)], overflow=1))
    assert events_of(read(path)) == [(0x7FFFFFFF, 1, 2, 3), ((1 << 31) + 4, 0, 2, 3)]


@pytest.mark.parametrize(
    ("source", "shape"),
    [(b"DAVIS240C", (2, 180, 240)), (b"DAVIS346", (2, 260, 346)), (b"Another", (2, 71, 101)), (None, (2, 71, 101))],
)
def test_aedat31_sensor_by_the_header(source: bytes | None, shape: tuple[int, ...], tmp_path: Path) -> None:
    head = HEAD.replace(b"#Source 1: DVS128\r\n", b"#Source 1: %s\r\n" % source if source else b"")
    path = tmp_path / "a.aedat"
    path.write_bytes(head + packet([(1, 0, 70, 3), (1, 0, 0, 100)]))
    assert read(path).shape == shape


def test_aedat31_options(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat"
    path.write_bytes(HEAD + packet([(1, 0, 70, 3)]))
    with pytest.raises(NeurosimInputError, match=r"a.aedat: camera: must be left out: AEDAT 3.1 has one layout"):
        read(path, camera="dvs128")
    path.write_bytes(b"#!AER-DAT2.0\r\n" + bytes(8))
    assert read(path, shape=(2, 128, 128)).shape == (2, 128, 128)
    with pytest.raises(NeurosimInputError, match=r"a.aedat: shape: must be \(2, 128, 128\), as its camera has"):
        read(path, shape=(2, 34, 34))


AT = len(HEAD)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"#!AER-DAT3.0\r\n", "byte 0: expected '#!AER-DAT3.1', got '#!AER-DAT3.0'"),
        (HEAD.replace(b"RAW", b"Compressed"), "header: expected the line '#Format: RAW', got Compressed"),
        (HEAD + packet([(1, 0, 0, 0)])[:20], f"byte {AT}: expected a complete record, got the end of the file inside"),
        (HEAD + packet([(1, 0, 0, 0)])[:-1], f"byte {AT}: expected a complete record, got the end of the file inside"),
        (HEAD + packet([], size=0), f"byte {AT}: expected a packet whose sizes add up, got another"),
        (HEAD + packet([(1, 0, 0, 0)], spare=-1), f"byte {AT}: expected a packet whose sizes add up"),
        (HEAD + packet([(1, 0, 0, 0)], size=8, overflow=-1), f"byte {AT}: expected a packet whose sizes add up"),
        (HEAD + packet([(1, 0, 0, 128)]), rf"byte {AT + 28}: expected an event inside shape \(2, 128, 128\)"),
        (HEAD + packet([(5, 0, 0, 0), (4, 0, 0, 0)]), f"byte {AT + 36}: expected times in ascending order"),
    ],
)
def test_aedat31_files_that_are_none(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.aedat31"
    path.write_bytes(content)
    with pytest.raises(NeurosimFormatError, match=message) as caught:
        read(path, format="aedat31")
    assert str(caught.value).startswith(f"{path}: ")
