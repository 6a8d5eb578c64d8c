"""Overview of a continual run: the measures of every learner, and its work."""

from __future__ import annotations

import numpy as np

from ....base.shown import counted
from ....learning.continual.matrix import MEASURES, Estimate
from ...report import numbers
from ...report.sections import between
from ..frame.facts import Fact, Overview, Table
from .measured import HEADS, task_cells
from .paired import against_best, p_text
from .result import ContinualResult, LearnerResult

MAX_TILES = 5
SCENARIOS = {
    "domain": "the same classes in all",
    "task": "an item comes with its task and is one of its classes",
    "class": "an item comes alone and is one of all classes met so far",
}
MEANS = (
    "Mean over seeds and half of Student's 95 % interval; R[i,j]: on task j after task i, of T tasks; p: of a paired t "
    "test of ACC against the highest on the same stream"
)
WORK = (
    "Work on the last task. Updates: weights written while it was learned; memory: held then, in all; operations, "
    "dense operations and energy of answering an item of the task"
)


def overview_of(result: ContinualResult) -> Overview:
    """Return what page and terminal show of a run."""
    rows = learners_of(result)
    # Tiles have room for the best few; the table has all, in the order of the config.
    best = sorted(rows, key=_accuracy, reverse=True)[:MAX_TILES]
    titles = [measure.title for measure in MEASURES.values()]
    p_values = {name: p_text(p) for name, p in against_best(rows).items()}
    work = [(row.name, *task_cells(row.work[-1])) for row in rows if row.work]
    return Overview(
        title=_title(rows),
        lead=[*_stream(rows), f"accuracy on {result.on} items" if result.on else ""],
        facts=[
            Fact(label=row.name, value=_accuracy(row), format=numbers.percent, note=f"{_interval(row)}; {_bwt(row)}")
            for row in best
        ],
        tables={
            "measures": Table(
                MEANS,
                ("Learner", *titles, "p to best", "Learning"),
                [_measures(row, p_values[row.name]) for row in rows],
            ),
            "definitions": Table(
                "Measures", ("Measure", "Formula"), [(m.title, m.formula) for m in MEASURES.values()] if rows else []
            ),
            "work": Table(WORK, [head.capitalize() for head in HEADS], work),
        },
    )


def learners_of(result: ContinualResult) -> list[LearnerResult]:
    """Return the learners that have accuracy matrices."""
    return [row for row in result.rows if np.array(row.matrices).ndim == 3]


def _title(rows: list[LearnerResult]) -> str:
    if not rows:
        return "Continual learning"
    kinds = " and ".join(sorted({str(row.stream.get("kind", "")) for row in rows}))
    return f"{kinds[:1].upper()}{kinds[1:]} tasks, {counted(len(rows), 'learner')}"


def _stream(rows: list[LearnerResult]) -> list[str]:
    if not rows:
        return []
    first = rows[0]
    return [
        f"{counted(len(first.tasks), 'task')} one after the other",
        SCENARIOS.get(first.scenario, ""),
        counted(len(first.seeds), "seed"),
    ]


def _accuracy(row: LearnerResult) -> float:
    estimate = row.measures.get("acc")
    return estimate.mean if estimate else 0.0


def _interval(row: LearnerResult) -> str:
    estimate = row.measures.get("acc")
    if estimate is None or estimate.low is None or estimate.high is None:
        return "one seed"
    return between((max(estimate.low, 0.0), min(estimate.high, 1.0)))  # Student's interval knows no bounds


def _bwt(row: LearnerResult) -> str:
    estimate = row.measures.get("bwt")
    if estimate is None:
        return "one task"
    return f"BWT {numbers.signed(estimate.mean, 1)}"


def _measures(row: LearnerResult, p_value: str) -> tuple[str, ...]:
    seconds = float(np.mean(row.seconds or np.nan))
    figures = [_estimate(row.measures.get(name)) for name in MEASURES]
    return row.name, *figures, p_value, numbers.seconds(seconds)


def _estimate(estimate: Estimate | None) -> str:
    """Return 0.912 ± 0.013, half of the interval."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return numbers.fixed(None if estimate is None else estimate.mean, 3)
    return f"{estimate.mean:.3f} \N{PLUS-MINUS SIGN} {(estimate.high - estimate.low) / 2:.3f}"
