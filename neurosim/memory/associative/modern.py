"""The modern Hopfield network: continuous states, recalled by one step of attention over the stored patterns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...base.errors import require
from ...base.measure.activity import count
from ...base.measure.work import LayerCounts
from ...data.files.state import Saved
from .common import Array, Recall, Recalls, check_matrix

# Bytes of overlaps that are computed at once.
PART_BYTES = 2**26


@dataclass(frozen=True, eq=False)
class ModernHopfield(Saved):
    """Memory of real patterns x_k whose update is attention (Ramsauer et al. 2021, ICLR).

        p = softmax(beta X s),    s <- X^T p

    `beta` decides what is recalled: one pattern if beta times the gap between the two largest overlaps is large, a mean
    of similar ones if it is small. With patterns of -1 and 1 and beta of the order of 1 it stores a number of patterns
    that grows exponentially with N, and most recalls end after one update.

    Attributes:
        patterns: [K, N] float64, one row for each; all of them are stored, K N numbers.
        beta: inverse temperature, > 0.

    Raises:
        NeurosimInputError: patterns of another shape or not finite; a beta that is not positive.
    """

    patterns: Array
    beta: float = 1.0

    def __post_init__(self) -> None:
        x = self.patterns
        check_matrix("ModernHopfield.patterns", x, "[K, N]", "ModernHopfield.store")
        require(bool(np.isfinite(x).all()), "ModernHopfield.patterns", "must be finite", "NaN or infinity")
        good = self.beta > 0 and np.isfinite(self.beta)
        require(bool(good), "ModernHopfield.beta", "must be > 0 and finite", self.beta)

    @classmethod
    def store(cls, patterns: object, beta: float = 1.0) -> ModernHopfield:
        """Store patterns [K, N].

        Raises:
            NeurosimInputError: as on construction.
        """
        return cls(np.array(patterns, np.float64), beta)

    def add(self, patterns: object) -> ModernHopfield:
        """Return this memory with more patterns [K, N]."""
        more = np.asarray(patterns, np.float64)
        units = self.patterns.shape[1]
        good = more.ndim == 2 and more.shape[1] == units
        require(good, "ModernHopfield.add", f"needs patterns [K, {units}]", more.shape)
        return ModernHopfield(np.concatenate([self.patterns, more]), self.beta)

    def recall(self, cue: object, sweeps: int = 20, tolerance: float = 1e-6) -> Recall:
        """Update the state from `cue` [N] until no entry changes by more than `tolerance`, at most `sweeps` times.

        Raises:
            NeurosimInputError: a cue of another size or not finite; no sweeps.
        """
        state = np.asarray(cue, np.float64)
        units = self.patterns.shape[1]
        require(state.shape == (units,), "recall.cue", f"must be an array [{units}]", state.shape)
        return self.recall_many(state[None], sweeps, tolerance).one()

    def recall_many(self, cues: object, sweeps: int = 20, tolerance: float = 1e-6) -> Recalls:
        """Update from each of the cues [n, N], as `recall` does from one.

        Raises:
            NeurosimInputError: as `recall`; no cue.
        """
        return self._run(cues, sweeps, tolerance, [])

    def work(self, cues: object, sweeps: int = 20, tolerance: float = 1e-6) -> list[LayerCounts]:
        """Return the work of `recall` from each of the cues [n, N]: of the overlaps, and of the sums of patterns.

        A step is a sweep. The softmax, a few operations for each of K overlaps, is not counted.

        Raises:
            NeurosimInputError: as `recall`; no cue.
        """
        starts: list[Array] = []
        self._run(cues, sweeps, tolerance, starts)
        before = np.concatenate(starts)[:, None]
        overlaps = before @ self.patterns.T
        shares = _softmax(self.beta * overlaps)
        after = shares @ self.patterns
        # The patterns are stored once, and counted with the overlaps.
        stateless = np.zeros((*after.shape, 0))
        sums = count("sums", self.patterns, shares, after, stateless, parameter_bytes=0, spiking=False)
        return [
            count("overlaps", self.patterns.T, before, overlaps, np.zeros((*overlaps.shape, 0)), spiking=False),
            replace(sums, state_bytes=after.shape[2] * 8),
        ]

    def energy(self, state: object) -> float:
        """Return -logsumexp(beta X s) / beta + s.s / 2 + log(K) / beta + max |x|^2 / 2 of a state [N].

        No update raises it, and it is at least 0 (Ramsauer et al. 2021, eq. 2).
        """
        from scipy.special import logsumexp

        s = self._cues(state)[0]
        lse = logsumexp(self.beta * (self.patterns @ s)) / self.beta
        longest = np.square(self.patterns).sum(axis=1).max()
        return float(-lse + s @ s / 2 + np.log(len(self.patterns)) / self.beta + longest / 2)

    def _cues(self, cues: object) -> Array:
        states = np.atleast_2d(np.array(cues, np.float64))
        units = self.patterns.shape[1]
        fits = states.ndim == 2 and len(states) > 0 and states.shape[1] == units
        require(fits, "recall.cues", f"must be an array [n, {units}] with n >= 1", states.shape)
        require(bool(np.isfinite(states).all()), "recall.cues", "must be finite", "NaN or infinity")
        return states

    def _run(self, cues: object, sweeps: int, tolerance: float, starts: list[Array]) -> Recalls:
        """Return the recalls from cues [n, N]; append to `starts` the states that each sweep begins with."""
        states = self._cues(cues)
        require(sweeps >= 1, "recall.sweeps", "must be >= 1", sweeps)
        require(tolerance >= 0, "recall.tolerance", "must be >= 0", tolerance)
        done = np.zeros(len(states), np.int64)
        moving = np.arange(len(states))
        for _ in range(sweeps):
            before = states[moving]
            starts.append(before)
            after = self._updated(before)
            states[moving] = after
            done[moving] += 1
            moving = moving[np.abs(after - before).max(axis=1) > tolerance]
            if not len(moving):
                break
        # A sweep multiplies every entry of a pattern twice: into an overlap, and into a sum.
        return Recalls(states, done, 2 * done * self.patterns.size)

    def _updated(self, states: Array) -> Array:
        after = np.empty_like(states)
        part = max(1, PART_BYTES // (8 * len(self.patterns)))
        for first in range(0, len(states), part):
            overlaps = states[first : first + part] @ self.patterns.T
            after[first : first + part] = _softmax(self.beta * overlaps) @ self.patterns
        return after


def _softmax(scores: Array) -> Array:
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))
