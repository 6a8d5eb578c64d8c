"""Arrays into which the run loop adds rows of weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import Uncopied
from ...kernels.engine.clocked import deliver
from ...kernels.engine.clocked.bits import STRIP
from ..addresses import address
from ..compile.network import CompiledNetwork
from ..compile.row_tables import aligned


class ArrivalArrays(Uncopied):
    """Arrays into which rows are added; only those that some row table needs have entries.

    Attributes:
        counters: number of row tables that are counted, not summed.
        counts: uint8 [counters, slots].
        sums: real [receptors, slots].
        fixed: int32 [receptors, slots], sums of the integer weights of GROUPS.
        queue: real [depth, receptors * slots], future input from row tables of form QUEUE.
        zero_row: a row of zero bits.
    """

    def __init__(self, compiled: CompiledNetwork) -> None:
        slots = compiled.layout.slots
        forms = [rows.form for rows in compiled.row_tables]
        receptors = max((cells.receptors for cells in compiled.cells.values()), default=1)
        fixed = receptors if deliver.GROUPS in forms else 0
        queued = receptors * slots if deliver.QUEUE in forms else 1
        self.counters = sum(form in (deliver.BITS, deliver.COUNTS) for form in forms)
        self.counts: NDArray[np.uint8] = aligned((self.counters, slots), np.uint8)
        self.sums: NDArray[Any] = aligned((receptors, slots), compiled.real)
        self.fixed: NDArray[np.int32] = aligned((fixed, slots), np.int32)
        self.queue: NDArray[Any] = aligned((compiled.depth, queued), compiled.real)
        self.zero_row: NDArray[np.uint64] = aligned((-(-slots // STRIP) * 8,), np.uint64)

    def clear(self) -> None:
        """Forget all that arrived and all that is on its way."""
        for array in (self.queue, self.counts, self.sums, self.fixed):
            array[:] = 0

    def queue_places(self) -> dict[str, int]:
        """Return where the queue lies, and its shape, as fields of `TASK` and `PLACES`."""
        depth, row = self.queue.shape
        return {"queue": address(self.queue), "depth": depth, "queue_row": row}

    def places(self) -> dict[str, int]:
        """Return where all of them lie, as fields of `PLACES`."""
        return {
            **self.queue_places(),
            "counts": address(self.counts),
            "sums": address(self.sums),
            "fixed": address(self.fixed),
            "zero_row": address(self.zero_row),
        }
