"""Pieces of one recording among the items of a folder, by the names of their files."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from .items import Item

# Name of the group that says which recording an item is a piece of.
RECORDING = "recording"
# A stem that ends in a number, with a word for a piece in front of it or not: cup_s1_03, walk-part2.
NUMBERED = re.compile(r"^(?P<recording>.*?)[_\-. ]*(?:part|piece|segment|seg|chunk|clip|slice|window|win)?[_\-. ]*\d+$")
MIN_RECORDINGS = 2  # of each class, where some can be set apart


def with_recordings(items: Sequence[Item]) -> tuple[Item, ...]:
    """Return the items with the group `recording`, where their names show that they are pieces of recordings.

    Names show it where they differ in a last number alone within each of at least two recordings of every class, and
    most recordings have several pieces: `cup/s1_01.raw`, `cup/s1_02.raw`, `cup/s2_01.raw`. Items that have groups
    already, from a file of labels, are left as they are.
    """
    if any(item.groups or item.index is not None for item in items):
        return tuple(items)
    names = [_recording_of(item) for item in items]
    pieces: Mapping[tuple[str, str], list[int]] = defaultdict(list)
    recordings: Mapping[str, set[str]] = defaultdict(set)
    for k, (item, name) in enumerate(zip(items, names, strict=True)):
        pieces[item.label, name].append(k)
        recordings[item.label].add(name)
    # Numbers at the end of names are common: most recordings must have several pieces before they mean pieces.
    several = sum(len(numbers) > 1 for numbers in pieces.values())
    is_clear = all(names) and 2 * several > len(pieces)
    if not is_clear or min(map(len, recordings.values())) < MIN_RECORDINGS:
        return tuple(items)
    return tuple(
        replace(item, groups={RECORDING: f"{item.label}/{name}"}) for item, name in zip(items, names, strict=True)
    )


def _recording_of(item: Item) -> str:
    """Return the name of the recording that an item may be a piece of; "" where its name ends in no number."""
    match = NUMBERED.match(item.path.stem)
    return match["recording"] if match else ""


def doubt_of(items: Sequence[Item], split: Sequence[str]) -> str:
    """Return in a sentence that pieces of one recording lie in two splits; "" where none do."""
    places: dict[str, set[str]] = defaultdict(set)
    for item, own in zip(items, split, strict=True):
        if RECORDING in item.groups:
            places[item.groups[RECORDING]].add(own)
    both = [name for name, splits in places.items() if len(splits) > 1]
    if not both:
        return ""
    step = f'data.options.by = "{RECORDING}" keeps them together'
    if items[0].split is not None:
        step = "the accuracy is of recordings that are known in part"
    return (
        f"by their names, {len(items)} files are pieces of {len(places)} recordings, and pieces of {len(both)}, e.g. "
        f"{both[0]}, lie in two splits; {step}"
    )
