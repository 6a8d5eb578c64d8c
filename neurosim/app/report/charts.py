"""Charts as inline SVG that takes its colours from the page, so light and dark both fit. Sizes in SVG units (px)."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ...base.atomic import write_text
from .axes import FOOT, RIGHT, Floats, draw_axes, draw_x_axis, frame_of, stroke, value_range
from .numbers import number
from .png import data_uri
from .svg import WIDTH, Box, dot, element, label, nice, picture, rect, rule, time_unit

STYLE = Path(__file__).with_name("templates") / "page.css"
WIDE = 960.0  # a chart that has the page's width to itself
BINS = 30
MAX_NAME = 40  # characters of a key that fit beside its mark
MANY_DOTS = 60  # from here on dots are small and half transparent
PALETTE = ("var(--accent)", "var(--on)", "var(--spike)", "var(--good)", "var(--bad)", "var(--off)")


@dataclass(frozen=True)
class Curve:
    """A series of a chart.

    Attributes:
        name: its entry in the key; empty leaves it out.
        x, y: [n] its points.
        colour: CSS.
        kind: "line", "dashed", "dots", or "soft": a thin line behind the others.
    """

    name: str
    x: Floats
    y: Floats
    colour: str = PALETTE[0]
    kind: str = "line"


@dataclass(frozen=True)
class BarGroup:
    """Values of one group of a histogram; a group without a name has no entry in the key."""

    name: str
    values: Floats
    colour: str


@dataclass(frozen=True)
class Panel:
    """One picture of `strips`: its title, pixels, height, and a note at its right."""

    name: str
    pixels: NDArray[np.uint8]
    height: float
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """A row of `ranges`: from `low` to `high`, a dot where they are equal."""

    name: str
    low: float
    high: float
    words: str
    colour: str


def curves(
    series: Sequence[Curve],
    x_name: str,
    y_name: str,
    words: str,
    *,
    x: tuple[float, float] | None = None,
    y: tuple[float, float] | None = None,
    log_x: bool = False,
    width: float = WIDTH,
) -> Markup:
    """Return a chart of series on common axes.

    Points that are not finite, or not positive on a logarithmic axis, are left out. An axis of integers has ticks at
    integers alone. Among equal series all but the first are dashed, and the key says so.

    Args:
        words: text for screen readers.
        x, y: range of an axis; None fits the points, the vertical one from 0 on.
    """
    series = _told_apart(series)
    placed = [_placed(curve, log_x) for curve in series]
    if placed:
        points = np.concatenate([np.stack(p, axis=1) for p in placed])
    else:
        points = np.empty((0, 2))
    across = x or value_range(points[:, 0])
    down = y or value_range(points[:, 1], from_zero=True)
    # The key takes lines above the chart, so that the box depends on the names.
    box, key = frame_of([(c.name, c.colour, c.kind) for c in series], across, down, width)
    whole = bool((points[:, 0] % 1 == 0).all()), bool((points[:, 1] % 1 == 0).all())
    parts = [*draw_axes(box, x_name, y_name, log_x=log_x, whole=whole), *key]
    # SVG paints in order: soft curves come first and lie behind the others.
    for curve, (xs, ys) in sorted(zip(series, placed, strict=True), key=lambda pair: pair[0].kind != "soft"):
        parts += _drawn(curve, box, xs, ys)
    return picture(box.foot + FOOT, words, parts, width=width)


def regions(
    x: Sequence[float],
    y: Sequence[float],
    names: Sequence[Sequence[str]],
    x_name: str,
    y_name: str,
    words: str,
) -> Markup:
    """Return a map: a rectangle at each point of a plane, coloured by its name.

    Args:
        x, y: places on the axes, at equal distances.
        names: [y][x].
        words: text for screen readers.
    """
    known = list(dict.fromkeys(name for row in names for name in row))
    colours = {name: PALETTE[k % len(PALETTE)] for k, name in enumerate(known)}
    # Half a step around the first and the last point.
    half_x = (x[-1] - x[0]) / max(len(x) - 1, 1) / 2 or 0.5
    half_y = (y[-1] - y[0]) / max(len(y) - 1, 1) / 2 or 0.5
    across = (x[0] - half_x, x[-1] + half_x)
    down = (y[0] - half_y, y[-1] + half_y)
    box, key = frame_of([(name, colours[name], "box") for name in known], across, down, WIDTH)
    cell = (box.width / len(x), box.height / len(y))
    parts = []
    for place_y, row in zip(y, names, strict=True):
        for place_x, name in zip(x, row, strict=True):
            corner = (box.across(place_x - half_x), box.down(place_y + half_y))
            parts.append(rect(*corner, *cell, f"fill:{colours[name]};opacity:.6"))
    parts += [*draw_axes(box, x_name, y_name), *key]
    return picture(box.foot + FOOT, words, parts)


def over_time(
    series: Sequence[Curve],
    duration: float,
    y_name: str,
    words: str,
    *,
    y: tuple[float, float] | None = None,
    width: float = WIDTH,
) -> Markup:
    """Return curves over time (x in seconds) from 0 to `duration`."""
    factor, x_name = time_unit(duration or 1.0)
    scaled = [Curve(name=c.name, x=factor * c.x, y=c.y, colour=c.colour, kind=c.kind) for c in series]
    return curves(scaled, x_name, y_name, words, x=(0.0, factor * (duration or 1.0)), y=y, width=width)


def histograms(
    groups: Sequence[BarGroup],
    x_name: str,
    words: str,
    *,
    x: tuple[float, float] | None = (0.0, 1.0),
    counted: str | None = None,
) -> Markup:
    """Return the histograms of groups over one another, half transparent, in 30 equal bins of `x`.

    Args:
        x: range of the axis; None is from 0 to the largest value.
        counted: name of the vertical axis if it shows counts; None shows the share of each group.
    """
    low, high = x or (0.0, max((float(g.values.max(initial=0.0)) for g in groups), default=0.0) or 1.0)
    counts = [np.histogram(g.values, bins=BINS, range=(low, high))[0] for g in groups]
    if counted:
        heights = counts
    else:
        heights = [c / max(len(g.values), 1) for c, g in zip(counts, groups, strict=True)]
    top = max((float(h.max(initial=0.0)) for h in heights), default=0.0) or 1.0
    # A twentieth of room above the highest bar.
    box, key = frame_of([(g.name, g.colour, "box") for g in groups], (low, high), (0.0, top * 1.05), WIDTH)
    parts = [*draw_axes(box, x_name, counted or "share of the group", whole=(False, counted is not None)), *key]
    opacity = "" if len(groups) == 1 else ";opacity:.6"
    for group, values in zip(groups, heights, strict=True):
        for k, value in enumerate(values):
            if value:
                y = box.down(float(value))
                # A gap of 1 px between bars: half on each side.
                at = box.across(low + (high - low) * k / BINS) + 0.5
                style = f"fill:{group.colour}{opacity}"
                parts.append(rect(at, y, box.width / BINS - 1, box.foot - y, style, radius=1.5))
    return picture(box.foot + FOOT, words, parts)


def strips(panels: Sequence[Panel], duration: float, words: str, *, width: float = WIDTH) -> Markup:
    """Return pictures one above the other on one time axis: rasters, channels."""
    parts: list[Markup] = []
    top = 16.0
    gap = 26.0
    inside = width - RIGHT
    factor, name = time_unit(duration or 1.0)
    span = (0.0, factor * (duration or 1.0))
    # Pictures have no vertical axis: their box is as high as the pixels, y from 0 to 1.
    for panel in panels:
        box = Box(left=0, top=top, width=inside, height=panel.height, x=span, y=(0.0, 1.0))
        size = {"x": 0, "y": top, "width": inside, "height": panel.height, "preserveAspectRatio": "none"}
        parts += [
            label(0, top - 5, words=panel.name, anchor="start", kind="title"),
            label(inside, top - 5, panel.note, "end"),
            *(rule(box.across(t), top, box.across(t), box.foot) for t in nice(*span)),
            element("image", **size, href=data_uri(panel.pixels), style="image-rendering:pixelated"),
        ]
        top += panel.height + gap
    foot = top - gap + 3
    parts += draw_x_axis(Box(left=0, top=foot - 1, width=inside, height=1, x=span, y=(0, 1)), name)
    return picture(foot + FOOT, words, parts, width=width)


def ranges(bars: Sequence[Bar], tick: Callable[[float], str], words: str) -> Markup:
    """Return rows on a logarithmic axis: a dot each, or a bar where there is a range. All ends must be positive."""
    low = math.floor(math.log10(min(b.low for b in bars)) - 0.2)
    high = max(math.ceil(math.log10(max(b.high for b in bars)) + 0.2), low + 1)
    row = 44.0
    box = Box(left=6, top=6.0, width=WIDTH - 12, height=row * len(bars), x=(low, high), y=(0, 1))
    parts: list[Markup] = []
    # At most about six labels; every decade has its line.
    every = max(1, math.ceil((high - low) / 6))
    for decade in range(low, high + 1):
        x = box.across(decade)
        parts.append(rule(x, box.top, x, box.foot))
        if (decade - low) % every == 0:
            if decade == low:
                anchor = "start"
            elif decade == high:
                anchor = "end"
            else:
                anchor = "middle"
            parts.append(label(x, box.foot + 17, tick(10.0**decade), anchor))
    for k, bar in enumerate(bars):
        y = box.top + row * k
        a = box.across(math.log10(bar.low))
        b = box.across(math.log10(bar.high))
        parts += [
            label(box.left, y + 14, words=bar.name, anchor="start", kind="title"),
            label(box.right, y + 14, bar.words, "end"),
            rule(box.left, y + 29, round((a + b) / 2, 2), y + 29),
            # Round ends reach 6 px beyond: a range of no length is a dot.
            rect(a - 6, y + 23, width=b - a + 12, height=12, style=f"fill:{bar.colour}", radius=6),
        ]
    return picture(box.foot + 24, words, parts)


def interval(value: float, low: float, high: float, reference: float | None, words: str) -> Markup:
    """Return a figure between 0 and 1 with its confidence interval, and a mark at the reference (chance)."""
    box = Box(left=2, top=6.0, width=216, height=6, x=(0.0, 1.0), y=(0.0, 1.0))
    length = max(box.across(high) - box.across(low), 2)
    parts = [
        rect(box.left, y=box.top, width=box.width, height=box.height, style="fill:var(--line)", radius=3),
        rect(
            box.across(low), y=box.top, width=length, height=box.height, style="fill:var(--accent);opacity:.4", radius=3
        ),
        dot(box.across(value), box.top + 3, 5, "fill:var(--accent)"),
    ]
    if reference is not None:
        x = box.across(reference)
        parts.append(element("line", x1=x, x2=x, y1=1, y2=17, style="stroke:var(--soft);stroke-width:2"))
    return picture(18, words, parts, width=220)


def write_picture(path: str | os.PathLike[str], chart: str) -> None:
    """Replace `path` by a chart as an SVG file of its own, in the light colours of the page.

    Raises:
        NeurosimWriteError: the file cannot be written.
    """
    variables = re.search(r":root \{(.*?)\}", STYLE.read_text("utf-8"), re.DOTALL)
    if variables:
        colours = variables.group(1).replace("color-scheme: light dark;", "")
    else:
        colours = ""
    style = (
        f"svg {{ {colours} background: var(--paper); }}"
        "text { font: 11.5px system-ui, sans-serif; fill: var(--soft) }"
        ".grid { stroke: var(--line) } .axis { stroke: var(--faint) }"
    )
    chart = str(chart)  # Markup would escape the text that is inserted
    start = chart.index(">") + 1
    head = chart[:start].replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg" width="920"', 1)
    # Room around it: the last labels of the axes stand half outside.
    head = re.sub(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', _padded, head)
    write_text(path, f"{head}<style>{style}</style>{chart[start:]}\n")


def column(rows: Iterable[object], key: str) -> Floats:
    """Return [rows] one field of each row, NaN where it has no number."""
    values = [number(getattr(row, key)) for row in rows]
    return np.array([math.nan if value is None else value for value in values], np.float64)


def _padded(size: re.Match[str]) -> str:
    width = float(size.group(1))
    height = float(size.group(2))
    return f'viewBox="-10 -8 {width + 20:g} {height + 14:g}"'


def _told_apart(series: Sequence[Curve]) -> list[Curve]:
    """Return the series; one that coincides with an earlier one is dashed, and the key says so."""
    distinct: list[Curve] = []
    for curve in series:
        same = next((each for each in distinct if curve.name and each.name and _coincide(curve, each)), None)
        if same is None:
            distinct.append(curve)
            continue
        name = f"{curve.name} (the same as {same.name})"
        if len(name) > MAX_NAME:
            name = f"{curve.name} (the same)"
        distinct.append(Curve(name=name, x=curve.x, y=curve.y, colour=curve.colour, kind="dashed"))
    return distinct


def _coincide(one: Curve, other: Curve) -> bool:
    same = np.array_equal(one.x, other.x, equal_nan=True) and np.array_equal(one.y, other.y, equal_nan=True)
    return same and len(one.x) > 1 and "dots" not in (one.kind, other.kind)


def _placed(curve: Curve, log_x: bool) -> tuple[Floats, Floats]:
    """Return the points of a curve on their axes, logarithms where the horizontal one is logarithmic."""
    x, y = (np.asarray(values, np.float64) for values in (curve.x, curve.y))
    # A logarithmic axis has no place for 0 and below.
    good = np.isfinite(x) & np.isfinite(y) & ((x > 0) | (not log_x))
    across = np.log10(x[good]) if log_x else x[good]
    return across, y[good]


def _drawn(curve: Curve, box: Box, xs: Floats, ys: Floats) -> list[Markup]:
    points = [(box.across(float(x)), box.down(float(y))) for x, y in zip(xs, ys, strict=True)]
    if curve.kind == "dots" or len(points) == 1:  # a line needs two
        few = len(points) <= MANY_DOTS
        radius = 3.2 if few else 1.6
        opacity = "" if few else ";opacity:.5"
        return [dot(x, y, radius, f"fill:{curve.colour}{opacity}") for x, y in points]
    places = " ".join(f"{x},{y}" for x, y in points)
    return [element("polyline", points=places, style=stroke(curve.colour, curve.kind))]
