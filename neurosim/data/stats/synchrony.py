"""Synchrony of spike trains: coincidences of pairs, and contrast of a population."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ..spikes import Spikes, check_spikes
from .intervals import isi

# Bins of `spike_contrast` overlap by half, and shrink by this factor from half the recording on.
SHRINK = 0.9


def spike_time_tiling_coefficient(spikes: Spikes, i: int, j: int, dt: float = 5e-3) -> float:
    """Return the spike time tiling coefficient of units `i` and `j`: 1 for equal trains, 0 for what chance gives.

        ((P_i - T_j) / (1 - P_i T_j) + (P_j - T_i) / (1 - P_j T_i)) / 2

    where P_i is the share of i's spikes within `dt` s of one of j, and T_j the share of the recording within `dt` of a
    spike of j. A term of 0 / 0 is 1; NaN if a unit is silent. Source: Cutts & Eglen 2014.

    Raises:
        NeurosimInputError: a unit that is not there, or `dt` <= 0 s.
    """
    check_spikes(spikes, "stats.spikes")
    require(dt > 0, "spike_time_tiling_coefficient.dt", "must be > 0 s", dt)
    for name, unit in (("i", i), ("j", j)):
        inside = 0 <= unit < spikes.size
        require(inside, f"spike_time_tiling_coefficient.{name}", f"must be a unit below {spikes.size}", unit)
    a = spikes.times[spikes.units == i]
    b = spikes.times[spikes.units == j]
    if not (len(a) and len(b)):
        return float("nan")
    shares = _near(a, b, dt), _near(b, a, dt)
    tiles = _tiled(b, dt, spikes.duration), _tiled(a, dt, spikes.duration)
    terms = [1.0 if p * t == 1.0 else (p - t) / (1 - p * t) for p, t in zip(shares, tiles, strict=True)]
    return float(np.mean(terms))


def _near(times: NDArray[np.float64], others: NDArray[np.float64], dt: float) -> float:
    """Return the share of `times` within `dt` of one of `others`; times on a grid count at the very edge."""
    slack = dt + 1e-5 * np.abs(times)  # as wide as Elephant's test of nearness, numpy.isclose
    after = np.searchsorted(others, times)
    before = np.abs(times - others[np.maximum(after - 1, 0)])
    return float(np.mean(np.minimum(before, np.abs(times - others[np.minimum(after, len(others) - 1)])) <= slack))


def _tiled(times: NDArray[np.float64], dt: float, duration: float) -> float:
    """Return the share of the recording within `dt` of a spike."""
    gaps = np.minimum(np.diff(times), 2 * dt).sum()
    return float((gaps + min(times[0], dt) + min(duration - times[-1], dt)) / duration)


def spike_contrast(spikes: Spikes, min_bin: float = 0.01) -> float:
    """Return the synchrony of all units by Spike-contrast, from 0 to 1: Ciba et al. 2018.

    For bins from half the recording down to `min_bin` s or half the shortest interval, each the product of the
    contrast of the histogram of all spikes and the share of units that are active where spikes are; the largest counts.

    Raises:
        NeurosimInputError: fewer than two units, no unit with two spikes, or bins that are not > 0 s.
    """
    check_spikes(spikes, "stats.spikes")
    require(spikes.size > 1, "spike_contrast.spikes", "must be of at least two units", spikes.size)
    require(min_bin > 0, "spike_contrast.min_bin", "must be > 0 s", min_bin)
    shortest = min((float(each.min()) for each in isi(spikes) if len(each)), default=np.inf)
    require(np.isfinite(shortest), "spike_contrast.spikes", "must hold a unit with two spikes", len(spikes))
    size = spikes.duration / 2
    best = 0.0
    while size >= max(shortest / 2, min_bin):
        best = max(best, _contrast(spikes, size, shortest))
        size *= SHRINK
    return best


def _contrast(spikes: Spikes, size: float, margin: float) -> float:
    edges = np.arange(-margin, spikes.duration + margin + size / 2, size / 2)
    # As numpy.histogram: the last bin holds its right edge.
    cells = np.minimum(np.searchsorted(edges, spikes.times, side="right") - 1, len(edges) - 2)
    halves = np.bincount(spikes.units * np.int64(len(edges) - 1) + cells, minlength=spikes.size * (len(edges) - 1))
    halves = halves.reshape(spikes.size, -1)
    counts = halves[:, :-1] + halves[:, 1:]
    total = counts.sum(axis=0)
    active = np.count_nonzero(counts, axis=0)
    share = ((active * total).sum() / total.sum() - 1) / (spikes.size - 1)
    return float(np.abs(np.diff(total)).sum() / (2 * len(spikes)) * share)
