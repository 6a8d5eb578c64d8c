"""`spike_accumulate` for a GPU, a kernel a regime; none needs an index list or an atomic addition.

- `decode`: one token. Encodes it in passing and loads only rows of weights [K, N] that a spike selects: a row that
  is not selected is masked, so that its bytes are never asked for. K is split among programs, whose parts are summed
  in a fixed order by `finish_triton`.
- `few`: up to 16 tokens as int8 counts, rows masked where no token selects them, summed by matrix instructions.
- `batch`: more. Sparse entries save nothing there (each row of weights is selected by some token), and the count
  product is a dense one: int8 by int8 with weights [N, K], or counts as fp16 or bf16 (exact up to 127) by such
  weights. The counts come as they are, or as bit planes spread out in registers: a tile of words, broadcast, shifted
  and reshaped (expanding the loads instead would need more shared memory than there is).

`finish_triton` sums, scales, and may let neurons fire on the result and pack their spikes. What int8 counts cannot
hold is added from the escapes. How often channels are split depends on the shape alone, not on the GPU.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl

from neurosim.kernels.compile import Build
from neurosim.kernels.encode_triton import TILE, encode, round_whole, share_of, tile_of, token_threshold
from neurosim.kernels.finish_triton import finish

PROGRAMS = 264  # two for each processor of an H100: beyond, more splits bring nothing
MOST_SPLITS = 64
FEW = 16  # tokens that share one tile of a matrix instruction


class Blocks(NamedTuple):
    """The tile of weights a program holds at once, and the warps that hold it."""

    inputs: int
    outputs: int
    warps: int


# One token, by bytes of a weight: 512 bytes of a row at once, 8 loads of 16 bytes in flight a thread.
DECODE = {1: Blocks(32, 512, 8), 2: Blocks(64, 256, 8), 4: Blocks(64, 128, 8)}
# The other way to cut: all channels to one program of few outputs, no parts to sum. Its rows are 64 bytes.
NARROW = {1: Blocks(512, 64, 16), 2: Blocks(512, 32, 16), 4: Blocks(512, 16, 16)}
FEW_BLOCKS = {1: Blocks(64, 128, 4), 2: Blocks(64, 128, 4), 4: Blocks(32, 128, 4)}


@triton.jit
def decode_kernel(
    x_ptr,
    thresholds_ptr,
    weights_ptr,
    out_ptr,
    inputs,
    outputs,
    part,
    share,
    GIVEN: tl.constexpr,
    DIRECT: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """Program (j, s): outputs BLOCK_N j onwards of x [inputs] times weights, channels part s to part (s + 1)."""
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    split = tl.program_id(1)
    if not GIVEN:
        own = token_threshold(x_ptr, inputs, share, TILE)
        if tl.program_id(0) + split == 0:
            tl.store(thresholds_ptr, own)
    kind: tl.constexpr = tl.int32 if weights_ptr.dtype.element_ty == tl.int8 else tl.float32
    acc = tl.zeros([BLOCK_K, BLOCK_N], kind)
    for first in range(split * part, tl.minimum(split * part + part, inputs), BLOCK_K):
        channel = first + tl.arange(0, BLOCK_K)
        inside = channel < inputs
        x = tl.load(x_ptr + channel, mask=inside, other=0.0).to(tl.float32)
        if GIVEN:
            whole = round_whole(x, tl.load(thresholds_ptr + channel, mask=inside, other=1.0))
        else:
            whole = round_whole(x, own)
        rows = weights_ptr + channel.to(tl.int64) * outputs
        on = (whole != 0.0)[:, None] & (n < outputs)[None, :]
        weights = tl.load(rows[:, None] + n[None, :], mask=on, other=0)
        acc += whole.to(kind)[:, None] * weights.to(kind)
    total = tl.sum(acc, axis=0)
    if DIRECT and not GIVEN:
        tl.store(out_ptr + n, total.to(tl.float32) * own, mask=n < outputs)
    else:
        tl.store(out_ptr + split.to(tl.int64) * outputs + n, total, mask=n < outputs)


@triton.jit
def escaped(acc, number_ptr, channels_ptr, excess_ptr, weights_ptr, b, n, rows, inputs, outputs, step_k, step_n):
    """acc [rows of b, outputs of n] and what clipping took from these rows, in the order of the lists."""
    number = tl.load(number_ptr + b, mask=b < rows, other=0)
    lists = b.to(tl.int64) * inputs
    for e in range(0, tl.max(number)):
        there = e < number
        channel = tl.load(channels_ptr + lists + e, mask=there, other=0).to(tl.int64)
        excess = tl.load(excess_ptr + lists + e, mask=there, other=0)
        at = channel[:, None] * step_k + n.to(tl.int64)[None, :] * step_n
        weights = tl.load(weights_ptr + at, mask=there[:, None] & (n < outputs)[None, :], other=0)
        acc += excess.to(acc.dtype)[:, None] * weights.to(acc.dtype)
    return acc


@triton.jit
def few_kernel(
    counts_ptr,
    number_ptr,
    channels_ptr,
    excess_ptr,
    weights_ptr,
    out_ptr,
    rows,
    inputs,
    outputs,
    part,
    ESCAPES: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """Program (j, s) as `decode_kernel`'s, for counts int8 [rows, inputs] with rows <= ROWS."""
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    split = tl.program_id(1)
    b = tl.arange(0, ROWS)
    whole: tl.constexpr = weights_ptr.dtype.element_ty == tl.int8
    acc = tl.zeros([ROWS, BLOCK_N], tl.int32 if whole else tl.float32)
    for first in range(split * part, tl.minimum(split * part + part, inputs), BLOCK_K):
        channel = first + tl.arange(0, BLOCK_K)
        inside = (b < rows)[:, None] & (channel < inputs)[None, :]
        counts = tl.load(counts_ptr + b[:, None] * inputs + channel[None, :], mask=inside, other=0)
        on = tl.max((counts != 0).to(tl.int32), axis=0) > 0
        lines = weights_ptr + channel.to(tl.int64) * outputs
        weights = tl.load(lines[:, None] + n[None, :], mask=on[:, None] & (n < outputs)[None, :], other=0)
        acc = product_tile(counts, weights, acc)
    if ESCAPES:  # noqa: SIM102 - one is decided when compiling, the other when running
        if split == 0:
            acc = escaped(
                acc, number_ptr, channels_ptr, excess_ptr, weights_ptr, b, n, rows, inputs, outputs, outputs, 1
            )  # fmt: skip
    line = (split * rows + b).to(tl.int64) * outputs
    tl.store(out_ptr + line[:, None] + n[None, :], acc, mask=(b < rows)[:, None] & (n < outputs)[None, :])


@triton.jit
def product_tile(counts, weights, acc):
    """acc + counts @ weights, exact but for the rounding of sums: counts up to 127 are whole in all these types."""
    if weights.dtype == tl.int8:
        return tl.dot(counts, weights, acc, out_dtype=tl.int32)
    return tl.dot(counts.to(weights.dtype), weights, acc, input_precision="ieee")


@triton.jit
def counts_of_words(words_ptr, inside, WORDS: tl.constexpr, ROWS: tl.constexpr, PLANES: tl.constexpr, step):
    """Tiles of words at words_ptr [ROWS, WORDS], `step` words from plane to plane, to int8 counts [ROWS, 32 WORDS]."""
    bit = tl.arange(0, 32)[None, None, :]
    size = tl.zeros([ROWS, WORDS, 32], tl.int32)
    for p in tl.static_range(PLANES):
        plane = tl.load(words_ptr + (1 + p) * step, mask=inside, other=0)
        size += ((plane[:, :, None] >> bit) & 1) << p
    sign = tl.load(words_ptr, mask=inside, other=0)
    signed = tl.where(((sign[:, :, None] >> bit) & 1) != 0, -size, size)
    return tl.reshape(signed, [ROWS, WORDS * 32]).to(tl.int8)


@triton.jit
def batch_kernel(
    spikes_ptr,
    number_ptr,
    channels_ptr,
    excess_ptr,
    weights_ptr,
    out_ptr,
    rows,
    inputs,
    outputs,
    words,
    step_k,
    step_n,
    ESCAPES: tl.constexpr,
    PLANES: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """Program (i, j): rows BLOCK_B i, outputs BLOCK_N j of the product; spikes are counts, or words with PLANES."""
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
        acc = escaped(
            acc, number_ptr, channels_ptr, excess_ptr, weights_ptr, b, n, rows, inputs, outputs, step_k, step_n
        )  # fmt: skip
    line = b.to(tl.int64) * outputs
    tl.store(out_ptr + line[:, None] + n[None, :], acc, mask=(b < rows)[:, None] & (n < outputs)[None, :])


def cut(inputs, outputs, blocks):
    """(programs along the outputs, splits of the channels, channels of a split): by the shape alone."""
    across = triton.cdiv(outputs, blocks.outputs)
    splits = max(1, min(triton.cdiv(PROGRAMS, across), triton.cdiv(inputs, blocks.inputs), MOST_SPLITS))
    part = triton.cdiv(triton.cdiv(inputs, splits), blocks.inputs) * blocks.inputs
    return across, triton.cdiv(inputs, part), part


def decode(x, weights, k, thresholds, narrow=False):
    """One token x [1, K] through weights [K, N]: (float32 [1, N] scaled by its own threshold, thresholds used).

    With thresholds of channels nothing is scaled: they belong into the weights. `narrow` cuts along outputs alone.
    """
    weights = weights.contiguous()
    inputs, outputs = weights.shape
    blocks = (NARROW if narrow else DECODE)[weights.element_size()]
    across, splits, part = (triton.cdiv(outputs, blocks.outputs), 1, inputs) if narrow else cut(inputs, outputs, blocks)
    given = thresholds is not None
    used = thresholds.float().contiguous() if given else torch.empty(1, dtype=torch.float32, device=x.device)
    direct = splits == 1 and not given
    kind = torch.int32 if weights.dtype == torch.int8 and not direct else torch.float32
    parts = torch.empty((splits, 1, outputs), dtype=kind, device=x.device)
    decode_kernel[(across, splits)](
        x.contiguous(), used, weights, parts, inputs, outputs, part, share_of(inputs, k),
        GIVEN=given, DIRECT=direct, TILE=tile_of(inputs), BLOCK_K=blocks.inputs, BLOCK_N=blocks.outputs,
        num_warps=blocks.warps, enable_fp_fusion=True,
    )  # fmt: skip
    return (parts[0] if direct else finish(parts, None if given else used).float()), used


def parts_of(counts, weights, escapes=None):
    """counts int8 [B, K] times weights [K, N], cut as suits the shape: [splits, B, N] for `finish`."""
    rows, inputs = counts.shape
    outputs = weights.shape[1]
    if rows > FEW or not weights.is_contiguous():
        return _batch(counts.contiguous(), 0, rows, inputs, weights, escapes)[None]
    blocks = FEW_BLOCKS[weights.element_size()]
    across, splits, part = cut(inputs, outputs, blocks)
    parts = torch.empty((splits, rows, outputs), dtype=sum_type(weights), device=counts.device)
    few_kernel[(across, splits)](
        counts.contiguous(), *(escapes or (counts, counts, counts)), weights, parts, rows, inputs, outputs, part,
        ESCAPES=escapes is not None, ROWS=FEW, BLOCK_K=blocks.inputs, BLOCK_N=blocks.outputs,
        num_warps=blocks.warps, num_stages=3, enable_fp_fusion=True,
    )  # fmt: skip
    return parts


def sum_type(weights):
    return torch.int32 if weights.dtype == torch.int8 else torch.float32


def batch_blocks(rows, itemsize, planes):
    """(rows, channels, outputs, warps, stages) of a batch program: lines of 128 bytes, and 64 rows make a wgmma."""
    if itemsize == 4:
        return 32, 32, 64, 4, 2
    tall = rows > 64 and not planes
    return (128 if tall else 64), 128 // itemsize, 128, (8 if tall or planes else 4), 3


def _batch(spikes, planes, rows, inputs, weights, escapes):
    """`batch_kernel` on counts [B, K], or on words [B, 1 + P, words] of `planes` planes."""
    outputs = weights.shape[1]
    block_b, block_k, block_n, warps, stages = batch_blocks(rows, weights.element_size(), planes)
    out = torch.empty((rows, outputs), dtype=sum_type(weights), device=spikes.device)
    batch_kernel[(triton.cdiv(rows, block_b), triton.cdiv(outputs, block_n))](
        spikes, *(escapes or (spikes, spikes, spikes)), weights, out, rows, inputs, outputs, triton.cdiv(inputs, 32),
        *weights.stride(), ESCAPES=escapes is not None, PLANES=planes, BLOCK_B=block_b, BLOCK_K=block_k,
        BLOCK_N=block_n, num_warps=warps, num_stages=stages, enable_fp_fusion=True,
    )  # fmt: skip
    return out


def product(counts, weights, escapes=None):
    """As `spike_accumulate` on a GPU."""
    check(counts.shape[1], weights)
    parts = parts_of(counts, weights, escapes)
    return parts[0] if len(parts) == 1 else finish(parts)


def plane_product(packed, weights):
    """As `planes.product` on a GPU."""
    check(packed.size, weights)
    rows, planes = packed.words.shape[0], packed.words.shape[1] - 1
    return _batch(packed.words, planes, rows, packed.size, weights, packed.escapes)


def check(inputs, weights):
    """Raises ValueError where weights do not fit or are of a type that no kernel takes."""
    if weights.ndim != 2 or weights.shape[0] != inputs:
        raise ValueError(f"spike_accumulate: {inputs} channels @ weights {tuple(weights.shape)} do not fit")
    if weights.dtype not in (torch.float32, torch.float16, torch.bfloat16, torch.int8):
        raise ValueError(
            f"spike_accumulate: weights on a GPU are float32, float16, bfloat16 or int8, not {weights.dtype}"
        )


def encode_product(x, weights, k, thresholds):
    """As `encode_accumulate` on a GPU."""
    check(x.shape[1], weights)
    if len(x) == 1 and weights.is_contiguous():
        return decode(x, weights, k, thresholds)
    coded = encode(x, k, thresholds, 127)
    own = None if thresholds is not None else coded.thresholds
    return finish(parts_of(coded.counts, weights, coded.escapes), own).float(), coded.thresholds


def fire(counts, weights, v, membrane, escapes):
    """As `accumulate_fire` on a GPU: the sums of a batch of up to 16 never leave the last stage."""
    check(counts.shape[1], weights)
    return finish(parts_of(counts, weights, escapes), None, v, membrane)


def builds():
    """Every kernel in every configuration that the launchers above choose."""
    sizes = {"inputs": "i32", "outputs": "i32", "rows": "i32", "words": "i32", "part": "i32"}
    lists = {"number_ptr": "*i32", "channels_ptr": "*i32", "excess_ptr": "*i32"}
    bytes_of = {"*i8": 1, "*bf16": 2, "*fp16": 2, "*fp32": 4}

    def signature(kernel, more):
        return {n: kind for n, kind in (sizes | more).items() if n in kernel.arg_names}

    for x, weights, narrow, given in (
        ("*bf16", "*bf16", False, False),
        ("*fp16", "*fp16", False, True),
        ("*fp32", "*i8", False, False),
        ("*fp32", "*fp32", False, False),
        ("*fp16", "*fp16", True, False),
        ("*fp32", "*i8", True, False),
        ("*fp32", "*fp32", True, True),
    ):
        blocks = (NARROW if narrow else DECODE)[bytes_of[weights]]
        direct = narrow and not given
        out = "*i32" if weights == "*i8" and not direct else "*fp32"
        types = {"x_ptr": x, "thresholds_ptr": "*fp32", "weights_ptr": weights, "out_ptr": out, "share": "fp32"}
        constants = {"GIVEN": given, "DIRECT": direct, "TILE": TILE, "BLOCK_K": blocks[0], "BLOCK_N": blocks[1]}
        yield Build(
            decode_kernel, signature(decode_kernel, types), constants, blocks.warps, divisible=("inputs", "outputs")
        )
    for weights in bytes_of:
        blocks = FEW_BLOCKS[bytes_of[weights]]
        out = "*i32" if weights == "*i8" else "*fp32"
        types = lists | {"counts_ptr": "*i8", "weights_ptr": weights, "out_ptr": out}
        constants = {"ESCAPES": True, "ROWS": FEW, "BLOCK_K": blocks[0], "BLOCK_N": blocks[1]}
        yield Build(
            few_kernel, signature(few_kernel, types), constants, blocks.warps, divisible=("inputs", "outputs", "part")
        )
    for weights, planes, rows, transposed in (
        ("*i8", 0, 256, True),
        ("*i8", 0, 64, True),
        ("*i8", 3, 256, True),
        ("*i8", 7, 256, True),
        ("*i8", 0, 256, False),
        ("*bf16", 0, 256, True),
        ("*fp16", 0, 256, False),
        ("*bf16", 3, 256, True),
        ("*fp32", 0, 256, True),
    ):
        block_b, block_k, block_n, warps, stages = batch_blocks(rows, bytes_of[weights], planes)
        out = "*i32" if weights == "*i8" else "*fp32"
        types = lists | {"spikes_ptr": "*i32" if planes else "*i8", "weights_ptr": weights, "out_ptr": out}
        types |= {"step_n" if transposed else "step_k": "i32"}
        constants = {"ESCAPES": True, "PLANES": planes, "BLOCK_B": block_b, "BLOCK_K": block_k, "BLOCK_N": block_n}
        constants |= {"step_k" if transposed else "step_n": 1}
        even = ("inputs", "outputs", "step_k", "step_n")
        yield Build(
            batch_kernel, signature(batch_kernel, types), constants, warps, stages,
            tuple(n for n in even if n in types or n in sizes), wgmma=weights != "*fp32",
        )  # fmt: skip
