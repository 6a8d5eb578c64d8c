"""Axes of charts, with their ticks and labels, and the key above a chart. Sizes in SVG units (px)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from .numbers import plain, si
from .svg import Box, dot, element, label, nice, rect, rule

HEIGHT = 210.0
# Room around the inside of a chart, for its labels.
LEFT = 46.0
RIGHT = 8.0
TOP = 24.0
FOOT = 40.0
KEY_LINE = 15.0  # height of a line of the key
MIN_GAP = 24.0  # px between the labels of two ticks

Floats = NDArray[np.float64]


def value_range(values: Floats, *, from_zero: bool = False) -> tuple[float, float]:
    """Return the range of an axis that shows all values; never an empty one."""
    if not values.size:
        return 0.0, 1.0
    low = float(values.min())
    high = float(values.max())
    if from_zero:
        low = min(low, 0.0)
        high = high * 1.05
    if high > low:
        return low, high
    # A large number and half more may be one float.
    half = max(0.5, 1e-6 * abs(low))
    return low - half, low + half


def frame_of(
    keys: Sequence[tuple[str, str, str]], x: tuple[float, float], y: tuple[float, float], width: float
) -> tuple[Box, list[Markup]]:
    """Return the inside of a chart, and the key above it, from the (name, colour, kind) of each series."""
    lines: list[list[tuple[float, tuple[str, str, str]]]] = []
    at = width
    for key in keys:
        if key[0]:
            # Room for the mark, and 8.8 px a character: the larger text of small screens, in a wide font.
            length = 36 + 8.8 * len(key[0])
            if at + length > width:
                lines.append([])
                at = LEFT
            lines[-1].append((at, key))
            at += length
    # The inside keeps its height: a key of several lines moves it down.
    top = TOP + KEY_LINE * len(lines)
    parts: list[Markup] = []
    for k, line in enumerate(lines):
        middle = top - KEY_LINE * (len(lines) - k) + 1
        for start, (name, colour, kind) in line:
            parts += [_mark(colour, kind, start, middle), label(start + 22, middle + 4, name)]
    return Box(left=LEFT, top=top, width=width - LEFT - RIGHT, height=HEIGHT - TOP - FOOT, x=x, y=y), parts


def draw_axes(
    box: Box, x_name: str, y_name: str, *, log_x: bool = False, whole: tuple[bool, bool] = (False, False)
) -> list[Markup]:
    """Return the axes and their lines; `whole` is true for x, and for y, where all values are integers."""
    parts = [label(0, 12, y_name)]
    for value, words in _ticks(box.y, log=False, about=4, whole=whole[1]):
        y = box.down(value)
        parts += [rule(box.left, y, box.right, y), label(box.left - 6, y + 4, words, "end")]
    return [*parts, *draw_x_axis(box, x_name, log=log_x, whole=whole[0])]


def draw_x_axis(box: Box, name: str, *, log: bool = False, whole: bool = False) -> list[Markup]:
    parts = [rule(box.left, y1=box.foot, x2=box.right, y2=box.foot, kind="axis")]
    last = -math.inf
    for value, words in _ticks(box.x, log, 5, whole):
        x = box.across(value)
        parts.append(rule(x, y1=box.foot, x2=x, y2=box.foot + 4, kind="axis"))
        if x - last >= MIN_GAP:
            parts.append(label(x, box.foot + 17, words, "middle"))
            last = x
    return [*parts, label(box.right, box.foot + 33, name, "end")]


def _ticks(ends: tuple[float, float], log: bool, about: int, whole: bool = False) -> list[tuple[float, str]]:
    """Return the places on an axis with their labels: decades (1, 2, 5 of few decades) where it is logarithmic."""
    if not log:
        return [(value, _label(value)) for value in nice(*ends, about) if not whole or value % 1 == 0]
    decades = range(math.floor(ends[0]), math.ceil(ends[1]) + 1)
    steps = (1, 2, 5) if len(decades) <= 3 else (1,)
    # Decades are left out before labels overlap.
    every = max(1, math.ceil(len(decades) / (about + 1)))
    ticks = [(d + math.log10(s), s * 10.0**d) for d in decades[::every] for s in steps]
    inside = [(at, _short(value)) for at, value in ticks if ends[0] - 1e-9 <= at <= ends[1] + 1e-9]
    if len(inside) > 1:
        return inside
    # Less than two decades may contain fewer than two such ticks: use round numbers, as on a linear axis.
    return [(math.log10(value), plain(value)) for value in nice(10.0 ** ends[0], 10.0 ** ends[1], 3)]


def _label(value: float) -> str:
    """Return a number that fits left of a vertical axis, at the text size of small screens: up to six characters."""
    return plain(value) if abs(value) < 1e5 else si(value)


def _short(value: float) -> str:
    if value >= 1:
        return si(value, "", 1)
    if value >= 1e-3:
        return f"{value:g}"
    return f"{value:.0e}".replace("e-0", "e-")


def _mark(colour: str, kind: str, x: float, y: float) -> Markup:
    if kind == "dots":
        return dot(x + 9, y, 3.2, f"fill:{colour}")
    if kind == "box":
        return rect(x + 4, y - 5, width=10, height=10, style=f"fill:{colour};opacity:.6")
    return element("line", x1=x, x2=x + 18, y1=y, y2=y, style=stroke(colour, kind))


def stroke(colour: str, kind: str) -> str:
    dash = ";stroke-dasharray:5 4" if kind == "dashed" else ""
    soft = ";opacity:.35" if kind == "soft" else ""
    width = 1 if soft else 2
    return f"fill:none;stroke:{colour};stroke-width:{width};stroke-linejoin:round{dash}{soft}"
