"""Linear layers of a decoder: rows of weights [K, N] of active channels are added; scale, bias and residual behind.

Rows are int8, and their sums int32. `listed_rows` adds the rows of a token's active channels, `all_rows` multiplies all
rows for a batch of tokens whose channels are active often enough. There is an operation for each form of the sums, and
`fastest` says which this processor has.
"""

from __future__ import annotations

from numba import float32, int32, njit

from ...tools.compiled import compiled
from ...tools.pointers import matrix, vector
from ..program import BYTE, FLOAT, LONG, WORD, operation
from .all_rows import TILE, all_rows
from .amx import has_amx
from .avx2 import has_avx2
from .encode import AHEAD, ESCAPES, HEAD, LIST, SUM
from .listed_rows import AMX, AVX2, PLAIN, VNNI, settle, sum_rows
from .parts import BEFORE, BIAS, OUT, PART, STEPS, WIDTH, columns_of, finish, later
from .vnni import BLOCK, has_vnni

INTEGER_OPERANDS = f"rows stride size tokens {LIST} has_levels parts part_count sums spare?"
PARTIAL_OPERANDS = f"rows stride size {LIST} sums"


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
        everything = p.spare != 0 and all_rows(p, channels, counts, heads, start, last, form)
    for first in range(start, last, tile):
        columns = min(tile, last - first)
        for i in range(tokens):
            total = sums[i, first : first + columns]
            if everything:
                settle(total.ctypes.data, columns, heads[i, SUM])
            else:
                sum_rows(p.rows + first, stride, channels[i], counts[i], heads[i], total, form)
    _finish_parts(p, heads, start, last)


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
def _add_escaped(sums, number, channels, excess, rows, stride):
    """Add to integer sums of columns the `excess` of escaped counts times their rows, at an address."""
    for e in range(number):
        row = vector(rows + channels[e] * stride, sums.size, BYTE)
        for n in range(sums.size):
            sums[n] += excess[e] * int32(row[n])


# Called, not inlined: a loop over so few arrays becomes vector instructions.
@compiled
def _scale(sums, steps, level, out):
    for n in range(out.size):
        out[n] = float32(sums[n]) * steps[n] * level


@njit(inline="always")
def _partial_rows(p, form):
    """Fill sums of the rows of some channels, for all outputs of one token.

    Operands: `rows` int8 [K, stride] of these channels; the list, without escapes; `sums` int32 [stride].
    """
    room = -(-p.size // 8) * 8 + AHEAD
    channels = vector(p.channels, room, WORD)
    counts = vector(p.counts, room, BYTE)
    head = vector(p.head, HEAD, LONG)
    sum_rows(p.rows, p.stride, channels, counts, head, vector(p.sums, p.stride, WORD), form)


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


INTEGER_ROWS = (integer_rows_amx, integer_rows_vnni, integer_rows_avx2, integer_rows)
PARTIAL_ROWS = (partial_rows_vnni, partial_rows_vnni, partial_rows_avx2, partial_rows)


def fastest():
    """Return the form of the sums that is fastest on this processor."""
    if has_vnni():
        return AMX if has_amx() else VNNI
    return AVX2 if has_avx2() else PLAIN
