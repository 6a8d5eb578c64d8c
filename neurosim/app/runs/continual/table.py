"""Text that `neurosim continual ...` prints."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from ....learning.continual.matrix import MEASURES, Estimate
from ..frame.folder import REPORT
from ..frame.tables import grid, table
from .measured import ABOUT as ABOUT_WORK
from .measured import HEADS, task_cells
from .paired import against_best, p_text
from .result import ContinualResult

ACROSS = 4  # measures in a block of the table
ABOUT = (
    "mean +- half of Student's 95 % interval over seeds; R[i,j]: on task j after task i, of T tasks;\n"
    "  p: of a paired t test of ACC against the highest on the same stream, over the seeds of both"
)


def render(result: ContinualResult) -> str:
    """Return a line for each learner: its measures with the half-widths of their intervals; below, the formulas."""
    width = max(7, *(len(row.name) for row in result.rows))
    lines = [_about(result)]
    names = list(MEASURES)
    p_values = against_best(result.rows)
    for part in (names[:ACROSS], names[ACROSS:]):
        heads = "".join(f"{_short(name):>18}" for name in part)
        last = part[-1] == names[-1]
        lines += ["", f"  {'learner':<{width}}{heads}" + (f"{'p to best':>12}{'seconds':>10}" if last else "")]
        for row in result.rows:
            cells = "".join(f"{_cell(row.measures.get(name)):>18}" for name in part)
            seconds = sum(row.seconds) / len(row.seconds)
            if last:
                end = f"{p_text(p_values[row.name]):>12}{seconds:>10.1f}"
            else:
                end = ""
            lines.append(f"  {row.name:<{width}}{cells}{end}")
    formulas = [(_short(name), f"{m.formula}: {m.meaning}") for name, m in MEASURES.items()]
    work = grid(("learner", *HEADS[2:]), [(row.name, *task_cells(row.work[-1])[1:]) for row in result.rows if row.work])
    page = table([("page", str(Path(result.run) / REPORT))])
    if any(row.work for row in result.rows):
        costs = [f"  work on the last task; {ABOUT_WORK}", work, ""]
    else:
        costs = []
    return "\n".join([*lines, "", f"  {ABOUT}", table(formulas), "", *costs, page])


def listing(
    streams: Mapping[str, str], sources: Mapping[str, str], learners: Mapping[str, str], free: Collection[str]
) -> str:
    """Return everything there is to choose, each by name with its title; `free` learners need no boundaries."""
    titles = [(name, f"{title}{'; task-free' if name in free else ''}") for name, title in learners.items()]
    measures = [(name, f"{m.formula}: {m.meaning}") for name, m in MEASURES.items()]
    return "\n".join(
        [
            table(sorted(streams.items()), "streams"),
            table(sorted(sources.items()), "sources"),
            table(titles, "learners; those that are task-free take stream.boundaries=false"),
            table(measures, "measures"),
        ]
    )


def _about(result: ContinualResult) -> str:
    first = result.rows[0]
    kinds = {str(row.stream["kind"]) for row in result.rows}
    if len(kinds) > 1:
        return f"{', '.join(sorted(kinds))} streams, accuracy on {result.on} items"
    return (
        f"{first.stream['kind']} stream of {len(first.tasks)} tasks, scenario {first.scenario}, "
        f"{len(first.seeds)} seed{'s' if len(first.seeds) != 1 else ''}, accuracy on {result.on} items"
    )


def _short(name: str) -> str:
    return {"forgetting_best": "F best", "forgetting_learned": "F learned"}.get(name, name.upper())


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    if estimate.mean < 0:
        mean = f"{estimate.mean:+.4f}"
    else:
        mean = f"{estimate.mean:.4f}"
    if estimate.low is None or estimate.high is None:
        return mean
    return f"{mean} +- {(estimate.high - estimate.low) / 2:.4f}"
