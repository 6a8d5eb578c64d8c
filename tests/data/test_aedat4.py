"""AEDAT4 recordings written byte by byte: FlatBuffers, streams, and packets that are plain, LZ4 or Zstandard."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.aedat4 import UNIX, Event, identity, in_packets, lz4_frame, made, packet, recording

from neurosim.base import NeurosimFormatError, NeurosimMissingError, raw
from neurosim.data import read
from neurosim.kernels.io.compressed import cpu as unpack
from neurosim.kernels.io.compressed.reference import lz4_reference


def check(path: Path, events: list[Event]) -> None:
    spikes = read(path)
    found = (np.rint(spikes.times * 1e6).astype(int), *spikes.coordinates())
    first = events[0][0]
    assert list(zip(*(c.tolist() for c in found), strict=True)) == [(t - first, *rest) for t, *rest in events]
    assert spikes.shape == (2, 260, 346) and spikes.report.format == "aedat4"
    assert spikes.report.start == pytest.approx((UNIX + first) * 1e-6, abs=1e-6)


PACKERS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "plain": (0, identity),
    "lz4": (1, lz4_frame),
    "lz4 in small blocks": (2, lambda data: lz4_frame(data, 100)),
    "lz4 stored": (1, lambda data: lz4_frame(data, 300, stored=True)),
    "lz4 with sizes and checksums": (1, lambda data: lz4_frame(data, flags=0x7C) + bytes(4)),
}


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("with_end", [True, False])
def test_aedat4(name: str, with_end: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.aedat4"
    events = made(500)
    path.write_bytes(recording(in_packets(events), *PACKERS[name], with_end=with_end))
    check(path, events)
    # The suffix of the earlier versions is used too.
    other = tmp_path / "a.aedat"
    other.write_bytes(path.read_bytes())
    check(other, events)


@pytest.mark.parametrize("compression", [1, 3])
def test_aedat4_by_the_libraries(compression: int, tmp_path: Path) -> None:
    module = "lz4.frame" if compression == 1 else "zstandard"
    library = pytest.importorskip(module, reason=f"{module} is not installed")
    if compression == 1:
        pack = library.compress
    else:
        pack = library.ZstdCompressor().compress
    events = [(t, p, y // 50, x // 50) for t, p, y, x in made(20_000)]
    (tmp_path / "a.aedat4").write_bytes(recording([(0, packet(events))], compression, pack))
    check(tmp_path / "a.aedat4", events)


def test_aedat4_zstandard_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    (tmp_path / "a.aedat4").write_bytes(recording(in_packets(made(5)), 3))
    expected = r"a.aedat4: is compressed with Zstandard; run: pip install .*\[aedat4\]'"
    with pytest.raises(NeurosimMissingError, match=expected):
        read(tmp_path / "a.aedat4")


def test_aedat4_counts_what_is_no_event(tmp_path: Path) -> None:
    first = made(30)
    second = made(30, seed=1)
    packets = [(0, packet(first[:10])), (1, b"x"), (2, b"y"), (3, b""), (1, b"x"), (9, b"z"), (4, packet(second))]
    path = tmp_path / "a.aedat4"
    path.write_bytes(recording([*packets, (0, packet(first[10:]))], streams=("EVTS", "FRME", "IMUS", "TRIG", "EVTS")))
    check(path, first)
    assert read(path).report.skipped == {
        "frames": 2,
        "packets of inertial samples": 1,
        "packets of triggers": 1,
        "packets of unknown streams": 1,
        "events of other streams": 30,
    }


def test_aedat4_without_events(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat4"
    path.write_bytes(recording([(0, packet([]))]))
    assert len(read(path)) == 0 and read(path).duration == 0


GOOD = recording(in_packets(made(5)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "byte 0: expected '#!AER-DAT4.0', got an empty file"),
        (b"#!AER-DAT2.0\r\n", "byte 0: expected '#!AER-DAT4.0', got b'#!AER-DAT2.0'"),
        (
            b"#!AER-DAT4.0\r\n",
            "byte 14: expected a header with streams, got 4 bytes beyond its end; the",
        ),
        (GOOD[:100], "byte 14: expected a header with streams, got"),
        (GOOD[:-30], r"byte 14: expected a header with streams, got packets up to byte \d+"),
        (
            recording([], streams=("FRME",)),
            r"header: expected a stream of events \(EVTS\), got FRME; it holds",
        ),
        (recording([(0, b"abc")]), r"byte \d+: expected a packet of events, got another kind of packet"),
        (recording([(0, packet(made(5))[:-1])]), r"byte \d+: expected a packet of events, got 80 bytes beyond its end"),
        (recording([(0, packet(made(5)))], 1), r"byte \d+: expected a packet of events, got another kind of LZ4 frame"),
        (recording([(0, packet(made(5)))], 7), r"byte \d+: expected a packet of events, got compression 7"),
        (recording([(0, packet(made(5)))], with_end=False)[:-1], r"byte \d+: expected a packet of \d+ bytes, got \d+"),
        (recording([(0, packet([(5, 0, 0, 0), (4, 0, 0, 0)]))]), "event 1: expected times >= 0 in ascending order"),
        (
            recording([(0, packet([(5, 0, 0, 346)]))]),
            r"event 0: expected an event inside shape .*, got x 346",
        ),
        (recording([(0, packet([(5, 2, 0, 0)]))]), r"event 0: expected an event inside shape .*, polarity 2"),
        (recording([(0, packet(made(5)))]).replace(b"<dv", b"<vd"), "byte 14: expected .*, got no description"),
        (recording([(0, packet(made(5)))]).replace(b"<dv v", b"<!a v"), "byte 14: .* a description with declarations"),
    ],
)
def test_aedat4_files_that_are_none(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.aedat4"
    path.write_bytes(content)
    with pytest.raises(NeurosimFormatError, match=message) as caught:
        read(path, format="aedat4")
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_lz4_by_hand() -> None:
    out = np.empty(30, np.uint8)
    for data, length in (
        # Three literals, then four bytes from three back, then one literal.
        (b"\x30abc\x03\x00\x10x", 8),
        (b"\x3fabc\x03\x00\x02\x10x", 25),
        (b"\x30abc\x04\x00\x10x", -1),
        (b"\x30abc\x00\x00\x10x", -1),
        (b"\x30abc\x03", -1),
        (b"\x30ab", -1),
        (b"\xf0", -1),
        (b"\x3fabc\x03\x00\xff", -1),
        (b"\x3fabc\x03\x00\x10\x10x", -1),
    ):
        assert unpack.lz4(np.frombuffer(data, np.uint8), out, 0) == length, data
        if length > 0:
            assert out[:length].tobytes() == lz4_reference(data)
    assert (
        unpack.lz4(np.frombuffer(b"\x30abc\x03\x00\x10x", np.uint8), out, 0) == 8 and out[:8].tobytes() == b"abcabcax"
    )


@pytest.mark.parametrize("kind", [1, 3])
def test_packets_that_unpack_to_hundreds_of_times_the_file_are_refused(
    kind: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == 1:
        # Blocks of one byte and its repetition: 64 kB in 257 bytes.
        block = b"\x1fa\x01\x00" + b"\xff" * 250 + b"\x00\x00"
        packets = [lz4_frame(b"")[:7] + (struct.pack("<I", len(block)) + block) * 40 + bytes(4)]
    else:
        # All of one time, so that the packets after the first are not earlier.
        events = [(0, *place) for _, *place in made(250)]
        packets = [pytest.importorskip("zstandard").ZstdCompressor().compress(packet(events * 40))] * 20
    monkeypatch.setattr(raw, "MIN_UNPACKED", 1 << 16)
    (tmp_path / "a.aedat4").write_bytes(recording([(0, each) for each in packets], kind, identity))
    with pytest.raises(NeurosimFormatError, match=r"got one that unpacks to more than the [\d,]+ bytes that are left"):
        read(tmp_path / "a.aedat4")
