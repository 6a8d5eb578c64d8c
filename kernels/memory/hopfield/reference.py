"""Zero-temperature asynchronous dynamics of a symmetric network: the specification."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Fraction of the largest sum of |couplings| onto a unit: a smaller field is rounding and depends on the order of sums.
ROUNDING = 1e-12


def field_rounding(couplings: NDArray[np.float64]) -> float:
    """Return the size of a field that counts as zero."""
    return float(ROUNDING * np.abs(couplings).sum(axis=1).max(initial=0.0))


def relax_reference(
    couplings: NDArray[np.float64], state: NDArray[np.float64], orders: NDArray[np.int64]
) -> tuple[NDArray[np.float64], int, int]:
    """Give each unit in turn the sign of its field; a field of zero, within `ROUNDING`, does not change it.

    Sweeps end after one without a flip.

    Args:
        couplings: [N, N], with a zero diagonal.
        state: [N] of -1 and 1.
        orders: [sweeps, N], the units in their turn.

    Returns:
        state [N], number of flips, number of sweeps.
    """
    state = state.copy()
    zero = field_rounding(couplings)
    flips = 0
    for sweep, order in enumerate(orders):
        before = flips
        for i in order:
            if (couplings[i] @ state) * state[i] < -zero:
                state[i] = -state[i]
                flips += 1
        if flips == before:
            return state, flips, sweep + 1
    return state, flips, len(orders)
