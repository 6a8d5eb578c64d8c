"""Code selection and learning of macrocolumns, many frames and many columns at once.

Weights are bits: bit `a % 64` of `weights[a // 64, i]` says that afferent a drives unit i. Afferents are the rows, so
that one word of active afferents is compared with all units in whole vectors, and the cost of a frame does not depend
on what is stored.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

from ...tools.compiled import compiled
from ...tools.intrinsics import popcount
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
    OPERATIONS,
    PRESENT,
    REASON,
    START,
    SYNAPTIC,
    USED,
    ZETA,
    ColumnInputs,
    ColumnWeights,
    Results,
    Trace,
)

# What the hash of no afferents is (FNV-1a).
HASHED = 0xCBF29CE484222325


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
def sums(weights, active, out):
    """Set out[i] to the number of active afferents of unit i whose weight is on."""
    out[:] = 0
    for j in range(active.size):
        row = weights[j]
        word = active[j]
        for i in range(out.size):
            out[i] += popcount(row[i] & word)


@compiled
def _bits(active):
    total = uint64(0)
    for word in active:
        total += popcount(word)
    return np.int64(total)


@compiled
def _gather(frame, field, active):
    """Pack the field's part of a frame [size] of booleans."""
    active[:] = 0
    # Bit a % 64 of word a // 64 is afferent a.
    for a in range(field.size):
        active[a >> 6] |= uint64(frame[field[a]]) << uint64(a & 63)


@compiled
def _code_bits(code, units, active):
    active[:] = 0
    for q in range(code.size):
        a = q * units + code[q]
        active[a >> 6] |= uint64(1) << uint64(a & 63)


@compiled
def _lateral_bits(before, units, has_code, beside, active):
    """Pack the winners of the code before, if there is one, and the active units of other columns."""
    active[:] = 0
    if has_code:
        _code_bits(before, units, active)
    for j in range(beside.size):
        active[j] |= beside[j]


@compiled
def _hash(active, value):
    """Mix the active afferents into 64 bits (FNV-1a over words, with a final fold)."""
    for word in active:
        value = (value ^ word) * uint64(0x100000001B3)
        value ^= value >> uint64(29)
    return value


@compiled
def boosted(zeta, rule):
    """Return F(zeta), the factor of the signals of a code of `zeta` competing hypotheses; 0 if they are too many."""
    if zeta <= rule[MAX_HYPOTHESES]:
        return float(zeta) ** rule[BOOST]
    return 0.0


@compiled
def _values(highest, afferents, scale, power, values):
    """Fill `values` with the evidence of each sum up to `highest`: min(1, part of the afferents), to its power."""
    # Sums are integers: a table of their evidence saves a power a unit.
    for c in range(highest + 1):
        x = min(1.0, scale * c / afferents)
        values[c] = x if power == 1.0 else x**power


@compiled
def _look_up(total, values, term):
    """Replace sums by their evidence."""
    units = term.shape[1]
    for q in range(term.shape[0]):
        for k in range(units):
            term[q, k] = values[total[q * units + k]]


@compiled
def _sum(weights, active, afferents, scale, power, total, values, seed, count):
    """Compute the sums of one source and their evidence; add the cost to `count`; return the hash of the afferents."""
    sums(weights, active, total)
    # A loaded H may have weights from a unit's own module, which are no afferents: its sums are above `afferents`.
    _values(_bits(active), afferents, scale, power, values)
    count[OPERATIONS] += active.size * total.size
    count[SYNAPTIC] += afferents * total.size
    return _hash(active, seed)


@compiled
def _sum_both(weights, own, sent, scale, others, power, totals, term, seed, count):
    """Compute the evidence of the own code and of other columns; add the cost to `count`; return their hash.

    Each unit's is min(1, (scale sums of the own code + sums of the others) / (sent + heard)), to its power.

    Args:
        own, sent: packed winners of the own code, and the number of those that a unit sees; their factor is `scale`.
        others: packed active units of other columns, and their number.
        totals: [2, units] int32, to work in.
    """
    beside, heard = others
    sums(weights, own, totals[0])
    sums(weights, beside, totals[1])
    units = term.shape[1]
    for q in range(term.shape[0]):
        for k in range(units):
            i = q * units + k
            x = min(1.0, (scale * totals[0, i] + totals[1, i]) / (sent + heard))
            term[q, k] = x if power == 1.0 else x**power
    count[OPERATIONS] += 2 * own.size * totals.shape[1]
    count[SYNAPTIC] += (sent + heard) * totals.shape[1]
    for j in range(own.size):
        own[j] |= beside[j]
    return _hash(own, seed)


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
def _evidence(inputs, weights, room, rule, m, f, n, follows, scale, units, count):
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
    modules = room.before.size
    n_above = _bits(above)
    n_beside = _bits(beside)
    # Without signals of H and D, U is alone, and its sums need not become products.
    signals = (follows and scale > 0.0) or n_beside > 0 or (n_above > 0 and above_scale > 0.0)
    present = np.uint8(0)
    seed = uint64(HASHED)
    if n > 0 and not inputs.flags[f] & BLIND:
        present |= 1
        seed = _sum(weights.u[m], room.active, n, 1.0, rule[POWER], total, values, seed, count)
        if signals:
            _look_up(total, values, terms[0])
    if n_beside > 0:
        present |= 2
        # A silenced code sends nothing.
        sent = (modules - 1) * (follows and scale > 0.0)
        _lateral_bits(room.before, units, sent > 0, beside[:0], room.active_h)
        seed = _sum_both(
            weights.h[m], room.active_h, sent, scale, (beside, n_beside), rule[POWER + 1], room.sums_h, terms[1], seed,
            count,
        )  # fmt: skip
    elif follows:
        _code_bits(room.before, units, room.active_h)
        if scale > 0.0:
            present |= 2
            seed = _sum(weights.h[m], room.active_h, modules - 1, scale, rule[POWER + 1], total, values, seed, count)
            _look_up(total, values, terms[1])
    if n_above > 0 and above_scale > 0.0:
        present |= 4
        seed = _sum(weights.d[m], above, n_above, above_scale, rule[POWER + 2], total, values, seed, count)
        _look_up(total, values, terms[2])
    return present, seed


@njit(inline="always")
def _learn(inputs, weights, room, rule, max_on, m, f, n, follows, code, units, count):
    """Let weights fade, and bind the winners to the active afferents of every term.

    Args:
        max_on: number of weights of a unit, for U, H and D, beyond which it learns nothing more.
    """
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
    if follows or _bits(beside) > 0:
        _lateral_bits(room.before, units, follows, beside, room.active_h)
        own = room.before[: room.before.size * follows]
        bind_lateral(h, h_stages[m], h_last[m], own, room.active_h, code, units, max_on[1], now, count)
    if _bits(above) > 0:
        bind(d, d_stages[m], d_last[m], above, code, units, max_on[2], now, count)


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
    u_words = weights.u.shape[1]
    h_words = weights.h.shape[1]
    d_words = weights.d.shape[1]
    modules = results.codes.shape[2]
    size = weights.u.shape[2]
    units = size // modules
    v = np.empty((modules, units))
    mu = np.empty(units)
    room = FrameArrays(
        terms=np.zeros((3, modules, units)),
        total=np.empty(size, np.int32),
        sums_h=np.empty((2, size), np.int32),
        before=np.empty(modules, np.int32),
        values=np.empty(64 * max(u_words, h_words, d_words) + 1),
        active=np.zeros(u_words, np.uint64),
        active_h=np.zeros(h_words, np.uint64),
    )
    # Weights of a unit beyond which it learns nothing more; one that never freezes is never counted.
    bound = rule[FROZEN] if rule[FROZEN] < 1.0 else 1e18
    has_own = h_words > 0 and modules > 1 and rule[OWN_CODE] > 0.0
    max_lateral = bound * ((size - units) * has_own + rule[AFFERENTS_BESIDE])
    max_on = bound * inputs.fields.shape[1], max_lateral, bound * rule[AFFERENTS_ABOVE]
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
            _gather(inputs.x[f], inputs.fields[m], room.active)
            n = _bits(room.active)
            count[ACTIVE] = n
            note[REASON] = _pause(flag, n, code, numbers, rule)
            if note[REASON] != CHOSEN:
                trace.familiarity[m] = _stay(note[REASON], trace.familiarity[m], code, numbers, count)
                copy_into(code, results.codes[f, m])
                results.familiarity[f, m] = trace.familiarity[m]
                continue
            if others is None:
                present = np.uint8(1)
                seed = _sum(
                    weights.u[m], room.active, n, 1.0, rule[POWER], room.total, room.values, uint64(HASHED), count
                )  # fmt: skip
            else:
                # H takes the code of the frame before, which the new code overwrites.
                copy_into(code, room.before)
                follows = has_own and room.before[0] >= 0
                scale = boosted(numbers[ZETA], rule)
                present, seed = _evidence(inputs, weights, room, rule, m, f, n, follows, scale, units, count)
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
                    bind(
                        weights.u[m], stages, last, room.active, code, units, max_on[0], weights.clock[m], count
                    )  # fmt: skip
                else:
                    _learn(inputs, weights, room, rule, max_on, m, f, n, follows, code, units, count)
                weights.clock[m] += 1
