"""The page of a run that matches two senses: the shares of right choices of all sets of new classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...report import charts
from ...report.charts import PALETTE, Curve
from ...report.recordings import Figure
from ..frame.folder import RunFolder
from .result import MatchResult


def fill(folder: RunFolder, result: MatchResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    return {"shares": _shares(result)}


def _shares(result: MatchResult) -> list[Figure]:
    if len(result.new) < 2:
        return []
    place = np.arange(1.0, len(result.new) + 1)
    series = [
        Curve(f"{row.name} labelled" if not row.renamed else "names permuted", place, np.sort(row.values), colour)
        for row, colour in zip(result.rows, PALETTE, strict=False)
        if row.values
    ]
    words = "Share of right choices of each set of new classes, in ascending order"
    drawn = charts.curves(series, "set of new classes", "right choices", words, y=(0.0, 1.0), width=charts.WIDE)
    return [(drawn, f"Chance is {result.chance:.3g}.")]
