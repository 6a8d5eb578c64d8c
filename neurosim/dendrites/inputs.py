"""What the dendrites take: active bits as an SDR or as indices, permanences and seeds as numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimInputError, require
from ..sdr import SDR

# Permanences are whole numbers of this step, so that tenths add up exactly.
PERMANENCE_STEP = 1e-4


def active_bits(given: SDR | object, size: int, what: str) -> NDArray[np.int32]:
    """Ascending indices of the active bits.

    Raises:
        NeurosimInputError: an SDR of another size; indices that are no integers, out of range or repeated.
    """
    if isinstance(given, SDR):
        require(given.size == size, what, f"needs an SDR of {size} bits", given.size)
        return given.indices
    indices = np.asarray(given)
    require(indices.ndim == 1, what, "needs an SDR or one list of active bits", indices.shape)
    if indices.size == 0:
        return np.empty(0, np.int32)
    if indices.dtype.kind not in "iu":
        raise NeurosimInputError(f"{what}: needs integer indices (got {indices.dtype}); see SDR.from_dense")
    bits = np.sort(indices)
    require(bits[0] >= 0, what, "needs indices >= 0", bits[0])
    require(bits[-1] < size, what, f"needs indices < {size}", bits[-1])
    repeated = bits[1:][bits[1:] == bits[:-1]]
    require(repeated.size == 0, what, "must not repeat an index", repeated[:1].tolist())
    return bits.astype(np.int32)


def as_sdr(bits: NDArray, size: int) -> SDR:
    """An SDR of ascending distinct indices below `size`, without the checks."""
    sdr = object.__new__(SDR)
    object.__setattr__(sdr, "indices", bits)
    object.__setattr__(sdr, "size", size)
    return sdr


def permanence(value: float, what: str, low: float = 0.0) -> int:
    """`value` in whole permanence steps; it must be a multiple of the step, in low..1."""
    number = isinstance(value, (int, float, np.number)) and low <= value <= 1
    require(bool(number), what, f"must be in {low:g}..1", value)
    steps = round(value / PERMANENCE_STEP)
    require(abs(value / PERMANENCE_STEP - steps) < 1e-6, what, f"must be a multiple of {PERMANENCE_STEP:g}", value)
    return steps


def whole(value: object, what: str, low: int, high: int) -> int:
    """`value` as an int in low..high."""
    good = isinstance(value, (int, np.integer)) and not isinstance(value, bool) and low <= value <= high
    require(bool(good), what, f"must be a whole number in {low}..{high}", value)
    return int(value)  # type: ignore[call-overload]
