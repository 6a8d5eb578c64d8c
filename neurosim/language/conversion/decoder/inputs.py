"""The first layer of a model: rows of a table for tokens, or a network of layers for counts of events."""

from __future__ import annotations

import math

from torch import nn

from ....kernels.decode.vectors import patches as patch_kernels
from ....kernels.decode.vectors import rows as row_kernels
from ....kernels.decode.vectors.reference import RELU
from ...attention.events import EventEmbedding
from .linear import linear
from .memory import WHOLE, Array, Buffer, reads, writes
from .pointwise import pointwise
from .program import DecoderProgram


def embed(b: DecoderProgram, tokens: Array, table: nn.Embedding) -> Buffer:
    """Return the rows of a table for tokens [tokens]."""
    out = b.buffer(table.embedding_dim, own=b.few_tokens)
    places, share = b.by_rows(out)
    weights = b.constant(table.weight)
    bound = row_kernels.embed(tokens=tokens, table=weights, width=out.width, out=out)
    b.emit(bound, places, [writes(out, share)])
    return out


def embed_events(b: DecoderProgram, counts: Array, layer: EventEmbedding) -> Buffer:
    """Return the embedding of event counts [tokens, units]."""
    x = Buffer(counts, *counts.shape)
    # The first patches are of events, plane by plane; later ones are of outputs, all channels of a pixel together.
    together = False
    for inner, shape in zip(layer.layers[:-1], layer.shapes, strict=False):
        kernel, stride = layer.window(shape[1])
        x = pointwise(b, linear(b, inner, patches(b, x, shape, kernel, stride, together)), RELU)
        together = True
    if together:
        shape = layer.shapes[-1]
        x = patches(b, x, shape, shape[1:], (1, 1), together)
    return linear(b, layer.layers[-1], x)


def patches(
    b: DecoderProgram,
    x: Buffer,
    shape: tuple[int, int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    together: bool,
) -> Buffer:
    """Return the patches of a sensor, a row each; `together`: the planes of a pixel lie side by side."""
    positions = math.prod((n - k) // step + 1 for n, k, step in zip(shape[1:], kernel, stride, strict=True))
    out = b.buffer(shape[0] * math.prod(kernel), b.tokens * positions)
    places, share = b.by_rows(out)
    planes, height, width = shape
    rows, columns = kernel
    down, across = stride
    sizes = {"planes": planes, "height": height, "width": width, "rows": rows, "columns": columns}
    bound = patch_kernels.patches(x=x, **sizes, down=down, across=across, together=together, out=out)
    b.emit(bound, places, [reads(x, WHOLE), writes(out, share)])
    return out
