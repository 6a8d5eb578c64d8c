"""Exact probabilities of sparse codes (Ahmad & Hawkins 2015, arXiv 1503.07469; 2016, arXiv 1601.00720)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require


def overlap_set_size(size: int, active_x: int, active: int, overlap: int) -> int:
    """Return the exact number of SDRs with `active` bits that share `overlap` bits with one of `active_x` bits.

    C(w_x, b) C(n - w_x, w - b), eq. 3 of Ahmad & Hawkins 2015.

    Raises:
        NeurosimInputError: numbers of active bits outside 0..`size`.
    """
    inside = 0 <= active_x <= size and 0 <= active <= size
    require(inside, "overlap_set_size", f"needs active bits in 0..{size}", (active_x, active))
    if not 0 <= overlap <= min(active_x, active):
        return 0
    return math.comb(active_x, overlap) * math.comb(size - active_x, active - overlap)


def false_positive(size: int, active: float, synapses: int, threshold: int) -> float:
    """Return the chance that a segment matches a random pattern.

    The segment has `synapses` of `size` cells; `active` random cells fire; it matches at `threshold` active synapses:
    sum over b >= theta of C(s, b) C(n - s, a - b) / C(n, a). `active` may be fractional (an expected count, as in
    a union), with the binomials of the gamma function. Relative error below 1e-9 down to 1e-300.

    Raises:
        NeurosimInputError: numbers outside their ranges: names them.
    """
    require(0 <= active <= size, "false_positive.active", f"must be in 0..{size} cells", active)
    require(0 < synapses <= size, "false_positive.synapses", f"must be in 1..{size}", synapses)
    require(threshold >= 0, "false_positive.threshold", "must be >= 0", threshold)
    return _tail(size, active, synapses, threshold)


def false_negative(active: int, synapses: int, threshold: int, lost: int) -> float:
    """Return the chance that a segment misses its own pattern when `lost` of the `active` cells stay silent.

    sum over b > s - theta of C(s, b) C(a - s, v - b) / C(a, v).

    Raises:
        NeurosimInputError: numbers outside their ranges: names them.
    """
    require(0 < synapses <= active, "false_negative.synapses", f"must be in 1..{active}", synapses)
    require(0 <= lost <= active, "false_negative.lost", f"must be in 0..{active} cells", lost)
    require(0 < threshold <= synapses, "false_negative.threshold", f"must be in 1..{synapses}", threshold)
    return _tail(active, lost, synapses, synapses - threshold + 1)


def any_false_positive(probability: float, patterns: int) -> float:
    """Return the chance that at least one of `patterns` independent segments matches: 1 - (1 - p)^M.

    Raises:
        NeurosimInputError: a probability outside 0..1.
    """
    require(0 <= probability <= 1, "any_false_positive.probability", "must be in 0..1", probability)
    if probability < 1:
        # 1 - exp(M log(1 - p)) keeps its digits for small p.
        return -math.expm1(patterns * math.log1p(-probability))
    return 1.0


def union_density(size: int, active: int, patterns: int) -> float:
    """Return the expected fraction of bits on in a union of `patterns` random SDRs: 1 - (1 - w/n)^M.

    Raises:
        NeurosimInputError: `active` outside 0..`size`.
    """
    require(0 <= active <= size, "union_density.active", f"must be in 0..{size}", active)
    return any_false_positive(active / size, patterns)


def union_false_positive(size: int, active: int, synapses: int, threshold: int, patterns: int) -> float:
    """Return `false_positive` for a union: the number of active cells is n times its density."""
    return false_positive(size, size * union_density(size, active, patterns), synapses, threshold)


def _tail(size: int, active: float, synapses: int, threshold: int) -> float:
    """Return the upper tail of the hypergeometric law, each term a ratio of falling factorials.

    C(n-s, a-b) / C(n, a) = a^(b) (n-a)^(s-b) / n^(s), where x^(k) is the falling factorial: this needs no gamma
    function, and so no difference of large logarithms.
    """
    # b active synapses: at most one for each synapse and for each active cell.
    top = min(synapses, math.floor(active))
    if threshold > top:
        return 0.0
    hits = np.arange(max(threshold, 0), top + 1)
    firing = _log_falling(active, synapses)
    silent = _log_falling(size - active, synapses)
    every = _log_falling(size, synapses)[synapses]
    # log of C(s, b) a^(b) (n-a)^(s-b) / n^(s)
    logs = _log_choose(synapses)[hits] + firing[hits] + silent[synapses - hits] - every
    return min(1.0, math.fsum(np.exp(logs)))


def _log_falling(x: float, count: int) -> NDArray[np.float64]:
    """Return [count + 1] log of x (x-1) ... (x-k+1) for k = 0..count; -inf once a factor is not positive."""
    factors = np.maximum(x - np.arange(count), 0.0)
    with np.errstate(divide="ignore"):
        return np.concatenate([[0.0], np.cumsum(np.log(factors))])


def _log_choose(n: int) -> NDArray[np.float64]:
    """Return [n + 1] log of C(n, k), from exact integers."""
    return np.array([math.log(math.comb(n, k)) for k in range(n + 1)])
