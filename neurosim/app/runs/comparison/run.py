"""Figures of several runs of one kind, side by side, from what their folders hold."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ....base.atomic import write_text
from ....base.errors import NeurosimInputError, require
from ....base.json_toml import read_toml
from ...report import numbers
from ..frame.facts import Fact
from ..frame.folder import CONFIG, RunFolder, open_run, present_status, read_metrics
from ..frame.kind import Inputs, Run
from ..frame.registry import UNNAMED, kind_of
from .result import ComparedRow, ComparedRun, ComparisonResult

TABLE = "comparison.csv"


@dataclass(frozen=True)
class RunRead:
    """Contents of a run that a comparison reads.

    Attributes:
        folder: folder of the run.
        facts: figures that its page and the command line show.
        settings: settings by dotted key.
        origin: versions, commit, machine and digests of data.
        seconds: wall-clock time of its parts together.
    """

    folder: RunFolder
    facts: Sequence[Fact]
    settings: Mapping[str, object]
    origin: Mapping[str, object]
    seconds: float | None


def load(paths: Sequence[Path]) -> Inputs[Sequence[RunRead]]:
    """Return what is compared of each run.

    Raises:
        NeurosimMissingError: no run there, or one without results.
        NeurosimInputError: fewer than two runs, the same run twice, or runs of several kinds.
    """
    require(len(paths) > 1, "runs compare", "needs at least two runs", len(paths))
    twice = sorted({str(path) for path in paths if list(paths).count(path) > 1})
    require(not twice, "runs compare", "takes each run once; leave the second out", ", ".join(twice))
    runs = [read_run(path) for path in paths]
    first, *others = runs
    for other in others:
        if _kind_name(other.folder) != _kind_name(first.folder):
            raise NeurosimInputError(
                f"{other.folder.path}: is a run of the kind {_kind_name(other.folder)}, and {first.folder.path} one of "
                f"the kind {_kind_name(first.folder)}; compare runs of one kind"
            )
    return Inputs(runs, facts={"compared": [str(path) for path in paths]})


def read_run(path: Path) -> RunRead:
    """Return figures, settings and origin of a run.

    Raises:
        NeurosimMissingError, NeurosimInputError, NeurosimFormatError: no run, no results, or damaged ones.
    """
    folder = open_run(path)
    kind = kind_of(folder)
    result = kind.result.from_dict(read_metrics(folder))
    manifest = folder.manifest
    config = path / CONFIG
    settings: dict[str, object] = {}
    if config.is_file():
        settings = dict(_leaves(read_toml(config)))
    origin = {
        **{f"version of {name}": version for name, version in manifest.versions.items()},
        "commit": manifest.git_commit,
        **{f"machine.{key}": value for key, value in _leaves(manifest.machine)},
        **{f"data.{key}": value for key, value in _leaves(manifest.data or {})},
    }
    seconds = numbers.number(result.timings.get("total"))
    return RunRead(folder=folder, facts=kind.overview(result).facts, settings=settings, origin=origin, seconds=seconds)


def work(run: Run[Sequence[Path], Sequence[RunRead]]) -> ComparisonResult:
    """Return the runs side by side."""
    runs = run.inputs
    settings = _rows([each.settings for each in runs])
    origins = _rows([each.origin for each in runs])
    return ComparisonResult(
        of=_kind_name(runs[0].folder),
        compared=tuple(_described(runs)),
        figures=figures_of([each.facts for each in runs]),
        settings=tuple(row for row in settings if row.differs),
        origins=tuple(row for row in origins if row.differs),
    )


def figures_of(facts: Sequence[Sequence[Fact]]) -> tuple[ComparedRow, ...]:
    """Return a row for each figure that any run knows, in the order of their pages."""
    by_label = [{fact.label: fact for fact in each if fact.value is not None} for each in facts]
    labels = dict.fromkeys(label for each in by_label for label in each)
    return tuple(_figure(label, [each.get(label) for each in by_label]) for label in labels)


def _figure(label: str, facts: Sequence[Fact | None]) -> ComparedRow:
    """Return the row of a figure; the cell of a run that does not know it is empty."""
    texts = ["" if fact is None else numbers.text(fact.text) for fact in facts]
    values = [None if fact is None else numbers.number(fact.value) for fact in facts]
    return ComparedRow(name=label, texts=tuple(texts), values=tuple(values))


def write_csv(folder: Path, result: ComparisonResult) -> None:
    """Write `comparison.csv`: a row for each figure and each setting that differs, a column for each run.

    Raises:
        NeurosimWriteError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["part", "name", *(each.label for each in result.compared)])
    for part, rows in (("figure", result.figures), ("setting", result.settings)):
        for row in rows:
            # A number has all its digits here, where the page rounds it.
            cells = [word if value is None else value for word, value in zip(row.texts, row.values, strict=True)]
            writer.writerow([part, row.name, *cells])
    write_text(folder / TABLE, text.getvalue())


def _kind_name(folder: RunFolder) -> str:
    """Return the kind of a run, with the command where one kind has several."""
    kind = folder.manifest.kind or UNNAMED
    command = folder.manifest.facts.get("command_kind")
    if isinstance(command, str) and command != kind:
        return f"{kind} {command}"
    # `memory recall` notes the memory that it read in place of its command.
    if "memory" in folder.manifest.facts:
        return f"{kind} recall"
    return kind


def _described(runs: Sequence[RunRead]) -> Iterator[ComparedRun]:
    names = [each.folder.path.name for each in runs]
    for each, name in zip(runs, names, strict=True):
        path = str(each.folder.path)
        # Runs of one name lie in different folders, and are told apart by their paths.
        is_unique = names.count(name) == 1
        yield ComparedRun(
            path=path,
            label=name if is_unique else path,
            status=present_status(each.folder),
            seed=each.folder.manifest.seed,
            started=each.folder.manifest.started,
            seconds=each.seconds,
        )


def _rows(trees: Sequence[Mapping[str, object]]) -> list[ComparedRow]:
    """Return a row for each key that any of the trees has."""
    keys = dict.fromkeys(key for tree in trees for key in tree)
    return [
        ComparedRow(
            name=key,
            texts=tuple(_word(tree.get(key)) for tree in trees),
            values=tuple(numbers.number(tree.get(key)) for tree in trees),
        )
        for key in keys
    ]


def _word(value: object) -> str:
    """Return a setting as TOML has it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _leaves(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the values of a tree by dotted key; entries of a list of tables go by their name, or else their number."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
            for k, each in enumerate(value):
                yield from _leaves(each, f"{prefix}{key}.{each.get('name', k)}.")
        else:
            yield prefix + key, value
