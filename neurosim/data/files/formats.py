"""Readers and writers of all formats of spikes, chosen by the suffix of the file or by `format`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple

from ...base.errors import GuessWarning, NeurosimInputError, lookup, nearest, require
from ...base.raw import read_start
from ..filters import EventFilter
from ..spikes import Spikes
from .aedat import read_aedat2
from .aedat4 import read_aedat4
from .camera_hdf5 import is_camera_file, read_camera_hdf5
from .camera_writers import write_aedat4, write_dat, write_evt2, write_npy
from .cameras import format_of_header, read_dat, read_evt2, read_evt3, read_evt21, read_raw
from .csv import read_csv, write_csv
from .mat import read_mat
from .nmnist import read_nmnist, write_nmnist
from .numpy_files import read_npy
from .ros import read_ros
from .sonata import read_sonata, write_sonata
from .streams import read_aedat, read_aedat31, read_event_stream


class Format(NamedTuple):
    """Reader of a recording, writer or None, suffixes of files, and the options of `read` that the reader takes."""

    read: Callable[..., Spikes]
    write: Callable[[str | os.PathLike[str], Spikes], None] | None
    suffixes: tuple[str, ...]
    options: tuple[str, ...] = ()

    @property
    def shaped(self) -> bool:
        """Return whether the reader takes the shape of the sensor."""
        return "shape" in self.options


def _write_one(path: str | os.PathLike[str], spikes: Spikes) -> None:
    write_sonata(path, {"spikes": spikes})


# Numbered recordings of ATIS cameras in the layout of N-MNIST: .bs1, .bs2, ...
BS_SUFFIXES = tuple(f".bs{number}" for number in range(1, 10))
FORMATS: Mapping[str, Format] = {
    "aedat": Format(read_aedat, None, (".aedat",), ("shape", "camera", "until_fault")),
    "aedat2": Format(read_aedat2, None, (".aedat2",), ("camera", "until_fault")),
    "aedat4": Format(read_aedat4, write_aedat4, (".aedat4",), ("until_fault",)),
    "aedat31": Format(read_aedat31, None, (".aedat31",), ("shape", "until_fault")),
    "camera-hdf5": Format(read_camera_hdf5, None, (), ("shape", "tick", "columns")),
    "csv": Format(read_csv, write_csv, (".csv", ".txt"), ("shape", "tick", "columns")),
    "dat": Format(read_dat, write_dat, (".dat",), ("shape", "until_fault")),
    "event-stream": Format(read_event_stream, None, (".es",), ("until_fault",)),
    "evt2": Format(read_evt2, write_evt2, (), ("shape", "until_fault")),
    "evt21": Format(read_evt21, None, (), ("shape", "until_fault")),
    "evt3": Format(read_evt3, None, (), ("shape", "clock", "until_fault")),
    "matlab": Format(read_mat, None, (".mat",), ("shape", "tick", "columns")),
    "nmnist": Format(read_nmnist, write_nmnist, (".bin", *BS_SUFFIXES), ("shape", "until_fault")),
    "numpy": Format(read_npy, write_npy, (".npy", ".npz"), ("shape", "tick", "columns")),
    "prophesee": Format(read_raw, write_evt2, (".raw",), ("shape", "clock", "until_fault")),
    "ros": Format(read_ros, None, (".bag", ".db3", ".mcap"), ("shape", "population")),
    "sonata": Format(read_sonata, _write_one, (".h5", ".hdf5", ".sonata"), ("population",)),
}
SUFFIXES: Mapping[str, str] = {suffix: name for name, format in FORMATS.items() for suffix in format.suffixes}
# Bytes of a file in which the end of its header is looked for.
HEADER_BYTES = 1 << 12


# First bytes that no other format has.
SIGNATURES: Mapping[bytes, str] = {
    b"#!AER-DAT": "aedat",
    b"% evt ": "prophesee",
    b"Event Stream": "event-stream",
    b"MATLAB ": "matlab",
    b"\x89HDF\r\n\x1a\n": "sonata",
    b"\x93NUMPY": "numpy",
    b"#ROSBAG V2": "ros",
    b"\x89MCAP0\r\n": "ros",
}


# Options that act on the events, in every format; the others belong to readers.
FILTERS = tuple(field.name for field in fields(EventFilter))


@dataclass(frozen=True)
class ReadOptions:
    """The arguments of `read` but the path and `start`."""

    format: str | None = None
    shape: tuple[int, ...] | None = None
    clock: str | None = None
    camera: str | None = None
    tick: float | None = None
    columns: str | None = None
    population: str | None = None
    until_fault: bool | None = None
    crop: tuple[int, int, int, int] | None = None
    noise_filter: float | None = None
    downsample: int | None = None
    refractory: float | None = None

    def __post_init__(self) -> None:
        # Filters check their values.
        _ = self.filter

    @property
    def filter(self) -> EventFilter:
        """Return the filters of the events."""
        return EventFilter(self.crop, self.noise_filter, self.downsample, self.refractory)

    def read(self, path: str | os.PathLike[str]) -> Spikes:
        """Return a recording as `data.read` does, without its warning: `Spikes.report` names the guesses."""
        reader = lookup(FORMATS, find_format(path, self.format), "read.format")
        self.check(reader)
        return self.filter.apply(reader.read(path, **self.arguments()))

    def check(self, reader: Format) -> None:
        """Raise `NeurosimInputError` for an option that a format does not have."""
        for option, value in self.arguments().items():
            if option == "shape":
                reason = "this format knows its sensor"
            else:
                reason = "this format has no such choice"
            require(option in reader.options, f"read.{option}", f"must be left out: {reason}", value)

    def arguments(self) -> dict[str, object]:
        """Return the arguments of a reader: all options but `format` and the filters that are not None."""
        options = {name: value for name, value in vars(self).items() if name not in ("format", *FILTERS)}
        # False is the readers' own default.
        return {name: value for name, value in options.items() if value is not None and value is not False}

    def where_allowed(self, path: str | os.PathLike[str]) -> ReadOptions:
        """Return the options without those that the format of a file does not have."""
        reader = lookup(FORMATS, find_format(path, self.format), "read.format")
        others = [name for name in self.arguments() if name not in reader.options]
        return replace(self, **dict.fromkeys(others))


def read(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    shape: tuple[int, ...] | None = None,
    clock: str | None = None,
    camera: str | None = None,
    tick: float | None = None,
    columns: str | None = None,
    population: str | None = None,
    start: float | str | None = "file",
    until_fault: bool = False,
    crop: tuple[int, int, int, int] | None = None,
    noise_filter: float | None = None,
    downsample: int | None = None,
    refractory: float | None = None,
) -> Spikes:
    """Return one recording, in any format of `FORMATS`.

    The attribute `report` of the result counts records of a camera that are not events, and changes to events.

    Args:
        path: of the file.
        format: a name in `FORMATS`; None: by the first bytes of the file, or else by its suffix.
        shape: of the sensor; None: as the file or its format has it.
        clock: of an EVT3 recording: "camera", or "running" as expelliarmus reads it.
        camera: of an AEDAT2 recording, a name in `aedat.CAMERAS`; None: by the header.
        tick: s, the unit of time of a table; None: the unit of its format.
        columns: order of the columns of a table without names, e.g. "txyp"; None: by their content.
        population: of a SONATA file, or the topic of a bag of ROS; None where it has one.
        start: time 0 of the result: "file", time 0 of the file; "first", its first event; seconds; or None, as
            `Spikes.starting`.
        until_fault: return the events before the first fault of a damaged or cut file of a camera instead of raising;
            the report says where the fault is.
        crop, noise_filter, downsample, refractory: filters of the events of a camera, as `filters.EventFilter`.

    Warns:
        GuessWarning: a text file of another program does not say the order of its columns or its unit of time.

    Raises:
        NeurosimInputError: an unknown format or suffix, or an option that the format does not have.
        NeurosimMissingError: no such file.
        NeurosimFormatError: a file that breaks its format.
    """
    options = ReadOptions(
        format=format,
        shape=shape,
        clock=clock,
        camera=camera,
        tick=tick,
        columns=columns,
        population=population,
        until_fault=until_fault,
        crop=crop,
        noise_filter=noise_filter,
        downsample=downsample,
        refractory=refractory,
    )
    spikes = options.read(path).starting(start)
    if spikes.report is not None and spikes.report.guessed:
        guess = "; ".join(spikes.report.guessed)
        warnings.warn(f"{path}: {guess}; tick=, columns= and shape= say otherwise", GuessWarning, stacklevel=2)
    return spikes


def write(path: str | os.PathLike[str], spikes: Spikes, *, format: str | None = None) -> None:
    """Write one recording in a format of `FORMATS` that has a writer.

    Raises:
        NeurosimInputError: an unknown format or suffix, a format without a writer, or spikes that it cannot hold.
        NeurosimWriteError: as `replacing`.
    """
    name = format or _by_suffix(path)
    writer = lookup(FORMATS, name, "write.format").write
    if writer is None:
        names = ", ".join(name for name, known in FORMATS.items() if known.write)
        raise NeurosimInputError(f"{path}: this format is only read; give format= one of {names}")
    writer(path, spikes)


def find_format(path: str | os.PathLike[str], format: str | None = None) -> str:
    """Return the name in `FORMATS` of the format of a file: `format`, or by its first bytes, or else by its suffix.

    Raises:
        NeurosimInputError: an unknown suffix.
    """
    if format is not None:
        return format
    name = format_by_content(path) or _by_suffix(path)
    # Both are HDF5: the names at the root tell them apart.
    if name == "sonata" and is_camera_file(path):
        return "camera-hdf5"
    return name


def format_by_content(path: str | os.PathLike[str]) -> str | None:
    """Return the name in `FORMATS` of the format that the first bytes of a file show; None if they show none."""
    start = read_start(path, HEADER_BYTES)
    name = next((name for signature, name in SIGNATURES.items() if start.startswith(signature)), None)
    return name or format_of_header(start)


def _by_suffix(path: str | os.PathLike[str]) -> str:
    suffix = Path(path).suffix.lower()
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    if suffix:
        problem = f"unknown suffix '{suffix}'"
    else:
        problem = "has no suffix that tells its format"
    near = nearest(suffix, SUFFIXES)
    hint = f"did you mean '{near}'? " if near else ""
    raise NeurosimInputError(
        f"{path}: {problem}; {hint}name it with one of {', '.join(sorted(SUFFIXES))}, or give its format, one of "
        f"{', '.join(FORMATS)}"
    )
