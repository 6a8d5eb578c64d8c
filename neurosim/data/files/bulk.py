"""HDF5 files that may be larger than memory: laid out by the library, filled by plain writes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base.atomic import replacing
from ...base.errors import NeurosimWriteError

# Bytes of the file beside the data.
OVERHEAD = 1 << 20


class DatasetSpec(NamedTuple):
    """Shape, type and attributes of a dataset."""

    shape: tuple[int, ...]
    dtype: str
    attributes: Mapping[str, Any]


Put = Callable[[str, NDArray[Any]], None]


def write_bulk(
    path: str | os.PathLike[str],
    specs: Mapping[str, DatasetSpec],
    groups: Mapping[str, Mapping[str, Any]],
    fill: Callable[[Put], None],
) -> None:
    """Replace `path` by an HDF5 file whose datasets are filled in pieces, from their start on.

    The library only lays out the file: on a full disk it leaves a corrupt file, or crashes on closing it.

    Args:
        path: of the file.
        specs: by the path of the dataset.
        groups: attributes of the groups; "" is the root.
        fill: called with `put(name, piece)`, which appends a piece to a dataset.

    Raises:
        NeurosimWriteError: no space, or the disk refuses; the old file is unchanged.
    """
    # Told at once, rather than after hours of writing.
    need = sum(int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize for spec in specs.values()) + OVERHEAD
    _check_space(Path(path), need)
    with replacing(path) as temporary:
        places = _lay_out(temporary, specs, groups)
        with open(temporary, "r+b") as file:

            def put(name: str, piece: NDArray[Any]) -> None:
                if piece.size == 0:
                    return
                data = np.ascontiguousarray(piece, specs[name].dtype)
                file.seek(places[name])
                file.write(data.data.cast("B"))
                places[name] += data.nbytes

            fill(put)


def _lay_out(path: Path, specs: Mapping[str, DatasetSpec], groups: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Write the file without its data; return the offset of each dataset."""
    import h5py

    places: dict[str, int] = {}
    with h5py.File(path, "w") as root:
        for name, attributes in groups.items():
            group = root.require_group(name) if name else root
            group.attrs.update(attributes)
        for name, spec in specs.items():
            parent, _, last = name.rpartition("/")
            # Contiguous, placed now and not filled: the data can then be written at their offset by plain writes.
            properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            properties.set_layout(h5py.h5d.CONTIGUOUS)
            # The same spikes give the same bytes: by default the second of the writing is in the file.
            properties.set_obj_track_times(False)
            properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            dataset = h5py.h5d.create(
                root.require_group(parent).id,
                last.encode(),
                h5py.h5t.py_create(np.dtype(spec.dtype)),
                h5py.h5s.create_simple(spec.shape),
                properties,
            )
            h5py.Dataset(dataset).attrs.update(spec.attributes)
            # A dataset without entries has no offset.
            places[name] = dataset.get_offset() or 0
    return places


def _check_space(path: Path, need: int) -> None:
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if need > free:
        unit, size = ("GiB", 2**30) if need >= 2**30 else ("MiB", 2**20)
        raise NeurosimWriteError(
            f"{path}: needs {need / size:,.2f} {unit} and {free / size:,.2f} {unit} of disk are free; "
            "free some space and close it again: nothing is lost"
        )
