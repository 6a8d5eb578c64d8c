"""The runs of a folder: what each was, how it ended, and a page that links to their reports."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from ....base.atomic import write_text
from ....base.errors import NeurosimError, NeurosimMissingError
from ....base.shown import counted
from ...report import numbers
from ...report.page import render
from . import registry
from .facts import Overview
from .folder import MANIFEST, METRICS, REPORT, RunFolder, open_run, present_status, read_metrics

PAGE = "index.html"
MAX_FIGURES = 2  # of a run, in the list
UNFINISHED = ("interrupted", "killed")  # statuses of runs that may continue
TEMPLATE = Path(__file__).with_name("index.html")


@dataclass(frozen=True, kw_only=True)
class IndexEntry:
    """A run of the index.

    Attributes:
        path: of its folder, below the folder of the index.
        name, kind: of the run.
        status: "running", "done", "interrupted", "failed" or "killed"; or why it cannot be read.
        next_step: how to continue a run that was interrupted or killed.
        started: UTC, ISO 8601.
        seed: of everything random.
        figures: (name, value) of the first figures that its page shows in large type; none where it has no results.
        report: its page, below the folder of the index; None where it has none.
    """

    path: str
    name: str = ""
    kind: str = ""
    status: str = ""
    next_step: str | None = None
    started: str | None = None
    seed: int | None = None
    figures: tuple[tuple[str, str], ...] = ()
    report: str | None = None

    @property
    def key_figures(self) -> str:
        """Figures in one line of text."""
        return ", ".join(f"{name} {value}" for name, value in self.figures)


@dataclass(frozen=True, kw_only=True)
class IndexFilter:
    """Which runs of an index are listed; None: all.

    Attributes:
        kind, status: of the run.
        name: pattern of the name of the run or of its folder, with * and ?.
        limit: number of runs, the latest first.
    """

    kind: str | None = None
    status: str | None = None
    name: str | None = None
    limit: int | None = None

    def apply(self, entries: Sequence[IndexEntry]) -> list[IndexEntry]:
        """Return the entries that fit, in their order."""
        return [entry for entry in entries if self._fits(entry)][: self.limit]

    def _fits(self, entry: IndexEntry) -> bool:
        if self.kind is not None and entry.kind != self.kind:
            return False
        if self.status is not None and entry.status != self.status:
            return False
        names = (entry.name, entry.path)
        return self.name is None or any(fnmatchcase(each, self.name) for each in names)


def read_index(folder: Path) -> list[IndexEntry]:
    """Return the runs in a folder, at any depth, the latest first.

    Raises:
        NeurosimMissingError: no such folder.
    """
    if not folder.is_dir():
        raise NeurosimMissingError(f"{folder}: no such folder; give one with runs, or run 'neurosim demo'")
    entries = []
    for place, below, names in os.walk(folder):
        if MANIFEST in names:
            below.clear()  # what a run holds belongs to it
            entries.append(_entry(folder, Path(place)))
    # ISO times in UTC sort as text; runs that cannot be read have none, and come last.
    return sorted(entries, key=lambda entry: (entry.started or "", entry.path), reverse=True)


def write_index(folder: Path, entries: list[IndexEntry]) -> Path:
    """Write the page of an index and return its path.

    Raises:
        NeurosimWriteError: the disk refuses.
    """
    from .... import __version__

    manifest = {"versions": {"neurosim": __version__}}
    overview = Overview(title=f"Runs in {folder.name}", lead=[], facts=[])
    lead = f"{counted(len(entries), 'run')}, the latest first."
    rows = [_row(entry) for entry in entries]
    write_text(folder / PAGE, render(TEMPLATE, folder, manifest, overview=overview, lead=lead, rows=rows))
    return folder / PAGE


class IndexRow(NamedTuple):
    """A row of the page: the name of the run, the link to its report or "", and further cells."""

    name: str
    link: str
    cells: tuple[str, ...]


def _row(entry: IndexEntry) -> IndexRow:
    status = f"{entry.status}; {entry.next_step}" if entry.next_step else entry.status
    seed = "" if entry.seed is None else str(entry.seed)
    cells = (entry.kind, entry.name, status, numbers.date(entry.started) or "", seed, entry.key_figures)
    return IndexRow(entry.path, quote(entry.report or ""), cells)


def _entry(folder: Path, path: Path) -> IndexEntry:
    name = path.relative_to(folder).as_posix()
    try:
        run = open_run(path)
    except NeurosimError as error:
        return IndexEntry(path=name, status=f"cannot be read: {error}")
    manifest = run.manifest
    status = present_status(run)
    return IndexEntry(
        path=name,
        name=manifest.name,
        kind=manifest.kind or registry.UNNAMED,
        status=status,
        next_step=next_step(run) if status in UNFINISHED else None,
        started=manifest.started,
        seed=manifest.seed,
        figures=_figures(run),
        report=f"{name}/{REPORT}" if (path / REPORT).is_file() else None,
    )


def _figures(run: RunFolder) -> tuple[tuple[str, str], ...]:
    """Return the first figures of a run that are known."""
    if not (run.path / METRICS).is_file():
        return ()
    try:
        kind = registry.kind_of(run)
        facts = kind.overview(kind.result.from_dict(read_metrics(run))).facts
    except NeurosimError:  # damaged results, or a plug-in that is not there
        return ()
    known = [fact for fact in facts if fact.tile and fact.value is not None]
    return tuple((fact.label, numbers.text(fact.text)) for fact in known[:MAX_FIGURES])


def next_step(run: RunFolder) -> str | None:
    """Return the command that continues an unfinished run, or else that which runs it again; None if unknown."""
    try:
        words = registry.kind_of(run).resumed_by
    except NeurosimError:  # of a plug-in that is not there
        return None
    if words and run.manifest.data is not None:
        return f"continue with: neurosim {words} --resume {shlex.quote(str(run.path))}"
    return run.rerun_hint
