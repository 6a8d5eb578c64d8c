"""Parts of a stream of tasks: labelled items, tasks, and the facts that a learner has before the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.shown import Shown

Scenario = Literal["domain", "task", "class"]
# Drive of a unit that is fully on in a step.
FULL = 255
# Number of items, without their labels, from which a learner sets what stays as it is: rates, scales, patches.
CALIBRATED = 60


@dataclass(frozen=True, eq=False)
class Items(Shown):
    """Labelled items of one sensor. It may be copied and pickled.

    Attributes:
        x: [n, steps, units] uint8, drive of each unit in each step, 0 to 255. A still image has one step, its grey
            levels; a recording has its events in equal windows.
        y: [n] int64 classes, numbered over the whole stream.

    Raises:
        NeurosimInputError: on construction, where the arrays do not fit.
    """

    x: NDArray[np.uint8]
    y: NDArray[np.int64]

    def __post_init__(self) -> None:
        good = self.x.ndim == 3 and self.x.dtype == np.uint8
        require(good, "Items.x", "must be uint8 [n, steps, units]", (self.x.dtype.name, self.x.shape))
        require(self.y.shape == (len(self.x),), "Items.y", f"must hold {len(self.x)} classes", self.y.shape)

    def __len__(self) -> int:
        return len(self.y)

    def select(self, rows: NDArray[Any]) -> Items:
        """Return the items at `rows` (integers or a mask), in that order."""
        return Items(self.x[rows], self.y[rows])


@dataclass(frozen=True, eq=False)
class Task(Shown):
    """One task of a stream. It may be copied and pickled.

    Attributes:
        name: name in tables, e.g. "classes 2, 3".
        index: place in the stream, from 0.
        classes: classes that occur in the task, ascending, by their number in the stream.
        train, validation, test: items of the task; validation is a part of the dataset's training split.
    """

    name: str
    index: int
    classes: tuple[int, ...]
    train: Items
    validation: Items
    test: Items


@dataclass(frozen=True)
class Problem(Shown):
    """Facts that a learner has before the first task. It may be copied and pickled.

    Attributes:
        steps, units: numbers of steps and units of an item; tasks of still images in a stream with recordings have one
            step and are shown unchanged for all steps.
        groups: the classes of each task.
        scenario: "domain", every task has the same classes; "task", an item comes with the number of its task, and is
            one of the classes of that; "class", it comes alone, and is one of all classes met so far.
        seed: key of every random draw of a learner.
        boundaries: whether learners may use where a task begins and ends. Without, the items of all tasks are one
            sequence, which comes in pieces; an item can be of any class.
        shape: shape of the sensor whose places are the units, e.g. (28, 28) or (2, 17, 17); empty: not known.

    See van de Ven and Tolias 2019 (arXiv 1904.07734) for the three scenarios.
    """

    steps: int
    units: int
    groups: tuple[tuple[int, ...], ...]
    scenario: Scenario = "domain"
    seed: int = 0
    boundaries: bool = True
    shape: tuple[int, ...] = ()

    @property
    def tasks(self) -> int:
        """Number of tasks of the stream."""
        return len(self.groups)

    @property
    def classes(self) -> int:
        """Number of classes of the whole stream."""
        return 1 + max(max(group) for group in self.groups)

    def allowed(self, task: int | None, learned: int) -> NDArray[np.bool_]:
        """Return [classes] bool: the classes that an item can be of.

        Args:
            task: the number of its task; None: not known.
            learned: tasks met so far; with none, or without boundaries, any class.
        """
        if task is not None:
            groups: tuple[tuple[int, ...], ...] = (self.groups[task],)
        elif learned and self.boundaries:
            groups = self.groups[:learned]
        else:
            groups = self.groups
        mask: NDArray[np.bool_] = np.zeros(self.classes, bool)
        for group in groups:
            mask[list(group)] = True
        return mask


def in_turn(labels: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return `order` rearranged so that the classes take turns: its first places are even over the classes.

    Args:
        labels: [n] of the places.
        order: [n] a permutation; places of one class stay in its order.
    """
    shuffled = labels[order]
    by_class = np.argsort(shuffled, kind="stable")
    ranked = shuffled[by_class]
    # Rank of each place within its class; places of one rank come together, by class.
    rank = np.empty(len(labels), np.int64)
    rank[by_class] = np.arange(len(labels)) - np.searchsorted(ranked, ranked, side="left")
    return np.asarray(order[np.lexsort((shuffled, rank))])


def calibration_rows(problem: Problem, task: Task) -> NDArray[np.int64]:
    """Return the rows of the training items of the first task that set what stays as it is.

    They come from the whole task, or without boundaries from the first items of the sequence.
    """
    last = len(task.train)
    if not problem.boundaries:
        # A piece of a sequence may be any number of items.
        last = min(CALIBRATED, last)
    return np.unique(np.linspace(0, last - 1, CALIBRATED).round().astype(np.int64))
