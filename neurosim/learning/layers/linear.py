"""A linear layer whose input is spikes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from ...base.errors import require
from ...kernels.layers.spike_linear.autograd import linear, linear_of_list
from ...kernels.layers.spike_linear.lists import ActiveInputs


@dataclass(frozen=True)
class SpikeList:
    """Input [steps, batch, inputs] of which only the entries other than 0 are listed.

    Attributes:
        active: entries of each row, one row for each item of each step, items fastest.
        shape: (steps, batch, inputs).
    """

    active: ActiveInputs
    shape: tuple[int, int, int]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def dense(self) -> Tensor:
        """Return the input with its zeros."""
        starts, units, values = self.active
        x = np.zeros((len(starts) - 1, self.shape[-1]), np.float32)
        rows = np.repeat(np.arange(len(x)), np.diff(starts))
        x[rows, units] = values if len(values) else 1
        return torch.from_numpy(x).view(self.shape)


def uniform_parameters(
    inputs: int, outputs: int, bias: bool, draws: torch.Generator
) -> tuple[nn.Parameter, nn.Parameter | None]:
    """Draw weights [outputs, inputs], all targets of an input side by side, and a bias, in +- 1 / sqrt(inputs)."""
    bound = 1 / math.sqrt(inputs)
    # Drawn as [inputs, outputs] and transposed: the targets of an input lie side by side in memory.
    weight = nn.Parameter((2 * torch.rand(inputs, outputs, generator=draws) - 1).mul_(bound).t())
    if not bias:
        return weight, None
    return weight, nn.Parameter((2 * torch.rand(outputs, generator=draws) - 1) * bound)


@final
class SpikeLinear(nn.Linear):
    """y = x W^T + b, an `nn.Linear` that adds up the weights of the inputs that spiked, where they are few.

    For float32 on a CPU, x [..., inputs] with at most a fifth of its entries other than 0: forward and in the gradient
    of the weights only those count, and the terms of a sum are added in ascending order, then the bias, whatever the
    number of threads. Any other input takes the dense product. A `SpikeList` gives the same bits as its `dense()`.

    The weights [outputs, inputs] lie in memory with all targets of an input side by side. They and the bias start
    uniform in +- 1 / sqrt(inputs), as an `nn.Linear`'s, drawn from `seed`.

    Raises:
        NeurosimInputError: no input or no output.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, seed: int = 0) -> None:
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            require(isinstance(size, int) and size > 0, f"SpikeLinear.{name}", "must be an integer > 0", size)
        # On the meta device nothing is drawn from the global generator.
        super().__init__(in_features, out_features, bias, device="meta")
        draws = torch.Generator().manual_seed(seed)
        self.weight, self.bias = uniform_parameters(in_features, out_features, bias, draws)  # type: ignore[assignment]

    def forward(self, input: Tensor | SpikeList) -> Tensor:
        if isinstance(input, SpikeList):
            out: Tensor | None = linear_of_list(input.active, input.shape, self.weight, self.bias)
            if out is not None:
                return out
            input = input.dense().to(self.weight)
        return linear(input, self.weight, self.bias)
