"""Linear layers of a decoder: rows of weights [K, N] of active channels are added; scale, bias and residual behind.

With int8 rows sums are int32, so their order changes no bit of them, and they have four forms: `amx` (for batches, else
as `vnni`), `vnni`, `avx2`, and a plain loop for other processors. Rows are fetched two groups of eight ahead: which
they are is known from the list, but not to the processor. For a batch the weights of a tile of columns stay in the
second cache while the tokens pass over them.
"""

from __future__ import annotations

from numba import float32, int16, int32, int64, njit

from ...tools.compiled import compiled
from ...tools.intrinsics import prefetch, prefetch_second
from ...tools.pointers import matrix, vector
from ..program import BYTE, FLOAT, LONG, WORD, operation
from .amx import CHANNELS, begin_tiles, end_tiles, has_amx, multiply_tiles
from .avx2 import SMALL, add_eight_small, add_eight_wide, has_avx2
from .encode import AHEAD, ESCAPES, HEAD, LIST, NUMBER, SUM
from .parts import BEFORE, BIAS, OUT, PART, STEPS, WIDTH, columns_of, finish, later
from .vnni import BATCH, BLOCK, add_eight, has_vnni, interleave, multiply, settled

LINE = 64  # bytes
# Columns whose rows, of a thousand channels, stay in the second cache while the tokens of a batch pass over them.
TILE = 512
# Rows that are interleaved at a time, so that they stay in the second cache while the tokens of a batch pass over them:
# for VNNI, and for AMX, which reads and writes its sums once for all of them.
TOGETHER = 64
TOGETHER_AMX = 256
SPARE_AMX = TILE * (TOGETHER_AMX + 4)  # bytes of interleaved rows, with a line between strips of 16 columns
# Times that a row must be active among `BATCH` tokens, in the mean, for all rows to be multiplied: that is then
# faster than to add the active ones.
MANY = 4
# Sums of eight products of an int8 stay within int16 if the counts' sizes sum to this at most.
SHORT = 255
INTEGER_OPERANDS = f"rows stride size tokens {LIST} has_levels parts part_count sums spare?"
PARTIAL_OPERANDS = f"rows stride size {LIST} sums"
# Forms of the sums: what the processor has.
AMX, VNNI, AVX2, PLAIN = range(4)


@njit(inline="always")
def groups_of(tokens):
    """Return the groups of `BATCH` tokens that so many tokens fill."""
    return -(-tokens // BATCH)


def all_rows_size(size, stride, tokens):
    """Return the bytes that a thread needs to multiply all of `size` rows: interleaved ones, and counts of tokens."""
    rows = max(TOGETHER * stride, SPARE_AMX)
    return rows + BATCH * groups_of(tokens) * -(-size // CHANNELS) * CHANNELS


@njit(inline="always")
def _words(counts):
    """Return the address of counts as int32 words of four."""
    return vector(counts.ctypes.data, counts.size // 4, WORD)


@njit(inline="always")
def _row(rows, stride, channel, columns):
    return vector(rows + channel * stride, columns, BYTE)


@njit(inline="always")
def _sizes(counts, j):
    """Return the sum of the sizes of eight counts."""
    sizes = 0
    for i in range(8):
        sizes += abs(int64(counts[j + i]))
    return sizes


@njit(inline="always")
def _add_rows(rows, stride, channels, counts, number, columns, sums, form):
    """Add rows in the form `VNNI` or `AVX2`; return, for AVX2, the sum of counts whose weights had 128 added.

    Later rows are asked for in the second cache, line by line while these are added. Rows of 1,024 bytes in no order
    then come at 20 GB/s, where into the first cache, of which fewer lines can be under way, they came at 13 (AMD EPYC,
    family 25, model 17).
    """
    words = _words(counts)
    flipped = 0
    for j in range(0, number, 8):
        # Addresses of the eight rows to add, and of the eight to fetch meanwhile (from k on).
        a = rows + channels[j] * stride
        b = rows + channels[j + 1] * stride
        c = rows + channels[j + 2] * stride
        d = rows + channels[j + 3] * stride
        e = rows + channels[j + 4] * stride
        f = rows + channels[j + 5] * stride
        g = rows + channels[j + 6] * stride
        h = rows + channels[j + 7] * stride
        first = words[j // 4]
        second = words[j // 4 + 1]
        k = rows + channels[j + AHEAD - 8] * stride
        m = rows + channels[j + AHEAD - 7] * stride
        n = rows + channels[j + AHEAD - 6] * stride
        o = rows + channels[j + AHEAD - 5] * stride
        p = rows + channels[j + AHEAD - 4] * stride
        q = rows + channels[j + AHEAD - 3] * stride
        r = rows + channels[j + AHEAD - 2] * stride
        s = rows + channels[j + AHEAD - 1] * stride
        small = form == AVX2 and _sizes(counts, j) <= SMALL
        if small:
            for i in range(8):
                flipped += int64(counts[j + i])
        for i in range(0, columns, BLOCK):
            prefetch_second(k + i)
            prefetch_second(m + i)
            prefetch_second(n + i)
            prefetch_second(o + i)
            prefetch_second(p + i)
            prefetch_second(q + i)
            prefetch_second(r + i)
            prefetch_second(s + i)
            if form == VNNI:
                add_eight(a + i, b + i, c + i, d + i, e + i, f + i, g + i, h + i, first, second, sums + 4 * i)
            elif small:
                add_eight_small(a + i, b + i, c + i, d + i, e + i, f + i, g + i, h + i, first, second, sums + 4 * i)
            else:
                add_eight_wide(a + i, b + i, c + i, d + i, e + i, f + i, g + i, h + i, first, second, sums + 4 * i)
    return flipped


@compiled
def add_rows_vnni(rows, stride, channels, counts, number, columns, sums):
    """Add `columns` (a multiple of 64) of the listed rows to int32 sums in the order of `vnni`.

    Args:
        rows: address of the first column.
        stride: bytes from one row to the next.
        channels, counts: of the list.
        number: of listed channels.
        sums: address of int32 [columns].
    """
    _add_rows(rows, stride, channels, counts, number, columns, sums, VNNI)


@compiled
def add_rows_avx2(rows, stride, channels, counts, number, columns, sums):
    """Add rows as `add_rows_plain`; the arguments are as in `add_rows_vnni`."""
    flipped = _add_rows(rows, stride, channels, counts, number, columns, sums, AVX2)
    if flipped:
        out = vector(sums, columns, WORD)
        more = int32(128 * flipped)
        for n in range(columns):
            out[n] -= more


@compiled
def add_all_rows_vnni(rows, stride, size, columns, words, groups, spare, sums, step):
    """Add `columns` (a multiple of 64) of all rows, for tokens, to int32 sums in the order of `vnni`.

    Rows are interleaved once for all groups of `BATCH` tokens.

    Args:
        rows: address of the first column; `stride` bytes to the next of `size` rows.
        words: address of int32 [groups, size / 4, BATCH], four counts of a token each.
        spare: address of `TOGETHER` columns bytes, at a cache line.
        sums: address of int32 [groups, BATCH, step].
    """
    for first in range(0, size, TOGETHER):
        quads = -(-min(TOGETHER, size - first) // 4)
        for n in range(quads):
            k = first + 4 * n  # of rows beyond the last the counts are 0
            a = rows + k * stride
            b = rows + min(k + 1, size - 1) * stride
            c = rows + min(k + 2, size - 1) * stride
            d = rows + min(k + 3, size - 1) * stride
            for i in range(0, columns, BLOCK):
                interleave(a + i, b + i, c + i, d + i, spare + LINE * (i // 16 * quads + n), LINE * quads)
        following = rows + (first + TOGETHER) * stride
        left = size - first - TOGETHER
        at = 0
        for strip in range(columns // 16):
            # The next rows come while these are multiplied: as many lines for each strip.
            for _ in range(TOGETHER // 4):
                if left > 0:
                    prefetch_second(following + at)
                at += LINE
                if at == columns:
                    following = following + stride
                    left = left - 1
                    at = 0
            place = spare + LINE * strip * quads
            for group in range(groups):
                own = words + 4 * BATCH * (group * -(-size // 4) + first // 4)
                multiply(place, own, quads, sums + LINE * strip + 4 * group * BATCH * step, 4 * step)


@compiled
def spread_counts(channels, counts, heads, size, words):
    """Fill int32 [groups, size / 4, BATCH] with the counts of the lists of tokens, four channels in a word."""
    quads = -(-size // 4)
    flat = vector(words, groups_of(len(channels)) * quads * BATCH * 4, BYTE)
    flat[:] = 0
    for i in range(len(channels)):
        first = i // BATCH * quads
        for j in range(heads[i, NUMBER]):
            k = channels[i, j]
            flat[((first + k // 4) * BATCH + i % BATCH) * 4 + k % 4] += counts[i, j]


@compiled
def settle(sums, columns, total):
    """Turn sums of `add_rows_vnni`, at an address, into sums of the columns in order; `total` is the sum of counts."""
    for n in range(0, columns, BLOCK):
        settled(sums + 4 * n, int32(128 * total))


@compiled
def add_rows_plain(rows, stride, channels, counts, number, columns, sums):
    """Add `columns` of the listed rows to int32 sums [columns] at an address, eight rows at a time.

    Their products are summed in int16 where counts are small enough: twice as many at once, and no wide product.
    """
    out = vector(sums, columns, WORD)
    for j in range(0, number, 8):
        a = _row(rows, stride, channels[j], columns)
        b = _row(rows, stride, channels[j + 1], columns)
        c = _row(rows, stride, channels[j + 2], columns)
        d = _row(rows, stride, channels[j + 3], columns)
        e = _row(rows, stride, channels[j + 4], columns)
        f = _row(rows, stride, channels[j + 5], columns)
        g = _row(rows, stride, channels[j + 6], columns)
        h = _row(rows, stride, channels[j + 7], columns)
        for i in range(8):
            for n in range(0, columns, LINE):
                prefetch(rows + channels[j + 8 + i] * stride + n)
        # Counts of the rows a to h.
        p = int32(counts[j])
        q = int32(counts[j + 1])
        r = int32(counts[j + 2])
        s = int32(counts[j + 3])
        t = int32(counts[j + 4])
        u = int32(counts[j + 5])
        v = int32(counts[j + 6])
        w = int32(counts[j + 7])
        if _sizes(counts, j) <= SHORT:
            for n in range(columns):
                lower = int16(int16(p * a[n]) + int16(q * b[n])) + int16(int16(r * c[n]) + int16(s * d[n]))
                upper = int16(int16(t * e[n]) + int16(u * f[n])) + int16(int16(v * g[n]) + int16(w * h[n]))
                out[n] += int32(int16(int16(lower) + int16(upper)))
        else:
            for n in range(columns):
                lower = int32(p * a[n]) + int32(q * b[n]) + int32(r * c[n]) + int32(s * d[n])
                upper = int32(t * e[n]) + int32(u * f[n]) + int32(v * g[n]) + int32(w * h[n])
                out[n] += int32(lower + upper)


# Called, not inlined: a loop over so few arrays becomes vector instructions.
@compiled
def _scale(sums, steps, level, out):
    for n in range(out.size):
        out[n] = float32(sums[n]) * steps[n] * level


@njit(inline="always")
def _add_escaped(sums, number, channels, excess, rows, stride):
    """Add to integer sums of columns the `excess` of escaped counts times their rows, at an address."""
    for e in range(number):
        row = vector(rows + channels[e] * stride, sums.size, BYTE)
        for n in range(sums.size):
            sums[n] += excess[e] * int32(row[n])


@compiled
def add_all_rows_amx(rows, stride, size, columns, flat, groups, spare, sums, step):
    """Add rows as `add_all_rows_vnni`, by the tiles of AMX, which this thread has begun.

    One group takes 16 GB/s of weights, where memory streams 22, and four groups take half more time. To ask for the
    next rows ahead of time, as VNNI does, costs half more: the processor sees the order of the rows itself.

    Args:
        flat: address of int8 counts [groups, BATCH, size], size to the next multiple of 64.
        spare: address of `SPARE_AMX` bytes, at a cache line.
    """
    padded = -(-size // CHANNELS) * CHANNELS
    # A line more than the strip has: at multiples of 4 kB all strips would share the same lines of the first cache.
    strip = LINE * (TOGETHER_AMX // 4 + 1)
    for first in range(0, size, TOGETHER_AMX):
        number = min(TOGETHER_AMX, size - first)
        for n in range(-(-number // 4)):
            k = first + 4 * n  # of rows beyond the last the counts are 0
            a = rows + k * stride
            b = rows + min(k + 1, size - 1) * stride
            c = rows + min(k + 2, size - 1) * stride
            d = rows + min(k + 3, size - 1) * stride
            for i in range(0, columns, BLOCK):
                interleave(a + i, b + i, c + i, d + i, spare + i // 16 * strip + LINE * n, strip)
        blocks = -(-number // CHANNELS)
        for i in range(0, columns, BLOCK):
            place = spare + i // 16 * strip
            for group in range(groups):
                own = flat + group * BATCH * padded + first
                multiply_tiles(place, strip, own, padded, blocks, sums + 4 * i + 4 * group * BATCH * step, 4 * step)


@compiled
def flat_counts(channels, counts, heads, size, flat):
    """Fill int8 counts [tokens, size] at an address, size to the next multiple of 64, from the lists of tokens."""
    padded = -(-size // CHANNELS) * CHANNELS
    rows = matrix(flat, groups_of(len(channels)) * BATCH, padded, BYTE)
    rows[:] = 0
    for i in range(len(channels)):
        for j in range(heads[i, NUMBER]):
            rows[i, channels[i, j]] = counts[i, j]


@njit(inline="always")
def _all_rows(p, channels, counts, heads, start, last, form):
    """Fill the sums of columns `start` to `last` from all rows, if enough are active; return whether they are."""
    groups = groups_of(len(channels))
    active = 0
    for i in range(len(channels)):
        active += heads[i, NUMBER]
    # A group costs AMX half as much as to interleave the rows, which is done once.
    enough = groups + 1 if form == AMX else MANY * groups
    if last <= start or active < enough * p.size:
        return False
    sums = matrix(p.sums, groups * BATCH, p.stride, WORD)
    sums[:, start:last] = 0
    if form == AMX:
        flat = p.spare + SPARE_AMX
        flat_counts(channels, counts, heads, p.size, flat)
        begin_tiles()
        for first in range(start, last, TILE):
            columns = min(TILE, last - first)
            place = p.sums + 4 * first
            add_all_rows_amx(p.rows + first, p.stride, p.size, columns, flat, groups, p.spare, place, p.stride)
        end_tiles()
        return True
    # One group is quickest with whole rows, more of them where their sums stay in the second cache.
    tile = TILE if groups > 1 else last - start
    words = p.spare + TOGETHER * tile
    spread_counts(channels, counts, heads, p.size, words)
    for first in range(start, last, tile):
        columns = min(tile, last - first)
        place = p.sums + 4 * first
        add_all_rows_vnni(p.rows + first, p.stride, p.size, columns, words, groups, p.spare, place, p.stride)
    return True


@njit(inline="always")
def _sum_rows(rows, stride, channels, counts, head, total, form):
    """Fill int32 total [columns] with sums of the listed rows, the first column of the first row at an address."""
    number = head[NUMBER]
    columns = total.size
    place = total.ctypes.data
    total[:] = 0
    # One form at a time: of `form in (AMX, VNNI)` numba compiles what follows for other processors, too.
    if form == PLAIN:
        add_rows_plain(rows, stride, channels, counts, number, columns, place)
    elif form == AVX2:
        add_rows_avx2(rows, stride, channels, counts, number, columns, place)
    else:
        add_rows_vnni(rows, stride, channels, counts, number, columns, place)
        settle(place, columns, head[SUM])


@njit(inline="always")
def _finish_parts(p, heads, start, last):
    """Turn the sums of columns `start` to `last` into outputs, layer by layer."""
    parts = matrix(p.parts, p.part_count, PART, LONG)
    level = vector(p.level, p.tokens, FLOAT)
    escaped = matrix(p.escaped, p.tokens, p.size, WORD)
    excess = matrix(p.excess, p.tokens, p.size, WORD)
    for n in range(p.part_count):
        part = parts[n]
        first, columns, behind = columns_of(part, start, last)
        if columns <= 0:
            continue
        steps = vector(part[STEPS] + behind, columns, FLOAT)
        for i in range(p.tokens):
            total = vector(p.sums + 4 * (i * p.stride + first), columns, WORD)
            _add_escaped(total, heads[i, ESCAPES], escaped[i], excess[i], p.rows + first, p.stride)
            place = behind + 4 * i * part[WIDTH]
            out = vector(part[OUT] + place, columns, FLOAT)
            _scale(total, steps, level[i] if p.has_levels else float32(1), out)
            finish(out, later(part[BIAS], behind), later(part[BEFORE], place))


@njit(inline="always")
def _integer_rows(p, begin, end, form):
    """Add the rows int8 [K, stride] of the listed channels, see `encode`: those of layers that read the same list.

    Operands: `has_levels`: tokens have levels; `parts`, the columns of the layers, see `parts`; `sums` int32 [tokens,
    stride]; `spare`, `all_rows_size` bytes for this thread: there are then sums of whole groups of tokens. Parts are
    blocks of 64 columns.
    """
    stride = p.stride
    tokens = p.tokens
    room = -(-p.size // 8) * 8 + AHEAD
    channels = matrix(p.channels, tokens, room, WORD)
    counts = matrix(p.counts, tokens, room, BYTE)
    heads = matrix(p.head, tokens, HEAD, LONG)
    sums = matrix(p.sums, tokens, stride, WORD)
    start = begin * BLOCK
    last = min(end * BLOCK, stride)
    # Tokens share a tile of columns while it is in cache; one token alone takes all its columns at once.
    if tokens > 1:
        tile = TILE
    else:
        tile = max(last - start, BLOCK)
    everything = False
    if form in (AMX, VNNI):
        everything = p.spare != 0 and _all_rows(p, channels, counts, heads, start, last, form)
    for first in range(start, last, tile):
        columns = min(tile, last - first)
        for i in range(tokens):
            total = sums[i, first : first + columns]
            if everything:
                settle(total.ctypes.data, columns, heads[i, SUM])
            else:
                _sum_rows(p.rows + first, stride, channels[i], counts[i], heads[i], total, form)
    _finish_parts(p, heads, start, last)


@njit(inline="always")
def _partial_rows(p, form):
    """Fill sums of the rows of some channels, for all outputs of one token.

    Operands: `rows` int8 [K, stride] of these channels; the list, without escapes; `sums` int32 [stride].
    """
    room = -(-p.size // 8) * 8 + AHEAD
    channels = vector(p.channels, room, WORD)
    counts = vector(p.counts, room, BYTE)
    head = vector(p.head, HEAD, LONG)
    _sum_rows(p.rows, p.stride, channels, counts, head, vector(p.sums, p.stride, WORD), form)


@operation(PARTIAL_OPERANDS)
def partial_rows_vnni(p, context, begin, end):
    _partial_rows(p, VNNI)


@operation(PARTIAL_OPERANDS)
def partial_rows_avx2(p, context, begin, end):
    _partial_rows(p, AVX2)


@operation(PARTIAL_OPERANDS)
def partial_rows(p, context, begin, end):
    _partial_rows(p, PLAIN)


@operation("parts threads stride width steps bias? before out sums")
def join(p, context, begin, end):
    """Add the sums of all threads, and finish the outputs of a layer whose tokens have no levels.

    Operands: `parts` int32 [threads, stride]; `steps` [N]; `before`, the residual; `sums` int32 [N] for this thread.
    """
    width = p.width
    parts = matrix(p.parts, p.threads, p.stride, WORD)
    steps = vector(p.steps, width, FLOAT)
    out = vector(p.out, width, FLOAT)
    total = vector(p.sums, width, WORD)
    total[:] = parts[0, :width]
    for t in range(1, p.threads):
        more = parts[t]
        for n in range(width):
            total[n] += more[n]
    for n in range(width):
        out[n] = float32(total[n]) * steps[n]
    finish(out, p.bias, p.before)


@operation(INTEGER_OPERANDS)
def integer_rows_amx(p, context, begin, end):
    _integer_rows(p, begin, end, AMX)


@operation(INTEGER_OPERANDS)
def integer_rows_vnni(p, context, begin, end):
    _integer_rows(p, begin, end, VNNI)


@operation(INTEGER_OPERANDS)
def integer_rows_avx2(p, context, begin, end):
    _integer_rows(p, begin, end, AVX2)


@operation(INTEGER_OPERANDS)
def integer_rows(p, context, begin, end):
    _integer_rows(p, begin, end, PLAIN)


INTEGER_ROWS = (integer_rows_amx, integer_rows_vnni, integer_rows_avx2, integer_rows)
PARTIAL_ROWS = (partial_rows_vnni, partial_rows_vnni, partial_rows_avx2, partial_rows)


def fastest():
    """Return the form of the sums that is fastest on this processor."""
    if has_vnni():
        return AMX if has_amx() else VNNI
    return AVX2 if has_avx2() else PLAIN
