"""A kind of run: what its folder in `neurosim/runs` hands to the commands that work on any run.

CONTRIBUTING.md says which files a kind consists of. The results go from `run.py` to page, table and `--json` as the
result class alone; metrics.json is its `to_dict()`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from ... import plain
from ...report import page
from ...schema import Schema
from ..presets.preset import beside
from .folder import RunFolder
from .settings import ConfigSource

if TYPE_CHECKING:
    from .config import Energy

R = TypeVar("R", bound="RunResult")
Self = TypeVar("Self", bound="RunResult")


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The results of a run, which metrics.json holds; each kind of run derives its own.

    Attributes:
        run: the path of the run folder.
        timings: wall-clock seconds of each part, and their `total`.
    """

    run: str = ""
    timings: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """Return the plain tree that metrics.json holds."""
        tree: dict[str, object] = plain.to_plain(self)
        last = {name: tree.pop(name) for name in ("run", "timings")}
        return {**tree, **last}

    @classmethod
    def from_dict(cls: type[Self], tree: Mapping[str, object]) -> Self:
        """Return the results that `to_dict` wrote.

        A field that is absent, or whose value is of another type, keeps its default, and a field that the class lacks
        is ignored: runs of other versions load, and a damaged value is shown as unknown.
        """
        return cls(**plain.matching_fields(cls, tree))

    def notes(self) -> Mapping[str, str]:
        """Return what the manifest repeats of the results, such as the digest of the spikes."""
        return {}

    def failure(self) -> str | None:
        """Return why the run counts as failed although it has results, or None."""
        return None


class HasEnergy(Protocol):
    """Settings with an energy profile."""

    @property
    def energy(self) -> Energy: ...


class Measured(Protocol):
    """What `neurosim measure` prints of a run."""

    def to_dict(self) -> Mapping[str, object]:
        """Return the plain tree of `--json` and of measures.json."""

    def table(self) -> str:
        """Return what the command line prints."""


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[R]):
    """Description of a kind of run for the commands `report` and `measure` and for the lifecycle.

    `run` and `resume` take different arguments in each kind, so that only the kind's own command calls them.

    Attributes:
        name: of its folder, and what the manifest calls it.
        title: what messages call such a run, with an article.
        package: its package, which has page and table.
        resume: the words of the command line that continue an interrupted run; None where none do.
        result: the class of its results.
        reconfigure: (folder, sources, changeable) -> the run's settings, changed by `sources` in the sections that are
            `changeable`; raises NeurosimInputError for any other change.
        heading: fields of the result that say which run it was; `neurosim measure` repeats them.
        schemas: functions that return the JSON Schemas of its configs, by the name in `neurosim schema NAME`.
        measured: (heading, folder, result, profile) -> what `neurosim measure` prints of a run of several models, and
            None for a run of one, which has its `measures`. None if no run has several.
    """

    name: str
    title: str
    package: str
    resume: str | None = None
    result: type[R]
    reconfigure: Callable[[RunFolder, Sequence[ConfigSource], Sequence[str]], HasEnergy | None]
    heading: Sequence[str] = ("dataset", "split", "samples", "seed", "spike_digest")
    measured: Callable[[Mapping[str, object], str, R, str], Measured | None] | None = None
    schemas: Mapping[str, Callable[[], Schema]] = field(default_factory=dict)

    def render_page(self, folder: RunFolder, result: R) -> str:
        """Return the report page of a run: page.html of the kind, with what `fill` of its page.py returns."""
        module = self._module("page")
        template = Path(str(module.__file__)).with_name("page.html")
        values: Mapping[str, object] = module.fill(folder, result)
        repeats = beside(folder.manifest.facts, result.to_dict())
        return page.render(template, folder.path, folder.manifest.known(), result=result, repeats=repeats, **values)

    def render_table(self, result: R) -> str:
        """Return what the command line prints: what `render` of the kind's table.py returns."""
        text: str = self._module("table").render(result)
        return text

    def _module(self, name: str) -> ModuleType:
        return importlib.import_module(f"{self.package}.{name}")
