"""Patterns of layers in text: "gla*3,window" is three layers of `gla` below one of `window`."""

from __future__ import annotations

from collections.abc import Mapping

from ...base.errors import lookup, require


def parse_pattern(text: str, known: Mapping[str, object], option: str) -> tuple[str, ...]:
    """Return the names of a pattern, bottom to top.

    Args:
        known: the names that may stand in it.
        option: the setting that is named in errors.

    Raises:
        NeurosimInputError: an unknown name, or a count that is no integer of at least 1.
    """
    names: list[str] = []
    for part in text.split(","):
        name, star, count = (piece.strip() for piece in part.partition("*"))
        lookup(known, name, option)
        is_count = not star or (count.isdecimal() and int(count) >= 1)
        require(is_count, option, "must repeat kinds by integers of at least 1, as in gla*3,window", text)
        repeats = int(count) if star else 1
        names += [name] * repeats
    return tuple(names)
