"""Row tables joined to one: in a network of many small populations a step would go through one for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import Uncopied
from ...kernels.engine.clocked import deliver
from ...kernels.engine.clocked.row_encoders import flatten, pack
from ..processes import Processes
from .row_table import RowTable
from .share import ProcessShare
from .synapse_sampler import SynapseSampler

# Synapses of a row, on average, up to which it takes less memory to store slots in four bytes than where the row enters
# each block.
SHORT_ROWS = 48
# Targets of a word of 32 slots, on average, from which on rows of one weight are packed into words: from there on they
# take no more memory.
PACKED_TARGETS = 2


@dataclass(frozen=True, eq=False)
class JointRows(Uncopied):
    """Row tables of form SUMS onto one receptor, whose rows follow one another in the order of their additions.

    Attributes:
        tables: the row tables, which keep no rows of their own.
        arrays: array whose address is in a column of `kernels.engine.clocked.deliver`, by column.
        packed: whether targets are bits of words.
    """

    receptor: int
    tables: tuple[RowTable, ...]
    arrays: dict[int, NDArray[Any]]
    packed: bool

    @property
    def rows(self) -> int:
        return len(self.arrays[deliver.STARTS]) - 1


def join_rows(
    share: ProcessShare,
    tables: Sequence[RowTable],
    samplers: Sequence[SynapseSampler],
    real: np.dtype[Any],
    processes: Processes,
) -> tuple[JointRows, ...]:
    """Return the row tables of form SUMS joined by receptor, where small populations are many.

    Tables of long rows stay as they are, and the others are joined up to them, so that no sum gets another order.
    """
    if not share.layout.many:
        return ()
    sums = [table for table in tables if table.form == deliver.SUMS]
    joints = []
    for receptor in sorted({table.receptor for table in sums}):
        onto = [table for table in sums if table.receptor == receptor]
        for short, neighbours in groupby(onto, lambda table: _synapses(table, samplers) <= SHORT_ROWS * _rows(table)):
            if short:
                joints.append(_join(share, list(neighbours), samplers, real, processes))
    return tuple(joints)


def _rows(table: RowTable) -> int:
    return len(table.arrays[deliver.TARGETS])


def _synapses(table: RowTable, samplers: Sequence[SynapseSampler]) -> int:
    """Return the number of synapses in all processes."""
    return sum(samplers[number].synapses for number in table.projections)


def _join(
    share: ProcessShare,
    tables: Sequence[RowTable],
    samplers: Sequence[SynapseSampler],
    real: np.dtype[Any],
    processes: Processes,
) -> JointRows:
    """Return row tables of one receptor as one, and release their own arrays."""
    layout = share.layout
    counts = [_rows(table) for table in tables]
    firsts = np.cumsum([0, *counts])
    parts = np.zeros((len(tables), deliver.PART_COLUMNS), np.int64)
    for part, table, first in zip(parts, tables, firsts[:-1], strict=True):
        part[deliver.PART_SOURCE] = layout.entries[table.source]
        part[deliver.PART_BEGIN_BLOCK] = layout.begins[table.source]
        part[deliver.PART_END_BLOCK] = layout.ends[table.source]
        part[deliver.PART_DELAY] = table.delay
        part[deliver.PART_FIRST] = first
    starts = np.zeros(firsts[-1] + 1, np.int64)
    np.cumsum(np.concatenate([table.arrays[deliver.CUTS][:, -1] for table in tables]), out=starts[1:])
    targets = np.empty(starts[-1], np.uint32)
    own_weights = any(deliver.WEIGHTS in table.arrays for table in tables)
    weights = np.empty(starts[-1] if own_weights else 0, real)
    # Slots of a page are counted from its first.
    blocks = np.arange(share.first, share.last)
    bases = blocks // layout.page_blocks * layout.page_blocks * layout.block_slots
    none = np.zeros(0, np.int64)
    for table, first, count in zip(tables, firsts[:-1], counts, strict=True):
        arrays = table.arrays
        begin = starts[first : first + count]
        addresses = arrays[deliver.TARGETS], arrays.get(deliver.WEIGHTS, none)
        flatten(arrays[deliver.CUTS], *addresses, bases, begin, targets, real.type(table.weight), weights)
        # What the whole network takes, whatever the share.
        synapses = _synapses(table, samplers)
        table.sizes = [8 * count + synapses * (targets.itemsize + own_weights * real.itemsize)]
        table.arrays = {}
        table.memory = []
    joined: dict[int, NDArray[Any]] = {deliver.PARTS: parts, deliver.STARTS: starts, deliver.TARGETS: targets}
    if own_weights:
        joined[deliver.WEIGHTS] = weights
        return JointRows(tables[0].receptor, tuple(tables), joined, packed=False)
    if len({table.weight for table in tables}) > 1:
        joined[deliver.ROW_WEIGHTS] = np.repeat([table.weight for table in tables], counts).astype(real)
    word_starts, words = _packed(starts, targets)
    # Of all processes, which take the same form.
    each = processes.sum(np.diff(word_starts[firsts]))
    packed = bool(PACKED_TARGETS * each.sum() <= sum(_synapses(table, samplers) for table in tables))
    if packed:
        joined |= {deliver.STARTS: word_starts, deliver.TARGETS: words}
        for table, count, size in zip(tables, counts, each.tolist(), strict=True):
            table.sizes = [8 * count + size * words.itemsize]
    return JointRows(tables[0].receptor, tuple(tables), joined, packed)


def _packed(starts: NDArray[np.int64], targets: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return the rows as words of 32 slots: where those of each row begin, and the words."""
    words = np.empty(len(targets), np.uint64)
    word_starts = np.empty(len(starts), np.int64)
    count = pack(targets, starts, words, word_starts)
    return word_starts, words[:count].copy()
