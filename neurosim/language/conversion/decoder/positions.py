"""Rotary positions: cosines and sines of the tokens' places, and heads turned by them."""

from __future__ import annotations

import numpy as np

from ....kernels.decode.vectors import positions as position_kernels
from ...attention.kinds.rotary import Rotary
from .memory import OWN, Array, Buffer, aligned, reads, writes
from .program import DecoderProgram


def rotary(b: DecoderProgram, x: Buffer, size: int, angles: Rotary) -> Buffer:
    """Return each head of x turned by its position."""
    if angles.limit is not None:
        b.limit = min(b.limit, angles.limit)
    angles_of_tokens = turns(b, np.array(angles.rates, np.float64), angles.scale)
    out = b.buffer(x.width, x.rows)
    places, share = b.by_groups(out, size)
    heads = x.rows * x.width // size // b.tokens
    bound = position_kernels.rotary(
        x=x, size=size, heads=heads, angles=angles_of_tokens, pairs=len(angles.rates), out=out
    )
    b.emit(bound, places, [reads(x, share), reads(angles_of_tokens, OWN), writes(out, share)])
    return out


def turns(b: DecoderProgram, rates: Array, scale: float = 1.0) -> Buffer:
    """Return cosines and sines [tokens, 2, rates] of positions times rates, float64, times a scale.

    All layers of the same rates share them. Every thread computes all itself, so that none waits for the others.
    """
    key = (rates.tobytes(), scale)
    if key not in b.angles:
        # No buffer of a layer: later layers read it.
        array = aligned((b.threads, b.tokens, 2 * len(rates)), np.float32)
        out = Buffer(array, b.tokens, 2 * len(rates), own=True)
        bound = position_kernels.angles(rates=rates, pairs=len(rates), scale=scale, tokens=b.tokens, out=out)
        b.emit(bound, len(rates), [writes(out, OWN)])
        b.angles[key] = out
    return b.angles[key]
