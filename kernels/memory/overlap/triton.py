"""`overlap` for a GPU: a program counts the common bits of some rows of the bank, word by word of 32 bits.

The bank is read once and nothing else is large, so the time is that of its bytes. Bits are counted by adding
neighbours (Warren, Hacker's Delight, ch. 5), which every version of Triton and its interpreter can.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ...tools.triton_build import Build

ROWS, WORDS = 64, 64


@triton.jit
def bits_set(word):
    """How many bits of each uint32 are set."""
    word = word - ((word >> 1) & 0x55555555)
    word = (word & 0x33333333) + ((word >> 2) & 0x33333333)
    word = (word + (word >> 4)) & 0x0F0F0F0F
    word = word + (word >> 8)
    return (word + (word >> 16)) & 0x3F


@triton.jit
def overlap_kernel(query_ptr, bank_ptr, out_ptr, rows, words, ROWS: tl.constexpr, WORDS: tl.constexpr):
    """query [words], bank [rows, words] int32 to out [rows] int32."""
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    lines = bank_ptr + i.to(tl.int64) * words
    acc = tl.zeros([ROWS, WORDS], tl.uint32)
    for first in range(0, words, WORDS):
        w = first + tl.arange(0, WORDS)
        query = tl.load(query_ptr + w, mask=w < words, other=0)
        inside = (i < rows)[:, None] & (w < words)[None, :]
        both = tl.load(lines[:, None] + w[None, :], mask=inside, other=0) & query[None, :]
        acc += bits_set(both.to(tl.uint32, bitcast=True))
    tl.store(out_ptr + i, tl.sum(acc.to(tl.int32), axis=1), mask=i < rows)


def overlap(query, bank):
    """[words], [M, words] int64 tensors of a GPU to [M] int32."""
    query, bank = query.contiguous().view(torch.int32), bank.contiguous().view(torch.int32)
    rows, words = bank.shape
    out = torch.empty(rows, dtype=torch.int32, device=bank.device)
    overlap_kernel[(triton.cdiv(rows, ROWS),)](
        query, bank, out, rows, words, ROWS=ROWS, WORDS=WORDS, num_warps=4, enable_fp_fusion=False
    )
    return out


def builds():
    """The configuration that `overlap` launches."""
    types = {"query_ptr": "*i32", "bank_ptr": "*i32", "out_ptr": "*i32", "rows": "i32", "words": "i32"}
    yield Build(overlap_kernel, types, {"ROWS": ROWS, "WORDS": WORDS}, divisible=("words",), fusion=False)
