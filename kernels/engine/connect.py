"""Which sources reach which targets: rows of random connection patterns, each a pure function of its key.

Every function gives the rows of sources `first` to `last - 1`, targets ascending within a row, and gives the same
rows however that range is cut. `skip_self` leaves out target i of source i. Of each row come the targets `low` to
`high - 1`, those of one process: what is drawn for a pair depends on neither.
"""

from __future__ import annotations

import math

import numpy as np
from numba import int32, uint32, uint64

from ..tools.compiled import compiled
from ..tools.random import threefry, threefry_reference, unit_interval, words

# Choices out of so many take one word of 32 bits each.
NARROW = 1 << 16
# Numbers up to which comparing each with all takes no longer than sorting byte by byte.
FEW = 64


def bernoulli_reference(key, first, last, targets, probability, skip_self):
    """The specification of `bernoulli_rows`: gaps between neighbours are geometric, drawn by inversion."""
    rows = []
    for source in range(first, last):
        row, j, draw = [], -1, 0
        while True:
            a, b, c, d = threefry_reference((source, 0, draw, 0), (key & 0xFFFFFFFF, key >> 32, 0, 0))
            for high, low in ((a, b), (c, d)):
                u = ((high << 32 | low) // 2**11 + 0.5) / 2**53
                j += 1 + math.floor(math.log(u) / math.log1p(-probability))
                if j < targets and not (skip_self and j == source):
                    row.append(j)
            if j >= targets:
                break
            draw += 1
        rows.append(row)
    return rows


@compiled
def bernoulli_rows(key, first, last, low, high, probability, skip_self, offsets, out):
    """Each target with `probability`, 0 < p < 1, on its own. Returns their number, or -1 if `out` is too short.

    Gaps are drawn one after another, so those before `low` are, too.
    """
    scale = 1.0 / math.log1p(-probability)
    count = 0
    offsets[0] = 0
    for source in range(first, last):
        j, draw = -1, 0
        while j < high:
            a, b, c, d = words(uint64(key), uint64(source), uint64(draw))
            draw += 1
            for k in range(2):
                gap = math.log(unit_interval(a, b) if k == 0 else unit_interval(c, d)) * scale
                # Beyond every target; the gap itself could exceed an integer.
                j = high if gap >= high else j + 1 + int(gap)
                if low <= j < high and not (skip_self and j == source):
                    if count == out.size:
                        return -1
                    out[count] = j
                    count += 1
        offsets[source - first + 1] = count
    return count


def distance_reference(key, first, last, sources, targets, scale, length, exponent, skip_self):
    """The specification of `distance_rows`: the words of counter (source, target) decide each pair."""
    rows = []
    for source in range(first, last):
        row = []
        for j, position in enumerate(targets):
            distance = math.sqrt(sum((a - b) ** 2 for a, b in zip(sources[source], position, strict=True)))
            high, low, _, _ = threefry_reference((source, 0, j, 0), (key & 0xFFFFFFFF, key >> 32, 0, 0))
            u = ((high << 32 | low) // 2**11 + 0.5) / 2**53
            if u < scale * math.exp(-((distance / length) ** exponent)) and not (skip_self and j == source):
                row.append(j)
        rows.append(row)
    return rows


@compiled
def distance_rows(key, first, last, low, high, sources, targets, scale, length, exponent, skip_self, offsets, out):
    """Each target with probability scale * exp(-(d / length)^exponent), d the distance of [n, dimensions] positions."""
    count = 0
    offsets[0] = 0
    for source in range(first, last):
        for j in range(low, high):
            if skip_self and j == source:
                continue
            squared = 0.0
            for k in range(targets.shape[1]):
                squared += (sources[source, k] - targets[j, k]) ** 2
            a, b, _, _ = words(uint64(key), uint64(source), uint64(j))
            if unit_interval(a, b) < scale * math.exp(-((math.sqrt(squared) / length) ** exponent)):
                if count == out.size:
                    return -1
                out[count] = j
                count += 1
        offsets[source - first + 1] = count
    return count


def picks_reference(key, chooser, among):
    """The specification of `_refill`: an endless stream of choices out of range(among).

    Up to 65,536 a word of 32 bits makes one (off by less than 2^-16 of its probability), beyond that two words do.
    """
    draw = 0
    while True:
        a, b, c, d = threefry_reference((chooser, 0, draw, 0), (key & 0xFFFFFFFF, key >> 32, 0, 0))
        if among <= NARROW:
            yield from (word * among >> 32 for word in (a, b, c, d))
        else:
            yield from (int(((h << 32 | low) // 2**11 + 0.5) / 2**53 * among) for h, low in ((a, b), (c, d)))
        draw += 1


def choose_reference(key, chooser, among, wanted, with_replacement, skip):
    """The specification of `choose`, sorted."""
    eligible = among - (0 <= skip < among)
    inverted = not with_replacement and wanted * 2 > eligible
    found: list[int] = []
    picks = picks_reference(key, chooser, among)
    while len(found) < (eligible - wanted if inverted else wanted):
        j = next(picks)
        if j != skip and (with_replacement or j not in found):
            found.append(j)
    return [j for j in range(among) if j not in found and j != skip] if inverted else sorted(found)


@compiled
def _counter_words(c0, c1, draw, c3, k0, k1, a, b, c, d):
    """Words of counters whose third part is `draw` + i."""
    none = uint32(0)
    for i in range(a.size):
        w0, w1, w2, w3 = threefry(c0, c1, uint32(draw + uint32(i)), c3, k0, k1, none, none)
        a[i] = w0
        b[i] = w1
        c[i] = w2
        d[i] = w3


@compiled
def _refill(key, chooser, draw, among, counters, words, picks):
    """Fill `picks` with the choices of `counters` counters from `draw` on; return their number."""
    a, b, c, d = words[0][:counters], words[1][:counters], words[2][:counters], words[3][:counters]
    _counter_words(
        uint32(chooser), uint32(uint64(chooser) >> uint64(32)), uint32(draw), uint32(uint64(draw) >> uint64(32)),
        uint32(key), uint32(uint64(key) >> uint64(32)), a, b, c, d,
    )  # fmt: skip
    if among > NARROW:
        for i in range(counters):
            picks[2 * i] = int(unit_interval(a[i], b[i]) * among)
            picks[2 * i + 1] = int(unit_interval(c[i], d[i]) * among)
        return 2 * counters
    n = uint64(among)
    for i in range(counters):
        picks[4 * i] = uint64(a[i]) * n >> uint64(32)
        picks[4 * i + 1] = uint64(b[i]) * n >> uint64(32)
        picks[4 * i + 2] = uint64(c[i]) * n >> uint64(32)
        picks[4 * i + 3] = uint64(d[i]) * n >> uint64(32)
    return 4 * counters


@compiled
def _less(keys, key):
    """Return how many are less; all in 32 bits, which vectors compare sixteen at a time."""
    less = int32(0)
    for i in range(keys.size):
        less = int32(less + int32(keys[i] < key))
    return less


@compiled
def _sort(values, other, counts, keys, among):
    """Sort integers below `among`: few by their ranks, many byte by byte.

    other: as many; counts: [256]; keys: [FEW + 16].
    """
    n = values.size
    if n <= FEW and among <= 2**31 // FEW:
        padded = (n + 15) // 16 * 16
        for i in range(n):
            keys[i] = values[i] * FEW + i  # equal values in their order
        for i in range(n, padded):
            keys[i] = 2**31 - 1
        for i in range(n):
            other[_less(keys[:padded], keys[i])] = values[i]
        for i in range(n):
            values[i] = other[i]
        return
    shift = 0
    while (among - 1) >> shift > 0:
        for k in range(256):
            counts[k] = 0
        for i in range(values.size):
            counts[values[i] >> shift & 255] += 1
        total = 0
        for k in range(256):
            total += counts[k]
            counts[k] = total - counts[k]
        for i in range(values.size):
            k = values[i] >> shift & 255
            other[counts[k]] = values[i]
            counts[k] += 1
        for i in range(values.size):
            values[i] = other[i]
        shift += 8


@compiled
def choose(key, chooser, among, with_replacement, skip, taken, words, picks, out):
    """Fill `out` with choices for `chooser` out of range(among), in any order; never `skip` (-1: nothing to skip).

    Args:
        taken: uint8 [among], all zero on entry and on return.
        words, picks: scratch, see `_scratch`.
    """
    wanted = out.size
    eligible = among - (1 if 0 <= skip < among else 0)
    # Of many distinct ones it is quicker to choose those left out.
    inverted = not with_replacement and wanted * 2 > eligible
    needed = eligible - wanted if inverted else wanted
    found, draw = 0, np.int64(0)  # not a literal number, for which numba would compile `_refill` once more
    while found < needed:
        each = 2 if among > NARROW else 4
        # By sixteens, which are whole vectors: the rest of a vector would be drawn one by one.
        counters = min(picks.size // 4, ((needed - found + each - 1) // each + 15) // 16 * 16)
        n = _refill(key, chooser, draw, among, counters, words, picks)
        draw += counters
        for k in range(n):
            j = picks[k]
            if found == needed or j == skip:
                continue
            if not with_replacement:
                if taken[j]:
                    continue
                taken[j] = 1
            if not inverted:
                out[found] = j
            found += 1
    if inverted:
        found = 0
        for j in range(among):
            if not taken[j] and j != skip:
                out[found] = j
                found += 1
            taken[j] = 0
        return
    if not with_replacement:
        for k in range(wanted):
            taken[out[k]] = 0


@compiled
def _scratch(among, longest):
    """Return the scratch arrays of `choose`, then those of `_sort`."""
    return (
        np.zeros(among, np.uint8),
        np.empty((4, 128), np.uint32),
        np.empty(512, np.int64),
        np.empty(longest, np.int32),
        np.empty(256, np.int64),
        np.empty(FEW + 16, np.int32),
    )


@compiled
def fixed_rows(key, first, last, degrees, targets, with_replacement, skip_self, out):
    """Source i chooses `degrees[i - first]` targets, those of `choose_reference`; rows one after another in `out`."""
    taken, words, picks, other, counts, keys = _scratch(targets, degrees.max() if degrees.size else 0)
    a = 0
    for source in range(first, last):
        b = a + degrees[source - first]
        skip = source if skip_self else -1
        choose(key, source, targets, with_replacement, skip, taken, words, picks, out[a:b])
        _sort(out[a:b], other[: b - a], counts, keys, targets)
        a = b


@compiled
def fixed_rows_part(
    key, first, last, low, high, degrees, targets, with_replacement, skip_self, before, offsets, out
):  # fmt: skip
    """Rows of `fixed_rows` from `low` to `high - 1`; returns the number of synapses, or -1 if `out` is too short.

    All choices are drawn, and those of the part are sorted.

    Args:
        before: int64 [last - first], filled with the number of choices of each source below `low`.
    """
    longest = degrees.max() if degrees.size else 0
    taken, words, picks, other, counts, keys = _scratch(targets, longest)
    line = np.empty(longest, np.int32)
    n = 0
    offsets[0] = 0
    for source in range(first, last):
        degree = degrees[source - first]
        if n + degree > out.size:
            return -1
        chosen, earlier, a = line[:degree], 0, n
        choose(key, source, targets, with_replacement, source if skip_self else -1, taken, words, picks, chosen)
        for k in range(degree):
            # Without a branch, which half of all choices would surprise.
            j = chosen[k]
            out[n] = j
            n += (low <= j) & (j < high)
            earlier += j < low
        _sort(out[a:n], other[: n - a], counts, keys, targets)
        before[source - first] = earlier
        offsets[source - first + 1] = n
    return n


@compiled
def fixed_columns(key, sources, first, last, degree, with_replacement, skip_self, out):
    """Fill out[i] with the `degree` sources that target `first + i` chooses, as `choose_reference` says."""
    taken, words, picks, other, counts, keys = _scratch(sources, degree)
    for target in range(first, last):
        skip = target if skip_self else -1
        line = out[target - first]
        choose(key, target, sources, with_replacement, skip, taken, words, picks, line)
        _sort(line, other[:degree], counts, keys, sources)


@compiled
def transpose(columns, low, offsets, out):
    """Rows of all sources from the sources of the targets `low` on.

    offsets: int64 [sources + 1], filled. out: int32 [columns.size], filled.
    """
    offsets[:] = 0
    for i in range(columns.shape[0]):
        for k in range(columns.shape[1]):
            offsets[columns[i, k] + 1] += 1
    for source in range(offsets.size - 1):
        offsets[source + 1] += offsets[source]
    position = offsets[:-1].copy()
    for i in range(columns.shape[0]):
        for k in range(columns.shape[1]):
            source = columns[i, k]
            out[position[source]] = low + i
            position[source] += 1


@compiled
def distinct_bits(key, among, wanted, bits):
    """Set the bits of `wanted` different numbers of range(among), those of `choose_reference` for chooser 0.

    bits: uint64 [at least among / 64], zeros.
    """
    inverted = wanted * 2 > among
    needed = among - wanted if inverted else wanted
    words, picks = np.empty((4, 128), np.uint32), np.empty(512, np.int64)
    found, draw = 0, np.int64(0)
    while found < needed:
        n = _refill(key, np.int64(0), draw, among, np.int64(128), words, picks)
        draw += 128
        for k in range(n):
            bit = uint64(1) << uint64(picks[k] & 63)
            if found < needed and bits[picks[k] >> 6] & bit == 0:
                bits[picks[k] >> 6] |= bit
                found += 1
    if inverted:
        for i in range(bits.size):
            bits[i] = ~bits[i]


@compiled
def bit_rows(bits, first, last, low, high, targets, skip_self, before, offsets, out):
    """Rows of the pairs whose bits are set, numbered row by row; returns their number, or -1 if `out` is too short.

    skip_self: pairs i, i have no number. before: int64 [last - first], filled with the pairs of each row below `low`.
    """
    columns, n = targets - skip_self, 0
    offsets[0] = 0
    for source in range(first, last):
        c, earlier = 0, 0
        while c < columns:
            pair = source * columns + c
            word = bits[pair >> 6] >> uint64(pair & 63)
            if word == 0:
                c += 64 - (pair & 63)
                continue
            target = c + (skip_self and c >= source)
            if word & uint64(1):
                if low <= target < high:
                    if n == out.size:
                        return -1
                    out[n] = target
                    n += 1
                earlier += target < low
            c += 1
        before[source - first] = earlier
        offsets[source - first + 1] = n
    return n


def histogram_reference(key, draws, bins):
    """The specification of `histogram`."""
    picks = picks_reference(key, 0, bins)
    return np.bincount([next(picks) for _ in range(draws)], minlength=bins)


@compiled
def histogram(key, draws, bins, counts):
    """Set counts[j] to the number of `draws` uniform choices out of range(bins) that fell on j."""
    words, picks = np.empty((4, 128), np.uint32), np.empty(512, np.int64)
    counts[:] = 0
    done, draw = 0, np.int64(0)
    while done < draws:
        n = min(draws - done, _refill(key, np.int64(0), draw, bins, np.int64(128), words, picks))
        for i in range(n):
            counts[picks[i]] += 1
        done += n
        draw += 128
