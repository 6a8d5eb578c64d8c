"""Readers and writers of all formats of spikes, chosen by the suffix of the file or by `format`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ...base.errors import GuessWarning, NeurosimInputError, lookup, nearest, require
from ...base.raw import read_start
from ..spikes import Spikes
from .aedat import read_aedat2
from .aedat4 import read_aedat4
from .camera_hdf5 import is_camera_file, read_camera_hdf5
from .camera_writers import write_aedat4, write_dat, write_evt2, write_npy
from .cameras import read_dat, read_evt2, read_evt3, read_evt21, read_raw
from .csv import read_csv, write_csv
from .mat import read_mat
from .nmnist import read_nmnist, write_nmnist
from .sonata import read_sonata, write_sonata
from .streams import read_aedat, read_aedat31, read_event_stream
from .tables import read_npy


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


FORMATS: Mapping[str, Format] = {
    "aedat": Format(read_aedat, None, (".aedat",), ("shape", "camera")),
    "aedat2": Format(read_aedat2, None, (".aedat2",), ("camera",)),
    "aedat4": Format(read_aedat4, write_aedat4, (".aedat4",)),
    "aedat31": Format(read_aedat31, None, (".aedat31",), ("shape",)),
    "camera-hdf5": Format(read_camera_hdf5, None, (), ("shape", "tick", "columns")),
    "csv": Format(read_csv, write_csv, (".csv", ".txt"), ("shape", "tick", "columns")),
    "dat": Format(read_dat, write_dat, (".dat",), ("shape",)),
    "event-stream": Format(read_event_stream, None, (".es",)),
    "evt2": Format(read_evt2, write_evt2, (), ("shape",)),
    "evt21": Format(read_evt21, None, (), ("shape",)),
    "evt3": Format(read_evt3, None, (), ("shape", "clock")),
    "matlab": Format(read_mat, None, (".mat",), ("shape", "tick", "columns")),
    "nmnist": Format(read_nmnist, write_nmnist, (".bin",), ("shape",)),
    "numpy": Format(read_npy, write_npy, (".npy", ".npz"), ("shape", "tick", "columns")),
    "prophesee": Format(read_raw, write_evt2, (".raw",), ("shape", "clock")),
    "sonata": Format(read_sonata, _write_one, (".h5", ".hdf5", ".sonata"), ("population",)),
}
SUFFIXES: Mapping[str, str] = {suffix: name for name, format in FORMATS.items() for suffix in format.suffixes}


# First bytes that no other format has.
SIGNATURES: Mapping[bytes, str] = {
    b"#!AER-DAT": "aedat",
    b"% evt ": "prophesee",
    b"Event Stream": "event-stream",
    b"MATLAB ": "matlab",
    b"\x89HDF\r\n\x1a\n": "sonata",
    b"\x93NUMPY": "numpy",
}


@dataclass(frozen=True)
class ReadOptions:
    """The arguments of `read` but the path."""

    format: str | None = None
    shape: tuple[int, ...] | None = None
    clock: str | None = None
    camera: str | None = None
    tick: float | None = None
    columns: str | None = None
    population: str | None = None

    def read(self, path: str | os.PathLike[str]) -> Spikes:
        """Return a recording as `files.read` does, without its warning: `Spikes.report` names the guesses."""
        reader = lookup(FORMATS, find_format(path, self.format), "read.format")
        for option, value in self.arguments().items():
            if option == "shape":
                reason = "this format knows its sensor"
            else:
                reason = "this format has no such choice"
            require(option in reader.options, f"read.{option}", f"must be left out: {reason}", value)
        return reader.read(path, **self.arguments())

    def arguments(self) -> dict[str, object]:
        """Return the arguments of a reader: all options but `format` that are not None."""
        options = {name: value for name, value in vars(self).items() if name != "format"}
        return {name: value for name, value in options.items() if value is not None}

    def where_allowed(self, path: str | os.PathLike[str]) -> ReadOptions:
        """Return the options without those that the format of a file does not have."""
        reader = lookup(FORMATS, find_format(path, self.format), "read.format")
        arguments = {name: value for name, value in self.arguments().items() if name in reader.options}
        return ReadOptions(self.format, **arguments)  # type: ignore[arg-type]


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
        population: of a SONATA file; None where it has one.

    Warns:
        GuessWarning: a text file of another program does not say the order of its columns or its unit of time.

    Raises:
        NeurosimInputError: an unknown format or suffix, or an option that the format does not have.
        NeurosimMissingError: no such file.
        NeurosimFormatError: a file that breaks its format.
    """
    options = ReadOptions(format, shape, clock, camera, tick, columns, population)
    spikes = options.read(path)
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
    start = read_start(path, max(map(len, SIGNATURES)))
    name = next((name for signature, name in SIGNATURES.items() if start.startswith(signature)), None)
    name = name or _by_suffix(path)
    # Both are HDF5: the names at the root tell them apart.
    if name == "sonata" and is_camera_file(path):
        return "camera-hdf5"
    return name


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
