"""Mathematics of a column with random codes: shared winners of similar inputs, expected recall, capacity."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...base.errors import require
from .selection import Selection


def modulation(v: ArrayLike, g: float, units: int, selection: Selection | None = None) -> NDArray[np.float64]:
    """Return mu of evidence `v` at familiarity `g` in modules of `units` units: chances before normalisation.

    See `Selection` for the two forms.
    """
    s = selection or Selection()
    require(0 <= g <= 1, "modulation.g", "must be in 0..1", g)
    return np.asarray(_MODULATIONS[s.form](np.asarray(v, np.float64), g, units, s))


def expected_intersection(g: float, units: int, selection: Selection | None = None) -> float:
    """Return the expected fraction of winners that an input of familiarity `g` shares with the single stored code.

    The stored winner of each module has V = g and the others none, so it wins with chance
    mu(g) / (mu(g) + (K - 1) mu(0)); the number of shared winners is binomial over modules.
    """
    require(units >= 1, "expected_intersection.units", "must be >= 1", units)
    stored, other = modulation([g, 0.0], g, units, selection)
    return float(stored / (stored + (units - 1) * other))


def crosstalk(items: int, active: int, inputs: int, units: int) -> float:
    """Return the expected number of wrong units of a module on which a stored item finds all its weights on.

    (K - 1) sum_n Binom(M - 1, 1/K)(n) (1 - (1 - S/N)^n)^S, for M items of S of N active inputs with random codes.
    """
    return (units - 1) * _full_match(items, active, inputs, units)


def expected_recall(items: int, active: int, inputs: int, units: int) -> float:
    """Return the expected fraction of winners recalled of a stored item, ties broken at random: E[1 / (1 + rivals)].

    Rivals are binomial, each of K - 1 units matching with the chance of `crosstalk`.
    """
    p = _full_match(items, active, inputs, units)
    if p * units < 1e-12:
        return 1.0
    # E[1 / (1 + rivals)] = (1 - (1 - p)^K) / (K p)
    return float(-np.expm1(units * np.log1p(-p)) / (units * p))


@lru_cache(maxsize=256)  # 15 ms, needed at every storing
def capacity(active: int, inputs: int, units: int, recall: float = 0.9) -> int:
    """Return the maximum number of items of `active` active inputs at which `expected_recall` is at least `recall`."""
    require(0 < recall < 1, "capacity.recall", "must be in 0..1, ends excluded", recall)
    if units == 1:
        return 2**31
    # Double until it is too many, then halve the interval.
    low = 1
    high = 2
    while high < 2**31 and expected_recall(high, active, inputs, units) >= recall:
        low = high
        high = 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if expected_recall(middle, active, inputs, units) >= recall:
            low = middle
        else:
            high = middle
    return low


def _full_match(items: int, active: int, inputs: int, units: int) -> float:
    """Return the chance that a unit outside the code of an item has all its weights on."""
    require(items >= 1 and units >= 1, "items, units", "must be >= 1", (items, units))
    require(1 <= active <= inputs, "active", f"must be in 1..{inputs} inputs", active)
    from scipy.stats import binom

    stored = binom(items - 1, 1.0 / units)
    # This range has all but 1e-15 of the chance, and spares a sum over a million items.
    n = np.arange(stored.ppf(1e-15), stored.ppf(1 - 1e-15) + 1)
    # Chance that one of n items has turned on a weight: 1 - (1 - S/N)^n.
    with np.errstate(divide="ignore"):
        if active < inputs:
            on = -np.expm1(n * np.log1p(-active / inputs))
        else:
            on = (n > 0).astype(float)
    return float(np.sum(stored.pmf(n) * on**active))


def _sigmoid_of_2010(v: NDArray[Any], g: float, units: int, s: Selection) -> NDArray[Any]:
    return 1.0 + 1e4 * g**7 / (1.0 + np.exp(-(26.0 * v - 13.0)))


def _sigmoid_of_2017(v: NDArray[Any], g: float, units: int, s: Selection) -> NDArray[Any]:
    eta = 1.0 + max(0.0, (g - s.g_min) / (1.0 - s.g_min)) ** s.gamma * s.chi * units
    return 1.0 + (eta - 1.0) / (1.0 + (0.1 * np.exp(-4.0 * (v - 1.0))) ** 8)


_MODULATIONS = {"2010": _sigmoid_of_2010, "2017": _sigmoid_of_2017}
