"""Asynchronous dynamics, compiled: a unit that flips changes the fields by its row."""

from __future__ import annotations

from numba import njit

from ...tools.compiled import compiled


@njit(inline="always")
def _flip(couplings, state, field, i):
    """Flip unit i, and add the change of its products to the fields."""
    state[i] = -state[i]
    change = 2.0 * state[i]
    row = couplings[i]
    for j in range(field.size):
        field[j] += change * row[j]


@compiled
def relax(couplings, states, fields, orders, zero, flipped, flips, sweeps):
    """Change `states` and their fields as `relax_reference`, each on its own.

    Args:
        states: [n, N].
        fields: [n, N], products of states and couplings, kept up to date: N additions a flip instead of N products a
            visit.
        zero: a field as small as that counts as zero.
        flipped: [N] int64, to which the flips of each unit are added.
        flips, sweeps: [n] int64, numbers of flips and of sweeps.
    """
    for cue in range(states.shape[0]):
        flips[cue], sweeps[cue] = _relax_state(couplings, states[cue], fields[cue], orders, zero, flipped)


@njit(inline="always")
def _relax_state(couplings, state, field, orders, zero, flipped):
    """Relax one state until a sweep flips no unit; return the numbers of flips and of sweeps."""
    done = 0
    for sweep in range(orders.shape[0]):
        before = done
        for i in orders[sweep]:
            if field[i] * state[i] < -zero:
                _flip(couplings, state, field, i)
                done += 1
                flipped[i] += 1
        if done == before:
            return done, sweep + 1
    return done, orders.shape[0]


@compiled
def heat(couplings, states, fields, orders, bounds, means, flips):
    """Change `states` and their fields as `heat_reference`, each on its own.

    Args:
        states: [n, N].
        fields: [n, N], products of states and couplings, kept up to date.
        bounds: [sweeps, N], the field of each visit above which a unit becomes 1.
        means: [n, N], to which the states after each sweep of the second half are added.
        flips: [n] int64, numbers of flips.
    """
    # Sweeps of the first half only bring the state to its distribution.
    half = orders.shape[0] // 2
    for cue in range(states.shape[0]):
        state = states[cue]
        field = fields[cue]
        done = 0
        for sweep in range(orders.shape[0]):
            done += _visit_units(couplings, state, field, orders[sweep], bounds[sweep])
            if sweep >= half:
                for i in range(state.size):
                    means[cue, i] += state[i]
        flips[cue] = done


@njit(inline="always")
def _visit_units(couplings, state, field, order, bound):
    """Set each unit of one sweep by its field and its bound; return the number of flips."""
    done = 0
    for visit in range(order.size):
        i = order[visit]
        after = 1.0 if field[i] > bound[visit] else -1.0
        if after != state[i]:
            _flip(couplings, state, field, i)
            done += 1
    return done
