"""The classes of codes: how often each unit won for each class, counted in the same single pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....base.errors import NeurosimInputError

PRIOR = 0.3  # of a count, shared by the classes: the evidence of a winner that never occurred


@dataclass(frozen=True, eq=False)
class LabelMemory:
    """A naive Bayes readout: the winners of a code are taken as independent given the class.

    Its time does not depend on how many items were stored, either.

    Attributes:
        counts: [Q, K, classes] int64, items of each class that each unit was a winner for.
    """

    counts: NDArray[np.int64]

    @classmethod
    def empty(cls, modules: int, units: int, classes: int) -> LabelMemory:
        return cls(np.zeros((modules, units, classes), np.int64))

    def learn(self, codes: NDArray[np.int32], labels: NDArray[np.int64]) -> None:
        """Count codes [n, Q] with labels [n] in; codes of -1 (the column did not run) are left out."""
        classes = self.counts.shape[2]
        wrong = labels[(labels < 0) | (labels >= classes)]
        if wrong.size:
            raise NeurosimInputError(f"labels: must be in 0..{classes - 1} (got {wrong[0]})")
        ran = codes[:, 0] >= 0
        for q, counts in enumerate(self.counts):
            np.add.at(counts, (codes[ran, q], labels[ran]), 1)

    def predict(self, codes: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return [n] the most likely class of codes [n, Q]; the lowest of equals, and where the column did not run."""
        modules, _, classes = self.counts.shape
        # A winner that was never seen must not rule a class out: its log would be minus infinity.
        smooth = self.counts + PRIOR / classes
        chances = np.log(smooth / smooth.sum(axis=2, keepdims=True))
        scores = chances[np.arange(modules), np.maximum(codes, 0)].sum(axis=1)
        return np.asarray(np.where(codes[:, 0] >= 0, scores.argmax(axis=1), 0))
