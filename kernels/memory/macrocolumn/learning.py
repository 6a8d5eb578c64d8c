"""One-trial learning of packed binary weights, compiled, with or without fading."""

from __future__ import annotations

from numba import uint64

from ...tools.compiled import compiled
from ...tools.intrinsics import popcount
from .reference import LAST_STAGE
from .views import CHANGED, OPERATIONS


@compiled
def _increase(weights, stages, last, active, unit, max_on, clock):
    """Turn on the weights from active afferents to one unit; return the number of those that were off."""
    if max_on < 1e18:
        on = 0
        for j in range(active.size):
            on += popcount(weights[j, unit])
        if on > max_on:
            return 0
    changed = 0
    for j in range(active.size):
        # Active afferents whose weight is off.
        new = active[j] & ~weights[j, unit]
        if stages.size:
            _renew(stages, last, 64 * j, active[j], new, unit, clock)
        weights[j, unit] |= new
        changed += popcount(new)
    return changed


@compiled
def _renew(stages, last, first, active, new, unit, clock):
    """Renew the weights of the 64 afferents from `first` on that are set in `active`."""
    for b in range(64):
        if active >> uint64(b) & uint64(1):
            a = first + b
            # A weight that is turned on starts at stage 0; a pair that recurs rises a stage.
            if new >> uint64(b) & uint64(1):
                stages[a, unit] = 0
            else:
                stages[a, unit] = min(stages[a, unit] + 1, LAST_STAGE)
            last[a, unit] = clock


@compiled
def age(weights, stages, last, clock, first, second):
    """Turn off the weights of stages 0 and 1 that were not renewed for more than `first` and `second` frames."""
    for a in range(stages.shape[0]):
        bit = uint64(1) << uint64(a & 63)
        for i in range(stages.shape[1]):
            lifetime = first if stages[a, i] == 0 else second
            if weights[a >> 6, i] & bit and stages[a, i] < LAST_STAGE and clock - last[a, i] > lifetime:
                weights[a >> 6, i] &= ~bit
                stages[a, i] = 0


@compiled
def bind(weights, stages, last, active, code, units, max_on, clock, count):
    """Bind the winners to the active afferents."""
    for q in range(code.size):
        count[CHANGED] += _increase(weights, stages, last, active, q * units + code[q], max_on, clock)
        count[OPERATIONS] += active.size


@compiled
def bind_lateral(weights, stages, last, before, active, code, units, max_on, clock, count):
    """Bind the winners to the code before and to other columns; a winner learns nothing from its own module.

    Args:
        before: winners of the code before, of which `active` has the bits; empty: `active` has other columns alone.
    """
    if before.size == 0:
        bind(weights, stages, last, active, code, units, max_on, clock, count)
        return
    for q in range(code.size):
        # The winner of the own module before, which is left out while this one learns.
        a = q * units + before[q]
        bit = uint64(1) << uint64(a & 63)
        active[a >> 6] &= ~bit
        count[CHANGED] += _increase(weights, stages, last, active, q * units + code[q], max_on, clock)
        count[OPERATIONS] += active.size
        active[a >> 6] |= bit
