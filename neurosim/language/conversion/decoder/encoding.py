"""Values as spikes: the list of active channels that layers of spikes read, and values as a receiver decodes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from ....kernels.decode.linear import encode
from ....kernels.spikes.encode.cpu import rule_of
from ....kernels.spikes.encode.launch import numpy_rounding
from ....kernels.spikes.encode.reference import share as total_share
from ..coding import Coder
from .memory import Array, Buffer, Share, Touch, reads, writes
from .program import ByThread, DecoderProgram, Encoded, NotCompiledError


def encoded(b: DecoderProgram, x: Buffer, coder: Coder, *, whole: bool) -> Encoded:
    """Return the active channels of x, of the tokens of `mask`; layers that code values alike share them."""
    # Layers that read the same x by the same rule and thresholds, as q, k and v do, add rows from one list.
    key = (x.address(0), x.rows, whole, b.mask_address, *coding_key(b, coder, x.width))
    if key in b.encoded:
        return b.encoded[key]
    rule, thresholds = rule_of_coder(b, coder, x.width)
    # One list for each token, or one for each thread where every thread lists all itself.
    coded = room_for_lists(b, x, x.width, levels=thresholds is None, own=b.few_tokens and x.rows == b.tokens)
    operands = coding_operands(b, x, x.width, coder, rule, thresholds, whole=whole)
    places, share = b.by_rows(coded.marker)
    emit_encode(b, operands, coded, rule, places, reads(x, share), share)
    b.encoded[key] = coded
    return coded


def room_for_lists(b: DecoderProgram, x: Buffer, channels: int, *, levels: bool, own: bool) -> Encoded:
    """Return room for the list of active channels of each row of x."""
    lead = (b.threads, x.rows) if own else (x.rows,)
    room = encode.room(channels)
    parts = (
        b.array((*lead, room), np.int32),
        b.array((*lead, room), np.int8),
        b.array((*lead, encode.HEAD), np.int64),
        b.array(lead, np.float32),
        b.array((*lead, channels), np.int32),
        b.array((*lead, channels), np.int32),
    )
    return Encoded(parts, Buffer(parts[0], x.rows, room, own), levels)


def emit_encode(
    b: DecoderProgram,
    operands: dict[str, Any],
    coded: Encoded,
    rule: tuple[Any, ...],
    places: Any,
    read: Touch,
    share: Share,
) -> None:
    """Append the coding of a buffer; the norm of whole tokens just before it joins it in one operation."""
    # The first size whose count is not 0: smaller values need no look at the table.
    first = int(np.argmax(rule[-1] != 0)) if len(rule[-1]) else 0
    operands = {**operands, **coded.operands(b.threads), "mask": b.mask, "first": first}
    touches = b.masked([read, writes(coded.marker, share)])
    norm = b.last_norm
    if norm is not None and norm.out is operands["x"] and norm.count == len(b.lists[0]):
        touches = [*norm.touches, *touches]
        b.emit(encode.norm_encode(**operands, **norm.operands), places, touches, instead=True)
    else:
        b.emit(encode.encode(**operands), places, touches)


def rule_of_coder(b: DecoderProgram, coder: Coder, channels: int) -> tuple[tuple[Any, ...], Array | None]:
    """Return the rounding of a coder as kernels take it, and thresholds [channels] where tokens have none."""
    rounding, thresholds = coder.kernel_rounding(channels)
    rule = rule_of(numpy_rounding(rounding))
    if thresholds is None:
        return rule, None
    return rule, b.constant(thresholds)


def coding_key(b: DecoderProgram, coder: Coder, channels: int) -> tuple[Any, ...]:
    """Return values that are equal for coders that count alike."""
    rule, thresholds = rule_of_coder(b, coder, channels)
    values = (part.tobytes() if isinstance(part, np.ndarray) else part for part in (*rule, thresholds))
    return (coder.k, *values)


def coding_operands(
    b: DecoderProgram,
    x: Buffer | ByThread,
    channels: int | ByThread,
    coder: Coder,
    rule: tuple[Any, ...],
    thresholds: Array | ByThread | None,
    *,
    whole: bool,
) -> dict[str, Any]:
    """Return the operands of `kernels.decode.linear.encode.CODING`; every thread may have channels of its own."""
    kind, shrink, top, factor, price, edges, levels, table = rule
    # The program holds the addresses of the rule's arrays.
    b.alive.append(rule)
    # Every thread has a scratch as large as the largest range needs.
    largest = max(channels.values) if isinstance(channels, ByThread) else channels
    return {
        "x": x,
        "size": channels,
        "share": float(total_share(largest, coder.k)),
        "by_channel": thresholds is not None,
        "thresholds": thresholds,
        "kind": kind,
        "shrink": float(shrink),
        "top": float(top),
        "factor": float(factor),
        "price": float(price),
        "edges": edges,
        "levels": levels,
        "table": table,
        "table_size": len(table),
        "whole": whole,
        "scratch": b.scratch(encode.padded_to(largest), np.int8),
    }


def code(b: DecoderProgram, x: Buffer, coder: nn.Module | None, size: int, out: Buffer | None = None) -> Buffer:
    """Return x as a receiver decodes it from spikes, each group of `size` channels apart; None changes nothing."""
    if coder is None:
        return x
    if not isinstance(coder, Coder):
        raise NotCompiledError(f"{type(coder).__name__}: no compiled operation codes by it; use Coder")
    if coder.bypassed:
        return x
    rule, thresholds = rule_of_coder(b, coder, size)
    rows = x.viewed(size)
    out = out or b.buffer(x.width, x.rows)
    places, share = b.by_groups(out, size)
    scales = b.constant(coder.scales)
    bound = encode.code(
        **coding_operands(b, rows, size, coder, rule, thresholds, whole=False),
        escaped=b.scratch(size, np.int32),
        excess=b.scratch(size, np.int32),
        scales=scales,
        scale_count=len(scales),
        out=out,
    )
    b.emit(bound, places, [reads(x, share), writes(out, share)])
    return out


def code_state(b: DecoderProgram, memory: Buffer, coder: nn.Module | None, size: int) -> None:
    """Code a state in place, each row of `size` columns on its own."""
    if coder is not None:
        code(b, memory, coder, size, out=memory)
