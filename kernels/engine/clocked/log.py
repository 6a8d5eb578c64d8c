"""The log of spikes between two runs of the loop: spikes are taken out, and old steps dropped."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True)
def gather(log, log_offsets, populations, log_start, first, last, population, tally, steps, units):
    """Count the spikes of a population in steps `first` to `last - 1` in tally[unit], and list them in order.

    steps, units: int32, long enough, or empty: not to be listed. Returns how many there are.
    """
    count = 0
    for step in range(first, last):
        at = (step - log_start) * populations + population
        for b in range(log.shape[0]):
            for j in range(log_offsets[b, at], log_offsets[b, at + 1]):
                unit = log[b, j]
                tally[unit] += 1
                if steps.size:
                    steps[count] = step
                    units[count] = unit
                count += 1
    return count


@njit(cache=True, nogil=True)
def forget(log, log_offsets, populations, drop, keep):
    """Drop the first `drop` of drop + keep steps from the log."""
    for b in range(log.shape[0]):
        a = log_offsets[b, drop * populations]
        for k in range(log_offsets[b, (drop + keep) * populations] - a):
            log[b, k] = log[b, a + k]
        for k in range(keep * populations + 1):
            log_offsets[b, k] = log_offsets[b, drop * populations + k] - a
