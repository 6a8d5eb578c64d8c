"""Splits of a folder: those that it names, or drawn by a seed, alike in each class or by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, lookup, require
from ...base.random import rng_key
from .items import Item
from .options import FolderOptions

TRAIN = "train"
TEST = "test"
MAX_DIGITS = 18  # of a name that is a number of 64 bits


def split_of(items: Sequence[Item], options: FolderOptions, name: str) -> tuple[str, ...]:
    """Return the split of each item.

    If the items have no splits, a share `options.test` of each class is drawn for the test, at least one of two and
    more recordings; a draw depends on the seed, the class and its number of recordings. With `options.by`, whole groups
    are drawn until they hold that share of the recordings, of each class where no group has two classes.

    Args:
        name: of the folder, in errors.

    Raises:
        NeurosimInputError: no recording to train on, or none to test on; no such group.
    """
    has_splits = items[0].split is not None
    if has_splits:
        require(options.by is None, "data.options.by", f"must be left out, as {name} says its splits", options.by)
        splits = tuple(str(item.split) for item in items)
    elif options.by is not None:
        splits = _by_group(items, options, options.by)
    else:
        splits = _by_class(items, options)
    if TRAIN not in splits:
        raise NeurosimInputError(f"{name}: has no recordings of the split train; got {', '.join(sorted(set(splits)))}")
    if len(set(splits)) == 1:
        if has_splits:
            step = "add a split test"
        else:
            step = "add recordings, or give data.options.test a larger share"
        raise NeurosimInputError(f"{name}: must have two recordings of a class to train and to test on; {step}")
    return splits


def names_of(splits: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the splits: train, test if there, and the others."""
    names = [TRAIN]
    if TEST in splits:
        names.append(TEST)
    return (*names, *sorted(set(splits) - {TRAIN, TEST}))


def _by_class(items: Sequence[Item], options: FolderOptions) -> tuple[str, ...]:
    splits = [TRAIN] * len(items)
    for label, indices in _indices([item.label for item in items]).items():
        # At least one to test on, and at least one to train on.
        count = min(max(round(options.test * len(indices)), 1), len(indices) - 1)
        order = _generator(options.seed, label).permutation(len(indices))
        for place in order[:count]:
            splits[indices[place]] = TEST
    return tuple(splits)


def _by_group(items: Sequence[Item], options: FolderOptions, by: str) -> tuple[str, ...]:
    """Return the split of each item so that whole groups, such as speakers, are tested."""
    known = dict.fromkeys(name for item in items for name in item.groups)
    lookup(known, by, "data.options.by")
    lacking = [item.path.name for item in items if by not in item.groups]
    require(
        not lacking, "data.options.by", f"needs a {by} for every recording; these have none", ", ".join(lacking[:3])
    )
    groups = _indices([item.groups[by] for item in items])
    require(len(groups) > 1, "data.options.by", f"needs recordings of at least two values of {by}", ", ".join(groups))
    tested: set[int] = set()
    for part, names in _parts(items, groups, by).items():
        size = sum(len(groups[name]) for name in names)
        drawn: set[int] = set()
        # The last group of the order stays to train on.
        for place in _generator(options.seed, part).permutation(len(names))[:-1]:
            if len(drawn) < options.test * size:
                drawn |= set(groups[names[place]])
        tested |= drawn
    return tuple(TEST if i in tested else TRAIN for i in range(len(items)))


def _parts(items: Sequence[Item], groups: Mapping[str, list[int]], by: str) -> Mapping[str, list[str]]:
    """Return the groups that are drawn together, by the key of the draw.

    They are all groups, or those of each class where a group has recordings of one class alone, as pieces of one
    recording have: a draw from all could leave a class without training or test.
    """
    labels = {name: {items[i].label for i in indices} for name, indices in groups.items()}
    if any(len(each) > 1 for each in labels.values()) or len(groups) == len({item.label for item in items}):
        return {by: sorted(groups)}
    parts: dict[str, list[str]] = {}
    for name in sorted(groups):
        (label,) = labels[name]
        parts.setdefault(f"{by} of {label}", []).append(name)
    return parts


def _indices(values: Sequence[str]) -> Mapping[str, list[int]]:
    """Return the indices of each different value."""
    indices: dict[str, list[int]] = {}
    for index, value in enumerate(values):
        indices.setdefault(value, []).append(index)
    return indices


def _generator(seed: int, label: str) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=rng_key(seed, "folder", "split", label)))


def is_integer(text: str) -> bool:
    """Return whether a name is a number of 64 bits, in digits alone."""
    return text.isdecimal() and text.isascii() and len(text) <= MAX_DIGITS


def numbered(values: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the different values in order, and [n] the place of each value among them."""
    if all(map(is_integer, values)):
        # "2" before "10", and "01" before "1".
        names = sorted(set(values), key=lambda value: (int(value), value))
    else:
        names = sorted(set(values))
    places = {name: place for place, name in enumerate(names)}
    return tuple(names), np.array([places[value] for value in values], np.int64)
