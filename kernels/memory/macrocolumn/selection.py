"""Selection of a code from the evidence, compiled: familiarity, fallback to fewer terms, and the draw of winners."""

from __future__ import annotations

import math

import numpy as np
from numba import uint64

from ...tools.compiled import compiled
from ...tools.random import unit_interval, words
from .reference import CHI, FORM, G_MIN, GAMMA, HYPOTHESIS, ORDERS, SIZES, THRESHOLD, TIES
from .views import KNOWN, PRESENT, USED


@compiled
def _multiply(v, term, fresh):
    """Multiply v by a term, or set it to the term if it is `fresh`."""
    # Loops: numba takes 2 s to compile an assignment of slices, most of it for the text of an error.
    for q in range(v.shape[0]):
        for k in range(v.shape[1]):
            if fresh:
                v[q, k] = term[q, k]
            else:
                v[q, k] *= term[q, k]


@compiled
def _evidence(terms, mask, v):
    """Fill v [Q, K] with the product of the terms in `mask`; return the familiarity."""
    fresh = True
    for t in range(3):
        if mask >> t & 1:
            _multiply(v, terms[t], fresh)
            fresh = False
    total = 0.0
    for row in v:
        best = 0.0
        for x in row:
            best = max(best, x)
        total += best
    return total / v.shape[0]


@compiled
def _fall_back(terms, present, rule, v):
    """Return (terms used, familiarity, known) of recognition; fill v with the evidence of the terms used."""
    all_terms = _evidence(terms, present, v)
    if all_terms >= rule[THRESHOLD]:
        return present, all_terms, True
    for size in range(SIZES[present] - 1, 0, -1):
        best = np.int64(0)
        found = -1.0
        # Pairs before singles; of equal ones the first in `ORDERS`.
        for mask in ORDERS:
            if SIZES[mask] == size and mask & present == mask:
                # One type of mask: for a second one numba would compile `_evidence` again.
                g = _evidence(terms, np.int64(mask), v)
                if g > found:
                    best = np.int64(mask)
                    found = g
        if found >= rule[THRESHOLD + 3 - size]:
            return best, _evidence(terms, best, v), True
    return present, _evidence(terms, present, v), False


@compiled
def _modulate(v, g, units, rule, mu):
    """Fill mu[i] from the evidence v[i]."""
    if rule[FORM] == 0.0:
        eta = 1e4 * g**7
        for i in range(v.size):
            mu[i] = 1.0 + eta / (1.0 + math.exp(-(26.0 * v[i] - 13.0)))
        return
    # eta = 1 + (max(0, G - g_min) / (1 - g_min))^gamma chi K
    over = max(0.0, (g - rule[G_MIN]) / (1.0 - rule[G_MIN]))
    eta = 1.0 + over ** rule[GAMMA] * rule[CHI] * units
    for i in range(v.size):
        # (0.1 exp(-4 (V - 1)))^8, by three squares.
        x = 0.1 * math.exp(-4.0 * (v[i] - 1.0))
        x *= x
        x *= x
        x *= x
        mu[i] = 1.0 + (eta - 1.0) / (1.0 + x)


@compiled
def _uniform(key, index, draw):
    a, b, _, _ = words(key, index, draw)
    return unit_interval(a, b)


@compiled
def _pick(mu, u):
    """Return the unit that u in (0, 1) falls on; `mu` becomes its running sums."""
    for k in range(1, mu.size):
        mu[k] += mu[k - 1]
    point = u * mu[-1]
    # Bisection: numba takes 1 s to compile `np.searchsorted`.
    low = 0
    high = mu.size
    while low < high:
        middle = (low + high) // 2
        if point < mu[middle]:
            high = middle
        else:
            low = middle + 1
    return min(low, mu.size - 1)


@compiled
def _draw(v, mu, rule, g, key, index, code):
    """Draw a winner of each module; `mu` is room for one number a unit."""
    for q in range(code.size):
        _modulate(v[q], g, mu.size, rule, mu)
        code[q] = _pick(mu, _uniform(key, index, uint64(q)))


@compiled
def _first(values, x):
    """Return the index of the first of the ascending `values` that is at least x."""
    c = 0
    while c < values.size and values[c] < x:
        c += 1
    return c


@compiled
def _nth(row, bound, n):
    """Return the place of number n among the entries of `row` that are at least `bound`."""
    for k in range(row.size):
        if row[k] >= bound:
            if n == 0:
                return k
            n -= 1
    return 0


@compiled
def select_alone(total, values, rule, learn, key, index, mu, code):
    """Choose `code` by U alone, whose evidence takes only the `values` of its sums: (familiarity, hypotheses).

    Sums are integers, compared many at a time, and mu is computed once for each value.
    """
    modules = code.size
    units = mu.size
    rows = total.reshape(modules, units)
    likely = _first(values, rule[HYPOTHESIS])
    plausible = 0
    g = 0.0
    for q in range(modules):
        row = rows[q]
        best = row[0]
        for x in row:
            best = max(best, x)
        # The largest sum for now; the winner takes its place below.
        code[q] = best
        g += values[best]
        for x in row:
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
        # Different sums may tie: high powers that are too small for a float are all 0.
        bound = _first(values, values[code[q]])
        ties = 0
        for x in row:
            ties += x >= bound
        if ties > 1:
            left = int(_uniform(key, index, uint64(TIES + q)) * ties)
        else:
            left = 0
        code[q] = _nth(row, bound, left)
    return g, max(1, math.floor(plausible / modules + 0.5))


@compiled
def _maximum(v, key, index, code):
    for q in range(code.size):
        row = v[q]
        best = -1.0
        ties = 0
        for k in range(row.size):
            if row[k] > best:
                best = row[k]
                ties = 1
                code[q] = k
            elif row[k] == best:
                ties += 1
        if ties > 1:
            code[q] = _nth(row, best, int(_uniform(key, index, uint64(TIES + q)) * ties))


@compiled
def _hypotheses(v, bound):
    total = 0
    for row in v:
        for x in row:
            total += x >= bound
    return max(1, math.floor(total / v.shape[0] + 0.5))


@compiled
def select(terms, present, rule, learn, back_off, key, index, v, mu, code, note):
    """Choose `code` from the evidence: (familiarity, hypotheses)."""
    if back_off and present:
        used, g, known = _fall_back(terms, present, rule, v)
    else:
        used = present
        g = _evidence(terms, present, v)
        if not present:
            g = 0.0
            v[:] = 0.0
        known = g >= rule[THRESHOLD]
    if learn:
        _draw(v, mu, rule, g, key, index, code)
    else:
        _maximum(v, key, index, code)
    note[USED] = used
    note[KNOWN] = known
    note[PRESENT] = present
    return g, _hypotheses(v, rule[HYPOTHESIS])
