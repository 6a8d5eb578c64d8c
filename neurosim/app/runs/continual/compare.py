"""Continual runs side by side: their learners in one result, with a page, pictures and tables (CSV and LaTeX)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ....base.errors import NeurosimInputError, require
from ..frame.folder import METRICS, open_run, read_metrics
from ..frame.kind import Inputs, Run
from .result import ContinualResult


def load(paths: Sequence[Path]) -> Inputs[Sequence[ContinualResult]]:
    """Return the results of several runs.

    Raises:
        NeurosimMissingError: no run there, or one without results.
        NeurosimInputError: a run of another kind, or runs measured on different items.
    """
    results = [_results(path) for path in paths]
    measured_on = sorted({result.on for result in results})
    require(len(measured_on) == 1, "runs compare", "needs runs measured on the same items", " and ".join(measured_on))
    return Inputs(results, facts={"compared": [str(path) for path in paths]})


def compare_runs(run: Run[Sequence[Path], Sequence[ContinualResult]]) -> ContinualResult:
    """Return the learners of all runs. One keeps its name if it is the only one of that name, and is else named with
    its run."""
    first = run.inputs[0]
    names = [row.name for result in run.inputs for row in result.rows]
    rows = tuple(
        replace(row, name=row.name if names.count(row.name) == 1 else f"{row.name} ({path.name})")
        for path, result in zip(run.config, run.inputs, strict=True)
        for row in result.rows
    )
    compared = tuple(str(path) for path in run.config)
    return ContinualResult(stream=first.stream, on=first.on, compared=compared, rows=rows)


def _results(path: Path) -> ContinualResult:
    folder = open_run(path)
    if folder.manifest.kind != "continual":
        raise NeurosimInputError(f"{path}: is not a continual run; give folders that 'neurosim continual run' wrote")
    result = ContinualResult.from_dict(read_metrics(folder))
    require(len(result.rows) > 0, f"{path / METRICS}", "must hold the results of learners; run again", 0)
    return result
