"""A folder of recordings as shards, one folder of them for each split, for recordings larger than memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...base.bars import bar_class, shows_bars
from ...base.errors import NeurosimInputError, lookup, require
from ..catalog import Dataset, Findings, describe, load
from ..recordings import Recordings
from ..shards import INDEX, MAX_BYTES, ShardIndex, ShardWriter, open_shards, read_index, verify_shards
from ..spikes import Spikes
from . import splits
from .folder import groups_of, in_one_convention, read_item, sample_images
from .items import Item, find_items
from .options import FolderOptions, of_folder
from .sensor import Shape, common_shape, place


def splits_in(root: Path) -> tuple[str, ...]:
    """Return the names of the splits whose shards lie in a folder, the one for training first; () without shards."""
    if not root.is_dir():
        return ()
    names = [path.name for path in sorted(root.iterdir()) if (path / INDEX).is_file()]
    return splits.names_of(names) if splits.TRAIN in names else ()


def describe_shards(info: Dataset, root: Path, options: Mapping[str, Any] | None) -> Dataset:
    """Return the properties of the recordings in shards."""
    _refuse(options)
    names = splits_in(root)
    index = read_index(root / names[0])
    parts = {name: open_shards(root / name) for name in names}
    return replace(
        info,
        title=root.resolve().name,
        folder=root.resolve().name,
        shape=index.shape,
        classes=index.classes,
        splits=names,
        recordings={name: len(part) for name, part in parts.items()},
        groups=index.groups,
        group_names=index.group_names,
        duration=max(float(part.durations.max(initial=0.0)) for part in parts.values()),
        row_0=index.row_0,
    )


def load_shards(root: Path, split: str, options: Mapping[str, Any] | None) -> Recordings:
    """Return the recordings of a split, whose events stay in the files.

    Raises:
        NeurosimInputError: no such split, or options of the reader.
        NeurosimFormatError: as `open_shards`.
    """
    _refuse(options)
    lookup(dict.fromkeys(splits_in(root)), split, f"split of {root.name}")
    return open_shards(root / split)


def check_shards(root: Path) -> Findings:
    """Return the numbers of recordings and events, and the shards that are damaged."""
    names = splits_in(root)
    indices = {name: read_index(root / name) for name in names}
    shards = [shard for index in indices.values() for shard in index.shards]
    problems = [problem for name in names for problem in verify_shards(root / name)]
    counts = {name: index.recordings for name, index in indices.items()}
    return Findings(counts, len(shards), sum(shard.events for shard in shards), tuple(problems))


def _refuse(options: Mapping[str, Any] | None) -> None:
    require(not options, "data.options", "must be left out: shards are as they were written", dict(options or {}))


def shard_dataset(name: str, out: Path, max_bytes: int = MAX_BYTES) -> Mapping[str, int]:
    """Write the splits of a dataset of the catalogue into shards, go on where that was stopped; return their sizes.

    Raises:
        NeurosimError: as `catalog.load` and `ShardWriter`; the folder is complete and holds other recordings.
    """
    info = describe(name)
    sizes = {}
    for split in info.splits:
        recordings = load(name, split)
        sizes[split] = len(recordings)
        head = ShardIndex(
            shape=recordings.shape,
            classes=recordings.classes,
            groups=tuple(recordings.groups),
            group_names=dict(info.group_names),
            row_0=info.row_0,
        )
        # A run that was stopped left these shards whole.
        if not _holds_all(out / split, head, len(recordings)):
            with _writer(out / split, head, max_bytes) as writer:
                writer.add_all(recordings)
    return sizes


def shard_folder(
    root: Path, out: Path, options: Mapping[str, Any] | None = None, max_bytes: int = MAX_BYTES, *, quiet: bool = True
) -> Mapping[str, int]:
    """Write a folder of recordings into shards, one recording in memory at a time; return the sizes of the splits.

    Each file is read twice: for the sensor that holds all of them, then to be written. Stopped, it goes on behind the
    last complete shard.

    Raises:
        NeurosimError: as `open_folder` and `ShardWriter`; `out` is complete and holds other recordings.
    """
    chosen = of_folder(root, options or {})
    require(not chosen.skip_bad, "data.options.skip_bad", "must be false for shards: remove bad files first", True)
    items = find_items(root, chosen).items
    split = splits.split_of(items, chosen, str(root))
    pictures, _ = chosen.images.decided(sample_images(items))
    chosen = replace(chosen, images=pictures)
    plan = _plan(root, items, chosen, quiet=quiet)
    head = ShardIndex(
        shape=plan.shape,
        classes=plan.classes,
        groups=tuple(plan.groups),
        group_names=dict(plan.group_names),
        row_0=plan.row_0,
    )
    sizes = {}
    for name in splits.names_of(split):
        numbers = [number for number, own in enumerate(split) if own == name]
        sizes[name] = len(numbers)
        if _holds_all(out / name, head, len(numbers)):
            continue
        with _writer(out / name, head, max_bytes) as writer:
            # Written in this order: their number says where a run that was stopped goes on.
            missing = numbers[writer.recordings :]
            bar = bar_class()(missing, name, unit="file", delay=2.0, disable=quiet or not shows_bars())
            for number in bar:
                plan.add(writer, read_item(items[number], chosen, number), number)
    return sizes


@dataclass(frozen=True)
class _Plan:
    """Sensor, orientation, labels and groups, which all recordings of a folder decide together."""

    shape: Shape
    upright: bool
    row_0: str
    classes: tuple[str, ...]
    labels: tuple[int, ...]
    groups: Mapping[str, tuple[int, ...]]
    group_names: Mapping[str, tuple[str, ...]]

    def add(self, writer: ShardWriter, spikes: Spikes, number: int) -> None:
        """Write the recording with this number, on the sensor and in the orientation of all."""
        if self.upright:
            spikes = spikes.upright()
        own = {group: values[number] for group, values in self.groups.items()}
        writer.add(place(spikes, self.shape), self.labels[number], own)


def _plan(root: Path, items: tuple[Item, ...], options: FolderOptions, *, quiet: bool) -> _Plan:
    bar = bar_class()(items, "looking", unit="file", delay=2.0, disable=quiet or not shows_bars())
    # Of each file only its outermost events stay in memory, for together they may not fit.
    outlines = [_outline(read_item(item, options, number)) for number, item in enumerate(bar)]
    turned, _ = in_one_convention(root, outlines, items)
    rows = {"top" if each.report is None else each.report.row_0 for each in turned}
    shape = common_shape(turned, [str(item.path.relative_to(root)) for item in items])
    classes, labels = splits.numbered([item.label for item in items])
    if len(classes) < 2:
        raise NeurosimInputError(f"{root}: has recordings of one class, {classes[0]}; add recordings of another")
    groups = groups_of(items)
    return _Plan(
        shape=shape,
        upright=any(a is not b for a, b in zip(outlines, turned, strict=True)),
        row_0="bottom" if rows == {"bottom"} else "top",
        classes=classes,
        labels=tuple(int(label) for label in labels),
        groups={name: tuple(int(value) for value in values) for name, (_, values) in groups.items()},
        group_names={name: names for name, (names, _) in groups.items() if not all(map(splits.is_integer, names))},
    )


def _outline(spikes: Spikes) -> Spikes:
    """Return the events with the largest coordinates, which decide the sensor, without the others."""
    if not len(spikes):
        return spikes
    places = np.unique([int(axis.argmax()) for axis in spikes.coordinates()])
    return replace(spikes, times=spikes.times[places], units=spikes.units[places].copy())


def _holds_all(folder: Path, head: ShardIndex, count: int) -> bool:
    """Return whether a folder holds the shards of a split as a whole.

    Args:
        head: sensor, classes and groups of the split.
        count: number of its recordings.

    Raises:
        NeurosimInputError: it is complete, and holds others.
    """
    if not (folder / INDEX).is_file():
        return False
    present = read_index(folder)
    if not present.complete:
        return False
    present.check_like(head)
    rule = f"must have {present.recordings} recordings, as the complete shards there; or write into another folder"
    require(present.recordings == count, str(folder), rule, count)
    return True


def _writer(folder: Path, head: ShardIndex, max_bytes: int) -> ShardWriter:
    """Return the writer of the shards of a split, of which `head` says sensor, classes and groups."""
    return ShardWriter(
        folder,
        head.shape,
        classes=head.classes,
        groups=head.groups,
        group_names=head.group_names,
        row_0=head.row_0,
        max_bytes=max_bytes,
    )
