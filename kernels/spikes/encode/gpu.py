"""`encode` for a GPU: one program for each token, counts or bit planes, with the bits of the reference.

The excess of clipped counts goes into a list of its token by running sums: in order, and without waiting for the host.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import reference as plain

MAGIC = tl.constexpr(float(plain.MAGIC))
MAX_COUNT = tl.constexpr(float(plain.MAX_COUNT))
MIN_THRESHOLD = tl.constexpr(float(plain.MIN_THRESHOLD))
MAX_THRESHOLD = tl.constexpr(float(plain.MAX_THRESHOLD))
DIGITS = tl.constexpr(plain.DIGITS + 127)
FLOOR = tl.constexpr(plain.FLOOR)
NOT_FINITE = tl.constexpr(plain.NOT_FINITE)
EVEN = tl.constexpr(plain.EVEN)
AWAY = tl.constexpr(plain.AWAY)
UP = tl.constexpr(plain.UP)
PRICED = tl.constexpr(plain.PRICED)
PRICED_COUNTS = tl.constexpr(plain.PRICED_COUNTS)
NEAREST = -1  # KIND of a `Rounding` without shrinkage and saturation
SIZE_BITS = tl.constexpr(0x7FFFFFFF)

TILE = 4096  # channels a program holds at once


@triton.jit
def unit_of(most):
    """Return the power of two that multiplies |x| in the sum; `most` holds the bits of the largest |x|."""
    exponent = tl.maximum((most >> 23) - 127, FLOOR)
    # The tensor first: the interpreter makes no tensor of a constant minus one.
    return ((-exponent + DIGITS) << 23).to(tl.float32, bitcast=True)


@triton.jit
def threshold_of(total, most, share):
    """Return a token's own threshold from its sum in units; NaN where x was not finite. `share` is K k."""
    mean = tl.div_rn(tl.div_rn(total.to(tl.float32), share), unit_of(most))
    mean = tl.minimum(tl.maximum(mean, MIN_THRESHOLD), MAX_THRESHOLD)
    return tl.where(most >= NOT_FINITE, float("nan"), mean)


@triton.jit
def token_threshold(x_ptr, inputs, share, TILE: tl.constexpr):
    """Return the threshold of the `inputs` numbers at x_ptr; the second reading comes from a cache."""
    at = tl.arange(0, TILE)
    most = tl.zeros((), tl.int32)
    for first in range(0, inputs, TILE):
        x = tl.load(x_ptr + first + at, mask=first + at < inputs, other=0.0).to(tl.float32)
        most = tl.maximum(most, tl.max(x.to(tl.int32, bitcast=True) & SIZE_BITS))
    unit = unit_of(most)
    total = tl.zeros((), tl.int64)
    for first in range(0, inputs, TILE):
        x = tl.load(x_ptr + first + at, mask=first + at < inputs, other=0.0).to(tl.float32)
        total += tl.sum((tl.abs(x) * unit).to(tl.int64))
    return threshold_of(total, most, share)


@triton.jit
def canonical_digits(count):
    """Return the number of nonzero canonical digits of counts below 256."""
    bits = count ^ (3 * count)
    digits = bits & 1
    for place in tl.static_range(1, 10):
        digits += (bits >> place) & 1
    return digits


@triton.jit
def priced_count(size, price):
    """Return the counts of sizes by the price of their digits."""
    low = tl.floor(size)
    count = tl.minimum(low, PRICED_COUNTS).to(tl.int32)
    more = (canonical_digits(count + 1) - canonical_digits(count)).to(tl.float32)
    edge = 0.5 + 0.5 * price * tl.where(low < PRICED_COUNTS, more, 0.0)
    return tl.where(size - low >= edge, low + 1, low)


@triton.jit
def looked_up_count(size, edges_ptr, levels_ptr):
    """Return the counts of sizes by a table: the level behind the edges that are at most the size."""
    at = (size * 0.0).to(tl.int32)  # number of edges <= size, by bisection
    for bit in tl.static_range(7):
        higher = at + (64 >> bit)
        at = tl.where(size >= tl.load(edges_ptr + higher - 1), higher, at)
    return tl.load(levels_ptr + at).to(tl.float32)


@triton.jit
def round_count(x, threshold, edges_ptr, levels_ptr, shrink, max_count, price, KIND: tl.constexpr):
    """Return counts of x as float32 integers, by any `Rounding`; KIND < 0 is `NEAREST`.

    Args:
        x: [n] float32; 0 gives 0, so that channels beyond the last may be read as 0.
        threshold: [n] or one number.
        edges_ptr, levels_ptr: float32 [127] and int8 [128], the table of KIND SEARCH, read by it alone.
    """
    quotient = tl.minimum(tl.maximum(tl.div_rn(x, threshold), -MAX_COUNT), MAX_COUNT)
    if KIND < 0:
        whole = (quotient + MAGIC) - MAGIC
    else:
        size = tl.maximum(tl.abs(quotient) - shrink, 0.0)
        signed = tl.where(quotient < 0, -size, size)
        if KIND == EVEN:
            whole = (signed + MAGIC) - MAGIC
        elif KIND == UP:
            whole = tl.floor(signed + 0.5)
        else:
            if KIND == AWAY:
                whole = tl.floor(size + 0.5)
            elif KIND == PRICED:
                whole = priced_count(size, price)
            else:
                whole = looked_up_count(size, edges_ptr, levels_ptr)
            whole = tl.where(quotient < 0, -whole, whole)
        whole = tl.minimum(tl.maximum(whole, -max_count), max_count)
    return whole


@triton.jit
def pack_words(bits, WORDS: tl.constexpr):
    """Pack [WORDS * 32] int32 of 0 and 1 into [WORDS] int32: bit j of word w is entry 32 w + j."""
    placed = tl.reshape(bits, [WORDS, 32]) << tl.arange(0, 32)[None, :]
    return tl.sum(placed, axis=1)


@triton.jit
def store_planes(words_ptr, inside, counts, step, PLANES: tl.constexpr, WORDS: tl.constexpr):
    """Store counts [32 WORDS] as bits: words_ptr [WORDS] of the signs, and each plane `step` words behind the other."""
    tl.store(words_ptr, pack_words((counts < 0).to(tl.int32), WORDS), mask=inside)
    size = tl.abs(counts)
    for p in tl.static_range(PLANES):
        tl.store(words_ptr + (1 + p) * step, pack_words((size >> p) & 1, WORDS), mask=inside)


@triton.jit
def encode_kernel(
    x_ptr, thresholds_ptr, out_ptr, number_ptr, channels_ptr, excess_ptr, edges_ptr, levels_ptr,
    shrink, max_count, factor, price, inputs, words, share,
    KIND: tl.constexpr, LIMIT: tl.constexpr, GIVEN: tl.constexpr, PLANES: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Encode the row of this program, TILE channels at a time.

    Args:
        x_ptr: [B, inputs] of any float type, row after row.
        thresholds_ptr: float32; with GIVEN [inputs], read, else [B], filled.
        out_ptr: counts int8 [B, inputs] or, with PLANES, words int32 [B, 1 + PLANES, words], see `planes`.
        number_ptr, channels_ptr, excess_ptr: `Escapes` to fill, int32 [B], [B, inputs] and [B, inputs].
        edges_ptr, levels_ptr: see `round_count`.
        words: ceil(inputs / 32).
        share: inputs times k.

    Channels beyond the last are read as 0 and not written; words beyond the last are not written.
    """
    row = tl.program_id(0).to(tl.int64)
    x_ptr += row * inputs
    channels_ptr += row * inputs
    excess_ptr += row * inputs
    if not GIVEN:
        own = token_threshold(x_ptr, inputs, share, TILE)
        tl.store(thresholds_ptr + row, own)
    at = tl.arange(0, TILE)
    listed = tl.zeros((), tl.int32)
    for first in range(0, inputs, TILE):
        channel = first + at
        inside = channel < inputs
        x = tl.load(x_ptr + channel, mask=inside, other=0.0).to(tl.float32)
        if GIVEN:
            threshold = tl.load(thresholds_ptr + channel, mask=inside, other=1.0)
        else:
            threshold = own * factor
        whole = round_count(x, threshold, edges_ptr, levels_ptr, shrink, max_count, price, KIND)
        count = whole.to(tl.int32)
        clipped = tl.minimum(tl.maximum(count, -LIMIT), LIMIT)
        excess = count - clipped
        # Where the threshold is NaN, so is 0 divided by it.
        beyond = ((excess != 0) & inside).to(tl.int32)
        several = tl.sum(beyond)
        if several > 0:
            place = listed + tl.cumsum(beyond, 0) - 1
            tl.store(channels_ptr + place, channel, mask=beyond > 0)
            tl.store(excess_ptr + place, excess, mask=beyond > 0)
            listed += several
        if PLANES == 0:
            tl.store(out_ptr + row * inputs + channel, clipped.to(tl.int8), mask=inside)
        else:
            word = first // 32 + tl.arange(0, TILE // 32)
            store_planes(out_ptr + row * (1 + PLANES) * words + word, word < words, clipped, words, PLANES, TILE // 32)
    tl.store(number_ptr + row, listed)


def launch(x, k, thresholds, limit, planes, rounding):
    """Encode [B, K] with one program for each row; return counts or words, thresholds and escapes.

    Args:
        thresholds: [K] of channels; None: each row has its own.
        limit: largest size of a count; the rest of larger ones escapes.
        planes: bits of a size; 0 for counts.
    """
    x = x.contiguous()
    rows, inputs = x.shape
    device = x.device
    words = -(-inputs // 32)
    if planes:
        out = torch.empty((rows, 1 + planes, words), dtype=torch.int32, device=device)
    else:
        out = torch.empty((rows, inputs), dtype=torch.int8, device=device)
    given = thresholds is not None
    if given:
        used = thresholds.float().contiguous()
    else:
        used = torch.empty(rows, dtype=torch.float32, device=device)
    number = torch.empty(rows, dtype=torch.int32, device=device)
    channels = torch.empty((rows, inputs), dtype=torch.int32, device=device)
    excess = torch.empty((rows, inputs), dtype=torch.int32, device=device)
    tile = tile_of(inputs)
    rule, kind = rounding_of(rounding, x)
    encode_kernel[(rows,)](
        x, used, out, number, channels, excess, *rule, inputs, words, share_of(inputs, k),
        KIND=kind, LIMIT=limit, GIVEN=given, PLANES=planes, TILE=tile, num_warps=warps_of(tile), enable_fp_fusion=False,
    )  # fmt: skip
    return out, used, plain.Escapes(number, channels, excess)


def rounding_of(rounding, unused):
    """Return ((edges, levels, shrink, max_count, factor, price), KIND); `unused` stands for absent tensors."""
    kind, shrink, max_count, factor, edges, levels, _, price = rounding
    if edges is None:
        tensors = (unused, unused)
    else:
        tensors = (edges, levels)
    simple = rounding._replace(factor=1.0) == plain.NEAREST
    return (*tensors, float(shrink), float(max_count), float(factor), float(price)), NEAREST if simple else kind


def share_of(inputs, k):
    """Return K k, rounded as in the reference."""
    return float(plain.share(inputs, k))


def tile_of(inputs):
    """Return the channels of a program: all of them up to TILE, and at least four words."""
    return max(128, min(TILE, triton.next_power_of_2(inputs)))


def warps_of(tile):
    return 8 if tile >= 2048 else 4


def encode(x, k, thresholds, limit, rounding=plain.NEAREST):
    """Encode on a GPU; its caller has checked the arguments."""
    return plain.Counts(*launch(x, k, thresholds, limit, 0, rounding))
