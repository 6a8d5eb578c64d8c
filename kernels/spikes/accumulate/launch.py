"""Spike-accumulate of numpy arrays, and of torch tensors on the device they are on.

On a GPU (`gpu`) each regime has its layout of weights: [K, N] for the masked product of a few tokens, [N, K]
int8 for the count product of a batch.
"""

from __future__ import annotations

import numpy as np

from ..encode.launch import encode
from ..encode.reference import NEAREST
from .cpu import accumulate_active, active


def spike_accumulate(counts, weights, escapes=None, threads=1):
    """Return out[B, N] = counts @ weights, over active channels only.

    Args:
        counts: [B, K] int8 or int32; numpy, or a torch tensor on any device.
        weights: [K, N] float32, bfloat16 (numpy: its bits as uint16) or int8, of the same kind and place. On a GPU
            a batch of more than 8 with int8 weights is fastest where `weights` is the transpose of a contiguous
            [N, K].
        escapes: excess of larger counts, as `encode` returns it.
        threads: does not change the result; on a CPU only.

    Returns: [B, N] float32, or int32 with int8 weights; of the kind of `counts`.

    Raises:
        ValueError: shapes that do not fit, a type that is not listed, int32 sums that could overflow.
    """
    if not isinstance(counts, np.ndarray):
        return _torch(counts, weights, escapes, threads)
    if counts.ndim != 2 or weights.ndim != 2 or counts.shape[1] != weights.shape[0]:
        raise ValueError(f"spike_accumulate: counts {counts.shape} @ weights {weights.shape} do not fit")
    return accumulate_active(active(counts, escapes), weights, threads)


def encode_accumulate(x, weights, k=3.0, thresholds=None, threads=1, *, steps=None, rounding=NEAREST, planes=None):
    """Compute a linear layer in spikes: `encode`, `spike_accumulate`, times `steps`, times each token's own threshold.

    On a GPU one kernel encodes and accumulates a single token. Thresholds of channels are not applied to the result:
    they belong into the weights. Counts keep their exact escapes.

    Args:
        steps: [N] float32 of the outputs, for integer weights; None for 1.
        rounding: see `encode`.
        planes: on a GPU, bit planes in which the counts of a batch are stored between kernels; None for int8.

    Returns: (y [B, N] float32, thresholds [B], or [K] as given).

    Raises:
        ValueError: see `encode` and `spike_accumulate`.
    """
    if not isinstance(x, np.ndarray) and x.is_cuda:
        from .gpu import encode_product

        return encode_product(x, weights, k, thresholds, steps, rounding, planes)
    coded = encode(x, k, thresholds, threads=threads, rounding=rounding)
    sums = spike_accumulate(coded.counts, weights, coded.escapes, threads)
    if isinstance(sums, np.ndarray):
        y = sums.astype(np.float32)
    else:
        y = sums.float()
    y = y if steps is None else y * steps
    return (y if thresholds is not None else y * coded.thresholds[:, None]), coded.thresholds


def _torch(counts, weights, escapes, threads):
    import torch

    if counts.is_cuda:
        from .gpu import product

        return product(counts, weights, escapes)
    if weights.dtype == torch.bfloat16:
        bits = weights.view(torch.uint16)
    else:
        bits = weights
    out = spike_accumulate(counts.numpy(), bits.detach().numpy(), _numpy_escapes(escapes), threads)
    return torch.from_numpy(out)


def _numpy_escapes(escapes):
    if escapes is None:
        return escapes
    return type(escapes)(*(np.asarray(part) for part in escapes))
