"""Norms of tokens and groups of channels, sums, and quotients of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ....kernels.decode.vectors import norms as norm_kernels
from .memory import Buffer, reads, writes
from .program import DecoderProgram, LastNorm, NotCompiledError


def norm(b: DecoderProgram, module: nn.Module, x: Buffer, size: int | None = None) -> Buffer:
    """Return the norm of x by an RMSNorm or LayerNorm, or of each group of `size` channels.

    Raises:
        NotCompiledError: another norm.
    """
    if isinstance(module, nn.Identity):
        return x
    centred = isinstance(module, nn.LayerNorm)
    if not isinstance(module, nn.RMSNorm | nn.LayerNorm):
        raise NotCompiledError(f"{type(module).__name__}: no compiled operation computes this norm")
    # torch then takes the epsilon of the type.
    if module.eps is None:
        eps = torch.finfo(torch.float32).eps
    else:
        eps = module.eps
    return norm_of(b, x, size or x.width, module.weight, getattr(module, "bias", None), eps, centred=centred)


def norm_of(
    b: DecoderProgram,
    x: Buffer,
    size: int,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    *,
    centred: bool = False,
) -> Buffer:
    """Return the norm of each group of `size` channels, around its mean if `centred`, with weight and bias."""
    # Every thread norms the few whole tokens itself: cheaper than to wait for the parts of others.
    whole = size == x.width and x.rows == b.tokens
    out = b.buffer(x.width, x.rows, own=whole and b.few_tokens)
    scale, shift = (None if t is None else b.constant(t) for t in (weight, bias))
    # Weights of a group repeat in all groups of a row.
    period = 1 if scale is None else len(scale)
    affine = {"weight": scale, "bias": shift, "centred": centred, "eps": eps}
    places: list[int] | int
    if whole:
        places, share = b.by_rows(out)
    else:
        places, share = b.by_groups(out, size)
    touches = [reads(x, share), writes(out, share)]
    b.emit(norm_kernels.norm(x=x, size=size, period=period, **affine, out=out), places, touches)
    if whole and (scale is None or len(scale) == size):
        # A layer that codes this norm can norm and code in one operation, see `emit_encode`.
        b.last_norm = LastNorm(out, {"norm_x": x, **affine}, touches, len(b.lists[0]))
    return out


def normalise(b: DecoderProgram, x: Buffer, size: int, kind: int, eps: float = 0.0) -> Buffer:
    """Return x with each group of `size` channels divided by its length or sum, or its softmax."""
    out = b.buffer(x.width, x.rows)
    places, share = b.by_groups(out, size)
    bound = norm_kernels.normalise(x=x, size=size, kind=kind, eps=eps, out=out)
    b.emit(bound, places, [reads(x, share), writes(out, share)])
    return out


def ratio(b: DecoderProgram, x: Buffer, eps: float) -> Buffer:
    """Return the columns of the rows of x but their last one, divided by this one plus eps."""
    out = b.buffer(x.width - 1, x.rows)
    places, share = b.by_groups(out, out.width)
    b.emit(norm_kernels.ratio(x=x, size=out.width, eps=eps, out=out), places, [reads(x, share), writes(out, share)])
    return out


def total(b: DecoderProgram, x: Buffer, size: int) -> Buffer:
    """Return the sum of each group of `size` channels, in rows of one."""
    out = b.buffer(1, x.rows * x.width // size)
    places, share = b.by_groups(x, size)
    b.emit(norm_kernels.total(x=x, size=size, out=out), places, [reads(x, share), writes(out, share)])
    return out
