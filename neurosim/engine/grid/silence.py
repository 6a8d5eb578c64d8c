"""Which pieces of silent neurons may rest, and how many steps they may wait for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...base.errors import Uncopied
from ...kernels.engine.clocked import awake, deliver, rest, views
from ...kernels.engine.clocked import columns as col
from ..addresses import address
from ..compile.network import CompiledNetwork
from ..compile.row_tables import aligned
from .spike_log import MAX_LOG, max_without_events

# The most offsets of the log that a spike which enters it late moves, and the most steps that a silent piece waits for.
LATE_ENTRIES = 512
MAX_WAIT = 200
# Neurons of a network from which on it is known which of them rest: 700 that are seldom silent take as long without.
WATCHED = 2000


class Silence(Uncopied):
    """Columns of the table of populations that let the run loop pass silent neurons over, and their memory.

    Attributes:
        rests: uint8 [pieces], what is known of each piece of neurons that may rest, see `kernels.engine.clocked.rest`.
        patience: steps that a silent piece may wait for within an interval, see `kernels.engine.clocked.late`.
    """

    def __init__(
        self, compiled: CompiledNetwork, units: NDArray[np.int64], watched: list[int], *, log_is_shared: bool
    ) -> None:
        """Set columns of `units`, the table of populations and bundles.

        Args:
            watched: its rows whose pieces may rest.
            log_is_shared: others read the log as soon as an interval ends.
        """
        begins = {}
        total = 0
        for p in watched:
            begins[p] = total
            total += compiled.layout.blocks * -(-int(units[p, col.PART]) // views.PIECE)
        self.rests = np.zeros(max(total, 1), np.uint8)
        self._awake = aligned((max(total, 1), awake.FLAGS), np.uint8)
        for p, begin in begins.items():
            units[p, col.RESTS] = address(self.rests) + begin
            if not units[p, col.BY_UNIT]:
                units[p, col.AWAKE] = address(self._awake) + begin * awake.FLAGS
        # Spikes of targets change plastic weights in their own step.
        self.patience = 0 if compiled.plastic else min(LATE_ENTRIES // compiled.layout.width, MAX_WAIT)
        # Groups are read from the log in every step.
        by_groups = any(rows.form == deliver.GROUPS for rows in compiled.row_tables)
        if self.patience and not log_is_shared and not by_groups:
            self._let_wait(compiled, units)

    def forget(self) -> None:
        """Forget what is known of all pieces."""
        self.rests[:] = rest.BUSY

    def _let_wait(self, compiled: CompiledNetwork, units: NDArray[np.int64]) -> None:
        """Set how many steps pieces may wait for at the end of an interval."""
        # The logs have room for the spikes of these steps, twice.
        spikes = max_without_events(compiled)
        most = 2 * spikes.size * int(spikes.max(initial=0))
        limit = min(self.patience, MAX_LOG // max(most, 1))
        for p in compiled.cells:
            delays = [
                compiled.interval if rows.form == deliver.QUEUE else rows.delay
                for rows in compiled.row_tables
                if rows.source == p
            ]
            longest = min(delays, default=compiled.interval + limit) - compiled.interval
            units[p, col.WAITS] = min(longest, limit)


def rows_that_may_rest(compiled: CompiledNetwork, units: NDArray[np.int64], inputs: NDArray[np.int64]) -> list[int]:
    """Return the rows of the table of populations whose inputs are all from synapses: others are never silent.

    Small networks have none: looking gains them nothing, and takes longer to compile than all else.

    Args:
        inputs: the table of inputs.
    """
    if sum(cells.population.size for cells in compiled.cells.values()) < WATCHED:
        return []
    rows = []
    for p, row in enumerate(units):
        kinds = inputs[row[col.FIRST_INPUT] : row[col.LAST_INPUT], col.I_KIND]
        called = bool((kinds == col.INPUT_CALLED).any()) or bool(row[col.VOLTAGES])
        if row[col.KIND] == col.NEURONS and not called:
            rows.append(p)
    return rows
