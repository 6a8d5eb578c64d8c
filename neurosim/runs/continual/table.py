"""Text that `neurosim continual ...` prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...continual.matrix import MEASURES, Estimate
from ..folder import REPORT
from ..tables import grid, table
from .measured import ABOUT as ABOUT_WORK
from .measured import HEADS, task_cells
from .result import ContinualResult

ABOUT = "mean +- half of Student's 95 % interval over seeds; R[i,j]: on task j after task i, of T tasks"


def render(result: ContinualResult) -> str:
    """Return a line for each learner: its measures with the half-widths of their intervals; below, the formulas."""
    width = max(7, *(len(row.name) for row in result.rows))
    heads = "".join(f"{_short(name):>18}" for name in MEASURES)
    lines = [_about(result), "", f"  {'learner':<{width}}{heads}{'seconds':>10}"]
    for row in result.rows:
        cells = "".join(f"{_cell(row.measures.get(name)):>18}" for name in MEASURES)
        seconds = sum(row.seconds) / len(row.seconds)
        lines.append(f"  {row.name:<{width}}{cells}{seconds:>10.1f}")
    formulas = [(_short(name), f"{m.formula}: {m.meaning}") for name, m in MEASURES.items()]
    work = grid(("learner", *HEADS[2:]), [(row.name, *task_cells(row.work[-1])[1:]) for row in result.rows if row.work])
    page = table([("page", str(Path(result.run) / REPORT))])
    costs = [f"  work on the last task; {ABOUT_WORK}", work, ""] if any(row.work for row in result.rows) else []
    return "\n".join([*lines, "", f"  {ABOUT}", table(formulas), "", *costs, page])


def listing(streams: Mapping[str, str], sources: Mapping[str, str], learners: Mapping[str, str]) -> str:
    """Return everything there is to choose, each by name with its title."""
    measures = [(name, f"{m.formula}: {m.meaning}") for name, m in MEASURES.items()]
    return "\n".join(
        [
            table(sorted(streams.items()), "streams"),
            table(sorted(sources.items()), "sources"),
            table(learners.items(), "learners"),
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
        f"{len(first.seeds)} seeds, accuracy on {result.on} items"
    )


def _short(name: str) -> str:
    return {"forgetting_best": "F best", "forgetting_learned": "F learned"}.get(name, name.upper())


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    mean = f"{estimate.mean:+.4f}" if estimate.mean < 0 else f"{estimate.mean:.4f}"
    if estimate.low is None or estimate.high is None:
        return mean
    return f"{mean} +- {(estimate.high - estimate.low) / 2:.4f}"
