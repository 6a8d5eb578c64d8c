"""Text that `neurosim simulate` prints for a pipeline's run."""

from __future__ import annotations

from collections.abc import Sequence

from ..frame.tables import (
    Rows,
    accuracy_row,
    activity_rows,
    dataset_name,
    energy_rows,
    file_rows,
    grid,
    joules,
    percent,
    quantity,
    table,
)
from .result import PipelineResult, StageResult


def render(result: PipelineResult) -> str:
    """Return accuracy and cost, a row for each stage, and the accuracies on the tasks if there are several."""
    head = f"{result.pipeline}: {dataset_name(result)} {result.split}, {result.samples} recordings, seed {result.seed}"
    rows = [accuracy_row(result, "accuracy", result.samples), *_unanswered(result)]
    rows += [*activity_rows(result.spikes, result.measures, result.real_time_factor)]
    rows += [*_measures(result), *energy_rows(result.energy, "a recording")]
    parts = [table([*rows, *file_rows(result, result.spike_digest)], head)]
    if result.stages:
        parts.append(stage_grid(result.stages))
    if result.matrix:
        parts.append(matrix_grid(result.tasks, result.matrix))
    return "\n".join(parts)


def stage_grid(stages: Sequence[StageResult]) -> str:
    """Return a row for each stage; counts and energy are means a recording."""
    heads = ["stage", "model", "units", "operations", "spikes", "weights", "state", "energy"]
    rows = [
        [
            each.name,
            each.model,
            f"{each.units:,}",
            quantity(each.operations),
            quantity(each.spikes),
            quantity(each.parameter_bytes, "B"),
            quantity(each.state_bytes, "B"),
            joules(each.energy),
        ]
        for each in stages
    ]
    return grid(heads, rows)


def matrix_grid(tasks: Sequence[str], matrix: Sequence[Sequence[float]]) -> str:
    """Return the accuracies on each task, a row after each task that was learned."""
    heads = ["after", *tasks]
    return grid(heads, [[name, *map(percent, row)] for name, row in zip(["nothing", *tasks], matrix, strict=False)])


def _unanswered(result: PipelineResult) -> Rows:
    if result.unanswered:
        return [("unanswered", f"{result.unanswered} recordings, which count as wrong")]
    return []


def _measures(result: PipelineResult) -> Rows:
    names = {"acc": "ACC", "bwt": "BWT"}
    found = {name: result.measures_of_tasks.get(name) for name in names}
    return [(names[name], f"{value:.3f}") for name, value in found.items() if value is not None]
