"""Rows of patterns that ask each pair of source and target, in Python: the specification."""

from __future__ import annotations

import math

import numpy as np

from ....tools.random import threefry_reference
from ..views import DistanceRule


def bernoulli_reference(
    key: int, first: int, last: int, targets: int, probability: float, skip_self: bool
) -> list[list[int]]:
    """Specify `bernoulli_rows`: gaps between neighbours are geometric, drawn by inversion."""
    rows = []
    for source in range(first, last):
        row = []
        j = -1
        draw = 0
        while True:
            a, b, c, d = threefry_reference((source, 0, draw, 0), (key & 0xFFFFFFFF, key >> 32, 0, 0))
            for high, low in ((a, b), (c, d)):
                u = ((high << 32 | low) // 2**11 + 0.5) / 2**53
                j += 1 + math.floor(math.log(u) / math.log1p(-probability))
                if j < targets and not (skip_self and j == source):
                    row.append(j)
            if j >= targets:
                break
            draw += 1
        rows.append(row)
    return rows


def distance_reference(
    key: int,
    first: int,
    last: int,
    sources: np.ndarray,
    targets: np.ndarray,
    rule: DistanceRule,
    skip_self: bool,
) -> list[list[int]]:
    """Specify `distance_rows`: the words of counter (source, target) decide each pair."""
    rows = []
    for source in range(first, last):
        row = []
        for j, position in enumerate(targets):
            distance = math.sqrt(sum((a - b) ** 2 for a, b in zip(sources[source], position, strict=True)))
            high, low, _, _ = threefry_reference((source, 0, j, 0), (key & 0xFFFFFFFF, key >> 32, 0, 0))
            u = ((high << 32 | low) // 2**11 + 0.5) / 2**53
            if u < rule.scale * math.exp(-((distance / rule.length) ** rule.exponent)) and not (
                skip_self and j == source
            ):
                row.append(j)
        rows.append(row)
    return rows
