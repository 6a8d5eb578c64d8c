"""Asynchronous dynamics of a symmetric network, at temperature zero and above: the specification."""

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


def bounds_of(chances: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return the fields h at which 1 / (1 + exp(-2 h / T)), the chance of 1, is each of the chances."""
    return temperature / 2 * (np.log(chances) - np.log1p(-chances))


def heat_reference(
    couplings: NDArray[np.float64],
    state: NDArray[np.float64],
    orders: NDArray[np.int64],
    chances: NDArray[np.float64],
    temperature: float,
) -> tuple[NDArray[np.float64], int]:
    """Draw each unit in turn: 1 with chance 1 / (1 + exp(-2 h / T)), h its field, and else -1 (Glauber 1963).

    Args:
        couplings: [N, N], with a zero diagonal.
        state: [N] of -1 and 1.
        orders: [sweeps, N], the units in their turn.
        chances: [sweeps, N] in (0, 1): a unit becomes 1 at a visit where its chance is above that.
        temperature: T > 0.

    Returns:
        mean state [N] after the sweeps of the second half, number of flips.
    """
    state = state.copy()
    mean = np.zeros(state.size)
    flips = 0
    for sweep, order in enumerate(orders):
        for visit, i in enumerate(order):
            chance = 1 / (1 + np.exp(-2 * (couplings[i] @ state) / temperature))
            after = 1.0 if chances[sweep, visit] < chance else -1.0
            flips += int(after != state[i])
            state[i] = after
        if sweep >= len(orders) // 2:
            mean += state
    return mean / (len(orders) - len(orders) // 2), flips
