"""Zero-temperature asynchronous dynamics of a symmetric network: a flipped unit adds its row to everybody's field."""

from __future__ import annotations

import numpy as np
from numba import njit


def settle_reference(couplings, state, orders):
    """The specification of `settle`: every unit in turn takes the sign of its field; a zero field keeps the unit.

    couplings [N, N] with a zero diagonal, state [N] of -1 and 1, orders [sweeps, N] the units' turns.
    Returns (state [N], flips, sweeps done); stops after a sweep without a flip.
    """
    state = state.copy()
    flips = 0
    for sweep, order in enumerate(orders):
        before = flips
        for i in order:
            if (couplings[i] @ state) * state[i] < 0:
                state[i] = -state[i]
                flips += 1
        if flips == before:
            return state, flips, sweep + 1
    return state, flips, len(orders)


def settle(couplings, state, orders):
    """As `settle_reference`, with the fields carried along: work is N per flip instead of N per visit."""
    state = np.array(state, np.float64)
    flips, sweeps = _settle(couplings, state, couplings @ state, orders)
    return state, flips, sweeps


@njit(cache=True, nogil=True)
def _settle(couplings, state, field, orders):
    flips = 0
    for sweep in range(orders.shape[0]):
        before = flips
        for i in orders[sweep]:
            if field[i] * state[i] < 0.0:
                state[i] = -state[i]
                flips += 1
                change = 2.0 * state[i]
                row = couplings[i]
                for j in range(field.size):
                    field[j] += change * row[j]
        if flips == before:
            return flips, sweep + 1
    return flips, orders.shape[0]
