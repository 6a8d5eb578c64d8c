"""Code selection and one-trial learning of macrocolumns with binary weights, many frames and many columns at once.

A column has Q modules of K units; a code is one winner a module. Weights are bits: bit `a % 64` of
`weights[a // 64, i]` says that afferent a drives unit i. Afferents are the rows, so that one word of active afferents
is compared with all units in whole vectors, and what a frame costs does not depend on what is stored.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, uint64

from ...tools.intrinsics import popcount
from ...tools.random import threefry_reference, unit_interval, words

# Places of numbers in `rule`.
G_MIN, GAMMA, CHI, FORM, POWER, HYPOTHESIS, BOOST, MOST, THRESHOLD = 0, 1, 2, 3, 4, 7, 8, 9, 10
LOWEST, HIGHEST, PERSISTENCE, FROZEN, LIFETIME, AFFERENTS_ABOVE, RULE_SIZE = 13, 14, 15, 16, 17, 19, 20
# Why a column has the code it has.
CHOSEN, KEPT, BELOW, ABOVE = 0, 1, 2, 3
# Flags of a frame.
START, BLIND = 1, 2
# Terms, as bits: all three, pairs, singles, in the order in which recognition falls back on them.
ORDERS = np.array([7, 3, 5, 6, 1, 2, 4], np.uint8)
SIZES = np.array([0, 1, 1, 2, 1, 2, 2, 3], np.uint8)
LAST_STAGE = 2
# Ties of recognition are broken by draws apart from those of learning.
TIES = 1 << 32


# --- The specification, in plain numpy


def sums_reference(weights, active):
    """[words, units] packed weights and [words] active afferents to [units] int64 sums."""
    bits = np.unpackbits((weights & active[:, None]).T.copy().view(np.uint8), axis=1)
    return bits.sum(axis=1, dtype=np.int64)


def modulation_reference(v, g, units, rule):
    """mu of evidence `v` (any shape) at familiarity `g` in modules of `units` units."""
    if rule[FORM] == 0:
        return 1.0 + 1e4 * g**7 / (1.0 + np.exp(-(26.0 * v - 13.0)))
    eta = 1.0 + max(0.0, (g - rule[G_MIN]) / (1.0 - rule[G_MIN])) ** rule[GAMMA] * rule[CHI] * units
    return 1.0 + (eta - 1.0) / (1.0 + (0.1 * np.exp(-4.0 * (v - 1.0))) ** 8)


def evidence_reference(terms, mask, rule):
    """[3, Q, K] terms to the product [Q, K] of those in `mask`, each to its power."""
    v = np.ones(terms.shape[1:])
    for t in range(3):
        if mask >> t & 1:
            v = v * terms[t] ** rule[POWER + t]
    return v


def choose_reference(terms, present, rule, key, index, learn, back_off):
    """One frame: (winners [Q], familiarity, terms used, known, hypotheses).

    Args:
        terms: [3, Q, K] normalised sums of U, H and D.
        present: the terms there are, as bits.
        key, index: name the draws.
    """
    used, g, known = present, 0.0, False
    for size in (3, 2, 1):
        subsets = [int(m) for m in ORDERS if SIZES[m] == size and m & present == m]
        # All terms there are count as the first order, whatever their number.
        full = SIZES[present] == size
        if not subsets or (not back_off and not full):
            continue
        best = max(subsets, key=lambda m: (evidence_reference(terms, m, rule).max(axis=1).mean(), -subsets.index(m)))
        found = evidence_reference(terms, best, rule).max(axis=1).mean()
        threshold = rule[THRESHOLD] if full else rule[THRESHOLD + 3 - size]
        if full or found >= threshold:
            used, g = best, found
        if found >= threshold:
            known = True
            break
    else:
        used, g = present, evidence_reference(terms, present, rule).max(axis=1).mean()
    v = evidence_reference(terms, used, rule)
    zeta = max(1, math.floor((v >= rule[HYPOTHESIS]).sum() / len(v) + 0.5))
    winners = []
    for q, row in enumerate(v):
        u = _uniform_reference(key, index, q if learn else TIES + q)
        if learn:
            mu = np.cumsum(modulation_reference(row, g, row.size, rule))
            winners.append(min(int(np.searchsorted(mu, u * mu[-1], side="right")), row.size - 1))
        else:
            ties = np.flatnonzero(row == row.max())
            winners.append(int(ties[int(u * ties.size)]))
    return np.array(winners), g, used, known, zeta


def _uniform_reference(key, index, draw):
    low = 0xFFFFFFFF
    counter = (index & low, index >> 32, draw & low, draw >> 32)
    a, b, _, _ = threefry_reference(counter, (key & low, key >> 32, 0, 0))
    return (((a << 32 | b) >> 11) + 0.5) * 2.0**-53


def learn_reference(weights, active, winners, frozen_above, afferents=None):
    """One trial without permanence: (weights after it, how many were turned on).

    Args:
        weights: [afferents, units] booleans.
        active: [afferents] booleans, or [Q, afferents] where winners differ in them.
        winners: [Q] units.
        frozen_above: a winner with more than this fraction of its weights on learns no more.
        afferents: how many weights a unit has, if not one from each.
    """
    most = frozen_above * (len(weights) if afferents is None else afferents)
    after = weights.copy()
    for q, winner in enumerate(winners):
        if weights[:, winner].sum() <= most:
            after[:, winner] |= active[q] if active.ndim == 2 else active
    return after, int(after.sum() - weights.sum())


def run_reference(x, flags, above, weights, rule, modules, key, learn, back_off):
    """The specification of `run` for one column whose weights do not fade.

    Args:
        x: [frames, inputs] booleans.
        flags: [frames], as in `run`.
        above: [frames, afferents] booleans, the scale of their signals being 1.
        weights: [U, H, D], each [afferents, units] booleans, replaced in the list where `learn` is true; H and D may
            have no afferents.
        key: whole number.

    Returns:
        for each frame (code [Q], familiarity, terms used, known, hypotheses, status).
    """
    size = weights[0].shape[1]
    units = size // modules
    code, kept_for, zeta, g, clock, out = np.full(modules, -1), 0, 0, 0.0, 0, []
    for frame, flag, signals in zip(x, flags, above, strict=True):
        if flag & START:
            code, kept_for, zeta = np.full(modules, -1), 0, 0
        n = frame.sum()
        outside = 0 if flag & BLIND else BELOW if n < rule[LOWEST] else ABOVE if n > rule[HIGHEST] else 0
        if code[0] >= 0 and kept_for < rule[PERSISTENCE]:
            kept_for += 1
            out.append((code, g, 0, False, zeta, KEPT))
            continue
        if outside:
            code, g = np.full(modules, -1), 0.0
            out.append((code, g, 0, False, 0, outside))
            continue
        before = np.zeros(size, bool)
        before[(np.arange(modules) * units + code)[code >= 0]] = True
        scale = zeta ** rule[BOOST] if zeta <= rule[MOST] else 0.0
        sources = [frame & (not flag & BLIND), before, signals]
        afferents, scales = [n, modules - 1, signals.sum()], [1.0, scale, 1.0]
        terms, present = np.zeros((3, modules, units)), 0
        for t, (w, active) in enumerate(zip(weights, sources, strict=True)):
            if len(w) and active.any() and scales[t] > 0 and afferents[t] > 0:
                present |= 1 << t
                terms[t] = np.minimum(1.0, scales[t] * w[active].sum(axis=0) / afferents[t]).reshape(modules, units)
        had = code
        index = clock if learn else _hash_reference([pack_words(a) for t, a in enumerate(sources) if present >> t & 1])
        code, g, used, known, zeta = choose_reference(terms, present, rule, key, index, learn, back_off)
        kept_for = 1
        out.append((code, g, used, known, zeta, CHOSEN))
        if not learn:
            continue
        winners = np.arange(modules) * units + code
        if not flag & BLIND:
            weights[0], _ = learn_reference(weights[0], frame, winners, rule[FROZEN])
        if len(weights[1]) and had[0] >= 0:
            own = np.arange(size) // units == np.arange(modules)[:, None]
            weights[1], _ = learn_reference(weights[1], before & ~own, winners, rule[FROZEN], size - units)
        if signals.any():
            weights[2], _ = learn_reference(weights[2], signals, winners, rule[FROZEN])
        clock += 1
    return out


def pack_words(active):
    """[n] booleans to [ceil(n / 64)] uint64."""
    padded = np.zeros(-(-len(active) // 64) * 64, bool)
    padded[: len(active)] = active
    return np.packbits(padded, bitorder="little").view("<u8")


def _hash_reference(parts):
    value, mask = 0xCBF29CE484222325, (1 << 64) - 1
    for word in np.concatenate(parts) if parts else ():
        value = (value ^ int(word)) * 0x100000001B3 & mask
        value ^= value >> 29
    return value


# --- The compiled form


@njit(cache=True, nogil=True)
def sums(weights, active, out):
    """out[i] = active afferents of unit i whose weight is on."""
    out[:] = 0
    for j in range(active.size):
        row, word = weights[j], active[j]
        for i in range(out.size):
            out[i] += popcount(row[i] & word)


@njit(cache=True, nogil=True)
def _bits(active):
    total = uint64(0)
    for word in active:
        total += popcount(word)
    return np.int64(total)


@njit(cache=True, nogil=True)
def _gather(frame, field, active):
    """Pack the field's part of a frame [size] of booleans."""
    active[:] = 0
    for a in range(field.size):
        active[a >> 6] |= uint64(frame[field[a]]) << uint64(a & 63)


@njit(cache=True, nogil=True)
def _code_bits(code, units, active):
    active[:] = 0
    for q in range(code.size):
        a = q * units + code[q]
        active[a >> 6] |= uint64(1) << uint64(a & 63)


@njit(cache=True, nogil=True)
def _hash(active, value):
    """Mix the active afferents into 64 bits (FNV-1a over words, with a final fold)."""
    for word in active:
        value = (value ^ word) * uint64(0x100000001B3)
        value ^= value >> uint64(29)
    return value


@njit(cache=True, nogil=True)
def _evidence(terms, mask, v):
    """Fill v [Q, K] with the product of the terms in `mask`; return the familiarity."""
    fresh = True
    for t in range(3):
        if mask >> t & 1:
            if fresh:
                v[:] = terms[t]
            else:
                v *= terms[t]
            fresh = False
    total = 0.0
    for row in v:
        best = 0.0
        for x in row:
            best = max(best, x)
        total += best
    return total / v.shape[0]


@njit(cache=True, nogil=True)
def _fall_back(terms, present, rule, v):
    """(terms used, familiarity, known) of recognition; v holds the evidence of the terms used."""
    all_terms = _evidence(terms, present, v)
    if all_terms >= rule[THRESHOLD]:
        return present, all_terms, True
    for size in range(SIZES[present] - 1, 0, -1):
        best, found = np.uint8(0), -1.0
        for mask in ORDERS:
            if SIZES[mask] == size and mask & present == mask:
                g = _evidence(terms, mask, v)
                if g > found:
                    best, found = mask, g
        if found >= rule[THRESHOLD + 3 - size]:
            return best, _evidence(terms, best, v), True
    return present, _evidence(terms, present, v), False


@njit(cache=True, nogil=True)
def _modulate(v, g, units, rule, mu):
    """mu[i] of the evidence v[i]."""
    if rule[FORM] == 0.0:
        eta = 1e4 * g**7
        for i in range(v.size):
            mu[i] = 1.0 + eta / (1.0 + math.exp(-(26.0 * v[i] - 13.0)))
        return
    over = max(0.0, (g - rule[G_MIN]) / (1.0 - rule[G_MIN]))
    eta = 1.0 + over ** rule[GAMMA] * rule[CHI] * units
    for i in range(v.size):
        x = 0.1 * math.exp(-4.0 * (v[i] - 1.0))
        x *= x
        x *= x
        x *= x
        mu[i] = 1.0 + (eta - 1.0) / (1.0 + x)


@njit(cache=True, nogil=True)
def _uniform(key, index, draw):
    a, b, _, _ = words(key, index, draw)
    return unit_interval(a, b)


@njit(cache=True, nogil=True)
def _pick(mu, u):
    """The unit that u in (0, 1) falls on; `mu` becomes its running sums."""
    for k in range(1, mu.size):
        mu[k] += mu[k - 1]
    return min(np.searchsorted(mu, u * mu[-1], side="right"), mu.size - 1)


@njit(cache=True, nogil=True)
def _draw(v, mu, rule, g, key, index, code):
    """Draw a winner of each module; `mu` is room for one number a unit."""
    for q in range(code.size):
        _modulate(v[q], g, mu.size, rule, mu)
        code[q] = _pick(mu, _uniform(key, index, uint64(q)))


@njit(cache=True, nogil=True)
def _first(values, x):
    """The first of the rising `values` that is at least x."""
    c = 0
    while c < values.size and values[c] < x:
        c += 1
    return c


@njit(cache=True, nogil=True)
def _nth(row, least, n):
    """The place of number n among those of `row` that are at least `least`."""
    for k in range(row.size):
        if row[k] >= least:
            if n == 0:
                return k
            n -= 1
    return 0


@njit(cache=True, nogil=True)
def _select_alone(total, values, rule, learn, key, index, mu, code):
    """`_select` by U alone, whose evidence takes only the `values` of its sums: (familiarity, hypotheses).

    Sums are whole numbers, compared many at a time, and mu is worked out once for each value.
    """
    modules, units = code.size, mu.size
    rows = total.reshape(modules, units)
    likely, plausible, g = _first(values, rule[HYPOTHESIS]), 0, 0.0
    for q in range(modules):
        best = rows[q].max()
        code[q] = best
        g += values[best]
        for x in rows[q]:
            plausible += x >= likely
    g /= modules
    if learn:
        table = np.empty_like(values)
        _modulate(values, g, units, rule, table)
    for q in range(modules):
        row = rows[q]
        if learn:
            for k in range(units):
                mu[k] = table[row[k]]
            code[q] = _pick(mu, _uniform(key, index, uint64(q)))
            continue
        least, ties = _first(values, values[code[q]]), 0
        for x in row:
            ties += x >= least
        left = int(_uniform(key, index, uint64(TIES + q)) * ties) if ties > 1 else 0
        code[q] = _nth(row, least, left)
    return g, max(1, math.floor(plausible / modules + 0.5))


@njit(cache=True, nogil=True)
def _maximum(v, key, index, code):
    for q in range(code.size):
        row = v[q]
        best, ties = -1.0, 0
        for k in range(row.size):
            if row[k] > best:
                best, ties, code[q] = row[k], 1, k
            elif row[k] == best:
                ties += 1
        if ties > 1:
            code[q] = _nth(row, best, int(_uniform(key, index, uint64(TIES + q)) * ties))


@njit(cache=True, nogil=True)
def _hypotheses(v, bound):
    total = 0
    for row in v:
        for x in row:
            total += x >= bound
    return max(1, math.floor(total / v.shape[0] + 0.5))


@njit(cache=True, nogil=True)
def boosted(zeta, rule):
    """F(zeta): what a code of `zeta` competing hypotheses multiplies its signals with; 0 where they are too many."""
    return float(zeta) ** rule[BOOST] if zeta <= rule[MOST] else 0.0


@njit(cache=True, nogil=True)
def _increase(weights, stages, last, active, unit, most, clock):
    """Turn on the weights from active afferents to one unit; how many were off."""
    if most < 1e18:
        on = 0
        for j in range(active.size):
            on += popcount(weights[j, unit])
        if on > most:
            return 0
    changed = 0
    for j in range(active.size):
        new = active[j] & ~weights[j, unit]
        if stages.size:
            for b in range(64):
                if active[j] >> uint64(b) & uint64(1):
                    a = 64 * j + b
                    fresh = new >> uint64(b) & uint64(1)
                    stages[a, unit] = 0 if fresh else min(stages[a, unit] + 1, LAST_STAGE)
                    last[a, unit] = clock
        weights[j, unit] |= new
        changed += popcount(new)
    return changed


@njit(cache=True, nogil=True)
def age(weights, stages, last, clock, first, second):
    """Turn off the weights of stages 0 and 1 that were not renewed for more than `first` and `second` frames."""
    for a in range(stages.shape[0]):
        bit = uint64(1) << uint64(a & 63)
        for i in range(stages.shape[1]):
            lifetime = first if stages[a, i] == 0 else second
            if weights[a >> 6, i] & bit and stages[a, i] < LAST_STAGE and clock - last[a, i] > lifetime:
                weights[a >> 6, i] &= ~bit
                stages[a, i] = 0


@njit(cache=True, nogil=True)
def _values(afferents, scale, power, values):
    """The evidence of each possible sum: what the active afferents give of all they could, at most 1, to its power."""
    for c in range(afferents + 1):
        x = min(1.0, scale * c / afferents)
        values[c] = x if power == 1.0 else x**power


@njit(cache=True, nogil=True)
def _look_up(total, values, term):
    """Sums to evidence."""
    units = term.shape[1]
    for q in range(term.shape[0]):
        for k in range(units):
            term[q, k] = values[total[q * units + k]]


@njit(cache=True, nogil=True)
def _sum(weights, active, afferents, scale, power, total, values, seed, count):
    """Sums of one source and their evidence; its cost into `count`; the mixed hash of what was active."""
    sums(weights, active, total)
    _values(afferents, scale, power, values)
    count[2] += active.size * total.size
    count[3] += afferents * total.size
    return _hash(active, seed)


@njit(cache=True, nogil=True)
def _select(terms, present, rule, learn, back_off, key, index, v, mu, code, note):
    """Choose `code` from the evidence: (familiarity, hypotheses)."""
    if back_off and present:
        used, g, known = _fall_back(terms, present, rule, v)
    else:
        used, g = present, _evidence(terms, present, v)
        if not present:
            g = 0.0
            v[:] = 0.0
        known = g >= rule[THRESHOLD]
    if learn:
        _draw(v, mu, rule, g, key, index, code)
    else:
        _maximum(v, key, index, code)
    note[1], note[2], note[3] = used, known, present
    return g, _hypotheses(v, rule[HYPOTHESIS])


@njit(cache=True, nogil=True)
def _learn_lateral(weights, stages, last, before, active, code, units, most, clock, count):
    """Bind the winners to the code before; a winner learns nothing from its own module."""
    for q in range(code.size):
        a = q * units + before[q]
        bit = uint64(1) << uint64(a & 63)
        active[a >> 6] &= ~bit
        count[4] += _increase(weights, stages, last, active, q * units + code[q], most, clock)
        count[2] += active.size
        active[a >> 6] |= bit


@njit(cache=True, nogil=True)
def _learn(weights, stages, last, active, code, units, most, clock, count):
    for q in range(code.size):
        count[4] += _increase(weights, stages, last, active, q * units + code[q], most, clock)
        count[2] += active.size


@njit(cache=True, nogil=True)
def _pause(flag, n, code, numbers, rule):
    """Why a column does not choose a code in this frame, or CHOSEN where it does."""
    if code[0] >= 0 and numbers[0] < rule[PERSISTENCE]:
        return KEPT
    if flag & BLIND:
        return CHOSEN
    return BELOW if n < rule[LOWEST] else ABOVE if n > rule[HIGHEST] else CHOSEN


@njit(cache=True, nogil=True)
def _stay(status, g, code, numbers, count):
    """A frame without a choice: the code stays, or there is none; its familiarity."""
    if status == KEPT:
        numbers[0] += 1
        count[0] = numbers[1]
        return g
    code[:] = -1
    return 0.0


@njit(cache=True, nogil=True)
def run(  # noqa: PLR0912, PLR0915 - the loop over frames
    x,
    flags,
    fields,
    above,
    above_scale,
    u,
    h,
    d,
    stages,
    last,
    trace_code,
    trace_numbers,
    trace_g,
    clock,
    keys,
    rule,
    learn,
    back_off,
    codes,
    familiarity,
    notes,
    counts,
):
    """Code selection of every column in `fields`, frame by frame, and learning.

    Args:
        x: [frames, size] uint8 booleans, the frames of all columns.
        flags: [frames] START: forget what was before; BLIND: without input, by the other terms alone.
        fields: [columns, inputs] where in a frame each column looks.
        above: [frames, columns, words] packed active top-down afferents (0 words: none).
        above_scale: [frames, columns] what their signals are multiplied with.
        u, h, d: [columns, words, units] packed weights; no words: no such term.
        stages, last: tuples of three [columns, afferents, units]: permanence of each weight and when it was renewed;
            of no afferents: weights stay for ever.
        trace_code [columns, Q] (-1: none), trace_numbers [columns, 2] frames it has been kept and its hypotheses,
            trace_g [columns] its familiarity: read and written.
        clock: [columns] frames learned so far, read and written.
        keys: [columns] uint64 of the random draws.
        rule: RULE_SIZE numbers, see the top of the file.
        codes: [frames, columns, Q] winners or -1.
        familiarity: [frames, columns].
        notes: [frames, columns, 4] uint8: status, terms used, known, terms there were.
        counts: [frames, columns, 5] int64: hypotheses, active inputs, words read and written, synaptic operations,
            weights turned on.
    """
    columns, inputs = fields.shape
    modules = codes.shape[2]
    size = u.shape[2]
    units = size // modules
    terms, v, mu = np.zeros((3, modules, units)), np.empty((modules, units)), np.empty(units)
    total, before = np.empty(size, np.int32), np.empty(modules, np.int32)
    values = np.empty(64 * max(u.shape[1], h.shape[1], d.shape[1]) + 1)
    active, active_h = np.zeros(u.shape[1], np.uint64), np.zeros(h.shape[1], np.uint64)
    # A bundle that is never frozen is never counted.
    bound = rule[FROZEN] if rule[FROZEN] < 1.0 else 1e18
    most = bound * inputs, bound * (size - units), bound * rule[AFFERENTS_ABOVE]
    for m in range(columns):
        code, numbers = trace_code[m], trace_numbers[m]
        for f in range(x.shape[0]):
            if flags[f] & START:
                code[:] = -1
                numbers[:] = 0
            note, count = notes[f, m], counts[f, m]
            note[:] = 0
            count[:] = 0
            _gather(x[f], fields[m], active)
            n = _bits(active)
            count[1] = n
            note[0] = _pause(flags[f], n, code, numbers, rule)
            if note[0] != CHOSEN:
                trace_g[m] = _stay(note[0], trace_g[m], code, numbers, count)
                codes[f, m] = code
                familiarity[f, m] = trace_g[m]
                continue
            before[:] = code
            sees = n > 0 and not flags[f] & BLIND
            follows = active_h.size > 0 and modules > 1 and before[0] >= 0
            n_above = _bits(above[f, m])
            scale = boosted(numbers[1], rule)
            # Without them U is alone, and its sums need not become products.
            signals = (follows and scale > 0.0) or (n_above > 0 and above_scale[f, m] > 0.0)
            present = np.uint8(0)
            seed = uint64(0xCBF29CE484222325)
            if sees:
                present |= 1
                seed = _sum(u[m], active, n, 1.0, rule[POWER], total, values, seed, count)
                if signals:
                    _look_up(total, values, terms[0])
            if follows:
                _code_bits(before, units, active_h)
                if scale > 0.0:
                    present |= 2
                    seed = _sum(h[m], active_h, modules - 1, scale, rule[POWER + 1], total, values, seed, count)
                    _look_up(total, values, terms[1])
            if n_above > 0 and above_scale[f, m] > 0.0:
                present |= 4
                scale = above_scale[f, m]
                seed = _sum(d[m], above[f, m], n_above, scale, rule[POWER + 2], total, values, seed, count)
                _look_up(total, values, terms[2])
            index = uint64(clock[m]) if learn else seed
            numbers[0] = 1
            if present == 1:
                g, numbers[1] = _select_alone(total, values[: n + 1], rule, learn, keys[m], index, mu, code)
                note[1], note[2], note[3] = 1, g >= rule[THRESHOLD], 1
            else:
                g, numbers[1] = _select(terms, present, rule, learn, back_off, keys[m], index, v, mu, code, note)
            count[0] = numbers[1]
            trace_g[m] = g
            codes[f, m] = code
            familiarity[f, m] = g
            if not learn:
                continue
            now = clock[m]
            if stages[0].size:
                age(u[m], stages[0][m], last[0][m], now, rule[LIFETIME], rule[LIFETIME + 1])
                age(h[m], stages[1][m], last[1][m], now, rule[LIFETIME], rule[LIFETIME + 1])
                age(d[m], stages[2][m], last[2][m], now, rule[LIFETIME], rule[LIFETIME + 1])
            if sees:
                _learn(u[m], stages[0][m], last[0][m], active, code, units, most[0], now, count)
            if follows:
                _learn_lateral(h[m], stages[1][m], last[1][m], before, active_h, code, units, most[1], now, count)
            if n_above > 0:
                _learn(d[m], stages[2][m], last[2][m], above[f, m], code, units, most[2], now, count)
            clock[m] += 1
