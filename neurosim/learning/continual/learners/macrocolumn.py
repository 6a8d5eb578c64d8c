"""Macrocolumns: every item comes once and is stored in one trial, without replay."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ....base.errors import require
from ....base.measure.work import LayerCounts, sum_counts
from ....base.random import rng_key
from ....base.rules import Count, Positive, check_rules
from ....memory.macrocolumn.fields import patches, scattered
from ....memory.macrocolumn.hierarchy import Hierarchy
from ....memory.macrocolumn.level import Level
from ....memory.macrocolumn.recognition import EXEMPLARS, ONE_PATTERN
from ....memory.macrocolumn.work import count_votes
from ..learner import Arrays, Learner, Progress, no_progress
from ..tasks import Problem, Task
from .engine_columns import run_columns, winners
from .state import about, check_arrays

NEVER = np.iinfo(np.int32).max
# Items whose codes are in memory at a time.
CHUNK = 200


@dataclass(frozen=True)
class MacrocolumnSettings:
    """Columns that each see a few units of the input.

    Attributes:
        columns: number of columns, each with a field of its own drawn from all units.
        field: units of the input that a column sees, at each of the `levels`.
        shape: (..., height, width) of an item, e.g. [28, 28]: a column sees a square of it, in all other dimensions,
            and `columns` and `field` have no effect; empty: a line of all units.
        side: side of a square, units.
        stride: distance from one square to the next, units.
        modules: number of modules of a column.
        units: number of units of a module.
        levels: drives (0 to 254); each has an input that is on above it, and one that is on below it.
        smoothing: a, added to the counts of labels.
        engine: whether the columns learn and answer as a population of the engine, each step of an item being a window,
            with the same results. Otherwise the library is called, which is faster.
    """

    columns: Count = 128
    field: Count = 80
    shape: tuple[int, ...] = ()
    side: Count = 5
    stride: Count = 2
    modules: Count = 2
    units: Count = 512
    levels: tuple[int, ...] = (64, 128, 192)
    smoothing: Positive = 0.01
    engine: bool = False

    def __post_init__(self) -> None:
        check_rules(self)
        good = len(self.levels) >= 1 and all(0 <= level < 255 for level in self.levels)
        require(good, "MacrocolumnSettings.levels", "must be drives of 0 to 254, one at least", self.levels)

    def unused(self, images: bool | None) -> dict[str, str]:
        if self.shape:
            return dict.fromkeys(("columns", "field"), f"with shape {list(self.shape)}")
        return dict.fromkeys(("side", "stride"), "without shape")

    def fields(self, problem: Problem, seed: int) -> NDArray[np.int32]:
        """Return [columns, inputs] which units each column sees, every level numbered after the one below.

        Raises:
            NeurosimInputError: a shape that does not unfold to the units of an item, or is smaller than a square.
        """
        size = problem.units
        levels = len(self.levels)
        if not self.shape:
            return scattered(levels * size, self.columns, min(self.field, levels * size), seed)
        name = "MacrocolumnSettings.shape"
        good = len(self.shape) >= 2 and math.prod(self.shape) == size
        require(good, name, f"must be (..., height, width) that unfolds to the {size} units of an item", self.shape)
        squares = patches(self.shape, self.side, self.stride)
        return np.concatenate([squares + np.int32(k * size) for k in range(levels)], axis=1)


@final
class SingleTrial(Learner):
    """Columns that store each item in one trial, and counts of the labels with which each unit won.

    Each step of an item is a frame with counts of its own; a still image among recordings has the first alone. A
    winner u votes for class c with log p(u | c), where p(u | c) = (n(u, c) + a) / (n(c) + a K). A unit that first won
    after the last task with class c had no chance to win for c: there c gets the mean log p(u | c') over the classes
    that had one, so that it neither gains nor loses; where one class alone had one, of it and of a class without items,
    for which p is 1 / K. Without this rule the classes learned last win nearly always. On a sequence without boundaries
    items take the place of tasks.

    Attributes:
        columns: number of columns.
        hierarchy: the columns.
        memory: weights of the columns.
        counts: [steps, columns, Q, K, classes] uint32, items of each class with which each unit won.
        born: [steps, columns, Q, K] int32, the task in which a unit first won, or the number of that item.
        taught: [classes] int32, the last task with each class, or its last item, -1 for none.
    """

    SETTINGS = MacrocolumnSettings
    TASK_FREE = True

    def __init__(self, problem: Problem, settings: MacrocolumnSettings) -> None:
        super().__init__(problem)
        self.settings = settings
        half = len(settings.levels) * problem.units
        seed = rng_key(problem.seed, "learner", "macrocolumn") & (2**31 - 1)
        on = settings.fields(problem, seed)
        # A unit that is off is evidence, too: a column has an ON and an OFF input of every unit in its field.
        level = Level(
            np.concatenate([on, on + half], axis=1),
            settings.modules,
            settings.units,
            lateral=False,
            selection=EXEMPLARS,
            frozen_above=ONE_PATTERN,
        )
        self.hierarchy = Hierarchy(2 * half, (level,), top_down=False, seed=seed)
        self.memory = self.hierarchy.memory()
        self.columns = len(on)
        shape = (problem.steps, self.columns, settings.modules, settings.units)
        self.counts: NDArray[np.uint32] = np.zeros((*shape, problem.classes), np.uint32)
        self.born: NDArray[np.int32] = np.full(shape, NEVER, np.int32)
        self.taught: NDArray[np.int32] = np.full(problem.classes, -1, np.int32)

    def begin(self, task: Task) -> None:
        """Do nothing: a task has no information apart from its items."""

    def learn(self, task: Task, on_progress: Progress = no_progress) -> None:
        from ....kernels.memory.label_counts.cpu import associate

        if self.problem.boundaries:
            key = rng_key(self.problem.seed, "learner", "macrocolumn", str(task.index))
            order = np.random.Generator(np.random.Philox(key=key)).permutation(len(task.train))
        else:
            order = np.arange(len(task.train))
        # Writes: weights turned on, and a counter for each winner.
        updates = -self._weights_on()
        for first in range(0, len(order), CHUNK):
            part = task.train.select(order[first : first + CHUNK])
            codes, _ = self._run(part.x, learn=True)
            updates += int(np.count_nonzero(codes >= 0))
            if not self.problem.boundaries:
                self._date(codes, part.y)
            associate(codes, part.y, self.counts[: codes.shape[1]])
            on_progress(first + len(part), len(order))
        if self.problem.boundaries:
            new = (self.born == NEVER) & (self.counts.sum(axis=-1) > 0)
            self.born[new] = task.index
            self.taught[list(task.classes)] = task.index
        self.updates = updates + self._weights_on()
        self.learned = task.index + 1

    def scores(self, x: NDArray[np.uint8], task: int | None) -> NDArray[Any]:
        from ....kernels.memory.label_counts.cpu import votes

        scores = np.zeros((len(x), self.problem.classes))
        logs = self._logs()
        for first in range(0, len(x), CHUNK):
            part = slice(first, first + CHUNK)
            codes, _ = self._run(x[part])
            votes(codes, logs[: codes.shape[1]], scores[part])
        if not self.problem.boundaries and self.learned:
            scores[:, self.taught < 0] = -np.inf
        return scores

    def work(self, x: NDArray[np.uint8], task: int | None = None) -> list[LayerCounts]:
        logs = self._logs()
        work = []
        for first in range(0, len(x), CHUNK):
            part = x[first : first + CHUNK]
            codes, layer = self._run(part)
            work.append([layer(), count_votes("classes", codes, logs[: part.shape[1]])])
        return [sum_counts(layer) for layer in zip(*work, strict=True)]

    def memory_bytes(self) -> dict[str, int]:
        labels = self.counts.nbytes + self.born.nbytes + self.taught.nbytes
        return {"weights": self.memory.levels[0].nbytes, "labels": labels}

    def state(self) -> dict[str, NDArray[Any]]:
        memory = self.memory.levels[0]
        own = {"counts": self.counts.copy(), "born": self.born.copy(), "taught": self.taught.copy()}
        stored = {"u": memory.u.copy(), "clock": memory.clock.copy(), "stored": np.array(memory.stored)}
        return {**own, **stored, **about(self.problem), "learned": np.array(self.learned)}

    def restore(self, arrays: Arrays, earlier: Sequence[Task]) -> None:
        check_arrays("macrocolumn", arrays, self.state())
        memory = self.memory.levels[0]
        memory.u = np.array(arrays["u"])
        memory.clock = np.array(arrays["clock"])
        memory.stored = int(arrays["stored"])
        self.counts = np.array(arrays["counts"])
        self.born = np.array(arrays["born"])
        self.taught = np.array(arrays["taught"])
        self.learned = int(arrays["learned"])

    def _run(self, x: NDArray[np.uint8], *, learn: bool = False) -> tuple[NDArray[np.int32], Callable[[], LayerCounts]]:
        """Store or recall items; return the winners [n, steps, columns, Q], and a function that counts the work."""
        on = np.concatenate([x > level for level in self.settings.levels], axis=2)
        frames = np.concatenate([on, ~on], axis=2)
        shape = (*x.shape[:2], self.columns, self.settings.modules)
        if self.settings.engine:
            result = run_columns(self.hierarchy, self.memory, frames, learn=learn)
            return winners(result, shape, self.settings.units), lambda: result.work[0]
        if learn:
            run = self.hierarchy.store_many
        else:
            run = self.hierarchy.recall_many
        level = run(self.memory, frames.view(np.uint8))[0]
        return level.codes.reshape(shape), lambda: self.hierarchy.work(self.memory, [level])[0]

    def _date(self, codes: NDArray[np.int32], labels: NDArray[np.int64]) -> None:
        """Update `born` and `taught` by the codes [items, steps, columns, Q] and labels of a piece of a sequence."""
        # The latest item of all classes is the last item so far.
        first = int(self.taught.max()) + 1
        # From the last item to the first: of entries that are written twice the earliest stays.
        item, step, column, module = np.nonzero(codes[::-1] >= 0)
        item = len(codes) - 1 - item
        dates = np.full_like(self.born, NEVER)
        dates[step, column, module, codes[item, step, column, module]] = first + item
        np.minimum(self.born, dates, out=self.born)
        self.taught[labels] = first + np.arange(len(labels))

    def _weights_on(self) -> int:
        """Return the number of binary weights that are on."""
        return int(np.unpackbits(self.memory.levels[0].u.view(np.uint8)).sum())

    def _logs(self) -> NDArray[np.float32]:
        """Return log p(u | c), or its mean over classes with a chance, [steps, columns, Q, K, classes]."""
        total = self.counts.sum(axis=3, keepdims=True, dtype=np.float32)
        a = np.float32(self.settings.smoothing)
        logs = np.log((self.counts + a) / (total + a * np.float32(self.settings.units)))
        # A unit can win for a class that came after the unit first won.
        has_chance = self.born[..., None] <= self.taught
        count = has_chance.sum(axis=-1, keepdims=True)
        total_logs = (logs * has_chance).sum(axis=-1, keepdims=True)
        # The mean of one class alone would be its own log, and the unit would not tell the class from any other: a
        # class without items, of which every unit has 1 / K, stands beside it.
        is_alone = count == 1
        total_logs -= is_alone * np.log(np.float32(self.settings.units))
        mean = total_logs / np.maximum(count + is_alone, 1)
        return np.asarray(np.where(has_chance, logs, mean), np.float32)
