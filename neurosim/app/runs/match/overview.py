"""Overview of a run that matches two senses: right choices by the number of labelled recordings of new classes."""

from __future__ import annotations

from ....base.shown import counted
from ...report import numbers
from ..frame.facts import Fact, Overview, Table
from .result import MatchResult, ShotsResult

CAPTION = "Right choices among new classes, by labelled recordings of each of them and sense"


def overview_of(result: MatchResult) -> Overview:
    """Return what page and terminal show of a run."""
    chance = result.chance
    lead = [
        f"{numbers.plain(len(result.classes))} classes in both",
        f"{counted(result.learned, 'recording')} of a class and sense learned",
        f"{' and '.join(numbers.plain(n) for n in result.tested)} recordings tested",
    ]
    facts = [
        Fact(label=_label(row), value=row.mean, format=numbers.three, note=_note(row, chance), tile=not row.renamed)
        for row in result.rows
    ]
    known = Fact(
        label="Classes learned", value=result.known, format=numbers.three, note=f"of {_others(result)}, test recordings"
    )
    return Overview(
        title=f"Matching {result.seen} with {result.heard}",
        lead=lead,
        facts=[*facts, known],
        tables={
            "shots": Table(
                CAPTION,
                ("Labelled", "Mean", "Lowest", "Highest", "Sets", "Above chance"),
                [_row(row, chance) for row in result.rows],
            )
        },
    )


def _label(row: ShotsResult) -> str:
    if row.renamed:
        return "Names permuted"
    return f"New, {row.name} labelled"


def _note(row: ShotsResult, chance: float | None) -> str:
    words = f"of the choices right; chance {numbers.three(chance)}"
    if len(row.values) > 1:
        low, high = (numbers.three(end) for end in (min(row.values), max(row.values)))
        words += f"; {low} to {high} over {len(row.values)} sets of new classes"
    return words


def _others(result: MatchResult) -> int:
    return len(result.classes) - len(result.new[0]) if result.new else 0


def _row(row: ShotsResult, chance: float | None) -> tuple[str, ...]:
    if not row.values or chance is None:
        return row.name, "", "", "", "0", ""
    above = sum(value > chance for value in row.values)
    spots = (row.mean, min(row.values), max(row.values))
    return row.name, *(numbers.three(spot) for spot in spots), str(len(row.values)), str(above)
