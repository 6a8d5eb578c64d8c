"""A stream of tasks, and the contract of the recipes that make one from a dataset: tasks split, limited and blurred."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.random import rng_key
from .sources import Base
from .tasks import Items, Problem, Scenario, Task, in_turn


@final
@dataclass(frozen=True, eq=False)
class Stream(Sequence[Task]):
    """Tasks in order; each is made on access.

    Attributes:
        problem: facts that a learner has before the first task.
        names: names of the tasks.
        classes: names of the classes of the stream.
        make: function that returns the task of an index.
    """

    problem: Problem
    names: tuple[str, ...]
    classes: tuple[str, ...]
    make: Callable[[int], Task]

    @classmethod
    def of(
        cls, tasks: Sequence[Task], scenario: Scenario = "domain", seed: int = 0, *, boundaries: bool = True
    ) -> Stream:
        """Return the stream of your own tasks; scenario, seed and boundaries as in `Problem`.

        Raises:
            NeurosimInputError: a task that occurs twice or is missing; items of different shapes; a class that a task
                does not list, or that is tested and not trained.
        """
        require(len(tasks) > 0, "Stream", "needs at least one task", 0)
        places = [task.index for task in tasks]
        repeated = sorted({i for i in places if places.count(i) > 1})
        require(not repeated, "Stream", "must have each task once; these occur more often", repeated)
        missing = sorted(set(range(len(tasks))) - set(places))
        require(not missing, "Stream", f"must have tasks 0 to {len(tasks) - 1}; these are missing", missing)
        ordered = sorted(tasks, key=lambda task: task.index)
        for task in ordered:
            _check_task(task, ordered[0])
        steps = max(task.train.x.shape[1] for task in ordered)
        groups = tuple(task.classes for task in ordered)
        problem = Problem(
            steps=steps,
            units=ordered[0].train.x.shape[2],
            groups=groups,
            scenario=scenario,
            seed=seed,
            boundaries=boundaries,
        )
        names = tuple(str(k) for k in range(problem.classes))
        return cls(problem, tuple(task.name for task in ordered), names, ordered.__getitem__)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Task:  # type: ignore[override]
        if not 0 <= index < len(self):
            raise IndexError(f"task {index} of {len(self)}")
        return self.make(index)


def _check_task(task: Task, first: Task) -> None:
    name = f"task {task.index} ({task.name})"
    for split in ("train", "validation", "test"):
        items: Items = getattr(task, split)
        require(len(items) > 0, f"{name}: {split}", "must have items", 0)
        units = items.x.shape[2]
        require(units == first.train.x.shape[2], f"{name}: {split}", "must have the units of the first task", units)
        extra = np.setdiff1d(items.y, task.classes)
        require(not len(extra), f"{name}: {split}", f"must be of its classes {task.classes}", extra.tolist())
    unseen = np.setdiff1d(task.test.y, task.train.y)
    require(not len(unseen), f"{name}: test", "must be of classes that it trains on", unseen.tolist())


@dataclass(frozen=True)
class StreamRecipe(ABC):
    """Settings of a stream. All random numbers are keyed by the seed of `build`.

    Attributes:
        validation: fraction of the training items of a task that serves for validation.
        blur: fraction of the training items of each task after the first that are of the task before.
        boundaries: whether learners are told where a task begins. Without, the training items come once, in the order
            of the stream, shuffled within each task, and only learners that need no boundaries can learn them.
        train_limit, validation_limit, test_limit: maximum number of items of a task, drawn evenly over its classes.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    validation: float = 0.1
    blur: float = 0.0
    boundaries: bool = True
    train_limit: int | None = None
    validation_limit: int | None = None
    test_limit: int | None = None

    def __post_init__(self) -> None:
        require(0 < self.validation < 1, "stream.validation", "must be > 0 and < 1", self.validation)
        require(0 <= self.blur < 1, "stream.blur", "must be >= 0 and < 1", self.blur)
        rule = "in the scenario 'task', where an item comes with its task"
        alone = getattr(self, "scenario", "domain") != "task"
        require(alone or not self.blur, "stream.blur", f"must be 0 {rule}", self.blur)
        require(alone or self.boundaries, "stream.boundaries", f"must be true {rule}", self.boundaries)
        for name in ("train_limit", "validation_limit", "test_limit"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"stream.{name}", "must be >= 1 items", value)
        self.check()

    @abstractmethod
    def check(self) -> None:
        """Raise `NeurosimInputError` where a value of its own breaks its rule."""

    def images(self) -> bool | None:
        """Return whether all items have one step; None: not known before they are read."""
        return None

    def unused(self) -> dict[str, str]:
        """Return the settings that count for nothing beside the others, each with the reason in words."""
        return {}

    @abstractmethod
    def build(self, seed: int) -> Stream:
        """Return the stream of a seed.

        Raises:
            NeurosimInputError, NeurosimMissingError, NeurosimFormatError: as `sources.load`; a class that is not there.
        """

    def _task(self, name: str, index: int, base: Base, classes: Sequence[int], seed: int, shift: int = 0) -> Task:
        """Return the task of a base's `classes`, split and limited; class c becomes c + `shift`."""
        own_classes = np.asarray(sorted(classes), np.int64)
        rows = np.flatnonzero(np.isin(base.train.y, own_classes))
        # Validation items come from the training split.
        validates = self._validation(base.train.y[rows], seed)
        trains = np.setdiff1d(np.arange(len(rows)), validates)
        splits = {
            "train": (base.train, rows[trains], self.train_limit),
            "validation": (base.train, rows[validates], self.validation_limit),
            "test": (base.test, np.flatnonzero(np.isin(base.test.y, own_classes)), self.test_limit),
        }
        parts = {}
        for split, (items, places, limit) in splits.items():
            size = len(places) if limit is None else limit
            drawn = places[_draw(items.y[places], size, seed, split)]
            parts[split] = Items(items.x[drawn], items.y[drawn] + shift)
        return Task(name, index, tuple(int(c) + shift for c in own_classes), **parts)

    def _validation(self, labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
        """Return ascending places of the items of a task, by their labels, that serve for validation.

        One item of each class stays for training: a class of one item would be answered and never learned.
        """
        order = in_turn(labels, keyed_generator(seed, "validation").permutation(len(labels)))
        _, last = np.unique(labels[order][::-1], return_index=True)
        free = np.delete(order, len(order) - 1 - last)
        # Even over the classes, as every limit is.
        return np.sort(free[: max(round(self.validation * len(labels)), 1)])

    def _check_validated(self, base: Base, groups: Sequence[Sequence[int]], seed: int) -> None:
        """Raise for tasks of which nothing is left for validation.

        Raises:
            NeurosimInputError: the classes of the tasks by name.
        """
        lacking: list[str] = []
        for group in groups:
            labels = base.train.y[np.isin(base.train.y, group)]
            if not len(self._validation(labels, seed)):
                lacking.append(", ".join(base.classes[k] for k in group))
        rule = "must have a training item for validation beside one of each class; add recordings of these classes"
        require(not lacking, f"stream: {base.name}", rule, lacking)

    def _same_classes(
        self,
        base: Base,
        names: tuple[str, ...],
        change: Callable[[NDArray[np.uint8], int], NDArray[np.uint8]],
        seed: int,
        shape: tuple[int, ...] = (),
        scenario: Scenario = "domain",
    ) -> Stream:
        """Return a stream of tasks with all classes of a base.

        Args:
            change: function from (x, i) to the items of task i.
            shape: shape of the sensor, where units keep their neighbours.
        """
        classes = tuple(range(len(base.classes)))
        self._check_validated(base, [classes], seed)

        def make(index: int) -> Task:
            task = self._task(names[index], index, base, classes, seed)
            return changed_task(task, lambda x: change(x, index))

        groups = (classes,) * len(names)
        problem = Problem(
            steps=base.steps,
            units=base.units,
            groups=groups,
            scenario=scenario,
            seed=seed,
            boundaries=self.boundaries,
            shape=shape,
        )
        return Stream(problem, names, base.classes, self._sequence(make, seed))

    def _sequence(self, make: Callable[[int], Task], seed: int) -> Callable[[int], Task]:
        """Return `make` with training items blurred and, where learners are told no boundaries, shuffled."""
        blurred = self._blurred(make, seed)
        if self.boundaries:
            return blurred

        def shuffled(index: int) -> Task:
            task = blurred(index)
            # Keyed by the task, so that one task can be made without those before it.
            order = keyed_generator(seed, f"order {index}").permutation(len(task.train))
            return replace(task, train=task.train.select(order))

        return shuffled

    def _blurred(self, make: Callable[[int], Task], seed: int) -> Callable[[int], Task]:
        """Return `make` with `blur` of a task's training items replaced by items of the task before."""
        if not self.blur:
            return make

        def blurred(index: int) -> Task:
            task = make(index)
            if index == 0:
                return task
            new = task.train
            old = make(index - 1).train
            # The task before without its own blur: items of two tasks before do not come along.
            draws = keyed_generator(seed, f"blur {index}")
            count = min(round(self.blur * len(new)), len(old))
            places = draws.permutation(len(new))[:count]
            items = draws.permutation(len(old))[:count]
            # A still image among recordings is shown for all steps.
            steps = max(new.x.shape[1], old.x.shape[1])
            x, others = (np.broadcast_to(p.x, (len(p), steps, p.x.shape[2])) for p in (new, old))
            x = x.copy()
            y = new.y.copy()
            x[places] = others[items]
            y[places] = old.y[items]
            classes = tuple(int(c) for c in np.union1d(task.classes, old.y[items]))
            return Task(
                name=task.name,
                index=index,
                classes=classes,
                train=Items(x, y),
                validation=task.validation,
                test=task.test,
            )

        return blurred


def changed_task(task: Task, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> Task:
    """Return a task with changed items."""
    parts = {name: getattr(task, name) for name in ("train", "validation", "test")}
    return Task(task.name, task.index, task.classes, **{n: Items(change(p.x), p.y) for n, p in parts.items()})


def keyed_generator(seed: int, label: str) -> np.random.Generator:
    """Return the generator of a seed and a purpose; its draws do not depend on earlier draws."""
    return np.random.Generator(np.random.Philox(key=rng_key(seed, "continual", label)))


def _draw(labels: NDArray[np.int64], number: int, seed: int, label: str) -> NDArray[np.int64]:
    """Return [number] ascending places, drawn evenly over the classes."""
    return np.sort(in_turn(labels, keyed_generator(seed, label).permutation(len(labels)))[:number])
