"""`spike_accumulate` for a GPU, one kernel for each regime; none needs an index list or an atomic addition.

- `decode`: one token. Encodes it on the way and loads only rows of weights [K, N] that a spike selects: the others are
  masked, so that their bytes are never requested. K is split among programs; `finish_gpu` sums their parts in a
  fixed order.
- `few`: at most 16 tokens as int8 counts, rows masked where no token selects them, summed by matrix instructions.
- `batch` (`batch_gpu`): more tokens, as counts or as bit planes, as a dense product of counts.

`finish_gpu` sums and scales. The excess of counts over int8 is added from the escapes. The number of splits of the
channels depends on the shape alone, not on the GPU.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl

from ..encode.gpu import encode, round_count, rounding_of, share_of, tile_of, token_threshold
from ..encode.reference import NEAREST as NEAREST_ROUNDING
from ..planes.gpu import encode_planes, plane_product
from .batch_gpu import batch, check, escaped, product_tile, sum_type
from .finish_gpu import finish
from .reference import FEW

PROGRAMS = 264  # two for each processor of an H100: more splits gain nothing
MAX_SPLITS = 64


class BlockSizes(NamedTuple):
    """The tile of weights of a program, and its warps."""

    inputs: int
    outputs: int
    warps: int


# One token, by bytes of a weight: 512 bytes of a row at once, 8 loads of 16 bytes in flight in each thread.
DECODE = {1: BlockSizes(32, 512, 8), 2: BlockSizes(64, 256, 8), 4: BlockSizes(64, 128, 8)}
FEW_BLOCKS = {1: BlockSizes(64, 128, 4), 2: BlockSizes(64, 128, 4), 4: BlockSizes(32, 128, 4)}


@triton.jit
def decode_kernel(
    x_ptr, thresholds_ptr, weights_ptr, out_ptr, edges_ptr, levels_ptr,
    shrink, max_count, factor, price, inputs, outputs, part, share,
    KIND: tl.constexpr, GIVEN: tl.constexpr, TILE: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Program (j, s): BLOCK_N outputs from BLOCK_N j on, summed over channels part s to part (s + 1).

    Args:
        x_ptr: [inputs] of any float type.
        thresholds_ptr: float32; with GIVEN [inputs], read, else [1], filled by the first program.
        weights_ptr: [inputs, outputs], row after row. A row is loaded only if its channel is active.
        out_ptr: [splits, outputs] int32 for int8 weights, else float32.
        edges_ptr, levels_ptr: see `round_count`.
        share: inputs times k.
    """
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
            threshold = tl.load(thresholds_ptr + channel, mask=inside, other=1.0)
        else:
            threshold = own * factor
        whole = round_count(x, threshold, edges_ptr, levels_ptr, shrink, max_count, price, KIND)
        rows = weights_ptr + channel.to(tl.int64) * outputs
        on = (whole != 0.0)[:, None] & (n < outputs)[None, :]
        weights = tl.load(rows[:, None] + n[None, :], mask=on, other=0)
        acc += whole.to(kind)[:, None] * weights.to(kind)
    tl.store(out_ptr + split.to(tl.int64) * outputs + n, tl.sum(acc, axis=0), mask=n < outputs)


@triton.jit
def few_kernel(
    counts_ptr, number_ptr, channels_ptr, excess_ptr, weights_ptr, out_ptr,
    rows, inputs, outputs, part,
    ESCAPES: tl.constexpr, ROWS: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Program (j, s) as in `decode_kernel`, for counts of at most ROWS rows.

    Args:
        counts_ptr: int8 [rows, inputs].
        number_ptr, channels_ptr, excess_ptr: `Escapes`, read with ESCAPES alone, by the first split.
        weights_ptr: [inputs, outputs], row after row. A row is loaded only if its channel is active in some row.
        out_ptr: [splits, rows, outputs] int32 for int8 weights, else float32.
    """
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
            lists_ptr = (number_ptr, channels_ptr, excess_ptr)
            acc = escaped(acc, lists_ptr, weights_ptr, b, n, rows, inputs, outputs, outputs, 1)
    line = (split * rows + b).to(tl.int64) * outputs
    tl.store(out_ptr + line[:, None] + n[None, :], acc, mask=(b < rows)[:, None] & (n < outputs)[None, :])


def cut(inputs, outputs, blocks):
    """Return (programs along the outputs, splits of the channels, channels of a split): by the shape alone."""
    across = triton.cdiv(outputs, blocks.outputs)
    splits = max(1, min(triton.cdiv(PROGRAMS, across), triton.cdiv(inputs, blocks.inputs), MAX_SPLITS))
    part = triton.cdiv(triton.cdiv(inputs, splits), blocks.inputs) * blocks.inputs
    return across, triton.cdiv(inputs, part), part


def decode(x, weights, k, thresholds, steps=None, rounding=NEAREST_ROUNDING):
    """Return (y float32 [1, N], thresholds) of one token x [1, K] through weights [K, N], see `encode_accumulate`."""
    weights = weights.contiguous()
    inputs, outputs = weights.shape
    blocks = DECODE[weights.element_size()]
    across, splits, part = cut(inputs, outputs, blocks)
    given = thresholds is not None
    if given:
        used = thresholds.float().contiguous()
    else:
        used = torch.empty(1, dtype=torch.float32, device=x.device)
    parts = torch.empty((splits, 1, outputs), dtype=sum_type(weights), device=x.device)
    x = x.contiguous()
    rule, kind = rounding_of(rounding, x)
    decode_kernel[(across, splits)](
        x, used, weights, parts, *rule, inputs, outputs, part, share_of(inputs, k),
        KIND=kind, GIVEN=given, TILE=tile_of(inputs), BLOCK_K=blocks.inputs, BLOCK_N=blocks.outputs,
        num_warps=blocks.warps, enable_fp_fusion=True,
    )  # fmt: skip
    return finish(parts, None if given else used, steps).float(), used


def parts_of(counts, weights, escapes=None):
    """Return counts int8 [B, K] times weights [K, N], cut by the shape: [splits, B, N] for `finish`."""
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
    """Compute `spike_accumulate` on a GPU."""
    check(counts.shape[1], weights)
    parts = parts_of(counts, weights, escapes)
    return parts[0] if len(parts) == 1 else finish(parts)


def encode_product(x, weights, k, thresholds, steps=None, rounding=NEAREST_ROUNDING, planes=None):
    """Compute `encode_accumulate` on a GPU; counts of a batch are `planes` bit planes between kernels, if given."""
    check(x.shape[1], weights)
    if len(x) == 1 and weights.is_contiguous():
        return decode(x, weights, k, thresholds, steps, rounding)
    if planes is not None and len(x) > FEW:
        packed, used = encode_planes(x, k, thresholds, planes, rounding)
        parts = plane_product(packed, weights)[None]
    else:
        coded = encode(x, k, thresholds, 127, rounding)
        parts = parts_of(coded.counts, weights, coded.escapes)
        used = coded.thresholds
    return finish(parts, None if thresholds is not None else used, steps).float(), used
