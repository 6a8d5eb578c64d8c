"""Encoders of rows: synapses as patterns draw them, to the forms that `deliver` reads.

Synapses come for a range of sources, projection by projection, as a compressed sparse matrix of target units (rows
ascending). A row of a path joins those of all projections that share its form: in each block first the targets of the
first projection, then those of the next.
"""

from __future__ import annotations

import numpy as np

from ...tools.compiled import compiled
from .deliver import LAST_GROUP


@compiled
def count_blocks(offsets, targets, part, shift, cuts):
    """Count the synapses of row i into cuts[i, target's block + 1]; return the maximum number of equal pairs."""
    most = 0
    for i in range(offsets.size - 1):
        run = 0
        last = np.int64(-1)
        for j in range(offsets[i], offsets[i + 1]):
            target = np.int64(targets[j])
            cuts[i, (target + shift) // part + 1] += 1
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
def place(
    offsets, targets, part, shift, offset, block_slots, page_blocks, places, out, weights, out_weights, delays,
    out_delays,
):  # fmt: skip
    """Write the synapses of a projection at `places`, which advance.

    Args:
        part, shift, offset, block_slots, page_blocks: where the target's units lie, see `neurosim.engine.layout`.
        out: uint16, slots within the page.
        weights, delays: [synapses], or empty; to out_weights and out_delays.
    """
    for i in range(offsets.size - 1):
        for j in range(offsets[i], offsets[i + 1]):
            target = np.int64(targets[j])
            block = (target + shift) // part
            k = places[i, block]
            places[i, block] = k + 1
            out[k] = (block % page_blocks) * block_slots + offset + target - block * part
            if weights.size:
                out_weights[k] = weights[j]
            if delays.size:
                out_delays[k] = delays[j]


@compiled
def set_bits(offsets, targets, part, shift, offset, block_slots, rows, rest):
    """Set a bit for every synapse in uint64 [sources, words] rows over all slots.

    A synapse whose bit is set already is marked in rest[j]; returns how many are.
    """
    found = 0
    for i in range(offsets.size - 1):
        for j in range(offsets[i], offsets[i + 1]):
            target = np.int64(targets[j])
            block = (target + shift) // part
            slot = block * block_slots + offset + target - block * part
            bit = np.uint64(1) << np.uint64(slot & 63)
            again = rows[i, slot >> 6] & bit != 0
            rows[i, slot >> 6] |= bit
            rest[j] = again
            found += again
    return found


@compiled
def kept_rows(offsets, targets, rest):
    """Return offsets and targets of the synapses that are marked."""
    kept = np.zeros(offsets.size, np.int64)
    for i in range(offsets.size - 1):
        kept[i + 1] = kept[i]
        for j in range(offsets[i], offsets[i + 1]):
            kept[i + 1] += rest[j]
    out = np.empty(kept[-1], targets.dtype)
    k = 0
    for j in range(targets.size):
        if rest[j]:
            out[k] = targets[j]
            k += 1
    return kept, out


@compiled
def count_groups(offsets, targets, delays, part, shift, page_blocks, longest, counts):
    """Count synapses, none of a longer delay, into counts[i, target's page * (longest + 1) + delay]."""
    for i in range(offsets.size - 1):
        for j in range(offsets[i], offsets[i + 1]):
            delay = np.int64(delays[j])
            counts[i, (np.int64(targets[j]) + shift) // part // page_blocks * (longest + 1) + delay] += 1


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
            last = longest
            while last > 0 and counts[i, page * (longest + 1) + last] == 0:
                last -= 1
            starts[page, i] = at + words.itemsize * k if last else 0
            for delay in range(1, last + 1):
                n = counts[i, page * (longest + 1) + delay]
                words[k] = n | LAST_GROUP if delay == last else n
                places[i, page * (longest + 1) + delay] = k
                k += 1 + n + ((n + 3) // 4 if wide else 0)
    return k


@compiled
def fill_groups(
    offsets, targets, weights, delays, part, shift, offset, block_slots, page_blocks, longest, unit, places, left, words
):
    """Write the records of a projection: 16 bits of weight, in multiples of `unit`, above 16 bits of slot in the page.

    Args:
        weights: [synapses], or one for all.
        left: int64, of the shape of `places`: the records that are still to be written into each group.
    """
    for i in range(offsets.size - 1):
        for j in range(offsets[i], offsets[i + 1]):
            target = np.int64(targets[j])
            block = (target + shift) // part
            group = block // page_blocks * (longest + 1) + np.int64(delays[j])
            slot = (block % page_blocks) * block_slots + offset + target - block * part
            level = np.int64(np.floor(weights[j if weights.size > 1 else 0] / unit + 0.5))
            level = min(max(level, -32767), 32767)
            k = places[i, group]
            k += 1 + (np.int64(words[k]) & (LAST_GROUP - 1)) - left[i, group]
            left[i, group] -= 1
            words[k] = np.uint32(np.uint32(slot) | np.uint32(np.uint32(level & 0xFFFF) << np.uint32(16)))


@compiled
def fill_wide_groups(
    offsets, targets, weights, delays, part, shift, offset, block_slots, page_blocks, longest, places, left, words,
    reals, slots,
):  # fmt: skip
    """Write the records of a projection into wide groups, see `groups`; the arguments are those of `fill_groups`.

    reals, slots: `words` as float64 and as uint16.
    """
    for i in range(offsets.size - 1):
        for j in range(offsets[i], offsets[i + 1]):
            target = np.int64(targets[j])
            block = (target + shift) // part
            group = block // page_blocks * (longest + 1) + np.int64(delays[j])
            first = places[i, group] + 1
            n = np.int64(words[places[i, group]]) & (LAST_GROUP - 1)
            k = n - left[i, group]
            left[i, group] -= 1
            reals[first + k] = weights[j if weights.size > 1 else 0]
            slots[4 * (first + n) + k] = (block % page_blocks) * block_slots + offset + target - block * part


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
