"""A liquid that does not change, and a readout that grows with every class, without replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ....base.errors import NeurosimError, require
from ....base.measure.activity import count
from ....base.measure.work import LayerCounts
from ....base.rules import Positive
from ....data.recordings import Recordings
from ....engine.result import Result
from ...liquid.windows import features
from ..learner import BATCH, Arrays, Learner, Progress, no_progress
from ..tasks import Problem, Task
from .item_liquid import ItemLiquid, SpikeCache, liquid_spikes
from .state import about, check_arrays

# Added to the spread of each feature, as a fraction of their mean: features that hardly vary stay small.
SCALE_FLOOR = 0.3


@dataclass(frozen=True)
class LiquidSettings(ItemLiquid):
    """A liquid and its readout: as `ItemLiquid`, and

    Attributes:
        penalty: penalty of the readout's ridge regression, as a fraction of the mean squared norm of an item's
            features.
    """

    penalty: Positive = 0.1


@final
class LiquidReadout(Learner):
    """A liquid state machine whose readout is ridge regression on the items of all tasks, computed from sums.

    For features z (centred and scaled by constants of the first task) the least squares solution for "1 for the right
    class and -1 for the others" needs only G = sum z z^T, the sum of z of each class, and the counts: a task adds to
    them and a new class adds a row. So the readout equals a readout trained on all items together, and nothing is
    replayed; its accuracy is bounded by the liquid. The first items, of a task or of a sequence, set gains and scales.

    Attributes:
        liquid: the liquid; its gains are set on items of the first task, without their labels.
        centre, scale: [F] mean and scale of the features.
        gram: [F, F] G.
        sums: [classes, F] sums of z.
        counts: [classes] number of items.
    """

    SETTINGS = LiquidSettings
    TASK_FREE = True

    def __init__(self, problem: Problem, settings: LiquidSettings) -> None:
        super().__init__(problem)
        self.settings = settings
        self.liquid = settings.liquid(problem)
        # The last feature is always 1.
        size = settings.neurons * settings.windows + 1
        self.gains: NDArray[np.float64] = np.ones(settings.neurons)
        self.centre = np.zeros(size)
        self.scale = np.ones(size)
        self.gram = np.zeros((size, size))
        self.sums = np.zeros((problem.classes, size))
        self.counts = np.zeros(problem.classes)
        self.weights: NDArray[np.float64] | None = None
        self._cache = SpikeCache()

    def begin(self, task: Task) -> None:
        if task.index:
            return
        self._cache.clear()
        self.liquid = self.settings.adapted(self.liquid, self.problem, task)
        assert self.liquid.gains is not None
        self.gains = np.asarray(self.liquid.gains)

    def learn(self, task: Task, on_progress: Progress = no_progress) -> None:
        n = len(task.train)
        updates = self.sums.size
        for first in range(0, n, BATCH):
            part = task.train.select(np.arange(first, min(first + BATCH, n)))
            z = self._features(liquid_spikes(self._play(part.x)))
            # Centre and scale stay those of the first batch: sums of features on other scales could not be added.
            if task.index == 0 and first == 0:
                self._calibrate(z)
            z = (z - self.centre) / self.scale
            one_hot = (part.y[:, None] == np.arange(self.problem.classes)).astype(np.float64)
            self.gram += z.T @ z
            self.sums += one_hot.T @ z
            self.counts += one_hot.sum(axis=0)
            updates += self.gram.size + self.sums.size + self.counts.size
            on_progress(first + len(part), n)
        self.updates = updates
        self.learned = task.index + 1
        self.weights = None

    def scores(self, x: NDArray[np.uint8], task: int | None) -> NDArray[Any]:
        if not self.learned:
            return np.zeros((len(x), self.problem.classes))
        spikes = self._cache.get(x)
        if spikes is None:
            spikes = liquid_spikes(self._play(x))
            self._cache.add(x, spikes)
        z = (self._features(spikes) - self.centre) / self.scale
        return np.asarray(z @ self._solved().T)

    def work(self, x: NDArray[np.uint8], task: int | None = None) -> list[LayerCounts]:
        """Return the work of the liquid and of the readout, in single precision.

        Weights and bias of the readout include centre and scale: a feature of a silent neuron is 0 and costs nothing.
        """
        result = self._play(x, count_updates=True)
        z = self._features(liquid_spikes(result))[:, :-1].astype(np.float32)
        if self.learned:
            solved = self._solved()
        else:
            solved = np.zeros_like(self.sums)
        weights = (solved[:, :-1] / self.scale[:-1]).astype(np.float32)
        none = np.zeros((len(z), 1, len(weights), 0), np.float32)
        stored = 4 * solved.size
        outputs = (z @ weights.T)[:, None]
        readout = count("readout", weights.T, z[:, None], outputs, none, spiking=False, parameter_bytes=stored)
        return [*result.work, readout]

    def memory_bytes(self) -> dict[str, int]:
        liquid = self._play(np.zeros((1, 1, self.problem.units), np.uint8)).work[0].parameter_bytes
        sums = (self.gram, self.sums, self.counts, self.centre, self.scale)
        return {"liquid": liquid, "readout": self.sums.nbytes, "sums": sum(array.nbytes for array in sums)}

    def state(self) -> dict[str, NDArray[Any]]:
        names = ("gains", "centre", "scale", "gram", "sums", "counts")
        own = {name: np.array(getattr(self, name)) for name in names}
        return {**own, **about(self.problem), "learned": np.array(self.learned)}

    def restore(self, arrays: Arrays, earlier: Sequence[Task]) -> None:
        check_arrays("liquid", arrays, self.state())
        scale = np.asarray(arrays["scale"])
        good = bool((np.isfinite(scale) & (scale > 0)).all())
        require(good, "liquid: scale", "must be finite and > 0", float(scale.min()))
        for name in ("gains", "centre", "scale", "gram", "sums", "counts"):
            setattr(self, name, np.array(arrays[name]))
        self.learned = int(arrays["learned"])
        self._cache.clear()
        self.liquid = replace(self.liquid, gains=self.gains)
        self.weights = None

    def _calibrate(self, z: NDArray[Any]) -> None:
        self.centre = z.mean(axis=0)
        spread = z.std(axis=0)
        self.scale = spread + SCALE_FLOOR * max(float(spread.mean()), 1e-12)
        # The constant feature stays 1.
        self.centre[-1] = 0.0
        self.scale[-1] = 1.0

    def _solved(self) -> NDArray[np.float64]:
        if self.weights is None:
            self.weights = self._solve()
        return self.weights

    def _solve(self) -> NDArray[np.float64]:
        """Return [classes, F]: the ridge regression of +-1 on all items so far, with no penalty on the constant."""
        from scipy.linalg import solve

        # sum of y z^T with y = 1 for the right class and -1 for the others
        targets = 2 * self.sums - self.sums.sum(axis=0)
        penalty = self.settings.penalty * np.trace(self.gram[:-1, :-1]) / max(self.counts.sum(), 1.0)
        ridge = np.full(len(self.gram), penalty)
        ridge[-1] = 1e-9 * max(self.counts.sum(), 1.0)
        # W = targets (G + ridge)^-1
        try:
            return np.asarray(solve(self.gram + np.diag(ridge), targets.T, assume_a="pos").T)
        except np.linalg.LinAlgError as error:
            raise NeurosimError(f"liquid: no items have such sums ({error}); learn anew") from None

    def _play(self, x: NDArray[np.uint8], *, count_updates: bool = False) -> Result:
        return self.liquid.run(self.settings.recordings(self.problem, x), threads=1, count_updates=count_updates)

    def _features(self, spikes: Recordings) -> NDArray[np.float64]:
        """Return [n, F]: square roots of the spike counts of each neuron in each window, and a 1."""
        roots = features(spikes, "counts", self.settings.windows, "time")
        return np.concatenate([roots, np.ones((len(spikes), 1))], axis=1).astype(np.float64)
