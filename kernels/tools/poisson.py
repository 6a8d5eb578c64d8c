"""Poisson counts of many units from a random word of 16 bits each, and of 32 more for the few whose word is not enough.

Of the 65,536 words a count k takes the integer part of 65,536 times its probability. The words that are left over, one
for every second count or so, draw a second word, which counts share by the fractions that they still lack. Counts
depend on key, unit and draw alone, as all draws of `random`; their probabilities are off by less than 2^-41.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import int16, int32, int64, njit, types, uint16, uint64
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from .aes import BLOCK_WORDS, SECOND, ars_reference, encrypt
from .compiled import compiled
from .elementary import widest_vectors
from .intrinsics import INT32, INT64
from .pointers import vector

WORDS = 1 << 16
LATE_WORDS = 1 << 32
# Counts rarer than this never occur.
RAREST = 2.0**-49
INT16 = ir.IntType(16)
# Words of a vector of 512 bits.
LANES = 32
# Units that are counted at a time, and bytes of scratch that they need: words, counts, and second words.
CHUNK = 256
SCRATCH_BYTES = 4 * CHUNK + 64


class PoissonTable(NamedTuple):
    """Thresholds of the counts of one mean."""

    heads: NDArray[np.int64]
    """[n], entry k is the number of words of 16 bits whose count is at most k."""
    tails: NDArray[np.int64]
    """[n], the same of second words of 32 bits."""

    @property
    def max_count(self) -> int:
        """Return the largest count that occurs."""
        if self.heads[-1] < WORDS:
            return int(np.count_nonzero(self.tails < LATE_WORDS))
        return int(np.count_nonzero(self.heads < WORDS))

    def counts(self, words: NDArray[np.integer], late: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the counts of words and second words: the specification."""
        first = np.searchsorted(self.heads, words, side="right")
        second = np.searchsorted(self.tails, late, side="right")
        return np.where(words < self.heads[-1], first, second)


class PassedThresholds(NamedTuple):
    """A `PoissonTable` as the compiled loops read it."""

    certain: int
    """Count that every word reaches."""
    passed: NDArray[np.uint16]
    """[8 n], n > 0, ascending: a word counts those that it exceeds. Filled up with 65,535, which no word exceeds."""
    limit: int
    """Words above it need a second word."""
    tails: NDArray[np.int64]
    """[counts], thresholds of second words that some word reaches."""


def poisson_table(mean: float) -> PoissonTable:
    """Return the thresholds of a Poisson count of this mean.

    Raises:
        ValueError: exp(-mean) is 0 in float64.
    """
    term = math.exp(-mean)
    if term == 0.0:
        raise ValueError(f"a mean of {mean} events is beyond the table")
    terms = []
    k = 0
    while k <= mean or term >= RAREST:
        terms.append(term * WORDS)
        k += 1
        term *= mean / k
    each = np.array(terms)
    heads = np.cumsum(np.floor(each)).astype(np.int64)
    left = max(WORDS - int(heads[-1]), 1)
    # Sums in the order of `counted`, so that both round alike.
    tails = np.rint(np.cumsum(each - np.floor(each)) / left * LATE_WORDS).astype(np.int64)
    return PoissonTable(heads, tails)


def passed_thresholds(table: PoissonTable) -> PassedThresholds:
    """Return a table as the compiled loops read it."""
    certain = int(np.count_nonzero(table.heads == 0))
    last = table.heads[-1]
    heads = table.heads[certain:]
    passed = heads[heads < last] - 1
    filled = np.concatenate([passed, np.full(-passed.size % 8 or 8 * (passed.size == 0), WORDS - 1)]).astype(np.uint16)
    return PassedThresholds(certain, filled, int(last) - 1, table.tails[table.tails < LATE_WORDS])


def words_reference(key: int, first: int, count: int, draw: int) -> tuple[NDArray[np.uint16], NDArray[np.uint32]]:
    """Return the words and the second words of units from `first` on: the specification.

    Unit u has word u % 8 of the block of number u // 8 of `aes`, and second word u % 4 of that of 2^32 + u // 4.
    """
    units = np.arange(first, first + count)
    words = _blocks(units // 8, draw, key, np.uint16)[np.arange(count), units % 8]
    late = _blocks(SECOND + units // 4, draw, key, np.uint32)[np.arange(count), units % 4]
    return words, late


def _blocks(numbers: NDArray[np.int64], draw: int, key: int, kind: type) -> NDArray[Any]:
    """Return [n, words] the block of each number."""
    distinct, places = np.unique(numbers, return_inverse=True)
    blocks = np.array([ars_reference((int(number), draw), (key, 0)) for number in distinct], np.uint64)
    return blocks.view(kind)[places]


@compiled
def short_words(key, first, draw, address, n):
    """Write the words uint16 of n <= CHUNK units from `first` on, a multiple of 32, to an address, in vectors of 32."""
    out = vector(address, (n + LANES - 1) // LANES * (LANES // 2), np.uint32(0))
    encrypt(out, uint64(uint64(first) // uint64(BLOCK_WORDS)), uint64(draw), uint64(key))


@compiled
def late_word(key, unit, draw, address):
    """Return the second word of a unit; 64 bytes at the address are scratch."""
    out = vector(address, 16, np.uint32(0))
    # Sixteen units have their second words in four blocks.
    encrypt(out, uint64(uint64(SECOND) + uint64(unit) // uint64(16) * uint64(4)), uint64(draw), uint64(key))
    return np.int64(out[unit % 16])


@intrinsic
def _count8(typing, words, thresholds, base, counts, vectors):
    """Set counts[i] to base plus the number of 8 thresholds that words[i] exceeds, for vectors of 32 words.

    Seven of them are searched as a tree: three comparisons, of which the second and third choose their thresholds by
    the ones before. Written as vectors of 512 bits, which LLVM would make half as wide.

    Args:
        words, thresholds: addresses of uint16 [32 vectors], [8].
        base: int16; where it is negative, counts are added to.
        counts: address of int16 [32 vectors].

    Returns:
        the highest word.
    """
    wide = ir.VectorType(INT16, LANES)

    def emit(context, builder, signature, arguments):
        words_at, thresholds_at, base, counts_at, vectors = arguments
        pointers = [builder.inttoptr(at, wide.as_pointer()) for at in (words_at, counts_at)]
        first = builder.inttoptr(thresholds_at, INT16.as_pointer())
        limits = [_spread(builder, builder.load(builder.gep(first, [INT64(k)]))) for k in range(8)]
        nothing = ir.Constant(wide, [0] * LANES)
        highest = cgutils.alloca_once_value(builder, nothing)
        adds = builder.icmp_signed("<", base, INT16(0))
        start = _spread(builder, base)
        with cgutils.for_range(builder, vectors) as loop:
            word = builder.load(builder.gep(pointers[0], [loop.index]), align=2)
            place = builder.gep(pointers[1], [loop.index])
            count = builder.select(adds, builder.load(place, align=2), start)
            # Thresholds ascend: a word above limits[3] is above 0 to 2, too.
            upper = builder.icmp_unsigned(">", word, limits[3])
            middle = builder.select(upper, limits[5], limits[1])
            second = builder.icmp_unsigned(">", word, middle)
            inner = builder.select(upper, limits[6], limits[2])
            outer = builder.select(upper, limits[4], limits[0])
            third = builder.icmp_unsigned(">", word, builder.select(second, inner, outer))
            last = builder.icmp_unsigned(">", word, limits[7])
            for above, step in ((upper, 4), (second, 2), (third, 1), (last, 1)):
                count = builder.add(count, builder.select(above, ir.Constant(wide, [step] * LANES), nothing))
            builder.store(count, place, align=2)
            before = builder.load(highest)
            builder.store(builder.select(builder.icmp_unsigned(">", word, before), word, before), highest)
        reduce = ir.FunctionType(INT16, [wide])
        name = f"llvm.vector.reduce.umax.v{LANES}i16"
        return builder.call(cgutils.get_or_insert_function(builder.module, reduce, name), [builder.load(highest)])

    return types.uint16(types.intp, types.intp, types.int16, types.intp, types.intp), emit


def _spread(builder, value):
    """Return the vector of one number in all lanes."""
    vector = builder.insert_element(ir.Constant(ir.VectorType(INT16, LANES), ir.Undefined), value, INT32(0))
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(INT32, LANES), [0] * LANES))


@compiled
def poisson_counts(key, first, draw, table, scratch, n):
    """Draw the Poisson counts of n <= CHUNK units from `first` on, a multiple of 32; return a view of them, int16 [n].

    Args:
        table: `PassedThresholds`.
        scratch: address of SCRATCH_BYTES.
    """
    _draw_counts(key, first, draw, _places(table), scratch, n)
    return vector(scratch + 2 * CHUNK, n, int16(0))


@njit(inline="always")
def _places(table):
    """Return the fields of a `PassedThresholds`, an address and a size in place of each array."""
    passed = table.passed
    tails = table.tails
    return table.certain, passed.ctypes.data, passed.size, table.limit, tails.ctypes.data, tails.size


@njit(inline="always")
def _late_count(late, tails):
    """Return the count of a second word."""
    count = 0
    while count < tails.size and late >= tails[count]:
        count += 1
    return int16(count)


@compiled
def _draw_counts(key, first, draw, places, scratch, n):
    """Draw counts as `poisson_counts`, from addresses: numba counts references to each array that it passes on.

    A chunk goes beyond the first 8 thresholds, and to second words, only where its highest word does.
    """
    certain, passed_at, passed_size, limit, tails_at, tails_size = places
    short_words(key, first, draw, scratch, n)
    vectors = (n + LANES - 1) // LANES
    highest = _count8(scratch, passed_at, int16(certain), scratch + 2 * CHUNK, vectors)
    passed = vector(passed_at, passed_size, uint16(0))
    for k in range(8, passed_size, 8):
        if highest > passed[k]:
            _count8(scratch, passed_at + 2 * k, int16(-1), scratch + 2 * CHUNK, vectors)
    if highest > limit:
        words = vector(scratch, n, uint16(0))
        counts = vector(scratch + 2 * CHUNK, n, int16(0))
        tails = vector(tails_at, tails_size, int64(0))
        for i in range(n):
            if words[i] > limit:
                counts[i] = _late_count(late_word(key, first + i, draw, scratch + 4 * CHUNK), tails)


@compiled
def counted(key, unit, draw, word, mean, term, scratch):
    """Return the count of a unit, whose word is known, as `poisson_table` gives it, for a mean of its own.

    Args:
        term: exp(-mean).
    """
    left = np.int64(word)
    share = term
    k = 0
    while k <= mean or share >= RAREST:
        whole = np.int64(np.floor(share * WORDS))
        if left < whole:
            return k
        left -= whole
        k += 1
        share *= mean / k
    # `left` counts from the last word that has a count; all of those after it make LEFT.
    late = late_word(key, unit, draw, scratch)
    words_left = max(WORDS - (np.int64(word) - left), 1)
    below = 0.0
    share = term
    k = 0
    while k <= mean or share >= RAREST:
        below += share * WORDS - np.floor(share * WORDS)
        if late < np.rint(below / words_left * LATE_WORDS):
            return k
        k += 1
        share *= mean / k
    return k


@compiled
def add_counted(counts, weight, x):
    """Add weight times the counts to x; return their sum."""
    total = int32(0)
    widest_vectors()
    for i in range(x.size):
        k = int32(counts[i])
        x[i] += weight * x.dtype.type(k)
        total = int32(total + k)
    return total


def poisson_add_reference(key, first, draw, table, weight, x):
    """Add as `poisson_add`: its specification."""
    words, late = words_reference(int(key), first, x.size, int(draw))
    counts = table.counts(words, late)
    x += x.dtype.type(weight) * counts.astype(x.dtype)
    return int(counts.sum())


@compiled
def poisson_add(key, first, draw, table, weight, scratch, x):
    """Add weight times the Poisson count of unit `first + i` to x[i]; return the sum of the counts.

    `first` is a multiple of 64; `table` and `scratch` are as in `poisson_counts`.
    """
    places = _places(table)
    width = x.itemsize
    total = 0
    for low in range(0, x.size, CHUNK):
        n = min(CHUNK, x.size - low)
        _draw_counts(key, first + low, draw, places, scratch, n)
        counts = vector(scratch + 2 * CHUNK, n, int16(0))
        total += add_counted(counts, weight, vector(x.ctypes.data + low * width, n, x.dtype.type(0)))
    return total
