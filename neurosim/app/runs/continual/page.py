"""The page of a continual run: accuracy matrices over time, every learner side by side; mean accuracies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup

from ....learning.continual.matrix import MEASURES
from ...report import charts, numbers
from ...report.charts import PALETTE, Curve
from ...report.recordings import Figure
from ...report.svg import element, label, picture, rect
from ..frame.facts import Table
from ..frame.folder import RunFolder
from .measured import task_cells, unknown
from .overview import learners_of
from .result import ContinualResult, LearnerResult, TaskWork

MAP = 264.0  # px, width of a heat map
MAX_WRITTEN = 8  # tasks up to which a cell has room for its figure
UNIT = (0.0, 1.02)


def fill(folder: RunFolder, result: ContinualResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    rows = learners_of(result)
    titles = [measure.title for measure in MEASURES.values()]
    return {
        "rows": rows,
        "failures": [f"{each.row}, seed {each.seed}: {each.reason}" for each in result.failures],
        "shades": [(shade(level), f"{level} %") for level in (0, 25, 50, 75, 100)],
        "maps": [(row.name, _map(row)) for row in rows],
        "curves": _curves(rows) if rows else [],
        "measures": list(MEASURES.values()),
        "work": [_work(row.name, work) for row in rows for work in row.work],
        "seeds": Table("Each seed", ("Learner and seed", *titles), _seeds(rows)),
    }


def _curves(rows: Sequence[LearnerResult]) -> list[Figure]:
    drawn = _charts(rows)
    return [
        (drawn["mean-accuracy"], "Mean over the tasks learned so far."),
        (drawn["first-task"], "Accuracy on the first task."),
    ]


def _seeds(rows: Sequence[LearnerResult]) -> list[tuple[str, ...]]:
    """Return the measures of each learner with each seed."""
    return [
        (f"{row.name}, seed {seed}", *(numbers.fixed(each.get(name)) for name in MEASURES))
        for row in rows
        for seed, each in zip(row.seeds, row.each, strict=False)
    ]


def _work(learner: str, work: TaskWork) -> tuple[str, list[str], str, list[str]]:
    """Return the work on a task: its name, its figures, what the memory holds, and why figures are unknown."""
    task, *figures = task_cells(work)
    parts = ", ".join(f"{part} {numbers.si(size, 'B')}" for part, size in work.memory.items())
    return f"{learner}: {task}", figures, parts, unknown(work)


def _map(row: LearnerResult) -> Markup:
    """Return a heat map: time to the right, the first task at the top."""
    name = row.name
    tasks = row.tasks
    values = row.mean_matrix
    n = values.shape[1]
    left = 22.0
    top = 4.0
    # n tasks down, n + 1 times across: before any task, and after each.
    size = (MAP - left) / (n + 1)
    parts: list[Markup] = []
    for i, after in enumerate(values):
        x = left + size * i
        parts.append(label(x + size / 2, top + size * n + 15, str(i), "middle"))
        for j, value in enumerate(after):
            title = f"{tasks[j] if j < len(tasks) else f'task {j + 1}'}, after {i} tasks: {value:.1%}"
            parts += _cell(x, top + size * j, size, float(value), title, learned=i == j + 1, written=n <= MAX_WRITTEN)
    parts += [label(left - 6, top + size * (j + 0.5) + 4, str(j + 1), "end") for j in range(n)]
    foot = top + size * n
    parts.append(label(MAP, foot + 31, "tasks learned", "end"))
    return picture(foot + 36, f"{name}: accuracy on each of {n} tasks after each was learned", parts, width=MAP)


def _cell(x: float, y: float, size: float, value: float, title: str, *, learned: bool, written: bool) -> list[Markup]:
    frame = ";stroke:var(--on);stroke-width:2" if learned else ""
    edge = 1.5 if learned else 1.0
    style = f"fill:{shade(100 * value)}{frame}"
    box = rect(x + edge, y + edge, size - 2 * edge, size - 2 * edge, style, radius=3)
    parts = [element("g", element("title", title), box)]
    if written:
        at = {"x": round(x + size / 2, 2), "y": round(y + size / 2 + 4, 2)}
        parts.append(element("text", f"{100 * value:.0f}", **at, text_anchor="middle", style="fill:var(--ink)"))
    return parts


def shade(percent: float) -> str:
    """Return the colour of an accuracy, light enough for the figure that is written on it."""
    return f"color-mix(in srgb, var(--shade) {0.7 * percent:.1f}%, var(--paper))"


def _charts(rows: Sequence[LearnerResult]) -> dict[str, Markup]:
    """Return mean accuracy on the tasks so far, and on the first, by the name of a file."""
    so_far = []
    first = []
    for k, row in enumerate(rows):
        mean = row.mean_matrix
        x = np.arange(1, mean.shape[1] + 1, dtype=np.float64)
        # Every colour as a line, then every colour dashed.
        style = PALETTE[k % len(PALETTE)], "dashed" if k // len(PALETTE) % 2 else "line"
        so_far.append(Curve(row.name, x, np.array([mean[i, :i].mean() for i in range(1, len(mean))]), *style))
        first.append(Curve(row.name, x, mean[1:, 0], *style))
    words = "Mean accuracy on the tasks learned so far"
    return {
        "mean-accuracy": charts.curves(so_far, "tasks learned", "accuracy", words, y=UNIT),
        "first-task": charts.curves(first, "tasks learned", "accuracy", "Accuracy on the first task", y=UNIT),
    }


def write_pictures(run: Path, result: ContinualResult) -> None:
    """Write the curves of a run into its folder, as pictures of their own.

    Raises:
        NeurosimWriteError: a file cannot be written.
    """
    for name, chart in _charts(result.rows).items():
        charts.write_picture(run / f"{name}.svg", chart)
