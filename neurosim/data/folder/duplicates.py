"""Recordings that occur in two classes of a folder."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...base.raw import printable
from ..spikes import Spikes
from .items import Item


def remark_on_duplicates(root: Path, read: Sequence[Spikes], items: Sequence[Item]) -> str:
    """Return in a sentence that recordings of different classes have the same events; "" where none do.

    Recordings without events are left out. Times count from the first event, in us, for formats differ in their clocks.
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for k, spikes in enumerate(read):
        if len(spikes):
            by_length[len(spikes)].append(k)
    alike: dict[str, list[int]] = defaultdict(list)
    for places in by_length.values():
        # Only recordings of one length are looked at event by event.
        if _classes(places, items) > 1:
            for k in places:
                alike[_digest(read[k])].append(k)
    twice = [places for places in alike.values() if _classes(places, items) > 1]
    if not twice:
        return ""
    first = twice[0][0]
    second = next(k for k in twice[0] if items[k].label != items[first].label)
    names = [printable(items[k].path.relative_to(root).as_posix()) for k in (first, second)]
    others = f" (and {len(twice) - 1} other recordings do)" if len(twice) > 1 else ""
    return f"{names[0]} and {names[1]} have the same events in two classes{others}; remove the one of the wrong class"


def _classes(places: Sequence[int], items: Sequence[Item]) -> int:
    """Return the number of classes of some items."""
    return len({items[k].label for k in places})


def _digest(spikes: Spikes) -> str:
    times = np.rint((spikes.times - spikes.times[0]) * 1e6).astype(np.int64)
    events = np.stack([times, *spikes.coordinates()]).astype(np.int64)
    return hashlib.sha256(events.tobytes()).hexdigest()
