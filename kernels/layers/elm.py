"""The recurrences of the ELM neuron (Spieler et al., ICLR 2024) over a whole sequence, and their gradients.

All that is linear in time is one product before or after the loop. The loop computes the leak of the synapses and the
memory's network, whose two products a step fit in the first caches.

All arrays are float32 or float64, time first, C-contiguous. The references, in torch, also serve other devices.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit

# The scaled hyperbolic tangent of LeCun et al. 1998 (Efficient BackProp): +-1 lies where its curvature is largest.
HEIGHT = 1.7159
SLOPE = 2.0 / 3.0


def leak_reference(x, decay, start):
    """The specification of `leak`: out[t] = decay * out[t - 1] + x[t], from `start` [B, N]; x [T, B, N]."""
    out = []
    last = start
    for now in x:
        last = decay * last + now
        out.append(last)
    return torch.stack(out)


@njit(cache=True, nogil=True)
def leak(x, decay, start, out):
    """Fill out [T, M] from x [T, M] and start [M]."""
    for t in range(x.shape[0]):
        for i in range(x.shape[1]):
            before = start[i] if t == 0 else out[t - 1, i]
            out[t, i] = decay * before + x[t, i]


@njit(cache=True, nogil=True)
def leak_back(grad, decay, out):
    """Fill out [T, M] with the gradient of `leak` by x; the gradient by `start` is decay * out[0]."""
    last = grad.shape[0] - 1
    for t in range(last, -1, -1):
        for i in range(grad.shape[1]):
            after = out[t + 1, i] if t < last else grad.dtype.type(0)
            out[t, i] = grad[t, i] + decay * after


def memory_reference(drive, keep, gain, inner, outer, bias, start):
    """The specification of `memory`.

    Args:
        drive: [T, B, hidden], input of the hidden layer from the branches and the bias.
        keep: [d], k_m; gain: [d], lambda (1 - k_m).
        inner: [d, hidden], from the decayed memory to the hidden layer; outer: [hidden, d]; bias: [d], of the output.
        start: [B, d].

    Returns:
        m [T, B, d]: m = keep m + gain HEIGHT tanh(SLOPE (relu(drive + (keep m) inner) outer + bias)).
    """
    out = []
    m = start
    for now in drive:
        kept = keep * m
        hidden = torch.relu(now + kept @ inner)
        m = kept + gain * HEIGHT * torch.tanh(SLOPE * (hidden @ outer + bias))
        out.append(m)
    return torch.stack(out)


@njit(cache=True, nogil=True)
def memory(drive, keep, gain, inner, outer, bias, start, kept, hidden, proposed, out):
    """Fill out [T, B, d], and for the gradient kept [T, B, d], hidden [T, B, hidden] and proposed [T, B, d].

    These are the decayed memory, the hidden layer and the tanh.
    """
    steps, batch, d = out.shape
    slope = drive.dtype.type(SLOPE)
    height = drive.dtype.type(HEIGHT)
    zero = drive.dtype.type(0)
    for t in range(steps):
        before = start if t == 0 else out[t - 1]
        for b in range(batch):
            for i in range(d):
                kept[t, b, i] = keep[i] * before[b, i]
        np.dot(kept[t], inner, hidden[t])
        for b in range(batch):
            for i in range(drive.shape[2]):
                hidden[t, b, i] = max(hidden[t, b, i] + drive[t, b, i], zero)
        np.dot(hidden[t], outer, proposed[t])
        for b in range(batch):
            for i in range(d):
                proposed[t, b, i] = np.tanh(slope * (proposed[t, b, i] + bias[i]))
                out[t, b, i] = kept[t, b, i] + gain[i] * (height * proposed[t, b, i])


@njit(cache=True, nogil=True)
def advance(drive, decay, units, counts, rows, hidden_bias, keep, gain, inner, outer, bias, memory, hidden, proposed):
    """Do one step of one neuron, in place, with the events of a step: `counts` [n] of the inputs `units` [n].

    Args:
        drive: [hidden], what the branches bring to the hidden layer; `rows` [inputs, hidden] are added for events.
        keep, gain, bias, memory: [d]; inner: [d, hidden]; outer: [hidden, d]; as in `memory_reference`.
        hidden, proposed: [hidden] and [d], scratch.

    Returns:
        The number of hidden units that are on: rows of `outer` that were read.

    Sums are plain loops, in one order: a library's may depend on the number of threads.
    """
    zero = drive.dtype.type(0)
    slope = drive.dtype.type(SLOPE)
    height = drive.dtype.type(HEIGHT)
    for j in range(drive.size):
        drive[j] *= decay
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
        if hidden[j] > zero:
            on += 1
            for i in range(memory.size):
                proposed[i] += hidden[j] * outer[j, i]
    for i in range(memory.size):
        memory[i] += gain[i] * (height * np.tanh(slope * proposed[i]))
    return on


@njit(cache=True, nogil=True)
def memory_back(grad, keep, gain, inner, outer, hidden, proposed, to_kept, to_hidden, to_output, to_gain, to_start):
    """Fill the gradients.

    to_kept [T, B, d] is that of the decayed memory, to_hidden [T, B, hidden] of the input of the relu and so of
    `drive`, to_output [T, B, d] of the argument of the tanh over SLOPE, to_gain [d] and to_start [B, d] of `gain` and
    `start`. inner and outer are transposed: [hidden, d] and [d, hidden].
    """
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
                to_output[t, b, i] = to_start[b, i] * gain[i] * scale * (one - p * p)
        np.dot(to_output[t], outer, to_hidden[t])
        for b in range(batch):
            for i in range(hidden.shape[2]):
                if not (hidden[t, b, i] > zero):
                    to_hidden[t, b, i] = zero
        np.dot(to_hidden[t], inner, to_kept[t])
        for b in range(batch):
            for i in range(d):
                to_kept[t, b, i] += to_start[b, i]
                to_start[b, i] = to_kept[t, b, i] * keep[i]
