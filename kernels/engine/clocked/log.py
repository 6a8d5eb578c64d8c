"""The log of spikes between two runs of the loop: spikes are taken out, and old steps dropped."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...tools.compiled import compiled
from ...tools.intrinsics import prefetch
from .deliver import clear

# Entries of a step whose spikes are listed at a time.
TILE = 8
# Steps ahead of which their offsets are asked for.
AHEAD = 4


class LogWindow(NamedTuple):
    """Steps that are read from the log."""

    log_start: int
    """The first step in the log."""
    first: int
    last: int
    """The step after the last."""


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
def count(log_offsets, window, members, counts):
    """Set counts[p] to the spikes of each population in the steps of a window.

    Args:
        members: int64 [blocks, entries], the population of each entry of a step in the log of a block; -1 for none.
    """
    clear(counts)
    # In the order in which the offsets lie in memory: by population, ten thousand took six times as long.
    for b in range(members.shape[0]):
        for step in range(window.first, window.last):
            _count_entries(log_offsets, b, (step - window.log_start) * members.shape[1], members, counts)


@njit(inline="always")
def _count_entries(log_offsets, block, at, members, counts):
    """Count the spikes of a block in a step, whose first offset is log_offsets[block, at]."""
    for e in range(members.shape[1]):
        spikes = log_offsets[block, at + e + 1] - log_offsets[block, at + e]
        if spikes:
            counts[members[block, e]] += spikes


@compiled
def gather(log, log_offsets, window, members, places, lists):
    """Count the spikes of every population in the tallies of `lists`; list the spikes of the listed ones in order.

    Args:
        places: int64 [populations], the place of the first spike of each population in the lists; they advance.
    """
    # The spikes of a listed population are one slice, in it by step, and in a step by block. A few entries at a time:
    # offsets of a step lie together, and the places that are written to stay in the first cache.
    for low in range(0, members.shape[1], TILE):
        _gather_tile(log, log_offsets, window, members, low, places, lists)


@njit(inline="always")
def _gather_tile(log, log_offsets, window, members, low, places, lists):
    """Count and list the spikes of TILE entries of every step from entry `low` on."""
    high = min(low + TILE, members.shape[1])
    for step in range(window.first, window.last):
        at = (step - window.log_start) * members.shape[1]
        for b in range(members.shape[0]):
            if step + AHEAD < window.last:
                _ask(log, log_offsets, b, at + low, members.shape[1])
            if log_offsets[b, at + low] == log_offsets[b, at + high]:
                continue
            for e in range(low, high):
                begin = log_offsets[b, at + e]
                _list(log, b, begin, log_offsets[b, at + e + 1], members[b, e], step, places, lists)


@njit(inline="always")
def _ask(log, log_offsets, block, place, entries):
    """Prefetch offsets and spikes of the next steps; this step's offset is log_offsets[block, place]."""
    # Steps lie far apart: first the offsets are asked for, then, once they have come, the spikes.
    later = block * log_offsets.shape[1] + place + AHEAD * entries
    prefetch(log_offsets.ctypes.data + later * 8)
    soon = log_offsets[block, place + AHEAD // 2 * entries]
    prefetch(log.ctypes.data + (block * log.shape[1] + soon) * 4)


# Without slices: numba counts references to each of them.
@njit(inline="always")
def _list(log, block, begin, end, p, step, places, lists):
    """Count the spikes log[block, begin:end] of population p in a step, and list them if it is listed."""
    for j in range(begin, end):
        unit = log[block, j]
        lists.tallies[lists.firsts[p] + unit] += 1
        if lists.listed[p]:
            lists.steps[places[p]] = step
            lists.units[places[p]] = unit
            places[p] += 1


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
