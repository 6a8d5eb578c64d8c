"""The connection pattern of a two-dimensional convolution, whose weights are in its kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from .base import Maker, Pattern, Rows, Side, check_count
from .makers import offsets_of, part_of
from .patterns import Onto


@final
@dataclass(frozen=True, eq=False)
class Convolution(Pattern):
    """A two-dimensional convolution: source [channels, height, width] to target [filters, rows, columns].

    Unit (c, y, x) reaches unit (f, i, j) with `kernel[f, c, y + padding - i stride, x + padding - j stride]` times the
    projection's weight, wherever that lies in the kernel (cross-correlation, as torch's and NIR's Conv2d).

    Attributes:
        kernel: [filters, channels, rows, columns].
        stride, padding: units, the same along both dimensions.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    kernel: NDArray[Any]
    stride: int = 1
    padding: int = 0

    def __post_init__(self) -> None:
        kernel = np.asarray(self.kernel)
        fits = kernel.ndim == 4 and kernel.size > 0
        require(fits, "Convolution.kernel", "must be [f, c, rows, columns]", kernel.shape)
        require(kernel.dtype.kind in "iuf", "Convolution.kernel", "must hold numbers", kernel.dtype)
        object.__setattr__(self, "kernel", kernel.astype(np.float64))
        require(bool(np.isfinite(self.kernel).all()), "Convolution.kernel", "must be finite", "NaN or infinity")
        for name in ("stride", "padding"):
            check_count(f"Convolution.{name}", getattr(self, name))
        require(self.stride > 0, "Convolution.stride", "must be > 0", self.stride)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return [filters, rows, columns] of the target for a source of [channels, height, width].

        Raises:
            NeurosimInputError: a source of another form, with other channels, or smaller than the kernel.
        """
        require(len(shape) == 3, "Convolution", "needs a source of shape (channels, height, width)", shape)
        filters, channels, *window = self.kernel.shape
        require(shape[0] == channels, "Convolution.kernel", f"must have the source's {shape[0]} channels", channels)
        sizes = [(n + 2 * self.padding - k) // self.stride + 1 for n, k in zip(shape[1:], window, strict=True)]
        require(min(sizes) > 0, "Convolution.kernel", f"must fit into the source {shape} with its padding", window)
        return filters, *sizes

    def check(self, source: Side, target: Side, same: bool) -> None:
        expected = self.output_shape(source.shape)
        require(target.shape == expected, "Convolution", f"needs a target of shape {expected}", target.shape)

    def maker(self, source: Side, target: Side, same: bool, key: int, onto: Onto = None) -> Maker:
        _, height, width = target.shape
        filters, _, high, wide = self.kernel.shape

        def rows(first: int, last: int) -> Rows:
            return part_of(self._rows(np.arange(first, last), source.shape, target.shape), onto)

        # A unit reaches every filter in each window that it lies in.
        # Rows and columns are independent, so their numbers multiply.
        by_row = self._windows(source.shape[1], high, height)
        by_column = self._windows(source.shape[2], wide, width)
        degrees = np.broadcast_to(filters * np.outer(by_row, by_column), source.shape)
        return Maker(rows, offsets_of(degrees.reshape(-1)))

    def _windows(self, size: int, kernel: int, count: int) -> NDArray[np.int64]:
        """Return the number of the `count` windows of `kernel` units that each place of a dimension lies in."""
        places = np.arange(size)[:, None] + self.padding - np.arange(count) * self.stride
        return ((places >= 0) & (places < kernel)).sum(axis=1)

    def _rows(self, units: NDArray[Any], shape: tuple[int, ...], to: tuple[int, ...]) -> Rows:
        """Return the rows of some units of a source of one shape onto a target of another."""
        _, height, width = to
        filters, _, high, wide = self.kernel.shape
        channel, y, x = np.unravel_index(units, shape)
        # Unit y lies at row a of window i if y + padding = i stride + a: i is a quotient by the stride, without rest.
        # Backwards through the window, so that targets ascend; axes are source, filter, window row, window column.
        number = np.arange(filters)[:, None, None]
        kernel_row = np.arange(high)[::-1, None]
        kernel_column = np.arange(wide)[::-1]
        row, y_rest = np.divmod((y + self.padding)[:, None, None, None] - kernel_row, self.stride)
        column, x_rest = np.divmod((x + self.padding)[:, None, None, None] - kernel_column, self.stride)
        starts_there = (y_rest == 0) & (x_rest == 0)
        exists = (row >= 0) & (column >= 0) & (row < height) & (column < width)
        inside = np.broadcast_to(starts_there & exists, (len(units), filters, high, wide))
        targets = np.broadcast_to((number * height + row) * width + column, inside.shape)[inside]
        each = self.kernel[number, channel[:, None, None, None], kernel_row, kernel_column]
        weights = np.broadcast_to(each, inside.shape)[inside]
        return Rows(offsets_of(inside.sum(axis=(1, 2, 3))), targets.astype(np.int32), weights=weights)

    def expected(self, source: Side, target: Side) -> float:
        filters, _, high, wide = self.kernel.shape
        return float(source.size) * filters * high * wide
