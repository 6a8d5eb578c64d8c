"""The page of a comparison: a bar for each run in every figure that differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from ...report.charts import PALETTE
from ...report.recordings import Figure
from ...report.svg import WIDTH, label, picture, rect
from ..frame.folder import RunFolder
from .result import ComparedRow, ComparisonResult

ROW = 40.0  # px
MAX_BARS = 12  # runs in a picture; the tables have all


def fill(folder: RunFolder, result: ComparisonResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    labels = [each.label for each in result.compared]
    return {"bars": _figures(labels, result.figures)}


def _figures(labels: Sequence[str], figures: Sequence[ComparedRow]) -> list[Figure]:
    pictures = [(bars_of(labels, row), row.name) for row in figures if row.differs]
    return [(picture, name) for picture, name in pictures if picture is not None]


def bars_of(labels: Sequence[str], row: ComparedRow) -> Markup | None:
    """Return a bar from zero for each run that has a figure; None where such bars cannot show it."""
    return _bars(labels, row) if _has_length(row) else None


def _has_length(row: ComparedRow) -> bool:
    """Tell whether bars from zero can show a figure: at least two runs have it, and none is negative."""
    known = [value for value in row.values if value is not None]
    return len(known) > 1 and min(known) >= 0 and max(known) > 0


def _bars(labels: Sequence[str], row: ComparedRow) -> Markup:
    """Return a bar from zero for each run that has the figure."""
    rows = [
        (name, text, value)
        for name, text, value in zip(labels, row.texts, row.values, strict=False)
        if value is not None
    ][:MAX_BARS]
    longest = max(value for value in row.values if value is not None)
    parts: list[Markup] = []
    for k, (name, text, value) in enumerate(rows):
        y = ROW * k
        parts += [
            label(6, y + 16, words=name, anchor="start", kind="title"),
            label(WIDTH - 6, y + 16, text, "end"),
            rect(6, y + 22, width=max((WIDTH - 12) * value / longest, 1.0), height=10, style=f"fill:{PALETTE[0]}"),
        ]
    words = "; ".join(f"{name}: {text}" for name, text, _ in rows)
    return picture(ROW * len(rows) + 4, f"{row.name}. {words}", parts)
