"""Elements of SVG and HTML, every value escaped; the inside of a chart; round numbers for its axes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH = 440.0


@dataclass(frozen=True)
class Box:
    """Inside of a chart, and the range of its data."""

    left: float
    top: float
    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def foot(self) -> float:
        return self.top + self.height

    def across(self, value: float) -> float:
        low, high = self.x
        return round(self.left + self.width * (value - low) / (high - low), 2)

    def down(self, value: float) -> float:
        low, high = self.y
        return round(self.top + self.height * (1 - (value - low) / (high - low)), 2)


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """Return `<tag attributes>children</tag>`. Text is escaped, an attribute that is None is left out.

    Attributes are spelled as arguments can be: `text_anchor`, `class_`.
    """
    words = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{tag}{words}>{Markup('').join(map(escape, children))}</{tag}>")


def picture(height: float, words: str, parts: Iterable[object], *, width: float = WIDTH) -> Markup:
    """Return a chart that fills its column; a screen reader reads `words` in its place.

    A chart of another width than `WIDTH` has a class, so that the page can keep its text at the size of the others.
    """
    if width == WIDTH:
        kind = None
    elif width > WIDTH:
        kind = "wide"
    else:
        kind = "small"
    return element("svg", *parts, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=words, class_=kind)


def label(x: float, y: float, words: str, anchor: str = "start", kind: str | None = None) -> Markup:
    return element("text", words, x=round(x, 2), y=round(y, 2), text_anchor=anchor, class_=kind)


def rule(x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def dot(x: float, y: float, radius: float, style: str) -> Markup:
    return element("circle", cx=x, cy=y, r=radius, style=style)


def rect(x: float, y: float, width: float, height: float, style: str, *, radius: float | None = None) -> Markup:
    size = {"width": round(width, 2), "height": round(height, 2)}
    return element("rect", x=round(x, 2), y=round(y, 2), **size, rx=radius, style=style)


def nice(low: float, high: float, about: int = 5) -> list[float]:
    """Return about that many round numbers from `low` to `high`."""
    if not high > low:
        return [low]
    # The step of 1, 2 or 5 times a power of ten that is nearest to an even division.
    rough = (high - low) / about
    scale = 10.0 ** math.floor(math.log10(rough))
    step = min((m * scale for m in (1, 2, 5, 10)), key=lambda s: abs(math.log(s / rough)))
    # The slack admits an end that rounding puts just outside.
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def time_unit(duration: float) -> tuple[float, str]:
    """Return the factor from seconds and the name of a time axis: ms below 2 s, else s."""
    return (1e3, "time, ms") if duration < 2 else (1.0, "time, s")
