"""The Hopfield network, its capacity, and multitasking: several diluted patterns recalled at once."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np

from .. import files
from ..errors import require
from .common import Array, Recall, cue_of, patterns_of, warn_full

VERSION = 1
# alpha_c, as `hopfield_capacity` computes it: storing asks for it every time, and the minimiser takes milliseconds.
ALPHA_C = 0.137906


@dataclass(frozen=True, eq=False)
class Hopfield:
    """Pairwise Hebbian memory in one [N, N] matrix, whatever it stores (Hopfield 1982).

    J = sum over patterns xi xi^T / N, without a diagonal; recall sets each unit in turn to the sign of its field.
    Patterns with zeros make it a multitasking memory (Agliari et al. 2012): the units that one pattern leaves free
    recall the next, and several patterns are retrieved at once.

    Attributes:
        couplings: [N, N] float64, symmetric with a zero diagonal.
        stored: patterns in it.

    Raises:
        NeurosimInputError: couplings of another shape, not symmetric, or with a diagonal.
    """

    couplings: Array
    stored: int = 0

    def __post_init__(self) -> None:
        j = self.couplings
        require(j.ndim == 2 and j.shape[0] == j.shape[1], "Hopfield.couplings", "must be [N, N]", j.shape)
        require(np.array_equal(j, j.T), "Hopfield.couplings", "must be symmetric", "another matrix")
        require(not j.diagonal().any(), "Hopfield.couplings", "must have a zero diagonal", "another")
        require(self.stored >= 0, "Hopfield.stored", "must be >= 0", self.stored)

    @classmethod
    def store(cls, patterns: object) -> Hopfield:
        """From patterns [K, N] of -1, 0 and 1. K above alpha_c N is a `CapacityWarning`.

        Raises:
            NeurosimInputError: patterns of another shape or with other entries.
        """
        return cls._empty(patterns_of(patterns, (-1, 0, 1)).shape[1])._added(patterns)

    def add(self, patterns: object) -> Hopfield:
        """This memory with more patterns [K, N] in it; as `store`."""
        return self._added(patterns)

    @classmethod
    def _empty(cls, units: int) -> Hopfield:
        return cls(np.zeros((units, units)))

    def _added(self, patterns: object) -> Hopfield:
        xi, units = patterns_of(patterns, (-1, 0, 1)), len(self.couplings)
        require(xi.shape[1] == units, "Hopfield.add", f"needs patterns of {units} units", xi.shape[1])
        # An outer product of integers: exactly symmetric in whichever order it is summed.
        couplings = self.couplings + xi.T @ xi / units
        np.fill_diagonal(couplings, 0.0)
        stored = self.stored + len(xi)
        if stored > ALPHA_C * units:
            warn_full(
                "Hopfield",
                f"{stored} patterns",
                f"the {ALPHA_C * units:.0f} that {units} units recall (alpha_c = {ALPHA_C:.4f})",
                "expected recall: an overlap of 0 in a large network, where no pattern is a stable state any more",
            )
        return Hopfield(couplings, stored)

    def recall(self, cue: object, seed: int = 0, sweeps: int = 100) -> Recall:
        """Settle from `cue` [N] of -1 and 1, units taking turns in an order drawn for each sweep.

        Raises:
            NeurosimInputError: a cue of another size or with other entries; no sweeps.
        """
        from ..kernels.memory.relax import settle

        state = cue_of(cue, len(self.couplings))
        require(sweeps >= 1, "recall.sweeps", "must be >= 1", sweeps)
        draws = np.random.Generator(np.random.Philox(key=seed))
        orders = np.stack([draws.permutation(state.size) for _ in range(sweeps)])
        end, flips, done = settle(self.couplings, state, orders)
        return Recall(end, done, flips * state.size)

    def energy(self, state: object) -> float:
        """-s J s / 2 of a state [N]: recall never raises it."""
        s = cue_of(state, len(self.couplings))
        return float(-0.5 * s @ self.couplings @ s)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a safetensors file, atomically."""
        files.write_dataclass(path, self, VERSION)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Hopfield:
        """Read what `save` wrote.

        Raises:
            NeurosimMissingError, NeurosimFormatError: as `files.read_dataclass`.
        """
        return files.read_dataclass(path, Hopfield, VERSION)


def hopfield_capacity() -> tuple[float, float]:
    """(alpha_c, m): the largest K/N a Hopfield network of many units recalls at T = 0, and the overlap there.

    Amit, Gutfreund & Sompolinsky 1985: with m = erf(y), sqrt(2 alpha) = erf(y)/y - 2 exp(-y^2)/sqrt(pi).
    """
    from scipy.optimize import minimize_scalar

    best = minimize_scalar(lambda y: -_root_load(y), bounds=(0.5, 5.0), method="bounded", options={"xatol": 1e-10})
    return _root_load(best.x) ** 2 / 2, math.erf(best.x)


def hopfield_overlap(alpha: float) -> float:
    """The overlap m with a recalled pattern at load alpha = K/N (T = 0, many units); 0 above capacity."""
    from scipy.optimize import brentq
    from scipy.special import erfinv

    critical, m = hopfield_capacity()
    require(alpha > 0, "hopfield_overlap.alpha", "must be > 0", alpha)
    if alpha > critical:
        return 0.0
    # The retrieval branch lies right of the maximum, where the load falls as y grows.
    return math.erf(brentq(lambda y: _root_load(y) - math.sqrt(2 * alpha), float(erfinv(m)), 40.0))


def multitasking_overlaps(patterns: int, dilution: float) -> Array:
    """[K] overlaps d^(k-1) (1 - d) of hierarchical retrieval, d the chance that a pattern is silent on a unit."""
    require(patterns >= 1, "multitasking_overlaps.patterns", "must be >= 1", patterns)
    require(0 < dilution < 1, "multitasking_overlaps.dilution", "must be in 0..1, ends excluded", dilution)
    return dilution ** np.arange(patterns) * (1 - dilution)


def _root_load(y: float) -> float:
    return math.erf(y) / y - 2 / math.sqrt(math.pi) * math.exp(-y * y)
