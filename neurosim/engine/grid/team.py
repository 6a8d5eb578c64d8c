"""The threads of a process that run a network on the grid together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import Uncopied
from ...kernels.engine.clocked import deliver
from ...kernels.tools.intrinsics import APART
from ...kernels.tools.threads import together
from ..addresses import address
from ..compile.network import CompiledNetwork
from ..compile.row_tables import aligned
from ..processes import Processes
from ..threads import core_count, move_to_own_core
from .thread_room import ThreadRoom

# Steps of neurons in an interval below which a second thread costs more than it gains.
MIN_WORK = 6000
# Spin iterations before a waiting thread yields its core: tens of microseconds.
SPINS = 4000


class ThreadTeam(Uncopied):
    """Threads that each own some blocks of a network, and the memory that each works in.

    Attributes:
        size: number of threads that are worth starting; results do not depend on it.
        has_others: whether another thread, or another process of this machine, runs a part of the same network.
    """

    def __init__(self, compiled: CompiledNetwork, threads: int, processes: Processes) -> None:
        self._blocks = _cut_blocks(compiled, threads)
        self.size = len(self._blocks) - 1
        workers = self.size * processes.neighbours
        self.has_others = workers > 1
        # Threads without a core of their own yield at once instead of spinning.
        self._spins = 0 if workers > core_count() else SPINS
        self._first_core = processes.place * self.size
        self._rooms: list[ThreadRoom] = []

    def settle(self, rooms: Sequence[ThreadRoom], task: Mapping[str, int], places: Sequence[Mapping[str, int]]) -> None:
        """Give each thread a room to work in.

        Args:
            task: what is the same for all threads and all runs.
            places: of each thread.
        """
        self._rooms = list(rooms)
        task = {**task, "threads": self.size}
        for thread, (room, own) in enumerate(zip(rooms, places, strict=True)):
            begin, end = self._blocks[thread : thread + 2]
            room.own(thread, begin, end, task, own)

    def run(self, task: Mapping[str, int], row_weights: NDArray[Any], input_weights: NDArray[Any]) -> int:
        """Run the loop with these fields of the task in all threads; return the step reached.

        Raises:
            RuntimeError: the system grants no more threads.
        """
        sync: NDArray[np.int64] = aligned((self.size * APART,), np.int64)
        task = {**task, "sync": address(sync), "spins": self._spins, "epoch": 0}

        def work(thread: int) -> None:
            if self.has_others:
                move_to_own_core(self._first_core + thread)
            self._rooms[thread].run(task, row_weights, input_weights)

        together(work, self.size)
        return int(self._rooms[0].task["first"][0])


def _cut_blocks(compiled: CompiledNetwork, threads: int) -> list[int]:
    """Return the first block of each thread that is worth starting, and the one after the last."""
    share = compiled.share
    units = sum(last - first for first, last in map(share.units, compiled.cells))
    by_pages = any(rows.form == deliver.GROUPS for rows in compiled.row_tables)
    first, last = share.pages if by_pages else (share.first, share.last)
    if units * compiled.interval < MIN_WORK:
        worthwhile = 1
    else:
        worthwhile = max(1, min(threads, last - first))
    return share.cuts(worthwhile, by_pages=by_pages)
