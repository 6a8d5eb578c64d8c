"""Phases of dense Hebbian memories at a temperature, and the worst examples that they learn from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...base.errors import require
from .dense import dense_bit_error, power_moment

# Points of the normal distribution of the noise, and how far they reach in standard deviations.
POINTS = 1201
REACH = 6.0
# Temperature below which the points are too far apart for the step of tanh.
MIN_TEMPERATURE = 0.01
# Rounds of the equations: near a transition their convergence is slow.
MAX_ROUNDS = 3000
# Order parameters below that are 0.
ZERO = 0.01


@dataclass(frozen=True)
class DenseState:
    """State of a large dense memory.

    Attributes:
        overlap: overlap with the pattern or archetype, of which the memory began.
        order: mean square of the mean states of units: 1 where all are frozen, 0 where none is.
        phase: "recalled", "glass" (units freeze in a state of no pattern) or "none".
    """

    overlap: float
    order: float
    phase: str


def dense_state(order: int, load: float, temperature: float, quality: float = 1.0, examples: int = 1) -> DenseState:
    """Return the state that a large memory reaches from a pattern, by the equations of one replica.

    For w = (2k / M - 1) / s at a unit where k of M examples agree with the archetype, k binomial and s^2 the mean
    square of means of examples, and t = tanh(P (n^(P - 1) w + sqrt(v) z) / (2 T)), z normal:

        n = E w t,    q = E t^2,    v = K / N^(P - 1) E (x y)^(P - 1)

    where x and y are normal with correlation q. For P = 2 the noise is larger by 1 / (1 - (1 - q) / T)^2, because the
    patterns that are not recalled pull, too (Amit, Gutfreund & Sompolinsky 1985; for P > 2 Gardner 1987, with examples
    Agliari et al. 2023). The overlap is E t, where w is of an archetype of 1.

    Args:
        order: P.
        load: K / N^(P - 1).
        temperature: T of at least .01, as in `DenseHebbian.recall`.
        quality, examples: as in `dense_bit_error`, with labels.

    Raises:
        NeurosimInputError: a load below 0, a temperature below .01, or as `dense_bit_error`.
    """
    require(order >= 2, "dense_state.order", "must be >= 2", order)
    require(load >= 0, "dense_state.load", "must be >= 0", load)
    warm = temperature >= MIN_TEMPERATURE
    require(warm, "dense_state.temperature", f"must be at least {MIN_TEMPERATURE}", temperature)
    require(0 < quality <= 1, "dense_state.quality", "must be in 0..1, 0 excluded", quality)
    require(examples >= 1, "dense_state.examples", "must be >= 1", examples)
    from scipy.stats import binom

    agree = np.arange(examples + 1)
    spread = math.sqrt(quality**2 + (1 - quality**2) / examples)
    # [M + 1, 1] the stored vector at a unit of archetype 1, and the chance of it; [1, POINTS] the noise.
    vector = ((2 * agree / examples - 1) / spread)[:, None]
    normal = np.linspace(-REACH, REACH, POINTS)[None]
    chance = np.exp(-(normal**2) / 2) * binom.pmf(agree, examples, (1 + quality) / 2)[:, None]
    chance /= chance.sum()
    n = quality / spread
    q = 1.0
    overlap = 1.0
    for _ in range(MAX_ROUNDS):
        noise = math.sqrt(_noise(order, load, temperature, q))
        unit = np.tanh(order / 2 * (n ** (order - 1) * vector + noise * normal) / temperature)
        overlap = float((chance * unit).sum())
        # Half of the way: alone, the equations may alternate between two states.
        next_n = (n + float((chance * vector * unit).sum())) / 2
        next_q = (q + float((chance * unit**2).sum())) / 2
        moved = max(abs(next_n - n), abs(next_q - q))
        n = next_n
        q = next_q
        if moved < 1e-10:
            break
    if overlap > ZERO:
        phase = "recalled"
    elif q > ZERO:
        phase = "glass"
    else:
        phase = "none"
    return DenseState(overlap, q, phase)


def _noise(order: int, load: float, temperature: float, q: float) -> float:
    """Return the variance of the field of patterns that are not recalled, for a field n^(P - 1) of the one that is."""
    noise = load * power_moment(order - 1, q)
    if order == 2:
        # At q below 1 - T the pull would be infinite; the equations pass there only on their way.
        noise /= max(1 - (1 - q) / temperature, 1e-3) ** 2
    return noise


def lowest_quality(
    units: int, order: int, patterns: int, examples: int, error: float = 0.01, *, supervised: bool = True
) -> float:
    """Return the lowest quality of examples from which archetypes are learned with at most that chance of a wrong bit.

    It is the root of `dense_bit_error`; 1 where not even copies of the archetypes are good enough.

    Raises:
        NeurosimInputError: as `dense_bit_error`; an error outside 0 to .5.
    """
    require(0 < error < 0.5, "lowest_quality.error", "must be above 0 and below .5", error)

    def excess(quality: float) -> float:
        return dense_bit_error(units, order, patterns, quality, examples, supervised=supervised) - error

    low = 1e-6
    high = 1.0
    if excess(high) > 0:
        return 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        if excess(middle) > 0:
            low = middle
        else:
            high = middle
    return high
