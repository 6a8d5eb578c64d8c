"""`lazy_scan` for a GPU: a program holds BLOCK_V columns of one head's state, with all its rows.

Columns of the state are independent, and so are programs. Rows are masked: a row active in neither k nor q is not
loaded, a row not active in k is not stored. The owed decays stay in registers; the programs of the first columns write
them to a second array, because others may still be reading the first.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import reference as plain

EMPTY = tl.constexpr(plain.EMPTY)
ENTRIES = 8192  # of a head's state that a program holds at once
MAX_KEYS = 512


@triton.jit
def lazy_kernel(
    rows_ptr, owed_ptr, left_ptr, q_ptr, k_ptr, v_ptr, decay_ptr, beta_ptr, out_ptr,
    tokens, heads, keys, width, scale, decay_token, decay_head, decay_key,
    DECAY: tl.constexpr, DELTA: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """Program (h, j): BLOCK_V columns from BLOCK_V j on of the state of head h, token after token. All is float32.

    Args:
        rows_ptr: [heads, keys, width] the state, updated in place.
        owed_ptr, left_ptr: [heads, keys] log decays that rows owe, before and after.
        q_ptr, k_ptr: [tokens, heads, keys].
        v_ptr, out_ptr: [tokens, heads, width].
        decay_ptr: log decays, read with DECAY, `decay_token`, `decay_head` and `decay_key` entries from one to the
            next; 0 for `decay_key` where a head has one for all keys.
        beta_ptr: [tokens, heads], read with DELTA.

    BLOCK_K is at least `keys`. Keys and columns beyond the last are read as 0 and not written.
    """
    head = tl.program_id(0).to(tl.int64)
    j = tl.program_id(1) * BLOCK_V + tl.arange(0, BLOCK_V)
    i = tl.arange(0, BLOCK_K)
    state = rows_ptr + head * keys * width + i[:, None] * width + j[None, :]
    inside = (i < keys)[:, None] & (j < width)[None, :]
    owed = tl.load(owed_ptr + head * keys + i, mask=i < keys, other=0.0)
    q_ptr += head * keys
    k_ptr += head * keys
    v_ptr += head * width
    out_ptr += head * width
    beta_ptr += head
    decay_ptr += head * decay_head
    for _ in range(0, tokens):
        k = tl.load(k_ptr + i, mask=i < keys, other=0.0)
        q = tl.load(q_ptr + i, mask=i < keys, other=0.0)
        u = tl.load(v_ptr + j, mask=j < width, other=0.0)
        if DECAY:
            owed += tl.load(decay_ptr + i * decay_key, mask=i < keys, other=0.0)
        full = owed >= EMPTY
        written = k != 0.0
        touched = (written | (q != 0.0)) & full
        rows = tl.load(state, mask=touched[:, None] & inside, other=0.0)
        rows *= tl.exp(owed)[:, None]
        if DELTA:
            u = tl.load(beta_ptr) * (u - tl.sum(k[:, None] * rows, axis=0))
        rows += k[:, None] * u[None, :]
        tl.store(state, rows, mask=written[:, None] & inside)
        owed = tl.where(written, 0.0, owed)
        tl.store(out_ptr + j, scale * tl.sum(q[:, None] * rows, axis=0), mask=j < width)
        # The next token's loads may be made by other threads than these stores.
        tl.debug_barrier()
        q_ptr += heads * keys
        k_ptr += heads * keys
        v_ptr += heads * width
        out_ptr += heads * width
        beta_ptr += heads
        decay_ptr += decay_token
    if tl.program_id(1) == 0:
        tl.store(left_ptr + head * keys + i, owed, mask=i < keys)


def lazy_scan(state, q, k, v, log_decay, beta, scale):
    """Compute `launch.lazy_scan` on a GPU, for float32; its caller has checked the shapes.

    Raises:
        ValueError: a state that is not contiguous float32, more than 512 keys a head.
    """
    rows, owed = state
    heads, keys, width = rows.shape
    if rows.dtype != torch.float32 or not rows.is_contiguous() or not owed.is_contiguous():
        raise ValueError("lazy_scan: on a GPU the state must be contiguous float32, for it is updated in place")
    if keys > MAX_KEYS:
        raise ValueError(f"lazy_scan: on a GPU a head has at most {MAX_KEYS} keys (got {keys})")
    q, k, v = (a.float().contiguous() for a in (q, k, v))
    out = torch.empty_like(v)
    left = torch.empty_like(owed)
    # Where an argument is absent, q takes its place: it is not read.
    decays, steps = (q, (0, 0, 0)) if log_decay is None else _decays(log_decay)
    betas = q if beta is None else beta.float().contiguous()
    block_k, block_v, warps = blocks(keys, width)
    lazy_kernel[(heads, triton.cdiv(width, block_v))](
        rows, owed, left, q, k, v, decays, betas, out,
        len(q), heads, keys, width, float(scale), *steps,
        DECAY=log_decay is not None, DELTA=beta is not None, BLOCK_K=block_k, BLOCK_V=block_v,
        num_warps=warps, enable_fp_fusion=True,
    )  # fmt: skip
    owed.copy_(left)
    return out


def _decays(log_decay):
    """Return float32 log decays and their strides by token, head and key; 0 if one serves all keys of a head."""
    g = log_decay.float()
    return g, (*g.stride(), 0) if g.ndim == 2 else g.stride()


def blocks(keys, width):
    """Return (rows, columns, warps) of a program: all rows, and about ENTRIES of the state.

    It is less for a width that is no multiple of 16: loaded entry by entry, it takes registers for each address.
    """
    rows = max(16, triton.next_power_of_2(keys))
    if width % 16:
        return rows, max(16, min(32, ENTRIES // 2 // rows)), 8
    return rows, max(16, min(64, ENTRIES // rows)), 4
