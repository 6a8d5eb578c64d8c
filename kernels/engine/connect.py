"""Which sources reach which targets: rows of random connection patterns, each a pure function of its key.

Every function gives the rows of sources `first` to `last - 1`, targets ascending within a row, and gives the same
rows however that range is cut. `skip_self` leaves out target i of source i.
"""

from __future__ import annotations

import math

import numpy as np
from numba import uint32, uint64

from ..tools.compiled import compiled
from ..tools.random import threefry, threefry_reference, unit_interval, words

# Choices out of so many take one word of 32 bits each.
NARROW = 1 << 16
# Numbers up to which sorting by insertion takes no longer than a pass over the counts of a byte.
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
def bernoulli_rows(key, first, last, targets, probability, skip_self, offsets, out):
    """Each target with `probability`, 0 < p < 1, on its own. Returns their number, or -1 if `out` is too short."""
    scale = 1.0 / math.log1p(-probability)
    count = 0
    offsets[0] = 0
    for source in range(first, last):
        j, draw = -1, 0
        while j < targets:
            a, b, c, d = words(uint64(key), uint64(source), uint64(draw))
            draw += 1
            for k in range(2):
                gap = math.log(unit_interval(a, b) if k == 0 else unit_interval(c, d)) * scale
                # Beyond every target; the gap itself could exceed an integer.
                j = targets if gap >= targets else j + 1 + int(gap)
                if j < targets and not (skip_self and j == source):
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
def distance_rows(key, first, last, sources, targets, scale, length, exponent, skip_self, offsets, out):
    """Each target with probability scale * exp(-(d / length)^exponent), d the distance of [n, dimensions] positions."""
    count = 0
    offsets[0] = 0
    for source in range(first, last):
        for j in range(targets.shape[0]):
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
    """The specification of `choose`."""
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
def _sort(values, other, counts, among):
    """Sort integers below `among`: few by insertion, many byte by byte. other: as many; counts: [256]."""
    if values.size <= FEW:
        for i in range(1, values.size):
            value, k = values[i], i
            while k > 0 and values[k - 1] > value:
                values[k] = values[k - 1]
                k -= 1
            values[k] = value
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
def choose(key, chooser, among, with_replacement, skip, taken, words, picks, other, counts, out):
    """Fill `out` with choices for `chooser` out of range(among), ascending; never `skip` (-1: nothing to skip).

    Args:
        taken: uint8 [among], all zero on entry and on return.
        words, picks, other, counts: scratch, see `_scratch`; other as long as `out`.
    """
    wanted = out.size
    eligible = among - (1 if 0 <= skip < among else 0)
    # Of many distinct ones it is quicker to choose those left out.
    inverted = not with_replacement and wanted * 2 > eligible
    needed = eligible - wanted if inverted else wanted
    found, draw = 0, np.int64(0)  # not a literal number, for which numba would compile `_refill` once more
    while found < needed:
        counters = min(picks.size // 4, max(1, (needed - found) // (2 if among > NARROW else 4)))
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
    _sort(out, other[:wanted], counts, among)


@compiled
def _scratch(among, longest):
    """Return the scratch arrays of `choose`."""
    return (
        np.zeros(among, np.uint8),
        np.empty((4, 128), np.uint32),
        np.empty(512, np.int64),
        np.empty(longest, np.int32),
        np.empty(256, np.int64),
    )


@compiled
def fixed_rows(key, first, last, degrees, targets, with_replacement, skip_self, out):
    """Source i chooses `degrees[i - first]` targets, those of `choose_reference`; rows one after another in `out`."""
    taken, words, picks, other, counts = _scratch(targets, degrees.max() if degrees.size else 0)
    a = 0
    for source in range(first, last):
        b = a + degrees[source - first]
        skip = source if skip_self else -1
        choose(key, source, targets, with_replacement, skip, taken, words, picks, other, counts, out[a:b])
        a = b


@compiled
def fixed_columns(key, sources, first, last, degree, with_replacement, skip_self, out):
    """Fill out[i] with the `degree` sources that target `first + i` chooses, as `choose_reference` says."""
    taken, words, picks, other, counts = _scratch(sources, degree)
    for target in range(first, last):
        skip = target if skip_self else -1
        line = out[target - first]
        choose(key, target, sources, with_replacement, skip, taken, words, picks, other, counts, line)


@compiled
def transpose(columns, first, last, offsets, out):
    """Rows of sources `first` to `last - 1` from the sources of every target; without room, only `offsets`.

    offsets: int64 [last - first + 1]. `out` of size 0 fills `offsets` alone; the second call then takes them as given.
    """
    if out.size == 0:
        offsets[:] = 0
        for target in range(columns.shape[0]):
            for k in range(columns.shape[1]):
                if first <= columns[target, k] < last:
                    offsets[columns[target, k] - first + 1] += 1
        for i in range(last - first):
            offsets[i + 1] += offsets[i]
        return
    position = offsets[:-1].copy()
    for target in range(columns.shape[0]):
        for k in range(columns.shape[1]):
            source = columns[target, k] - first
            if 0 <= source < last - first:
                out[position[source]] = target
                position[source] += 1


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
