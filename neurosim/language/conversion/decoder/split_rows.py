"""A layer whose rows threads add by channels: each those of the channels that it has written itself.

Threads then meet once behind the layer instead of before and behind it, for one token of a large layer.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np

from ....kernels.decode.linear import encode, product
from ....kernels.spikes.encode.cpu import LOOKUP
from ....kernels.spikes.encode.reference import LIMIT
from ..linear import SpikedLinear
from .encoding import coding_operands, emit_encode, room_for_lists, rule_of_coder
from .joined_rows import bias_of, columns_of, int8_rows
from .memory import OWN, WHOLE, Array, Buffer, Touch, reads, writes
from .program import ByThread, DecoderProgram


def split_thresholds(b: DecoderProgram, layer: SpikedLinear, x: Buffer) -> Array | None:
    """Return the thresholds of a layer whose rows threads may add by channels, see `split_linear`, or None.

    Threads must not need the channels of others for a threshold, integer sums must be exact in any parts, and a
    table's counts are: they are int8, and their sums do not overflow.
    """
    is_exact = layer.weight_type == "int8" and x.width * LIMIT * 128 <= encode.INT32_LIMIT
    one_token = x.rows == b.tokens == 1 < b.threads and not x.own
    if not (is_exact and one_token):
        return None
    rule, thresholds = rule_of_coder(b, layer.coder, x.width)
    return thresholds if rule[0] == LOOKUP else None


def split_linear(b: DecoderProgram, layer: SpikedLinear, x: Buffer, before: Buffer, thresholds: Array) -> Buffer:
    """Return W x + b + before, which every thread then has: each adds the rows of the channels that it has written
    itself, for all outputs, and threads meet once, before the sums are joined."""
    places, share = b.by_columns(x)
    sizes = [end - begin for begin, end in pairwise(places)]
    rule, _ = rule_of_coder(b, layer.coder, x.width)
    # Each thread codes its own columns of x, as a list of its own.
    parts_of = [ByThread([int(a.ctypes.data) + 4 * begin for begin in places[:-1]]) for a in (x.array, thresholds)]
    coded = room_for_lists(b, x, max(sizes), levels=False, own=True)
    operands = coding_operands(
        b, x=parts_of[0], channels=ByThread(sizes), coder=layer.coder, rule=rule, thresholds=parts_of[1], whole=True
    )
    emit_encode(b, operands, coded, rule, places=1, read=reads(x, share), share=OWN)
    columns = columns_of([layer.out_features], 1)
    stride = columns[-1].end
    rows, (steps,) = b.weights.of([layer], partial(int8_rows, b, [layer], columns, stride))
    b.alive.append(rows)
    first_rows = ByThread([int(rows.ctypes.data) + stride * begin for begin in places[:-1]])
    sums = Buffer(b.array((b.threads, 1, stride), np.int32), 1, stride, own=True)
    operation = product.PARTIAL_ROWS[product.fastest()]
    listed = coded.operands(b.threads)
    bound = operation(rows=first_rows, stride=stride, size=ByThread(sizes), **listed, sums=sums)
    b.emit(bound, 1, [reads(coded.marker, OWN), writes(sums, OWN)])
    out = b.buffer(layer.out_features, own=True)
    bound = product.join(
        parts=sums.array,
        threads=b.threads,
        stride=stride,
        width=out.width,
        steps=b.constant(steps),
        bias=bias_of(b, layer),
        before=before,
        out=out,
        sums=b.scratch(stride, np.int32),
    )
    # Each thread reads the sums of all threads, not only its own copy.
    b.emit(bound, 1, [Touch(sums, WHOLE, is_write=False), reads(before, WHOLE), writes(out, OWN)])
    return out
