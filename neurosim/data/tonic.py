"""tonic's datasets and transforms for our recordings, and our recordings for tonic.

In tonic a recording is a structured array with the fields t (microseconds), x, p and, for cameras, y; a sensor is
(width, height, polarities). Most functions here work on such arrays and need no tonic.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.distribution import install
from ..base.errors import NeurosimInputError, NeurosimMissingError, lookup, require
from .recordings import Recordings
from .spikes import Spikes

MICROSECOND = 1e-6
# Times this close below an integer of microseconds are rounded up to it: k * 1e-6 s is seldom exact.
SLACK = 1e-3
CAMERA = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
LINE = np.dtype([("t", int), ("x", int), ("p", int)])


def to_events(spikes: Spikes) -> NDArray[Any]:
    """Return a recording in tonic's form: fields x, y, t, p for a shape (polarities, height, width), else t, x, p = 1.

    Times are cut to integers of microseconds, as in tonic's datasets.
    """
    events = np.empty(len(spikes), CAMERA if len(spikes.shape) == 3 else LINE)
    events["t"] = np.floor(spikes.times / MICROSECOND + SLACK)
    if len(spikes.shape) == 3:
        events["p"], events["y"], events["x"] = spikes.coordinates()
    else:
        events["x"] = spikes.units
        events["p"] = 1
    return events


def from_events(events: NDArray[Any], sensor_size: Sequence[int], duration: float | None = None) -> Spikes:
    """Return a recording of tonic as ours, with events in order of time.

    Args:
        sensor_size: (width, height, polarities), as a tonic dataset's attribute of that name. Without a field y the
            shape is (width,), or (polarities, 1, width) where there are several.
        duration: s; None: until the last event.

    Raises:
        NeurosimInputError: not a structured array of events, or an event outside the sensor or before time 0.
    """
    names = getattr(events, "dtype", np.dtype(float)).names or ()
    require({"t", "x", "p"} <= set(names), "from_events", "needs a structured array with fields t, x and p", names)
    width, height, polarities = (int(n) for n in sensor_size)
    # With one polarity tonic writes either 0 or 1.
    if polarities > 1:
        p = events["p"].astype(np.int64)
    else:
        p = np.zeros(len(events), np.int64)
    if "y" in names:
        y = events["y"]
    else:
        y = np.zeros(len(events), np.int64)
    for name, values, size in (("x", events["x"], width), ("y", y, height), ("p", p, polarities)):
        inside = (values >= 0) & (values < size) & (values % 1 == 0)
        rule = f"must be an integer and 0 <= {name} < {size}"
        require(bool(inside.all()), f"events['{name}']", rule, values[~inside][:1])
    units = ((p * height + y) * width + events["x"]).astype(np.int32)
    shape = (polarities, height, width) if "y" in names or polarities > 1 else (width,)
    return Spikes.sort(events["t"] * MICROSECOND, units, width * height * polarities, duration, shape)


def sensor_size(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return tonic's (width, height, polarities) of our shape: (34, 34, 2) of (2, 34, 34), (700, 1, 1) of (700,)."""
    if len(shape) == 3:
        return int(shape[2]), int(shape[1]), int(shape[0])
    return int(np.prod(shape)), 1, 1


def from_dataset(dataset: Any, limit: int | None = None, sensor: Sequence[int] | None = None) -> Recordings:
    """Return any tonic dataset, or another sequence of (events, label), as `Recordings`.

    Args:
        limit: largest number of recordings, from the first.
        sensor: (width, height, polarities); None: the dataset's attribute `sensor_size`.

    Raises:
        NeurosimInputError: no sensor size known, no items, or an item that is no array of events (a transform to
            frames belongs behind: `neurosim.data.frames`).
    """
    size = sensor if sensor is not None else getattr(dataset, "sensor_size", None)
    if size is None or None in tuple(size):
        raise NeurosimInputError("from_dataset: this dataset names no sensor size; give sensor=(width, height, 2)")
    items: Iterable[tuple[Any, Any]] = (dataset[i] for i in range(len(dataset)))
    recordings = []
    labels = []
    for events, label in islice(items, limit):
        recordings.append(from_events(events, size))
        labels.append(label)
    require(len(recordings) > 0, "from_dataset", "needs at least one recording", 0)
    # Labels that are boxes or masks belong to no classes.
    are_integers = all(np.ndim(label) == 0 and np.asarray(label).dtype.kind in "iub" for label in labels)
    classes = getattr(dataset, "classes", None)
    if classes is None:
        classes = ()
    names = tuple(name.decode() if isinstance(name, bytes) else str(name) for name in classes)
    return Recordings.collect(recordings, labels if are_integers else None, names)


class TonicDataset:
    """Our recordings as a dataset of tonic's kind: item i is (events, label), and transforms apply.

    Works wherever tonic's own do: `DiskCachedDataset`, `SlicedDataset`, torch's `DataLoader`.

    Attributes:
        sensor_size: (width, height, polarities).
        dtype, ordering: of the events.
        classes: the name of each label.
        targets: the labels.
    """

    def __init__(
        self,
        recordings: Recordings,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        transforms: Callable[[Any, Any], tuple[Any, Any]] | None = None,
    ) -> None:
        self.recordings = recordings
        self.transform = transform
        self.target_transform = target_transform
        self.transforms = transforms
        self.sensor_size = sensor_size(recordings.shape)
        self.dtype = CAMERA if len(recordings.shape) == 3 else LINE
        self.ordering = self.dtype.names
        self.classes = list(recordings.classes)
        if recordings.labels is None:
            self.targets = []
        else:
            self.targets = recordings.labels.tolist()

    def __len__(self) -> int:
        return len(self.recordings)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        events: Any = to_events(self.recordings[index])
        # A recording without a label has the one tonic gives it: none.
        target: Any = self.targets[index] if self.targets else None
        if self.transform is not None:
            events = self.transform(events)
        if self.target_transform is not None:
            target = self.target_transform(target)
        if self.transforms is not None:
            events, target = self.transforms(events, target)
        return events, target


def apply(transform: Callable[[Any], Any], spikes: Spikes, shape: tuple[int, ...] | None = None) -> Any:
    """Apply a transform of tonic to our recording; return `Spikes` if the result is events, else its array.

    Args:
        shape: of the result, where the transform changes the sensor (a crop, a coarser grid).

    Raises:
        NeurosimInputError: events that do not fit the shape.
    """
    result = transform(to_events(spikes))
    if getattr(getattr(result, "dtype", None), "names", None) is None:
        return result
    last = float(result["t"].max(initial=0)) * MICROSECOND
    shape = shape or spikes.shape
    # A transform that thins out events or moves them inside a recording leaves its duration.
    events = from_events(result, sensor_size(shape), max(spikes.duration, last))
    return replace(events, shape=shape)


def load(
    name: str,
    folder: str | os.PathLike[str],
    options: Mapping[str, Any] | None = None,
    limit: int | None = None,
) -> Recordings:
    """Return a dataset of tonic by its name, e.g. load("DVSGesture", "data", {"train": False}).

    tonic downloads it if it is absent.

    Raises:
        NeurosimMissingError: tonic is not installed.
        NeurosimInputError: no such dataset, or as `from_dataset`.
    """
    datasets = _tonic().datasets
    table = {key: getattr(datasets, key) for key in datasets.__all__ if isinstance(getattr(datasets, key), type)}
    kind = lookup(table, name, "tonic dataset")
    return from_dataset(kind(save_to=os.fspath(folder), **(options or {})), limit)


def _tonic() -> Any:
    try:
        import tonic
    except ImportError:
        raise NeurosimMissingError(f"data.tonic: needs tonic; run: {install('tonic')}") from None
    return tonic
