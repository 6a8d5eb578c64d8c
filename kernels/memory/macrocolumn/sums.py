"""Sums of packed weights at active afferents, and their evidence: one term of a macrocolumn's choice.

Bit a % 64 of word a // 64 is afferent a, of weights and of afferents alike.
"""

from __future__ import annotations

import numpy as np
from numba import uint64

from ...tools.compiled import compiled
from ...tools.intrinsics import popcount
from .views import OPERATIONS, SYNAPTIC

# What the hash of no afferents is (FNV-1a).
HASHED = 0xCBF29CE484222325


@compiled
def sums(weights, active, out):
    """Set out[i] to the number of active afferents of unit i whose weight is on."""
    out[:] = 0
    for j in range(active.size):
        row = weights[j]
        word = active[j]
        for i in range(out.size):
            out[i] += popcount(row[i] & word)


@compiled
def bits_of(active):
    total = uint64(0)
    for word in active:
        total += popcount(word)
    return np.int64(total)


@compiled
def gather(frame, field, active):
    """Pack the field's part of a frame [size] of booleans."""
    active[:] = 0
    # Bit a % 64 of word a // 64 is afferent a.
    for a in range(field.size):
        active[a >> 6] |= uint64(frame[field[a]]) << uint64(a & 63)


@compiled
def code_bits(code, units, active):
    active[:] = 0
    for q in range(code.size):
        a = q * units + code[q]
        active[a >> 6] |= uint64(1) << uint64(a & 63)


@compiled
def lateral_bits(before, units, has_code, beside, active):
    """Pack the winners of the code before, if there is one, and the active units of other columns."""
    active[:] = 0
    if has_code:
        code_bits(before, units, active)
    for j in range(beside.size):
        active[j] |= beside[j]


@compiled
def _hash(active, value):
    """Mix the active afferents into 64 bits (FNV-1a over words, with a final fold)."""
    for word in active:
        value = (value ^ word) * uint64(0x100000001B3)
        value ^= value >> uint64(29)
    return value


@compiled
def _values(highest, afferents, scale, power, values):
    """Fill `values` with the evidence of each sum up to `highest`: min(1, part of the afferents), to its power."""
    # Sums are integers: a table of their evidence saves a power a unit.
    for c in range(highest + 1):
        x = min(1.0, scale * c / afferents)
        values[c] = x if power == 1.0 else x**power


@compiled
def look_up(total, values, term):
    """Replace sums by their evidence."""
    units = term.shape[1]
    for q in range(term.shape[0]):
        for k in range(units):
            term[q, k] = values[total[q * units + k]]


@compiled
def sum_of(weights, active, afferents, scale, power, total, values, seed, count):
    """Compute the sums of one source and their evidence; add the cost to `count`; return the hash of the afferents."""
    sums(weights, active, total)
    # A loaded H may have weights from a unit's own module, which are no afferents: its sums are above `afferents`.
    _values(bits_of(active), afferents, scale, power, values)
    count[OPERATIONS] += active.size * total.size
    count[SYNAPTIC] += afferents * total.size
    return _hash(active, seed)


@compiled
def sum_both(weights, own, sent, scale, others, power, totals, term, seed, count):
    """Compute the evidence of the own code and of other columns; add the cost to `count`; return their hash.

    Each unit's is min(1, (scale sums of the own code + sums of the others) / (sent + heard)), to its power.

    Args:
        own, sent: packed winners of the own code, and the number of those that a unit sees; their factor is `scale`.
        others: packed active units of other columns, and their number.
        totals: [2, units] int32, to work in.
    """
    beside, heard = others
    sums(weights, own, totals[0])
    sums(weights, beside, totals[1])
    units = term.shape[1]
    for q in range(term.shape[0]):
        for k in range(units):
            i = q * units + k
            x = min(1.0, (scale * totals[0, i] + totals[1, i]) / (sent + heard))
            term[q, k] = x if power == 1.0 else x**power
    count[OPERATIONS] += 2 * own.size * totals.shape[1]
    count[SYNAPTIC] += (sent + heard) * totals.shape[1]
    for j in range(own.size):
        own[j] |= beside[j]
    return _hash(own, seed)
