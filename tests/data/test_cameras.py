"""Camera recordings written byte by byte: clocks, chips, and what is said about records that are not events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurosim import Spikes
from neurosim.app.runs.frame.view import read_view
from neurosim.base import NeurosimFormatError, NeurosimInputError
from neurosim.data import read
from neurosim.data.files.aedat import CAMERAS
from neurosim.data.files.formats import ReadOptions
from neurosim.data.folder.folder import open_folder
from neurosim.engine.description.description import SpikeFile
from neurosim.engine.description.dump import description_tree
from neurosim.engine.description.parse import parse_description
from neurosim.kernels.io.prophesee.reference import evt3_reference, evt21_reference


def ticks_of(spikes: Spikes) -> list[int]:
    return np.rint(spikes.times * 1e6).astype(int).tolist()


def places(spikes: Spikes) -> list[tuple[int, ...]]:
    """Return (polarity, y, x) of each event."""
    return list(zip(*(c.tolist() for c in spikes.coordinates()), strict=True))


# Prophesee


def evt3(path: Path, words: list[int], header: str = "% evt 3.0\n% end\n") -> Path:
    path.write_bytes(header.encode() + np.array(words, "<u2").tobytes())
    return path


def counted(microseconds: list[int]) -> list[int]:
    """Return EVT3 words of one event at each time, as a camera writes them: both parts of the time count."""
    words = [0x0005]
    upper = -1
    for t in microseconds:
        if t >> 12 & 0xFFF != upper:
            upper = t >> 12 & 0xFFF
            words.append(8 << 12 | upper)
        words += [6 << 12 | t & 0xFFF, 0x2801]
    return words


def test_ten_seconds_of_evt3_last_ten_seconds(tmp_path: Path) -> None:
    truth = list(range(1, 10_000_001, 999))
    path = evt3(tmp_path / "a.raw", counted(truth))
    spikes = read(path)
    assert ticks_of(spikes) == truth and spikes.report.format == "evt3"
    assert not spikes.report.skipped and not spikes.report.changed
    # The rule of expelliarmus counts each period of 4,096 us twice.
    assert read(path, clock="running").duration == pytest.approx(20.0, abs=0.01)
    assert ticks_of(read(path, clock="camera")) == truth
    assert SpikeFile(path, clock="running").read((2, 720, 1280)).duration > 19


def test_evt3_goes_on_when_its_counter_starts_again(tmp_path: Path) -> None:
    truth = list(range(5, 60_000_000, 3999))
    assert ticks_of(read(evt3(tmp_path / "a.raw", counted(truth)))) == truth
    # By half of its range, the fall is a new start.
    path = evt3(tmp_path / "a.raw", [0x8800, 0x2001, 0x8000, 0x2001])
    assert ticks_of(read(path)) == [1 << 23, 1 << 24]


def test_evt3_of_a_late_source(tmp_path: Path) -> None:
    words = [0x2001, 0x8001, 0x6064, 0x2001, 0x605F, 0x2002, 0x4003, 0x6063, 0x2003, 0x8001, 0x2004, 0x6065, 0x2005]
    spikes = read(evt3(tmp_path / "a.raw", words))
    # 0x1064 is followed by 0x105f and 0x1063, five and one microseconds late; the upper part is sent again between.
    assert ticks_of(spikes) == [0x1064] * 6 + [0x1065]
    assert spikes.report.changed == {"late events put at the time of the event before": 5}
    assert spikes.report.skipped == {"events before the first time": 1}
    want = evt3_reference(np.array(words), False)
    assert want[:, 0].tolist() == ticks_of(spikes)


def test_a_clock_for_a_file_that_has_one(tmp_path: Path) -> None:
    path = evt3(tmp_path / "a.raw", [0x8000, 0x2001])
    with pytest.raises(NeurosimInputError, match=r"read_evt3.clock: unknown name 'fast'; choose from camera, running"):
        read(path, clock="fast")
    path.write_bytes(b"% evt 2.0\n" + np.array([8 << 28, 0], "<u4").tobytes())
    with pytest.raises(NeurosimInputError, match=r"a.raw: clock: must be left out: only EVT3 has a choice of clocks"):
        read(path, clock="camera")
    with pytest.raises(NeurosimInputError, match=r"read.clock: must be left out: this format has no such choice"):
        read(path, format="evt2", clock="camera")


def test_evt2_says_what_it_drops(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(b"% evt 2.0\n" + np.array([0, 1 << 28, 8 << 28 | 3, 1 << 28 | 5 << 22], "<u4").tobytes())
    spikes = read(path)
    assert ticks_of(spikes) == [3 * 64 + 5] and spikes.report.skipped == {"events before the first time": 2}


@pytest.mark.parametrize("legacy", [False, True])
def test_evt21(legacy: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    words = [1 << 60 | 7]
    for upper in range(1, 40):
        words.append(8 << 60 | upper << 32)
        for low in sorted(rng.integers(0, 64, 5).tolist()):
            kind = int(rng.integers(0, 2))
            mask = int(rng.integers(0, 1 << 32))
            x = int(rng.integers(0, 40)) * 32
            y = int(rng.integers(0, 720))
            words.append(kind << 60 | low << 54 | x << 43 | y << 32 | mask)
        words.append(int(rng.choice([0xA, 0xE, 0xF])) << 60 | int(rng.integers(1 << 59)))
    raw = np.array(words, np.uint64)
    order = "legacy" if legacy else "little"
    head = f"% evt 2.1\n% format EVT21;endianness={order};height=720;width=1280\n% end\n".encode()
    path = tmp_path / "a.raw"
    path.write_bytes(head + (raw << np.uint64(32) | raw >> np.uint64(32) if legacy else raw).astype("<u8").tobytes())
    spikes = read(path)
    want = evt21_reference(raw)
    assert len(want) > 2000 and np.array_equal(np.stack([ticks_of(spikes), *spikes.coordinates()], axis=1), want)
    assert spikes.shape == (2, 720, 1280) and spikes.report.skipped == {"events before the first time": 3}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([8 << 60 | 9 << 32, 1, 8 << 60 | 8 << 32, 1], "byte 34: expected times in ascending order"),
        ([8 << 60, 1279 << 43 | 3], r"byte 18: expected an event inside shape \(2, 720, 1280\)"),
        ([8 << 60, 720 << 32 | 1], r"byte 18: expected an event inside shape \(2, 720, 1280\)"),
    ],
)
def test_evt21_files_that_are_none(words: list[int], message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(b"% evt 2.1\n" + np.array(words, "<u8").tobytes())
    with pytest.raises(NeurosimFormatError, match=message):
        read(path)


def test_data_that_begin_like_a_header(tmp_path: Path) -> None:
    # The first event begins with "% ", and no line says that the header is at its end.
    path = evt3(tmp_path / "a.raw", [0x2025, 0x8000, 0x2025], "% evt 3.0\n")
    assert places(read(path)) == [(0, 0, 37)]


def test_clock_in_the_description_of_a_network(tmp_path: Path) -> None:
    evt3(tmp_path / "a.raw", counted([10, 5000, 8200]), "% evt 3.0\n% geometry 4x6\n")
    table = {"name": "camera", "shape": [2, 6, 4], "model": "SpikeSource"}
    # The run starts at the first event, at 10 us.
    for clock, last in (("camera", 8190), ("running", 8190 + 4096)):
        spikes = {"file": "a.raw", "clock": clock}
        network = parse_description({"population": [{**table, "spikes": spikes}]}, tmp_path)
        assert ticks_of(network.recordings()["camera"])[-1] == last
        again = parse_description(description_tree(network), tmp_path)
        assert again.inputs["camera"] == network.inputs["camera"] == SpikeFile(tmp_path / "a.raw", clock=clock)


# AEDAT2

HEAD = b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n"


def aedat2(path: Path, records: list[tuple[int, int]], chip: str | None = None, more: bytes = b"") -> Path:
    if chip is None:
        named = b""
    else:
        named = b"# AEChip: " + chip.encode() + b"\r\n"
    path.write_bytes(HEAD + named + more + np.array(records, ">u4").tobytes())
    return path


@pytest.mark.parametrize(
    ("chip", "height", "width"),
    [
        ("eu.seebetter.ini.chips.davis.Davis346B", 260, 346),
        ("eu.seebetter.ini.chips.davis.Davis346red", 260, 346),
        ("eu.seebetter.ini.chips.davis.DAVIS240C", 180, 240),
        ("DAVIS240C", 180, 240),
        ("eu.seebetter.ini.chips.sbret10.SBret10", 180, 240),
        ("eu.seebetter.ini.chips.davis.Davis128", 128, 128),
        ("eu.seebetter.ini.chips.davis.Davis640", 480, 640),
    ],
)
def test_aedat2_of_a_davis_is_read_by_its_header(chip: str, height: int, width: int, tmp_path: Path) -> None:
    x = width - 3
    y = height - 5
    records = [
        (x << 12 | y << 22 | 1 << 11, 10),
        (1 << 31 | 5 << 12 | 0x3FF, 11),
        (1 << 31 | 1 << 10 | 7, 11),
        (1 << 31 | 3 << 10 | 9 << 12, 12),
        (1 << 10 | 1 << 11, 13),
        (0, 14),
    ]
    spikes = read(aedat2(tmp_path / "a.aedat", records, chip))
    assert spikes.shape == (2, height, width) and ticks_of(spikes) == [10, 14]
    assert places(spikes) == [(1, 4, 2), (0, height - 1, width - 1)]
    assert spikes.report.skipped == {"inertial samples": 1, "samples of frames": 2, "external events": 1}
    assert read(tmp_path / "a.aedat", camera="davis640").shape == (2, 480, 640)


DVS128 = [(3 << 8 | 7 << 1 | 1, 10), (1 << 15, 11), (1 << 31, 12), (127 << 8, 13)]


def test_aedat2_of_a_dvs128_is_what_jaer_shows(tmp_path: Path) -> None:
    for chip in ("ch.unizh.ini.jaer.chip.retina.DVS128", "DVS128", "Tmpdiff128", None):
        records = DVS128 if chip else DVS128[:1] + DVS128[3:]
        spikes = read(aedat2(tmp_path / "a.aedat", records, chip))
        assert spikes.shape == (2, 128, 128) and places(spikes) == [(0, 3, 120), (1, 127, 127)]
        assert spikes.report.skipped == ({"external events": 2} if chip else {})
        assert spikes.report.remarks()[:2] == (
            "camera dvs128: pixels and polarity as in jAER",
            "row 0 is at the bottom of the picture",
        )
        assert places(spikes.upright()) == [(0, 124, 120), (1, 0, 127)]
        assert places(spikes.upright().upright()) == places(spikes.upright())


def test_every_address_of_a_dvs128(tmp_path: Path) -> None:
    # The equations of jAER's extractor, over all addresses.
    address = np.arange(1 << 15)
    path = aedat2(tmp_path / "a.aedat", np.stack([address, address], axis=1).tolist(), "DVS128")
    polarity, y, x = read(path).coordinates()
    assert np.array_equal(x, 127 - (address >> 1 & 127))
    assert np.array_equal(y, address >> 8 & 127)
    assert np.array_equal(polarity, 1 - (address & 1))
    polarity, y, x = read(path, camera="dvs128-tonic").coordinates()
    assert np.array_equal(x, address >> 8 & 127)
    assert np.array_equal(y, address >> 1 & 127)
    assert np.array_equal(polarity, address & 1)


def test_the_layout_of_a_dvs128_can_be_chosen_everywhere(tmp_path: Path) -> None:
    expected = {
        "dvs128": [(0, 3, 120), (1, 127, 127)],
        "dvs128-libcaer": [(0, 124, 120), (1, 0, 127)],
        "dvs128-tonic": [(1, 7, 3), (0, 0, 127)],
    }
    for number, label in enumerate(("left", "left", "right", "right")):
        (tmp_path / "set" / label).mkdir(parents=True, exist_ok=True)
        aedat2(tmp_path / "set" / label / f"{number}.aedat", DVS128, "DVS128")
    path = aedat2(tmp_path / "a.aedat", DVS128, "DVS128")
    population = {"name": "camera", "shape": [2, 128, 128], "model": "SpikeSource"}
    for camera, events in expected.items():
        assert places(read(path, camera=camera)) == events
        spikes = {"file": "a.aedat", "camera": camera}
        network = parse_description({"population": [{**population, "spikes": spikes}]}, tmp_path)
        assert places(network.recordings()["camera"]) == events
        folder = open_folder(tmp_path / "set", {"camera": camera})
        assert all(places(folder.recordings[k]) == events for k in range(4))
        assert any(line.startswith(f"in 4 files: camera {camera}: ") for line in folder.remarks)
        shown = read_view(path, ReadOptions(camera=camera)).shown[0]
        assert f"camera {camera}" in shown.remarks[0]
        # A page has row 0 at the top, as the picture of jAER and libcaer.
        assert places(shown.spikes) == (expected["dvs128-libcaer"] if camera == "dvs128" else events)
    with pytest.raises(NeurosimInputError, match=r"unknown name 'dvs128-jaer'.*choose from .*dvs128, dvs128-libcaer"):
        read(path, camera="dvs128-jaer")


def test_rows_that_count_from_both_ends_in_a_folder_are_turned(tmp_path: Path) -> None:
    for number, label in enumerate(("left", "left", "right", "right")):
        (tmp_path / label).mkdir(exist_ok=True)
        aedat2(tmp_path / label / f"{number}.aedat", [(5, 1)], "Davis128" if number else "DVS128")
    folder = open_folder(tmp_path)
    turned = "row 0 is at the bottom of the picture in 1 file, e.g. 0.aedat, and at the top in others"
    assert f"{turned}: rows were turned" in folder.remarks and folder.row_0 == "top"
    alone = read(tmp_path / "left/0.aedat")
    assert folder.recordings[0].units.tolist() == alone.upright().units.tolist() != alone.units.tolist()


def test_aedat2_without_a_name_is_no_davis_in_silence(tmp_path: Path) -> None:
    path = aedat2(tmp_path / "a.aedat", [(3, 1), (1 << 22, 2)])
    expected = r"expected an address of a DVS128, below 2.16, for the header names no chip, got 0x400000; give camera="
    with pytest.raises(NeurosimFormatError, match=rf"byte {len(HEAD) + 8}: {expected}"):
        read(path)
    assert places(read(path, camera="davis240")) == [(0, 179, 239), (0, 178, 239)]
    aedat2(path, [(3, 1)], "Prophese Gen 3.1 (VGA)")
    with pytest.raises(NeurosimFormatError, match="header: expected a DVS128 or DAVIS after '# AEChip:', got 'Proph"):
        read(path)
    assert set(CAMERAS) >= {"dvs128", "davis240", "davis346"}


def test_aedat2_headers_of_any_length(tmp_path: Path) -> None:
    # jAER stores all preferences in the header: thousands of lines, and long ones. Data may begin with "#".
    first = 140 << 22 | 5 << 12
    assert first.to_bytes(4, "big")[0] == ord("#")
    long = b'# <node name="' + b"x" * 100_000 + b'">\r\n' + b"# <entry/>\r\n" * 5000
    for end in (b"", b"#End Of ASCII Header\r\n"):
        spikes = read(aedat2(tmp_path / "a.aedat", [(first, 1), (0, 2)], "Davis346B", long + end))
        assert ticks_of(spikes) == [1, 2]
    # After the end of the header, even text is data.
    path = aedat2(tmp_path / "a.aedat", [(first | 0x202020, 0x2020200A)], "Davis640", b"#End Of ASCII Header\r\n")
    assert ticks_of(read(path)) == [0x2020200A]


def test_aedat2_counter_that_starts_again(tmp_path: Path) -> None:
    path = aedat2(tmp_path / "a.aedat", [(0, (1 << 32) - 5), (0, 3)])
    assert ticks_of(read(path)) == [(1 << 32) - 5, (1 << 32) + 3]
