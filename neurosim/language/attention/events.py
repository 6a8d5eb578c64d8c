"""Windows of events as tokens: convolutions over a sensor, then a linear layer, from event counts to channels."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from ...base.errors import require
from .kinds.modules import linear


@dataclass(frozen=True)
class EventInput:
    """The events of a window.

    Attributes:
        shape: shape of the sensor: (units,), (height, width) or (planes, height, width).
        filters: filters of each convolution.
        kernel, stride: size and step of every convolution, pixels or channels.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    shape: tuple[int, ...]
    filters: tuple[int, ...] = ()
    kernel: int = 5
    stride: int = 2

    def __post_init__(self) -> None:
        is_shape = 1 <= len(self.shape) <= 3 and all(n > 0 for n in self.shape)
        require(is_shape, "EventInput.shape", "must be one to three sizes > 0", self.shape)
        require(all(n > 0 for n in self.filters), "EventInput.filters", "must be sizes > 0", self.filters)
        for name in ("kernel", "stride"):
            require(getattr(self, name) >= 1, f"EventInput.{name}", "must be >= 1", getattr(self, name))


class EventEmbedding(nn.Module):
    """[.., units] numbers of events to [.., width]: each convolution is a linear layer on patches, then relu.

    `layers.0` takes the events themselves: each selects the rows of weights that are added.

    Raises:
        NeurosimInputError: on construction, convolutions that leave nothing of the sensor.
    """

    def __init__(self, events: EventInput, width: int) -> None:
        super().__init__()
        # A sensor of fewer axes is one of one plane, and of one row.
        planes, height, across = ((1,) * (3 - len(events.shape)) + tuple(events.shape))[-3:]
        self.shapes = [(planes, height, across)]
        layers = []
        for filters in events.filters:
            # A sensor of one row is convolved along its channels alone.
            kernel = (1 if height == 1 else events.kernel, events.kernel)
            sizes = []
            for units, width_of_patch in zip((height, across), kernel, strict=True):
                stride = 1 if units == 1 else events.stride
                sizes.append((units - width_of_patch) // stride + 1)
            rule = f"must be <= the {height} x {across} units before it"
            require(min(sizes) > 0, "EventInput.kernel", rule, events.kernel)
            layers.append(linear(planes * math.prod(kernel), filters, bias=True))
            planes = filters
            height, across = sizes
            self.shapes.append((planes, height, across))
        layers.append(linear(planes * height * across, width, not events.filters))
        self.kernel = events.kernel
        self.stride = events.stride
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        lead = x.shape[:-1]
        x = x.reshape(-1, x.shape[-1])
        for layer, shape in zip(self.layers[:-1], self.shapes, strict=False):
            x = F.relu(self._convolve(layer, x, shape)).flatten(1)
        out: Tensor = self.layers[-1](x)
        return out.view(*lead, -1)

    def _convolve(self, layer: nn.Module, x: Tensor, shape: tuple[int, int, int]) -> Tensor:
        """Return [n, filters, positions] a layer on every patch of x [n, units]."""
        if self.training and isinstance(layer, nn.Linear):
            # The same sums without patches in memory: with them a step of training on N-MNIST took twice as long.
            kernel, stride = self.window(shape[1])
            weight = layer.weight.to(x.dtype).view(-1, shape[0], *kernel)
            return F.conv2d(x.view(-1, *shape), weight, layer.bias, stride).flatten(2)
        out: Tensor = layer(self._patches(x, shape))
        return out.mT

    def _patches(self, x: Tensor, shape: tuple[int, int, int]) -> Tensor:
        """Return [n, positions, planes x kernel] the patches of x [n, units]."""
        kernel, stride = self.window(shape[1])
        return F.unfold(x.view(-1, *shape), kernel, stride=stride).mT

    def window(self, height: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return (rows, columns) of a patch and its (row, column) steps; a sensor of one row has patches of one row."""
        if height == 1:
            return (1, self.kernel), (1, self.stride)
        return (self.kernel, self.kernel), (self.stride, self.stride)
