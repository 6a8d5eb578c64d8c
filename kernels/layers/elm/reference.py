"""The recurrences of the ELM neuron (Spieler et al., ICLR 2024) over a whole sequence: the specification.

All that is linear in time is one product before or after the loops: these compute the leak of the synapses and the
memory's network. Arrays are time first. The forms over a sequence are in torch and also serve devices other than a CPU.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# The scaled hyperbolic tangent of LeCun et al. 1998 (Efficient BackProp): +-1 lies where its curvature is largest.
HEIGHT = 1.7159
SLOPE = 2.0 / 3.0


class MemoryNetwork(NamedTuple):
    """Parameters of the network that writes the memory: tensors, or arrays of one type.

    Attributes:
        keep: [d] k_m = exp(-dt / tau_mem).
        gain: [d] lambda (1 - k_m).
        inner: [d, hidden] from the decayed memory to the hidden layer.
        outer: [hidden, d] from the hidden layer to the proposal.
        bias: [d] of the proposal.
    """

    keep: Tensor | np.ndarray
    gain: Tensor | np.ndarray
    inner: Tensor | np.ndarray
    outer: Tensor | np.ndarray
    bias: Tensor | np.ndarray


def leak_reference(x: Tensor, decay: float, start: Tensor) -> Tensor:
    """Return out[t] = decay * out[t - 1] + x[t], from `start` [B, N]; x [T, B, N]."""
    out = []
    last = start
    for now in x:
        last = decay * last + now
        out.append(last)
    return torch.stack(out)


def memory_reference(drive: Tensor, network: MemoryNetwork, start: Tensor) -> Tensor:
    """Return m [T, B, d], m = keep m + gain HEIGHT tanh(SLOPE (relu(drive + (keep m) inner) outer + bias)).

    Args:
        drive: [T, B, hidden] input of the hidden layer from the branches and its bias.
        start: [B, d] the memory before the first step.
    """
    out = []
    m = start
    for now in drive:
        decayed = network.keep * m
        hidden = torch.relu(now + decayed @ network.inner)
        m = decayed + network.gain * HEIGHT * torch.tanh(SLOPE * (hidden @ network.outer + network.bias))
        out.append(m)
    return torch.stack(out)


def advance_reference(
    drive: np.ndarray,
    decay: float,
    units: np.ndarray,
    counts: np.ndarray,
    rows: np.ndarray,
    hidden_bias: np.ndarray,
    network: MemoryNetwork,
    memory: np.ndarray,
) -> int:
    """Do one step of one neuron, in place, with the events of a step: `counts` [n] of the inputs `units` [n].

    Args:
        drive: [hidden] input of the hidden layer from the branches.
        rows: [inputs, hidden] added to `drive` for events.
        memory: [d].

    Returns:
        The number of hidden units that are on: rows of `outer` that have an effect.
    """
    drive[:] = decay * drive + counts @ rows[units]
    decayed = network.keep * memory
    hidden = np.maximum(drive + hidden_bias + decayed @ network.inner, 0)
    memory[:] = decayed + network.gain * HEIGHT * np.tanh(SLOPE * (hidden @ network.outer + network.bias))
    return int(np.count_nonzero(hidden))
