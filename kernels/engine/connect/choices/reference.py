"""Choices of some out of many, drawn one by one in Python: the specification."""

from __future__ import annotations

from collections.abc import Iterator

from ....tools.random import threefry_reference

# Choices out of so many take one word of 32 bits each.
NARROW = 1 << 16


def picks_reference(key: int, chooser: int, among: int) -> Iterator[int]:
    """Specify `refill`: an endless stream of choices out of range(among).

    Up to 65,536 a word of 32 bits makes one (off by less than 2^-16 of its probability), beyond that two words do.
    """
    draw = 0
    while True:
        a, b, c, d = threefry_reference((chooser, 0, draw, 0), (key & 0xFFFFFFFF, key >> 32, 0, 0))
        if among <= NARROW:
            yield from (word * among >> 32 for word in (a, b, c, d))
        else:
            for high, low in ((a, b), (c, d)):
                # 53 bits: all that a float64 between 0 and 1 holds.
                share = ((high << 32 | low) // 2**11 + 0.5) / 2**53
                yield int(share * among)
        draw += 1


def choose_reference(key: int, chooser: int, among: int, wanted: int, with_replacement: bool, skip: int) -> list[int]:
    """Specify `choose`, whose choices it returns sorted."""
    eligible = among - (0 <= skip < among)
    inverted = not with_replacement and wanted * 2 > eligible
    chosen: list[int] = []
    picks = picks_reference(key, chooser, among)
    while len(chosen) < (eligible - wanted if inverted else wanted):
        j = next(picks)
        if j != skip and (with_replacement or j not in chosen):
            chosen.append(j)
    if inverted:
        return [j for j in range(among) if j not in chosen and j != skip]
    return sorted(chosen)
