"""Checks of arguments: active bits as an SDR or as indices, permanences, integers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...kernels.memory.permanence import ONE
from ..sdr.code import SDR, sorted_bits


def active_bits(cells: SDR | object, size: int, name: str) -> NDArray[np.int32]:
    """Return ascending indices of the active bits of an SDR or a list of indices.

    Raises:
        NeurosimInputError: an SDR of another size; indices that are not integers, out of range or repeated.
    """
    if isinstance(cells, SDR):
        require(cells.size == size, name, f"needs an SDR of {size} bits", cells.size)
        return cells.indices
    return sorted_bits(cells, size, name)


def permanence_steps(value: float, name: str, low: float = 0.0) -> int:
    """Return `value` in permanence steps, of which `ONE` make 1; it must be a multiple of the step, in low..1."""
    inside = isinstance(value, (int, float, np.number)) and low <= value <= 1
    require(bool(inside), name, f"must be in {low:g}..1", value)
    steps = round(value * ONE)
    # A decimal fraction is not exact in binary: .0029 x 10,000 is a little less than 29.
    require(abs(value * ONE - steps) < 1e-6, name, f"must be a multiple of {1 / ONE:g}", value)
    return steps


def integer(value: object, name: str, low: int, high: int) -> int:
    """Return `value` as an int; it must be an integer in low..high."""
    good = isinstance(value, (int, np.integer)) and not isinstance(value, bool) and low <= value <= high
    require(bool(good), name, f"must be an integer in {low}..{high}", value)
    return int(value)  # type: ignore[call-overload]
