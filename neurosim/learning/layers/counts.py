"""Counts of trainable layers from their activity, for `measure`."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ...base.measure.activity import count
from ...base.measure.work import LayerCounts


def count_linear(
    name: str,
    weight: Tensor,
    x: Tensor,
    out: Tensor,
    states: Tensor | None = None,
    *,
    bias: int = 0,
    events: bool | None = None,
) -> LayerCounts:
    """Return the counts of a product with `weight`, and of the units behind it.

    Args:
        name: of the layer.
        weight: [outputs, inputs].
        x: [T, B, inputs]; [1, B, inputs] for a constant input, whose product is taken once.
        out: [T, B, outputs] spikes, or the product itself.
        states: [T, variables, B, outputs] of spiking units after each step; None for a product alone, which has none.
        bias: number of biases and parameters of units.
        events: whether `out` are spikes or activations, and no readings; None: where there are states.
    """
    w, inputs, outputs = weight.detach().cpu().T.numpy(), *(v.detach().cpu().transpose(0, 1).numpy() for v in (x, out))
    none = np.zeros((*outputs.shape, 0), np.float32)
    if states is None:
        potentials = none
    else:
        potentials = states.detach().cpu().permute(2, 0, 3, 1).numpy()
    stored = w.nbytes + bias * w.itemsize
    spiking = states is not None if events is None else events
    return count(name, w, inputs, outputs, potentials, spiking=spiking, parameter_bytes=stored)
