"""A folder of recordings: its files are listed, read, put into one sensor and split, with a report of all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.bars import bar_class, shows_bars
from ...base.errors import NeurosimError, NeurosimFormatError, NeurosimInputError, NeurosimMissingError, lookup
from ...base.raw import printable
from ...base.shown import counted
from ..files.pieces import read_recording
from ..read_report import NOT_STATED
from ..recordings import Recordings
from ..spikes import Spikes
from . import splits
from .doubts import doubts_of
from .duplicates import remark_on_duplicates
from .images import read_image
from .items import Item, find_items
from .options import FolderOptions, of_folder
from .sensor import SHAPE, common_shape, place, states_sensor
from .takes import with_recordings
from .tree import IMAGES, files_below

# Number of bad files after which a folder is read no further.
MAX_BAD = 20
# Number of images by which their preparation is guessed.
SAMPLE = 200
# Formats of files that hold images.
PICTURES = "images"


@dataclass(frozen=True, eq=False)
class Folder:
    """The recordings of a folder.

    Attributes:
        root: the folder.
        options: how it was read.
        items: the recordings' files, classes, splits and groups.
        recordings: all of them, in the order of the items.
        split: name of the split of each item.
        groups: names of the values of each group, in the order of their numbers in `recordings.groups`.
        formats: number of files of each format.
        remarks: guesses, changes and omissions in reading the files, a sentence each.
        doubts: possible faults of the recordings, a sentence each.
        row_0: where pictures of the recordings have row 0: "bottom" if all have it there, else "top".
    """

    root: Path
    options: FolderOptions
    items: tuple[Item, ...]
    recordings: Recordings
    split: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    formats: Mapping[str, int]
    remarks: tuple[str, ...]
    doubts: tuple[str, ...]
    row_0: str = "top"

    @property
    def name(self) -> str:
        """Return the name of the folder."""
        return self.root.resolve().name or str(self.root)

    @property
    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits, the one for training first."""
        return splits.names_of(self.split)

    @property
    def group_names(self) -> Mapping[str, tuple[str, ...]]:
        """Return the names of the values of each group, where they are not numbers themselves."""
        return {key: names for key, names in self.groups.items() if not all(map(splits.is_integer, names))}

    @property
    def counts(self) -> Mapping[str, int]:
        """Return the number of recordings of each split."""
        return {name: self.split.count(name) for name in self.splits}

    def select(self, split: str) -> Recordings:
        """Return the recordings of a split.

        Raises:
            NeurosimInputError: no such split.
        """
        lookup(dict.fromkeys(self.splits), split, f"split of {self.name}")
        return self.recordings.select(np.array([name == split for name in self.split]))


def open_folder(root: Path, options: Mapping[str, Any] | None = None, *, quiet: bool = True) -> Folder:
    """Return the recordings of a folder; the latest result is cached until one of its files changes.

    Args:
        root: the folder.
        options: settings of `FolderOptions` by name, which win over its `dataset.toml`.
        quiet: whether to hide the progress bar.

    Raises:
        NeurosimMissingError: no folder, no recordings, or a file of labels that names absent files.
        NeurosimInputError: a setting that breaks its rule; sensors that do not fit together; nothing to test on.
        NeurosimFormatError: a file that breaks its format.
    """
    if not root.is_dir():
        if root.exists():
            trouble = "is not a folder"
        elif root.is_absolute():
            trouble = "does not exist"
        else:
            trouble = f"does not exist in {Path.cwd()}, where the command runs"
        raise NeurosimMissingError(f"data.root: {root} {trouble}; give the folder of your recordings")
    stamp = hash(tuple(_stamp(path) for path in files_below(root)))
    return _open(root, of_folder(root, options or {}), stamp, quiet)


def _stamp(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns


@lru_cache(maxsize=1)
def _open(root: Path, options: FolderOptions, stamp: int, quiet: bool) -> Folder:
    """Read the recordings of a folder, all in one convention and on one sensor."""
    listing = find_items(root, options)
    items = with_recordings(listing.items)
    split = splits.split_of(items, options, str(root))
    bar = bar_class()(items, "reading", unit="file", delay=2.0, disable=quiet or not shows_bars())
    pictures, guesses = options.images.decided(sample_images(items))
    # Files that cannot be read are left out, so the split is made again of the others: shares are of what is used.
    read, items, bad = _read_all(root, bar, replace(options, images=pictures))
    if bad:
        split = splits.split_of(items, options, str(root))
    read, turned = in_one_convention(root, read, items)
    shape = common_shape(read, [str(item.path.relative_to(root)) for item in items])
    classes, labels = splits.numbered([item.label for item in items])
    if len(classes) < 2:
        raise NeurosimInputError(f"{root}: has recordings of one class, {classes[0]}; add recordings of another")
    recordings = Recordings.collect([place(spikes, shape) for spikes in read], labels, classes)
    groups = groups_of(items)
    numbers = {name: values for name, (_, values) in groups.items()}
    twice = remark_on_duplicates(root, read, items)
    further = [twice] if twice else []
    if options.shape is None and not any(is_image(item) for item in items) and not any(map(states_sensor, read)):
        further.append(f"the sensor is the smallest that holds all events; {SHAPE} states a larger one")
    return Folder(
        root=root,
        options=options,
        items=items,
        recordings=replace(recordings, groups=numbers),
        split=split,
        groups={name: names for name, (names, _) in groups.items()},
        formats=Counter(map(_format, read, items)),
        remarks=(*bad, *listing.remarks, *guesses, *_remarks(read, options), *turned, *further),
        doubts=tuple(doubts_of(read, items, split, classes, shape, options.tick)),
        row_0="bottom" if all(_row_0(spikes) == "bottom" for spikes in read) else "top",
    )


def sample_images(items: Sequence[Item]) -> list[NDArray[np.uint8]]:
    """Return up to `SAMPLE` images, evenly spread over the items; those that cannot be read are left out."""
    pictures = [item for item in items if is_image(item)]
    images = []
    for item in pictures[:: -(-len(pictures) // SAMPLE) or 1]:
        try:
            images.append(read_image(item.path, item.index))
        except NeurosimInputError:
            continue
    return images


def _read_all(
    root: Path, items: Iterable[Item], options: FolderOptions
) -> tuple[list[Spikes], tuple[Item, ...], tuple[str, ...]]:
    """Return the recordings of items, the items that could be read, and a remark that names the others.

    Raises:
        NeurosimFormatError: files that break their format, and not `options.skip_bad`.
    """
    read = []
    good = []
    bad = []
    for number, item in enumerate(items):
        try:
            read.append(read_item(item, options, number))
        except NeurosimFormatError as error:
            bad.append((item, error))
            # With wrong options all files are bad: do not read on for long.
            if len(bad) == MAX_BAD and not options.skip_bad:
                break
        else:
            good.append(item)
    if not bad:
        return read, tuple(good), ()
    names = [printable(item.path.relative_to(root).as_posix()) for item, _ in bad]
    if not options.skip_bad:
        raise _bad_files(bad[0][1], names)
    if not read:
        raise NeurosimFormatError(f"{root}: none of {counted(len(bad), 'file')} can be read; the first: {bad[0][1]}")
    reasons = [str(error).removeprefix(f"{item.path}: ") for item, error in bad]
    listed = "; ".join(f"{name} ({reason})" for name, reason in zip(names, reasons, strict=True))
    return read, tuple(good), (f"left out: {counted(len(bad), 'bad file')}: {listed}",)


def _bad_files(first: NeurosimFormatError, names: Sequence[str]) -> NeurosimFormatError:
    """Return the error of files that cannot be read: that of the first, and the names of all."""
    step = "--skip-bad, or data.options.skip_bad = true, leaves bad files out"
    if len(names) == 1:
        return NeurosimFormatError(f"{first}; {step}")
    many = f"at least {len(names)}" if len(names) == MAX_BAD else str(len(names))
    return NeurosimFormatError(f"{first}; {many} files are bad: {', '.join(names)}; {step}")


def _format(spikes: Spikes, item: Item) -> str:
    """Return the format of a file, by the name that its reader gives it, or else its suffix."""
    if is_image(item):
        return PICTURES
    if spikes.report and spikes.report.format:
        return spikes.report.format
    return item.path.suffix.lower().lstrip(".") or "other"


def is_image(item: Item) -> bool:
    """Return whether an item is a still image."""
    return item.index is not None or item.path.suffix.lower() in IMAGES


def read_item(item: Item, options: FolderOptions, number: int) -> Spikes:
    """Return the recording of an item, from where `options.start` says."""
    if is_image(item):
        picture = options.images.prepare(read_image(item.path, item.index))
        return options.images.record(picture, number)
    try:
        spikes = read_recording(item.path, options.read.where_allowed(item.path))
    except NeurosimError as error:
        if str(item.path) in str(error):
            raise
        raise type(error)(f"{item.path}: {error}") from None
    return spikes.starting(options.start)


def in_one_convention(
    root: Path, read: Sequence[Spikes], items: Sequence[Item]
) -> tuple[list[Spikes], tuple[str, ...]]:
    """Return recordings whose rows and polarities mean the same, and remarks on those that were turned.

    Raises:
        NeurosimInputError: polarity 1 is a fall of light in some files, and a rise in others.
    """
    names = [printable(item.path.name) for item in items]
    flipped = [k for k, spikes in enumerate(read) if _row_0(spikes) == "bottom"]
    dark = [k for k, spikes in enumerate(read) if _polarity_1(spikes) == "darker"]
    if dark and len(dark) < len(read):
        bright = next(k for k in range(len(read)) if k not in dark)
        raise NeurosimInputError(
            f"{root}: polarity 1 is a fall of light in {names[dark[0]]} and a rise in "
            f"{names[bright]}; choose another data.options.camera, or keep one kind of file in a folder"
        )
    unstated = [k for k, spikes in enumerate(read) if _polarity_1(spikes) == NOT_STATED]
    remarks = []
    if unstated and len(unstated) < len(read):
        silent = f"{counted(len(unstated), 'file')} without a word on polarity 1, e.g. {names[unstated[0]]}"
        remarks.append(f"{silent}: read as in the others")
    # Rows are turned only where files differ: pages say which row is first.
    if not flipped or len(flipped) == len(read):
        return list(read), tuple(remarks)
    bottom = f"{counted(len(flipped), 'file')}, e.g. {names[flipped[0]]}"
    remarks.append(f"row 0 is at the bottom of the picture in {bottom}, and at the top in others: rows were turned")
    return [spikes.upright() for spikes in read], tuple(remarks)


def groups_of(items: Sequence[Item]) -> dict[str, tuple[tuple[str, ...], Any]]:
    """Return the values and the numbers of each group that all recordings have; integers keep their number."""
    groups = {}
    for name in items[0].groups:
        if all(name in item.groups for item in items):
            values = [item.groups[name] for item in items]
            names, numbers = splits.numbered(values)
            if all(map(splits.is_integer, names)):
                numbers = np.array([int(value) for value in values], np.int64)
            groups[name] = names, numbers
    return groups


def _remarks(read: Sequence[Spikes], options: FolderOptions) -> Iterable[str]:
    """Yield the reports of the readers, summed over all files."""
    reports = [spikes.report for spikes in read if spikes.report is not None]
    for words, count in Counter(words for report in reports for words in report.guessed).items():
        yield f"guessed in {counted(count, 'file')}: {words}"
    for words, count in Counter(words for report in reports for words in report.orientation()).items():
        yield f"in {counted(count, 'file')}: {words}"
    for kind, verb in (("skipped", "left out"), ("changed", "changed")):
        total: Counter[str] = Counter()
        for report in reports:
            total.update(getattr(report, kind))
        yield from (f"{verb}: {count:,} {words}" for words, count in total.items() if count)
    # Nobody misses the first milliseconds of a recording.
    starts = [report.start for report in reports if report.start and report.start >= 1e-3]
    if starts and options.start in (None, "first"):
        times = f"{min(starts):.3f} to {max(starts):.3f} s"
        yield f"recordings start at their first event, {times} on the clocks of {counted(len(starts), 'file')}"


def _row_0(spikes: Spikes) -> str:
    return "top" if spikes.report is None else spikes.report.row_0


def _polarity_1(spikes: Spikes) -> str:
    return "brighter" if spikes.report is None else spikes.report.polarity_1
