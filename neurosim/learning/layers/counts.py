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
        name: name of the layer.
        weight: [outputs, inputs].
        x: [T, B, inputs]; [1, B, inputs] for a constant input, whose product is taken once.
        out: [T, B, outputs] spikes, or the product itself.
        states: [T, variables, B, outputs] of spiking units after each step; None for a product without units.
        bias: number of biases and parameters of units.
        events: whether `out` are spikes or activations, not readings; None: true if there are states.
    """
    w = weight.detach().cpu().T.numpy()
    # `count` takes samples first: [B, T, ...].
    inputs = x.detach().cpu().transpose(0, 1).numpy()
    outputs = out.detach().cpu().transpose(0, 1).numpy()
    if states is None:
        potentials = np.zeros((*outputs.shape, 0), np.float32)
    else:
        potentials = states.detach().cpu().permute(2, 0, 3, 1).numpy()
    stored = w.nbytes + bias * w.itemsize
    if events is None:
        spiking = states is not None
    else:
        spiking = events
    return count(name, w, inputs, outputs, potentials, spiking=spiking, parameter_bytes=stored)
