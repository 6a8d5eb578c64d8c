"""Dense Hebbian memories: interactions of order P, from patterns or from noisy examples with and without labels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ...base.errors import require
from ...base.measure.activity import count
from ...base.measure.work import LayerCounts
from ...data.files.state import Saved
from .common import (
    Array,
    Recall,
    Recalls,
    check_cue,
    check_cues,
    check_matrix,
    check_patterns,
    odd_factorial,
    tail,
    warn_full,
)

SMALLEST = float(np.finfo(np.float64).tiny)
# Largest order; a power takes as many products as its order.
MAX_ORDER = 1000
# Number of examples above which their mean is normal to working precision.
MANY = 10_000


@dataclass(frozen=True, eq=False)
class DenseHebbian(Saved):
    """Memory with interactions of order P (Krotov & Hopfield 2016; Agliari et al. 2022-23).

    s_i = sign of sum over mu of F(xi_i + rest) - F(-xi_i + rest), with F(x) = x^P and rest the overlap of the
    other units with pattern mu. P = 2 is the Hopfield network; P > 2 stores of the order of N^(P-1) patterns.

    Attributes:
        vectors: [K, N] patterns, examples, or means of examples, with which overlaps are computed.
        order: P in 2..1000.

    Raises:
        NeurosimInputError: vectors of another shape, an order out of range.
    """

    vectors: Array
    order: int

    def __post_init__(self) -> None:
        require(2 <= self.order <= MAX_ORDER, "DenseHebbian.order", f"must be >= 2 and <= {MAX_ORDER}", self.order)
        check_matrix("DenseHebbian.vectors", self.vectors, "[K, N]", "DenseHebbian.store")

    @classmethod
    def store(cls, patterns: object, order: int) -> DenseHebbian:
        """Store patterns [K, N] of -1 and 1; warn with a `CapacityWarning` if K is above `dense_capacity`."""
        memory = cls(check_patterns(patterns, (-1, 1)), order)
        _warn_if_full(memory, "patterns")
        return memory

    @classmethod
    def supervised(cls, examples: object, labels: object, order: int) -> DenseHebbian:
        """Store noisy examples [M, N] with labels [M]: one vector for each label, the mean of its examples."""
        eta = check_patterns(examples, (-1, 1))
        label = np.asarray(labels)
        require(label.shape == (len(eta),), "DenseHebbian.supervised", f"needs {len(eta)} labels", label.shape)
        memory = cls(np.stack([eta[label == k].mean(axis=0) for k in np.unique(label)]), order)
        _warn_if_full(memory, "labels")
        return memory

    @classmethod
    def unsupervised(cls, examples: object, order: int) -> DenseHebbian:
        """Store noisy examples [M, N] without labels: one vector for each example."""
        return cls(check_patterns(examples, (-1, 1)), order)

    def recall(self, cue: object, sweeps: int = 20, temperature: float = 0.0, seed: int = 0) -> Recall:
        """Update all units together until none changes, at most `sweeps` times; a zero field changes no unit.

        At a temperature T > 0 every unit becomes 1 with chance 1 / (1 + exp(-2 h / T)) (Glauber 1963), in all sweeps,
        where 2 h is the energy of `field` in units in which h = P m^(P - 1) / 2 for a pattern of overlap m (means of
        examples count as if of entries 1 and -1). The state is then the mean over the second half of the sweeps.

        Raises:
            NeurosimInputError: a cue of another size or with other entries; no sweeps; a temperature below 0.
        """
        return self.recall_many(check_cue(cue, self.vectors.shape[1])[None], sweeps, temperature, seed).one()

    def recall_many(self, cues: object, sweeps: int = 20, temperature: float = 0.0, seed: int = 0) -> Recalls:
        """Update from each of the cues [n, N], one after the other, as `recall` with the same seed does from one.

        Raises:
            NeurosimInputError: as `recall`; no cue.
        """
        require(0 <= temperature < math.inf, "recall.temperature", "must be >= 0", temperature)
        if temperature > 0:
            require(sweeps >= 1, "recall.sweeps", "must be >= 1", sweeps)
            states = [self._heated(cue, sweeps, temperature, seed) for cue in check_cues(cues, self.vectors.shape[1])]
            done = np.full(len(states), sweeps)
            return Recalls(np.stack(states), done, done * self.vectors.size)
        courses = self._courses(cues, sweeps)
        done = np.array([len(course) - 1 for course in courses])
        return Recalls(np.stack([course[-1] for course in courses]), done, done * self.vectors.size)

    def work(self, cues: object, sweeps: int = 20) -> list[LayerCounts]:
        """Return the work of `recall` from each of the cues [n, N]: of the overlaps, and of the fields of all units.

        A step is a sweep. A vector adds a term to the field of every unit at which it is not 0: one operation, whatever
        the order.

        Raises:
            NeurosimInputError: as `recall`; no cue.
        """
        # [sweeps of all cues, 1, units], before and after each sweep: a sample of one step each.
        courses = [np.stack(course) for course in self._courses(cues, sweeps)]
        before = np.concatenate([course[:-1] for course in courses])[:, None]
        after = np.concatenate([course[1:] for course in courses])[:, None]
        overlaps = before @ self.vectors.T
        # Every vector adds to a field, even one whose overlap with all units is 0: without the unit itself it is not 0.
        terms = np.ones_like(overlaps)
        return [
            count("overlaps", self.vectors.T, before, overlaps, np.zeros((*overlaps.shape, 0)), spiking=False),
            replace(
                count("fields", self.vectors, terms, after, np.zeros((*after.shape, 0)), parameter_bytes=0),
                binary_input=False,
                state_bytes=after.shape[2] * 8,
            ),
        ]

    def _courses(self, cues: object, sweeps: int) -> list[list[Array]]:
        """Return for each of the cues [n, N] the states from it on, one after each sweep."""
        require(sweeps >= 1, "recall.sweeps", "must be >= 1", sweeps)
        return [self._states(cue, sweeps) for cue in check_cues(cues, self.vectors.shape[1])]

    def _states(self, cue: Array, sweeps: int) -> list[Array]:
        states = [cue]
        while len(states) <= sweeps:
            field = self.field(states[-1])
            states.append(np.where(field == 0, states[-1], np.sign(field)))
            if np.array_equal(states[-1], states[-2]):
                break
        return states

    def _heated(self, cue: Array, sweeps: int, temperature: float, seed: int) -> Array:
        """Return the mean state [N] over the second half of the sweeps at a temperature."""
        draws = np.random.Generator(np.random.Philox(key=seed))
        # A half of the energy -N m^P / 2 that a unit gains, for vectors of mean square 1.
        scale = cue.size / 2 / float((self.vectors**2).mean()) ** (self.order / 2)
        state = cue
        mean = np.zeros(cue.size)
        for sweep in range(sweeps):
            chance = 0.5 + 0.5 * np.tanh(scale * self.field(state) / 2 / temperature)
            state = np.where(draws.random(cue.size) < chance, 1.0, -1.0)
            if sweep >= sweeps // 2:
                mean += state
        return mean / (sweeps - sweeps // 2)

    def field(self, state: Array) -> Array:
        """Return [N], the energy that each unit gains at +1 over -1."""
        n = state.size
        # Overlap of the other units: the overlap of all units without the unit's own term.
        rest = (self.vectors @ state)[:, None] - self.vectors * state
        # Overlaps are fractions of N: N^P overflows soon, and only the sign counts.
        up = (rest + self.vectors) / n
        down = (rest - self.vectors) / n
        return (_power(up, self.order) - _power(down, self.order)).sum(axis=0)


def dense_bit_error(
    units: int, order: int, patterns: int, quality: float = 1.0, examples: int = 1, *, supervised: bool = True
) -> float:
    """Return the chance of a wrong bit after one update that starts at a stored pattern.

    For patterns, Q(1 / sqrt(v)) with v = (2P-3)!! K / N^(P-1) (Krotov & Hopfield 2016). Each bit of an example agrees
    with its archetype with chance (1 + quality) / 2, so k of M examples agree on a bit, k binomial, and the chance is
    the mean of Q((2k / M - 1) / (quality sqrt(v))), where with c = quality^2 and rho = (1 - c) / (M c)

    - supervised: v = (1 + rho)^P (2P-3)!! K / N^(P-1) (Agliari et al. 2023, who take k as normal);
    - unsupervised: v = [(2P-3)!! / M + (1 - 1/M) c E(c)] K / (c^P N^(P-1)), where E(c) is the mean of (xy)^(P-1)
      over standard normal x and y of correlation c: two examples of one archetype.

    Valid for many units, for which the sum over patterns is normal.

    Args:
        units: N.
        order: P.
        patterns: K, number of patterns or archetypes.
        quality: quality of examples, > 0 to 1; 1 is a copy of the archetype.
        examples: M, number of examples of each archetype.
        supervised: whether examples have labels.
    """
    good = units > 0 and patterns > 0 and order >= 2
    require(good, "dense_bit_error", "needs units, patterns > 0, order >= 2", (units, patterns, order))
    require(0 < quality <= 1, "dense_bit_error.quality", "must be in 0..1, 0 excluded", quality)
    require(examples >= 1, "dense_bit_error.examples", "must be >= 1", examples)
    c = quality**2
    rho = (1 - c) / (examples * c)
    odd = odd_factorial(2 * order - 3)
    try:
        # Quotients of integers, which are exact where neither of the two is a float.
        load = patterns / units ** (order - 1)
        crosstalk = odd * patterns / units ** (order - 1)
        if supervised:
            noise = (1 + rho) ** order * crosstalk
        else:
            noise = (crosstalk / examples + (1 - 1 / examples) * c * power_moment(order - 1, c) * load) / c**order
    except (OverflowError, ZeroDivisionError):
        # More than floats hold: every bit is a guess.
        noise = math.inf
    # Below the range of floats it is 0, which nothing can be divided by.
    return _over_examples(examples, quality, max(noise, SMALLEST))


def _over_examples(examples: int, quality: float, noise: float) -> float:
    """Return the mean of Q((2k / M - 1) / (quality sqrt(noise))) over k of M examples that agree on a bit."""
    if examples > MANY:
        # The binomial is near a normal: its variance adds to the variance of the noise.
        return tail(1 / math.sqrt(noise + (1 - quality**2) / (examples * quality**2)))
    from scipy.stats import binom

    k = np.arange(examples + 1)
    z = (2 * k / examples - 1) / (quality * math.sqrt(noise))
    return float(np.sum(binom.pmf(k, examples, (1 + quality) / 2) * np.array([tail(x) for x in z])))


def dense_capacity(units: int, order: int) -> float:
    """Return the capacity without errors, N^(P-1) / (2 (2P-3)!! ln N) (Krotov & Hopfield 2016, eq. 7)."""
    require(units > 1 and order >= 2, "dense_capacity", "needs units > 1, order >= 2", (units, order))
    try:
        return units ** (order - 1) / (2 * odd_factorial(2 * order - 3)) / math.log(units)
    except OverflowError:
        return math.inf


def power_moment(n: int, correlation: float) -> float:
    """Return the mean of x^n y^n over standard normal x, y of that correlation, by Hermite polynomials (Mehler)."""
    total = 0.0
    for j in range(n % 2, n + 1, 2):
        m = (n - j) // 2
        part = math.factorial(n) / (2**m * math.factorial(m) * math.factorial(j))
        total += part**2 * math.factorial(j) * correlation**j
    return total


def _power(x: Array, order: int) -> Array:
    """Return x^order by products, ten times as fast as the power of numpy."""
    result = x.copy()
    for _ in range(order - 1):
        result *= x
    return result


def _warn_if_full(memory: DenseHebbian, kind: str) -> None:
    count, units = memory.vectors.shape
    if units > 1:
        capacity = dense_capacity(units, memory.order)
    else:
        capacity = math.inf
    if count > capacity:
        wrong = dense_bit_error(units, memory.order, count)
        warn_full(
            "DenseHebbian",
            f"{count} {kind}",
            f"the {capacity:.0f} that {units} units of order {memory.order} recall without error",
            f"expected recall: {wrong:.2%} of the bits wrong after one update",
        )
