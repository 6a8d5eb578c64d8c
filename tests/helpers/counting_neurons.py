"""Neurons that emit the counts of two schemes step by step: the reference of the closed forms in `conversion.coding`.

No layer needs them to run: its inputs over time are summed before they are multiplied, and the sum of the spikes of a
neuron is its count. They show that a neuron on a chip would send the same count.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurosim.base.errors import require


def integrate_and_fire(inputs: Tensor, threshold: Tensor | float, steps: int) -> Tensor:
    """Return spikes of integrate-and-fire neurons that get the same input at every step, as in QCFS.

    The membrane starts at threshold / 2, a spike subtracts the threshold (Bu et al. 2022, arXiv 2303.04347, theorem 1):
    then sum_t s_t = clip(floor(steps x / threshold + 1/2), 0, steps).

    Args:
        inputs: [*shape] x.
        threshold: > 0, that broadcasts to it.

    Returns:
        [steps, *shape] int8 in {0, 1}.
    """
    require(steps >= 1, "integrate_and_fire.steps", "must be >= 1", steps)
    potential = torch.zeros_like(inputs) + threshold / 2
    fired = []
    for _ in range(steps):
        potential = potential + inputs
        spikes = potential >= threshold
        potential = potential - spikes * threshold
        fired.append(spikes.to(torch.int8))
    return torch.stack(fired)


def bipolar_with_tracer(inputs: Tensor, threshold: Tensor | float, low: int, high: int, steps: int) -> Tensor:
    """Return spikes of bipolar neurons with a spike tracer (ST-BIF; You et al. 2024, arXiv 2406.03470).

    The membrane starts at threshold / 2. At each step a neuron gets its input, and spikes +1 where the membrane has
    reached the threshold and its tracer (the sum of its spikes) is below `high`, -1 where it is below 0 and the tracer
    above `low`. Spikes sent too early are taken back: for any order of the inputs, in the end
    sum_t s_t = clip(floor(sum_t x_t / threshold + 1/2), low, high), the quantised activation.

    Args:
        inputs: [T, *shape] inputs of the first T steps; later ones are 0.
        threshold: > 0, that broadcasts to [*shape].
        steps: at least T; T + high - low always suffices for the counts.

    Returns:
        [steps, *shape] int8 in {-1, 0, 1}.
    """
    require(low <= 0 <= high, "bipolar_with_tracer.low", "must be <= 0 <= high", (low, high))
    require(steps >= len(inputs), "bipolar_with_tracer.steps", f"must be >= {len(inputs)} inputs", steps)
    potential = torch.zeros_like(inputs[0]) + threshold / 2
    tracer = torch.zeros_like(inputs[0], dtype=torch.int32)
    fired = []
    for t in range(steps):
        if t < len(inputs):
            potential = potential + inputs[t]
        up = (potential >= threshold) & (tracer < high)
        down = (potential < 0) & (tracer > low)
        spikes = up.to(torch.int8) - down.to(torch.int8)
        potential = potential - spikes * threshold
        tracer = tracer + spikes
        fired.append(spikes)
    return torch.stack(fired)
