"""A run again, from its folder alone, and whether it gave the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...base import plugins
from ...base.errors import NeurosimInputError, require
from ...base.json_toml import read_toml
from .comparison.result import ComparedRow
from .comparison.run import figures_of
from .frame import lifecycle
from .frame.facts import Fact
from .frame.folder import CONFIG, METRICS, RunFolder, open_run, read_metrics
from .frame.kind import Kind, RunResult
from .frame.options import RunOptions
from .frame.recorder import config_hash
from .frame.registry import kind_of

# Facts of the manifest that say which published experiment a run repeats.
PRESET = ("preset", "preset_changed")


@dataclass(frozen=True)
class Rerun:
    """A run that was run again.

    Attributes:
        kind: of the run.
        first: the folder of the first run.
        result: of the second.
        same_data: whether both read the same data.
        same_digests: whether the digests of their spikes or answers are equal; None where the first noted none.
        differing: figures that differ, of the first and of the second, without those of a clock or a meter; None where
            the first has no results.
    """

    kind: Kind[Any, Any, Any]
    first: Path
    result: RunResult
    same_data: bool
    same_digests: bool | None
    differing: tuple[ComparedRow, ...] | None

    def lines(self) -> Sequence[str]:
        """Return in words how the second run compares with the first."""
        lines = []
        if not self.same_data:
            lines.append("the data are not those of the first run")
        if self.same_digests is not None:
            words = "the same digests" if self.same_digests else "other digests"
            lines.append(f"{words} as {self.first}" if self.same_digests else f"{words} than {self.first}")
        if self.differing is None:
            lines.append(f"{self.first} has no figures to compare with")
        elif not self.differing:
            lines.append(f"every figure is that of {self.first}, times left out")
        else:
            figures = ", ".join(_change(row) for row in self.differing)
            lines.append(f"figures that differ: {figures}")
        return lines


def rerun(path: Path, options: RunOptions) -> Rerun:
    """Repeat a run in a new folder, with the settings and the name in the folder of the first.

    Raises:
        NeurosimMissingError: no run there.
        NeurosimInputError: `out` is the folder of the run; its settings were changed; it depends on Python files that
            the command line must name.
        NeurosimError: as `lifecycle.start`.
    """
    folder = open_run(path)
    manifest = folder.manifest
    plugins.check_provenance(path, manifest.facts.get("plugins"))
    is_other = options.out is None or options.out.resolve() != path.resolve()
    require(is_other, "--out", "must be another folder than that of the run", options.out)
    if manifest.config_hash is not None and config_hash(read_toml(path / CONFIG)) != manifest.config_hash:
        raise NeurosimInputError(
            f"{path / CONFIG}: was changed since the run began; run it as a new run: --config {path / CONFIG}"
        )
    kind = kind_of(folder).again(folder)
    # Before the run: `kind.result` of a damaged metrics.json is refused here, and not after hours.
    before = _facts(kind, folder)
    facts = {name: manifest.facts[name] for name in PRESET if name in manifest.facts}
    own = replace(options, facts={**facts, "rerun_of": str(path.resolve())})
    result = lifecycle.start(kind, kind.stored(folder), own, manifest.name or None)
    second = open_run(Path(result.run)).manifest
    notes = {name: value for name, value in result.notes().items() if name in manifest.facts}
    same_digests = None
    if notes:
        same_digests = all(manifest.facts[name] == value for name, value in notes.items())
    differing = None
    if before is not None:
        figures = figures_of([before, _repeatable(kind.overview(result).facts)])
        differing = tuple(row for row in figures if row.differs)
    return Rerun(
        kind=kind,
        first=path,
        result=result,
        same_data=manifest.data is None or second.data == manifest.data,
        same_digests=same_digests,
        differing=differing,
    )


def _change(row: ComparedRow) -> str:
    """Return a figure that differs: of the first run and of the second, or that their texts are the same."""
    first, second = row.texts
    if first == second:
        return f"{row.name} {first} (in digits that are not shown)"
    return f"{row.name} {first} -> {second}"


def _facts(kind: Kind[Any, Any, Any], folder: RunFolder) -> Sequence[Fact] | None:
    """Return the repeatable facts of a run; None where it ended before it had results."""
    if not (folder.path / METRICS).is_file():
        return None
    return _repeatable(kind.overview(kind.result.from_dict(read_metrics(folder))).facts)


def _repeatable(facts: Sequence[Fact]) -> Sequence[Fact]:
    return [fact for fact in facts if not fact.of_clock]
