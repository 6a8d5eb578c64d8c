"""Splits of a folder: as it says them, or drawn by seed, alike in each class or by group."""

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

    Without given splits, a share `options.test` of each class is drawn for the test, at least one where there are two;
    a draw depends on the seed, the class and its number of recordings. With `options.by`, whole groups are drawn until
    they hold that share of the recordings.

    Args:
        name: of the folder, in errors.

    Raises:
        NeurosimInputError: no recording to train on, or none to test on; no such group.
    """
    given = items[0].split is not None
    if given:
        require(options.by is None, "data.options.by", f"must be left out, as {name} says its splits", options.by)
        found = tuple(str(item.split) for item in items)
    elif options.by is not None:
        found = _by_group(items, options, options.by)
    else:
        found = _by_class(items, options)
    if TRAIN not in found:
        raise NeurosimInputError(f"{name}: has no recordings of the split train; got {', '.join(sorted(set(found)))}")
    if len(set(found)) == 1:
        if given:
            step = "add a split test"
        else:
            step = "add recordings, or give data.options.test a larger share"
        raise NeurosimInputError(f"{name}: must have two recordings of a class to train and to test on; {step}")
    return found


def names_of(splits: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the splits: train, test if there, and the others."""
    others = sorted(set(splits) - {TRAIN, TEST})
    return (TRAIN, *((TEST,) if TEST in splits else ()), *others)


def _by_class(items: Sequence[Item], options: FolderOptions) -> tuple[str, ...]:
    found = [TRAIN] * len(items)
    for label, places in _places([item.label for item in items]).items():
        count = min(max(round(options.test * len(places)), 1), len(places) - 1)
        order = _generator(options.seed, label).permutation(len(places))
        for place in order[:count]:
            found[places[place]] = TEST
    return tuple(found)


def _by_group(items: Sequence[Item], options: FolderOptions, by: str) -> tuple[str, ...]:
    known = dict.fromkeys(name for item in items for name in item.groups)
    lookup(known, by, "data.options.by")
    lacking = [item.path.name for item in items if by not in item.groups]
    require(
        not lacking, "data.options.by", f"needs a {by} for every recording; these have none", ", ".join(lacking[:3])
    )
    groups = _places([item.groups[by] for item in items])
    require(len(groups) > 1, "data.options.by", f"needs recordings of at least two values of {by}", ", ".join(groups))
    names = sorted(groups)
    tested: set[int] = set()
    for place in _generator(options.seed, by).permutation(len(names))[:-1]:
        if len(tested) < options.test * len(items):
            tested |= set(groups[names[place]])
    return tuple(TEST if i in tested else TRAIN for i in range(len(items)))


def _places(values: Sequence[str]) -> Mapping[str, list[int]]:
    found: dict[str, list[int]] = {}
    for place, value in enumerate(values):
        found.setdefault(value, []).append(place)
    return found


def _generator(seed: int, label: str) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=rng_key(seed, "folder", "split", label)))


def numbered(values: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the different values in order, and [n] the place of each value among them."""
    numeric = all(value.isdecimal() and value.isascii() and len(value) <= MAX_DIGITS for value in values)
    names = sorted(set(values), key=(lambda value: (int(value), value)) if numeric else None)
    places = {name: place for place, name in enumerate(names)}
    return tuple(names), np.array([places[value] for value in values], np.int64)
