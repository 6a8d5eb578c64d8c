"""Paired tests between the learners of a run: the same seeds give the same streams."""

from __future__ import annotations

from collections.abc import Sequence

from ....learning.continual.matrix import paired_p
from .result import LearnerResult

Values = dict[int, float]


def against_best(rows: Sequence[LearnerResult]) -> dict[str, float | None]:
    """Return for each row, by name, the p of a paired t test of its ACC against the highest mean on the same stream.

    None for the row with that mean, and where the two share fewer than two seeds.
    """
    accuracies = {row.name: _accuracies(row) for row in rows}
    p_values: dict[str, float | None] = {}
    for row in rows:
        rivals = [accuracies[other.name] for other in rows if other.stream == row.stream and accuracies[other.name]]
        best = max(rivals, key=lambda values: sum(values.values()) / len(values), default=None)
        own = accuracies[row.name]
        if best is None or best is own:
            p_values[row.name] = None
        else:
            p_values[row.name] = _paired(own, best)
    return p_values


def p_text(p: float | None) -> str:
    """Return a p as tables write it."""
    if p is None:
        return "-"
    return "< .001" if p < 1e-3 else f"{p:.3f}"


def _accuracies(row: LearnerResult) -> Values:
    values = {seed: each.get("acc") for seed, each in zip(row.seeds, row.each, strict=False)}
    return {seed: value for seed, value in values.items() if value is not None}


def _paired(own: Values, best: Values) -> float | None:
    seeds = sorted(own.keys() & best.keys())
    return paired_p([own[seed] for seed in seeds], [best[seed] for seed in seeds])
