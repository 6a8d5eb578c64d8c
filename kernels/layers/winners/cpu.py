"""The gradients of a product of which only the winners are read, pair by pair of a winner and an active input.

Arrays are float32, winners and sources int64, all C-contiguous.
"""

from __future__ import annotations

from ...tools.compiled import compiled


@compiled
def weight_gradient(grad, winners, x, sources, out):
    """Add to out [outputs, inputs] the gradient by the weights; grad [B, n] is that by the product.

    Args:
        sources: [B, s] the inputs that are not 0; s = 0: any may be.
    """
    for b in range(grad.shape[0]):
        for j in range(grad.shape[1]):
            row = out[winners[b, j]]
            g = grad[b, j]
            if sources.shape[1]:
                for s in range(sources.shape[1]):
                    i = sources[b, s]
                    row[i] += g * x[b, i]
            else:
                for i in range(x.shape[1]):
                    row[i] += g * x[b, i]


@compiled
def input_gradient(grad, winners, weight, sources, out):
    """Add to out [B, inputs] the gradient by the inputs, of `sources` alone: others have no use for it."""
    for b in range(grad.shape[0]):
        for j in range(grad.shape[1]):
            row = weight[winners[b, j]]
            g = grad[b, j]
            for s in range(sources.shape[1]):
                i = sources[b, s]
                out[b, i] += g * row[i]
