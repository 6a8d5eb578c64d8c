"""Encoders of rows: synapses as patterns draw them, to the forms that `deliver` reads.

Synapses come for a range of sources, projection by projection, as a compressed sparse matrix of target units (rows
ascending). A row of a path joins those of all projections that share its form: in each block first the targets of the
first projection, then of the next.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...tools.compiled import compiled
from ...tools.pointers import bare_matrix, bare_vector, copy_into, vector
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
    """[sources, pages * (longest delay + 1)], the word of the next record of each group, or of its weight."""
    slot_places: NDArray[np.int64]
    """[as places] of wide groups, the quarter of a word of the slot of the next record; else empty."""
    words: NDArray[Any]
    """uint32 or, for wide groups, uint64."""


# Targets ascend within a row, so that those of a block lie together: a division for each synapse took as long as all
# else that is done with it.
@compiled
def block_of(place, target):
    """Return the block of a unit."""
    return (target + place.shift) // place.part


@compiled
def run_end(targets, begin, end, limit):
    """Return where targets[begin:end], which ascend, reach `limit`."""
    if targets[end - 1] < limit:
        return end
    j = begin
    while targets[j] < limit:
        j += 1
    return j


@compiled
def count_blocks(offsets, targets, place, cuts):
    """Count the synapses of row i into cuts[i, target's block + 1]; return the maximum number of equal pairs."""
    most = 0
    for i in range(offsets.size - 1):
        j = offsets[i]
        end = offsets[i + 1]
        while j < end:
            block = block_of(place, np.int64(targets[j]))
            last = run_end(targets, j, end, (block + 1) * place.part - place.shift)
            cuts[i, block + 1] += last - j
            j = last
        # Equal targets are neighbours.
        run = 0
        before = np.int64(-1)
        for j in range(offsets[i], end):
            target = np.int64(targets[j])
            run = run + 1 if target == before else 1
            before = target
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
def page_base(place, block):
    """Return what is added to a unit of a block to get its slot within its page."""
    return (block % place.page_blocks) * place.block_slots + place.offset - block * place.part


@compiled
def write_lists(synapses, place, ends, columns):
    """Write the synapses of a projection into the columns of a path.

    Args:
        ends: int64 [sources, blocks], the place of the next synapse of each row and block; they advance.
    """
    offsets = synapses.offsets
    targets = synapses.targets
    for i in range(offsets.size - 1):
        j = offsets[i]
        end = offsets[i + 1]
        while j < end:
            block = block_of(place, np.int64(targets[j]))
            last = run_end(targets, j, end, (block + 1) * place.part - place.shift)
            n = last - j
            # Behind what the projections before this one wrote into the row and block.
            k = ends[i, block]
            ends[i, block] = k + n
            base = np.int32(page_base(place, block))
            units = targets[j:last]
            slots = columns.slots[k : k + n]
            for e in range(n):
                slots[e] = np.uint16(units[e] + base)
            if synapses.weights.size:
                copy_into(synapses.weights[j:last], columns.weights[k : k + n])
            if synapses.delays.size:
                copy_into(synapses.delays[j:last], columns.delays[k : k + n])
            j = last


@compiled
def flatten(cuts, targets_at, weights_at, bases, starts, targets, weight, weights):
    """Copy the rows of a path to places of their own, with the slots of their targets in the whole network.

    Args:
        cuts: uint32 [sources, blocks + 1], where each row enters each block.
        targets_at, weights_at: [sources] addresses of slots uint16, and of weights; no weights_at for one `weight`.
        bases: [blocks] the first slot of the page of each block.
        starts: [sources] the place of the first synapse of each row in `targets`.
        targets: uint32 slots; receives the rows.
        weights: receives their weights, unless it is empty.
    """
    for i in range(starts.size):
        slots = vector(targets_at[i], np.int64(cuts[i, bases.size]), np.uint16(0))
        for b in range(bases.size):
            for j in range(cuts[i, b], cuts[i, b + 1]):
                targets[starts[i] + j] = np.uint32(slots[j] + bases[b])
        if weights.size:
            own = vector(weights_at[i] if weights_at.size else 0, slots.size if weights_at.size else 0, weight)
            for j in range(slots.size):
                weights[starts[i] + j] = own[j] if weights_at.size else weight


@compiled
def pack(slots, starts, words, word_starts):
    """Write rows as words of 32 slots; return their number.

    Args:
        slots: uint32, of all rows.
        starts: int64 [rows + 1], where each begins.
        words: uint64, as many as slots; receives the number of a word, and in the lower half a bit for each target.
        word_starts: int64 [rows + 1], receives where the words of each row begin.
    """
    n = 0
    for row in range(starts.size - 1):
        word_starts[row] = n
        first = n
        for j in range(starts[row], starts[row + 1]):
            number = np.uint64(slots[j] >> 5) << np.uint64(32)
            bit = np.uint64(1) << np.uint64(slots[j] & 31)
            # A second synapse between two units is a bit of another word.
            if n > first and words[n - 1] & ~np.uint64(0xFFFFFFFF) == number and words[n - 1] & bit == 0:
                words[n - 1] |= bit
            else:
                words[n] = number | bit
                n += 1
    word_starts[starts.size - 1] = n
    return n


@compiled
def set_bits(offsets, targets, place, rows, rest):
    """Set a bit for every synapse in uint64 [sources, words] rows over all slots.

    A synapse whose bit is set already is marked in rest[j]; returns how many are.
    """
    repeated = 0
    for i in range(offsets.size - 1):
        first = offsets[i]
        end = offsets[i + 1]
        while first < end:
            block = block_of(place, np.int64(targets[first]))
            last = run_end(targets, first, end, (block + 1) * place.part - place.shift)
            base = block * (place.block_slots - place.part) + place.offset
            for j in range(first, last):
                slot = base + np.int64(targets[j])
                # One bit holds one synapse: a second between the same units goes into a list.
                bit = np.uint64(1) << np.uint64(slot & 63)
                again = rows[i, slot >> 6] & bit != 0
                rows[i, slot >> 6] |= bit
                rest[j] = again
                repeated += again
            first = last
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
def count_groups(synapses, place, longest, counts):
    """Count synapses, none of a longer delay, into counts[i, group].

    A synapse's group in its row is the target's page * (longest + 1) + delay.
    """
    offsets = synapses.offsets
    targets = synapses.targets
    for i in range(offsets.size - 1):
        j = offsets[i]
        end = offsets[i + 1]
        while j < end:
            page = block_of(place, np.int64(targets[j])) // place.page_blocks
            last = run_end(targets, j, end, (page + 1) * place.page_blocks * place.part - place.shift)
            line = counts[i, page * (longest + 1) : (page + 1) * (longest + 1)]
            for k in range(j, last):
                line[synapses.delays[k]] += 1
            j = last


@compiled
def open_groups(counts, longest, starts, at, groups):
    """Write the heads of all groups: a word with the number of records for each delay of each page of each row.

    The last group of a row that has records is marked, and the empty ones after it are left out.

    Args:
        starts: int64 [pages, rows] addresses, written; 0 where a row has no records.
        at: the address of the words.
        groups: `GroupWords`, whose places are written.

    Returns:
        the number of words written, heads and records.
    """
    words = groups.words
    k = 0
    for i in range(counts.shape[0]):
        for page in range(starts.shape[0]):
            first = page * (longest + 1)
            last = _last_delay(counts[i, first : first + longest + 1])
            starts[page, i] = at + words.itemsize * k if last else 0
            for delay in range(1, last + 1):
                n = np.int64(counts[i, first + delay])
                words[k] = n | LAST_GROUP if delay == last else n
                k = _place_group(groups, i, first + delay, k + 1, n)
    return k


@njit(inline="always")
def _last_delay(counts):
    """Return the longest delay of which there are records, 0 if of none: empty groups behind it need no head."""
    last = counts.size - 1
    while last > 0 and counts[last] == 0:
        last -= 1
    return last


@njit(inline="always")
def _place_group(groups, row, group, begin, n):
    """Note that the n records of a group begin at word `begin`; return the word after them."""
    groups.places[row, group] = begin
    # Wide records are a weight of 64 bits each, and behind those their slots, four a word.
    if groups.words.itemsize == 8:
        groups.slot_places[row, group] = 4 * (begin + n)
        return begin + n + (n + 3) // 4
    return begin + n


@compiled
def write_records(units, place, page, weights, inverse, records):
    """Write a word for each synapse onto a page: 16 bits of weight, times `inverse`, above 16 bits of slot in the page.

    Weights are rounded to the nearest integer: one for all, or one each.
    """
    # A block is found without a division: half a unit keeps its rounded product off the integers.
    shift = np.float64(place.shift) + 0.5
    each = 1.0 / place.part
    stride = np.uint32(place.block_slots - place.part)
    base = np.uint32(place.offset - page * place.page_blocks * place.block_slots)
    for e in range(units.size):
        block = np.uint32(np.int32((np.float64(units[e]) + shift) * each))
        slot = np.uint32(np.uint32(units[e]) + np.uint32(block * stride)) + base
        records[e] = np.uint32(slot) & np.uint32(0xFFFF)
    if weights.size == 1:
        level = np.floor(np.float64(weights[0]) * inverse + 0.5)
        high = np.uint32(np.uint32(np.int32(min(max(level, -32767.0), 32767.0))) << np.uint32(16))
        for e in range(units.size):
            records[e] |= high
        return
    for e in range(units.size):
        level = np.floor(np.float64(weights[e]) * inverse + 0.5)
        records[e] |= np.uint32(np.uint32(np.int32(min(max(level, -32767.0), 32767.0))) << np.uint32(16))


@compiled
def fill_groups(synapses, place, longest, unit, groups):
    """Write the records of a projection: 16 bits of weight, in multiples of `unit`, above 16 bits of slot in the page.

    Args:
        unit: a power of two, by whose inverse weights are multiplied without rounding.
    """
    # Without their owners, whose references would be counted for every row.
    offsets = bare_vector(synapses.offsets)
    targets = bare_vector(synapses.targets)
    weights = bare_vector(synapses.weights)
    delays = bare_vector(synapses.delays)
    words = bare_vector(groups.words)
    ends = bare_matrix(groups.places)
    inverse = 1.0 / unit
    own_records = np.empty(max(1, np.max(np.diff(synapses.offsets))), np.uint32)
    records = bare_vector(own_records)
    for i in range(offsets.size - 1):
        j = offsets[i]
        end = offsets[i + 1]
        while j < end:
            page = block_of(place, np.int64(targets[j])) // place.page_blocks
            last = run_end(targets, j, end, (page + 1) * place.page_blocks * place.part - place.shift)
            own = weights[j:last] if weights.size > 1 else weights
            write_records(targets[j:last], place, page, own, inverse, records)
            places = ends[i, page * (longest + 1) : (page + 1) * (longest + 1)]
            for k in range(last - j):
                delay = delays[j + k]
                words[places[delay]] = records[k]
                places[delay] += 1
            j = last
    # An array is freed after its last mention.
    return own_records.size


@compiled
def fill_wide_groups(synapses, place, longest, groups, reals, slots):
    """Write the records of a projection into wide groups, see `groups`.

    Args:
        reals, slots: the words of the groups as float64 and as uint16.
    """
    offsets = synapses.offsets
    targets = synapses.targets
    weights = synapses.weights
    for i in range(offsets.size - 1):
        j = offsets[i]
        end = offsets[i + 1]
        while j < end:
            block = block_of(place, np.int64(targets[j]))
            last = run_end(targets, j, end, (block + 1) * place.part - place.shift)
            base = page_base(place, block)
            first = block // place.page_blocks * (longest + 1)
            for k in range(j, last):
                group = first + np.int64(synapses.delays[k])
                reals[groups.places[i, group]] = weights[k if weights.size > 1 else 0]
                slots[groups.slot_places[i, group]] = np.uint16(base + np.int64(targets[k]))
                groups.places[i, group] += 1
                groups.slot_places[i, group] += 1
            j = last


@compiled(error_model="numpy")  # a division that could raise is no vector instruction
def steps_of(delays, clock, out):
    """Convert delays in seconds to steps, halves rounded up, from 0 to 65,535.

    Returns:
        the smallest and the largest, at least 0 and at most 65,536.
    """
    # Of integers, because the smallest of real numbers is found one by one.
    low = np.int32(65536)
    high = np.int32(0)
    for j in range(delays.size):
        steps = np.int32(min(max(np.floor(delays[j] / clock + 0.5), 0.0), 65536.0))
        low = min(low, steps)
        high = max(high, steps)
        out[j] = np.uint16(min(steps, np.int32(65535)))
    return low, high
