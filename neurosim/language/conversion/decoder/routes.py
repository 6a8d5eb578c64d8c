"""Tokens that a router sends to a few of many memories or experts: weights, and masks of what is computed for whom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ....kernels.decode.routing import cpu as routing
from ...attention.kinds.compiled import Routed, Routing
from .memory import Array, Buffer, reads, writes
from .program import DecoderProgram
from .traced import Traced


@dataclass(frozen=True)
class Taken:
    """The tokens of a route: `mask` uint8 [tokens], and the buffer that stands for the routing it came from."""

    mask: Array
    routed: Buffer


def routes(b: DecoderProgram, scores: Buffer, choice: Routing) -> list[Routed]:
    """Append a choice by scores [tokens, n], and return the n routes, and the one that all tokens take."""
    count = scores.width + choice.all_take_one_more
    weights, masks, routed = _chosen(b, scores, count, choice)
    among = None
    if choice.fewer is not None:
        # Picked once more by the same scores: a mask of the more is enough, and the fewer are factors 0 or 1.
        among = np.ones((count, b.tokens), np.float32)
        b.alive.append(among)
        _, _, routed = _chosen(b, scores, count, Routing(choice.fewer), among)
    found = []
    for n in range(count):
        part = None if among is None else _of_tokens(b, among[n])
        found.append(Routed(_of_tokens(b, weights[n]), part, Taken(masks[n], routed)))
    return found


def _chosen(
    b: DecoderProgram, scores: Buffer, count: int, choice: Routing, shares: Array | None = None
) -> tuple[Array, Array, Buffer]:
    """Return weights [count, tokens] float32, masks [count, tokens], and the buffer that stands for both.

    Args:
        shares: float32 [count, tokens] that is filled with the masks.
    """
    weights = np.ones((count, b.tokens), np.float32)
    masks = np.ones((count, b.tokens), np.uint8)
    b.alive.append((weights, masks))
    # Who reads the weights or the masks of a token waits for this operation by this buffer.
    routed = Buffer(weights, b.tokens, 1)
    places, share = b.by_rows(scores)
    bound = routing.route(
        scores=scores,
        memories=scores.width,
        picked=choice.picked,
        sum_to_one=choice.sum_to_one,
        tokens=b.tokens,
        weights=weights,
        masks=masks,
        sigmoid=choice.sigmoid,
        bias=None if choice.bias is None else b.constant(choice.bias),
        groups=choice.groups,
        top_groups=choice.top_groups,
        scale=choice.scale,
        choice=b.scratch(scores.width + choice.groups),
        shares=shares,
    )
    b.emit(bound, places, [reads(scores, share), writes(routed, share)])
    return weights, masks, routed


def _of_tokens(b: DecoderProgram, numbers: Array) -> Tensor:
    """Return a number of each token as a value [B, 1]."""
    value: Tensor = Traced.of(b, Buffer(numbers, b.tokens, 1), [b.tokens, 1])  # type: ignore[assignment]
    return value
