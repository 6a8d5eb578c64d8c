"""The page of an experiment on an associative memory: lines of theory, dots of simulations."""

from __future__ import annotations

from collections.abc import Mapping

from ....report import charts
from ....report.charts import PALETTE, Curve, column
from ....report.recordings import Figure
from ...frame.folder import RunFolder
from .result import AssociativeResult


def fill(folder: RunFolder, result: AssociativeResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    return {"figures": [*_curves(result), *_maps(result)]}


def _maps(result: AssociativeResult) -> list[Figure]:
    drawn = []
    for each in result.maps:
        words = f"phases by {each.x_name} and {each.y_name}"
        drawn.append((charts.regions(each.x, each.y, each.names, each.x_name, each.y_name, words), f"{each.title}."))
    return drawn


def _curves(result: AssociativeResult) -> list[Figure]:
    """Return the chart of an experiment: theory as lines, simulations as dots."""
    if not result.points:
        return []
    series = []
    for k, name in enumerate(dict.fromkeys(point.series for point in result.points)):
        points = [point for point in result.points if point.series == name]
        colour = PALETTE[k % len(PALETTE)]
        x = column(points, "x")
        simulated = column(points, "simulated")
        if points[0].theory is None:
            # Without a theory dots of several curves could not be told apart.
            series.append(Curve(name=name, x=x, y=simulated, colour=colour, kind="dashed"))
        else:
            series.append(Curve(name, x, column(points, "theory"), colour))
        series.append(Curve(name="", x=x, y=simulated, colour=colour, kind="dots"))
    words = f"{result.y_name} against {result.x_name}"
    drawn = charts.curves(series, result.x_name, result.y_name, words, log_x=result.log_x, width=charts.WIDE)
    return [(drawn, f"Lines: theory; dots: means over {result.seeds} seeds; dashed: simulations without a theory.")]
