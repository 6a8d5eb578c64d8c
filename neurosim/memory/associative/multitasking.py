"""Multitasking: recall of several diluted patterns at once, its states with and without temperature, and its phases.

A pattern is 0 at a unit with chance d, its dilution, and else -1 or 1. Formulas are of few patterns in many units.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from ...base.errors import require
from .common import Array

# Patterns of which all 3^K combinations at a unit are summed.
MAX_PATTERNS = 8
# Combinations of entries that patterns learned from examples may have at a unit.
MAX_COMBINATIONS = 200_000
# Rounds of the equation of states: near a transition its convergence is slow.
MAX_ROUNDS = 5000
# Share of the largest possible overlap below which a pattern is not recalled, or two are recalled alike.
SAME = 0.01


@dataclass(frozen=True, eq=False)
class MultitaskingState:
    """State of a network of diluted patterns.

    Attributes:
        overlaps: [K] overlap with each pattern, or with its archetype.
        free_energy: free energy a unit.
    """

    overlaps: Array
    free_energy: float


def multitasking_overlaps(patterns: int, dilution: float) -> Array:
    """Return [K] overlaps d^(k-1) (1 - d) of hierarchical retrieval, d the chance that a pattern is 0 at a unit."""
    require(patterns >= 1, "multitasking_overlaps.patterns", "must be >= 1", patterns)
    require(0 < dilution < 1, "multitasking_overlaps.dilution", "must be in 0..1, ends excluded", dilution)
    return dilution ** np.arange(patterns) * (1 - dilution)


def parallel_overlap(patterns: int, dilution: float) -> float:
    """Return the overlap of each of K patterns where all are retrieved alike: units are the signs of their sums.

    (1 - d) times the mean of sign(1 + X), X the sum of the K - 1 other patterns at a unit at which one is 1; units
    whose sum is 0 agree by chance. Valid for K << N, as `multitasking_overlaps`. It is the overlap of the state of
    these signs: for many patterns the network does not stay there (`benchmarks/associative.py`, phases).
    """
    require(patterns >= 1, "parallel_overlap.patterns", "must be >= 1", patterns)
    require(0 < dilution < 1, "parallel_overlap.dilution", "must be in 0..1, ends excluded", dilution)
    half = (1 - dilution) / 2
    # Distribution of X: each further pattern is -1, 0 or 1 at the unit.
    law = np.ones(1)
    for _ in range(patterns - 1):
        law = np.convolve(law, [half, dilution, half])
    sums = np.arange(len(law)) - (patterns - 1)
    return float((1 - dilution) * (law * np.sign(1 + sums)).sum())


def max_hierarchical_dilution(patterns: int) -> float:
    """Return the dilution d up to which hierarchical retrieval of K patterns stays as it is, at T = 0.

    Each unit follows the first pattern that is not 0 there. The others cannot overrule it while its overlap exceeds the
    sum of theirs: 1 - 2 d + d^K > 0 with the overlaps of `multitasking_overlaps` (Agliari et al. 2012). That is so at
    any d < 1 for one and two patterns, up to .618 for 3, .519 for 5, and .5 for many. Valid for K << N.
    """
    from scipy.optimize import brentq

    require(patterns >= 1, "max_hierarchical_dilution.patterns", "must be >= 1", patterns)
    if patterns <= 2:
        return 1.0
    # Without the root at d = 1: 1 - 2 d + d^K = (1 - d) (1 - d - d^2 - .. - d^(K - 1)).
    powers = np.arange(1, patterns)
    return float(brentq(lambda d: 1 - (d**powers).sum(), 0.5 - 1e-9, 1.0))


def combinations(patterns: int, dilution: float) -> tuple[Array, Array]:
    """Return all [3^K, K] entries that K patterns can have at a unit, and [3^K] the chance of each."""
    entries = np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=patterns)))
    return entries, np.where(entries == 0, dilution, (1 - dilution) / 2).prod(axis=1)


def learned_combinations(patterns: int, dilution: float, quality: float, examples: int) -> tuple[Array, Array, Array]:
    """Return the entries that K patterns learned from examples can have at a unit.

    Where its archetype is not 0, the mean of M examples is w = 2k / M - 1, k of them 1, and the memory holds w / s with
    s^2 the mean square of w.

    Returns:
        entries [(M + 2)^K, K] of the memory, the means [(M + 2)^K, K] of the archetypes given them, and the chance
        [(M + 2)^K] of each.
    """
    from scipy.stats import binom

    agree = np.arange(examples + 1)
    means = 2 * agree / examples - 1
    # Chance of each mean where the archetype is 1; where it is -1 they are mirrored.
    of_plus = binom.pmf(agree, examples, (1 + quality) / 2)
    of_minus = of_plus[::-1]
    chance = np.append((1 - dilution) / 2 * (of_plus + of_minus), dilution)
    archetype = np.append((of_plus - of_minus) / (of_plus + of_minus), 0.0)
    spread = np.sqrt(quality**2 + (1 - quality**2) / examples)
    entry = np.append(means / spread, 0.0)
    places = np.array(list(itertools.product(range(len(entry)), repeat=patterns)))
    return entry[places], archetype[places], chance[places].prod(axis=1)


def multitasking_state(
    dilution: float, temperature: float, start: object, quality: float = 1.0, examples: int = 1
) -> MultitaskingState:
    """Return the state that a large network reaches from overlaps `start` [K], by the equation of its mean.

    m = E xi tanh(m . xi / T) over all patterns xi of K entries at a unit, each step half of the way; at T = 0 the sign
    in place of tanh. The free energy is m . m / 2 - T E log 2 cosh(m . xi / T) (Agliari et al. 2012; Amit, Gutfreund &
    Sompolinsky 1985 without dilution).

    Patterns that `Hopfield.supervised` learned from examples have entries v of `learned_combinations`: n = E v tanh(n .
    v / T), and the overlaps with archetypes are E xi tanh(n . v / T) (Agliari et al. 2023, arXiv 2308.04106).

    Args:
        start: overlaps with the patterns that the memory holds.
        quality, examples: as in `Hopfield.supervised`.

    Raises:
        NeurosimInputError: more than 8 patterns, or more than 200,000 combinations of entries; a dilution or a quality
            outside 0..1; a temperature below 0.
    """
    overlaps = np.array(start, np.float64)
    few = overlaps.ndim == 1 and 1 <= overlaps.size <= MAX_PATTERNS
    require(few, "multitasking_state.start", f"must hold 1 to {MAX_PATTERNS} overlaps", overlaps.shape)
    require(0 <= dilution < 1, "multitasking_state.dilution", "must be in 0..1, 1 excluded", dilution)
    require(temperature >= 0, "multitasking_state.temperature", "must be >= 0", temperature)
    require(0 < quality <= 1, "multitasking_state.quality", "must be in 0..1, 0 excluded", quality)
    few = examples >= 1 and (examples + 2) ** overlaps.size <= MAX_COMBINATIONS
    rule = f"must be >= 1, with (examples + 2)^{overlaps.size} <= {MAX_COMBINATIONS:,}"
    require(few, "multitasking_state.examples", rule, examples)
    if quality == 1:
        entries, chance = combinations(overlaps.size, dilution)
        archetypes = entries
    else:
        entries, archetypes, chance = learned_combinations(overlaps.size, dilution, quality, examples)
    for _ in range(MAX_ROUNDS):
        field = entries @ overlaps
        if temperature > 0:
            unit = np.tanh(field / temperature)
        else:
            unit = np.sign(field)
        after = (overlaps + (chance * unit) @ entries) / 2
        moved = float(np.abs(after - overlaps).max())
        overlaps = after
        if moved < 1e-12:
            break
    field = entries @ overlaps
    if temperature > 0:
        # T log 2 cosh(h / T), without overflow.
        gain = temperature * np.logaddexp(field / temperature, -field / temperature)
    else:
        gain = np.abs(field)
    free_energy = float(overlaps @ overlaps / 2 - chance @ gain)
    # Of whole patterns, both overlaps are the same.
    return MultitaskingState(overlaps if quality == 1 else (chance * unit) @ archetypes, free_energy)


def multitasking_phase(patterns: int, dilution: float, temperature: float) -> str:
    """Return the name of the state of least free energy among those reached from the starts of all phases.

    "none": no pattern is recalled; "pure": one; "hierarchy": all, each less than the one before; "parallel": all alike;
    "mixed": several, of which some alike or none.

    Raises:
        NeurosimInputError: as `multitasking_state`.
    """
    require(1 <= patterns <= MAX_PATTERNS, "multitasking_phase.patterns", f"must be 1 to {MAX_PATTERNS}", patterns)
    largest = 1 - dilution
    hierarchy = multitasking_overlaps(patterns, max(dilution, 1e-3))
    # The first n patterns alike, for every n, and some of the others a little.
    alike = [np.where(np.arange(patterns) < n, 0.6, 0.2) * largest for n in range(1, patterns + 1)]
    starts = [hierarchy, np.eye(patterns)[0] * largest, *alike]
    states = [multitasking_state(dilution, temperature, start) for start in starts]
    best = min(states, key=lambda state: state.free_energy)
    return _name_of(np.sort(np.abs(best.overlaps))[::-1] / largest)


def _name_of(overlaps: Array) -> str:
    """Return the name of the phase of overlaps in descending order, as shares of the largest possible one."""
    recalled = overlaps[overlaps > SAME]
    falling = -np.diff(recalled) > SAME
    if recalled.size == 0:
        return "none"
    if recalled.size == 1:
        return "pure"
    if recalled.size == overlaps.size and falling.all():
        return "hierarchy"
    if recalled.size == overlaps.size and not falling.any():
        return "parallel"
    return "mixed"
