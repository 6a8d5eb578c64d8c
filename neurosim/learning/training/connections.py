"""Synapses into a layer of a trained network: dense or convolutional, each with delays."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn

from ...base.errors import require
from ...kernels.layers.convolution.autograd import sparse_convolution
from ..layers.linear import SpikeLinear, SpikeList

PlaneShape = tuple[int, int, int]


class LayerConnection(nn.Module, ABC):
    """Synapses that end on the units of a layer: `connection(x)`, x [T, B, inputs] to [T, B, units].

    Attributes:
        units: number of target units.
        shape: (planes, height, width) of the target units.
        delays: delay of each copy of the input, in steps; the first is 0.
    """

    def __init__(self, shape: PlaneShape, delays: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.units = math.prod(shape)
        self.delays = delays

    @property
    @abstractmethod
    def weight(self) -> Tensor:
        """All weights."""

    @abstractmethod
    def max_input(self, max_entry: Tensor) -> float:
        """Return the largest magnitude of a unit's input, for entries of the input of at most `max_entry`."""

    @abstractmethod
    def by_delay(self) -> list[Tensor]:
        """Return the weights of each delay: [units, inputs], or [filters, planes, rows, columns]."""

    def delayed(self, x: Tensor) -> list[Tensor]:
        """Return a copy of x for each delay, with zeros before it begins."""
        return [self._shifted(x, delay) for delay in self.delays]

    @staticmethod
    def _shifted(x: Tensor, delay: int) -> Tensor:
        if delay == 0:
            return x
        # Padding is listed from the last axis: units, batch, then time.
        return nn.functional.pad(x, (0, 0, 0, 0, delay, 0))[: len(x)]


def as_tensor(x: Tensor | SpikeList) -> Tensor:
    """Return an input with its zeros."""
    if isinstance(x, SpikeList):
        return x.dense()
    return x


@final
class Dense(LayerConnection):
    """Synapses from all inputs to all units."""

    def __init__(self, inputs: int, units: int, delays: tuple[int, ...], seed: int) -> None:
        super().__init__((1, 1, units), delays)
        self.inputs = inputs
        self.linear = SpikeLinear(inputs * len(delays), units, bias=False, seed=seed)

    @property
    def weight(self) -> Tensor:
        return self.linear.weight

    def forward(self, x: Tensor | SpikeList) -> Tensor:
        # Without delays nothing is copied, and a list stays one.
        if len(self.delays) == 1:
            inputs = x
        else:
            inputs = torch.cat(self.delayed(as_tensor(x)), dim=-1)
        out: Tensor = self.linear(inputs)
        return out

    def max_input(self, max_entry: Tensor) -> float:
        # The largest sum of |w| over the inputs of a unit.
        return float((self.weight.abs().sum(dim=1) * max_entry).max())

    def by_delay(self) -> list[Tensor]:
        return list(self.weight.split(self.inputs, dim=1))


@final
class Conv(LayerConnection):
    """A convolution along rows and columns without padding; a sensor of one row gets a kernel of one row.

    Raises:
        NeurosimInputError: the kernel is larger than its input.
    """

    def __init__(
        self, before: PlaneShape, filters: int, kernel: int, stride: int, delays: tuple[int, ...], seed: int
    ) -> None:
        planes, height, width = before
        # Channels of sound are one row.
        rows = 1 if height == 1 else kernel
        columns = kernel
        for size, k in ((height, rows), (width, columns)):
            require(k <= size, "NetworkSpec.kernel", f"must fit into {height} x {width} pixels", kernel)
        out_height = (height - rows) // stride + 1
        out_width = (width - columns) // stride + 1
        super().__init__((filters, out_height, out_width), delays)
        self.before = before
        self.stride = stride
        generator = torch.Generator().manual_seed(seed)
        fan_in = planes * len(delays) * rows * columns
        start = 2 * torch.rand(filters, planes * len(delays), rows, columns, generator=generator) - 1
        self.kernel = nn.Parameter(start / math.sqrt(fan_in))

    @property
    def weight(self) -> Tensor:
        return self.kernel

    def forward(self, x: Tensor | SpikeList) -> Tensor:
        x = as_tensor(x)
        # Steps and recordings are one batch of pictures; the copies are further planes.
        steps, items = x.shape[:2]
        copies = [copy.reshape(steps * items, *self.before) for copy in self.delayed(x)]
        if len(copies) == 1:
            pictures = copies[0]
        else:
            pictures = torch.cat(copies, dim=1)
        out: Tensor = sparse_convolution(pictures, self.kernel, self.stride)
        return out.reshape(steps, items, self.units)

    def max_input(self, max_entry: Tensor) -> float:
        return float((self.kernel.abs().sum(dim=(1, 2, 3)) * max_entry).max())

    def by_delay(self) -> list[Tensor]:
        return list(self.kernel.split(self.before[0], dim=1))
