"""The runs of a sweep: one for each point of the grid and each seed, in a folder of its own."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from ....base.atomic import write_text
from ....base.errors import NeurosimError, NeurosimInputError, NeurosimInterruptedError
from ...report import numbers
from ..comparison.run import read_run
from ..frame import lifecycle
from ..frame.executor import Executor, run_tasks
from ..frame.facts import SPEED, Fact
from ..frame.folder import MANIFEST, METRICS, open_run, present_status
from ..frame.kind import Inputs, Kind, Run
from ..frame.options import RunOptions
from ..frame.progress import bar
from ..frame.recorder import config_hash, without_none
from .config import SweepConfig
from .result import SweepCell, SweepResult

CELLS = "cells"  # folder of the runs
TABLE = "sweep.csv"
MAX_HEADLINE = 6  # figures in the table of the page and of the terminal; sweep.csv has all


@dataclass(frozen=True)
class CellTask:
    """A run of a sweep, as a worker gets it.

    Attributes:
        folder: of the run; relative to the sweep's before `placed`.
        kind: of the run.
        point: its value of each key, as text.
        seed: of everything random.
        file: with the settings that all cells share.
        sets: `key=value` texts, those of the point last.
        values: further settings by dotted key, and the seed.
        command: of the sweep, for the manifest.
    """

    folder: Path
    kind: Kind[Any, Any, Any]
    point: tuple[str, ...]
    seed: int
    file: Path | None
    sets: tuple[str, ...]
    values: Mapping[str, object]
    command: tuple[str, ...] = ()

    def configure(self) -> Any:
        """Return the settings of the run."""
        return self.kind.configure(self.file, self.sets, self.values)


Cells: TypeAlias = Sequence[CellTask]


def load(config: SweepConfig) -> Inputs[Cells]:
    """Return the cells of a sweep, whose settings are all checked.

    Raises:
        NeurosimError: settings of a cell that break a rule, or a file that is not there.
    """
    config.check_keys()
    kind = config.cell_kind()
    cells = []
    points: dict[str, str] = {}
    for number, point in enumerate(config.points):
        pairs = tuple(f"{key}={value}" for key, value in zip(config.grid, point, strict=True))
        words = "-".join(f"{key.rpartition('.')[2]}-{value}" for key, value in zip(config.grid, point, strict=True))
        place = re.sub(r"[^a-zA-Z0-9.]+", "-", f"{number:03d}-{words}").strip("-")[:80]
        for seed in config.seeds:
            sets = (*config.sets, *pairs)
            folder = Path(CELLS, f"{place}-seed-{seed}")
            cell = CellTask(
                folder=folder,
                kind=kind,
                point=point,
                seed=seed,
                file=config.source,
                sets=sets,
                values={**config.values, "seed": seed},
            )
            # A setting that breaks its rule is named before the first cell runs.
            settings = kind.settings(cell.configure())
            # A table of the grid is merged into the table that is there, as that of --set is.
            same = points.setdefault(config_hash(without_none(settings)), ", ".join(pairs))
            if same != ", ".join(pairs):
                raise NeurosimInputError(
                    f"--grid: its points must differ in their settings; {same} and {', '.join(pairs)} have the same; "
                    "leave one of them out"
                )
            cells.append(cell)
    data: dict[str, object] = {"runs": len(cells)}
    if config.source is not None:
        data["settings"] = hashlib.sha256(config.source.read_bytes()).hexdigest()
    return Inputs(cells, data)


def run_cells(run: Run[SweepConfig, Cells], executor: Executor) -> SweepResult:
    """Run every cell that is not done, and return the figures of all.

    Raises:
        NeurosimError: workers were killed again and again, or a cluster does not answer.
        KeyboardInterrupt: the cells that are done are kept.
    """
    root = run.path.resolve()
    command = tuple(run.options.command)
    cells = [replace(cell, folder=root / cell.folder, command=command) for cell in run.inputs]
    outcomes: dict[Path, SweepCell] = {}
    tiles: dict[str, None] = {}
    with run.time("runs"), bar("sweep", "runs", run.options.quiet) as report:
        for cell, outcome in run_tasks(cells, run_cell, executor, run.options.say, name="run"):
            shown, facts = _read(cell, outcome, root)
            outcomes[cell.folder] = shown
            tiles |= {fact.label: None for fact in facts if fact.tile}
            if shown.reason:
                run.options.say(f"{shown.run}: {shown.reason}")
            if report is not None:
                report(len(outcomes), len(cells))
    every = tuple(outcomes[cell.folder] for cell in cells)
    return SweepResult(
        of=run.config.kind,
        keys=tuple(run.config.grid),
        levels=tuple(run.config.grid.values()),
        seeds=run.config.seeds,
        headline=_headline(every, list(tiles)),
        cells=every,
    )


def run_cell(cell: CellTask, executor: Executor) -> None:
    """Run a cell to its end: from what an interrupted run of it left, or else from the start.

    Raises:
        NeurosimError: as `lifecycle.start`.
        KeyboardInterrupt: Ctrl-C.
    """
    options = RunOptions(out=cell.folder, threads=executor.threads, device=executor.device, command=cell.command)
    try:
        if (cell.folder / MANIFEST).is_file():
            folder = open_run(cell.folder)
            if present_status(folder) == "done" and (cell.folder / METRICS).is_file():
                return
            if cell.kind.resumed_by and folder.manifest.data is not None:
                lifecycle.resume(cell.kind, cell.folder, options)
                return
            # Killed before it began: there is nothing to continue.
            shutil.rmtree(cell.folder)
        lifecycle.start(cell.kind, cell.configure(), options)
    except NeurosimInterruptedError:
        # It interrupts the sweep, and not this cell alone.
        raise KeyboardInterrupt from None


def write_csv(folder: Path, result: SweepResult) -> None:
    """Write `sweep.csv`: a row for each run, with its point, seed, status and every figure.

    Raises:
        NeurosimWriteError: the file cannot be written.
    """
    labels = list(dict.fromkeys(label for cell in result.cells for label in cell.figures))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*result.keys, "seed", "status", *labels, "run"])
    for cell in result.cells:
        figures = [cell.figures.get(label) for label in labels]
        writer.writerow([*cell.point, cell.seed, cell.status, *figures, cell.run])
    write_text(folder / TABLE, text.getvalue())


def _read(cell: CellTask, outcome: NeurosimError | None, root: Path) -> tuple[SweepCell, Sequence[Fact]]:
    """Return a cell with its figures, and the facts of its page."""
    shown = SweepCell(run=cell.folder.relative_to(root).as_posix(), point=cell.point, seed=cell.seed)
    if isinstance(outcome, NeurosimError):
        return replace(shown, status="failed", reason=str(outcome)), ()
    read = read_run(cell.folder)
    known = [fact for fact in read.facts if numbers.number(fact.value) is not None or fact.value is None]
    figures = {fact.label: numbers.number(fact.value) for fact in known}
    texts = {fact.label: numbers.text(fact.text) for fact in known}
    return replace(shown, status=read.folder.manifest.status, figures=figures, texts=texts), read.facts


def _headline(cells: Sequence[SweepCell], tiles: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of the first figures in large type that are numbers, those that vary before the others."""
    values = {label: {cell.figures.get(label) for cell in cells} - {None} for label in tiles}
    known = [label for label in tiles if values[label]]
    # A time varies from run to run, whatever the settings.
    return tuple(sorted(known, key=lambda label: len(values[label]) < 2 or label == SPEED)[:MAX_HEADLINE])
