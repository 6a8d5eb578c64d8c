"""Sources of items: datasets of images or recordings, in the form that learners take."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimError, NeurosimMissingError, lookup, require
from ...data import catalog
from ...data.catalog import FOLDER
from ...data.folder.pictures import holds_pictures, open_pictures
from ...data.recordings import Recordings
from .arrays import read_items
from .tasks import FULL, Items

# Events of a unit in a window beyond which it is fully driven. The drive grows as the root of the count, whose
# variance then does not depend on the rate.
MAX_EVENTS = 16
# Recordings that are counted together: bounds memory and changes no count.
CHUNK = 500
# Neighbours become one unit until the longer side of a camera has at most 20 pixels, two by two, or else 40, and until
# at most 140 channels are left: 34 x 34 pixels become 17 x 17, 640 x 480 become 40 x 30, 700 channels become 140.
SMALL_SIDE = 20
SIDE = 40
CHANNELS = 140
# Suffix of files of arrays.
ARRAYS = ".npz"
# What items are: images of one step, recordings that are cut into windows, or arrays as they are.
Form = Literal["images", "recordings", "arrays"]
# Grey levels of scikit-learn's digits.
GREY = 16


@dataclass(frozen=True, eq=False)
class Base:
    """A dataset as items.

    Attributes:
        name: name of the source.
        train, test: items of both splits.
        classes: names of the classes.
        picture: (height, width) of still images, else None.
        shape: shape of the sensor whose places are the units; empty: not known.
    """

    name: str
    train: Items
    test: Items
    classes: tuple[str, ...]
    picture: tuple[int, int] | None = None
    shape: tuple[int, ...] = ()

    @property
    def steps(self) -> int:
        return int(self.train.x.shape[1])

    @property
    def units(self) -> int:
        return int(self.train.x.shape[2])


@dataclass(frozen=True)
class ItemSource:
    """One way to read a dataset.

    Attributes:
        title: description in one line.
        dataset: name of the dataset in the catalogue.
        read: function from (source name, source, windows) to the items.
        folder: folder of the files; None: the dataset's own.
        root: folder of a user's own files.
        options: settings of the dataset, by name.
    """

    title: str
    dataset: str
    read: Callable[[str, ItemSource, int], Base]
    folder: str | None = None
    root: Path | None = None
    options: Mapping[str, Any] | None = None


def load(
    name: str,
    windows: int = 10,
    root: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    still: bool = True,
) -> Base:
    """Return the items of a source, a dataset or a user's files; each recording is cut into `windows` equal windows.

    Args:
        name: a key of `SOURCES`, a dataset of the catalogue, the path of a folder, or of an .npz file
            (`arrays.read_items`).
        root: folder with the files; needed where `name` is "folder".
        options: settings of the dataset, as for `catalog.load`.
        still: whether images are items of one step; else they are recorded by an emulated event camera.

    Raises:
        NeurosimInputError: no such source or setting; one class only; a test item of a class that no training item has.
        NeurosimMissingError: its files are not there; the error says where to put them.
        NeurosimFormatError: a file is damaged.
    """
    source = _source(name)
    if root is not None:
        source = replace(source, root=Path(root))
    require(windows >= 1, "stream.windows", "must be >= 1", windows)
    if still and _holds_pictures(source, options):
        return checked(_pictures(name, replace(source, options=options), windows))
    if options or source.dataset == FOLDER:
        # Raises for a missing root and for unknown settings.
        catalog.describe(source.dataset, source.root, options)
        source = replace(source, options=options)
    if not still and source.read in (_images, _digits):
        source = replace(source, read=_recordings)
    return checked(source.read(name, source, windows))


def remarks(
    name: str, root: str | Path | None = None, options: Mapping[str, Any] | None = None, *, still: bool = True
) -> tuple[str, ...]:
    """Return how the files of a source are read, where that is not obvious; arguments are those of `load`."""
    source = _source(name)
    if root is not None:
        source = replace(source, root=Path(root))
    if source.read is _arrays:
        return (read_items(Path(name)).remark,)
    if still and source.root is not None and _holds_pictures(source, options):
        return open_pictures(source.root, options).remarks
    return catalog.describe(source.dataset, source.root, options).remarks


def form_of(
    name: str, root: str | Path | None = None, options: Mapping[str, Any] | None = None, *, still: bool = True
) -> Form | None:
    """Return what the items of a source are, whose files are not read; None where there is no such source.

    Arguments are those of `load`.
    """
    try:
        source = _source(name)
        if root is not None:
            source = replace(source, root=Path(root))
        if source.read is _arrays:
            return "arrays"
        if source.root is not None and not source.root.is_dir():
            return None
        if source.read in (_images, _digits) or _holds_pictures(source, options):
            return "images" if still else "recordings"
    except NeurosimError:
        # The stream says what is wrong when it is built.
        return None
    return "recordings"


def _holds_pictures(source: ItemSource, options: Mapping[str, Any] | None) -> bool:
    """Return whether a source is a folder of images."""
    return source.dataset == FOLDER and source.root is not None and holds_pictures(source.root, options)


def _source(name: str) -> ItemSource:
    """Return one of `SOURCES`, or of another dataset of the catalogue, or of a folder."""
    if name in SOURCES:
        return SOURCES[name]
    if name in catalog.names():
        module = catalog.module(name)
        read = _images if hasattr(module, "images") else _recordings
        return ItemSource(module.INFO.title, name, read)
    if Path(name).is_dir():
        return ItemSource(name, FOLDER, _recordings, root=Path(name))
    if name.endswith(ARRAYS):
        return ItemSource(name, "", _arrays)
    return lookup(SOURCES, name, "stream.source (or the path of a folder, or of an .npz file)")


def checked(base: Base) -> Base:
    """Return `base` if a learner can learn from it and be tested.

    Raises:
        NeurosimInputError: as `load`.
    """
    known = np.unique(base.train.y)
    rule = f"dataset {base.name}"
    require(len(known) > 1, rule, "must have training items of at least two classes", [int(k) for k in known])
    require(len(base.test) > 0, rule, "must have test items", 0)
    unseen = np.setdiff1d(base.test.y, known)
    words = "must test on classes that it trains on; these it does not"
    names = [base.classes[k] if k < len(base.classes) else int(k) for k in unseen]
    require(not len(unseen), rule, words, names)
    return base


def _digits(name: str, source: ItemSource, windows: int) -> Base:
    from sklearn.datasets import load_digits

    from ...datasets.digits import TRAIN

    grey, labels = load_digits(return_X_y=True)
    x = np.round(grey * (FULL / GREY)).astype(np.uint8)[:, None]
    classes = labels.astype(np.int64)
    train = Items(x[:TRAIN], classes[:TRAIN])
    test = Items(x[TRAIN:], classes[TRAIN:])
    return Base(name=name, train=train, test=test, classes=tuple("0123456789"), picture=(8, 8), shape=(8, 8))


def _images(name: str, source: ItemSource, windows: int) -> Base:
    module = catalog.module(source.dataset)
    root = _root(name, source)
    splits = [module.images(split, root) for split in module.INFO.splits[:2]]
    # A still image is one step.
    train, test = (Items(images.pixels.reshape(len(images), 1, -1), images.labels) for images in splits)
    picture = splits[0].pixels.shape[1:]
    return Base(name=name, train=train, test=test, classes=module.INFO.classes, picture=picture, shape=picture)


def _pictures(name: str, source: ItemSource, windows: int) -> Base:
    assert source.root is not None
    pictures = open_pictures(source.root, source.options)
    splits = pictures.splits[:2]
    train, test = (pictures.select(split) for split in splits)
    picture = pictures.pixels.shape[1:]
    items = [Items(pixels.reshape(len(pixels), 1, -1), labels) for pixels, labels in (train, test)]
    return Base(name=name, train=items[0], test=items[1], classes=pictures.classes, picture=picture, shape=picture)


def _arrays(name: str, source: ItemSource, windows: int) -> Base:
    items = read_items(Path(name))
    if len(items.shape) == 2:
        picture = items.shape[0], items.shape[1]
    else:
        picture = None
    return Base(
        name=name, train=items.train, test=items.test, classes=items.classes, picture=picture, shape=items.shape
    )


def _recordings(name: str, source: ItemSource, windows: int) -> Base:
    root = _root(name, source)
    splits = catalog.describe(source.dataset, root, source.options).splits[:2]
    train, test = (catalog.load(source.dataset, split, root, source.options) for split in splits)
    shape = _joined_shape(train.shape)
    return Base(name, _items(name, train, windows), _items(name, test, windows), train.classes, shape=shape)


def _items(name: str, recordings: Recordings, windows: int) -> Items:
    labels = recordings.labels
    if labels is None:
        raise NeurosimMissingError(f"dataset {name}: its recordings have no labels; choose a labelled one")
    return Items(drives(recordings, windows), np.asarray(labels, np.int64))


def drives(recordings: Recordings, windows: int) -> NDArray[np.uint8]:
    """Return [recordings, windows, units]: 255 sqrt(min(events, 16) / 16) in equal windows of each recording.

    Neighbouring pixels or channels are one unit, see `SIDE` and `CHANNELS`.
    """
    shape = recordings.shape
    joined = _joined_shape(shape)
    places = np.unravel_index(np.arange(recordings.size), shape)
    pools = np.ravel_multi_index(tuple(place // n for place, n in zip(places, _neighbours(shape), strict=True)), joined)
    size = math.prod(joined)
    level = np.round(FULL * np.sqrt(np.arange(MAX_EVENTS + 1) / MAX_EVENTS)).astype(np.uint8)
    x = np.empty((len(recordings), windows, size), np.uint8)
    for first in range(0, len(recordings), CHUNK):
        part = recordings.select(np.arange(first, min(first + CHUNK, len(recordings))))
        counts = part.pool(pools, joined).window_counts(windows)
        x[first : first + len(part)] = level[np.minimum(counts, MAX_EVENTS).astype(np.int64)]
    return x


def _joined_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a sensor after neighbours were joined."""
    return tuple(-(-size // by) for size, by in zip(shape, _neighbours(shape), strict=True))


def _neighbours(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the number of neighbours along each axis of a sensor that become one; polarities stay apart."""
    if len(shape) == 1:
        return (-(-shape[0] // CHANNELS),)
    longer = max(shape[-2:])
    if longer <= SMALL_SIDE:
        by = 1
    else:
        by = max(2, -(-longer // SIDE))
    return (*(1 for _ in shape[:-2]), by, by)


def _root(name: str, source: ItemSource) -> Any:
    """Return the folder of a source's files; None for a generated dataset that has no folder yet."""
    if source.root is not None:
        return source.root
    info = catalog.module(source.dataset).INFO
    if source.folder is not None:
        info = replace(info, folder=source.folder)
    try:
        folder = catalog.find_root(info)
        return folder if folder.is_dir() else None
    except NeurosimMissingError:
        raise NeurosimMissingError(
            f"source {name}: its files are not there; put {info.layout} into $NEUROSIM_DATA/{info.folder} or "
            f"{catalog.cache_folder(info)}"
        ) from None


SOURCES: Mapping[str, ItemSource] = {
    "digits": ItemSource("8 x 8 images of handwritten digits, embedded", "digits", _digits),
    "digits-events": ItemSource("the same before an emulated event camera, embedded", "digits", _recordings),
    "mnist": ItemSource("MNIST, images", "mnist", _images),
    "fashion": ItemSource("Fashion-MNIST, images", "fashion", _images),
    "nmnist": ItemSource("N-MNIST or a part of it, recordings of an event camera", "nmnist", _recordings),
    "shd": ItemSource("SHD, spoken digits", "shd", _recordings),
    "fsdd": ItemSource("FSDD-SHD, the Free Spoken Digit Dataset in SHD's layout", "shd", _recordings, "FSDD-SHD"),
}
