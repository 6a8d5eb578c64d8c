"""Damaged recordings of cameras read up to their first fault, and formats that the first bytes show."""

from __future__ import annotations

from pathlib import Path

import helpers.mutated_files as made
import numpy as np
import pytest

from neurosim.base import NeurosimFormatError, NeurosimInputError
from neurosim.data import read, write_nmnist
from neurosim.data.files.formats import FORMATS, find_format
from neurosim.data.spikes import Spikes

SOURCES = {"event-stream": "event stream", "aedat": "aedat31", "prophesee": "raw"}
FORMS = [name for name, format in FORMATS.items() if "until_fault" in format.options]


@pytest.mark.parametrize("name", FORMS)
def test_what_lies_before_a_cut_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    data = made.READERS[SOURCES.get(name, name)][0]()
    path.write_bytes(data)
    whole = read(path, format=name)
    assert whole.report is None or not whole.report.fault
    assert read(path, format=name, until_fault=True).digest() == whole.digest()
    # An odd number of bytes ends within a word of every format.
    for cut in range(len(data) * 3 // 4, len(data)):
        path.write_bytes(data[:cut])
        try:
            read(path, format=name)
        except NeurosimFormatError as error:
            message = str(error)
            break
    part = read(path, format=name, until_fault=True)
    assert 0 < len(part) < len(whole)
    assert np.array_equal(part.units, whole.units[: len(part)]) and np.array_equal(part.times, whole.times[: len(part)])
    assert part.report.remarks()[0] == f"ends before a fault: {part.report.fault}"
    # A header of AEDAT4 says where the packets end: read strictly, that is the fault.
    assert name == "aedat4" or part.report.fault in message


def test_events_before_one_outside_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    words = [0x8000, 0x6001, 0x2003, 0x3000 | 1275, 0x4FFF, 0x2004]
    path.write_bytes(b"% evt 3.0\n" + np.array(words, "<u2").tobytes())
    part = read(path, until_fault=True)
    # One event at column 3, and those of the mask up to the last column of 1280.
    assert [column.tolist() for column in part.coordinates()[1:]] == [[0] * 6, [3, *range(1275, 1280)]]
    assert part.report.fault.startswith("byte 18: expected an event inside shape (2, 720, 1280)")


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"% date 2024\n% evt 3.0\n% end\n", "prophesee"),
        (b"% camera_integrator_name Prophesee\n% format EVT2;height=4;width=5\n% end\n", "prophesee"),
        (b"% Data file containing CD events.\n% Version 2\n\x0c\x08", "dat"),
        (b"% Version 2\n\x00\x08", "dat"),
    ],
)
def test_first_bytes_choose_the_reader_of_prophesee(head: bytes, name: str, tmp_path: Path) -> None:
    for suffix in ("", ".bin", ".csv", ".event"):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(head)
        assert find_format(path) == name


def test_comments_of_a_table_are_no_header_of_prophesee(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("% t x y p\n1 2 3 1\n2 3 4 0\n")
    assert find_format(path) == "csv"
    unknown = tmp_path / "a.event"
    unknown.write_text("% t x y p\n1 2 3 1\n")
    with pytest.raises(NeurosimInputError, match=r"unknown suffix '\.event'"):
        find_format(unknown)


def test_numbered_recordings_in_the_layout_of_nmnist(tmp_path: Path) -> None:
    spikes = Spikes([0.001, 0.002], [5, 7], 2 * 34 * 34, 0.002, (2, 34, 34))
    write_nmnist(tmp_path / "a.bs2", spikes)
    assert read(tmp_path / "a.bs2").digest() == spikes.digest()


@pytest.mark.parametrize("name", ["evt2", "evt21", "evt3"])
def test_words_without_a_header_are_read_by_the_name_of_their_format(name: str, tmp_path: Path) -> None:
    data = made.READERS[name][0]()
    whole = tmp_path / "a.raw"
    whole.write_bytes(data)
    bare = tmp_path / "bare.raw"
    bare.write_bytes(data[max(data.rfind(b"% end\n") + 6, data.find(b"width=1280\n") + 11) :])
    spikes = read(whole)
    assert read(bare, format=name, shape=spikes.shape).digest() == spikes.digest()
    expected = "byte 0: expected a header of lines that begin with '%', got .*; for words without a header give format="
    with pytest.raises(NeurosimFormatError, match=expected):
        read(bare)


def test_reading_starts_where_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    words = [8 << 28 | 10, 1 << 28, 8 << 28 | 20, 1 << 28]
    path.write_bytes(b"% evt 2.0\n" + np.array(words, "<u4").tobytes())
    assert np.allclose(read(path).times, [640e-6, 1280e-6])
    assert np.allclose(read(path, start="first").times, [0, 640e-6])
    assert np.allclose(read(path, start=1e-3).times, [280e-6])
