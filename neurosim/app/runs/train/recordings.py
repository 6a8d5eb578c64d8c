"""The recordings of a training: those to test on, to learn from, and to stop by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....base.errors import NeurosimInputError, require
from ....data import catalog
from ....data.spikes import Recordings
from ....learning.training.validation import check_labels, split, split_apart
from .. import data
from ..data import Splits
from ..summary import labels_of
from .config import APART, SPEAKER, TrainConfig


@dataclass(frozen=True)
class Parts:
    """The parts of the training recordings.

    Attributes:
        learn: to learn from.
        stop: that decide when to stop and which network to keep; None: there are none.
        speakers: of `stop`, where none of them is in `learn`.
    """

    learn: Recordings
    stop: Recordings | None
    speakers: tuple[int, ...] = ()


def load_splits(config: TrainConfig) -> Splits:
    """Return the recordings to train and to test on.

    Raises:
        NeurosimInputError: labels with which training or its test cannot work; the errors of `data.load`.
    """
    splits = data.load(config.data)
    train, test, name = splits
    check_labels(labels_of(train), labels_of(test), train.classes, f"the {name} recordings")
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
    # In this order: a speaker who is named, whole speakers where recordings name them, else shares of every class.
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
    # Fewer than three speakers cannot be set apart: then recordings are divided as without speakers.
    if chosen.by is None and chosen.speakers == APART and SPEAKER in train.groups:
        speakers = _group(train, SPEAKER, "validation.speakers")
        apart = split_apart(labels, speakers, chosen.fraction, seed)
        if apart is not None:
            strangers = tuple(np.unique(speakers[apart[1]]).tolist())
            return Parts(train.select(apart[0]), train.select(apart[1]), strangers)
    if chosen.by is None:
        groups = None
    else:
        groups = _group(train, chosen.by, "validation.by")
    learn, stop = split(labels, chosen.fraction, seed, groups)
    return Parts(train.select(learn), train.select(stop) if len(stop) else None)


def _group(recordings: Recordings, name: str, key: str) -> NDArray[np.int64]:
    if name not in recordings.groups:
        known = ", ".join(recordings.groups) or "nothing but their classes"
        raise NeurosimInputError(f"{key}: the recordings do not say their {name} (they say {known})")
    return np.asarray(recordings.groups[name], np.int64)
