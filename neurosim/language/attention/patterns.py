"""Patterns of layers in text: "gla*3,window" is three layers of `gla` below one of `window`; and named stacks."""

from __future__ import annotations

from collections.abc import Mapping

from ...base.errors import lookup, require

# Stacks with a name, layers bottom to top with their options.
PRESETS: Mapping[str, tuple[tuple[str, Mapping[str, object]], ...]] = {
    # Arora et al. 2024, arXiv 2402.18668: keys of 16 channels a head, and a window that is short.
    "based": (
        ("linear", {"feature_map": "based", "key_dim": 64, "conv_size": 3, "use_output_norm": False}),
        ("window", {"window_size": 64}),
    ),
}


def parse_layers(text: str, known: Mapping[str, object], option: str) -> tuple[tuple[str, Mapping[str, object]], ...]:
    """Return the layers of a pattern of kinds and presets, bottom to top, each with the options of its preset.

    Raises:
        NeurosimInputError: as `parse_pattern`.
    """
    layers: list[tuple[str, Mapping[str, object]]] = []
    for name in parse_pattern(text, {**known, **PRESETS}, option):
        layers += PRESETS.get(name, ((name, {}),))
    return tuple(layers)


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
