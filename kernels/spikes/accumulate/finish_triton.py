"""The last stage of a product on a GPU: sums its parts in their order, scales, and may let neurons fire on the sums."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ...tools.triton_build import Build
from ..lif_pack.triton import BLOCK, fire_and_pack


@triton.jit
def finish_kernel(
    parts_ptr,
    thresholds_ptr,
    out_ptr,
    v_ptr,
    rows,
    outputs,
    words,
    decay,
    threshold,
    leak,
    reset,
    keep,
    SPLITS: tl.constexpr,
    SCALED: tl.constexpr,
    FIRE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Program (b, j): sums the parts [SPLITS, rows, outputs] of row b in order, scales, stores or fires and packs."""
    row = tl.program_id(0).to(tl.int64)
    first = tl.program_id(1) * BLOCK
    n = first + tl.arange(0, BLOCK)
    total = tl.load(parts_ptr + row * outputs + n, mask=n < outputs, other=0)
    for s in tl.static_range(1, SPLITS):
        total += tl.load(parts_ptr + (s * rows + row) * outputs + n, mask=n < outputs, other=0)
    if SCALED:
        total = total.to(tl.float32) * tl.load(thresholds_ptr + row)
    if FIRE:
        fire_and_pack(
            total.to(tl.float32), v_ptr + row * outputs, out_ptr + row * words, first, outputs,
            decay, threshold, leak, reset, keep, BLOCK,
        )  # fmt: skip
    else:
        tl.store(out_ptr + row * outputs + n, total, mask=n < outputs)


def finish(parts, thresholds=None, v=None, membrane=None):
    """Sums parts [splits, B, N] to [B, N], times thresholds [B]; with v [B, N] and a Membrane the packed spikes."""
    splits, rows, outputs = parts.shape
    fire = v is not None
    words = triton.cdiv(outputs, 32)
    kind = torch.int32 if fire or (parts.dtype == torch.int32 and thresholds is None) else torch.float32
    out = torch.empty((rows, words if fire else outputs), dtype=kind, device=parts.device)
    # Arguments that are not used in this variant take the place of something that is there.
    finish_kernel[(rows, triton.cdiv(outputs, BLOCK))](
        parts, parts if thresholds is None else thresholds, out, v if fire else parts, rows, outputs, words,
        *map(float, membrane if fire else (0, 0, 0, 0, 0)),
        SPLITS=splits, SCALED=thresholds is not None, FIRE=fire, BLOCK=BLOCK, num_warps=4, enable_fp_fusion=False,
    )  # fmt: skip
    return out


def builds():
    """Configurations that `finish` launches."""
    constants = dict.fromkeys(("decay", "threshold", "leak", "reset", "keep"), "fp32")
    constants |= dict.fromkeys(("rows", "outputs", "words"), "i32")
    for parts, scaled, fires in (("*fp32", True, False), ("*i32", False, False), ("*i32", False, True)):
        out = "*i32" if fires or not scaled else "*fp32"
        types = constants | {"parts_ptr": parts, "thresholds_ptr": "*fp32", "out_ptr": out, "v_ptr": "*fp32"}
        yield Build(finish_kernel, types, {"SPLITS": 17, "SCALED": scaled, "FIRE": fires, "BLOCK": BLOCK}, fusion=False)
