"""Charts as inline SVG that takes its colours from the page, so light and dark both fit. Sizes in SVG units (px)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .html import Child, Html, el
from .numbers import plain
from .png import data_uri

WIDTH, HEIGHT = 440.0, 210.0
WIDE = 960.0  # of a chart that has the page's width to itself
LEFT, RIGHT, FOOT = 46.0, 8.0, 36.0


@dataclass(frozen=True)
class Box:
    """The inside of a chart and the data range it shows."""

    left: float
    top: float
    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, value: float) -> float:
        low, high = self.x
        return round(self.left + self.width * (value - low) / (high - low), 2)

    def down(self, value: float) -> float:
        low, high = self.y
        return round(self.top + self.height * (1 - (value - low) / (high - low)), 2)


@dataclass(frozen=True)
class Panel:
    """One picture of `strips`: what it shows, its pixels, and its height."""

    name: str
    pixels: NDArray[np.uint8]
    height: float
    note: str = ""


@dataclass(frozen=True)
class Line:
    """A curve of `lines`: one value for each `step` seconds from 0 on; `soft` ones lie thin behind the others."""

    y: NDArray[np.float64]
    step: float
    colour: str
    soft: bool = False


@dataclass(frozen=True)
class Bar:
    """A row of `ranges`: from `low` to `high`, a dot where they are the same."""

    name: str
    low: float
    high: float
    words: str
    colour: str


def nice(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, about that many."""
    if not high > low:
        return [low]
    rough = (high - low) / about
    scale = 10.0 ** math.floor(math.log10(rough))
    step = min((m * scale for m in (1, 2, 5, 10)), key=lambda s: abs(math.log(s / rough)))
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def svg(height: float, words: str, *children: Child, width: float = WIDTH) -> Html:
    """A chart that fills its column; `words` is read out in its place."""
    box = {"viewBox": f"0 0 {width:g} {height:g}", "role": "img", "aria-label": words}
    return el("svg", box, *children)


def label(x: float, y: float, words: str, anchor: str = "start", kind: str | None = None) -> Html:
    return el("text", {"x": round(x, 2), "y": round(y, 2), "text-anchor": anchor, "class": kind}, words)


def rule(x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> Html:
    return el("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "class": kind})


def time_axis(box: Box, foot: float) -> list[Html]:
    """Ticks and their labels in ms below 2 s, in s above."""
    factor, unit = (1e3, "ms") if box.x[1] < 2 else (1.0, "s")
    marks = nice(box.x[0] * factor, box.x[1] * factor)
    parts = [rule(box.left, foot, box.left + box.width, foot, "axis")]
    for mark in marks:
        x = box.across(mark / factor)
        parts += [rule(x, foot, x, foot + 4, "axis"), label(x, foot + 17, plain(mark), "middle")]
    return [*parts, label(box.left + box.width, foot + 32, f"time, {unit}", "end")]


def strips(panels: Sequence[Panel], duration: float, words: str, width: float = WIDTH) -> Html:
    """Pictures one above the other on one time axis: rasters, channels."""
    parts: list[Child] = []
    top, gap = 16.0, 26.0
    span = duration or 1.0
    inside = width - RIGHT
    for panel in panels:
        box = Box(0, top, inside, panel.height, (0.0, span), (0.0, 1.0))
        parts += [
            label(0, top - 5, panel.name, "start", "title"),
            label(inside, top - 5, panel.note, "end"),
            [rule(box.across(t), top, box.across(t), top + panel.height) for t in nice(0, span)],
            el(
                "image",
                {
                    "x": 0,
                    "y": top,
                    "width": inside,
                    "height": panel.height,
                    "preserveAspectRatio": "none",
                    "href": data_uri(panel.pixels),
                },
            ),
        ]
        top += panel.height + gap
    foot = top - gap + 3
    return svg(foot + 36, words, parts, time_axis(Box(0, 0, inside, 1, (0.0, span), (0, 1)), foot), width=width)


def lines(
    curves: Sequence[Line], duration: float, y_name: str, words: str, low: float = 0.0, width: float = WIDTH
) -> Html:
    """Curves over time, from 0 to `duration`, values from `low` to the largest."""
    top = max((float(np.max(c.y)) for c in curves if c.y.size), default=0.0)
    high = top + 0.05 * (top - low) if top > low else low + 1.0
    box = Box(LEFT, 20, width - LEFT - RIGHT, HEIGHT - 20 - FOOT, (0.0, duration or 1.0), (low, high))
    parts: list[Child] = [_levels(box, y_name)]
    for curve in sorted(curves, key=lambda c: not c.soft):
        points = " ".join(f"{box.across((k + 0.5) * curve.step)},{box.down(float(v))}" for k, v in enumerate(curve.y))
        style = f"fill:none;stroke:{curve.colour};stroke-width:{1 if curve.soft else 2.2};stroke-linejoin:round"
        parts.append(el("polyline", {"points": points, "style": style + (";opacity:.35" if curve.soft else "")}))
    return svg(HEIGHT, words, parts, time_axis(box, box.top + box.height), width=width)


def histogram(values: NDArray[np.float64], x_name: str, y_name: str, colour: str, words: str) -> Html:
    """How many values lie in each of up to 30 equal bins from 0 to the largest."""
    top = float(values.max(initial=0.0)) or 1.0
    counts, edges = np.histogram(values, bins=30, range=(0.0, top))
    box = Box(
        LEFT, 20, WIDTH - LEFT - RIGHT, HEIGHT - 20 - FOOT, (0.0, top), (0.0, float(counts.max(initial=1)) * 1.05)
    )
    foot = box.top + box.height
    parts: list[Child] = [_levels(box, y_name)]
    for count, (a, b) in zip(counts, itertools.pairwise(edges), strict=True):
        x, y = box.across(float(a)), box.down(float(count))
        size = {"width": round(max(box.across(float(b)) - x - 1, 0.5), 2), "height": round(foot - y, 2)}
        parts.append(el("rect", {"x": x, "y": y, **size, "rx": 1.5, "style": f"fill:{colour}"}))
    parts.append(rule(box.left, foot, box.left + box.width, foot, "axis"))
    parts += [label(box.across(mark), foot + 17, plain(mark), "middle") for mark in nice(0, top)]
    return svg(HEIGHT, words, parts, label(box.left + box.width, foot + 32, x_name, "end"))


def ranges(bars: Sequence[Bar], tick: Callable[[float], str], words: str) -> Html:
    """Rows on a logarithmic axis: a dot each, or a bar where there is a range. Rows must be positive."""
    low = math.floor(math.log10(min(b.low for b in bars)) - 0.2)
    high = max(math.ceil(math.log10(max(b.high for b in bars)) + 0.2), low + 1)
    row, top = 44.0, 6.0
    box = Box(6, top, WIDTH - 12, row * len(bars), (low, high), (0, 1))
    foot = top + box.height
    parts: list[Child] = []
    every = max(1, math.ceil((high - low) / 6))
    for decade in range(low, high + 1):
        x = box.across(decade)
        parts.append(rule(x, top, x, foot))
        if (decade - low) % every == 0:
            anchor = "start" if decade == low else "end" if decade == high else "middle"
            parts.append(label(x, foot + 17, tick(10.0**decade), anchor))
    for k, bar in enumerate(bars):
        y = top + row * k
        a, b = box.across(math.log10(bar.low)), box.across(math.log10(bar.high))
        parts += [
            label(box.left, y + 14, bar.name, "start", "title"),
            label(box.left + box.width, y + 14, bar.words, "end"),
            rule(box.left, y + 29, round((a + b) / 2, 2), y + 29),
            el(
                "rect",
                {
                    "x": round(a - 6, 2),
                    "y": y + 23,
                    "width": round(b - a + 12, 2),
                    "height": 12,
                    "rx": 6,
                    "style": f"fill:{bar.colour}",
                },
            ),
        ]
    return svg(foot + 24, words, parts)


def interval(value: float, low: float, high: float, reference: float | None, words: str) -> Html:
    """A figure between 0 and 1 with its confidence interval, and a mark for what chance would give."""
    box = Box(2, 0, 216, 1, (0.0, 1.0), (0.0, 1.0))
    y = 9.0
    bar = {"y": y - 3, "height": 6, "rx": 3}
    parts: list[Child] = [
        el("rect", {**bar, "x": box.left, "width": box.width, "style": "fill:var(--line)"}),
        el(
            "rect",
            {
                **bar,
                "x": box.across(low),
                "width": max(round(box.across(high) - box.across(low), 2), 2),
                "style": "fill:var(--accent);opacity:.4",
            },
        ),
        el("circle", {"cx": box.across(value), "cy": y, "r": 5, "style": "fill:var(--accent)"}),
    ]
    if reference is not None:
        x = box.across(reference)
        parts.append(el("line", {"x1": x, "x2": x, "y1": 1, "y2": 17, "style": "stroke:var(--soft);stroke-width:2"}))
    return svg(18, words, parts, width=220)


def _levels(box: Box, name: str) -> list[Html]:
    """Horizontal grid lines with their values, and what they count."""
    parts = [label(0, 11, name)]
    for level in nice(box.y[0], box.y[1], 4):
        y = box.down(level)
        parts += [rule(box.left, y, box.left + box.width, y), label(box.left - 6, y + 4, plain(level), "end")]
    return parts
