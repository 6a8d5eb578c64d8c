"""The recurrences of the ELM neuron on a CPU, and their gradients.

The two products of a step fit in the first caches. Arrays are float32 or float64, all of one type, time first,
C-contiguous.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...tools.compiled import compiled
from .reference import HEIGHT, SLOPE


class MemoryPass(NamedTuple):
    """Values of a pass through the memory, which its gradient reads.

    Attributes:
        decayed: [T, B, d] the memory of the step before, times `keep`.
        hidden: [T, B, hidden] the hidden layer, after its relu.
        proposed: [T, B, d] the tanh.
        out: [T, B, d] the memory.
    """

    decayed: np.ndarray
    hidden: np.ndarray
    proposed: np.ndarray
    out: np.ndarray


class MemoryGradients(NamedTuple):
    """Gradients that go back in time with the memory.

    Attributes:
        decayed: [T, B, d] by the decayed memory.
        hidden: [T, B, hidden] by the input of the relu, and so by `drive`.
        output: [T, B, d] by the argument of the tanh over SLOPE.
        gain: [d] by `gain`.
        start: [B, d] by `start`.
    """

    decayed: np.ndarray
    hidden: np.ndarray
    output: np.ndarray
    gain: np.ndarray
    start: np.ndarray


@compiled
def leak(x, decay, start, out):
    """Fill out [T, M] from x [T, M] and start [M]."""
    for t in range(x.shape[0]):
        for i in range(x.shape[1]):
            before = start[i] if t == 0 else out[t - 1, i]
            out[t, i] = decay * before + x[t, i]


@compiled
def leak_back(grad, decay, out):
    """Fill out [T, M] with the gradient of `leak` by x; the gradient by `start` is decay * out[0]."""
    last = grad.shape[0] - 1
    for t in range(last, -1, -1):
        for i in range(grad.shape[1]):
            after = out[t + 1, i] if t < last else grad.dtype.type(0)
            out[t, i] = grad[t, i] + decay * after


@compiled
def memory(drive, network, start, values):
    """Fill the `MemoryPass` `values` from drive [T, B, hidden], the `MemoryNetwork` and start [B, d]."""
    keep, gain, inner, outer, bias = network
    decayed, hidden, proposed, out = values
    steps, batch, d = out.shape
    slope = drive.dtype.type(SLOPE)
    height = drive.dtype.type(HEIGHT)
    zero = drive.dtype.type(0)
    for t in range(steps):
        before = start if t == 0 else out[t - 1]
        for b in range(batch):
            for i in range(d):
                decayed[t, b, i] = keep[i] * before[b, i]
        # The whole batch in one product: the relu and the tanh around it are loops over its entries.
        np.dot(decayed[t], inner, hidden[t])
        for b in range(batch):
            for i in range(drive.shape[2]):
                hidden[t, b, i] = max(hidden[t, b, i] + drive[t, b, i], zero)
        np.dot(hidden[t], outer, proposed[t])
        for b in range(batch):
            for i in range(d):
                proposed[t, b, i] = np.tanh(slope * (proposed[t, b, i] + bias[i]))
                out[t, b, i] = decayed[t, b, i] + gain[i] * (height * proposed[t, b, i])


@compiled
def memory_back(grad, network, values, gradients):
    """Fill the `MemoryGradients` from grad [T, B, d], the gradient by the memory, and the `MemoryPass` of the pass.

    The matrices of `network` are transposed: inner [hidden, d], outer [d, hidden].
    """
    keep, gain, inner, outer, _ = network
    hidden = values.hidden
    proposed = values.proposed
    to_decayed, to_hidden, to_output, to_gain, to_start = gradients
    steps, batch, d = grad.shape
    scale = grad.dtype.type(HEIGHT * SLOPE)
    height = grad.dtype.type(HEIGHT)
    one = grad.dtype.type(1)
    zero = grad.dtype.type(0)
    to_start[:] = zero
    to_gain[:] = zero
    for t in range(steps - 1, -1, -1):
        for b in range(batch):
            for i in range(d):
                # All that comes back to m of this step: from above, and from the step after it.
                to_start[b, i] += grad[t, b, i]
                p = proposed[t, b, i]
                to_gain[i] += to_start[b, i] * height * p
                # HEIGHT tanh(SLOPE a) changes by HEIGHT SLOPE (1 - p^2) with a.
                to_output[t, b, i] = to_start[b, i] * gain[i] * scale * (one - p * p)
        np.dot(to_output[t], outer, to_hidden[t])
        _close_relu(hidden[t], to_hidden[t])
        np.dot(to_hidden[t], inner, to_decayed[t])
        for b in range(batch):
            for i in range(d):
                # The decayed memory reaches the output twice: through the network, and directly.
                to_decayed[t, b, i] += to_start[b, i]
                to_start[b, i] = to_decayed[t, b, i] * keep[i]


@compiled
def _close_relu(hidden, gradient):
    """Set the gradient [B, hidden] to 0 where the relu was closed, which its output tells."""
    for b in range(hidden.shape[0]):
        for i in range(hidden.shape[1]):
            if not (hidden[b, i] > 0):
                gradient[b, i] = 0


@compiled
def advance(drive, decay, units, counts, rows, hidden_bias, network, memory, scratch):
    """Do one step of one neuron, in place; see `advance_reference`.

    Sums are plain loops, in one order: a library's may depend on the number of threads.

    Args:
        scratch: two arrays, [hidden] and [d].
    """
    keep, gain, inner, outer, bias = network
    hidden, proposed = scratch
    zero = drive.dtype.type(0)
    slope = drive.dtype.type(SLOPE)
    height = drive.dtype.type(HEIGHT)
    for j in range(drive.size):
        drive[j] *= decay
    # Input arrives before the relu, as in `memory`: drive is the leaky sum of the rows that spikes select.
    for k in range(units.size):
        for j in range(drive.size):
            drive[j] += counts[k] * rows[units[k], j]
    for j in range(drive.size):
        hidden[j] = drive[j] + hidden_bias[j]
    for i in range(memory.size):
        memory[i] *= keep[i]
        proposed[i] = bias[i]
        for j in range(drive.size):
            hidden[j] += memory[i] * inner[i, j]
    on = 0
    for j in range(drive.size):
        # A hidden unit of 0 selects no weights; the others are counted as the work of the step.
        if hidden[j] > zero:
            on += 1
            for i in range(memory.size):
                proposed[i] += hidden[j] * outer[j, i]
    for i in range(memory.size):
        memory[i] += gain[i] * (height * np.tanh(slope * proposed[i]))
    return on
