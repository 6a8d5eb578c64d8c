"""A kind of run: what it reads, the work, and the results; everything else of a run is the frame's.

CONTRIBUTING.md says which files a kind consists of. The results go to page, table and `--json` as the result class
alone; metrics.json is its `to_dict()`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ....base import plain
from ....base.collection import without_collection
from ....base.measure.meter import MeasuredEnergy
from ....base.schema import Schema
from ....base.shown import Shown
from ....data import catalog
from ...report import page
from ...report.provenance import about_run
from ...report.sections import shared_sections
from ..presets.preset import beside, published_section
from .config import RunConfig
from .facts import Overview
from .folder import RunFolder
from .measured import MeasuredRun
from .options import RunOptions
from .recorder import check_unchanged
from .settings import ConfigSource, settings_tree
from .timings import Timings

if TYPE_CHECKING:
    from .config import Energy

C = TypeVar("C")  # settings
T = TypeVar("T")  # inputs
R = TypeVar("R", bound="RunResult")
Self = TypeVar("Self", bound="RunResult")
K = TypeVar("K", bound="Kind[Any, Any, Any]")


@dataclass(frozen=True, kw_only=True)
class RunResult(Shown):
    """The results of a run, which metrics.json holds; each kind of run derives its own. They can be pickled.

    Attributes:
        run: the path of the run folder.
        timings: wall-clock seconds of each part, and their `total`.
        measured_energy: of the whole machine while the run did its work, where the machine has a meter.
    """

    run: str = ""
    timings: Mapping[str, float] = field(default_factory=dict)
    measured_energy: MeasuredEnergy = field(default_factory=MeasuredEnergy)

    def to_dict(self) -> dict[str, object]:
        """Return the plain tree that metrics.json holds."""
        tree: dict[str, object] = plain.to_plain(self)
        last = {name: tree.pop(name) for name in ("measured_energy", "run", "timings")}
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


@dataclass(frozen=True)
class Inputs(Generic[T]):
    """Everything that a run reads before it begins.

    Attributes:
        value: recordings, a model, a text, ...
        data: digests and sizes of it, for the manifest; a resumed run must find the same.
        facts: further facts for the manifest, by name.
    """

    value: T
    data: Mapping[str, object] | None = None
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Run(Generic[C, T]):
    """A run at work.

    with run.time("train"):
        ...

    Attributes:
        folder: its folder, with the manifest.
        config: its settings.
        inputs: what `Kind.load` read.
        options: decide nothing about the results.
        time: wall-clock seconds of its parts.
    """

    folder: RunFolder
    config: C
    inputs: T
    options: RunOptions
    time: Timings

    @property
    def path(self) -> Path:
        return self.folder.path


class Kind(Generic[C, T, R]):
    """A kind of run. An instance may have arguments that are no settings, such as the folder of a model.

    `lifecycle.start` and `lifecycle.resume` run it. The modules beside its class are imported when they are needed:
    config.py has `CONFIG`, the class of the settings; run.py the functions `load` and `work`, where the class has no
    such methods of its own; overview.py makes the facts that page and command line show, and page.html and page.py the
    report.

    Attributes:
        name: of the kind, in the manifest and in the registry.
        title: what messages call such a run, with an article.
        result: the class of the results.
        heading: fields of the result that say which run it was; `neurosim measure` repeats them.
        resumed_by: the words of the command line that continue an interrupted run; "" where none do.
        unfinished: patterns of the files and folders that are only needed to continue; a finished run lacks them.
    """

    name: str
    title: str
    result: type[R]
    heading: Sequence[str] = ("dataset", "split", "samples", "seed", "spike_digest")
    resumed_by: str = ""
    unfinished: Sequence[str] = ()

    @property
    def config(self) -> type[RunConfig]:
        """Class of the settings: `CONFIG` of config.py.

        A kind that has its own `configure`, `stored`, `reconfigure` and `schemas` needs none.
        """
        return self._module("config").CONFIG  # type: ignore[no-any-return]

    # The settings.

    def configure(
        self, file: Path | None = None, sets: Sequence[str] = (), values: Mapping[str, object] | None = None
    ) -> C:
        """Return the settings of a new run. Later wins: defaults, `file`, `sets`, `values`.

        Args:
            file: TOML.
            sets: `key=value` texts.
            values: settings by dotted key; one that is None is left out.

        Raises:
            NeurosimInputError: a key that is unknown, missing or breaks its rule.
        """
        config: Any = self.config
        return config.configure(file, sets, values)  # type: ignore[no-any-return]

    def settings(self, config: C) -> Mapping[str, object]:
        """Return the tree of settings that config.toml holds."""
        return settings_tree(config)

    def shown(self, config: C) -> Mapping[str, object]:
        """Return the tree of settings with the arrays that `settings` leaves to another file, as --show-config does."""
        return self.settings(config)

    def stored(self, folder: RunFolder) -> C:
        """Return the settings that the folder of a run holds."""
        config: Any = self.config
        return config.reconfigure(folder)  # type: ignore[no-any-return]

    def reconfigure(
        self, folder: RunFolder, sources: Sequence[ConfigSource], changeable: Sequence[str]
    ) -> HasEnergy | None:
        """Return the settings of a run, changed by `sources` in its `changeable` sections; None without energy.

        Raises:
            NeurosimInputError: a change of anything else.
        """
        config = self.config.reconfigure(folder, sources, changeable)
        return config if hasattr(config, "energy") else None

    def schemas(self) -> Mapping[str, Callable[[], Schema]]:
        """Return functions that return the JSON Schemas of its configs, by the name in `neurosim schema NAME`."""

        def schema() -> Schema:
            return self.config.json_schema()  # may need torch

        return {self.name: schema}

    # The run, in the order of its life.

    @contextmanager
    def joined(self: K) -> Iterator[K]:
        """Join the processes that share the run, where several do; yield the kind as this process runs it."""
        yield self

    @property
    def leads(self) -> bool:
        """Return whether this process has the folder; the others `follow`."""
        return True

    def of(self: K, folder: RunFolder) -> K:
        """Return the kind with the arguments that the manifest of a run notes, where it has none of its own."""
        return self

    def again(self, folder: RunFolder) -> Kind[Any, Any, Any]:
        """Return the kind with the arguments of a run, to repeat it from its folder alone.

        Raises:
            NeurosimInputError: the folder does not say all that decides the results.
        """
        return self.of(folder)

    def comparison(self, runs: Sequence[Path]) -> Kind[Any, Any, Any] | None:
        """Return the kind of run that puts runs of this kind side by side; None: `runs.comparison` does."""
        return None

    def run_name(self, config: C) -> str:
        """Return the name of a run, for its folder and the manifest."""
        settings: Any = config
        return f"{self.name}-{settings.data.shown_name}"

    def load(self, config: C, options: RunOptions) -> Inputs[T]:
        """Read what the run needs.

        Raises:
            NeurosimError: what is wrong with a file or a setting.
        """
        return self._module("run").load(config, options)  # type: ignore[no-any-return]

    def remarks(self, config: C) -> Sequence[str]:
        """Return how the files of the dataset are read, where a config has one and that is not obvious."""
        data = self.settings(config).get("data")
        if not isinstance(data, Mapping) or "name" not in data:
            return ()
        return catalog.describe(data["name"], data.get("root"), data.get("options")).remarks

    def check(self, config: C, inputs: T) -> None:
        """Check what settings and inputs can only say together; called before a folder is made, and when a resumed run
        has found what it began with.

        Raises:
            NeurosimInputError: they do not fit each other.
        """

    def check_unchanged(self, folder: RunFolder, inputs: Inputs[T]) -> None:
        """Raise unless a resumed run finds what it began with.

        Raises:
            NeurosimInputError: it was changed.
        """
        check_unchanged(folder, "data", folder.manifest.data, plain.to_plain(inputs.data))

    def prepare(self, run: Run[C, T]) -> None:
        """Write files without which the run could not be resumed; called whenever a run begins or goes on."""

    def work(self, run: Run[C, T]) -> R:
        """Do the work and return the results, all but `run` and `timings`.

        A resumed run is called with the same settings and inputs, and continues from the files in its folder.

        Raises:
            NeurosimError: what is wrong with the data or the disk.
        """
        return self._module("run").work(run)  # type: ignore[no-any-return]

    def export(self, run: Run[C, T], result: R) -> None:
        """Write files beside the run when it is done; an error leaves it done."""

    def follow(self, config: C, inputs: T, options: RunOptions, folder: RunFolder | None) -> None:
        """Do the part of a process that does not lead, and write nothing.

        Args:
            folder: of the run that is resumed; None: a new one.
        """

    # The results.

    def so_far(self, folder: RunFolder) -> R | None:
        """Return the results of the finished parts of a run that has not ended; None: it has no such parts."""
        return None

    def measured(self, heading: Mapping[str, object], run: str, result: R, profile: str) -> MeasuredRun | None:
        """Return the measures of a run of several models under an energy profile; None for a run of one model.

        Args:
            heading: which run it was.
            run: the path of its folder.
        """
        return None

    def template(self, result: R) -> str:
        """Return the name of the file beside page.py that lays out the report."""
        return "page.html"

    def sample(self, result: R) -> str:
        """Return what the page calls a sample of measures and energy estimates."""
        return "sample"

    def render_page(self, folder: RunFolder, result: R) -> str:
        """Return the report page of a run: the template, with the overview and the values of `fill` in page.py."""
        module = self._module("page")
        template = Path(str(module.__file__)).with_name(self.template(result))
        values: Mapping[str, object] = module.fill(folder, result)
        manifest = folder.manifest.known()
        overview = self.overview(result)
        comparison = beside(folder.manifest.facts, result.to_dict())
        return page.render(
            template,
            folder.path,
            manifest,
            result=result,
            overview=overview,
            lead=page.sentence([*overview.lead, *about_run(manifest)]),
            shared=shared_sections(result, manifest, self.sample(result)),
            published=None if comparison is None else published_section(comparison),
            **values,
        )

    def render_text(self, result: R) -> str:
        """Return what the command line prints of a run."""
        return self.overview(result).text(result)

    def overview(self, result: R) -> Overview:
        """Return the facts and tables that page and command line show of a run."""
        made: Overview = self._module("overview").overview_of(result)
        return made.with_measured(result.measured_energy)

    def _module(self, name: str) -> ModuleType:
        # A kind's class is in the `__init__.py` of its package, so that its `__module__` is the package.
        with without_collection():
            return importlib.import_module(f"{type(self).__module__}.{name}")
