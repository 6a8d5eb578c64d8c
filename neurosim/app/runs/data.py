"""Load the recordings of a run: a dataset's splits, limited evenly over classes, or with one speaker held out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from ...data import catalog
from ...data.recordings import Recordings

if TYPE_CHECKING:
    from .frame.config import Data


class Splits(NamedTuple):
    """The recordings of a run, all with labels.

    Attributes:
        train: to learn from.
        test: to test on.
        name: of the test recordings.
        train_size, size: numbers of recordings of which a limit took these; None: all were taken.
    """

    train: Recordings
    test: Recordings
    name: str
    train_size: int | None = None
    size: int | None = None


def load(data: Data) -> Splits:
    """Return the training and test recordings of a config.

    The readout learns on the dataset's first split; with `held_out_speaker`, on that split without the speaker, and
    every recording of the speaker is tested.

    Raises:
        NeurosimInputError: an unknown dataset, split or speaker; no labels; nothing to train or test on.
        NeurosimMissingError: the files are not there; says where to put them.
        NeurosimFormatError: a file is damaged.
    """
    if data.held_out_speaker is None:
        first = catalog.module(data.name).INFO.splits[0]
        train = catalog.load(data.name, first, data.root, data.options)
        test = catalog.load(data.name, data.split, data.root, data.options)
        name = data.split
    else:
        train, test = catalog.hold_out(data.name, "speaker", data.held_out_speaker, data.root, data.options)
        name = f"speaker {data.held_out_speaker}"
    # Splits of a user's own folder may come from two sensors.
    require(
        train.shape == test.shape,
        f"dataset {data.name}",
        f"must have test recordings of the training shape {train.shape}",
        test.shape,
    )
    some = _limit(train, data.train_limit, "training")
    tested = _limit(test, data.limit, name)
    return Splits(some, tested, name, size_before(train, some), size_before(test, tested))


@contextmanager
def named_as(table: str) -> Iterator[None]:
    """Let errors of recordings name the keys of `table`, where a run has recordings of several tables."""
    try:
        yield
    except NeurosimInputError as error:
        raise type(error)(re.sub(r"\bdata\.(?=[a-z_]+(:|=))", f"{table}.", str(error))) from None


def size_before(items: Sized, some: Sized) -> int | None:
    """Return the number of items, None where all of them are among `some`."""
    return len(items) if len(some) < len(items) else None


def even(labels: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Return [at most limit] ascending indices, spread evenly over classes.

    Files are sorted by class, so that the first few recordings would all be of one.
    """
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    # Number of a recording within its class: the first of all classes come before the second.
    rank = np.arange(len(labels)) - np.searchsorted(ordered, ordered, side="left")
    return np.sort(order[np.lexsort((ordered, rank))][:limit])


def spread(count: int, maximum: int) -> NDArray[np.int64]:
    """Return [at most maximum] of the numbers 0 to count - 1, evenly from the first to the last."""
    return np.unique(np.linspace(0, count - 1, min(maximum, count)).round().astype(np.int64))


def _limit(recordings: Recordings, limit: int | None, name: str) -> Recordings:
    labels = recordings.labels
    if labels is None:
        raise NeurosimInputError(
            f"the {name} recordings have no labels, and a readout needs them; choose a labelled set"
        )
    require(len(recordings) > 0, "data.split", f"there must be {name} recordings", 0)
    if limit is None or limit >= len(recordings):
        return recordings
    return recordings.select(even(labels, limit))
