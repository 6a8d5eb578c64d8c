"""`spike_accumulate` for a GPU, a kernel a regime; none needs an index list or an atomic addition.

- `decode`: one token. Encodes it in passing and loads only rows of weights [K, N] that a spike selects: a row that
  is not selected is masked, so that its bytes are never asked for. K is split among programs, whose parts are summed
  in a fixed order by `finish_triton`.
- `few`: up to 16 tokens as int8 counts, rows masked where no token selects them, summed by matrix instructions.
- `batch` (`batch_triton`): more tokens, or bit planes, as a dense product of counts.

`finish_triton` sums, scales, and may let neurons fire on the result and pack their spikes. What int8 counts cannot
hold is added from the escapes. How often channels are split depends on the shape alone, not on the GPU.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl

from ...tools.triton_build import Build
from ..encode.triton import TILE, encode, round_whole, share_of, tile_of, token_threshold
from .batch_triton import KINDS, batch, escaped, product_tile, sum_type
from .finish_triton import finish

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


def cut(inputs, outputs, blocks):
    """(programs along the outputs, splits of the channels, channels of a split): by the shape alone."""
    across = triton.cdiv(outputs, blocks.outputs)
    splits = max(1, min(triton.cdiv(PROGRAMS, across), triton.cdiv(inputs, blocks.inputs), MOST_SPLITS))
    part = triton.cdiv(triton.cdiv(inputs, splits), blocks.inputs) * blocks.inputs
    return across, triton.cdiv(inputs, part), part


def decode(x, weights, k, thresholds, narrow=False):
    """One token x [1, K] through weights [K, N]: (float32 [1, N] scaled by its own threshold, thresholds used).

    With thresholds of channels nothing is scaled: they belong into the weights. `narrow` cuts along outputs alone,
    where these are a multiple of 16.
    """
    weights = weights.contiguous()
    inputs, outputs = weights.shape
    narrow = narrow and outputs % 16 == 0
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
        return batch(counts.contiguous(), 0, rows, inputs, weights, escapes)[None]
    blocks = FEW_BLOCKS[weights.element_size()]
    across, splits, part = cut(inputs, outputs, blocks)
    parts = torch.empty((splits, rows, outputs), dtype=sum_type(weights), device=counts.device)
    few_kernel[(across, splits)](
        counts.contiguous(), *(escapes or (counts, counts, counts)), weights, parts, rows, inputs, outputs, part,
        ESCAPES=escapes is not None, ROWS=FEW, BLOCK_K=blocks.inputs, BLOCK_N=blocks.outputs,
        num_warps=blocks.warps, num_stages=3, enable_fp_fusion=True,
    )  # fmt: skip
    return parts


def product(counts, weights, escapes=None):
    """As `spike_accumulate` on a GPU."""
    check(counts.shape[1], weights)
    parts = parts_of(counts, weights, escapes)
    return parts[0] if len(parts) == 1 else finish(parts)


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
    sizes = {"inputs": "i32", "outputs": "i32", "rows": "i32", "part": "i32"}
    lists = {"number_ptr": "*i32", "channels_ptr": "*i32", "excess_ptr": "*i32"}

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
        blocks = (NARROW if narrow else DECODE)[KINDS[weights]]
        direct = narrow and not given
        out = "*i32" if weights == "*i8" and not direct else "*fp32"
        types = {"x_ptr": x, "thresholds_ptr": "*fp32", "weights_ptr": weights, "out_ptr": out, "share": "fp32"}
        constants = {"GIVEN": given, "DIRECT": direct, "TILE": TILE, "BLOCK_K": blocks[0], "BLOCK_N": blocks[1]}
        # A width that is a multiple of 16 is loaded by 16 bytes, another entry by entry.
        even = ("inputs", "outputs")
        for divisible in (even, ()) if not narrow and (given or weights == "*i8") else (even,):
            yield Build(decode_kernel, signature(decode_kernel, types), constants, blocks.warps, divisible=divisible)
    for weights in KINDS:
        blocks = FEW_BLOCKS[KINDS[weights]]
        out = "*i32" if weights == "*i8" else "*fp32"
        types = lists | {"counts_ptr": "*i8", "weights_ptr": weights, "out_ptr": out}
        constants = {"ESCAPES": True, "ROWS": FEW, "BLOCK_K": blocks[0], "BLOCK_N": blocks[1]}
        even = ("inputs", "outputs", "part")
        yield Build(few_kernel, signature(few_kernel, types), constants, blocks.warps, divisible=even)
        if weights in ("*fp16", "*i8"):
            one = signature(few_kernel, types)
            del one["rows"]  # a 1 becomes a constant
            yield Build(few_kernel, one, constants | {"rows": 1}, blocks.warps)
