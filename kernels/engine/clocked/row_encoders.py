"""Encoders of rows: synapses as patterns draw them, to the forms that `deliver` reads.

Synapses come for a range of sources, projection by projection, as a compressed sparse matrix of target units (rows
ascending). A row of a path joins those of all projections that share its form: in each block first the targets of the
first projection, then of the next.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...tools.compiled import compiled
from .deliver import LAST_GROUP


class TargetPlace(NamedTuple):
    """Place of the units of a target population among the slots, see `neurosim.engine.compile.layout`."""

    part: int
    """Units in a block."""
    shift: int
    """Units by which the first block starts late."""
    offset: int
    """Slot of the population's first unit in a block."""
    block_slots: int
    """Slots of a block."""
    page_blocks: int
    """Blocks of a page."""


class DrawnSynapses(NamedTuple):
    """Synapses of a projection, of a range of sources."""

    offsets: NDArray[np.int64]
    """[sources + 1]."""
    targets: NDArray[np.int32]
    """[synapses], units."""
    weights: NDArray[Any]
    """[synapses], or one for all, or empty."""
    delays: NDArray[np.uint16]
    """[synapses], steps, or empty."""


class RowColumns(NamedTuple):
    """Columns of the rows of a path, of a range of sources."""

    slots: NDArray[np.uint16]
    """[synapses], targets as slots of their page."""
    weights: NDArray[Any]
    """[synapses], or empty."""
    delays: NDArray[np.uint16]
    """[synapses], or empty."""


class GroupWords(NamedTuple):
    """Words of groups, and how far they are written."""

    places: NDArray[np.int64]
    """[sources, pages * (longest delay + 1)], the word at which each group begins."""
    left: NDArray[np.int64]
    """[as places], the records that are still to be written into each group."""
    words: NDArray[Any]
    """uint32 or, for wide groups, uint64."""


@compiled
def count_blocks(offsets, targets, place, cuts):
    """Count the synapses of row i into cuts[i, target's block + 1]; return the maximum number of equal pairs."""
    most = 0
    for i in range(offsets.size - 1):
        # Targets ascend within a row, so equal ones are neighbours.
        run = 0
        last = np.int64(-1)
        for j in range(offsets[i], offsets[i + 1]):
            target = np.int64(targets[j])
            cuts[i, (target + place.shift) // place.part + 1] += 1
            run = run + 1 if target == last else 1
            last = target
            most = max(most, run)
    return most


@compiled
def sum_blocks(cuts, starts, places):
    """Turn counts into ends: cuts[i, b + 1] becomes that of blocks 0 to b; places[i, b] = starts[i] + cuts[i, b]."""
    for i in range(cuts.shape[0]):
        for b in range(cuts.shape[1] - 1):
            cuts[i, b + 1] += cuts[i, b]
            places[i, b] = starts[i] + cuts[i, b]


@compiled
def page_slot(place, target):
    """Return the slot of a unit within its page."""
    block = (target + place.shift) // place.part
    return (block % place.page_blocks) * place.block_slots + place.offset + target - block * place.part


@compiled
def write_lists(synapses, place, ends, columns):
    """Write the synapses of a projection into the columns of a path.

    ends: int64 [sources, blocks], the place of the next synapse of each row and block; they advance.
    """
    offsets = synapses.offsets
    for i in range(offsets.size - 1):
        for j in range(offsets[i], offsets[i + 1]):
            target = np.int64(synapses.targets[j])
            block = (target + place.shift) // place.part
            # Behind what the projections before this one wrote into the row and block.
            k = ends[i, block]
            ends[i, block] = k + 1
            columns.slots[k] = page_slot(place, target)
            if synapses.weights.size:
                columns.weights[k] = synapses.weights[j]
            if synapses.delays.size:
                columns.delays[k] = synapses.delays[j]


@compiled
def set_bits(offsets, targets, place, rows, rest):
    """Set a bit for every synapse in uint64 [sources, words] rows over all slots.

    A synapse whose bit is set already is marked in rest[j]; returns how many are.
    """
    repeated = 0
    for i in range(offsets.size - 1):
        for j in range(offsets[i], offsets[i + 1]):
            target = np.int64(targets[j])
            block = (target + place.shift) // place.part
            slot = block * place.block_slots + place.offset + target - block * place.part
            # One bit holds one synapse: a second between the same units goes into a list.
            bit = np.uint64(1) << np.uint64(slot & 63)
            again = rows[i, slot >> 6] & bit != 0
            rows[i, slot >> 6] |= bit
            rest[j] = again
            repeated += again
    return repeated


@compiled
def marked_rows(offsets, targets, rest):
    """Return offsets and targets of the synapses that are marked."""
    starts = np.zeros(offsets.size, np.int64)
    for i in range(offsets.size - 1):
        starts[i + 1] = starts[i]
        for j in range(offsets[i], offsets[i + 1]):
            starts[i + 1] += rest[j]
    out = np.empty(starts[-1], targets.dtype)
    k = 0
    for j in range(targets.size):
        if rest[j]:
            out[k] = targets[j]
            k += 1
    return starts, out


@compiled
def group_of(place, target, delay, longest):
    """Return the number of a synapse's group in its row: the target's page * (longest + 1) + delay."""
    return (target + place.shift) // place.part // place.page_blocks * (longest + 1) + delay


@compiled
def count_groups(synapses, place, longest, counts):
    """Count synapses, none of a longer delay, into counts[i, group]."""
    offsets = synapses.offsets
    for i in range(offsets.size - 1):
        for j in range(offsets[i], offsets[i + 1]):
            target = np.int64(synapses.targets[j])
            counts[i, group_of(place, target, np.int64(synapses.delays[j]), longest)] += 1


@compiled
def open_groups(counts, longest, starts, at, words, places):
    """Write the heads of all groups: a word with the number of records for each delay of each page of each row.

    The last group of a row that has records is marked, and the empty ones after it are left out.

    Args:
        starts: int64 [pages, rows] addresses, written; 0 where a row has no records.
        at: the address of `words`, uint32 or, for wide groups, uint64.
        places: int64, of the shape of counts: the word at which each group begins.

    Returns:
        the number of words written, heads and records.
    """
    k = 0
    wide = words.itemsize == 8
    pages = starts.shape[0]
    for i in range(counts.shape[0]):
        for page in range(pages):
            # Empty groups behind the last one with records need no head.
            last = longest
            while last > 0 and counts[i, page * (longest + 1) + last] == 0:
                last -= 1
            starts[page, i] = at + words.itemsize * k if last else 0
            # Wide records are a weight of 64 bits each, and behind those their slots, four a word.
            for delay in range(1, last + 1):
                n = counts[i, page * (longest + 1) + delay]
                words[k] = n | LAST_GROUP if delay == last else n
                places[i, page * (longest + 1) + delay] = k
                k += 1 + n + ((n + 3) // 4 if wide else 0)
    return k


@compiled
def fill_groups(synapses, place, longest, unit, groups):
    """Write the records of a projection: 16 bits of weight, in multiples of `unit`, above 16 bits of slot in the page.

    Weights are rounded to the nearest multiple.
    """
    offsets = synapses.offsets
    weights = synapses.weights
    places = groups.places
    left = groups.left
    words = groups.words
    for i in range(offsets.size - 1):
        for j in range(offsets[i], offsets[i + 1]):
            target = np.int64(synapses.targets[j])
            group = group_of(place, target, np.int64(synapses.delays[j]), longest)
            slot = page_slot(place, target)
            # Weights are rounded to multiples of the unit, which fit into 16 bits with their sign.
            level = np.int64(np.floor(weights[j if weights.size > 1 else 0] / unit + 0.5))
            level = min(max(level, -32767), 32767)
            # Behind the head, and behind the records of the group that are written already.
            k = places[i, group]
            k += 1 + (np.int64(words[k]) & (LAST_GROUP - 1)) - left[i, group]
            left[i, group] -= 1
            words[k] = np.uint32(np.uint32(slot) | np.uint32(np.uint32(level & 0xFFFF) << np.uint32(16)))


@compiled
def fill_wide_groups(synapses, place, longest, groups, reals, slots):
    """Write the records of a projection into wide groups, see `groups`.

    reals, slots: the words of the groups as float64 and as uint16.
    """
    offsets = synapses.offsets
    weights = synapses.weights
    left = groups.left
    for i in range(offsets.size - 1):
        for j in range(offsets[i], offsets[i + 1]):
            target = np.int64(synapses.targets[j])
            group = group_of(place, target, np.int64(synapses.delays[j]), longest)
            head = groups.places[i, group]
            # The head counts the records of its group: first come their weights, then their slots.
            first = head + 1
            n = np.int64(groups.words[head]) & (LAST_GROUP - 1)
            k = n - left[i, group]
            left[i, group] -= 1
            reals[first + k] = weights[j if weights.size > 1 else 0]
            slots[4 * (first + n) + k] = page_slot(place, target)


@compiled
def steps_of(delays, clock, out):
    """Convert delays in seconds to steps, halves rounded up; return the smallest and largest before clipping."""
    low = np.inf
    high = -np.inf
    for j in range(delays.size):
        steps = np.floor(delays[j] / clock + 0.5)
        low = min(low, steps)
        high = max(high, steps)
        out[j] = np.uint16(min(max(steps, 0.0), 65535.0))
    return low, high
