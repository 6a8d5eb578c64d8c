"""Streams of tasks made from datasets: permuted, rotated, split by classes, and one dataset after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from ...base import plugins
from ...base.errors import NeurosimInputError, require
from ...base.random import rng_key
from ...base.rules import NameOrFile, NotASetting
from .sources import Base, load
from .tasks import Items, Problem, Scenario, Task, in_turn

MORE = Literal["task", "class"]


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
        count = max(round(self.validation * len(rows)), 1)
        # Even over the classes, as every limit is.
        validates = _draw(base.train.y[rows], count, seed, "validation")
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

        def make(index: int) -> Task:
            task = self._task(names[index], index, base, classes, seed)
            return _changed(task, lambda x: change(x, index))

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
            order = _generator(seed, f"order {index}").permutation(len(task.train))
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
            draws = _generator(seed, f"blur {index}")
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


@dataclass(frozen=True)
class OneSource(StreamRecipe):
    """Settings of a stream whose tasks are made from one dataset.

    Attributes:
        source: the items: a key of `SOURCES`, another dataset, the path of a folder, or of an .npz file.
        still: whether images are items of one step; else an emulated event camera records them.
        root, options: folder of its files, and settings of the dataset; a config has them in its table [data].
    """

    source: NameOrFile = "digits"
    still: bool = True
    root: Annotated[str | None, NotASetting()] = None
    options: Annotated[Mapping[str, Any] | None, NotASetting()] = None

    def base(self, windows: int = 10) -> Base:
        """Return the items; recordings are cut into `windows` windows."""
        return load(self.source, windows, self.root, self.options, still=self.still)


@final
@dataclass(frozen=True)
class Permuted(OneSource):
    """Every task but the first permutes the units in its own way (Goodfellow et al. 2013, arXiv 1312.6211).

    Attributes:
        scenario: "domain": an item comes alone; "task": it comes with its task.
        tasks: number of tasks.
        windows: number of windows of a recording.
    """

    scenario: Literal["domain", "task"] = "domain"
    tasks: int = 5
    windows: int = 10

    def check(self) -> None:
        require(self.tasks >= 1, "stream.tasks", "must be >= 1", self.tasks)

    def build(self, seed: int) -> Stream:
        base = self.base(self.windows)
        names = tuple("as they are" if i == 0 else f"permutation {i}" for i in range(self.tasks))

        def permute(x: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
            # The first task is the dataset itself.
            if index == 0:
                return x
            order = _generator(seed, f"permutation {index}").permutation(base.units)
            return np.ascontiguousarray(x[:, :, order])

        return self._same_classes(base, names, permute, seed, scenario=self.scenario)


@final
@dataclass(frozen=True)
class Rotated(OneSource):
    """Every task turns the images by its own angle.

    Attributes:
        angles: degrees, one a task.
    """

    angles: tuple[float, ...] = (0.0, 36.0, 72.0, 108.0, 144.0)

    def check(self) -> None:
        require(len(self.angles) >= 1, "stream.angles", "must be at least one", self.angles)
        directions = [angle % 360 for angle in self.angles]
        repeated = [angle for angle in self.angles if directions.count(angle % 360) > 1]
        require(not repeated, "stream.angles", "must differ, because a task occurs once", repeated)

    def build(self, seed: int) -> Stream:
        base = self.base()
        if base.picture is None:
            raise NeurosimInputError(f"stream.source: must be of still images to turn them (got {self.source})")
        height, width = base.picture
        names = tuple(f"turned {angle:g} degrees" for angle in self.angles)

        def turn(x: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
            from scipy.ndimage import rotate

            angle = self.angles[index]
            if angle % 360 == 0:
                return x
            images = x.reshape(len(x), height, width)
            # order=1: bilinear; splines of a higher order would leave the range of grey levels.
            rotated = rotate(images, angle, axes=(2, 1), reshape=False, order=1)
            return np.asarray(rotated).reshape(x.shape)

        return self._same_classes(base, names, turn, seed, base.shape)


@final
@dataclass(frozen=True)
class Split(OneSource):
    """New classes in every task.

    Attributes:
        scenario: "class": an item comes alone, and is one of all classes met so far; "task": it comes with its task.
        groups: the classes of each task, by number; none: as many in each as `each`, in the dataset's order.
        each: classes of a task where no groups are given.
        windows: number of windows of a recording.
    """

    scenario: MORE = "class"
    groups: tuple[tuple[int, ...], ...] = ()
    each: int = 2
    windows: int = 10

    def check(self) -> None:
        require(self.each >= 1, "stream.each", "must be >= 1 class", self.each)
        every = [c for group in self.groups for c in group]
        empty = [i for i, group in enumerate(self.groups) if not group]
        require(not empty, "stream.groups", "must each hold a class; these do not", empty)
        repeated = sorted({c for c in every if every.count(c) > 1})
        require(not repeated, "stream.groups", "must have each class once; these occur more often", repeated)
        smallest = min((len(group) for group in self.groups), default=self.each)
        rule = "must give each task two classes at least where an item comes with its task"
        fits = self.scenario == "class" or smallest > 1
        require(fits, "stream.groups" if self.groups else "stream.each", rule, smallest)

    def build(self, seed: int) -> Stream:
        base = self.base(self.windows)
        known = [int(k) for k in np.unique(base.train.y)]
        groups = self.groups or tuple(
            tuple(known[first : first + self.each]) for first in range(0, len(known), self.each)
        )
        unknown = sorted({c for group in groups for c in group} - set(known))
        require(not unknown, "stream.groups", f"must be classes of {self.source}, which has {known}", unknown)
        short = min(len(group) for group in groups)
        rule = f"must divide the {len(known)} classes into tasks of two at least"
        require(self.scenario == "class" or short > 1, "stream.each", rule, self.each)
        names = tuple(", ".join(base.classes[c] for c in sorted(group)) for group in groups)
        # Accuracy of a task without test items would be 0 / 0, at the end of a run of hours.
        tested = {int(k) for k in np.unique(base.test.y)}
        untested = [name for name, group in zip(names, groups, strict=True) if not tested & set(group)]
        require(not untested, f"stream: {self.source}", "must have test items of every task; these have none", untested)

        def make(index: int) -> Task:
            return self._task(names[index], index, base, groups[index], seed)

        sorted_groups = tuple(tuple(sorted(group)) for group in groups)
        problem = Problem(
            steps=base.steps,
            units=base.units,
            groups=sorted_groups,
            scenario=self.scenario,
            seed=seed,
            boundaries=self.boundaries,
            shape=base.shape,
        )
        return Stream(problem, names, base.classes, self._sequence(make, seed))


@final
@dataclass(frozen=True)
class Mixed(StreamRecipe):
    """One dataset after the other, of different senses.

    A dataset with fewer units than the largest drives all: its own are repeated in order. Still images keep their one
    step, and are shown unchanged for all steps of a recording.

    Attributes:
        sources: names of the datasets, in order.
        scenario: as in `Split`; each dataset has classes of its own.
        windows: number of windows of a recording.
    """

    sources: tuple[str, ...] = ("digits", "digits-events")
    scenario: MORE = "task"
    windows: int = 10

    def check(self) -> None:
        require(len(self.sources) >= 1, "stream.sources", "must be at least one", self.sources)
        repeated = sorted({s for s in self.sources if self.sources.count(s) > 1})
        require(not repeated, "stream.sources", "must each occur once; these occur more often", repeated)

    def build(self, seed: int) -> Stream:
        bases = [load(source, self.windows) for source in self.sources]
        units = max(base.units for base in bases)
        steps = max(base.steps for base in bases)
        # Each dataset has classes of its own, numbered after those before it.
        first = np.cumsum([0, *(len(base.classes) for base in bases)])
        groups = tuple(
            tuple(range(begin, begin + len(base.classes))) for begin, base in zip(first, bases, strict=False)
        )
        classes = tuple(f"{base.name} {name}" for base in bases for name in base.classes)

        def make(index: int) -> Task:
            base = bases[index]
            task = self._task(
                base.name, index, base, classes=range(len(base.classes)), seed=seed, shift=int(first[index])
            )
            # The units of the largest dataset, driven in turn by the units of this one.
            repeated = np.arange(units) % base.units
            return _changed(task, lambda x: np.ascontiguousarray(x[:, :, repeated]))

        problem = Problem(
            steps=steps, units=units, groups=groups, scenario=self.scenario, seed=seed, boundaries=self.boundaries
        )
        return Stream(problem, self.sources, classes, self._sequence(make, seed))


def _changed(task: Task, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> Task:
    """Return a task with changed items."""
    parts = {name: getattr(task, name) for name in ("train", "validation", "test")}
    return Task(task.name, task.index, task.classes, **{n: Items(change(p.x), p.y) for n, p in parts.items()})


def _generator(seed: int, label: str) -> np.random.Generator:
    """Return the generator of a seed and a purpose; its draws do not depend on earlier draws."""
    return np.random.Generator(np.random.Philox(key=rng_key(seed, "continual", label)))


def _draw(labels: NDArray[np.int64], number: int, seed: int, label: str) -> NDArray[np.int64]:
    """Return [number] ascending places, drawn evenly over the classes."""
    return np.sort(in_turn(labels, _generator(seed, label).permutation(len(labels)))[:number])


STREAMS: plugins.Extended[type[StreamRecipe]] = plugins.Extended(
    "streams",
    {"permuted": Permuted, "rotated": Rotated, "split": Split, "mixed": Mixed},
    lambda name, plugin: plugins.subclass("streams", name, plugin, StreamRecipe),
)
