"""The images of a folder as grey levels, without a camera."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimFormatError, NeurosimInputError, NeurosimMissingError, lookup
from ...base.raw import printable
from ...base.shown import counted
from . import splits
from .folder import is_image, sample_images
from .images import fitted, read_image
from .items import Item, find_items
from .options import of_folder
from .sharded import splits_in


@dataclass(frozen=True, eq=False)
class Pictures:
    """The images of a folder.

    Attributes:
        pixels: [n, height, width] grey levels.
        labels: [n] classes.
        classes: names of the classes.
        split: name of the split of each image.
        remarks: guesses and changes, a sentence each.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    split: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, the one for training first."""
        return splits.names_of(self.split)

    def select(self, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return pixels and labels of a split.

        Raises:
            NeurosimInputError: no such split.
        """
        lookup(dict.fromkeys(self.splits), split, "split of the folder")
        rows = np.array([name == split for name in self.split])
        return self.pixels[rows], self.labels[rows]


def holds_pictures(root: Path, options: Mapping[str, Any] | None = None) -> bool:
    """Return whether all items of a folder are images; shards and folders of recordings have none.

    Raises:
        NeurosimError: as `open_pictures`, except for images that cannot be read.
    """
    if not root.is_dir() or splits_in(root):
        return False
    return all(map(is_image, _items(root, options)[0]))


def open_pictures(root: Path, options: Mapping[str, Any] | None = None) -> Pictures:
    """Return the images of a folder, each prepared as before a camera (`FolderImages`).

    Images of one shape keep it, if their longer side is at most `images.side`; others fill a square of that side, with
    the background around them.

    Raises:
        NeurosimMissingError: no folder, no images, or a file of labels that names absent files.
        NeurosimInputError: a setting that breaks its rule; images of one class; nothing to test on.
        NeurosimFormatError: a damaged image.
    """
    items, listed = _items(root, options)
    settings = of_folder(root, options or {})
    read, items, bad = _read(root, items, skip_bad=settings.skip_bad)
    split = splits.split_of(items, settings, str(root))
    prepared, guesses = settings.images.decided(sample_images(items))
    images = [prepared.prepare(image) for image in read]
    shapes = {image.shape for image in images}
    remarks = [*bad, *listed, *guesses]
    if len(shapes) > 1 or max(max(shape) for shape in shapes) > prepared.side:
        images = [fitted(image, prepared.side) for image in images]
        remarks.append(f"images were scaled to {prepared.side} x {prepared.side}; images.side decides")
    classes, labels = splits.numbered([item.label for item in items])
    if len(classes) < 2:
        raise NeurosimInputError(f"{root}: has images of one class, {classes[0]}; add images of another")
    return Pictures(pixels=np.stack(images), labels=labels, classes=classes, split=split, remarks=tuple(remarks))


def _read(
    root: Path, items: tuple[Item, ...], *, skip_bad: bool
) -> tuple[list[NDArray[np.uint8]], tuple[Item, ...], tuple[str, ...]]:
    """Return the images of items, the items that could be read, and a remark that names the others."""
    images = []
    good = []
    bad: list[str] = []
    for item in items:
        try:
            images.append(read_image(item.path, item.index))
        except NeurosimFormatError as error:
            if not skip_bad:
                raise
            bad.append(f"{printable(item.path.relative_to(root).as_posix())} ({error})")
        else:
            good.append(item)
    if not bad:
        return images, items, ()
    if not good:
        raise NeurosimFormatError(f"{root}: none of {counted(len(bad), 'file')} can be read; the first: {bad[0]}")
    return images, tuple(good), (f"left out: {counted(len(bad), 'bad file')}: {'; '.join(bad)}",)


def _items(root: Path, options: Mapping[str, Any] | None) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    if not root.is_dir():
        raise NeurosimMissingError(f"data.root: {root} is not a folder; give the folder of your images")
    listing = find_items(root, of_folder(root, options or {}))
    return listing.items, listing.remarks
