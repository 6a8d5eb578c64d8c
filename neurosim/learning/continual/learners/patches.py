"""A dictionary of stored patches that all places of a picture share, and ridge regression on its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, final

import numpy as np
from numpy.typing import NDArray

from ....base.errors import require
from ....base.rules import Rule
from ..learner import Arrays
from ..tasks import Problem, Task, calibration_rows
from .random_features import Filters, ItemFeatures, Pair, draws
from .sums import FiltersSettings, StreamingRidge

# Standard deviation of drives below which a patch is taken for empty.
EMPTY = 0.1
# Added to the power of a patch, per place: faint patches answer weakly.
POWER_FLOOR = 1e-3
# Patches of a dictionary are less alike than this.
ALIKE = 0.9
# Patches that are looked at for each one that is stored.
TRIED = 50


@dataclass(frozen=True)
class PatchesSettings(FiltersSettings):
    """Settings of a picture's filters, and

    Attributes:
        filters: patches in the dictionary.
        threshold: cosine of a patch with a stored one above which the stored one answers.
    """

    side: int | Pair = 9
    threshold: Annotated[float, Rule(">= 0 and < 1")] = 0.3


class StoredPatches(Filters):
    """Roots of the means, over squares of places, of max(0, cos(p, d) - threshold) for patches p and stored patches d.

    Patches are taken without their mean. Stored patches have length 1; until they are stored they are 0.
    """

    def __init__(self, problem: Problem, settings: PatchesSettings) -> None:
        view = settings.view(problem)
        rule = "must leave a patch two inputs at least"
        require(view.inputs > 1, "PatchesSettings.side", rule, settings.side)
        super().__init__(problem, view, np.zeros((view.inputs, settings.filters), np.float32))
        self.threshold = np.float32(settings.threshold)
        # Drive of a unit that is fully on.
        self._full = problem.steps if view.windows == "sum" else 1

    def __call__(self, x: NDArray[np.uint8]) -> NDArray[np.float64]:
        # As of counts: the variance of a root depends little on the mean.
        return np.sqrt(super().__call__(x))

    def respond(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        # d has mean zero, so that d p needs no centred p: a silent input costs nothing.
        lengths = np.sqrt(self._power(patches))
        return np.maximum(patches @ self.weights / lengths[..., None] - self.threshold, 0)

    def _power(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return |p - mean|^2 of patches, and a floor."""
        size = patches.shape[-1]
        power = np.square(patches).sum(axis=-1) - np.square(patches.sum(axis=-1)) / size
        return np.maximum(power, 0) + np.float32(POWER_FLOOR * size * self._full * self._full)

    def store(self, x: NDArray[np.uint8], generator: np.random.Generator) -> None:
        """Store patches of items, drawn at random, that are not alike; fewer, where items have fewer."""
        patches = self.view.patches(self.problem, x).reshape(-1, len(self.weights))
        full = patches[patches.std(axis=1) > EMPTY * self._full]
        filters = self.weights.shape[1]
        tried = full[generator.permutation(len(full))[: TRIED * filters]]
        centred = (tried - tried.mean(axis=1, keepdims=True)) / np.sqrt(self._power(tried))[:, None]
        stored = 0
        for patch in centred:
            if stored == filters:
                break
            # Columns that are not stored yet are 0, and like nothing.
            if (patch @ self.weights[:, :stored] < ALIKE).all():
                self.weights[:, stored] = patch
                stored += 1


@final
class Patches(StreamingRidge):
    """A dictionary of patches, stored from items of the first task, and ridge regression on the answers, from sums.

    The dictionary is filled in one trial and stays; each of its patches answers wherever the picture is like it (Coates
    et al. 2011 compare such dictionaries). Answers are pooled over squares of places.

    Attributes:
        features: the dictionary.
    """

    name = "patches"
    SETTINGS = PatchesSettings
    settings: PatchesSettings
    features: StoredPatches

    def _features(self) -> ItemFeatures:
        return StoredPatches(self.problem, self.settings)

    def begin(self, task: Task) -> None:
        if task.index == 0:
            rows = calibration_rows(self.problem, task)
            self.features.store(task.train.x[rows], draws(self.problem, "patches"))

    def state(self) -> dict[str, NDArray[Any]]:
        return {**super().state(), "patches": self.features.weights.copy()}

    def restore(self, arrays: Arrays, earlier: Sequence[Task]) -> None:
        super().restore(arrays, earlier)
        self.features.weights = np.array(arrays["patches"])
