"""One door to every format of spikes, chosen by the end of the file's name or by `format`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from ..errors import NeurosimInputError, lookup, require
from ..spikes import Spikes
from .cameras import read_aedat2, read_dat, read_evt2, read_evt3, read_raw
from .nmnist import read_nmnist, write_nmnist
from .sonata import read_sonata, write_sonata
from .table import read_csv, write_csv


class Format(NamedTuple):
    """A reader of one recording, whether it takes the sensor's shape, its writer or None, and the ends of names."""

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
    """One recording, in whatever format of `FORMATS`.

    Args:
        format: a name in `FORMATS`; None means by the end of the file's name.
        shape: of the sensor; None means what the file or its format says.

    Raises:
        NeurosimInputError: an unknown format or ending, or a shape for a format that has its own.
        NeurosimMissingError: no such file.
        NeurosimFormatError: the file is not what its format says.
    """
    chosen = _choose(path, format, "read")
    if shape is None:
        return chosen.read(path)
    require(chosen.shaped, "read.shape", "must be left out: this format knows its sensor", shape)
    return chosen.read(path, shape)


def write(path: str | os.PathLike[str], spikes: Spikes, *, format: str | None = None) -> None:
    """Write one recording in a format of `FORMATS` that has a writer.

    Raises:
        NeurosimInputError: an unknown format or ending, a format that is only read, or spikes it cannot hold.
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
