"""The words of rows that are stored in GROUPS, by delay: see `kernels.engine.clocked.groups`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kernels.engine.clocked import row_encoders as rows
from ...synapses import Rows
from .share import ProcessShare

# Words beyond the last that prefetches reach.
BEYOND = 64


def rooms(
    chunks: Sequence[tuple[int, int]], synapses: Sequence[int], groups: Sequence[int], *, wide: bool
) -> dict[tuple[int, int], NDArray[Any]]:
    """Return memory for the words of each chunk of sources, at least as many as it takes.

    It is one array: numpy asks for large pages for large arrays only, and groups, each in another row, are read in two
    thirds of the time from them.

    Args:
        synapses, groups: their numbers in each chunk.
        wide: for float64.
    """
    sizes = [n + g + BEYOND + (n // 4 + min(n, g) if wide else 0) for n, g in zip(synapses, groups, strict=True)]
    whole, ends = np.empty(sum(sizes), np.uint64 if wide else np.uint32), np.cumsum(sizes)
    return {chunk: whole[end - size : end] for chunk, size, end in zip(chunks, sizes, ends, strict=True)}


def nominal_words(synapses: int, groups: int, *, wide: bool) -> int:
    """Return the number of words of a chunk, as if the targets of wide groups filled theirs up."""
    return synapses + ((synapses + 3) // 4 if wide else 0) + groups + BEYOND


def write_groups(
    made: Sequence[tuple[Rows, NDArray[Any], NDArray[np.uint16] | None]],
    wheres: Sequence[tuple[int, int, int]],
    share: ProcessShare,
    longest: int,
    unit: float,
    starts: NDArray[np.int64],
    room: NDArray[Any] | None,
) -> NDArray[Any]:
    """Return the words of the rows of a chunk, written.

    Args:
        made: rows, weights (one, or one for each synapse) and delays of each projection, those of the share.
        wheres: part, shift and offset of the target of each.
        longest: delay in steps.
        unit: of the weights; 0 for wide groups, which have them as they are.
        starts: [pages of the share, sources] receives the address of each row, 0 for none.
        room: for the words; None: make some.
    """
    layout, (begin, end), wide = share.layout, share.pages, unit == 0
    # Pages are counted from the first of this share.
    before = begin * layout.page_blocks
    wheres = [(part, shift - before * part, offset - before * part) for part, shift, offset in wheres]
    counts = np.zeros((starts.shape[1], (end - begin) * (longest + 1)), np.int64)
    for (part, shift, _), (r, _, delays) in zip(wheres, made, strict=True):
        rows.count_groups(r.offsets, r.targets, delays, part, shift, layout.page_blocks, longest, counts)
    if room is None:
        records = int(counts.sum() + (((counts + 3) // 4).sum() if wide else 0))
        groups = counts.shape[0] * (end - begin) * longest
        room = np.empty(records + groups + BEYOND, np.uint64 if wide else np.uint32)
    places, mine = np.empty_like(counts), np.empty(starts.shape, np.int64)
    rows.open_groups(counts, longest, mine, room.ctypes.data, room, places)
    starts[:] = mine
    for where, (r, weights, delays) in zip(wheres, made, strict=True):
        given = r.offsets, r.targets, weights, delays, *where, layout.block_slots, layout.page_blocks, longest
        if len(r.targets) and wide:
            rows.fill_wide_groups(*given, places, counts, room, room.view(np.float64), room.view(np.uint16))
        elif len(r.targets):
            rows.fill_groups(*given, unit, places, counts, room)
    return room
