"""Code selection and learning of macrocolumns, many frames and many columns at once.

Weights are bits: bit `a % 64` of `weights[a // 64, i]` says that afferent a drives unit i. Afferents are the rows, so
that one word of active afferents is compared with all units in whole vectors, and the cost of a frame does not depend
on what is stored. `sums` has the evidence of a term, `selection` the choice of a code by it, and `learning` what a
chosen code changes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

from ...tools.compiled import compiled
from ...tools.pointers import copy_into
from .learning import age, bind, bind_lateral
from .reference import (
    AFFERENTS_ABOVE,
    AFFERENTS_BESIDE,
    BOOST,
    FROZEN,
    HIGHEST,
    LIFETIME,
    LOWEST,
    MAX_HYPOTHESES,
    OWN_CODE,
    PERSISTENCE,
    POWER,
    THRESHOLD,
)
from .selection import select, select_alone
from .sums import HASHED, bits_of, code_bits, gather, lateral_bits, look_up, sum_both, sum_of
from .views import (
    ABOVE,
    ACTIVE,
    AGE,
    BELOW,
    BLIND,
    CHOSEN,
    HYPOTHESES,
    KEPT,
    KNOWN,
    PRESENT,
    REASON,
    START,
    USED,
    ZETA,
    ColumnInputs,
    ColumnWeights,
    Results,
    Trace,
)


class FrameArrays(NamedTuple):
    """Arrays that a frame works in.

    Attributes:
        terms: [3, Q, K], evidence of U, H and D.
        total, sums_h: [units] and [2, units] sums of weights.
        before: [Q], the code before.
        values: evidence of each sum.
        active, active_h: packed active afferents of U and H.
    """

    terms: NDArray[np.float64]
    total: NDArray[np.int32]
    sums_h: NDArray[np.int32]
    before: NDArray[np.int32]
    values: NDArray[np.float64]
    active: NDArray[np.uint64]
    active_h: NDArray[np.uint64]


@compiled
def boosted(zeta, rule):
    """Return F(zeta), the factor of the signals of a code of `zeta` competing hypotheses; 0 if they are too many."""
    if zeta <= rule[MAX_HYPOTHESES]:
        return float(zeta) ** rule[BOOST]
    return 0.0


@compiled
def _pause(flag, n, code, numbers, rule):
    """Return the reason why a column does not choose a code in this frame, or CHOSEN."""
    if code[0] >= 0 and numbers[AGE] < rule[PERSISTENCE]:
        return KEPT
    if flag & BLIND:
        return CHOSEN
    if n < rule[LOWEST]:
        return BELOW
    return ABOVE if n > rule[HIGHEST] else CHOSEN


@compiled
def _stay(status, g, code, numbers, count):
    """Keep or clear the code in a frame without a choice; return its familiarity."""
    if status == KEPT:
        numbers[AGE] += 1
        count[HYPOTHESES] = numbers[ZETA]
        return g
    code[:] = -1
    return 0.0


@njit(inline="always")
def _evidence(inputs, weights, room, rule, m, f, n, follows, scale, count):
    """Compute the evidence of every term that exists in a frame; add the cost to `count`.

    Args:
        n: number of active inputs.
        follows: whether there is a code before, whose signals have the factor `scale`.

    Returns:
        bits of the terms, 1 for U, 2 for H, 4 for D; the hash of all active afferents.
    """
    terms = room.terms
    total = room.total
    values = room.values
    above = inputs.above[f, m]
    above_scale = inputs.above_scale[f, m]
    beside = inputs.beside[f, m]
    _, modules, units = terms.shape
    n_above = bits_of(above)
    n_beside = bits_of(beside)
    # Without signals of H and D, U is alone, and its sums need not become products.
    signals = (follows and scale > 0.0) or n_beside > 0 or (n_above > 0 and above_scale > 0.0)
    present = np.uint8(0)
    seed = uint64(HASHED)
    if n > 0 and not inputs.flags[f] & BLIND:
        present |= 1
        seed = sum_of(weights.u[m], room.active, n, 1.0, rule[POWER], total, values, seed, count)
        if signals:
            look_up(total, values, terms[0])
    if n_beside > 0:
        present |= 2
        # A silenced code sends nothing.
        sent = (modules - 1) * (follows and scale > 0.0)
        lateral_bits(room.before, units, sent > 0, beside[:0], room.active_h)
        seed = sum_both(
            weights.h[m], room.active_h, sent, scale, (beside, n_beside), rule[POWER + 1], room.sums_h, terms[1], seed,
            count,
        )  # fmt: skip
    elif follows:
        code_bits(room.before, units, room.active_h)
        if scale > 0.0:
            present |= 2
            seed = sum_of(weights.h[m], room.active_h, modules - 1, scale, rule[POWER + 1], total, values, seed, count)
            look_up(total, values, terms[1])
    if n_above > 0 and above_scale > 0.0:
        present |= 4
        seed = sum_of(weights.d[m], above, n_above, above_scale, rule[POWER + 2], total, values, seed, count)
        look_up(total, values, terms[2])
    return present, seed


@njit(inline="always")
def _learn(inputs, weights, room, rule, max_on, m, f, n, follows, code, count):
    """Let weights fade, and bind the winners to the active afferents of every term.

    Args:
        max_on: number of weights of a unit, for U, H and D, beyond which it learns nothing more.
    """
    units = room.terms.shape[2]
    u = weights.u[m]
    h = weights.h[m]
    d = weights.d[m]
    u_stages, h_stages, d_stages = weights.stages
    u_last, h_last, d_last = weights.last
    above = inputs.above[f, m]
    beside = inputs.beside[f, m]
    now = weights.clock[m]
    # Weights that do not fade have no stages.
    if u_stages.size:
        age(u, u_stages[m], u_last[m], now, rule[LIFETIME], rule[LIFETIME + 1])
        age(h, h_stages[m], h_last[m], now, rule[LIFETIME], rule[LIFETIME + 1])
        age(d, d_stages[m], d_last[m], now, rule[LIFETIME], rule[LIFETIME + 1])
    if n > 0 and not inputs.flags[f] & BLIND:
        bind(u, u_stages[m], u_last[m], room.active, code, units, max_on[0], now, count)
    if follows or bits_of(beside) > 0:
        lateral_bits(room.before, units, follows, beside, room.active_h)
        own = room.before[: room.before.size * follows]
        bind_lateral(h, h_stages[m], h_last[m], own, room.active_h, code, units, max_on[1], now, count)
    if bits_of(above) > 0:
        bind(d, d_stages[m], d_last[m], above, code, units, max_on[2], now, count)


@njit(inline="always")
def _room(weights, modules, units):
    u_words = weights.u.shape[1]
    h_words = weights.h.shape[1]
    size = modules * units
    return FrameArrays(
        terms=np.zeros((3, modules, units)),
        total=np.empty(size, np.int32),
        sums_h=np.empty((2, size), np.int32),
        before=np.empty(modules, np.int32),
        values=np.empty(64 * max(u_words, h_words, weights.d.shape[1]) + 1),
        active=np.zeros(u_words, np.uint64),
        active_h=np.zeros(h_words, np.uint64),
    )


@compiled
def run(inputs, weights, trace, results, keys, rule, learn, back_off, begin, end, others):
    """Select the codes of the columns `begin` to `end` (excluded), frame by frame, and learn.

    Args:
        inputs, weights, trace, results: fields of `views.ColumnInputs`, `ColumnWeights`, `Trace` and `Results`, each as
            a plain tuple: a call unpacks four named ones in 7 us and plain ones in 0.5, and takes 35 us for a frame.
        keys: [columns] uint64, of the random draws.
        rule: [RULE_SIZE] float64, see `reference`.
        learn: whether weights change.
        back_off: whether recognition falls back to fewer terms.
        others: None: the input is there in every frame, and the only term that is ever used or learned; anything else:
            there may be others. What they need is left out where it is None, half of the time to compile.
    """
    inputs = ColumnInputs(*inputs)
    weights = ColumnWeights(*weights)
    trace = Trace(*trace)
    results = Results(*results)
    modules = results.codes.shape[2]
    units = weights.u.shape[2] // modules
    v = np.empty((modules, units))
    mu = np.empty(units)
    room = _room(weights, modules, units)
    has_own = weights.h.shape[1] > 0 and modules > 1 and rule[OWN_CODE] > 0.0
    own_afferents = (modules - 1) * units * has_own
    # Weights of a unit beyond which it learns nothing more; one that never freezes is never counted.
    bound = rule[FROZEN] if rule[FROZEN] < 1.0 else 1e18
    max_on = (
        bound * inputs.fields.shape[1],
        bound * (own_afferents + rule[AFFERENTS_BESIDE]),
        bound * rule[AFFERENTS_ABOVE],
    )
    for m in range(begin, end):
        code = trace.code[m]
        numbers = trace.numbers[m]
        for f in range(inputs.x.shape[0]):
            flag = inputs.flags[f]
            if flag & START:
                code[:] = -1
                numbers[:] = 0
            note = results.notes[f, m]
            count = results.counts[f, m]
            note[:] = 0
            count[:] = 0
            gather(inputs.x[f], inputs.fields[m], room.active)
            n = bits_of(room.active)
            count[ACTIVE] = n
            note[REASON] = _pause(flag, n, code, numbers, rule)
            if note[REASON] != CHOSEN:
                trace.familiarity[m] = _stay(note[REASON], trace.familiarity[m], code, numbers, count)
                copy_into(code, results.codes[f, m])
                results.familiarity[f, m] = trace.familiarity[m]
                continue
            if others is None:
                present = np.uint8(1)
                power = rule[POWER]
                begin_hash = uint64(HASHED)
                seed = sum_of(weights.u[m], room.active, n, 1.0, power, room.total, room.values, begin_hash, count)
            else:
                # H takes the code of the frame before, which the new code overwrites.
                copy_into(code, room.before)
                follows = has_own and room.before[0] >= 0
                scale = boosted(numbers[ZETA], rule)
                present, seed = _evidence(inputs, weights, room, rule, m, f, n, follows, scale, count)
            # Learning draws anew in every frame; recall breaks the ties of one input always in the same way.
            index = uint64(weights.clock[m]) if learn else seed
            numbers[AGE] = 1
            if others is None or present == 1:
                values = room.values[: n + 1]
                g, numbers[ZETA] = select_alone(room.total, values, rule, learn, keys[m], index, mu, code)
                note[USED] = 1
                note[KNOWN] = g >= rule[THRESHOLD]
                note[PRESENT] = 1
            else:
                g, numbers[ZETA] = select(room.terms, present, rule, learn, back_off, keys[m], index, v, mu, code, note)
            count[HYPOTHESES] = numbers[ZETA]
            trace.familiarity[m] = g
            copy_into(code, results.codes[f, m])
            results.familiarity[f, m] = g
            if learn:
                if others is None:
                    stages = weights.stages[0][m]
                    last = weights.last[0][m]
                    now = weights.clock[m]
                    bind(weights.u[m], stages, last, room.active, code, units, max_on[0], now, count)
                else:
                    _learn(inputs, weights, room, rule, max_on, m, f, n, follows, code, count)
                weights.clock[m] += 1
