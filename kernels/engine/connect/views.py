"""Groups of numbers that the makers of rows take."""

from __future__ import annotations

from typing import NamedTuple


class RowRange(NamedTuple):
    """Rows that are made, and the part of them that is wanted; half-open."""

    first: int
    """The first source."""
    last: int
    """The source after the last."""
    low: int
    """The first target."""
    high: int
    """The target after the last."""


class DistanceRule(NamedTuple):
    """Probability of a pair at distance d: scale * exp(-(d / length)^exponent)."""

    scale: float
    length: float
    exponent: float
