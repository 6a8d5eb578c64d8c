"""Overview of a pipeline's run: accuracy, the cost of each stage, and the accuracies on the tasks."""

from __future__ import annotations

from ...report import numbers
from ..frame.facts import (
    Fact,
    Overview,
    Table,
    accuracy,
    baselines,
    digest,
    energies,
    named,
    operations,
    sparsity,
    speed,
)
from .result import PipelineResult, StageResult

# A row a population, in the order in which activity reaches them; all figures but units are means a recording.
STAGES = ("Stage", "Model", "Units", "Operations", "Spikes", "Weights", "State", "Energy")
TASKS = {"acc": "ACC", "bwt": "BWT"}


def overview_of(result: PipelineResult) -> Overview:
    """Return what page and terminal show of a run."""
    learned = f"{numbers.plain(result.train_samples)} recordings learned one after the other"
    tested = f"{numbers.plain(result.samples)} of the split “{result.split}” tested"
    dataset = named(result.title, result.dataset, "Recordings")
    return Overview(
        title=f"{dataset} through {result.pipeline or 'a pipeline'}",
        lead=[
            learned if result.train_samples else "",
            f"in {len(result.tasks)} tasks" if result.tasks else "",
            tested if result.samples else "",
        ],
        facts=[
            accuracy(result, result.samples),
            sparsity(result.measures, "of outputs, step by step"),
            operations(result.measures),
            *energies(result.energy),
            speed(result.real_time_factor),
            *baselines(result.baselines, result.cnn),
            *_of_tasks(result),
            digest("Spike digest", result.spike_digest),
        ],
        tables={
            "stages": Table("Each stage, a recording", STAGES, [_stage(each) for each in result.stages]),
            "tasks": Table("Accuracies", ("After", *result.tasks), _matrix(result)),
        },
    )


def _of_tasks(result: PipelineResult) -> list[Fact]:
    """Return the recordings without an answer, and the measures of the tasks, where there are any."""
    facts = [
        Fact(label=label, value=result.measures_of_tasks[name], format=numbers.fixed, tile=False)
        for name, label in TASKS.items()
        if result.measures_of_tasks.get(name) is not None
    ]
    if result.unanswered:
        note = "recordings, which count as wrong"
        facts.append(Fact(label="Unanswered", value=result.unanswered, note=note, tile=False))
    return facts


def _stage(each: StageResult) -> tuple[str, ...]:
    return (
        each.name,
        each.model,
        numbers.plain(each.units),
        numbers.si(each.operations),
        numbers.si(each.spikes),
        numbers.si(each.parameter_bytes, "B"),
        numbers.si(each.state_bytes, "B"),
        numbers.span(each.energy, "J"),
    )


def _matrix(result: PipelineResult) -> list[tuple[str, ...]]:
    """Return the accuracies on each task, a row after each task that was learned."""
    # Row 0 is before any task: what the untrained readout answers.
    names = ["nothing", *result.tasks]
    return [(name, *map(numbers.percent, row)) for name, row in zip(names, result.matrix, strict=False)]
