"""The Hopfield network, its dynamics with and without temperature, and its capacity."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...base.errors import require
from ...base.measure.work import LayerCounts
from ...data.files.state import Saved
from .common import Array, Recall, Recalls, check_cue, check_cues, check_matrix, check_patterns, warn_full

# alpha_c of `hopfield_capacity`, whose minimiser takes milliseconds: every storing needs it.
ALPHA_C = 0.137906


@dataclass(frozen=True, eq=False)
class Hopfield(Saved):
    """Pairwise Hebbian memory in one [N, N] matrix, for any number of patterns (Hopfield 1982).

    J = sum over patterns xi xi^T / N, with a zero diagonal; recall sets each unit in turn to the sign of its field.
    Patterns with zeros make it a multitasking memory (Agliari et al. 2012): units at which one pattern is 0 recall
    the next pattern, so several are retrieved at once.

    Attributes:
        couplings: [N, N] float64, symmetric with a zero diagonal.
        stored: number of patterns stored.

    Raises:
        NeurosimInputError: couplings of another shape, not symmetric, or with a diagonal.
    """

    couplings: Array
    stored: int = 0

    def __post_init__(self) -> None:
        j = self.couplings
        check_matrix("Hopfield.couplings", j, "[N, N]", "Hopfield.store")
        require(j.shape[0] == j.shape[1], "Hopfield.couplings", "must be [N, N]", j.shape)
        require(np.array_equal(j, j.T), "Hopfield.couplings", "must be symmetric", "a matrix that is not")
        require(not j.diagonal().any(), "Hopfield.couplings", "must have a zero diagonal", "nonzero entries")
        require(self.stored >= 0, "Hopfield.stored", "must be >= 0", self.stored)

    @classmethod
    def store(cls, patterns: object) -> Hopfield:
        """Store patterns [K, N] of -1, 0 and 1; warn with a `CapacityWarning` if K is above alpha_c N.

        Raises:
            NeurosimInputError: patterns of another shape or with other entries.
        """
        units = check_patterns(patterns, (-1, 0, 1)).shape[1]
        # Not `add`: a warning names the line of the user, four calls up.
        return cls(np.zeros((units, units)))._added(patterns)

    @classmethod
    def supervised(cls, examples: object, labels: object, quality: float) -> Hopfield:
        """Store noisy examples [M, N] of -1, 0 and 1 with labels [M]: one pattern for each label, their mean.

        An example is 0 where its archetype is, and agrees elsewhere with chance (1 + quality) / 2. J = sum over labels
        of w w^T / (N r^2 (1 + rho)), w the mean of n examples of quality r, rho = (1 - r^2) / (n r^2), so that fields
        are as large as those of archetypes (Agliari et al. 2023, arXiv 2308.04106).

        Raises:
            NeurosimInputError: as `store`; labels of another number; a quality outside 0..1.
        """
        eta = check_patterns(examples, (-1, 0, 1))
        label = np.asarray(labels)
        require(label.shape == (len(eta),), "Hopfield.supervised", f"needs {len(eta)} labels", label.shape)
        require(0 < quality <= 1, "Hopfield.supervised.quality", "must be in 0..1, 0 excluded", quality)
        names, counts = np.unique(label, return_counts=True)
        means = np.stack([eta[label == name].mean(axis=0) for name in names])
        # r^2 (1 + rho), the mean square of w where the archetype is not 0.
        power = quality**2 + (1 - quality**2) / counts
        return cls._learned((means / power[:, None]).T @ means, len(names))

    @classmethod
    def unsupervised(cls, examples: object, archetypes: int, quality: float) -> Hopfield:
        """Store noisy examples [M, N] without labels, as many of each archetype: J = K sum of eta eta^T / (M N r^2).

        Args:
            examples: as in `supervised`.
            archetypes: K, the number of archetypes.
            quality: r.

        Raises:
            NeurosimInputError: as `store`; no archetype; a quality outside 0..1.
        """
        eta = check_patterns(examples, (-1, 0, 1))
        require(archetypes >= 1, "Hopfield.unsupervised.archetypes", "must be >= 1", archetypes)
        require(0 < quality <= 1, "Hopfield.unsupervised.quality", "must be in 0..1, 0 excluded", quality)
        return cls._learned(eta.T @ eta * (archetypes / len(eta) / quality**2), archetypes)

    @classmethod
    def _learned(cls, products: Array, stored: int) -> Hopfield:
        """Return the memory of sums of products [N, N]."""
        # Sums of fractions are symmetric but for rounding.
        couplings = (products + products.T) / (2 * len(products))
        np.fill_diagonal(couplings, 0.0)
        if stored > ALPHA_C * len(products):
            warn_full("Hopfield", f"{stored} archetypes", *_limit(len(products)))
        return cls(couplings, stored)

    def add(self, patterns: object) -> Hopfield:
        """Return this memory with more patterns [K, N], as `store`."""
        return self._added(patterns)

    def _added(self, patterns: object) -> Hopfield:
        xi = check_patterns(patterns, (-1, 0, 1))
        units = len(self.couplings)
        require(xi.shape[1] == units, "Hopfield.add", f"needs patterns of {units} units", xi.shape[1])
        # A sum of products of integers is exactly symmetric, in any order.
        couplings = self.couplings + xi.T @ xi / units
        np.fill_diagonal(couplings, 0.0)
        stored = self.stored + len(xi)
        if stored > ALPHA_C * units:
            warn_full("Hopfield", f"{stored} patterns", *_limit(units))
        return Hopfield(couplings, stored)

    def recall(self, cue: object, seed: int = 0, sweeps: int = 100, temperature: float = 0.0) -> Recall:
        """Relax from `cue` [N] of -1 and 1; each sweep updates the units one by one, in an order drawn anew.

        At a temperature T > 0 a unit of field h becomes 1 with chance 1 / (1 + exp(-2 h / T)) (Glauber 1963), in all
        sweeps. The state of the recall is then the mean over the second half of them, its overlaps are mean overlaps.

        Raises:
            NeurosimInputError: a cue of another size or with other entries; no sweeps; a temperature below 0.
        """
        return self.recall_many(check_cue(cue, len(self.couplings))[None], seed, sweeps, temperature).one()

    def recall_many(self, cues: object, seed: int = 0, sweeps: int = 100, temperature: float = 0.0) -> Recalls:
        """Relax from each of the cues [n, N], as `recall` with the same seed does from one.

        Orders of the units, random numbers and sums of couplings are computed once for all cues.

        Raises:
            NeurosimInputError: as `recall`; no cue.
        """
        require(0 <= temperature < math.inf, "recall.temperature", "must be >= 0", temperature)
        return self._relaxed(cues, seed, sweeps, None, temperature)

    def work(self, cues: object, seed: int = 0, sweeps: int = 100) -> list[LayerCounts]:
        """Return the work of `recall` from each of the cues [n, N]; a step is a sweep.

        A cue adds every coupling once, into the fields of all units; a unit that flips adds its row of couplings.

        Raises:
            NeurosimInputError: as `recall`; no cue.
        """
        # Couplings that a flip of each unit adds.
        fan_out = np.count_nonzero(self.couplings, axis=1)
        units = len(self.couplings)
        flipped = np.zeros(units, np.int64)
        recalls = self._relaxed(cues, seed, sweeps, flipped)
        done = int(recalls.sweeps.sum())
        added = int(flipped @ fan_out)
        first = len(recalls.states)
        return [
            LayerCounts(
                name="Hopfield",
                inputs=units,
                outputs=units,
                weights=units * units,
                nonzero_weights=int(fan_out.sum()),
                weight_bits=64,
                steps=done,
                input_events=first * units + int(flipped.sum()),
                output_events=int(flipped.sum()),
                output_entries=done * units,
                synaptic_operations=first * int(fan_out.sum()) + added,
                binary_input=True,
                dense_operations=done * units * units,
                membrane_updates=first * units + added,
                dense_membrane_updates=done * units,
                state_bytes=units * 16,  # a state and a field
                parameter_bytes=self.couplings.nbytes,
                spiking=True,
                state_bits=64,
            )
        ]

    def _relaxed(
        self, cues: object, seed: int, sweeps: int, flipped: Array | None, temperature: float = 0.0
    ) -> Recalls:
        """Return the recalls from cues [n, N]; add the flips of each unit to `flipped`, at temperature 0."""
        from ...kernels.memory.hopfield.launch import heat, relax

        units = len(self.couplings)
        states = check_cues(cues, units)
        require(sweeps >= 1, "recall.sweeps", "must be >= 1", sweeps)
        draws = np.random.Generator(np.random.Philox(key=seed))
        # An order of the units for each sweep.
        orders = np.stack([draws.permutation(units) for _ in range(sweeps)])
        if temperature > 0:
            chances = np.stack([draws.random(units) for _ in range(sweeps)])
            ends, flips = heat(self.couplings, states, orders, chances, temperature)
            return Recalls(ends, np.full(len(states), sweeps), flips * units)
        ends, flips, done = relax(self.couplings, states, orders, flipped)
        # A flip adds a row of couplings to the fields of all units.
        return Recalls(ends, done, flips * units)

    def energy(self, state: object) -> float:
        """Return -s J s / 2 of a state [N], which recall never raises."""
        s = check_cue(state, len(self.couplings))
        return float(-0.5 * s @ self.couplings @ s)


def _limit(units: int) -> tuple[str, str]:
    """Return the words of a warning beyond the capacity: how much that is, and what to expect."""
    return (
        f"the {ALPHA_C * units:.0f} that {units} units recall (alpha_c = {ALPHA_C:.4f})",
        "expected recall: an overlap of 0 in a large network, where no pattern is a stable state",
    )


def hopfield_capacity() -> tuple[float, float]:
    """Return (alpha_c, m): the maximum K/N that a large Hopfield network recalls at T = 0, and the overlap there.

    Amit, Gutfreund & Sompolinsky 1985: with m = erf(y), sqrt(2 alpha) = erf(y)/y - 2 exp(-y^2)/sqrt(pi).
    """
    from scipy.optimize import minimize_scalar

    # alpha is largest where the right-hand side is.
    best = minimize_scalar(lambda y: -_root_load(y), bounds=(0.5, 5.0), method="bounded", options={"xatol": 1e-10})
    return _root_load(best.x) ** 2 / 2, math.erf(best.x)


def hopfield_overlap(alpha: float) -> float:
    """Return the overlap m with a recalled pattern at load alpha = K/N (T = 0, many units); 0 above capacity."""
    from scipy.optimize import brentq
    from scipy.special import erfinv

    critical, m = hopfield_capacity()
    require(alpha > 0, "hopfield_overlap.alpha", "must be > 0", alpha)
    if alpha > critical:
        return 0.0
    # The retrieval branch is right of the maximum, where the load falls as y grows.
    return math.erf(brentq(lambda y: _root_load(y) - math.sqrt(2 * alpha), float(erfinv(m)), 40.0))


def _root_load(y: float) -> float:
    return math.erf(y) / y - 2 / math.sqrt(math.pi) * math.exp(-y * y)
