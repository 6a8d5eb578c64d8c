"""`lif_pack` for a GPU: by itself, and the tile that a product's last stage calls."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ...tools.triton_build import Build

BLOCK = 256


@triton.jit
def lif_tile(current, v, decay, threshold, leak, reset, keep):
    """New potentials, and 1 where a unit fired, of tiles of any shape."""
    free = leak + (v - leak) * decay + current
    fired = free > threshold
    return tl.where(fired, reset + keep * (free - threshold), free), fired.to(tl.int32)


@triton.jit
def fire_and_pack(current, v_ptr, words_ptr, first, units, decay, threshold, leak, reset, keep, BLOCK: tl.constexpr):
    """One row's units from `first`: updates v and stores their words. `current` is [BLOCK], BLOCK a multiple of 32."""
    at = first + tl.arange(0, BLOCK)
    v = tl.load(v_ptr + at, mask=at < units, other=0.0)
    v, fired = lif_tile(current, v, decay, threshold, leak, reset, keep)
    tl.store(v_ptr + at, v, mask=at < units)
    fired = tl.where(at < units, fired, 0)
    placed = tl.reshape(fired, [BLOCK // 32, 32]) << tl.arange(0, 32)[None, :]
    word = first // 32 + tl.arange(0, BLOCK // 32)
    tl.store(words_ptr + word, tl.sum(placed, axis=1), mask=word * 32 < units)


@triton.jit
def lif_pack_kernel(
    current_ptr, v_ptr, words_ptr, units, words, decay, threshold, leak, reset, keep, BLOCK: tl.constexpr
):  # fmt: skip
    """Program (b, j): units BLOCK j to BLOCK (j + 1) of row b."""
    row = tl.program_id(0).to(tl.int64)
    first = tl.program_id(1) * BLOCK
    at = first + tl.arange(0, BLOCK)
    current = tl.load(current_ptr + row * units + at, mask=at < units, other=0).to(tl.float32)
    fire_and_pack(
        current, v_ptr + row * units, words_ptr + row * words, first, units, decay, threshold, leak, reset, keep, BLOCK
    )  # fmt: skip


def lif_pack(current, v, membrane):
    """As `launch.lif_pack` on a GPU; its caller has checked the shapes."""
    if v.dtype != torch.float32 or not v.is_contiguous():
        raise ValueError("lif_pack: v must be contiguous float32, for it is updated in place")
    rows, units = v.shape
    words = torch.empty((rows, -(-units // 32)), dtype=torch.int32, device=v.device)
    lif_pack_kernel[(rows, triton.cdiv(units, BLOCK))](
        current.contiguous(), v, words, units, words.shape[1], *map(float, membrane),
        BLOCK=BLOCK, num_warps=4, enable_fp_fusion=False,
    )  # fmt: skip
    return words


def builds():
    """Configurations that `lif_pack` launches."""
    constants = dict.fromkeys(("decay", "threshold", "leak", "reset", "keep"), "fp32")
    for current in ("*fp32", "*i32"):
        signature = {"current_ptr": current, "v_ptr": "*fp32", "words_ptr": "*i32", "units": "i32", "words": "i32"}
        yield Build(lif_pack_kernel, signature | constants, {"BLOCK": BLOCK}, fusion=False)
