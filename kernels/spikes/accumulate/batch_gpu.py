"""Spikes of many tokens times weights: a dense product of their counts by matrix instructions.

Sparse entries save nothing here, because some token selects each row of weights. The gain is int8 counts by int8
weights [N, K] at twice the rate of fp16, and all planes in one product. With fp16 or bf16 weights counts are cast,
which is exact up to 127. Spikes come as counts, or as bit planes that are expanded in registers: a tile of words,
broadcast, shifted and reshaped (expanding the loads instead would need more shared memory than there is).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl


@triton.jit
def escaped(acc, lists_ptr, weights_ptr, b, n, rows, inputs, outputs, step_k, step_n):
    """Return acc [rows of b, outputs of n] plus the excess of their clipped counts, in the order of the lists.

    Args:
        lists_ptr: pointers to number, channels and excess of `Escapes`.
        b, n: numbers of rows and of outputs; those beyond the last have empty lists, and weights of 0.
        step_k, step_n: entries of the weights from channel to channel, and from output to output.
    """
    number_ptr, channels_ptr, excess_ptr = lists_ptr
    number = tl.load(number_ptr + b, mask=b < rows, other=0)
    lists = b.to(tl.int64) * inputs
    for e in range(0, tl.max(number)):
        there = e < number
        channel = tl.load(channels_ptr + lists + e, mask=there, other=0).to(tl.int64)
        excess = tl.load(excess_ptr + lists + e, mask=there, other=0)
        at = channel[:, None] * step_k + n.to(tl.int64)[None, :] * step_n
        weights = tl.load(weights_ptr + at, mask=there[:, None] & (n < outputs)[None, :], other=0)
        # The lists of a tile's rows differ in length; rows at their end add 0.
        acc += excess.to(acc.dtype)[:, None] * weights.to(acc.dtype)
    return acc


@triton.jit
def product_tile(counts, weights, acc):
    """Return acc + counts @ weights, exact but for the rounding of sums: all types represent counts up to 127."""
    if weights.dtype == tl.int8:
        # 127 counts times a weight of 128: int32 holds the sum of 132,000 channels.
        return tl.dot(counts, weights, acc, out_dtype=tl.int32)
    return tl.dot(counts.to(weights.dtype), weights, acc, input_precision="ieee")


@triton.jit
def counts_of_words(words_ptr, inside, WORDS: tl.constexpr, ROWS: tl.constexpr, PLANES: tl.constexpr, step):
    """Turn words at words_ptr [ROWS, WORDS], `step` words from plane to plane, into int8 counts [ROWS, 32 WORDS]."""
    bit = tl.arange(0, 32)[None, None, :]
    size = tl.zeros([ROWS, WORDS, 32], tl.int32)
    for p in tl.static_range(PLANES):
        plane = tl.load(words_ptr + (1 + p) * step, mask=inside, other=0)
        # Plane 0 has the signs, plane 1 + p what counts 2^p.
        size += ((plane[:, :, None] >> bit) & 1) << p
    sign = tl.load(words_ptr, mask=inside, other=0)
    signed = tl.where(((sign[:, :, None] >> bit) & 1) != 0, -size, size)
    return tl.reshape(signed, [ROWS, WORDS * 32]).to(tl.int8)


@triton.jit
def batch_kernel(
    spikes_ptr, number_ptr, channels_ptr, excess_ptr, weights_ptr, out_ptr,
    rows, inputs, outputs, words, step_k, step_n,
    ESCAPES: tl.constexpr, PLANES: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Program (i, j): the product of BLOCK_B rows from BLOCK_B i on with BLOCK_N outputs from BLOCK_N j on.

    Args:
        spikes_ptr: counts int8 [rows, inputs] or, with PLANES, words int32 [rows, 1 + PLANES, words].
        number_ptr, channels_ptr, excess_ptr: `Escapes`, read with ESCAPES alone.
        weights_ptr: [inputs, outputs] of any strides, `step_k` from channel to channel, `step_n` from output to output.
        out_ptr: [rows, outputs] int32 for int8 weights, else float32.

    Rows, channels and outputs beyond the last are read as 0, which adds nothing, and not written.
    """
    b = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    whole: tl.constexpr = weights_ptr.dtype.element_ty == tl.int8
    acc = tl.zeros([BLOCK_B, BLOCK_N], tl.int32 if whole else tl.float32)
    columns = weights_ptr + n.to(tl.int64) * step_n
    for first in range(0, inputs, BLOCK_K):
        channel = first + tl.arange(0, BLOCK_K)
        if PLANES == 0:
            lines = spikes_ptr + b.to(tl.int64) * inputs
            inside = (b < rows)[:, None] & (channel < inputs)[None, :]
            counts = tl.load(lines[:, None] + channel[None, :], mask=inside, other=0)
        else:
            word = first // 32 + tl.arange(0, BLOCK_K // 32)
            lines = spikes_ptr + b.to(tl.int64) * ((1 + PLANES) * words)
            inside = (b < rows)[:, None] & (word < words)[None, :]
            counts = counts_of_words(
                lines[:, None] + word[None, :], inside, BLOCK_K // 32, BLOCK_B, PLANES, words
            )  # fmt: skip
        at = columns[None, :] + (channel.to(tl.int64) * step_k)[:, None]
        weights = tl.load(at, mask=(channel < inputs)[:, None] & (n < outputs)[None, :], other=0)
        acc = product_tile(counts, weights, acc)
    if ESCAPES:
        lists_ptr = (number_ptr, channels_ptr, excess_ptr)
        acc = escaped(acc, lists_ptr, weights_ptr, b, n, rows, inputs, outputs, step_k, step_n)
    line = b.to(tl.int64) * outputs
    tl.store(out_ptr + line[:, None] + n[None, :], acc, mask=(b < rows)[:, None] & (n < outputs)[None, :])


def check(inputs, weights):
    """Raise ValueError where weights do not fit, or are of a type that no kernel takes."""
    if weights.ndim != 2 or weights.shape[0] != inputs:
        raise ValueError(f"spike_accumulate: {inputs} channels @ weights {tuple(weights.shape)} do not fit")
    if weights.dtype not in (torch.float32, torch.float16, torch.bfloat16, torch.int8):
        raise ValueError(
            f"spike_accumulate: weights on a GPU are float32, float16, bfloat16 or int8, not {weights.dtype}"
        )


def sum_type(weights):
    if weights.dtype == torch.int8:
        return torch.int32
    return torch.float32


def batch_blocks(rows, itemsize, planes, even):
    """Return (rows, channels, outputs, warps, stages) of a batch program: lines of 128 bytes, and 64 rows make a wgmma.

    Sizes that are no multiples of 16 (not `even`) are loaded entry by entry, which takes a register for each address.
    """
    if itemsize == 4:
        return 32, 32, 64, 4 if even else 8, 2
    if not even:
        return 64, 32, 64, 8, 2
    tall = rows > 64 and not planes
    return (128 if tall else 64), 128 // itemsize, 128, (8 if tall or planes else 4), 3


def batch(spikes, planes, rows, inputs, weights, escapes):
    """Launch `batch_kernel` on counts [B, K], or on words [B, 1 + P, words] of `planes` planes."""
    outputs = weights.shape[1]
    even = all(size % 16 == 0 for size in (inputs, outputs))
    block_b, block_k, block_n, warps, stages = batch_blocks(rows, weights.element_size(), planes, even)
    out = torch.empty((rows, outputs), dtype=sum_type(weights), device=spikes.device)
    batch_kernel[(triton.cdiv(rows, block_b), triton.cdiv(outputs, block_n))](
        spikes, *(escapes or (spikes, spikes, spikes)), weights, out, rows, inputs, outputs, triton.cdiv(inputs, 32),
        *weights.stride(), ESCAPES=escapes is not None, PLANES=planes, BLOCK_B=block_b, BLOCK_K=block_k,
        BLOCK_N=block_n, num_warps=warps, num_stages=stages, enable_fp_fusion=True,
    )  # fmt: skip
    return out
