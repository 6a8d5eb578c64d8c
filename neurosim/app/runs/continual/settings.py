"""Settings of a continual run: the whole run, its stream, its learners, and the rows of its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ....base.rules import Count, FilePath, Seed
from ..frame.config import Energy
from ..frame.settings import settings_tree

Tree = Mapping[str, Any]


@dataclass(frozen=True)
class StreamData:
    """The recordings that the tasks are made from, by the keys of other runs.

    Attributes:
        name: of the dataset, or "folder"; where it is left out, that of stream.source.
        root: folder with the files.
        options: settings of the dataset, such as `neurosim.data.folder.options.FolderOptions`.
    """

    name: str
    root: FilePath | None = None
    options: dict[str, Any] | None = None


@dataclass(frozen=True)
class Head:
    """Settings of the whole run.

    Attributes:
        seed: the first; the others follow it.
        seeds: number of seeds.
        online: one pass: every learner meets each item of a task once, whatever its `epochs`; so it is without
            stream.boundaries.
        on: the items that accuracies are measured on; None: "test", or "validation" in a sweep, whose results serve to
            choose settings.
        data: a dataset in the place of `stream.source`, with a folder and settings.
        energy: the profile of the estimates.
    """

    seed: Seed = 0
    seeds: Count = 1
    online: bool = False
    data: StreamData | None = None
    on: Literal["test", "validation"] | None = None
    energy: Energy = Energy()


@dataclass(frozen=True)
class ContinualConfig:
    """Everything that decides a continual run's results.

    Attributes:
        head: seeds and items.
        stream: `kind`, a name in `STREAMS`, and the settings of that recipe.
        learners: settings by name in `LEARNERS`.
        sweep: lists of values by the place they belong to: a learner's name, or "stream".
        rows: every learner with every point of the grid that concerns it.
    """

    head: Head
    stream: Tree
    learners: Mapping[str, Tree]
    sweep: Mapping[str, Mapping[str, Sequence[Any]]]
    rows: tuple[Row, ...] = ()

    def tree(self) -> dict[str, object]:
        """Return the settings as config.toml holds them."""
        tables = {"stream": dict(self.stream), "learners": {n: dict(s) for n, s in self.learners.items()}}
        return {**settings_tree(self.head), **tables, "sweep": {n: dict(v) for n, v in self.sweep.items()}}

    @property
    def files(self) -> Tree:
        """Folder and settings of the stream's dataset, where they are given."""
        data = self.head.data
        if data is None:
            return {}
        return {k: v for k, v in vars(data).items() if k != "name" and v is not None}

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return all seeds."""
        return tuple(self.head.seed + k for k in range(self.head.seeds))

    @property
    def energy(self) -> Energy:
        """Profile of the energy estimates."""
        return self.head.energy

    @property
    def evaluate_on(self) -> str:
        """The items that accuracies are measured on."""
        return self.head.on or ("validation" if self.sweep else "test")


@dataclass(frozen=True)
class Row:
    """A row of the results: one learner with one choice of settings on one stream.

    Attributes:
        name: in tables, e.g. "replay, memory 100".
        learner: a name in `LEARNERS`.
        settings: all settings of the learner.
        stream: `kind` and all settings of the stream.
    """

    name: str
    learner: str
    settings: Tree
    stream: Tree
