"""The page of a sweep: every headline figure over the first key with numbers, a curve for each point of the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from markupsafe import Markup

from ...report.charts import PALETTE, Curve, curves
from ...report.numbers import number
from ...report.recordings import Figure
from ..comparison.page import bars_of
from ..comparison.result import ComparedRow
from ..frame.folder import RunFolder
from ..frame.settings import assignments
from .overview import overview_of
from .result import SweepResult

MAX_CURVES = len(PALETTE)
DECADES = 20.0  # from this ratio of the largest value to the least on, an axis is logarithmic


def fill(folder: RunFolder, result: SweepResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    failures = [(cell.run, cell.reason) for cell in result.failed]
    return {"pictures": list(_pictures(result)), "failures": failures}


def _pictures(result: SweepResult) -> Iterator[Figure]:
    varied = [k for k, level in enumerate(result.levels) if len(level) > 1 and all(map(_is_number, level))]
    for label in result.headline:
        if varied:
            # The axis names the figure: a caption would repeat it.
            yield _over(result, varied[0], label), ""
        elif any(len(level) > 1 for level in result.levels):
            yield from _bars(result, label)


def _over(result: SweepResult, axis: int, label: str) -> Markup:
    """Return a figure over the values of a key, a dot for each run and a curve through the means of the seeds."""
    levels = sorted(result.levels[axis], key=_value)
    others = list(dict.fromkeys(cell.point[:axis] + cell.point[axis + 1 :] for cell in result.cells))[:MAX_CURVES]
    names = result.keys[:axis] + result.keys[axis + 1 :]
    series = []
    # More curves than colours would not be told apart: sweep.csv has them all.
    for rest, colour in zip(others, PALETTE, strict=False):
        words = ", ".join(f"{key} {value}" for key, value in zip(names, rest, strict=True) if value)
        dots: list[tuple[float, float]] = []
        means: list[tuple[float, float]] = []
        for level in levels:
            cells = result.at((*rest[:axis], level, *rest[axis:]))
            known = [value for cell in cells if (value := cell.figures.get(label)) is not None]
            dots += [(_value(level), value) for value in known]
            if known:
                means.append((_value(level), float(np.mean(known))))
        series += [_curve(words, means, colour, "line"), _curve("", dots, colour, "dots")]
    values = [_value(level) for level in levels]
    log_x = min(values) > 0 and max(values) / min(values) >= DECADES
    words = f"{label} over {result.keys[axis]}"
    return curves(series, result.keys[axis], label, words, log_x=log_x)


def _curve(name: str, points: Sequence[tuple[float, float]], colour: str, kind: str) -> Curve:
    xy = np.array(points, np.float64).reshape(-1, 2)
    return Curve(name=name, x=xy[:, 0], y=xy[:, 1], colour=colour, kind=kind)


def _bars(result: SweepResult, label: str) -> Iterator[Figure]:
    """Yield a bar for each point, of the mean over seeds, where bars from zero can show the figure."""
    table = overview_of(result).tables["points"]
    points = list(dict.fromkeys(cell.point for cell in result.cells))
    values = []
    for point in points:
        known = [value for cell in result.at(point) if (value := cell.figures.get(label)) is not None]
        values.append(float(np.mean(known)) if known else None)
    column = table.heads.index(label)
    row = ComparedRow(name=label, texts=tuple(cells[column] for cells in table.rows), values=tuple(values))
    shown = bars_of([", ".join(point) for point in points], row)
    if shown is not None:
        yield shown, label


def _value(text: str) -> float:
    """Return the number of a value of the grid."""
    value = number(assignments([f"value={text}"])["value"])
    return float("nan") if value is None else value


def _is_number(text: str) -> bool:
    return not np.isnan(_value(text))
