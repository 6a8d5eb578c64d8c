"""Streams of tasks made from datasets: permuted, rotated, split by classes, and one dataset after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from ...base import plugins
from ...base.errors import NeurosimInputError, require
from ...base.rules import NameOrFile, NotASetting
from .recipe import Stream, StreamRecipe, changed_task, keyed_generator
from .sources import Base, form_of, load
from .tasks import Problem, Task

MORE = Literal["task", "class"]


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

    def images(self) -> bool | None:
        form = form_of(self.source, self.root, self.options, still=self.still)
        # Arrays may have steps of their own.
        if form in (None, "arrays"):
            return None
        return form == "images" or getattr(self, "windows", None) == 1

    def unused(self) -> dict[str, str]:
        unused: dict[str, str] = {}
        form = form_of(self.source, self.root, self.options, still=self.still)
        if form in ("images", "arrays"):
            unused["windows"] = "for items that are no recordings"
        if not self.still and form_of(self.source, self.root, self.options) not in (None, "images"):
            unused["still"] = "for items that are no images"
        return unused


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
            order = keyed_generator(seed, f"permutation {index}").permutation(base.units)
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

    def unused(self) -> dict[str, str]:
        unused = super().unused()
        if self.groups:
            unused["each"] = "beside stream.groups"
        return unused

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
        self._check_validated(base, groups, seed)

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

    def images(self) -> bool | None:
        forms = {form_of(source) for source in self.sources}
        if forms <= {"images", "recordings"}:
            return forms == {"images"} or self.windows == 1
        return None

    def unused(self) -> dict[str, str]:
        forms = {form_of(source) for source in self.sources}
        return {"windows": "for items that are no recordings"} if forms <= {"images", "arrays"} else {}

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
        for base in bases:
            self._check_validated(base, [range(len(base.classes))], seed)

        def make(index: int) -> Task:
            base = bases[index]
            task = self._task(
                base.name, index, base, classes=range(len(base.classes)), seed=seed, shift=int(first[index])
            )
            # The units of the largest dataset, driven in turn by the units of this one.
            repeated = np.arange(units) % base.units
            return changed_task(task, lambda x: np.ascontiguousarray(x[:, :, repeated]))

        problem = Problem(
            steps=steps, units=units, groups=groups, scenario=self.scenario, seed=seed, boundaries=self.boundaries
        )
        return Stream(problem, self.sources, classes, self._sequence(make, seed))


STREAMS: plugins.Extended[type[StreamRecipe]] = plugins.Extended(
    "streams",
    {"permuted": Permuted, "rotated": Rotated, "split": Split, "mixed": Mixed},
    lambda name, plugin: plugins.subclass("streams", name, plugin, StreamRecipe),
)
