"""Readers and writers of all formats of spikes, chosen by the suffix of the file or by `format`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from ..errors import NeurosimInputError, lookup, require
from ..spikes import Spikes
from .cameras import read_aedat2, read_dat, read_evt2, read_evt3, read_raw
from .csv import read_csv, write_csv
from .nmnist import read_nmnist, write_nmnist
from .sonata import read_sonata, write_sonata


class Format(NamedTuple):
    """Reader of a recording, whether it takes the shape of the sensor, writer or None, and suffixes of files."""

    read: Callable[..., Spikes]
    shaped: bool
    write: Callable[[str | os.PathLike[str], Spikes], None] | None
    suffixes: tuple[str, ...]


def _write_one(path: str | os.PathLike[str], spikes: Spikes) -> None:
    write_sonata(path, {"spikes": spikes})


FORMATS: Mapping[str, Format] = {
    "aedat2": Format(read_aedat2, False, None, (".aedat", ".aedat2")),
    "csv": Format(read_csv, True, write_csv, (".csv", ".txt")),
    "dat": Format(read_dat, True, None, (".dat",)),
    "evt2": Format(read_evt2, True, None, ()),
    "evt3": Format(read_evt3, True, None, ()),
    "nmnist": Format(read_nmnist, True, write_nmnist, (".bin",)),
    "prophesee": Format(read_raw, True, None, (".raw",)),
    "sonata": Format(read_sonata, False, _write_one, (".h5", ".hdf5", ".sonata")),
}
SUFFIXES: Mapping[str, str] = {suffix: name for name, format in FORMATS.items() for suffix in format.suffixes}


def read(path: str | os.PathLike[str], *, format: str | None = None, shape: tuple[int, ...] | None = None) -> Spikes:
    """Return one recording, in any format of `FORMATS`.

    Args:
        path: of the file.
        format: a name in `FORMATS`; None: by the suffix of the file.
        shape: of the sensor; None: that of the file or its format.

    Raises:
        NeurosimInputError: an unknown format or suffix, or a shape for a format that has its own.
        NeurosimMissingError: no such file.
        NeurosimFormatError: a file that breaks its format.
    """
    chosen = _choose(path, format, "read")
    if shape is None:
        return chosen.read(path)
    require(chosen.shaped, "read.shape", "must be left out: this format knows its sensor", shape)
    return chosen.read(path, shape)


def write(path: str | os.PathLike[str], spikes: Spikes, *, format: str | None = None) -> None:
    """Write one recording in a format of `FORMATS` that has a writer.

    Raises:
        NeurosimInputError: an unknown format or suffix, a format without a writer, or spikes that it cannot hold.
        NeurosimWriteError: as `replacing`.
    """
    writer = _choose(path, format, "write").write
    if writer is None:
        names = ", ".join(name for name, known in FORMATS.items() if known.write)
        raise NeurosimInputError(f"{path}: this format is only read; give format= one of {names}")
    writer(path, spikes)


def _choose(path: str | os.PathLike[str], format: str | None, verb: str) -> Format:
    if format is None:
        format = lookup(SUFFIXES, Path(path).suffix.lower(), f"{path}: suffix (or give format=)")
    return lookup(FORMATS, format, f"{verb}.format")
