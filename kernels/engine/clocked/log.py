"""The log of spikes between two runs of the loop: spikes are taken out, and old steps dropped."""

from __future__ import annotations

from ...tools.compiled import compiled


@compiled
def count(log_offsets, populations, log_start, first, last, entries, begins, ends, counts):
    """Set counts[p] to the spikes of each population in steps `first` to `last - 1`.

    entries, begins, ends: of each population, its entry in the log of a step and the blocks that hold its units.
    """
    for p in range(counts.size):
        counts[p] = 0
        for b in range(begins[p], ends[p]):
            for step in range(first, last):
                at = (step - log_start) * populations + entries[p]
                counts[p] += log_offsets[b, at + 1] - log_offsets[b, at]


@compiled
def gather(
    log, log_offsets, populations, log_start, first, last, entries, begins, ends, counts, listed, firsts, tallies,
    steps, units,
):  # fmt: skip
    """Count the spikes of every population in tallies[firsts[p] + unit]; list those of the `listed` ones in order.

    Args:
        entries, begins, ends, counts: see `count`; populations without spikes are passed over.
        steps, units: int32, as long as the sum of the counts of the listed populations, which follow each other.
    """
    k = 0
    for p in range(counts.size):
        if counts[p] == 0:
            continue
        for step in range(first, last):
            at = (step - log_start) * populations + entries[p]
            for b in range(begins[p], ends[p]):
                for j in range(log_offsets[b, at], log_offsets[b, at + 1]):
                    unit = log[b, j]
                    tallies[firsts[p] + unit] += 1
                    if listed[p]:
                        steps[k] = step
                        units[k] = unit
                        k += 1


@compiled
def forget(log, log_offsets, populations, drop, keep):
    """Drop the first `drop` of drop + keep steps from the log."""
    for b in range(log.shape[0]):
        a = log_offsets[b, drop * populations]
        for k in range(log_offsets[b, (drop + keep) * populations] - a):
            log[b, k] = log[b, a + k]
        for k in range(keep * populations + 1):
            log_offsets[b, k] = log_offsets[b, drop * populations + k] - a
