"""The last stage of a product on a GPU: sums its parts in their order, and scales them."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

BLOCK = 256  # outputs of a program


@triton.jit
def finish_kernel(
    parts_ptr, steps_ptr, thresholds_ptr, out_ptr,
    rows, outputs,
    SPLITS: tl.constexpr, STEPS: tl.constexpr, SCALED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Program (b, j): BLOCK outputs from BLOCK j on of row b, summed over the parts in order, scaled and stored.

    Args:
        parts_ptr: [SPLITS, rows, outputs] int32 or float32.
        steps_ptr: float32 [outputs], read with STEPS.
        thresholds_ptr: float32 [rows], read with SCALED.
        out_ptr: [rows, outputs].
    """
    row = tl.program_id(0).to(tl.int64)
    n = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    total = tl.load(parts_ptr + row * outputs + n, mask=n < outputs, other=0)
    for s in tl.static_range(1, SPLITS):
        total += tl.load(parts_ptr + (s * rows + row) * outputs + n, mask=n < outputs, other=0)
    if STEPS:
        total = total.to(tl.float32) * tl.load(steps_ptr + n, mask=n < outputs, other=0.0)
    if SCALED:
        total = total.to(tl.float32) * tl.load(thresholds_ptr + row)
    tl.store(out_ptr + row * outputs + n, total, mask=n < outputs)


def finish(parts, thresholds=None, steps=None):
    """Sum parts [splits, B, N] to [B, N]; then times steps [N], then times thresholds [B], where they are given."""
    splits, rows, outputs = parts.shape
    scaled = thresholds is not None or steps is not None
    dtype = torch.float32 if scaled else parts.dtype
    out = torch.empty((rows, outputs), dtype=dtype, device=parts.device)
    # Where an argument is absent, `parts` takes its place: it is not read.
    finish_kernel[(rows, triton.cdiv(outputs, BLOCK))](
        parts, parts if steps is None else steps, parts if thresholds is None else thresholds, out, rows, outputs,
        SPLITS=splits, STEPS=steps is not None, SCALED=thresholds is not None, BLOCK=BLOCK,
        num_warps=4, enable_fp_fusion=False,
    )  # fmt: skip
    return out
