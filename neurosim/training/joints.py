"""The synapses into a layer: a matrix or a convolution, each with delays."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn

from ..errors import require
from ..layers import SpikeLinear

Planes = tuple[int, int, int]


class Joint(nn.Module, ABC):
    """What arrives at the units of a layer: `joint(x)`, x [T, B, inputs] to [T, B, units].

    Attributes:
        units: that it leads to.
        shape: how they unfold: planes, height, width.
        delays: steps of each copy of the input, the first of them 0.
    """

    def __init__(self, shape: Planes, delays: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.units, self.delays = shape, math.prod(shape), delays

    @property
    @abstractmethod
    def weight(self) -> Tensor:
        """All of its weights."""

    @abstractmethod
    def into(self, reach: Tensor) -> float:
        """The most that can arrive at a unit in size: the sum over its synapses of |weight| times the largest entry of
        the input, `reach`."""

    def delayed(self, x: Tensor) -> list[Tensor]:
        """A copy of x for each delay, zeros before it begins."""
        return [x if d == 0 else nn.functional.pad(x, (0, 0, 0, 0, d, 0))[: len(x)] for d in self.delays]


@final
class Matrix(Joint):
    """All to all."""

    def __init__(self, inputs: int, units: int, delays: tuple[int, ...], seed: int) -> None:
        super().__init__((1, 1, units), delays)
        self.inputs = inputs
        self.linear = SpikeLinear(inputs * len(delays), units, bias=False, seed=seed)

    @property
    def weight(self) -> Tensor:
        return self.linear.weight

    def forward(self, x: Tensor) -> Tensor:
        copies = self.delayed(x)
        out: Tensor = self.linear(copies[0] if len(copies) == 1 else torch.cat(copies, dim=-1))
        return out

    def into(self, reach: Tensor) -> float:
        return float((self.weight.abs().sum(dim=1) * reach).max())

    def by_delay(self) -> list[Tensor]:
        """[units, inputs] of each delay."""
        return list(self.weight.split(self.inputs, dim=1))


@final
class Convolved(Joint):
    """A convolution along rows and columns without padding; a sensor of one row gets a kernel of one row.

    Raises:
        NeurosimInputError: the kernel is larger than what it slides over.
    """

    def __init__(
        self, before: Planes, filters: int, kernel: int, stride: int, delays: tuple[int, ...], seed: int
    ) -> None:
        planes, height, width = before
        high, wide = min(kernel, height) if height == 1 else kernel, kernel
        for size, k in ((height, high), (width, wide)):
            require(k <= size, "Design.kernel", f"must fit into {height} x {width} pixels", kernel)
        super().__init__((filters, (height - high) // stride + 1, (width - wide) // stride + 1), delays)
        self.before, self.stride = before, stride
        draws, fan = torch.Generator().manual_seed(seed), planes * len(delays) * high * wide
        start = 2 * torch.rand(filters, planes * len(delays), high, wide, generator=draws) - 1
        self.kernel = nn.Parameter(start / math.sqrt(fan))

    @property
    def weight(self) -> Tensor:
        return self.kernel

    def forward(self, x: Tensor) -> Tensor:
        steps, items = x.shape[:2]
        copies = [copy.reshape(steps * items, *self.before) for copy in self.delayed(x)]
        out = nn.functional.conv2d(torch.cat(copies, dim=1), self.kernel, stride=self.stride)
        return out.reshape(steps, items, self.units)

    def into(self, reach: Tensor) -> float:
        return float((self.kernel.abs().sum(dim=(1, 2, 3)) * reach).max())

    def by_delay(self) -> list[Tensor]:
        """[filters, planes, rows, columns] of each delay."""
        return list(self.kernel.split(self.before[0], dim=1))
