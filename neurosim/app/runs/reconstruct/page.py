"""The page of a reconstruction: the series and the free orbit by region, and the graph of regions."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ...report import charts
from ...report.charts import PALETTE, Curve
from ...report.recordings import Figure
from ...report.svg import WIDTH, dot, element, label, picture
from ..frame.folder import RunFolder
from .result import ORBIT, ReconstructResult

# Sizes of the graph, px.
HEIGHT = 300.0
RING = 95.0
LARGEST = 30.0
# Share of the steps from a region below which an arrow is not drawn.
RARE = 5e-4


def fill(folder: RunFolder, result: ReconstructResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    return {"orbits": _orbits(folder.path / ORBIT, result), "graph": _graph(result)}


def _orbits(path: Path, result: ReconstructResult) -> list[Figure]:
    """Return the series and the orbit, the first channel across and the last one down; over time if there is one."""
    if not path.is_file() or not result.names:
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    first = result.names[0]
    last = result.names[-1]
    region = _cells(rows, "region")
    if first == last:
        step = _cells(rows, "step")
        series = [
            Curve("series", step, _cells(rows, f"series_{first}"), "var(--faint)"),
            Curve("free orbit", step, _cells(rows, f"orbit_{first}"), PALETTE[0]),
        ]
        return [(charts.curves(series, "step", first, "series and free orbit", width=charts.WIDE), "")]
    true = [
        Curve(
            name="",
            x=_cells(rows, f"series_{first}"),
            y=_cells(rows, f"series_{last}"),
            colour="var(--faint)",
            kind="dots",
        )
    ]
    x = _cells(rows, f"orbit_{first}")
    y = _cells(rows, f"orbit_{last}")
    free = [
        Curve(name=result.symbol(k), x=x[region == k], y=y[region == k], colour=PALETTE[i % len(PALETTE)], kind="dots")
        for i, k in enumerate(result.regions)
    ]
    # The same axes, so that the shapes can be compared.
    everything = (np.concatenate([true[0].x, x]), np.concatenate([true[0].y, y]))
    across = (float(everything[0].min()), float(everything[0].max()))
    down = (float(everything[1].min()), float(everything[1].max()))
    words = f"{last} against {first}"
    return [
        (charts.curves(true, first, last, f"series: {words}", x=across, y=down), "The series."),
        (charts.curves(free, first, last, f"free orbit: {words}", x=across, y=down), "The free orbit, by region."),
    ]


def _graph(result: ReconstructResult) -> list[Figure]:
    """Return the graph of regions: circles by their share of the steps, arrows by shares of the steps from each."""
    regions = result.regions
    if not regions:
        return []
    places = {region: _place(i, len(regions)) for i, region in enumerate(regions)}
    parts: list[Markup] = []
    for one in regions:
        for other in regions:
            share = result.transitions[one][other]
            if one != other and share > RARE:
                parts += _arrow(places[one], places[other], share)
    for i, region in enumerate(regions):
        x, y = places[region]
        radius = max(8.0, LARGEST * math.sqrt(result.visits[region]))
        parts.append(dot(x, y, radius, f"fill:{PALETTE[i % len(PALETTE)]};opacity:.8"))
        parts.append(_name(x, y, radius, f"{result.symbol(region)}: {result.visits[region]:.3f}"))
    words = f"graph of {len(regions)} regions"
    note = "Circles: share of all steps; arrows: share of the steps from a region that lead to another."
    return [(picture(HEIGHT, words, parts), note)]


def _name(x: float, y: float, radius: float, words: str) -> Markup:
    """Return the words beside a circle, on the side where no arrows are: away from the middle of the graph."""
    away = x - WIDTH / 2
    if abs(away) > RING / 4:
        side = math.copysign(radius + 6, away)
        return label(x + side, y + 4, words, "start" if away > 0 else "end")
    if y > HEIGHT / 2:
        return label(x, y + radius + 14, words, "middle")
    return label(x, y - radius - 5, words, "middle")


def _place(i: int, count: int) -> tuple[float, float]:
    angle = 2 * math.pi * i / count - math.pi / 2
    return WIDTH / 2 + 1.5 * RING * math.cos(angle), HEIGHT / 2 + 10 + RING * math.sin(angle)


def _arrow(one: tuple[float, float], other: tuple[float, float], share: float) -> list[Markup]:
    """Return an arrow between the circles, beside the one in the other direction, with its share."""
    # Places are complex numbers: adding moves, and a factor of 1j turns.
    first = complex(*one)
    last = complex(*other)
    along = (last - first) / abs(last - first)
    beside = 1j * along
    start = first + LARGEST * along + 6 * beside
    tip = last - LARGEST * along + 6 * beside
    back = tip - 8 * along
    corners = (tip, back + 4 * beside, back - 4 * beside)
    points = " ".join(f"{corner.real:.1f},{corner.imag:.1f}" for corner in corners)
    # Nearer to its start, so that shares of arrows that cross do not lie on each other.
    words = start + (tip - start) / 3 + 18 * beside
    stroke = "stroke:var(--faint);stroke-width:1.5"
    return [
        element("line", x1=start.real, y1=start.imag, x2=back.real, y2=back.imag, style=stroke),
        element("polygon", points=points, style="fill:var(--faint)"),
        label(words.real, words.imag + 4, f"{share:.3f}", "middle"),
    ]


def _cells(rows: list[dict[str, str]], name: str) -> NDArray[np.float64]:
    return np.array([float(row[name]) for row in rows], np.float64)
