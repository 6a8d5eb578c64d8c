"""Neurons with many segments of few synapses, and their error rates (Hawkins & Ahmad 2016; Ahmad & Hawkins 2016, arXiv
1601.00720)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from ..sdr.code import SDR
from ..sdr.probability import false_negative, false_positive, union_false_positive
from .inputs import active_bits, integer


@dataclass(frozen=True, eq=False)
class SegmentUnits:
    """Neurons, each with many segments; a segment is a few synapses onto a space of `size` cells.

    A segment is active when at least `threshold` of its synapses are on active cells; a neuron recognises when one
    of its segments is active.

    Attributes:
        synapses: [neurons, segments, s] int32, source cells of each segment, padded with -1.
        size: number of cells of the space.
        threshold: theta, number of active synapses with which a segment is active.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    synapses: NDArray[Any]
    size: int
    threshold: int

    def __post_init__(self) -> None:
        synapses = np.asarray(self.synapses)
        name = "SegmentUnits.synapses"
        require(synapses.ndim == 3 and synapses.size > 0, name, "must be [neurons, segments, synapses]", synapses.shape)
        if synapses.dtype.kind not in "iu":
            raise NeurosimInputError(f"{name}: must be integers (got {synapses.dtype})")
        integer(self.size, "SegmentUnits.size", 1, 2**31 - 1)
        integer(self.threshold, "SegmentUnits.threshold", 1, synapses.shape[2])
        require(synapses.min() >= -1, name, "must be >= 0, or -1 for none", synapses.min())
        require(synapses.max() < self.size, name, f"must be < size {self.size}", synapses.max())
        # After sorting, a repeated cell stands beside itself; -1 may repeat.
        ordered = np.sort(synapses, axis=-1)
        twice = (ordered[..., 1:] == ordered[..., :-1]) & (ordered[..., 1:] >= 0)
        require(not twice.any(), name, "must not repeat a cell", ordered[..., 1:][twice][:1].tolist())
        object.__setattr__(self, "synapses", np.ascontiguousarray(synapses, np.int32))

    @classmethod
    def store(
        cls, patterns: Sequence[Sequence[SDR]], synapses: int, threshold: int, seed: int = 0, mixed: int = 1
    ) -> SegmentUnits:
        """Return neurons that recognise `patterns`, a sequence of patterns for each neuron.

        A segment subsamples `synapses` bits of one pattern, or of each of `mixed` patterns; a bit shared by several of
        them is one synapse. The draw for a pattern depends only on the seed and its position.

        Raises:
            NeurosimInputError: no pattern, unequal numbers or sizes of patterns, fewer bits than synapses.
        """
        counts = {len(own) for own in patterns}
        require(len(counts) == 1 and 0 not in counts, "SegmentUnits.store", "needs as many patterns a neuron", counts)
        every = [pattern for own in patterns for pattern in own]
        count = counts.pop()
        size = every[0].size
        integer(mixed, "SegmentUnits.store: mixed", 1, count)
        require(count % mixed == 0, "SegmentUnits.store: mixed", f"must divide the {count} patterns of a neuron", mixed)
        segments = np.full((len(every) // mixed, mixed * synapses), -1, np.int32)
        for s, segment in enumerate(segments):
            group = range(s * mixed, (s + 1) * mixed)
            samples = [every[i].subsample(synapses, seed, index=i) for i in group]
            bits = samples[0].union(*samples[1:]).indices
            # Bits that samples share are one synapse: the places left over stay -1.
            segment[: len(bits)] = bits
        return cls(segments.reshape(len(patterns), count // mixed, mixed * synapses), size, threshold)

    def overlaps(self, cells: SDR | object) -> NDArray[np.int32]:
        """Return [neurons, segments] numbers of synapses from active cells.

        Raises:
            NeurosimInputError: an SDR of another size; indices out of range or repeated.
        """
        from ...kernels.memory.segments.launch import overlaps

        dense = np.zeros(self.size, bool)
        dense[active_bits(cells, self.size, "SegmentUnits.overlaps")] = True
        return overlaps(self.synapses, dense)

    def active_segments(self, cells: SDR | object) -> NDArray[np.bool_]:
        """Return [neurons, segments], whether each segment reaches the threshold; none does without active cells."""
        return self.overlaps(cells) >= self.threshold

    def recognise(self, cells: SDR | object) -> NDArray[np.bool_]:
        """Return [neurons], whether each neuron has an active segment."""
        return np.logical_or.reduce(self.active_segments(cells), axis=1)


@dataclass(frozen=True)
class HitCount:
    """Number of `hits` in `trials`, and the exact expected fraction of hits."""

    hits: int
    trials: int
    expected: float

    @property
    def rate(self) -> float:
        """Fraction of hits."""
        return self.hits / self.trials

    def band(self, coverage: float = 0.999) -> tuple[int, int]:
        """Return the range of hits that has at least the probability `coverage`, for the expected chance."""
        from scipy.stats import binom

        low, high = binom.interval(coverage, self.trials, self.expected)
        return int(low), int(high)

    def agrees(self, coverage: float = 0.999) -> bool:
        """Return whether the hits lie inside the band."""
        low, high = self.band(coverage)
        return low <= self.hits <= high


def measure_false_negatives(
    size: int, active: int, synapses: int, threshold: int, noise: float, trials: int = 10_000, seed: int = 0
) -> HitCount:
    """Measure how often a segment misses its own pattern when the fraction `noise` of its bits (rounded) moves.

    Every trial draws a pattern, its segment and the noise, so trials are independent. `expected` is
    `sdr.false_negative`.
    """
    from ...kernels.memory.segment_trials.cpu import noisy_misses

    require(0 <= noise <= 1, "measure_false_negatives.noise", "must be in 0..1", noise)
    # Rounded to whole bits, as `SDR.noise` moves them.
    lost = round(noise * active)
    expected = false_negative(active, synapses, threshold, lost)
    require(lost <= size - active, "measure_false_negatives.size", f"must leave {lost} bits to move to", size)
    # The cells of a pattern come in the order of drawing: the first of them are a random subsample.
    patterns = _drawn_cells(size, active, trials, seed)
    misses = noisy_misses(patterns[:, :synapses], patterns, size, lost, threshold, _key(seed, 1))
    return HitCount(int(misses), trials, expected)


def measure_false_positives(
    size: int, active: int, synapses: int, threshold: int, trials: int = 100_000, seed: int = 0
) -> HitCount:
    """Measure how often a segment matches a random pattern, both drawn anew; `expected` is `sdr.false_positive`."""
    hits, _ = _random(size, active, synapses, threshold, 1, trials, seed)
    return HitCount(hits, trials, false_positive(size, active, synapses, threshold))


def measure_union_false_positives(
    size: int, active: int, synapses: int, threshold: int, patterns: int, trials: int = 100_000, seed: int = 0
) -> tuple[HitCount, float]:
    """Measure how often a segment matches a union of `patterns` random codes; each trial draws all of them.

    Returns:
        The count, whose `expected` is exact: the mean of `sdr.false_positive` over the drawn sizes of the union; and
        `sdr.union_false_positive`, which uses the mean size and is a little lower for small chances.
    """
    hits, union = _random(size, active, synapses, threshold, patterns, trials, seed)
    # Trials whose unions have the same size have the same chance.
    sizes, counts = np.unique(union, return_counts=True)
    chances = [false_positive(size, int(on), synapses, threshold) for on in sizes]
    expected = float(np.dot(chances, counts) / trials)
    return HitCount(hits, trials, expected), union_false_positive(size, active, synapses, threshold, patterns)


def _random(
    size: int, active: int, synapses: int, threshold: int, patterns: int, trials: int, seed: int
) -> tuple[int, NDArray[np.int64]]:
    from ...kernels.memory.segment_trials.cpu import random_hits

    integer(patterns, "patterns", 1, 10**6)
    require(0 <= active <= size, "active", f"must be in 0..{size}", active)
    segments = _drawn_cells(size, synapses, trials, seed)
    hits, union = random_hits(segments, size, active, patterns, threshold, _key(seed, 1))
    return int(hits), union


def _drawn_cells(size: int, count: int, trials: int, seed: int) -> NDArray[np.int32]:
    """Draw [trials, count] cells, distinct in a row."""
    from ...kernels.memory.segment_trials.cpu import subsets

    integer(trials, "trials", 1, 10**9)
    integer(count, "synapses, active", 1, size)
    return subsets(_key(seed, 0), trials, size, count)


def _key(seed: int, stream: int) -> int:
    """Return the key of a stream of draws: segments and codes have separate streams."""
    return integer(seed, "seed", 0, 2**62) * 2 + stream
