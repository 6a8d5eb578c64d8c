"""Zero-temperature asynchronous dynamics, compiled: a unit that flips changes the fields by its row."""

from __future__ import annotations

from ...tools.compiled import compiled


@compiled
def relax(couplings, state, field, orders, zero, flipped):
    """Change `state` and its fields as `relax_reference`; return the number of flips and of sweeps.

    Args:
        field: [N], couplings times state, kept up to date: N additions a flip instead of N products a visit.
        zero: a field as small as that counts as zero.
        flipped: [N] int64, to which the flips of each unit are added.
    """
    flips = 0
    for sweep in range(orders.shape[0]):
        before = flips
        for i in orders[sweep]:
            if field[i] * state[i] < -zero:
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
