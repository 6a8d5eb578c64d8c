"""Recordings of every format, read in every way: the events of the file, no other and in their order."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from guard.encoders import ENCODERS, UNIX, Events, Table
from neurosim import Spikes
from neurosim.app.runs.frame.view import read_view
from neurosim.base import GuessWarning, NeurosimInputError
from neurosim.data import catalog, read, read_windows
from neurosim.data.files import formats, pieces
from neurosim.data.files.formats import ReadOptions
from neurosim.data.files.nmnist import read_nmnist_many
from neurosim.data.read_report import ReadReport
from neurosim.engine.description.parse import parse_description

GEOMETRIES: Mapping[str, tuple[int, int]] = {
    "7 x 3": (3, 7),
    "34 x 34": (34, 34),
    "128 x 128": (128, 128),
    "208 x 192": (192, 208),
    "240 x 180": (180, 240),
    "346 x 260": (260, 346),
    "640 x 480": (480, 640),
    "1280 x 720": (720, 1280),
}
# Numbers of OFF and ON, and of the first row and column.
POLARITIES: Mapping[str, tuple[int, int, int]] = {
    "OFF 0, ON 1": (0, 1, 0),
    "OFF -1, ON 1": (-1, 1, 0),
    "OFF 1, ON 2": (1, 2, 1),
}
CONTENTS: Mapping[str, tuple[int, ...]] = {"ON and OFF": (0, 1), "only ON": (1,), "only OFF": (0,)}
UNITS: Mapping[str, float] = {"in s": 1.0, "in ms": 1e-3, "in ns": 1e-9}
CLOCKS = ("from 0", "running for a while", "starts again", *UNITS)
TABLES = (
    "CSV with names",
    "text without names",
    "NumPy fields",
    "NumPy matrix",
    "NumPy archive",
    "HDF5 of Prophesee",
    "HDF5 of DSEC",
    "MATLAB",
)
CAMERAS = {
    "AEDAT2, DVS128 of libcaer": "dvs128-libcaer",
    "AEDAT2, DVS128 of tonic": "dvs128-tonic",
}
# Microseconds after which the counter of a format starts again, or a marker is needed.
WRAPS: Mapping[str, int] = {
    "N-MNIST": 1 << 23,
    "EVT2": 1 << 34,
    "EVT2.1": 1 << 34,
    "EVT2.1, legacy": 1 << 34,
    "EVT3": 1 << 24,
    **{name: 1 << 32 for name in ENCODERS if name.startswith("AEDAT2")},
    "AEDAT 3.1": 1 << 31,
}
# Microseconds that the clock of a camera has been running.
RUNNING: Mapping[str, int] = {"EVT3": 9_000_000, "N-MNIST": 20_000_000}
HOUR = 3_600_000_000
# Time 0 is the first event by default, for the file has the clock of a camera.
UNCLOCKED = {"N-MNIST", "own CSV", "SONATA"}
LOWEST_ROW_FIRST = {"AEDAT2, DVS128 of jAER", "Event Stream, DVS", "Event Stream, ATIS"}
WRITTEN_BY = ("the test", "files.write")
WRITERS = {
    "N-MNIST",
    "DAT",
    "EVT2",
    "AEDAT4",
    "own CSV",
    "NumPy fields",
    "NumPy archive",
    "SONATA",
}
EVENTS = 120
Row = tuple[int, int]


@dataclass(frozen=True)
class Reading:
    """The features of a random recording, and the key of everything drawn."""

    seed: int
    format: str
    geometry: str
    polarity: str
    content: str
    clock: str
    written_by: str

    @property
    def features(self) -> tuple[str, ...]:
        return self.format, self.geometry, self.polarity, self.content, self.clock, self.written_by

    def __str__(self) -> str:
        return f"{self.seed}: {', '.join(self.features)}"

    @property
    def table(self) -> Table:
        low, high, first = POLARITIES[self.polarity]
        unit = UNITS.get(self.clock, 1.0 if self.format == "SONATA" else 1e-6)
        return Table(unit, low, high, first)

    @property
    def options(self) -> dict[str, Any]:
        """Return what a user has to say, for the file does not."""
        height, width = GEOMETRIES[self.geometry]
        options: dict[str, Any] = {}
        if self.format == "N-MNIST":
            options["shape"] = (2, height, width)
        if self.format in CAMERAS:
            options["camera"] = CAMERAS[self.format]
        named = self.format in ("CSV with names", "SONATA")
        if self.clock in ("in ms", "in ns") and not named:
            options["tick"] = UNITS[self.clock]
        if self.format == "text without names":
            options["columns"] = "txyp"
        if self.format == "NumPy matrix":
            options["columns"] = "xytp"
        return options


def events_of(case: Reading) -> Events:
    """Return random events with all corners of the sensor, some at one moment, some in runs of columns."""
    rng = np.random.default_rng(case.seed)
    height, width = GEOMETRIES[case.geometry]
    sides = CONTENTS[case.content]
    t = np.sort(rng.integers(0, 40_000, EVENTS))
    p = rng.choice(sides, EVENTS)
    y = rng.integers(0, height, EVENTS)
    x = rng.integers(0, width, EVENTS)
    corners = [(height - 1, width - 1), (0, 0), (0, width - 1), (height - 1, 0)]
    y[:4], x[:4] = zip(*corners, strict=True)
    p[:2] = [sides[0], sides[-1]]
    # A run of columns in one row, at one moment.
    length = min(6, width)
    t[50 : 50 + length] = t[50]
    p[50 : 50 + length] = sides[0]
    y[50 : 50 + length] = y[50]
    x[50 : 50 + length] = np.arange(width - length, width)
    t = np.sort(t)
    begin = 0
    if case.clock == "running for a while":
        begin = RUNNING.get(case.format, HOUR)
    if case.clock == "starts again":
        begin = WRAPS[case.format] - 20_000
    return Events(t + begin, p, y, x, height, width)


def write(case: Reading, path: Path) -> Events:
    """Write the recording of a case and return its events."""
    e = events_of(case)
    if case.written_by == "files.write":
        units = (e.p * e.height + e.y) * e.width + e.x
        shape = (2, e.height, e.width)
        start = UNIX / 1e6 if case.format == "AEDAT4" else 0.0
        report = ReadReport("test", start) if start else None
        formats.write(path, Spikes(e.t * 1e-6, units, 2 * e.height * e.width, float(e.t[-1]) * 1e-6, shape, report))
    else:
        ENCODERS[case.format][1](path, e, case.table)
    return e


def rows_of(spikes: Spikes, e: Events, first: float = 0.0) -> NDArray[np.int64]:
    """Return [events, 4] microseconds, polarity, row and column."""
    p, pixel = np.divmod(spikes.units.astype(np.int64), e.height * e.width)
    y, x = np.divmod(pixel, e.width)
    return np.stack([np.rint((spikes.times + first) * 1e6).astype(np.int64), p, y, x], axis=1)


def hold(case: Reading, folder: Path) -> None:
    """Raise `AssertionError` where a way of reading gives other events than those of the file."""
    path = folder / f"recording{ENCODERS[case.format][0]}"
    if (case.format, case.clock, case.written_by) == ("EVT2", "starts again", "files.write"):
        with pytest.raises(NeurosimInputError, match="EVT2 holds less than 17180 s"):
            write(case, path)
        return
    e = write(case, path)
    stored = np.stack([e.t, e.p, e.y, e.x], axis=1)
    from_first = stored - np.array([int(e.t[0]), 0, 0, 0])
    played = stored if case.format in UNCLOCKED else from_first
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GuessWarning)
        by_read(case, path, e, stored)
        by_view(case, path, e, played)
        by_toml(case, path, e, played)
        by_folder(case, path, e, played)
        written_again(case, path, e, stored)
        in_pieces(case, path, e, stored)


def by_read(case: Reading, path: Path, e: Events, stored: NDArray[np.int64]) -> None:
    spikes = read(path, **case.options)
    zero = 0.0
    if case.format in ("AEDAT4", "HDF5 of DSEC"):
        # Their times count from a moment that the report tells.
        assert spikes.report is not None
        zero = spikes.report.start - (UNIX / 1e6 if case.format == "AEDAT4" else 0.0)
    assert np.array_equal(rows_of(spikes, e, zero), stored)
    assert spikes.size == 2 * e.height * e.width
    if case.format != "SONATA" or case.written_by == "files.write":
        assert spikes.shape == (2, e.height, e.width)
    if spikes.report is None:
        lowest = "top"
    else:
        lowest = spikes.report.row_0
    assert lowest == ("bottom" if case.format in LOWEST_ROW_FIRST else "top")


def by_view(case: Reading, path: Path, e: Events, played: NDArray[np.int64]) -> None:
    """A page has row 0 at the top."""
    shown = read_view(path, ReadOptions(**case.options)).shown[0].spikes
    rows = played.copy()
    if case.format in LOWEST_ROW_FIRST:
        rows[:, 2] = e.height - 1 - rows[:, 2]
    assert np.array_equal(rows_of(shown, e), rows)


def by_toml(case: Reading, path: Path, e: Events, played: NDArray[np.int64]) -> None:
    options = {key: value for key, value in case.options.items() if key != "shape"}
    camera = {"name": "camera", "shape": [2, e.height, e.width], "model": "SpikeSource"}
    tree = {"population": [{**camera, "spikes": {"file": path.name, **options}}]}
    spikes = parse_description(tree, path.parent).recordings()["camera"]
    assert np.array_equal(rows_of(spikes, e), played)


def by_folder(case: Reading, path: Path, e: Events, played: NDArray[np.int64]) -> None:
    root = path.parent / "recordings"
    for label in ("a", "b"):
        (root / label).mkdir(parents=True)
        for number in range(2):
            shutil.copy(path, root / label / f"{number}{path.suffix}")
    options = {key: list(value) if key == "shape" else value for key, value in case.options.items()}
    for split in ("train", "test"):
        recordings = catalog.load("folder", split, root, options)
        assert len(recordings) == 2
        for spikes in recordings:
            assert np.array_equal(rows_of(spikes, e), played)


def written_again(case: Reading, path: Path, e: Events, stored: NDArray[np.int64]) -> None:
    """What was read and is written in another format is read as the same."""
    spikes = read(path, **case.options)
    if len(spikes.shape) != 3:
        return
    again = path.with_name("again.npz")
    formats.write(again, spikes)
    zero = 0.0 if spikes.report is None else spikes.report.start
    zero -= UNIX / 1e6 if case.format == "AEDAT4" else 0.0
    assert np.array_equal(rows_of(read(again), e, zero), stored)


def in_pieces(case: Reading, path: Path, e: Events, stored: NDArray[np.int64]) -> None:
    """Read files of cameras piece by piece, many of N-MNIST at once, and a SONATA file window by window."""
    options = ReadOptions(**case.options)
    if pieces.is_read_in_pieces(path, options):
        with pytest.MonkeyPatch.context() as patch:
            # A prime number of bytes: pieces end within records and packets.
            patch.setattr(pieces, "PIECE", 257)
            parts = list(pieces.EventPieces(path, options))
        whole = read(path, **case.options)
        assert np.array_equal(np.concatenate([part.times for part in parts]), whole.times)
        assert np.array_equal(np.concatenate([part.units for part in parts]), whole.units)
    if case.format == "N-MNIST":
        for spikes in read_nmnist_many([path, path], case.options["shape"]):
            assert np.array_equal(rows_of(spikes, e), stored)
    if case.format == "SONATA":
        # A clock that has run for an hour has many empty windows.
        length = 2.0**-7 if e.t[0] < 1_000_000 else 2.0**9
        windows = list(read_windows(path, length=length))
        rows = [rows_of(spikes, e, k * length) for k, spikes in enumerate(windows)]
        assert np.array_equal(np.concatenate(rows), stored)
