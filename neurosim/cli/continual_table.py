"""What `neurosim continual ...` prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..continual.matrix import MEASURES
from .common import table

Json = Mapping[str, Any]


def comparison(result: Json, page: Path) -> str:
    """A line for each learner: its measures with the half-width of their intervals over seeds; below, the formulas."""
    rows = result["rows"]
    width = max(7, *(len(row["name"]) for row in rows))
    heads = "".join(f"{_short(name):>18}" for name in MEASURES)
    lines = [_about(result), "", f"  {'learner':<{width}}{heads}{'seconds':>10}"]
    for row in rows:
        cells = "".join(f"{_cell(row['measures'].get(name)):>18}" for name in MEASURES)
        seconds = sum(row["seconds"]) / len(row["seconds"])
        lines.append(f"  {row['name']:<{width}}{cells}{seconds:>10.1f}")
    formulas = [(_short(name), f"{m.formula}: {m.meaning}") for name, m in MEASURES.items()]
    intervals = "mean +- half of Student's 95 % interval over seeds; R[i,j]: on task j after task i, of T tasks"
    return "\n".join([*lines, "", f"  {intervals}", table(formulas), "", table([("page", str(page))])])


def listing(data: Json) -> str:
    """Everything there is to choose."""
    parts = [
        table(sorted(data[name].items()), title) for name, title in (("streams", "streams"), ("sources", "sources"))
    ]
    parts.append(table(data["learners"].items(), "learners"))
    measures = [(name, f"{m['formula']}: {m['meaning']}") for name, m in data["measures"].items()]
    return "\n".join([*parts, table(measures, "measures")])


def _about(result: Json) -> str:
    first = result["rows"][0]
    kinds = {row["stream"]["kind"] for row in result["rows"]}
    if len(kinds) > 1:
        return f"{', '.join(sorted(kinds))} streams, accuracy on {result['on']} items"
    tasks = len(first["tasks"])
    return (
        f"{first['stream']['kind']} stream of {tasks} tasks, scenario {first['scenario']}, "
        f"{len(first['seeds'])} seeds, accuracy on {result['on']} items"
    )


def _short(name: str) -> str:
    return {"forgetting_best": "F best", "forgetting_learned": "F learned"}.get(name, name.upper())


def _cell(estimate: Json | None) -> str:
    if estimate is None:
        return "-"
    mean = f"{estimate['mean']:+.4f}" if estimate["mean"] < 0 else f"{estimate['mean']:.4f}"
    if estimate["low"] is None:
        return mean
    return f"{mean} +- {(estimate['high'] - estimate['low']) / 2:.4f}"
