"""The log of spikes between two runs of the loop: spikes are taken out, and old steps dropped."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...tools.compiled import compiled


class LogWindow(NamedTuple):
    """Steps that are read from the log."""

    width: int
    """Entries of a step in the log of a block."""
    log_start: int
    """The first step in the log."""
    first: int
    last: int
    """The step after the last."""


class LogEntries(NamedTuple):
    """Places of the populations in the log, int64 [populations] each."""

    entries: NDArray[np.int64]
    """The entry of a population in a step."""
    begins: NDArray[np.int64]
    """The first block that holds units of it."""
    ends: NDArray[np.int64]
    """The block after the last."""


class SpikeLists(NamedTuple):
    """Spikes taken out of the log."""

    listed: NDArray[np.bool_]
    """[populations], whether the spikes of a population are listed."""
    firsts: NDArray[np.int64]
    """[populations], the first unit of a population in `tallies`."""
    tallies: NDArray[np.int64]
    """[units of all populations], number of spikes so far."""
    steps: NDArray[np.int32]
    """[spikes of the listed populations, one population after the other]."""
    units: NDArray[np.int32]
    """[spikes of the listed populations], the unit of each."""


@compiled
def count(log_offsets, window, places, counts):
    """Set counts[p] to the spikes of each population in the steps of a window."""
    for p in range(counts.size):
        counts[p] = 0
        for b in range(places.begins[p], places.ends[p]):
            for step in range(window.first, window.last):
                at = (step - window.log_start) * window.width + places.entries[p]
                counts[p] += log_offsets[b, at + 1] - log_offsets[b, at]


@compiled
def gather(log, log_offsets, window, places, counts, lists):
    """Count the spikes of every population in the tallies of `lists`; list the spikes of the listed ones in order.

    counts: of `count`; populations without spikes are passed over.
    """
    # Population by population, and in each by step: the listed spikes of one are then one slice.
    k = 0
    for p in range(counts.size):
        if counts[p] == 0:
            continue
        for step in range(window.first, window.last):
            at = (step - window.log_start) * window.width + places.entries[p]
            for b in range(places.begins[p], places.ends[p]):
                for j in range(log_offsets[b, at], log_offsets[b, at + 1]):
                    unit = log[b, j]
                    lists.tallies[lists.firsts[p] + unit] += 1
                    if lists.listed[p]:
                        lists.steps[k] = step
                        lists.units[k] = unit
                        k += 1


@compiled
def forget(log, log_offsets, width, drop, keep):
    """Drop the first `drop` of drop + keep steps, of `width` entries each, from the log."""
    for b in range(log.shape[0]):
        # What is left moves to the front, and its offsets count from there.
        first = log_offsets[b, drop * width]
        for k in range(log_offsets[b, (drop + keep) * width] - first):
            log[b, k] = log[b, first + k]
        for k in range(keep * width + 1):
            log_offsets[b, k] = log_offsets[b, drop * width + k] - first
