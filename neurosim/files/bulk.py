"""HDF5 files larger than the memory: laid out by the library, filled by plain writes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimWriteError
from .atomic import replacing

# What the file takes beside the data.
OVERHEAD = 1 << 20


class Space(NamedTuple):
    """A dataset to be filled: its shape, type and attributes."""

    shape: tuple[int, ...]
    dtype: str
    attributes: Mapping[str, Any]


Put = Callable[[str, NDArray], None]


def write_bulk(
    path: str | os.PathLike[str],
    spaces: Mapping[str, Space],
    groups: Mapping[str, Mapping[str, Any]],
    fill: Callable[[Put], None],
) -> None:
    """Replace `path` by an HDF5 file whose datasets are filled from their start on, a piece at a time.

    The library only lays out the file. Its own answer to a disk that fills up is a corrupt file, or a crash on closing.

    Args:
        spaces: by the path of the dataset.
        groups: attributes of the groups, "" being the root.
        fill: called with `put(name, piece)`, which adds a piece to a dataset.

    Raises:
        NeurosimWriteError: no space, or the disk refuses; what was there before is unchanged.
    """
    need = sum(int(np.prod(space.shape)) * np.dtype(space.dtype).itemsize for space in spaces.values()) + OVERHEAD
    _check_space(Path(path), need)
    with replacing(path) as temporary:
        places = _lay_out(temporary, spaces, groups)
        with open(temporary, "r+b") as file:

            def put(name: str, piece: NDArray) -> None:
                if piece.size == 0:
                    return
                data = np.ascontiguousarray(piece, spaces[name].dtype)
                file.seek(places[name])
                file.write(data.data.cast("B"))
                places[name] += data.nbytes

            fill(put)


def _lay_out(path: Path, spaces: Mapping[str, Space], groups: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Write the file without its data; returns where each dataset begins."""
    import h5py

    places: dict[str, int] = {}
    with h5py.File(path, "w") as root:
        for name, attributes in groups.items():
            (root.require_group(name) if name else root).attrs.update(attributes)
        for name, space in spaces.items():
            parent, _, last = name.rpartition("/")
            properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            properties.set_layout(h5py.h5d.CONTIGUOUS)
            properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            made = h5py.h5d.create(
                root.require_group(parent).id,
                last.encode(),
                h5py.h5t.py_create(np.dtype(space.dtype)),
                h5py.h5s.create_simple(space.shape),
                properties,
            )
            h5py.Dataset(made).attrs.update(space.attributes)
            places[name] = made.get_offset() or 0
    return places


def _check_space(path: Path, need: int) -> None:
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if need > free:
        raise NeurosimWriteError(
            f"{path}: needs {need / 2**30:,.2f} GiB and {free / 2**30:,.2f} GiB of disk are free; "
            "free some space and close it again: nothing is lost meanwhile"
        )
