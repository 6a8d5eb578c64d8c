"""Recogniser of items that come once: a coder that stores them, and a readout that learns the classes of codes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import lookup, require
from ...base.measure.work import LayerCounts, sum_counts
from ...base.plain import from_plain, to_plain
from ...base.shown import Shown
from ...data.files.state import read_state, saved_values, write_state
from .coders import CODERS, ItemCoder
from .readouts import READOUTS, RateReadout, RidgeReadout

VERSION = 1
KIND = "CodeRecogniser"
# Items that are coded at once: bounds the memory for codes and changes no result.
CHUNK = 512


class Answers(NamedTuple):
    """Classes of items.

    Attributes:
        labels: [items] int64, the class of the largest score.
        scores: [items, classes].
        work: of the coder, then of the readout.
    """

    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    work: list[LayerCounts]


@final
class CodeRecogniser(Shown):
    """A coder and a readout.

    Storing items fills the coder; then each is coded, and the readout learns its class from the code. A code of
    columns depends on what they have stored, so it is taken once all items of a call are stored.

    Attributes:
        coder: columns or patches.
        readout: weights from codes to classes.
        stored: number of items stored.
    """

    def __init__(self, coder: ItemCoder, readout: RateReadout | RidgeReadout, stored: int = 0) -> None:
        rule = f"must have {coder.features} features, as the codes"
        require(readout.features == coder.features, "CodeRecogniser.readout", rule, readout.features)
        self.coder = coder
        self.readout = readout
        self.stored = stored

    def store(self, items: NDArray[Any], labels: NDArray[Any], threads: int = 1) -> None:
        """Store items [n, frames, inputs] with labels [n], each once and in this order.

        Raises:
            NeurosimInputError: items of another shape, or a label outside the classes.
        """
        labels = np.asarray(labels)
        self.coder.store(items, threads)
        for part in _chunks(len(items)):
            self.readout.learn(self.coder.encode(items[part], threads).codes, labels[part])
        self.stored += len(items)

    def recognise(self, items: NDArray[Any], threads: int = 1) -> Answers:
        """Return the most likely class of each item, and the work; nothing changes.

        Raises:
            NeurosimInputError: no items, or items of another shape.
        """
        require(len(items) > 0, "CodeRecogniser.recognise", "needs at least one item", 0)
        scores: NDArray[np.float64] = np.zeros((len(items), self.readout.classes))
        work: list[Sequence[LayerCounts]] = []
        for part in _chunks(len(items)):
            coded = self.coder.encode(items[part], threads)
            scores[part] = self.readout.scores(coded.codes)
            work.append([*coded.work, self.readout.work(coded.codes)])
        layers = [sum_counts(layer) for layer in zip(*work, strict=True)]
        return Answers(scores.argmax(axis=1), scores, layers)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write coder and readout; `path` is replaced in one step.

        Raises:
            NeurosimWriteError: the disk refuses.
        """
        arrays: dict[str, NDArray[Any]] = {}
        kind = next(name for name, owner in CODERS.items() if isinstance(self.coder, owner))
        coder = self.coder.split(arrays)
        arrays.update({f"readout.{name}": array for name, array in self.readout.arrays().items()})
        settings = {
            "coder": {"kind": kind, "settings": coder},
            "readout": {"kind": self.readout.name, "settings": to_plain(self.readout)},
            "stored": self.stored,
        }
        write_state(path, KIND, VERSION, settings, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CodeRecogniser:
        """Return the recogniser that `save` wrote.

        Raises:
            NeurosimMissingError: no such file.
            NeurosimFormatError: another kind of file, a damaged one, or one of a newer format.
        """
        settings, arrays = read_state(path, KIND, VERSION)
        with saved_values(path):
            entry = settings["coder"]
            own = {name: array for name, array in arrays.items() if not name.startswith("readout.")}
            coder = lookup(CODERS, entry["kind"], "coder").build(entry["settings"], own)
            entry = settings["readout"]
            readout = from_plain(lookup(READOUTS, entry["kind"], "readout"), entry["settings"])
            prefix = "readout."
            learned = {k.removeprefix(prefix): array for k, array in arrays.items() if k.startswith(prefix)}
            readout.restore(learned)
            stored = settings["stored"]
            good = isinstance(stored, int) and 0 <= stored < 2**53
            require(good, "stored", "must be the number of stored items, 0 to 2^53 - 1", stored)
            return cls(coder, readout, stored)


def _chunks(n: int) -> list[slice]:
    return [slice(begin, min(begin + CHUNK, n)) for begin in range(0, n, CHUNK)]
