"""Data of the section of a confusion matrix; `sections.html` lays it out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from . import numbers

MAX_MISTAKES = 8


class ConfusionCell(NamedTuple):
    """A cell: its text, the depth of its shade as CSS reads it, and its CSS classes."""

    text: str
    shade: str
    kind: str


class ConfusionRow(NamedTuple):
    """The answers for a true class, and its recall in words."""

    name: str
    cells: list[ConfusionCell]
    recall: str


class Confusion(NamedTuple):
    """Rows of true classes; a heading, and the most frequent mistakes as (count, true class, answer)."""

    classes: Sequence[str]
    rows: list[ConfusionRow]
    heading: str
    mistakes: list[tuple[str, str, str]]


def confusion_table(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> Confusion | None:
    """Return the table of a confusion matrix [true][answer]; None if it is not square or not of these classes."""
    if not counts or len(classes) != len(counts) or any(len(row) != len(counts) for row in counts):
        return None
    rows = [_row(k, name, counts[k]) for k, name in enumerate(classes)]
    wrong = [
        (count, classes[k], classes[j])
        for k, row in enumerate(counts)
        for j, count in enumerate(row)
        if count and j != k
    ]
    # Stable: mistakes as frequent as each other stay in the order of classes.
    most_frequent = sorted(wrong, key=lambda mistake: -mistake[0])[:MAX_MISTAKES]
    if wrong:
        total = sum(mistake[0] for mistake in wrong)
        heading = f"{numbers.plain(total)} mistakes, most frequent first"
    else:
        heading = "No mistakes"
    mistakes = [(numbers.plain(count), label, answer) for count, label, answer in most_frequent]
    return Confusion(classes, rows, heading, mistakes)


def _row(k: int, name: str, counts: Sequence[int]) -> ConfusionRow:
    total = sum(counts)
    cells = [_cell(count, count / total if total else 0.0, right=j == k) for j, count in enumerate(counts)]
    recall = numbers.percent(counts[k] / total if total else None, 0)
    return ConfusionRow(name, cells, recall)


def _cell(count: int, share: float, *, right: bool) -> ConfusionCell:
    if not count:
        return ConfusionCell("·", f"{share:.3f}", "zero")
    kind = "" if right else "miss"
    return ConfusionCell(numbers.plain(count), f"{share:.3f}", kind)
