"""Mathematics of a column with random codes: shared winners of similar inputs, expected recall, capacity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...base.errors import require
from .selection import Selection

MAX_ITEMS = 2**31
# A memory is not followed below this recall, above that of units at random.
FORGOTTEN = 0.05
# Largest chance to win, in chances of a mean unit, at which codes still count as independent.
EVEN = 1.02
# Items that a unit of the fullest class learns in a step, in the mean. With .05 capacities are up to 5 % smaller.
STEP = 0.2
# Points and weights of the mean over a normal distribution (Gauss and Hermite).
POINTS = ((-(3.0**0.5), 0.0, 3.0**0.5), (1 / 6, 2 / 3, 1 / 6))
# Step in log t of the integral of exp(-x t) = 1 / x, and the parts of it that are left out at either end.
LOG_STEP = 1.0
ENDS = (1e-4, 25.0)


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


def expected_recall(
    items: int, active: int, inputs: int, units: int, selection: Selection | None = None, modules: int | None = None
) -> float:
    """Return the expected fraction of winners recalled of a stored item, ties broken at random: E[1 / (1 + rivals)].

    Rivals are binomial, each of K - 1 units matching with the chance of `crosstalk`.

    Args:
        selection: rule by which the codes of random items are drawn while they are stored; None: independent codes.
            Weights of many items make new ones look familiar, so that the fullest units win more and more of them; see
            `Filling`.
        modules: over which familiarity is a mean, that varies with their number; None: as with many.
    """
    # A module of one unit has no rival, whatever is stored.
    if selection is None or units == 1:
        return _recall(_full_match(items, active, inputs, units), units)
    # `Filling` follows the weights in steps of many items; between its points recall is taken as linear. Before the
    # first, new items are unfamiliar still, and codes independent.
    filling = Filling(active=active, inputs=inputs, units=units, selection=selection, modules=modules)
    before = filling.point
    if items <= before.items:
        return expected_recall(items, active, inputs, units)
    for point in filling.advance():
        if point.items >= items:
            share = (items - before.items) / (point.items - before.items)
            return float(before.recall + share * (point.recall - before.recall))
        before = point
    return before.recall


@lru_cache(maxsize=256)  # up to a second
def capacity(
    active: int,
    inputs: int,
    units: int,
    recall: float = 0.9,
    selection: Selection | None = None,
    modules: int | None = None,
) -> int:
    """Return the maximum number of items of `active` active inputs at which `expected_recall` is at least `recall`."""
    require(0 < recall < 1, "capacity.recall", "must be in 0..1, ends excluded", recall)
    if units == 1:
        return MAX_ITEMS
    if selection is None:
        return _last(lambda items: expected_recall(items, active, inputs, units) >= recall)
    filling = Filling(active=active, inputs=inputs, units=units, selection=selection, modules=modules)
    before = filling.point
    # The bound is met before familiarity matters: the codes are independent.
    if before.recall < recall:
        return capacity(active, inputs, units, recall)
    for point in filling.advance():
        if point.recall < recall:
            share = (before.recall - recall) / (before.recall - point.recall)
            return int(before.items + share * (point.items - before.items))
        before = point
    return int(before.items)


class FillingPoint(NamedTuple):
    """A number of stored items, and the expected fraction of winners recalled."""

    items: float
    recall: float


class Filling:
    """The units of a module while random items are stored one after the other, in the mean.

    c_n is the share of units that have learned n items; a weight of theirs is on with chance p_n = 1 - (1 - S/N)^n, and
    their evidence for a new item is V = (m / S)^e, m binomial(S, p_n). The familiarity G of the item is the mean of the
    largest V of K units in each of Q modules, normal in the mean over items. A unit that has learned n wins it with
    chance r_n = E[mu(V) / (mu(V) + R)], where R sums mu of the K - 1 others:

        dc_n / d items = r_(n-1) c_(n-1) - r_n c_n

    mu differs by powers of ten between units, so that E[mu] / E[mu + R] would let a unit win more than one item in one.
    Up to the first point chances of all units are alike and n is binomial. Beside columns of nine kinds recall was
    within .04 where at least .8 is recalled (.009 in the mean of 17 points), and within .14 below (.052 in the mean of
    19), mostly too low. A unit that wins an item had more of its weights on than others, which is left out.

    Attributes:
        point: the first point.
    """

    def __init__(self, active: int, inputs: int, units: int, selection: Selection, modules: int | None = None) -> None:
        self._active = active
        self._inputs = inputs
        self._units = units
        self._selection = selection
        self._modules = modules
        self._table: NDArray[np.float64] = np.empty((0, active + 1))
        self._evidence = (np.arange(active + 1) / active) ** selection.exponents[0]
        items = _last(self._even)
        self._shares = self._binomial(items)
        self.point = FillingPoint(items, expected_recall(items, active, inputs, units))

    def advance(self) -> Iterator[FillingPoint]:
        """Yield the points that follow, until hardly anything is recalled."""
        items = self.point.items
        recall = self.point.recall
        shares = self._shares
        while items < MAX_ITEMS and self._remembers(recall):
            wins = self._wins(shares)
            step = STEP / self._largest(wins, shares)
            moved = np.minimum(step * wins, 1.0) * shares
            shares = np.append(shares - moved, 0.0)
            shares[1:] += moved
            if shares[-1] < 1e-15:
                shares = shares[:-1]
            items += step
            recall = self._recalled(shares)
            yield FillingPoint(items, recall)

    def _recalled(self, shares: NDArray[np.float64]) -> float:
        """Return the expected fraction of winners recalled of an item, by the class of its winner.

        A unit that learned n items won n of them, and is no rival of its own.
        """
        full = self._on(len(shares)) ** self._active
        rivals = np.maximum(self._units * float(shares @ full) - full, 0.0)
        won = np.arange(len(shares)) * shares
        each = [_recall(chance, self._units) for chance in np.minimum(rivals / (self._units - 1), 1.0)]
        return float(won @ each / won.sum())

    def _remembers(self, recall: float) -> bool:
        return recall >= FORGOTTEN + 1 / self._units

    def _even(self, items: int) -> bool:
        """Return whether all units win with nearly the same chance after `items` items, and these are recalled."""
        if not self._remembers(expected_recall(items, self._active, self._inputs, self._units)):
            return False
        shares = self._binomial(items)
        return self._largest(self._wins(shares), shares) * self._units <= EVEN

    def _largest(self, wins: NDArray[np.float64], shares: NDArray[np.float64]) -> float:
        """Return the largest chance to win, without the fullest classes that together hold a hundredth of a unit."""
        fuller = np.cumsum(shares[::-1])[::-1]
        return float(wins[fuller > 0.01 / self._units].max())

    def _binomial(self, items: int) -> NDArray[np.float64]:
        from scipy.stats import binom

        learned = binom(items, 1 / self._units)
        return np.asarray(learned.pmf(np.arange(learned.ppf(1 - 1e-15) + 2)))

    def _on(self, classes: int) -> NDArray[np.float64]:
        """Return [classes] the chance p_n that a weight is on."""
        n = np.arange(classes)
        if self._active == self._inputs:
            return (n > 0).astype(float)
        return np.asarray(-np.expm1(n * np.log1p(-self._active / self._inputs)))

    def _matches(self, classes: int) -> NDArray[np.float64]:
        """Return [>= classes, S + 1] chances of the numbers of inputs of an item whose weight is on."""
        from scipy.stats import binom

        if len(self._table) < classes:
            self._table = binom(self._active, self._on(2 * classes)[:, None]).pmf(np.arange(self._active + 1))
        return self._table

    def _wins(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return [classes] the chance r_n that a unit of each class wins the next item."""
        matches = self._matches(len(shares))[: len(shares)]
        largest = np.diff(np.minimum(np.cumsum(shares @ matches), 1.0) ** self._units, prepend=0.0)
        mean = float(self._evidence @ largest)
        if self._modules is None:
            wins = self._wins_at(mean, shares, matches)
        else:
            variance = max(float(self._evidence**2 @ largest) - mean**2, 0.0)
            deviation = np.sqrt(variance / self._modules)
            parts = [w * self._wins_at(mean + x * deviation, shares, matches) for x, w in zip(*POINTS, strict=True)]
            wins = np.sum(parts, axis=0)
        return np.asarray(wins / (self._units * float(shares @ wins)))

    def _wins_at(
        self, familiarity: float, shares: NDArray[np.float64], matches: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return [classes] the chance E[mu / (mu + R)] that a unit of each class wins an item of this familiarity.

        E[1 / (mu + R)] is the integral over t of exp(-mu t) E[exp(-mu' t)]^(K - 1), mu' of one other unit.

        Args:
            familiarity: cut to 0..1.
            shares: [classes].
            matches: [classes, S + 1].
        """
        others = self._units - 1
        mu = modulation(self._evidence, min(max(familiarity, 0.0), 1.0), self._units, self._selection)
        # mu + R is at least K, and at most K of the largest mu.
        low = np.log(ENDS[0] / (self._units * mu.max()))
        t = np.exp(np.arange(low, np.log(ENDS[1] / self._units) + LOG_STEP, LOG_STEP))
        decay = np.exp(-np.outer(t, mu))
        of_class = decay @ matches.T
        # The other units of the module are all K but this one: where one is far fuller than all, it has no rival.
        of_others = np.maximum((self._units * (of_class @ shares)[:, None] - of_class) / others, 0.0)
        return np.asarray((LOG_STEP * t) @ (of_others**others * ((decay * mu) @ matches.T)))


def _last(holds: Callable[[int], bool]) -> int:
    """Return the last of the numbers from 1 on for which `holds`, which is false from some number on; at least 1."""
    # Double until it is too many, then halve the interval.
    low = 1
    high = 2
    while high < MAX_ITEMS and holds(high):
        low = high
        high = 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def _recall(chance: float, units: int) -> float:
    """Return E[1 / (1 + rivals)], each of `units` - 1 rivals with this chance."""
    if chance * units < 1e-12:
        return 1.0
    # E[1 / (1 + rivals)] = (1 - (1 - p)^K) / (K p)
    return float(-np.expm1(units * np.log1p(-min(chance, 1 - 1e-15))) / (units * chance))


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
