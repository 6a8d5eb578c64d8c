"""A convolution of pictures that are mostly zeros, and the gradient of its kernel: work follows entries other than 0.

An entry reaches the few places of the output whose windows hold it, and adds all filters side by side at each. Sums
have the order of the reference, so that they do not depend on threads. Those of the gradient are taken over parts of
the pictures, which are cut by the number of pictures alone, and then over the parts, in order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from ...tools.compiled import compiled
from ...tools.threads import spread
from ..spike_linear.lists import ActiveInputs

# Filters that are added at once; the last of a kernel are filled up with zeros.
LANES = 16
# Pictures of a part of the gradient at least, and parts at most.
PART = 32
MAX_PARTS = 64
# Additions of `LANES` numbers, and numbers to write, that are worth a thread.
GRAIN = 1 << 17


class Reach(NamedTuple):
    """Windows that hold each unit of a picture.

    Attributes:
        table: [units, 5] int32, first row and row after the last of the windows, first column and column after the
            last, and the tap that the unit would be in window (0, 0).
        columns: of windows.
        broad, stride: of `Windows`.
    """

    table: np.ndarray
    columns: int
    broad: int
    stride: int


class Windows(NamedTuple):
    """Places of pictures and windows of a kernel.

    Attributes:
        planes, height, width: of a picture.
        tall, broad: rows and columns of the kernel.
        stride: of windows, along both axes.
    """

    planes: int
    height: int
    width: int
    tall: int
    broad: int
    stride: int

    @property
    def out(self) -> tuple[int, int]:
        """Rows and columns of windows."""
        return (self.height - self.tall) // self.stride + 1, (self.width - self.broad) // self.stride + 1

    @property
    def taps(self) -> int:
        """Number of weights of a filter."""
        return self.planes * self.tall * self.broad

    def reach(self) -> Reach:
        """Return the windows that hold each unit of a picture."""
        plane, y, x = np.indices((self.planes, self.height, self.width)).reshape(3, -1)
        rows, columns = self.out
        table = np.empty((len(y), 5), np.int32)
        for k, place, size, windows in ((0, y, self.tall, rows), (2, x, self.broad, columns)):
            table[:, k] = np.maximum(0, -((size - 1 - place) // self.stride))
            table[:, k + 1] = np.minimum(windows, place // self.stride + 1)
        table[:, 4] = (plane * self.tall + y) * self.broad + x
        return Reach(table, columns, self.broad, self.stride)


def convolution(active: ActiveInputs, kernel, windows: Windows, threads=1):
    """Return [N, filters, rows, columns] of N pictures, given by their entries, and a kernel [filters, *taps]."""
    filters = len(kernel)
    rows, columns = windows.out
    pictures = len(active.starts) - 1
    out = np.empty((pictures, filters, rows * columns), np.float32)
    # A row for each tap, all filters side by side.
    wide = np.zeros((windows.taps, _padded(filters)), np.float32)
    wide[:, :filters] = kernel.reshape(filters, -1).T
    reach = windows.reach()

    def fill(first, last):
        _convolve(active, wide, reach, first, last, out)

    spread(fill, _work(active, out), threads, GRAIN)
    return out.reshape(pictures, filters, rows, columns)


def kernel_gradient(active: ActiveInputs, g, windows: Windows, threads=1):
    """Return [filters, taps], the gradient of the kernel, for g [N, filters, rows, columns], that of the output."""
    pictures, filters = g.shape[:2]
    g = np.ascontiguousarray(g).reshape(pictures, filters, -1)
    count = max(1, min(MAX_PARTS, pictures // PART))
    edges = np.arange(count + 1) * pictures // count
    parts = np.zeros((count, windows.taps, _padded(filters)), np.float32)
    reach = windows.reach()

    def fill(first, last):
        for k in range(first, last):
            _gather(active, g, reach, edges[k], edges[k + 1], parts[k])

    spread(fill, _work(active, g)[edges], threads, GRAIN)
    total = parts[0]
    for part in parts[1:]:
        total += part
    return np.ascontiguousarray(total[:, :filters].T)


def _padded(filters):
    return -(-filters // LANES) * LANES


def _work(active, out):
    """Return [N + 1] the work up to each picture: its entries, and the numbers [N, filters, places] of its output."""
    return active.starts + np.arange(len(out) + 1) * (out[0].size // LANES if len(out) else 0)


@intrinsic
def _add_lanes(typing, target, source, value):
    """Add to `LANES` float32 at address `target` those at address `source`, each times `value`."""
    vector = ir.VectorType(ir.FloatType(), LANES)

    def emit(context, builder, signature, arguments):
        target, source, value = arguments
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        values = builder.shuffle_vector(one, one, mask)
        place = builder.inttoptr(target, vector.as_pointer())
        added = builder.load(builder.inttoptr(source, vector.as_pointer()), align=4)
        total = builder.fadd(builder.load(place, align=4), builder.fmul(values, added))
        builder.store(total, place, align=4)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.float32), emit


@njit(inline="always")
def _add_entry(reach, unit, value, width, places, taps, to_taps):
    """Add, for each window that holds an entry, the row of its tap to that of its place, times `value`, or back.

    Args:
        width: bytes of a row.
        places, taps: addresses of the rows of output places and of taps.
        to_taps: the gradient of the kernel: rows of places are added to those of taps.
    """
    top, bottom, left, right, base = reach.table[unit]
    for row in range(top, bottom):
        for column in range(left, right):
            place = places + width * (row * reach.columns + column)
            tap = taps + width * (base - row * reach.stride * reach.broad - column * reach.stride)
            for lane in range(0, width, 4 * LANES):
                if to_taps:
                    _add_lanes(tap + lane, place + lane, value)
                else:
                    _add_lanes(place + lane, tap + lane, value)


@compiled
def _convolve(active, kernel, reach, first, last, out):
    """Fill pictures `first` to `last` of out [N, filters, places]; kernel [taps, filters filled up]."""
    starts, units, values = active
    # Filters side by side, so that a tap of all of them is added as vectors; they are turned round at the end.
    lanes = kernel.shape[1]
    sums = np.empty((out.shape[2], lanes), np.float32)
    sums_at = sums.ctypes.data
    kernel_at = kernel.ctypes.data
    value = np.float32(1)
    for n in range(first, last):
        sums[:] = 0
        for j in range(starts[n], starts[n + 1]):
            if values.size:
                value = values[j]
            _add_entry(reach, units[j], value, 4 * lanes, sums_at, kernel_at, False)
        for f in range(out.shape[1]):
            for place in range(out.shape[2]):
                out[n, f, place] = sums[place, f]


@compiled
def _gather(active, g, reach, first, last, total):
    """Add to total [taps, filters filled up] what pictures `first` to `last` give; g [N, filters, places]."""
    starts, units, values = active
    lanes = total.shape[1]
    rows = np.zeros((g.shape[2], lanes), np.float32)
    rows_at = rows.ctypes.data
    total_at = total.ctypes.data
    value = np.float32(1)
    for n in range(first, last):
        # A picture without spikes changes no tap: its gradients need not be turned round.
        if starts[n] == starts[n + 1]:
            continue
        for f in range(g.shape[1]):
            for place in range(g.shape[2]):
                rows[place, f] = g[n, f, place]
        for j in range(starts[n], starts[n + 1]):
            if values.size:
                value = values[j]
            _add_entry(reach, units[j], value, 4 * lanes, rows_at, total_at, True)
