"""Items in a NumPy archive: embeddings of a network of your own, or images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimFormatError, NeurosimInputError, require
from ...base.random import rng_key
from ...base.shown import counted
from ...data.files.numpy_files import read_arrays
from .tasks import FULL, Items

# Words of the arrays' names, beside those of a split: x_train, train_features, Y_test, embeddings, labels.
ITEMS = ("x", "features", "embeddings", "images", "data")
LABELS = ("y", "labels", "targets", "label", "target")
SPLITS = ("train", "test")
# Share of each class that is tested on, where the file has no test items.
TEST = 0.2
# Share of the training values of a feature below and above the range of its drive.
TAIL = 0.005
LAYOUT = "save x_train, y_train, x_test and y_test, or x and y, with numpy.savez"


@dataclass(frozen=True, eq=False)
class ArrayItems:
    """The items of a NumPy archive.

    Attributes:
        train, test: items of both splits.
        classes: names of the classes.
        shape: shape of the sensor: of an image, or a line of features.
        remark: how values became drives, a sentence.
    """

    train: Items
    test: Items
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    remark: str


def read_items(path: Path) -> ArrayItems:
    """Return the items of an .npz file.

    `x_train` and `y_train`, with `x_test` and `y_test`; or `x` and `y`, a fifth of each class being drawn for the test.
    Words of `ITEMS` and `LABELS` in their place, and the order of both words, are understood. Labels are integers or
    text. Features are [n, features], or [n, steps, features]: each is scaled, its range over the
    training items without the outermost .5 % on both sides becoming drives of 0 to 255 (of a feature that has one
    value without them, its whole range). Bytes (uint8) are drives as
    they are: [n, units], images [n, height, width] or [n, height, width, colours].

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: no archive of such arrays.
    """
    arrays = read_arrays(path)
    parts = _splits(path, arrays)
    (x_train, y_train), (x_test, y_test) = parts
    labels, numbers = np.unique(np.concatenate([y_train, y_test]), return_inverse=True)
    classes = tuple(str(label) for label in labels)
    numbers = numbers.reshape(-1).astype(np.int64)
    if x_train.dtype == np.uint8:
        x_train = _colours_last(x_train)
        x_test = _colours_last(x_test)
        shape = _sensor(x_train.shape[1:])
        train, test = (_unfolded(x) for x in (x_train, x_test))
        remark = "bytes are drives as they are"
    else:
        shape = (x_train.shape[-1],)
        train, test = scaled(x_train, x_test)
        if x_train.ndim == 3:
            steps = f"items are {x_train.shape[1]} steps of features (save images as bytes, uint8); "
        else:
            steps = ""
        remark = (
            f"{steps}{x_train.shape[-1]} features were scaled each: from its {100 * TAIL:g} % to its "
            f"{100 - 100 * TAIL:g} % quantile over the training items, in 256 levels"
        )
    n = len(y_train)
    return ArrayItems(
        train=Items(train, numbers[:n]), test=Items(test, numbers[n:]), classes=classes, shape=shape, remark=remark
    )


def scaled(train: NDArray[Any], test: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return features [n, (steps,) features] of both splits as drives [n, steps, features]."""
    parts = [np.asarray(x, np.float64).reshape(len(x), -1, x.shape[-1]) for x in (train, test)]
    rows = parts[0].reshape(-1, train.shape[-1])
    low, high = np.quantile(rows, (TAIL, 1 - TAIL), axis=0)
    # A feature that hardly any item has, as a word of a text, varies beyond its quantiles alone.
    is_rare = low == high
    low = np.where(is_rare, rows.min(axis=0), low)
    high = np.where(is_rare, rows.max(axis=0), high)
    # A feature that never varies is 0.
    width = np.where(high > low, high - low, np.inf)
    drives = [np.rint(np.clip((x - low) / width, 0, 1) * FULL).astype(np.uint8) for x in parts]
    return drives[0], drives[1]


def _splits(path: Path, arrays: Mapping[str, NDArray[Any]]) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return x and y of the training and of the test items."""
    by_split = {}
    for split in SPLITS:
        names = _names(arrays, split)
        if names is not None:
            by_split[split] = _checked(path, arrays, *names)
    if len(by_split) == len(SPLITS):
        x, y = zip(*by_split.values(), strict=True)
        are_bytes = [part.dtype == np.uint8 for part in x]
        good = x[0].shape[1:] == x[1].shape[1:] and are_bytes[0] == are_bytes[1]
        rule = f"must be like training items, {x[0].dtype} {list(x[0].shape[1:])}"
        require(good, f"{path}: test items", rule, f"{x[1].dtype} {list(x[1].shape[1:])}")
        return list(by_split.values())
    whole = _names(arrays, "")
    if whole is None:
        raise NeurosimFormatError(f"{path}: expected arrays of items and labels, got {sorted(arrays)[:8]}; {LAYOUT}")
    x, y = _checked(path, arrays, *whole)
    order = np.random.Generator(np.random.Philox(key=rng_key(0, "continual", "arrays"))).permutation(len(y))
    _, numbers, counts = np.unique(y, return_inverse=True, return_counts=True)
    numbers = numbers.reshape(-1).astype(np.int64)
    # The first of each class in this order; a rare class keeps items to learn from.
    shares = np.maximum(np.rint(TEST * counts).astype(np.int64), counts > 1)
    shuffled = numbers[order]
    by_class = np.argsort(shuffled, kind="stable")
    ranked = shuffled[by_class]
    rank = np.arange(len(y)) - np.searchsorted(ranked, ranked)
    tested = np.sort(order[by_class][rank < shares[ranked]])
    rule = "must have a class of two items at least, one to learn and one to test on; or give x_test and y_test"
    require(len(tested) > 0, f"{path}: {whole[1]}", rule, f"{len(y)} items of {len(counts)} classes")
    rest = np.setdiff1d(np.arange(len(y)), tested)
    return [(x[rest], y[rest]), (x[tested], y[tested])]


def _names(arrays: Mapping[str, NDArray[Any]], split: str) -> tuple[str, str] | None:
    """Return the names of the items and the labels of a split ("": of all items); None where they are not there."""
    by_words = {frozenset(name.lower().split("_")): name for name in arrays}
    extra = {split} if split else set()
    chosen = []
    for words in (ITEMS, LABELS):
        names = [by_words[key] for word in words if (key := frozenset({word, *extra})) in by_words]
        if not names:
            return None
        chosen.append(names[0])
    return chosen[0], chosen[1]


def _checked(
    path: Path, arrays: Mapping[str, NDArray[Any]], items: str, labels: str
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return items and labels of a file as the stream takes them; raise where they do not fit."""
    x = arrays[items]
    y = arrays[labels]
    # Labels of PyTorch's and Keras's datasets may be a column, floats that are integers, or conditions.
    y = y.reshape(-1) if y.shape[1:] in ((), (1,)) else y
    if y.dtype.kind == "b" or (y.dtype.kind == "f" and bool((y == np.rint(y)).all())):
        y = y.astype(np.int64)
    if y.dtype.kind == "u":
        # Joined with signed integers those of 64 bits would become floats, and large ones one class.
        y = y.astype(np.int64 if y.max(initial=0) < 1 << 63 else np.str_)
    numeric = x.dtype.kind in "fiu" and 2 <= x.ndim <= 4 and x.size > 0
    rule = "must be numbers [n, features], [n, steps, features], or bytes of images"
    require(numeric, f"{path}: {items}", rule, f"{x.dtype} {list(x.shape)}")
    require(x.ndim < 4 or x.dtype == np.uint8, f"{path}: {items}", "must be bytes with four axes", x.dtype)
    rule = f"must have a label for each of {len(x)} items"
    require(y.shape == x.shape[:1], f"{path}: {labels}", rule, len(y) if y.ndim == 1 else list(y.shape))
    require(y.dtype.kind in "iuSU", f"{path}: {labels}", "must be integers or text", y.dtype)
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = np.unique(np.nonzero(~np.isfinite(x))[0])
        words = f"item {bad[0]} is not, {counted(len(bad), 'item')} in all; leave them out, or write numbers"
        raise NeurosimInputError(f"{path}: {items}: must be finite; {words}")
    if y.dtype.kind == "S":
        y = _decoded(f"{path}: {labels}", y)
    return x, y


def _decoded(name: str, labels: NDArray[Any]) -> NDArray[np.str_]:
    """Return labels of bytes as text."""
    try:
        return np.char.decode(labels, "utf-8")
    except UnicodeDecodeError as error:
        step = "write them as text of numpy"
        raise NeurosimFormatError(f"{name}: must be integers or text in UTF-8 ({error}); {step}") from None


def _colours_last(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images of bytes [n, height, width, colours]; PyTorch has the colours in front."""
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] not in (1, 2, 3, 4):
        return x.transpose(0, 2, 3, 1)
    return x


def _sensor(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the sensor of bytes; colours come first, as polarities do."""
    if len(shape) == 3:
        return shape[2], shape[0], shape[1]
    return shape


def _unfolded(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return bytes [n, ...] as drives [n, 1, units]."""
    if x.ndim == 4:
        x = x.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(x).reshape(len(x), 1, math.prod(x.shape[1:]))
