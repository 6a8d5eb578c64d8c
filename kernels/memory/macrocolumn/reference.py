"""Code selection and one-trial learning of macrocolumns with binary weights, in plain numpy: the specification.

A column has Q modules of K units; a code is one winner a module. Its evidence has up to three terms, the normalised
sums of the active weights of U (the input), H (the code before, and codes of other columns) and D (signals from
above). The algorithm follows
Rinkus 2010 (Frontiers in Neuroanatomy 4:17), 2014 (Frontiers in Computational Neuroscience 8:160) and Rinkus and
Leveille 2017 (arXiv 1710.07829).
"""

from __future__ import annotations

import math

import numpy as np

from ...tools.random import threefry_reference
from .views import ABOVE, BELOW, BLIND, CHOSEN, KEPT, START

# Places of numbers in `rule`.
G_MIN = 0
GAMMA = 1
CHI = 2
FORM = 3
POWER = 4
HYPOTHESIS = 7
BOOST = 8
MAX_HYPOTHESES = 9
THRESHOLD = 10
LOWEST = 13
HIGHEST = 14
PERSISTENCE = 15
FROZEN = 16
LIFETIME = 17
AFFERENTS_ABOVE = 19
AFFERENTS_BESIDE = 20
# Whether the column's own code is a source of H.
OWN_CODE = 21
RULE_SIZE = 22
# Terms, as bits: all three, pairs, singles, in the order in which recognition falls back on them.
ORDERS = np.array([7, 3, 5, 6, 1, 2, 4], np.uint8)
SIZES = np.array([0, 1, 1, 2, 1, 2, 2, 3], np.uint8)
LAST_STAGE = 2
# Ties of recognition are broken by draws apart from the draws of learning.
TIES = 1 << 32


def sums_reference(weights, active):
    """Return the sums [units] int64 of packed weights [words, units] at active afferents [words]."""
    bits = np.unpackbits((weights & active[:, None]).T.copy().view(np.uint8), axis=1)
    return bits.sum(axis=1, dtype=np.int64)


def modulation_reference(v, g, units, rule):
    """Return mu of evidence `v` (any shape) at familiarity `g` in modules of `units` units."""
    if rule[FORM] == 0:
        return 1.0 + 1e4 * g**7 / (1.0 + np.exp(-(26.0 * v - 13.0)))
    eta = 1.0 + max(0.0, (g - rule[G_MIN]) / (1.0 - rule[G_MIN])) ** rule[GAMMA] * rule[CHI] * units
    return 1.0 + (eta - 1.0) / (1.0 + (0.1 * np.exp(-4.0 * (v - 1.0))) ** 8)


def evidence_reference(terms, mask, rule):
    """Return the product [Q, K] of the terms [3, Q, K] in `mask`, each to its power."""
    v = np.ones(terms.shape[1:])
    for t in range(3):
        if mask >> t & 1:
            v = v * terms[t] ** rule[POWER + t]
    return v


def choose_reference(terms, present, rule, key, index, learn, back_off):
    """Choose the code of one frame: (winners [Q], familiarity, terms used, known, hypotheses).

    Args:
        terms: [3, Q, K] normalised sums of U, H and D.
        present: the terms that exist, as bits.
        key, index: of the random draws.
    """
    used = present
    g = 0.0
    known = False
    for size in (3, 2, 1):
        subsets = [int(m) for m in ORDERS if SIZES[m] == size and m & present == m]
        # All existing terms together count as the first order, whatever their number.
        full = SIZES[present] == size
        if not subsets or (not back_off and not full):
            continue
        best = max(subsets, key=lambda m: (evidence_reference(terms, m, rule).max(axis=1).mean(), -subsets.index(m)))
        found = evidence_reference(terms, best, rule).max(axis=1).mean()
        if full:
            threshold = rule[THRESHOLD]
        else:
            threshold = rule[THRESHOLD + 3 - size]
        if full or found >= threshold:
            used = best
            g = found
        if found >= threshold:
            known = True
            break
    else:
        used = present
        g = evidence_reference(terms, present, rule).max(axis=1).mean()
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


def learn_reference(weights, active, winners, frozen_above, afferents, fading=None, clock=0):
    """Turn on, in place, the weights from active afferents to winners.

    Args:
        weights: [afferents, units] booleans.
        active: [Q, afferents] booleans, the active afferents of each winner.
        winners: [Q] units.
        frozen_above: a winner with more than this fraction of its weights on learns no more.
        afferents: the number of weights a unit can have.
        fading: (stages, last), each [afferents, units]; None where weights do not fade.
        clock: frames learned so far.
    """
    for on, winner in zip(active, winners, strict=True):
        if weights[:, winner].sum() > frozen_above * afferents:
            continue
        if fading:
            stages, last = fading
            stages[on, winner] = np.where(weights[on, winner], np.minimum(stages[on, winner] + 1, LAST_STAGE), 0)
            last[on, winner] = clock
        weights[on, winner] = True


def age_reference(weights, stages, last, clock, first, second):
    """Turn off, in place, weights of stages 0 and 1 not renewed for more than `first` and `second` frames."""
    lost = weights & (stages < LAST_STAGE) & (clock - last > np.where(stages == 0, first, second))
    weights[lost] = False
    stages[lost] = 0


def run_reference(x, flags, above, weights, rule, modules, key, learn, back_off, fading=None, beside=None):
    """Run one column: the specification of `run`.

    Args:
        x: [frames, inputs] booleans.
        flags: [frames], as in `run`.
        above: [frames, afferents] booleans, the scale of their signals being 1.
        weights: U, H and D, each [afferents, units] booleans, changed in place where `learn` is true; H and D may have
            no afferents.
        key: integer.
        fading: (stages, last) of each of the three, changed with them; None where weights do not fade.
        beside: [frames, units] booleans, the codes of other columns, afferents of H after the own units; None: none.

    Returns:
        for each frame (code [Q], familiarity, terms used, known, hypotheses, status).
    """
    size = weights[0].shape[1]
    units = size // modules
    own_size = size if rule[OWN_CODE] and modules > 1 and len(weights[1]) else 0
    if beside is None:
        beside = np.zeros((len(x), 0), bool)
    code = np.full(modules, -1)
    kept_for = 0
    zeta = 0
    g = 0.0
    clock = 0
    out = []
    for frame, flag, signals, others in zip(x, flags, above, beside, strict=True):
        if flag & START:
            code = np.full(modules, -1)
            kept_for = 0
            zeta = 0
        n = frame.sum()
        if flag & BLIND:
            outside = 0
        elif n < rule[LOWEST]:
            outside = BELOW
        else:
            outside = ABOVE if n > rule[HIGHEST] else 0
        if code[0] >= 0 and kept_for < rule[PERSISTENCE]:
            kept_for += 1
            out.append((code, g, 0, False, zeta, KEPT))
            continue
        if outside:
            code = np.full(modules, -1)
            g = 0.0
            out.append((code, g, 0, False, 0, outside))
            continue
        before = np.zeros(own_size, bool)
        if own_size:
            before[(np.arange(modules) * units + code)[code >= 0]] = True
        if zeta <= rule[MAX_HYPOTHESES]:
            scale = zeta ** rule[BOOST]
        else:
            scale = 0.0
        # A silenced code sends no signals; signals of other columns are not scaled.
        sent = before & (scale > 0)
        lateral = np.concatenate([sent, others])
        sources = [frame & (not flag & BLIND), lateral, signals]
        afferents = [n, (modules - 1) * sent.any() + others.sum(), signals.sum()]
        factors = [1.0, np.concatenate([np.full(own_size, scale), np.ones(len(others))])[lateral, None], 1.0]
        terms = np.zeros((3, modules, units))
        present = 0
        for t, (w, active) in enumerate(zip(weights, sources, strict=True)):
            if len(w) and active.any() and afferents[t] > 0:
                present |= 1 << t
                total = (factors[t] * w[active]).sum(axis=0)
                terms[t] = np.minimum(1.0, total / afferents[t]).reshape(modules, units)
        had = code
        if learn:
            index = clock
        else:
            index = _hash_reference([pack_words(a) for t, a in enumerate(sources) if present >> t & 1])
        code, g, used, known, zeta = choose_reference(terms, present, rule, key, index, learn, back_off)
        kept_for = 1
        out.append((code, g, used, known, zeta, CHOSEN))
        if not learn:
            continue
        own = np.arange(own_size) // units == np.arange(modules)[:, None]
        # A winner learns nothing from its own module; the code of a blind frame is not bound to the input.
        bound = [not flag & BLIND, (own_size and had[0] >= 0) or others.any(), signals.any()]
        lateral = np.concatenate([before & ~own, np.tile(others, (modules, 1))], axis=1)
        active = [np.tile(frame, (modules, 1)), lateral, np.tile(signals, (modules, 1))]
        room = [len(frame), (own_size and size - units) + len(others), len(signals)]
        for t, w in enumerate(weights):
            if fading:
                age_reference(w, *fading[t], clock, rule[LIFETIME], rule[LIFETIME + 1])
            if bound[t]:
                winners = np.arange(modules) * units + code
                learn_reference(w, active[t], winners, rule[FROZEN], room[t], fading and fading[t], clock)
        clock += 1
    return out


def pack_words(active):
    """Pack [n] booleans into [ceil(n / 64)] uint64."""
    padded = np.zeros(-(-len(active) // 64) * 64, bool)
    padded[: len(active)] = active
    return np.packbits(padded, bitorder="little").view("<u8")


def _hash_reference(parts):
    value = 0xCBF29CE484222325
    mask = (1 << 64) - 1
    for word in np.concatenate(parts) if parts else ():
        value = (value ^ int(word)) * 0x100000001B3 & mask
        value ^= value >> 29
    return value
