"""The log of the spikes of the last steps, as an array for each block, and what takes spikes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.collection import without_collection
from ...base.errors import Uncopied
from ...kernels.engine.clocked import log as kernel
from ..compile.network import CompiledNetwork
from .sinks import SpikeSink
from .sources import GridEvents

# Steps after which spikes are taken out: as many as leave the offsets WINDOW_ENTRIES entries, in these limits. Calling
# the loop and passing spikes on take .3 ms, a fifth of a run of 4,000 neurons if every 1,000 steps.
MIN_WINDOW = 1000
MAX_WINDOW = 4000
WINDOW_ENTRIES = 1 << 15
# Spikes of a block that a log holds at least; of all blocks together, for each population, where that is more, up to
# MAX_LOG: 64 MB.
ROOM = 1 << 14
LOGGED = 1 << 10
MAX_LOG = 1 << 24


class SpikeLog(Uncopied):
    """Spikes of the last steps: the run loop writes them, and reads rows from it when their delay is over.

    Attributes:
        spikes: int32 [blocks, room], the units that fired.
        offsets: int64 [blocks, columns], where the spikes of a step and entry begin, see
            `kernels.engine.clocked.deliver.schedule`.
        start: the first step in it.
        taken: the step from which on spikes are nowhere else.
        window: steps after which spikes are taken out.
        max_spikes: int64 [blocks], upper bound of the spikes of a block in a step.
        all_tallies: int64 [units of all populations], spikes of all runs so far.
        tallies: by population number, views of it.
    """

    def __init__(self, compiled: CompiledNetwork, recorded: tuple[str, ...]) -> None:
        layout = compiled.layout
        populations = compiled.network.populations
        self._layout = layout
        self._history = compiled.history
        self._names = [population.name for population in populations]
        self._listed = np.array([name in recorded for name in self._names])
        self.window = min(max(MIN_WINDOW, WINDOW_ENTRIES // (layout.blocks * layout.width)), MAX_WINDOW)
        columns = self.window + compiled.history + 1
        self.spikes = np.empty((layout.blocks, 0), np.int32)
        self.offsets = np.zeros((layout.blocks, columns * layout.width + 1), np.int64)
        self.start = 0
        self.taken = 0
        self._max_without_events = max_without_events(compiled)
        self.max_spikes: NDArray[np.int64] = np.zeros(layout.blocks, np.int64)
        # One array, which the kernel counts into.
        sizes = np.array([population.size for population in populations])
        self.all_tallies = np.zeros(sizes.sum(), np.int64)
        self._firsts = np.cumsum(sizes) - sizes
        self.tallies = np.split(self.all_tallies, self._firsts[1:])

    @property
    def room(self) -> int:
        """Return the number of spikes of a block that it has room for."""
        return self.spikes.shape[1]

    @property
    def is_short(self) -> bool:
        """Return whether a longer log would be emptied less often: it takes some us a population."""
        return self.spikes.size < min(LOGGED * len(self._names), MAX_LOG)

    def reset(self) -> None:
        """Drop all spikes; tallies stay."""
        # Those of later steps are written before they are read: 80 MB for 10,000 populations.
        self.offsets[:, 0] = 0
        self.start = 0
        self.taken = 0

    def expect(self, events: NDArray[np.int64]) -> None:
        """Expect at most `events` [blocks] spikes of recordings in a step, beside those of neurons and of noise."""
        self.max_spikes = self._max_without_events + events

    def enlarge(self, steps: int, least: int = 0) -> bool:
        """Make room for the spikes of so many steps, and `least` spikes of a block; return whether there was less."""
        room = max(ROOM, int(self.max_spikes.max(initial=0)) * steps, least)
        if room <= self.room:
            return False
        spikes = np.empty((len(self.spikes), room), np.int32)
        spikes[:, : self.room] = self.spikes
        self.spikes = spikes
        return True

    @without_collection()
    def drain(self, step: int, sink: SpikeSink | None) -> int:
        """Pass the spikes before `step` since the last call to `sink`, count them, and drop what no delay needs.

        Returns:
            the number of recorded spikes.
        """
        first = self.taken
        self.taken = step
        if first == step:
            return 0
        members = self._layout.members
        counts = np.empty(len(self._names), np.int64)
        window = kernel.LogWindow(self.start, first, step)
        kernel.count(self.offsets, window, members, counts)
        counts *= self._listed
        ends = np.cumsum(counts)
        steps, units = np.empty((2, ends[-1]), np.int32)
        lists = kernel.SpikeLists(self._listed, self._firsts, self.all_tallies, steps, units)
        kernel.gather(self.spikes, self.offsets, window, members, ends - counts, lists)
        spikes: dict[str, GridEvents] = {}
        for p in np.flatnonzero(counts).tolist():
            part = slice(ends[p] - counts[p], ends[p])
            spikes[self._names[p]] = GridEvents(steps[part], units[part])
        if sink is not None:
            sink.add(spikes)
        # Steps whose spikes have all arrived are dropped.
        drop = max(0, step - self._history - self.start)
        if drop:
            kernel.forget(self.spikes, self.offsets, self._layout.width, drop, step - self.start - drop)
            self.start += drop
        return int(ends[-1])

    def arrays(self, step: int) -> dict[str, NDArray[Any]]:
        """Return copies of the spikes before `step`, their offsets, and tallies, as files hold them."""
        last = (step - self.start) * self._layout.width
        arrays = {f"tally.{p}": tally.copy() for p, tally in enumerate(self.tallies)}
        arrays |= {f"log.{b}": self.spikes[b, : self.offsets[b, last]].copy() for b in range(len(self.spikes))}
        arrays["marks"] = self.offsets[:, : last + 1].copy()
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[Any]], start: int, step: int) -> None:
        """Take over `arrays`, of a log from step `start` to step - 1; there must be room."""
        for p, tally in enumerate(self.tallies):
            tally[:] = arrays[f"tally.{p}"]
        for b in range(len(self.spikes)):
            self.spikes[b, : arrays[f"log.{b}"].size] = arrays[f"log.{b}"]
        self.offsets[:, : arrays["marks"].shape[1]] = arrays["marks"]
        self.start = start
        self.taken = step


def max_without_events(compiled: CompiledNetwork) -> NDArray[np.int64]:
    """Return [blocks] the maximum number of spikes of a block in a step, spikes of recordings left out."""
    layout = compiled.layout
    # A neuron fires at most once a step, a unit of a Poisson source as often as its table says.
    each = np.array([int(p in compiled.cells) for p in range(len(layout.sizes))], np.int64)
    for p, noise in compiled.poisson.items():
        each[p] = noise.max_count
    limits = [layout.units_in(b) for b in range(layout.blocks)]
    return np.array([int((each * (end - begin)).sum()) for begin, end in limits], np.int64)
