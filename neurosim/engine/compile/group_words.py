"""The words of rows that are stored in GROUPS, by delay: see `kernels.engine.clocked.groups`."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kernels.engine.clocked import row_encoders as rows
from ...network.synapses.base import Rows
from .share import ProcessShare

# Words beyond the last that prefetches reach.
BEYOND = 64


class Room:
    """Memory for the words of all chunks of sources, which several threads may write.

    It is one array: numpy asks for large pages for large arrays only, and groups, each in another row, are read in two
    thirds of the time from them. Words that do not fit into it get arrays of their own.

    Args:
        synapses: their number.
        groups: their number in each chunk.
        wide: for float64.
    """

    def __init__(self, synapses: int, groups: Sequence[int], *, wide: bool) -> None:
        heads = sum(groups)
        size = synapses + heads + BEYOND * len(groups)
        if wide:
            # Four targets fill a word, and the last word of a group may be partly filled.
            size += synapses // 4 + min(synapses, heads)
        self._words: NDArray[Any] = np.empty(size, np.uint64 if wide else np.uint32)
        self._used = 0
        self._lock = Lock()

    def take(self, words: int) -> NDArray[Any]:
        """Return a piece of this many words."""
        with self._lock:
            first = self._used
            end = self._used + words
            if end <= len(self._words):
                self._used = end
                return self._words[first:end]
        return np.empty(words, self._words.dtype)


def nominal_words(synapses: int, groups: int, *, wide: bool) -> int:
    """Return the number of words of a chunk, as if the targets of wide groups filled theirs up."""
    words = synapses + groups + BEYOND
    if wide:
        words += (synapses + 3) // 4
    return words


def write_groups(
    parts: Sequence[tuple[Rows, NDArray[Any], NDArray[np.uint16] | None]],
    target_places: Sequence[rows.TargetPlace],
    share: ProcessShare,
    longest: int,
    unit: float,
    starts: NDArray[np.int64],
    room: Room,
) -> NDArray[Any]:
    """Return the words of the rows of a chunk, written.

    Args:
        parts: rows, weights (one, or one for each synapse) and delays of each projection, in the share.
        target_places: of each projection.
        longest: delay in steps.
        unit: of the weights; 0 for wide groups, whose weights are stored as float64.
        starts: [pages of the share, sources] receives the address of each row, 0 for none.
        room: for the words.
    """
    layout = share.layout
    begin, end = share.pages
    wide = unit == 0
    # Pages are counted from the first of this share.
    before = begin * layout.page_blocks
    in_share = [
        place._replace(shift=place.shift - before * place.part, offset=place.offset - before * place.part)
        for place in target_places
    ]
    no_delays = np.empty(0, np.uint16)
    drawn = [
        rows.DrawnSynapses(r.offsets, r.targets, weights, no_delays if delays is None else delays)
        for r, weights, delays in parts
    ]
    # Three passes: count the synapses of each group, place heads of groups, and fill them.
    counts = np.zeros((starts.shape[1], (end - begin) * (longest + 1)), np.int32)
    for place, synapses in zip(in_share, drawn, strict=True):
        rows.count_groups(synapses, place, longest, counts)
    records = int(counts.sum())
    if wide:
        records += int(((counts + 3) // 4).sum())
    words = room.take(records + counts.shape[0] * (end - begin) * longest + BEYOND)
    places = np.empty(counts.shape, np.int64)
    slot_places = np.empty(counts.shape if wide else (0, 0), np.int64)
    groups = rows.GroupWords(places, slot_places, words)
    addresses = np.empty(starts.shape, np.int64)
    rows.open_groups(counts, longest, addresses, words.ctypes.data, groups)
    starts[:] = addresses
    for place, synapses in zip(in_share, drawn, strict=True):
        if len(synapses.targets) == 0:
            continue
        if wide:
            rows.fill_wide_groups(synapses, place, longest, groups, words.view(np.float64), words.view(np.uint16))
        else:
            rows.fill_groups(synapses, place, longest, unit, groups)
    return words
