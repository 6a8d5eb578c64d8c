"""Overview of a comparison of attention kinds: scores by size, state and weights."""

from __future__ import annotations

from ....base.shown import counted
from ...report import numbers
from ..frame.facts import Fact, Overview, Table
from .result import AttentionResult, KindResult


def overview_of(result: AttentionResult) -> Overview:
    """Return what page and terminal show of a run."""
    kinds = [kind for kind in result.kinds if kind.models]
    trained = ""
    if result.trained:
        low, high = result.trained
        trained = f"trained on {low} to {high} {result.size_name}"
    return Overview(
        title=f"Attention kinds: {result.task or 'a comparison'}",
        lead=[
            f"Models of {counted(len(result.kinds), 'kind')}, {numbers.plain(result.steps)} updates each",
            trained,
            "" if result.chance is None else f"guessing scores {numbers.three(result.chance)}",
        ],
        facts=[_score(result, kind) for kind in kinds],
        tables={"scores": _scores(result, kinds)},
    )


def _score(result: AttentionResult, kind: KindResult) -> Fact:
    size = f"{result.sizes[-1]} {result.size_name}"
    return Fact(
        label=kind.name,
        value=kind.means[-1],
        format=numbers.three,
        note=f"{result.measure} at {size}, {numbers.si(kind.state_bytes, 'B')} of state",
    )


def _scores(result: AttentionResult, kinds: list[KindResult]) -> Table:
    caption = f"{result.measure.capitalize()} by {result.size_name}: mean, and lowest to highest over seeds"
    # State and weights beside the scores: a kind that remembers more may only carry more.
    heads = ("Kind", *map(str, result.sizes), "State", "Weights", "Seconds each")
    known = [(each.name, *(f"{score:.3f}" for score in each.scores), "", "", "") for each in result.references]
    return Table(caption, heads, [*(_row(kind) for kind in kinds), *known])


def _row(kind: KindResult) -> tuple[str, ...]:
    seconds = sum(model.seconds for model in kind.models) / len(kind.models)
    state = numbers.si(kind.state_bytes, "B")
    return kind.name, *kind.cells, state, numbers.plain(kind.parameters), f"{seconds:.0f}"
