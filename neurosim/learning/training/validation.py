"""Split of training recordings into those to learn from and those to validate on, with the same share of each class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from ...base.random import rng_key

MIN_GROUPS = 3  # of two groups, one to validate on would be half of what there is to learn from


def split(
    labels: NDArray[np.int64], fraction: float, seed: int, groups: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ascending indices to train on and to validate on.

    Args:
        labels: [n] class numbers.
        fraction: part of each class to validate on, rounded; at least one of each class is left to train on.
        seed: key of the choice.
        groups: [n] group numbers, for instance speakers: each class of each group is divided.

    Raises:
        NeurosimInputError: a fraction out of range, or one that leaves nothing to validate on.
    """
    require(0 <= fraction < 1, "validation.fraction", "must be >= 0 and < 1", fraction)
    every = np.arange(len(labels))
    if fraction == 0:
        return every, every[:0]
    if groups is None:
        kinds = labels
    else:
        kinds = np.unique(groups, return_inverse=True)[1] * (labels.max() + 1) + labels
    draws = np.random.Generator(np.random.Philox(rng_key(seed, "training", "split")))
    order = draws.permutation(len(labels))
    held = np.zeros(len(labels), bool)
    for kind in np.unique(kinds):
        mine = order[kinds[order] == kind]
        held[mine[: min(round(fraction * len(mine)), len(mine) - 1)]] = True
    if not held.any():
        most = int(np.unique(kinds, return_counts=True)[1].max(initial=0))
        raise NeurosimInputError(
            f"validation.fraction: {fraction:g} of each class, at most {most} of {len(labels)} recordings, leaves none "
            "to validate on; give a larger one, more recordings, or 0 for no validation"
        )
    return every[~held], every[held]


def split_apart(
    labels: NDArray[np.int64], groups: NDArray[np.int64], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return ascending indices to train on and to validate on, no group being on both sides.

    Scores on the groups that are validated on then say what a group never met will get, such as a new speaker.

    Args:
        labels: [n] class numbers.
        groups: [n] group numbers, for instance speakers.
        fraction: part of the groups to validate on, rounded, at least one.
        seed: key of the choice.

    Returns:
        None where no group can be spared: fraction 0, fewer than `MIN_GROUPS` groups, or each has a class of its own.
    """
    require(0 <= fraction < 1, "validation.fraction", "must be >= 0 and < 1", fraction)
    members = np.unique(groups)
    if fraction == 0 or len(members) < MIN_GROUPS:
        return None
    held = np.zeros(len(labels), bool)
    classes = np.unique(labels)
    wanted = min(max(1, round(fraction * len(members))), len(members) - 1)
    for member in np.random.Generator(np.random.Philox(rng_key(seed, "training", "groups"))).permutation(members):
        without = held | (groups == member)
        if wanted and np.array_equal(np.unique(labels[~without]), classes):
            held = without
            wanted = wanted - 1
    if held.any():
        return (np.flatnonzero(~held), np.flatnonzero(held))
    return None


def check_labels(labels: NDArray[np.int64], others: NDArray[np.int64], classes: tuple[str, ...], what: str) -> None:
    """Raise if training or its test cannot work.

    Args:
        labels: labels of the recordings to train on.
        others: labels of the recordings to test on, which `what` names in errors.

    Raises:
        NeurosimInputError: a single class; a label beyond the classes; a test label without training recordings.
    """
    known = np.unique(labels)
    names = ", ".join(_name(k, classes) for k in known)
    require(len(known) >= 2, "the training recordings", "must be of at least two classes", f"only {names}")
    for found in (known, np.unique(others)):
        wrong = [int(k) for k in found if not 0 <= k < len(classes)]
        require(not wrong, "data", f"labels must lie below the {len(classes)} classes the dataset names", wrong)
    unseen = ", ".join(_name(k, classes) for k in np.setdiff1d(others, known))
    rule = "must have no label that the training recordings lack; train on more of them or leave it out"
    require(not unseen, what, rule, unseen)


def _name(label: int, classes: tuple[str, ...]) -> str:
    if 0 <= label < len(classes):
        return f"'{classes[label]}'"
    return str(int(label))
