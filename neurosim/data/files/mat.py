"""Tables of events in MATLAB files of version 5 and, as HDF5, 7.3."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.raw import format_error, read_bytes
from ..read_report import NOT_STATED
from ..spikes import Spikes
from .camera_hdf5 import MAX_RATIO
from .hdf5 import SIGNATURE, HDF5File, open_hdf5
from .mat5 import MAX_DEPTH, DamagedMat, variables_of
from .table_events import spikes_of
from .tables import LAYOUT, EventTable, array_key, find_columns

# An HDF5 file follows the text of a MATLAB file of version 7.3.
BEGIN = 512
# Maximum number of variables of a group that are read.
MAX_NAMES = 1000
# Variable of ST-MNIST, and taxels of a row of its sensor.
TRAINS = "spiketrain"
TAXELS = 10
MARK = b"MATLAB 5.0 MAT-file"


def read_mat(
    path: str | os.PathLike[str],
    shape: tuple[int, ...] | None = None,
    tick: float | None = None,
    columns: str | None = None,
) -> Spikes:
    """Return the events in a MATLAB file: a structure with t, x, y, p (or usual names), such variables, or one matrix.

    Also the spike trains of ST-MNIST, [taxels + times, samples].

    Args:
        path: of the file.
        shape: of the sensor; None: the smallest that holds all events.
        tick, columns: as for `read_npy`.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not a MATLAB file, damaged, no table of events, or several; and as `read_npy`.
    """
    raw = read_bytes(path)
    if raw[BEGIN : BEGIN + 8].tobytes() == SIGNATURE:
        with open_hdf5(path, MAX_RATIO, BEGIN) as file:
            tables = dict(_hdf5_tables(file, "", MAX_DEPTH))
            return _spikes(path, tables, shape, tick, columns)
    if raw[: len(MARK)].tobytes() != MARK:
        if raw.size:
            got = f"{raw[:12].tobytes()!r}"
        else:
            got = "an empty file"
        raise format_error(path, "byte 0", f"'{MARK.decode()}'", got, "save it as version 7 or 7.3")
    return _spikes(path, dict(_tables(_variables(path, raw))), shape, tick, columns)


def _spikes(
    path: object,
    tables: Mapping[str, Mapping[str, NDArray[Any]]],
    shape: tuple[int, ...] | None,
    tick: float | None,
    columns: str | None,
) -> Spikes:
    """Return the events of the only structure that has columns of events, or else of the only matrix of them."""
    # From the most certain layout to the least: a known dataset, named columns, a bare matrix.
    trains = [table[TRAINS] for table in tables.values() if _is_spike_trains(table.get(TRAINS))]
    if len(trains) == 1:
        return _of_spike_trains(path, trains[0], shape, tick)
    candidates = {name: table for name, table in tables.items() if _has_columns(table)}
    if not candidates:
        candidates = {name: table for name, table in tables.items() if _has_matrix(table)}
    if len(candidates) != 1:
        got = ", ".join(name or "the variables" for name in list(candidates or tables)[:8]) or "nothing"
        raise format_error(path, "variables", "one structure or matrix of events", got, LAYOUT)
    name, arrays = next(iter(candidates.items()))
    found = find_columns(path, dict(arrays), columns)
    table = EventTable(path, found.where or name, found.columns, "matlab", guessed=found.guessed, unit=found.unit)
    return spikes_of(table, shape, tick)


def _is_spike_trains(array: NDArray[Any] | None) -> bool:
    return array is not None and array.ndim == 2 and array.shape[0] == TAXELS * TAXELS + 1


def _of_spike_trains(path: object, trains: NDArray[Any], shape: tuple[int, ...] | None, tick: float | None) -> Spikes:
    """Return the events of ST-MNIST: a row for each taxel, with 1 and -1 where it has an event, and a row of times, s.

    Source: See et al. 2020, "ST-MNIST: the spiking tactile MNIST neuromorphic dataset".
    """
    rows, samples = np.nonzero(trains[:-1].T)[::-1]
    columns = {
        "t": trains[-1, samples],
        "x": rows % TAXELS,
        "y": rows // TAXELS,
        "p": (trains[rows, samples] > 0).astype(np.int8),
    }
    table = EventTable(path, TRAINS, columns, "matlab", polarity_1=NOT_STATED)
    return spikes_of(table, shape or (2, TAXELS, TAXELS), tick or 1.0)


def _has_columns(table: Mapping[str, NDArray[Any]]) -> bool:
    """Return whether a structure has names for times and for places of events."""
    return {"t", "x"} <= set(map(array_key, table))


def _has_matrix(table: Mapping[str, NDArray[Any]]) -> bool:
    """Return whether a structure has a matrix of four columns or four rows."""
    return any(array.ndim == 2 and 4 in array.shape for array in table.values())


def _variables(path: object, raw: NDArray[np.uint8]) -> dict[str, object]:
    """Return the variables of a file of version 5."""
    try:
        return variables_of(raw.tobytes())
    except (DamagedMat, zlib.error) as error:
        raise format_error(path, "variables", "an intact MATLAB file", error, "fetch it again") from None


def _tables(variables: Mapping[str, object], name: str = "") -> Iterator[tuple[str, dict[str, NDArray[Any]]]]:
    """Yield the arrays of numbers of each structure, by its name; "" for the variables themselves."""
    for key, value in variables.items():
        if isinstance(value, dict):
            yield from _tables(value, f"{name}.{key}".strip("."))
    arrays = {key: value for key, value in variables.items() if isinstance(value, np.ndarray)}
    if arrays:
        yield name, arrays


def _hdf5_tables(file: HDF5File, name: str, depth: int) -> Iterator[tuple[str, dict[str, NDArray[Any]]]]:
    """Yield the arrays of numbers of each group, as `_tables`."""
    arrays: dict[str, NDArray[Any]] = {}
    for key in file.names(name)[:MAX_NAMES]:
        full = f"{name}/{key}".strip("/")
        # References of cells.
        if key.startswith("#"):
            continue
        if file.groups(full):
            if depth:
                yield from _hdf5_tables(file, full, depth - 1)
        elif file.dataset(full, rank=None).dtype.kind in "iufb":
            # MATLAB writes columns first.
            arrays[key] = file.table(full).T
    if arrays:
        yield name, arrays
