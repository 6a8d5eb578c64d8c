"""Items in a NumPy archive: embeddings of a network of your own, or images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimFormatError, NeurosimInputError, require
from ...base.random import rng_key
from ...data.files.numpy_files import read_arrays
from .tasks import FULL, Items, in_turn

# Names of the arrays of a split, as PyTorch's and Keras's examples write them.
NAMES = {
    "train": (("x_train", "y_train"), ("train_x", "train_y")),
    "test": (("x_test", "y_test"), ("test_x", "test_y")),
}
WHOLE = ("x", "y")
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
    Labels are integers or text. Features are [n, features], or [n, steps, features]: each is scaled, its range over the
    training items without the outermost .5 % on both sides becoming drives of 0 to 255. Bytes (uint8) are drives as
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
        shape = _sensor(x_train.shape[1:])
        train, test = (_unfolded(x) for x in (x_train, x_test))
        remark = "bytes are drives as they are"
    else:
        shape = (x_train.shape[-1],)
        train, test = scaled(x_train, x_test)
        remark = (
            f"{x_train.shape[-1]} features were scaled each: from its {100 * TAIL:g} % to its {100 - 100 * TAIL:g} % "
            "quantile over the training items, in 256 levels"
        )
    n = len(y_train)
    return ArrayItems(Items(train, numbers[:n]), Items(test, numbers[n:]), classes, shape, remark)


def scaled(train: NDArray, test: NDArray) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return features [n, (steps,) features] of both splits as drives [n, steps, features]."""
    parts = [np.asarray(x, np.float64).reshape(len(x), -1, x.shape[-1]) for x in (train, test)]
    rows = parts[0].reshape(-1, train.shape[-1])
    low, high = np.quantile(rows, (TAIL, 1 - TAIL), axis=0)
    # A feature that never varies is 0.
    width = np.where(high > low, high - low, np.inf)
    drives = [np.rint(np.clip((x - low) / width, 0, 1) * FULL).astype(np.uint8) for x in parts]
    return drives[0], drives[1]


def _splits(path: Path, arrays: Mapping[str, NDArray]) -> list[tuple[NDArray, NDArray]]:
    """Return x and y of the training and of the test items."""
    found = {}
    for split, pairs in NAMES.items():
        names = next((pair for pair in pairs if set(pair) <= set(arrays)), None)
        if names is not None:
            found[split] = _checked(path, arrays, *names)
    if len(found) == len(NAMES):
        x, y = zip(*found.values(), strict=True)
        good = x[0].shape[1:] == x[1].shape[1:] and x[0].dtype.kind == x[1].dtype.kind
        name = f"{path}: test items"
        require(good, name, f"must be like training items, {x[0].dtype} {list(x[0].shape[1:])}", x[1].shape)
        return list(found.values())
    if not set(WHOLE) <= set(arrays):
        raise NeurosimFormatError(f"{path}: expected arrays of items and labels, got {sorted(arrays)[:8]}; {LAYOUT}")
    x, y = _checked(path, arrays, *WHOLE)
    order = np.random.Generator(np.random.Philox(key=rng_key(0, "continual", "arrays"))).permutation(len(y))
    _, numbers = np.unique(y, return_inverse=True)
    # Even over the classes, as limits of a stream are.
    tested = in_turn(numbers.reshape(-1).astype(np.int64), order)[: max(round(TEST * len(y)), 1)]
    rest = np.setdiff1d(np.arange(len(y)), tested)
    tested = np.sort(tested)
    return [(x[rest], y[rest]), (x[tested], y[tested])]


def _checked(path: Path, arrays: Mapping[str, NDArray], items: str, labels: str) -> tuple[NDArray, NDArray]:
    x = arrays[items]
    y = arrays[labels].reshape(-1)
    numeric = x.dtype.kind in "fiu" and 2 <= x.ndim <= 4 and x.size > 0
    rule = "must be numbers [n, features], [n, steps, features], or bytes of images"
    require(numeric, f"{path}: {items}", rule, f"{x.dtype} {list(x.shape)}")
    require(x.ndim < 4 or x.dtype == np.uint8, f"{path}: {items}", "must be bytes with four axes", x.dtype)
    require(len(y) == len(x), f"{path}: {labels}", f"must have a label for each of {len(x)} items", len(y))
    require(y.dtype.kind in "iuSU", f"{path}: {labels}", "must be integers or text", y.dtype)
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise NeurosimInputError(f"{path}: {items}: must be finite; {int((~np.isfinite(x)).sum())} values are not")
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8")
    return x, y


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
