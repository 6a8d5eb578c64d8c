"""The recordings of a training: those to test on, to learn from, and to stop by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....base.errors import NeurosimInputError, require
from ....data import catalog
from ....data.folder.takes import RECORDING
from ....data.recordings import Recordings
from ....learning.training.validation import check_labels, split, split_apart
from .. import data
from ..data import Splits
from ..summary import labels_of
from .config import APART, SPEAKER, TrainConfig, Validation

# Share of the training recordings to validate on, and how many these must be, where the user gives no share. With 79
# recordings of N-MNIST the chosen epoch had .945 on the test, the last epoch of a training on all of them .965.
FRACTION = 0.1
MIN_VALIDATION = 200
# Groups whose recordings are alike, the widest first: validation on recordings of a group that is learned says little.
GROUPS = (SPEAKER, "subject", "user", "person", "session", RECORDING)


@dataclass(frozen=True)
class Parts:
    """The parts of the training recordings.

    Attributes:
        learn: to learn from.
        stop: that decide when to stop and which network to keep; None: there are none.
        speakers: of `stop`, where none of them is in `learn`.
        remark: what must be known of the division, a sentence; "" where it is the usual one.
    """

    learn: Recordings
    stop: Recordings | None
    speakers: tuple[int, ...] = ()
    remark: str = ""


def load_splits(config: TrainConfig) -> Splits:
    """Return the recordings to train and to test on.

    Raises:
        NeurosimInputError: labels with which training or its test cannot work; the errors of `data.load`.
    """
    splits = data.load(config.data)
    train = splits.train
    test = splits.test
    check_labels(labels_of(train), labels_of(test), train.classes, f"the {splits.name} recordings")
    if config.liquid.use:
        for part in (train, test):
            config.liquid_config().build_readout().groups(part)
    return splits


def parts_of(config: TrainConfig, train: Recordings, seed: int) -> Parts:
    """Return the recordings to learn from and those to stop by.

    Args:
        seed: of the network, key of the choice.

    Raises:
        NeurosimInputError: the recordings do not say what validation asks for, or a side would be empty.
    """
    # In this order: a speaker who is named, whole groups where recordings name them, else shares of every class.
    chosen = config.validation
    labels = labels_of(train)
    if chosen.held_out_speaker is not None:
        speakers = _group(train, SPEAKER, "validation.held_out_speaker")
        info = config.data.describe()
        number = catalog.group_number(info, SPEAKER, chosen.held_out_speaker, "validation.held_out_speaker")
        mine = speakers == number
        known = ", ".join(str(s) for s in np.unique(speakers))
        require(bool(mine.any()), "validation.held_out_speaker", f"must be one of {known}", chosen.held_out_speaker)
        require(not mine.all(), "validation.held_out_speaker", "must leave others to train on", chosen.held_out_speaker)
        check_labels(labels[~mine], labels[mine], train.classes, "the validation recordings")
        return Parts(train.select(~mine), train.select(mine), (number,))
    # Who names a group to divide by wants a validation part of any size.
    needed = MIN_VALIDATION if chosen.fraction is None and chosen.by is None else 0
    fraction = FRACTION if chosen.fraction is None else chosen.fraction
    parts = _apart(train, chosen, fraction, seed)
    if parts is None and fraction * len(train) < needed:
        return _without_validation(train, round(fraction * len(train)))
    if parts is None:
        return _shares(train, chosen, fraction, seed)
    if parts.stop is not None and len(parts.stop) < needed:
        return _without_validation(train, len(parts.stop))
    return parts


def _without_validation(train: Recordings, few: int) -> Parts:
    """Return all recordings to learn from, with the reason: `few` are too few to choose an epoch by."""
    remark = (
        f"not validated, for {few} of them, a tenth, would choose an epoch by chance (validation.fraction=0.1 leaves "
        "them out all the same)"
    )
    return Parts(train, None, remark=remark)


def _apart(train: Recordings, chosen: Validation, fraction: float, seed: int) -> Parts | None:
    """Return parts with no speaker, or other group, on both sides; None where no group can be set apart."""
    if chosen.by is not None or chosen.speakers != APART:
        return None
    for name in GROUPS:
        if name not in train.groups:
            continue
        numbers = _group(train, name, "validation.speakers")
        # Fewer than three groups cannot be set apart.
        apart = split_apart(labels_of(train), numbers, fraction, seed)
        if apart is None:
            continue
        learn, stop = (train.select(rows) for rows in apart)
        strangers = np.unique(numbers[apart[1]])
        if name == SPEAKER:
            return Parts(learn, stop, tuple(strangers.tolist()))
        remark = f"validation is on {len(strangers)} of {len(np.unique(numbers))} {name}s, none of which is learned"
        return Parts(learn, stop, remark=remark)
    return None


def _shares(train: Recordings, chosen: Validation, fraction: float, seed: int) -> Parts:
    """Return parts with the same share of each class, or of each class of each group of `chosen.by`.

    Raises:
        NeurosimInputError: the recordings do not say the group, or nothing is left to validate on.
    """
    if chosen.by is None:
        groups = None
    else:
        groups = _group(train, chosen.by, "validation.by")
    labels = labels_of(train)
    learn, stop = split(labels, fraction, seed, groups)
    both = [name for name in GROUPS if name in train.groups and _share(train.groups[name], learn, stop)]
    remark = ""
    if both and len(stop):
        alike = f"pieces of one {RECORDING}" if both[0] == RECORDING else f"recordings of one {both[0]}"
        remark = f"{alike} are both learned and validated on: the validation accuracy is of {both[0]}s that are known"
    return Parts(train.select(learn), train.select(stop) if len(stop) else None, remark=remark)


def _share(numbers: NDArray[np.integer], learn: NDArray[np.int64], stop: NDArray[np.int64]) -> bool:
    """Return whether a group has recordings in both parts."""
    return bool(np.isin(np.asarray(numbers)[stop], np.asarray(numbers)[learn]).any())


def _group(recordings: Recordings, name: str, key: str) -> NDArray[np.int64]:
    if name not in recordings.groups:
        known = ", ".join(recordings.groups) or "nothing but their classes"
        raise NeurosimInputError(f"{key}: the recordings do not say their {name} (they say {known})")
    return np.asarray(recordings.groups[name], np.int64)
