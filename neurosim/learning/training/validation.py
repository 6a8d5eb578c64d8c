"""Split of recordings into a part to train on and a part to validate on, with the same fraction of each class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from ...base.random import rng_key

# With two groups, one to validate on would be half of all training recordings.
MIN_GROUPS = 3


def split(
    labels: NDArray[np.int64] | None, fraction: float, seed: int, groups: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ascending indices to train on and to validate on.

    Args:
        labels: [n] class numbers, those of `Recordings`.
        fraction: part of each class to validate on, rounded; at least one of each class is left to train on.
        seed: key of the choice.
        groups: [n] group numbers, for instance speakers: each class of each group is divided.

    Raises:
        NeurosimInputError: recordings without labels; a fraction out of range, or one that leaves nothing to validate
            on.
    """
    if labels is None:
        raise NeurosimInputError("labels: must be an array of class numbers (got None); give the recordings labels")
    require(0 <= fraction < 1, "validation.fraction", "must be >= 0 and < 1", fraction)
    every = np.arange(len(labels))
    if fraction == 0:
        return every, every[:0]
    # One stratum for each class, or for each class of each group.
    if groups is None:
        strata = labels
    else:
        strata = np.unique(groups, return_inverse=True)[1] * (labels.max() + 1) + labels
    draws = np.random.Generator(np.random.Philox(rng_key(seed, "training", "split")))
    order = draws.permutation(len(labels))
    validates = np.zeros(len(labels), bool)
    for stratum in np.unique(strata):
        members = order[strata[order] == stratum]
        # At least one of each stays to train on.
        count = min(round(fraction * len(members)), len(members) - 1)
        validates[members[:count]] = True
    if not validates.any():
        largest = int(np.unique(strata, return_counts=True)[1].max(initial=0))
        raise NeurosimInputError(
            f"validation.fraction: {fraction:g} of each class, at most {largest} of {len(labels)} recordings, leaves "
            "none to validate on; give a larger one, more recordings, or 0 for no validation"
        )
    return every[~validates], every[validates]


def split_apart(
    labels: NDArray[np.int64], groups: NDArray[np.int64], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return ascending indices to train on and to validate on, with no group on both sides.

    Scores of the validation groups then estimate the scores of new groups, such as new speakers.

    Args:
        labels: [n] class numbers.
        groups: [n] group numbers, for instance speakers.
        fraction: part of the groups to validate on, rounded, at least one.
        seed: key of the choice.

    Returns:
        None if no group can be left out of training: fraction 0, fewer than `MIN_GROUPS` groups, or every group has a
        class of its own.
    """
    require(0 <= fraction < 1, "validation.fraction", "must be >= 0 and < 1", fraction)
    members = np.unique(groups)
    if fraction == 0 or len(members) < MIN_GROUPS:
        return None
    validates = np.zeros(len(labels), bool)
    classes = np.unique(labels)
    missing = min(max(1, round(fraction * len(members))), len(members) - 1)
    draws = np.random.Generator(np.random.Philox(rng_key(seed, "training", "groups")))
    for member in draws.permutation(members):
        with_member = validates | (groups == member)
        # Every class must stay in training.
        if missing and np.array_equal(np.unique(labels[~with_member]), classes):
            validates = with_member
            missing -= 1
    if validates.any():
        return (np.flatnonzero(~validates), np.flatnonzero(validates))
    return None


def check_labels(labels: NDArray[np.int64], others: NDArray[np.int64], classes: tuple[str, ...], name: str) -> None:
    """Raise if training or its test cannot work.

    Args:
        labels: labels of the recordings to train on.
        others: labels of the recordings to test on.
        name: name of the test recordings in errors.

    Raises:
        NeurosimInputError: a single class; a label beyond the classes; a test label without training recordings.
    """
    known = np.unique(labels)
    names = ", ".join(_name(k, classes) for k in known)
    require(len(known) >= 2, "the training recordings", "must be of at least two classes", f"only {names}")
    for numbers in (known, np.unique(others)):
        wrong = [int(k) for k in numbers if not 0 <= k < len(classes)]
        require(not wrong, "data", f"labels must lie below the {len(classes)} classes the dataset names", wrong)
    unseen = ", ".join(_name(k, classes) for k in np.setdiff1d(others, known))
    rule = "must have no label that the training recordings lack; train on more of them or leave it out"
    require(not unseen, name, rule, unseen)


def _name(label: int, classes: tuple[str, ...]) -> str:
    if 0 <= label < len(classes):
        return f"'{classes[label]}'"
    return str(int(label))
