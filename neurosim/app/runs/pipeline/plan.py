"""Plan of a pipeline's run: in which order recordings are learned and tested, cut into pieces between two saves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....base.errors import require
from ....base.random import rng_key
from ..data import Splits
from ..summary import labels_of
from .config import PipelineConfig


@dataclass(frozen=True, eq=False)
class Piece:
    """Recordings that run between two saves.

    Attributes:
        learn: whether they are learned, or tested.
        indices: [n] in their split.
        trial: of the first; the others follow it.
        test: number of the test; of a piece that is learned, of the test after it.
        begins: whether it is the first piece of a task or a test.
    """

    learn: bool
    indices: NDArray[np.int64]
    trial: int
    test: int
    begins: bool = False


@dataclass(frozen=True, eq=False)
class Plan:
    """All recordings of a run in order.

    Attributes:
        train: the indices of the training recordings of each task, every epoch after the other.
        test: the indices of the test recordings, which every test takes.
        before: whether a test comes before the first task.
        size: recordings of a piece.
        trial: of the first recording.
    """

    train: tuple[NDArray[np.int64], ...]
    test: NDArray[np.int64]
    before: bool
    size: int
    trial: int

    @classmethod
    def of(cls, config: PipelineConfig, splits: Splits) -> Plan:
        """Return the plan of a run.

        Raises:
            NeurosimInputError: a class without training or test recordings.
        """
        data = config.data
        tasks = config.tasks()
        settings = config.description.settings
        labels = labels_of(splits.train)
        tested = labels_of(splits.test)
        for task in tasks if data.tasks else ():
            for name, numbers in (("training", labels), ("test", tested)):
                missing = [splits.test.classes[each] for each in task if not np.any(numbers == each)]
                require(not missing, "data.tasks", f"must have {name} recordings of each class", ", ".join(missing))
        train = []
        for number, task in enumerate(tasks):
            mine = np.flatnonzero(np.isin(labels, task))
            every = []
            for epoch in range(data.epochs):
                # Keyed by task and epoch: a resumed run makes the same plan without a saved generator.
                key = rng_key(settings.seed, "pipeline", f"task {number}", f"epoch {epoch}")
                draw = np.random.Generator(np.random.Philox(key=key))
                every.append(draw.permutation(mine) if data.shuffle else mine)
            train.append(np.concatenate(every))
        test = np.flatnonzero(np.isin(tested, [each for task in tasks for each in task]))
        return cls(train=tuple(train), test=test, before=bool(data.tasks), size=data.save_every, trial=settings.trial)

    @property
    def tests(self) -> int:
        """Number of tests: one after each task, and one before the first where there are several."""
        return len(self.train) + self.before

    def pieces(self) -> Iterator[Piece]:
        """Yield the pieces of the run in order."""
        # Tests have the first numbers in every test, so that they draw the same randomness.
        trial = self.trial + len(self.test)
        if self.before:
            yield from self._tested(0)
        for number, indices in enumerate(self.train):
            test = number + self.before
            for first in range(0, len(indices), self.size):
                yield Piece(
                    learn=True,
                    indices=indices[first : first + self.size],
                    trial=trial + first,
                    test=test,
                    begins=first == 0,
                )
            trial += len(indices)
            yield from self._tested(test)

    def _tested(self, test: int) -> Iterator[Piece]:
        for first in range(0, len(self.test), self.size):
            chosen = self.test[first : first + self.size]
            yield Piece(learn=False, indices=chosen, trial=self.trial + first, test=test, begins=first == 0)

    def digest(self) -> str:
        """Return the SHA-256 of the plan."""
        digest = hashlib.sha256(f"{self.before} {self.size} {self.trial}".encode())
        for indices in (*self.train, self.test):
            digest.update(f" {len(indices)} ".encode() + indices.astype("<i8").tobytes())
        return digest.hexdigest()
