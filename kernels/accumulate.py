"""Spikes select rows of weights and the rows are added: out[B, N] = counts[B, K] @ weights[K, N], skipping zeros.

Spikes come as int8 counts (with an exact escape for larger ones, see `encode`), as bit planes (`planes`), or as an
index list; all are turned into one list of active channels a row, which costs microseconds, and share one loop over
it. A sum is taken in an order that depends on that row's list alone: neither threads, nor the rest of the batch, nor
the form in which the spikes came change a bit of it. With int8 weights sums are int32 and exact.

On a GPU (`accumulate_triton`) weights are kept as each regime wants them: [K, N] for the masked product of a few
tokens, [N, K] int8 for the count product of a batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from neurosim.kernels.encode import encode
from neurosim.kernels.lif_pack import lif_pack
from neurosim.kernels.parallel import spread

# Channels, and outputs, whose part of the weights (128 KB) stays in a core's cache while a batch passes over it.
BLOCK = 32
TILE = 1024
# Multiply-adds that are worth a thread: about 0.1 ms.
PRODUCTS_PER_THREAD = 1 << 20
INT32_LIMIT = 2**31 - 1


class Active(NamedTuple):
    """Active channels of each row, ascending: row i has entries `ends[i]` to `ends[i + 1] - 1`."""

    ends: np.ndarray  # [B + 1] int64
    channels: np.ndarray  # [n] int32
    values: np.ndarray  # [n] int32, never 0


class Work(NamedTuple):
    """What a product did, summed over its rows: for reports and byte floors."""

    operations: int  # multiply-adds: N for every active channel of every row
    spikes: int  # sum of |count|: what unary coding would have sent
    dense_operations: int  # B K N
    weight_bytes: int  # weights read where each row reads its own: operations x the size of a weight
    batch_bytes: int  # weights read where a batch shares them: each row of weights once if any row selects it
    dense_bytes: int  # all weights once
    silent: int  # entries that are zero


def accumulate_reference(counts, weights, escapes=None):
    """[B, K] whole numbers, [K, N] to [B, N]: the specification, in int64 or float64.

    Integer weights give int32 and are exact; others give float32.
    """
    whole = np.issubdtype(weights.dtype, np.integer)
    counts = whole_counts(counts, escapes)
    if whole:
        return (counts.astype(np.int64) @ weights.astype(np.int64)).astype(np.int32)
    return (counts.astype(np.float64) @ weights.astype(np.float64)).astype(np.float32)


def whole_counts(counts, escapes=None):
    """[B, K] int32: clipped counts with what was clipped added again."""
    full = np.array(counts, np.int32)
    if escapes is not None:
        for i, n in enumerate(escapes.number):
            full[i, escapes.channels[i, :n]] += escapes.excess[i, :n]
    return full


def spike_accumulate(counts, weights, escapes=None, threads=1):
    """out[B, N] = counts @ weights, over active channels only.

    Args:
        counts: [B, K] int8 or int32; numpy, or a torch tensor on any device.
        weights: [K, N] float32, bfloat16 (numpy: its bits as uint16) or int8, of the same kind and place. On a GPU
            a batch of more than 8 with int8 weights is fastest where `weights` is the transpose of a contiguous
            [N, K].
        escapes: what of larger counts is missing in `counts`, as `encode` returns it.
        threads: does not change the result; on a CPU only.

    Returns: [B, N] float32, or int32 with int8 weights; of the kind that came.

    Raises:
        ValueError: shapes that do not fit, a type that is not listed, int32 sums that could overflow.
    """
    if not isinstance(counts, np.ndarray):
        return _torch(counts, weights, escapes, threads)
    if counts.ndim != 2 or weights.ndim != 2 or counts.shape[1] != weights.shape[0]:
        raise ValueError(f"spike_accumulate: counts {counts.shape} @ weights {weights.shape} do not fit")
    return accumulate_active(active(counts, escapes), weights, threads)


def encode_accumulate(x, weights, k=3.0, thresholds=None, threads=1):
    """A linear layer in spikes: `encode`, `spike_accumulate`, and times each token's own threshold.

    On a GPU one token is encoded and accumulated by one kernel. With thresholds of channels nothing is scaled: they
    belong into the weights. Counts keep their exact escapes.

    Returns: (y [B, N] float32, thresholds [B], or [K] as given).

    Raises:
        ValueError: as `encode` and `spike_accumulate`.
    """
    if not isinstance(x, np.ndarray) and x.is_cuda:
        from neurosim.kernels.accumulate_triton import encode_product

        return encode_product(x, weights, k, thresholds)
    coded = encode(x, k, thresholds, threads=threads)
    sums = spike_accumulate(coded.counts, weights, coded.escapes, threads)
    sums = sums.astype(np.float32) if isinstance(sums, np.ndarray) else sums.float()
    return (sums if thresholds is not None else sums * coded.thresholds[:, None]), coded.thresholds


def accumulate_fire(counts, weights, v, membrane, escapes=None, threads=1):
    """`spike_accumulate`, and `lif_pack` on its result: packed spikes [B, ceil(N / 32)]; v [B, N] is updated in place.

    On a GPU the sums of up to 16 rows are fired on where they are finished, and never stored.

    Raises:
        ValueError: as `spike_accumulate` and `lif_pack`.
    """
    if not isinstance(counts, np.ndarray) and counts.is_cuda:
        from neurosim.kernels.accumulate_triton import fire

        return fire(counts, weights, v, membrane, escapes)
    return lif_pack(spike_accumulate(counts, weights, escapes, threads), v, membrane, threads)


def _torch(counts, weights, escapes, threads):
    import torch

    if counts.is_cuda:
        from neurosim.kernels.accumulate_triton import product

        return product(counts, weights, escapes)
    bits = weights.view(torch.uint16) if weights.dtype == torch.bfloat16 else weights
    out = spike_accumulate(counts.numpy(), bits.detach().numpy(), _numpy_escapes(escapes), threads)
    return torch.from_numpy(out)


def _numpy_escapes(escapes):
    return escapes if escapes is None else type(escapes)(*(np.asarray(part) for part in escapes))


def active(counts, escapes=None):
    """[B, K] int8 or int32 counts, and what was clipped off them, to their `Active`."""
    counts = np.ascontiguousarray(counts)
    ends = np.zeros(len(counts) + 1, np.int64)
    _count(counts, ends)
    channels, values = np.empty(ends[-1], np.int32), np.empty(ends[-1], np.int32)
    _list(counts, ends, channels, values)
    return restore(Active(ends, channels, values), escapes)


def restore(chosen, escapes):
    """`chosen`, its values made whole again (in place) where counts were clipped."""
    if escapes is not None and escapes.number.any():
        _restore(*chosen, *escapes)
    return chosen


def index_list(channels, ends, values=None):
    """`Active` from flat channel numbers [n] and ends [B + 1] of each row; every value is 1 unless given."""
    channels = np.ascontiguousarray(channels, np.int32)
    values = np.ones(len(channels), np.int32) if values is None else np.ascontiguousarray(values, np.int32)
    return Active(np.ascontiguousarray(ends, np.int64), channels, values)


def accumulate_active(chosen, weights, threads=1):
    """As `spike_accumulate`, from an `Active` and numpy weights."""
    if weights.dtype not in (np.float32, np.int8, np.uint16):
        raise ValueError(
            f"spike_accumulate: weights are float32, int8 or uint16 (the bits of bfloat16), not {weights.dtype}"
        )
    rows, outputs = len(chosen.ends) - 1, weights.shape[1]
    out = np.zeros((rows, outputs), np.int32 if weights.dtype == np.int8 else np.float32)
    if weights.dtype == np.int8 and _largest(chosen.ends, chosen.values) * 128 > INT32_LIMIT:
        raise ValueError("spike_accumulate: counts are so large that an int32 sum could overflow; use float32 weights")
    weights = np.ascontiguousarray(weights)
    # Whole cache lines to each thread, and one tile where nothing is shared within a batch.
    tiles = -(-outputs // 64)
    bounds = np.arange(tiles + 1) * (len(chosen.channels) * 64)

    def part(a, b):
        first, last = 64 * a, min(outputs, 64 * b)
        _gather(chosen.ends, chosen.channels, chosen.values, weights, first, last, TILE if rows > 1 else outputs, out)

    spread(part, bounds, threads, PRODUCTS_PER_THREAD)
    return out


def work(counts, outputs, weight_bytes, escapes=None):
    """`Work` of one product of [B, K] counts with [K, outputs] weights of `weight_bytes` bytes each."""
    full = whole_counts(counts, escapes)
    on = full != 0
    each = int(np.count_nonzero(on)) * outputs
    shared = int(np.count_nonzero(on.any(axis=0))) * outputs
    return Work(
        operations=each,
        spikes=int(np.abs(full.astype(np.int64)).sum()),
        dense_operations=full.size * outputs,
        weight_bytes=each * weight_bytes,
        batch_bytes=shared * weight_bytes,
        dense_bytes=full.shape[1] * outputs * weight_bytes,
        silent=int(full.size - np.count_nonzero(on)),
    )


@intrinsic
def _widen(typing, weight):
    """A weight as what is added up: int8 as int32, the bits of a bfloat16 as the float32 that begins with them."""
    kind = {types.int8: types.int32, types.float32: types.float32, types.uint16: types.float32}[weight]

    def emit(context, builder, signature, arguments):
        value, wide = arguments[0], context.get_value_type(kind)
        if weight == types.int8:
            return builder.sext(value, wide)
        if weight == types.uint16:
            word = builder.zext(value, context.get_value_type(types.uint32))
            return builder.bitcast(builder.shl(word, word.type(16)), wide)
        return value

    return kind(weight), emit


@njit(cache=True, nogil=True)
def _count(counts, ends):
    for i in range(counts.shape[0]):
        n = 0
        row = counts[i]
        for k in range(row.size):
            n += row[k] != 0
        ends[i + 1] = ends[i] + n


@njit(cache=True, nogil=True)
def _list(counts, ends, channels, values):
    for i in range(counts.shape[0]):
        row, at, end = counts[i], ends[i], ends[i + 1]
        k = 0
        # Without a branch: an entry is written where the next one belongs, and stays if it is not zero.
        while at < end:
            channels[at] = k
            values[at] = row[k]
            at += row[k] != 0
            k += 1


@njit(cache=True, nogil=True)
def _restore(ends, channels, values, number, escaped, excess):
    """Add to each clipped count what was clipped off it. Both lists ascend."""
    for i in range(number.size):
        at = ends[i]
        for e in range(number[i]):
            while channels[at] != escaped[i, e]:
                at += 1
            values[at] += excess[i, e]


@njit(cache=True, nogil=True)
def _largest(ends, values):
    """The largest sum of |values| of a row."""
    largest = 0
    for i in range(ends.size - 1):
        total = 0
        for j in range(ends[i], ends[i + 1]):
            total += abs(values[j])
        largest = max(largest, total)
    return largest


# A product and a sum in one rounding where the processor has that: half the instructions.
@njit(cache=True, nogil=True, fastmath={"contract"})
def _gather(ends, channels, values, weights, first, last, tile, out):
    """Columns `first` to `last` of the sums; by eights, for then a sum is read and written once for eight rows.

    Entries are grouped by their place in their row's list, so neither blocks nor tiles change a sum.
    """
    rows, inputs, kind = out.shape[0], weights.shape[0], out.dtype.type
    place = np.empty(rows, np.int64)
    for begin in range(first, last, tile):
        end = min(last, begin + tile)
        place[:] = ends[:-1]
        for block in range(BLOCK, inputs + BLOCK, BLOCK):
            for i in range(rows):
                j, full = place[i], ends[i + 1] - 8
                acc = out[i, begin:end]
                while j <= full and channels[j] < block:
                    # Names, not a list of them: LLVM then sees that the sums are apart from all of them.
                    a, b = weights[channels[j], begin:end], weights[channels[j + 1], begin:end]
                    c, d = weights[channels[j + 2], begin:end], weights[channels[j + 3], begin:end]
                    e, f = weights[channels[j + 4], begin:end], weights[channels[j + 5], begin:end]
                    g, h = weights[channels[j + 6], begin:end], weights[channels[j + 7], begin:end]
                    p, q, r, s = kind(values[j]), kind(values[j + 1]), kind(values[j + 2]), kind(values[j + 3])
                    t, u, v, w = kind(values[j + 4]), kind(values[j + 5]), kind(values[j + 6]), kind(values[j + 7])
                    for n in range(acc.size):
                        lower = (p * _widen(a[n]) + q * _widen(b[n])) + (r * _widen(c[n]) + s * _widen(d[n]))
                        upper = (t * _widen(e[n]) + u * _widen(f[n])) + (v * _widen(g[n]) + w * _widen(h[n]))
                        acc[n] += lower + upper
                    j += 8
                place[i] = j
        for i in range(rows):
            acc = out[i, begin:end]
            for j in range(place[i], ends[i + 1]):
                a, p = weights[channels[j], begin:end], kind(values[j])
                for n in range(acc.size):
                    acc[n] += p * _widen(a[n])
