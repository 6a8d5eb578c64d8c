"""Charts of one figure against another: curves, dots, histograms of groups; on a page, or as a picture of their own."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import files
from .html import Child, Html, el
from .numbers import plain, si
from .page import STYLE
from .plots import HEIGHT, LEFT, RIGHT, WIDTH, Box, label, nice, rule, svg

TOP, FOOT, ROW = 24.0, 40.0, 15.0
BINS = 30
SAME = 24.0  # px between the labels of two ticks, at least
PALETTE = ("var(--accent)", "var(--on)", "var(--spike)", "var(--good)", "var(--bad)", "var(--off)")


@dataclass(frozen=True)
class Curve:
    """A series of a chart.

    Attributes:
        name: in the key; empty leaves it out.
        x, y: [n] its points.
        colour: CSS.
        kind: "line", "dashed" or "dots".
    """

    name: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    colour: str = PALETTE[0]
    kind: str = "line"


@dataclass(frozen=True)
class Group:
    """One of the groups of a histogram."""

    name: str
    values: NDArray[np.float64]
    colour: str


def curves(
    series: Sequence[Curve],
    x_name: str,
    y_name: str,
    words: str,
    *,
    y: tuple[float, float] | None = None,
    log_x: bool = False,
    log_y: bool = False,
) -> Html:
    """Series on common axes. Points that are not finite, or not positive on a logarithmic axis, are left out.

    Args:
        words: read out in place of the picture.
        y: range of the vertical axis; None fits the points, from 0 where it is not logarithmic.
    """
    placed = [_placed(curve, log_x, log_y) for curve in series]
    every = np.concatenate([np.stack(p, axis=1) for p in placed]) if placed else np.empty((0, 2))
    across = _range(every[:, 0], log_x)
    down = (y[0], y[1]) if y is not None and not log_y else _range(every[:, 1], log_y, zero=True)
    keyed = [curve for curve in series if curve.name]
    lines = _key_lines(keyed)
    top = TOP + ROW * len(lines)
    box = Box(LEFT, top, WIDTH - LEFT - RIGHT, HEIGHT - TOP - FOOT, across, down)
    parts: list[Child] = [_down(box, y_name, log_y), _across(box, x_name, log_x), _key(lines, top)]
    for curve, (xs, ys) in zip(series, placed, strict=True):
        parts.append(_drawn(curve, box, xs, ys))
    return svg(box.top + box.height + FOOT, words, parts)


def histograms(groups: Sequence[Group], x_name: str, words: str, x: tuple[float, float] = (0.0, 1.0)) -> Html:
    """The share of each group's values in each of 30 equal bins of `x`, groups over one another, half transparent."""
    low, high = x
    shares = [np.histogram(g.values, bins=BINS, range=x)[0] / max(len(g.values), 1) for g in groups]
    most = max((float(s.max(initial=0.0)) for s in shares), default=0.0) or 1.0
    lines = _key_lines([Curve(g.name, np.empty(0), np.empty(0), g.colour, "box") for g in groups])
    top = TOP + ROW * len(lines)
    box = Box(LEFT, top, WIDTH - LEFT - RIGHT, HEIGHT - TOP - FOOT, x, (0.0, most * 1.05))
    foot, width = box.top + box.height, box.width / BINS
    parts: list[Child] = [_down(box, "share of the group", False), _across(box, x_name, False), _key(lines, top)]
    for group, share in zip(groups, shares, strict=True):
        for k, value in enumerate(share):
            if value:
                y = box.down(float(value))
                at = {"x": round(box.across(low + (high - low) * k / BINS) + 0.5, 2), "y": y}
                size = {"width": round(width - 1, 2), "height": round(foot - y, 2)}
                parts.append(el("rect", {**at, **size, "style": f"fill:{group.colour};opacity:.6"}))
    return svg(foot + FOOT, words, parts)


def write_picture(path: str | os.PathLike[str], chart: Html) -> None:
    """Replace `path` by a chart as an SVG file of its own, in the colours of the page in light.

    Raises:
        NeurosimWriteError: as `files.replacing`.
    """
    found = re.search(r":root \{(.*?)\}", STYLE.read_text("utf-8"), re.DOTALL)
    colours = found.group(1).replace("color-scheme: light dark;", "") if found else ""
    style = (
        f":root {{{' '.join(colours.split())} font-family: system-ui, 'Liberation Sans', sans-serif; "
        "background: var(--paper) } text { font-size: 11.5px; fill: var(--soft) } "
        ".title { fill: var(--ink); font-weight: 600 } "
        ".grid { stroke: var(--line) } .axis { stroke: var(--faint) }"
    )
    start = chart.index(">") + 1
    head = chart[:start].replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg" width="920"', 1)
    # Room around it, for the last labels of the axes stand half outside.
    head = re.sub(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', _padded, head)
    files.write_text(path, f"{head}<style>{style}</style>{chart[start:]}\n")


def _padded(size: re.Match[str]) -> str:
    width, height = float(size.group(1)), float(size.group(2))
    return f'viewBox="-10 -8 {width + 20:g} {height + 14:g}"'


def _placed(curve: Curve, log_x: bool, log_y: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The points of a curve on their axes, logarithms where those are logarithmic."""
    x, y = (np.asarray(values, np.float64) for values in (curve.x, curve.y))
    good = np.isfinite(x) & np.isfinite(y) & ((x > 0) | (not log_x)) & ((y > 0) | (not log_y))
    x, y = x[good], y[good]
    return np.log10(x) if log_x else x, np.log10(y) if log_y else y


def _range(values: NDArray[np.float64], log: bool, zero: bool = False) -> tuple[float, float]:
    """What an axis shows: all values; whole decades where it is logarithmic and counts; never nothing."""
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if zero and log:
        low, high = math.floor(low), math.ceil(high)
    elif zero:
        low, high = min(low, 0.0), high * 1.05
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _drawn(curve: Curve, box: Box, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> Child:
    points = [(box.across(float(x)), box.down(float(y))) for x, y in zip(xs, ys, strict=True)]
    if curve.kind == "dots":
        radius = 3.2 if len(points) <= 60 else 1.6
        style = f"fill:{curve.colour}" + ("" if len(points) <= 60 else ";opacity:.5")
        return [el("circle", {"cx": x, "cy": y, "r": radius, "style": style}) for x, y in points]
    dash = ";stroke-dasharray:5 4" if curve.kind == "dashed" else ""
    style = f"fill:none;stroke:{curve.colour};stroke-width:2;stroke-linejoin:round{dash}"
    return el("polyline", {"points": " ".join(f"{x},{y}" for x, y in points), "style": style})


def _down(box: Box, name: str, log: bool) -> list[Html]:
    """Horizontal grid lines with their values, and what they count."""
    parts = [label(0, 12, name)]
    for value, words in _ticks(box.y, log, 4):
        y = box.down(value)
        parts += [rule(box.left, y, box.left + box.width, y), label(box.left - 6, y + 4, words, "end")]
    return parts


def _across(box: Box, name: str, log: bool) -> list[Html]:
    foot = box.top + box.height
    parts = [rule(box.left, foot, box.left + box.width, foot, "axis")]
    last = -math.inf
    for value, words in _ticks(box.x, log, 6):
        x = box.across(value)
        parts.append(rule(x, foot, x, foot + 4, "axis"))
        if x - last >= SAME:
            parts.append(label(x, foot + 17, words, "middle"))
            last = x
    return [*parts, label(box.left + box.width, foot + 33, name, "end")]


def _ticks(ends: tuple[float, float], log: bool, about: int) -> list[tuple[float, str]]:
    """Places on an axis and what stands there: decades (and halves of few decades) where it is logarithmic."""
    if not log:
        return [(value, plain(value)) for value in nice(*ends, about)]
    decades = range(math.floor(ends[0]), math.ceil(ends[1]) + 1)
    steps = (1, 2, 5) if len(decades) <= 3 else (1,)
    every = max(1, math.ceil(len(decades) / (about + 1)))
    found = [(d + math.log10(s), s * 10.0**d) for d in decades[::every] for s in steps]
    return [(at, _short(value)) for at, value in found if ends[0] - 1e-9 <= at <= ends[1] + 1e-9]


def _short(value: float) -> str:
    return si(value, "", 1) if value >= 1 else f"{value:g}" if value >= 1e-3 else f"{value:.0e}".replace("e-0", "e-")


def _key_lines(keyed: Sequence[Curve]) -> list[list[tuple[Curve, float]]]:
    """The key broken into lines: (curve, its place across) in each."""
    lines: list[list[tuple[Curve, float]]] = []
    at = WIDTH
    for curve in keyed:
        width = 36 + 6.4 * len(curve.name)
        if at + width > WIDTH and (not lines or lines[-1]):
            lines.append([])
            at = LEFT
        lines[-1].append((curve, at))
        at += width
    return lines


def _key(lines: Sequence[Sequence[tuple[Curve, float]]], top: float) -> list[Child]:
    parts: list[Child] = []
    for k, line in enumerate(lines):
        y = top - ROW * (len(lines) - k) + 1
        for curve, x in line:
            parts += [_mark(curve, x, y), label(x + 22, y + 4, curve.name)]
    return parts


def _mark(curve: Curve, x: float, y: float) -> Html:
    if curve.kind == "dots":
        return el("circle", {"cx": x + 9, "cy": y, "r": 3.2, "style": f"fill:{curve.colour}"})
    if curve.kind == "box":
        style = f"fill:{curve.colour};opacity:.6"
        return el("rect", {"x": x + 4, "y": y - 5, "width": 10, "height": 10, "style": style})
    dash = ";stroke-dasharray:5 4" if curve.kind == "dashed" else ""
    ends = {"x1": x, "x2": x + 18, "y1": y, "y2": y}
    return el("line", {**ends, "style": f"stroke:{curve.colour};stroke-width:2{dash}"})
