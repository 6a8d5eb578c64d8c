"""Compiled choices of tokens, and attention to them with its gradients: time grows with the picks alone.

Arrays are C-contiguous, floats all float32 or all float64.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ...tools.compiled import compiled
from .reference import PICK_NONE

BUCKETS = 256  # of `last_of_bucket`


@compiled
def best_so_far(scores, ends, picks):
    """Fill picks [B, T, count] with the tokens of highest score [B, N] before each of `ends` [T], which ascend."""
    best = np.empty(picks.shape[2], np.int64)
    for b in range(scores.shape[0]):
        _best_of_sequence(scores[b], ends, best, picks[b])


@njit(inline="always")
def _best_of_sequence(score, ends, best, picks):
    """Fill picks [T, count] of one sequence; `best` [count] is work space."""
    held = 0
    worst = 0
    first = 0
    for t in range(ends.size):
        for token in range(first, ends[t]):
            if held < best.size:
                best[held] = token
                held += 1
            elif score[token] > score[best[worst]]:
                best[worst] = token
            else:
                continue
            # After a change only: scores that come at random change the best ever more rarely.
            worst = _worst(score, best[:held])
        first = ends[t]
        picks[t, :held] = best[:held]
        picks[t, held:] = PICK_NONE


@compiled
def _worst(score, tokens):
    """Return the place of the token of lowest score; of equal scores the latest token is the worst."""
    worst = 0
    for n in range(1, tokens.size):
        lower = score[tokens[n]] < score[tokens[worst]]
        if lower or (score[tokens[n]] == score[tokens[worst]] and tokens[n] > tokens[worst]):
            worst = n
    return worst


@compiled
def last_of_bucket(asked, buckets, picks):
    """Fill picks [B, T, count] with the last tokens in the bucket that each query asks for [B, T], latest first.

    Args:
        buckets: [B, N], each in 0 .. BUCKETS - 1; the queries are the last T tokens, and see themselves.
    """
    length = asked.shape[1]
    known = buckets.shape[1]
    previous = np.empty(known, np.int64)  # the token before it in the same bucket
    last = np.empty(BUCKETS, np.int64)
    for b in range(asked.shape[0]):
        last[:] = PICK_NONE
        for token in range(known):
            bucket = buckets[b, token]
            previous[token] = last[bucket]
            last[bucket] = token
            # Earlier tokens only fill the chains: queries are the last `length`.
            query = token - (known - length)
            if query >= 0:
                _follow(previous, last[asked[b, query]], picks[b, query])


@njit(inline="always")
def _follow(previous, pick, picks):
    """Fill picks [count] with a token and those before it in its bucket, then with PICK_NONE."""
    for n in range(picks.size):
        picks[n] = pick
        if pick != PICK_NONE:
            pick = previous[pick]


# Sums in any order, so that they become vectors.
@compiled(fastmath={"contract", "reassoc", "nsz"})
def _dot(a, row, first):
    """Return the product of a [n] and n numbers of a row, from `first` on."""
    total = a[0] * row[first]
    for j in range(1, a.size):
        total += a[j] * row[first + j]
    return total


@compiled
def _weigh(q, rows, n, picks, scale, own, weights):
    """Fill `own` with the picks of a query among rows [N, heads, ..] of head n and `weights` with their softmax.

    Return their number.
    """
    count = 0
    most = -np.inf
    for pick in picks:
        if pick != PICK_NONE:
            own[count] = pick
            weights[count] = scale * _dot(q, rows[pick, n], 0)
            most = max(most, weights[count])
            count += 1
    total = 0.0
    for m in range(count):
        weights[m] = math.exp(weights[m] - most)
        total += weights[m]
    for m in range(count):
        weights[m] /= total
    return count


@compiled
def attend(q, rows, picks, scale, out, begin, end):
    """Fill out [B, T, H, V] with attention to picked tokens, for heads of keys `begin` .. `end` of all sequences.

    Args:
        q: [B, T, H, K].
        rows: [B, N, heads, >= K + V] of keys and values, shared by groups of queries.
        picks: [B, T, H or 1, M].
    """
    few = rows.shape[2]
    group = q.shape[2] // few
    keys = q.shape[3]
    own = np.empty(picks.shape[3], np.int64)
    weights = np.empty(picks.shape[3], q.dtype)
    for item in range(begin, end):
        b = item // few
        n = item % few
        for t in range(q.shape[1]):
            for h in range(n * group, (n + 1) * group):
                # Picks are of each head, or one row for all.
                chosen = picks[b, t, min(h, picks.shape[2] - 1)]
                count = _weigh(q[b, t, h], rows[b], n, chosen, scale, own, weights)
                _mix(rows[b], n, own[:count], weights, keys, out[b, t, h])


@njit(inline="always")
def _mix(rows, n, own, weights, keys, out):
    """Fill out [V] with the weighted values of the picks `own`, which follow the `keys` numbers of their keys."""
    out[:] = 0
    for m in range(own.size):
        row = rows[own[m], n]
        for j in range(out.size):
            out[j] += weights[m] * row[keys + j]


@compiled
def attend_back(q, rows, picks, scale, grad, by_q, by_rows, begin, end):
    """Add the gradients by q and rows to zeros, for heads of keys `begin` .. `end`; grad [B, T, H, V].

    With weights p = softmax(s) and d = grad . v:  ds = p (d - sum p d).
    """
    few = rows.shape[2]
    group = q.shape[2] // few
    own = np.empty(picks.shape[3], np.int64)
    weights = np.empty(picks.shape[3], q.dtype)
    pulls = np.empty(picks.shape[3], q.dtype)
    for item in range(begin, end):
        b = item // few
        n = item % few
        for t in range(q.shape[1]):
            for h in range(n * group, (n + 1) * group):
                chosen = picks[b, t, min(h, picks.shape[2] - 1)]
                query = q[b, t, h]
                # Computed again, not kept: weights of all queries would take T M numbers a head.
                count = _weigh(query, rows[b], n, chosen, scale, own, weights)
                to_q = by_q[b, t, h]
                _unmix(query, rows[b], n, own[:count], weights, scale, grad[b, t, h], pulls, to_q, by_rows[b])


@njit(inline="always")
def _unmix(query, rows, n, own, weights, scale, grad, pulls, by_query, by_rows):
    """Add the gradients of a query [K], of the keys and of the values of its picks; `pulls` [M] is work space."""
    keys = query.size
    mean = 0.0
    for m in range(own.size):
        pulls[m] = _dot(grad, rows[own[m], n], keys)
        mean += weights[m] * pulls[m]
    for m in range(own.size):
        pulls[m] = scale * weights[m] * (pulls[m] - mean)
        pull = pulls[m]
        row = rows[own[m], n]
        by_row = by_rows[own[m], n]
        for j in range(keys):
            by_query[j] += pull * row[j]
            by_row[j] += pull * query[j]
        for j in range(grad.size):
            by_row[keys + j] += weights[m] * grad[j]
