"""Zero-temperature asynchronous dynamics of a symmetric network: a unit that flips changes the fields by its row."""

from __future__ import annotations

import numpy as np
from numba import njit

# Fraction of the largest sum of |couplings| onto a unit: a smaller field is rounding and depends on the order of sums.
ROUNDING = 1e-12


def relax_reference(couplings, state, orders):
    """The specification of `relax`: each unit in turn takes the sign of its field.

    A field of zero, within `ROUNDING`, does not change the unit. Sweeps end after one without a
    flip.

    Args:
        couplings: [N, N], with a zero diagonal.
        state: [N] of -1 and 1.
        orders: [sweeps, N], the units in their turn.

    Returns:
        state [N], number of flips, number of sweeps.
    """
    state = state.copy()
    slack = _slack(couplings)
    flips = 0
    for sweep, order in enumerate(orders):
        before = flips
        for i in order:
            if (couplings[i] @ state) * state[i] < -slack:
                state[i] = -state[i]
                flips += 1
        if flips == before:
            return state, flips, sweep + 1
    return state, flips, len(orders)


def relax(couplings, state, orders, flipped=None):
    """Compute `relax_reference` with the fields updated at each flip: work is N per flip instead of N per visit.

    Args:
        flipped: [N] int64, to which the flips of each unit are added; None: they are not counted one by one.
    """
    state = np.array(state, np.float64)
    if flipped is None:
        flipped = np.zeros(state.size, np.int64)
    flips, sweeps = _relax(couplings, state, couplings @ state, orders, _slack(couplings), flipped)
    return state, flips, sweeps


def _slack(couplings):
    return ROUNDING * np.abs(couplings).sum(axis=1).max(initial=0.0)


@njit(cache=True, nogil=True)
def _relax(couplings, state, field, orders, slack, flipped):
    flips = 0
    for sweep in range(orders.shape[0]):
        before = flips
        for i in orders[sweep]:
            if field[i] * state[i] < -slack:
                state[i] = -state[i]
                flips += 1
                flipped[i] += 1
                change = 2.0 * state[i]
                row = couplings[i]
                for j in range(field.size):
                    field[j] += change * row[j]
        if flips == before:
            return flips, sweep + 1
    return flips, orders.shape[0]
