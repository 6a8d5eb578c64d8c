"""Events of cameras in HDF5 files: Prophesee (CD/events), DSEC (events/x, y, t, p), MVSEC, other tables of events."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

import numpy as np

from ...base.errors import NeurosimError
from ...base.raw import text_of
from ..read_report import NOT_STATED
from ..spikes import Spikes
from .array_blocks import ColumnBlocks
from .hdf5 import LAYOUT, SIGNATURE, HDF5File, check_header, open_hdf5, open_root
from .hdf5_rows import DatasetRows
from .table_events import MICROSECOND, TableSource, check_tick, spikes_of
from .tables import EventTable, FoundColumns, array_key, find_columns

# Groups and datasets that hold events, the first that is there; "" is the root.
PLACES = (
    *("CD/events", "events", "davis/left/events", "davis/right/events"),
    *("prophesee/left", "prophesee/right", ""),
)
# Sorted times and places compress well.
MAX_RATIO = 256
_COUNTS = ("height", "width")
# Rows and columns in one attribute, as tools of reconstruction write them.
_RESOLUTION = "sensor_resolution"
# Columns and rows in a dataset beside the events, as in M3ED.
_CALIBRATED = "calib/resolution"


def read_camera_hdf5(
    path: str | os.PathLike[str],
    shape: tuple[int, ...] | None = None,
    tick: float | None = None,
    columns: str | None = None,
) -> Spikes:
    """Return the events of an HDF5 file: records or columns at CD/events, in events, or at the root.

    Of a file of MVSEC davis/left/events, of M3ED prophesee/left, or those of its right camera where it has no left one.

    Times count from the file's own zero; `Spikes.report.start` is the `t_offset` beside them, as in DSEC. Data that are
    compressed by zstd, also inside blosc, or blosc2 need the extra `hdf5`, by Prophesee's ECF its plugin.

    Args:
        path: of the file.
        shape: of the sensor; None: from the attribute `geometry`, `height` and `width`, or `sensor_resolution`, or the
            datasets `height` and `width`, as in RVT, or `calib/resolution`, as in M3ED, beside the events, or else the
            smallest that holds all events.
        tick, columns: as for `read_npy`.

    Raises:
        NeurosimMissingError: no such file, or a filter that is not installed; says what to install.
        NeurosimFormatError: not HDF5, no events, and as `read_npy`.

    Source: docs.prophesee.ai, HDF5 event file format; Gehrig et al. 2021, "DSEC: a stereo event camera dataset for
    driving scenarios"; Zhu et al. 2018, "The Multivehicle Stereo Event Camera Dataset"; Chaney et al. 2023, "M3ED:
    Multi-Robot, Multi-Sensor, Multi-Environment Event Dataset".
    """
    with open_hdf5(path, MAX_RATIO) as file:
        place = _place(file)
        arrays = {name: file.table(f"{parent}/{name}".strip("/")) for parent, name in _names(file, place)}
        found = find_columns(path, arrays, columns)
        sensor = shape or _sensor(file, place)
        return spikes_of(_table(path, place, found, _start(file)), sensor, tick)


def open_camera_hdf5(
    path: str | os.PathLike[str],
    shape: tuple[int, ...] | None = None,
    tick: float | None = None,
    columns: str | None = None,
) -> TableSource:
    """Return the events of an HDF5 file in blocks; the arguments are those of `read_camera_hdf5`.

    Memory holds a block and a chunk of each dataset.

    Raises:
        NeurosimError: as `read_camera_hdf5`.
    """
    check_tick(tick)
    sensor = shape
    order = columns

    def tables() -> Iterator[EventTable]:
        nonlocal sensor, order
        with open_hdf5(path, MAX_RATIO, in_blocks=True) as file:
            place = _place(file)
            # Kept for later passes, as in `open_npy`.
            sensor = sensor or _sensor(file, place)
            arrays = {name: DatasetRows(file, f"{parent}/{name}".strip("/")) for parent, name in _names(file, place)}
            blocks = ColumnBlocks(path, arrays, order)
            order = blocks.order
            first = 0
            for block in blocks:
                found = FoundColumns(blocks.where, block, blocks.unit, blocks.guessed)
                yield _table(path, place, found, start=_start(file), first_row=first)
                first += len(block["t"])
                file.release()

    return TableSource(tables, lambda scan, table: scan.layout(table, sensor, tick))


def is_camera_file(path: str | os.PathLike[str]) -> bool:
    """Return whether an HDF5 file holds events of a camera, by the names at its root; False if it cannot be read."""
    try:
        raw = np.memmap(path, np.uint8, "r")
        if raw[:8].tobytes() != SIGNATURE:
            return False
        check_header(path, raw)
        with open_root(path) as root:
            names = set(root)
    except (NeurosimError, OSError, ValueError):
        # The reader says what is wrong.
        return False
    has_events = bool(names & {"CD", "events", "davis", "prophesee"}) or {"t", "x"} <= _keys(names)
    # "spikes" at the root: a file of SONATA.
    return has_events and "spikes" not in names


def _place(file: HDF5File) -> str:
    """Return the first of `PLACES` that the file has."""
    return next(place for place in PLACES if place == "" or _has(file, place))


def _table(path: object, place: str, found: FoundColumns, start: float, first_row: int = 0) -> EventTable:
    # Prophesee, DSEC, MVSEC and M3ED document polarity 1 as a rise of light; other tables say nothing.
    polarity_1 = "brighter" if place else NOT_STATED
    return EventTable(
        path=path,
        where=f"/{found.where or place}",
        columns=found.columns,
        format="camera-hdf5",
        start=start,
        first_row=first_row,
        guessed=found.guessed,
        polarity_1=polarity_1,
        unit=found.unit,
    )


def _names(file: HDF5File, place: str) -> list[tuple[str, str]]:
    """Return group and name of the datasets of numbers in a group, or of the dataset."""
    if place and not file.groups(place):
        return [("", place)]
    names = [name for name in file.names(place) if not file.groups(f"{place}/{name}")]
    if {"t", "x"} <= _keys(names):
        # The others are read only where one of them may be a missing y or polarity.
        if not {"y", "p"} <= _keys(names):
            count = max(file.size(f"{place}/{name}")[0] for name in names if array_key(name) == "t")
            names = [name for name in names if file.size(f"{place}/{name}")[0] == count]
        else:
            names = [name for name in names if array_key(name) is not None]
    elif len(names) != 1:
        got = ", ".join(sorted(names)[:8]) or "nothing"
        raise file.error(f"/{place}", "datasets t, x, y and p", got, LAYOUT)
    return [(place, name) for name in names]


def _keys(names: Iterable[str]) -> set[str]:
    """Return the columns of events among these names."""
    return {key for name in names if (key := array_key(name)) is not None}


def _has(file: HDF5File, name: str) -> bool:
    """Return whether there is an object of that name, and groups above it."""
    parent = name.rpartition("/")[0]
    if parent and not (file.has(parent) and file.groups(parent)):
        return False
    return file.has(name)


def _sensor(file: HDF5File, place: str) -> tuple[int, int, int] | None:
    """Return the shape of the sensor by the attributes of the root, or by datasets beside the events at `place`."""
    return _sensor_of_root(file) or _sensor_beside(file, place)


def _sensor_beside(file: HDF5File, place: str) -> tuple[int, int, int] | None:
    """Return the shape of the sensor by `height` and `width`, or by a calibration, in a group; None without them."""
    if place and not file.groups(place):
        return None
    sizes = [_counts(file, f"{place}/{name}") for name in _COUNTS]
    if all(len(size) == 1 for size in sizes):
        return 2, sizes[0][0], sizes[1][0]
    resolution = _counts(file, f"{place}/{_CALIBRATED}")
    if len(resolution) == 2:
        return 2, resolution[1], resolution[0]
    return None


def _counts(file: HDF5File, name: str) -> list[int]:
    """Return the one or two integers above 0 of a dataset; none where there are others."""
    if not _has(file, name) or file.groups(name) or not 1 <= file.size(name)[0] <= 2:
        return []
    if file.dataset(name, rank=None).dtype.kind not in "iu":
        return []
    values = [int(value) for value in file.table(name).reshape(-1)]
    return values if min(values) > 0 else []


def _sensor_of_root(file: HDF5File) -> tuple[int, int, int] | None:
    """Return the shape of the sensor by the attributes of the root; None without them."""
    attributes = file.attributes("", "geometry", *_COUNTS, _RESOLUTION)
    geometry = text_of(attributes.get("geometry", np.array("")))
    match = re.fullmatch(r"\s*(\d{1,5})\s*x\s*(\d{1,5})\s*", geometry, re.I)
    if match:
        return 2, int(match[2]), int(match[1])
    sizes = [attributes[name] for name in _COUNTS if name in attributes]
    if not sizes:
        sizes = list(np.atleast_1d(attributes.get(_RESOLUTION, np.empty(0))))
    counts = [size.item() for size in sizes if size.size == 1 and size.dtype.kind in "iu" and size.item() > 0]
    if len(counts) != 2:
        return None
    return 2, counts[0], counts[1]


def _start(file: HDF5File) -> float:
    """Return `t_offset`, at the root or beside the events, in s."""
    for name in ("t_offset", "events/t_offset"):
        if _has(file, name):
            value = file.table(name).reshape(-1)
            if value.size != 1 or not np.isfinite(value[0]):
                raise file.error(f"/{name}", "one number", list(value.shape), LAYOUT)
            return float(value[0]) * MICROSECOND
    return 0.0
