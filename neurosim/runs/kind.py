"""A kind of run: what its folder in `neurosim/runs` hands to the commands that work on any run.

To add a kind, write a folder `neurosim/runs/NAME/` with these files, as in `neurosim/runs/network/`, and one line in
`kinds.py`:

    config.py    the settings, `configure(...)` for a new run, and `reconfigure(folder, sources, changeable)` for the
                 settings in a run's folder
    result.py    a frozen dataclass derived from `RunResult`: every field has a default, which stands for "absent"
    run.py       `simulate(config, options) -> Result` or the verb that fits, and `resume(path, options) -> Result` if
                 an interrupted run can continue; both use `new_run`, `resumed_run` and `finish` of `lifecycle.py`
    page.py      `render(folder, result) -> str`, the report page, from the toolbox `neurosim.report`
    table.py     `render(result) -> str`, what the command line prints
    command.py   `command`, a click command made with `runs.command.common`: options in, run, `CommandResult` out
    __init__.py  `KIND`, a `Kind` of these; it must not import run.py, which may need torch

The results go from `run.py` to page, table and `--json` as the result class alone; metrics.json is its `to_dict()`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from .. import plain
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
    def from_dict(cls: type[Self], tree: Mapping[str, Any]) -> Self:
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


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[R]):
    """Description of a kind of run for the commands `report` and `measure` and for the lifecycle.

    `run` and `resume` take different arguments in each kind, so that only the kind's own command calls them.

    Attributes:
        name: of its folder, and what the manifest calls it.
        title: what messages call such a run, with an article.
        resume: the words of the command line that continue an interrupted run; None where none do.
        result: the class of its results.
        reconfigure: (folder, sources, changeable) -> the run's settings, changed by `sources` in the sections that are
            `changeable`; raises NeurosimInputError for any other change. None if the kind estimates no energy.
        page: (folder, result) -> the report page.
        table: result -> what the command line prints.
        heading: fields of the result that say which run it was; `neurosim measure` repeats them.
    """

    name: str
    title: str
    resume: str | None = None
    result: type[R]
    reconfigure: Callable[[RunFolder, Sequence[ConfigSource], Sequence[str]], HasEnergy | None]
    page: Callable[[RunFolder, R], str]
    table: Callable[[R], str]
    heading: Sequence[str] = ("dataset", "split", "samples", "seed", "spike_digest")
