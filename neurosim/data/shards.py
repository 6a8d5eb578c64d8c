"""Recordings in shards: files of a folder with an index, for a training on more than memory holds.

    FOLDER/index.json                  sensor, classes, and of each shard its file, sizes and SHA-256
    FOLDER/shard-00000.safetensors     ticks, units, offsets, durations, labels and groups of some recordings

A writer that was stopped goes on behind the last complete shard. `open_shards` returns `Recordings` whose events stay
in the files: an item, a selection or a batch reads its own.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, cast, final

import numpy as np
from numpy.typing import NDArray

from ..base.errors import NeurosimFormatError, NeurosimInputError, NeurosimMissingError, require
from ..base.json_toml import read_json, write_json
from ..base.plain import Record
from ..base.raw import format_error
from .download import digest
from .file_array import FileArray, FilePart
from .files.arrays import read_arrays, write_arrays
from .recordings import Recordings
from .spikes import Spikes

INDEX = "index.json"
FORMAT = "neurosim shards"
VERSION = 1
# Bytes of the events of a shard, if its recordings are not larger themselves; a writer holds three times as many.
MAX_BYTES = 1 << 26
# Bytes of an event while it waits for its shard: a time and a unit.
EVENT_BYTES = 12
TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U32": "<u4", "I16": "<i2", "U16": "<u2"}
GROUP = "group."
LABELS = "labels"


@dataclass(frozen=True)
class Shard(Record):
    """A shard in the index: file, numbers of recordings and events, and the SHA-256 of the file, "sha256:..."."""

    file: str
    recordings: int
    events: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class ShardIndex(Record):
    """The index of a folder of shards.

    Attributes:
        format, version: of the folder.
        shape: of the sensor.
        tick: s.
        classes: names of the labels.
        groups: names of the groups.
        group_names: names of the values of a group, in the order of their numbers, where it has names.
        row_0: where pictures have row 0, "top" or "bottom".
        shards: in the order of the recordings.
        complete: whether all recordings are there.
    """

    format: str = FORMAT
    version: int = VERSION
    shape: tuple[int, ...]
    tick: float = 1.0
    classes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    group_names: Mapping[str, tuple[str, ...]]
    row_0: str = "top"
    shards: tuple[Shard, ...] = ()
    complete: bool = False

    @property
    def recordings(self) -> int:
        """Return the number of recordings in the shards."""
        return sum(shard.recordings for shard in self.shards)

    def check_like(self, other: ShardIndex) -> None:
        """Raise unless recordings of another index may lie in this folder.

        Raises:
            NeurosimInputError: they are of another sensor, other classes or groups.
        """
        for name in ("shape", "classes", "groups", "group_names", "row_0"):
            expected = getattr(self, name)
            rule = f"must be {expected}, as in the shards that are there; or write into another folder"
            require(getattr(other, name) == expected, f"ShardWriter.{name}", rule, getattr(other, name))


def read_index(folder: Path | str) -> ShardIndex:
    """Return the index of a folder of shards.

    Raises:
        NeurosimMissingError: no index.
        NeurosimFormatError: another file, damaged, or of a later version.
    """
    path = Path(folder) / INDEX
    tree = read_json(path)
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        raise NeurosimFormatError(f"{path}: expected the index of shards; give a folder that ShardWriter wrote")
    if tree.get("version") != VERSION:
        raise NeurosimFormatError(f"{path}: version {tree.get('version')}, this neurosim reads {VERSION}; upgrade it")
    try:
        index = ShardIndex.from_dict(tree)
        for shard in index.shards:
            # A folder may come from anyone: a name must not lead out of it.
            is_plain = bool(shard.file) and Path(shard.file).name == shard.file
            require(is_plain, "ShardIndex.shards", "must name files of the folder", shard.file)
    except NeurosimInputError as error:
        raise NeurosimFormatError(f"{path}: {error}; write the shards again") from None
    return index


@final
class ShardWriter:
    """Writes recordings into shards; one that was stopped goes on where it was, with `recordings` already there.

        with ShardWriter("shards/train", (2, 34, 34), classes=("cat", "dog")) as writer:
            for spikes, label in source[writer.recordings :]:
                writer.add(spikes, label)

    Attributes:
        recordings: number of recordings in complete shards when the writer was made.
    """

    def __init__(
        self,
        folder: Path | str,
        shape: tuple[int, ...],
        *,
        classes: tuple[str, ...] = (),
        groups: tuple[str, ...] = (),
        group_names: Mapping[str, tuple[str, ...]] | None = None,
        row_0: str = "top",
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """Begin a folder, or go on with one.

        Raises:
            NeurosimInputError: the folder is complete, or of another sensor, other classes or groups.
            NeurosimMissingError, NeurosimFormatError: a damaged index, or a first shard that is missing or damaged.
        """
        require(max_bytes > 0, "ShardWriter.max_bytes", "must be > 0", max_bytes)
        self.folder = Path(folder)
        self._max_bytes = max_bytes
        self._index = ShardIndex(
            shape=tuple(shape), classes=classes, groups=groups, group_names=dict(group_names or {}), row_0=row_0
        )
        # A writer that was interrupted goes on behind the shards that it completed.
        if (self.folder / INDEX).is_file():
            present = read_index(self.folder)
            require(not present.complete, f"{folder}", "is complete; write into another folder", present.recordings)
            present.check_like(self._index)
            self._index = present
        self.recordings = self._index.recordings
        self._waiting: list[tuple[Spikes, int | None, Mapping[str, int]]] = []
        self._bytes = 0
        # Whether recordings have labels; None before the first.
        self._labelled: bool | None = None
        if self._index.shards:
            first = self._index.shards[0]
            self._labelled = LABELS in _places(self.folder / first.file, first).known

    def add(self, spikes: Spikes, label: int | None = None, groups: Mapping[str, int] | None = None) -> None:
        """Add a recording, and write a shard where enough of them wait.

        Raises:
            NeurosimInputError: another sensor, other groups, or a label for some recordings only.
            NeurosimWriteError: the disk refuses; the shards before are complete.
        """
        own = dict(groups or {})
        require(spikes.shape == self._index.shape, "ShardWriter.add", f"needs {self._index.shape}", spikes.shape)
        require(set(own) == set(self._index.groups), "ShardWriter.add", f"needs {self._index.groups}", tuple(own))
        alike = self._labelled in (None, label is not None)
        require(alike, "ShardWriter.add", "needs a label for all recordings, or for none", label)
        self._labelled = label is not None
        self._waiting.append((spikes, label, own))
        self._bytes += EVENT_BYTES * len(spikes)
        if self._bytes >= self._max_bytes:
            self._flush()

    def add_all(self, recordings: Recordings) -> None:
        """Add recordings, those that are in complete shards left out.

        Raises:
            NeurosimInputError, NeurosimWriteError: as `add`.
        """
        for k in range(self.recordings, len(recordings)):
            label = None if recordings.labels is None else int(recordings.labels[k])
            self.add(recordings[k], label, {name: int(values[k]) for name, values in recordings.groups.items()})

    def close(self) -> None:
        """Write what waits, and mark the folder as complete."""
        self._flush()
        self._write_index(complete=True)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        # What waits after a failure is written again by the next writer.
        if kind is None:
            self.close()

    def _flush(self) -> None:
        """Write the waiting recordings as a shard, and name it in the index."""
        if not self._waiting:
            return
        lengths = [len(spikes) for spikes, _, _ in self._waiting]
        arrays: dict[str, NDArray[Any]] = {
            "ticks": np.concatenate([spikes.times for spikes, _, _ in self._waiting]),
            "units": np.concatenate([spikes.units for spikes, _, _ in self._waiting]),
            "offsets": np.cumsum([0, *lengths]).astype(np.int64),
            "durations": np.array([spikes.duration for spikes, _, _ in self._waiting]),
        }
        if self._waiting[0][1] is not None:
            arrays[LABELS] = np.array([label for _, label, _ in self._waiting], np.int64)
        for name in self._index.groups:
            arrays[f"{GROUP}{name}"] = np.array([groups[name] for _, _, groups in self._waiting], np.int64)
        name = f"shard-{len(self._index.shards):05d}.safetensors"
        path = self.folder / name
        write_arrays(path, arrays)
        shard = Shard(file=name, recordings=len(lengths), events=sum(lengths), digest=digest(path, "sha256:"))
        # The index names a shard once its file is complete: a writer that was killed before writes it again.
        self._waiting = []
        self._bytes = 0
        self._write_index(shard)

    def _write_index(self, *shards: Shard, complete: bool = False) -> None:
        tree = self._index.to_dict()
        added = [shard.to_dict() for shard in shards]
        self._index = ShardIndex.from_dict({**tree, "shards": [*tree["shards"], *added], "complete": complete})
        write_json(self.folder / INDEX, self._index.to_dict())


def open_shards(folder: Path | str) -> Recordings:
    """Return the recordings of a folder of shards; events are read where they are used.

    Raises:
        NeurosimMissingError: no index, or a shard is not there.
        NeurosimFormatError: shards that are not complete or do not fit the index.
    """
    index = read_index(folder)
    if not index.complete:
        raise NeurosimFormatError(
            f"{folder}: holds {index.recordings} recordings and is not complete; go on writing it with ShardWriter"
        )
    places = []
    parts: dict[str, list[NDArray[Any]]] = {}
    for shard in index.shards:
        path = Path(folder) / shard.file
        place = _places(path, shard)
        places.append(place)
        # Events stay in the files; everything else is small and read at once.
        names = [name for name in place.known if name not in ("ticks", "units")]
        for name, values in read_arrays(path, *names).items():
            parts.setdefault(name, []).append(values)
    lengths = np.concatenate([np.empty(0, np.int64), *(np.diff(offsets) for offsets in parts.get("offsets", []))])
    labels = parts.get(LABELS)
    return Recordings(
        ticks=_flat([place.ticks for place in places], np.dtype(np.float64)),
        units=_flat([place.units for place in places], np.dtype(np.int32)),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        durations=np.concatenate([np.empty(0), *parts.get("durations", [])]),
        size=math.prod(index.shape),
        shape=index.shape,
        tick=index.tick,
        labels=np.concatenate(labels) if labels else None,
        classes=index.classes,
        groups={name: np.concatenate(parts[f"{GROUP}{name}"]) for name in index.groups if f"{GROUP}{name}" in parts},
    )


def verify_shards(folder: Path | str) -> list[str]:
    """Return a line for each shard whose bytes are not those that were written; none where all are sound.

    Raises:
        NeurosimMissingError, NeurosimFormatError: as `read_index`.
    """
    problems = []
    for shard in read_index(folder).shards:
        path = Path(folder) / shard.file
        if not path.is_file():
            problems.append(f"{path}: is missing; copy it again")
        elif digest(path, "sha256:") != shard.digest:
            problems.append(f"{path}: its checksum is not {shard.digest}; copy it again")
    return problems


@dataclass(frozen=True)
class _Places:
    ticks: FilePart
    units: FilePart
    known: tuple[str, ...]


def _places(path: Path, shard: Shard) -> _Places:
    """Return where the events of a shard are in its file.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: another format, or other sizes than the index says.
    """
    if not path.is_file():
        raise NeurosimMissingError(f"{path}: a shard of the index is missing; copy it again")
    # A safetensors file: number of bytes of the header (8), JSON with type, shape and bytes of each array, the arrays.
    size = os.stat(path).st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length) if length < size else b""
    parts = {}
    try:
        header = json.loads(text)
        for name in ("ticks", "units"):
            entry = header[name]
            begin, end = entry["data_offsets"]
            dtype = np.dtype(TYPES[entry["dtype"]])
            part = FilePart(str(path), 8 + length + begin, (end - begin) // dtype.itemsize, dtype)
            if part.count != shard.events or 8 + length + end > size or entry["shape"] != [shard.events]:
                raise ValueError(f"{part.count} {name} in {size} bytes")
            parts[name] = part
    except (ValueError, KeyError, TypeError) as error:
        expected = f"a shard of {shard.events} events"
        raise format_error(path, "header", expected, str(error) or "another file", "copy it again") from None
    return _Places(parts["ticks"], parts["units"], tuple(name for name in header if name != "__metadata__"))


def _flat(parts: list[FilePart], empty: np.dtype[Any]) -> NDArray[Any]:
    """Return the parts as one flat array, which is read where it is used."""
    dtype = parts[0].dtype if parts else empty
    for part in parts:
        if part.dtype != dtype:
            raise format_error(part.path, "header", f"numbers of {dtype}, as in the first shard", part.dtype, "copy it")
    # It has the methods of an array that recordings use.
    return cast("NDArray[Any]", FileArray.of(parts, dtype))
