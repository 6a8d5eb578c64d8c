"""Groups of neighbouring units of a sensor, which a readout reads beside the neurons of a liquid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...data.recordings import Recordings
from ...data.spikes import GRID_SLACK


def with_groups(spikes: Recordings, events: Recordings, groups: int) -> Recordings:
    """Return the spikes of a liquid, with the events of groups of its sensor as those of further units.

    Unit u of a sensor of n units is in group u groups // n, which becomes unit `spikes.size` + the group. Behind spikes
    of the same step come the events of the step.

    Args:
        spikes: of a liquid, with the events' recordings.
        events: that the liquid got.
        groups: number of groups, at most one for each unit of the sensor; 0: the spikes alone.
    """
    if not groups:
        return spikes
    group = np.asarray(events.units, np.int64) * groups // events.size + spikes.size
    steps = np.floor(np.asarray(events.ticks, np.float64) * (events.tick / spikes.tick) + GRID_SLACK)
    sizes = np.diff(spikes.offsets) + np.diff(events.offsets)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    ticks = np.empty(offsets[-1], np.result_type(spikes.ticks, np.int32))
    units = np.empty(offsets[-1], np.int32)
    for i in range(len(spikes)):
        own = slice(spikes.offsets[i], spikes.offsets[i + 1])
        added = slice(events.offsets[i], events.offsets[i + 1])
        target = slice(offsets[i], offsets[i + 1])
        places = _behind(spikes.ticks[own], steps[added])
        # Two sorted lists are merged by the places of one: a sort of both would cost n log n.
        is_spike = np.ones(sizes[i], bool)
        is_spike[places] = False
        for out, first, second in ((ticks, spikes.ticks[own], steps[added]), (units, spikes.units[own], group[added])):
            out[target][is_spike] = first
            out[target][~is_spike] = second
    return replace(spikes, ticks=ticks, units=units, offsets=offsets, size=spikes.size + groups, shape=())


def _behind(before: NDArray, after: NDArray) -> NDArray[np.int64]:
    """Return [after] places of ascending ticks in the merged list, each behind equal ones of `before`."""
    return np.searchsorted(before, after, side="right") + np.arange(len(after))
