"""Continual runs side by side: their learners in one result, with a page, pictures and tables (CSV and LaTeX)."""

from __future__ import annotations

from collections import Counter
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
    """Return the learners of all runs; learners of one name are told apart by the folders of their runs."""
    first = run.inputs[0]
    uses = Counter(row.name for result in run.inputs for row in result.rows)
    rows = []
    for path, result in zip(run.config, run.inputs, strict=True):
        for row in result.rows:
            is_alone = uses[row.name] == 1
            rows.append(row if is_alone else replace(row, name=f"{row.name} ({path.name})"))
    compared = tuple(str(path) for path in run.config)
    return ContinualResult(stream=first.stream, on=first.on, compared=compared, rows=tuple(rows))


def _results(path: Path) -> ContinualResult:
    folder = open_run(path)
    if folder.manifest.kind != "continual":
        raise NeurosimInputError(f"{path}: is not a continual run; give folders that 'neurosim continual run' wrote")
    result = ContinualResult.from_dict(read_metrics(folder))
    require(len(result.rows) > 0, f"{path / METRICS}", "must hold the results of learners; run again", 0)
    return result
