"""The memory that a thread of the run on the grid works in, and the records that say where everything lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import Uncopied
from ...kernels.engine.clocked import deliver, exchange, groups, loop, readers, views
from ...kernels.engine.clocked import plastic as learn
from ...kernels.engine.clocked.bits import MAX_ROWS
from ...kernels.engine.clocked.stimuli import CALL_ENTRIES
from ..addresses import address
from ..compile.row_tables import aligned

PAGE = 4096
LINE = 64
# Rows that a list of those which are due has room for at first.
DUE_ROWS = 1024


class ThreadRoom(Uncopied):
    """Memory that one thread of the run loop works in.

    Attributes:
        task, stepping, places: [1] of the records of `kernels.engine.clocked.views`.
    """

    def __init__(self, real: np.dtype[Any], *, receptors: int, states: int, slots: int, counters: int) -> None:
        """Make the arrays, for so many receptors and states of a neuron, slots, and row tables that are counted."""
        self.task: NDArray[Any] = np.zeros(1, views.TASK)
        self.stepping: NDArray[Any] = np.zeros(1, views.STEPPING)
        self.places: NDArray[Any] = np.zeros(1, views.PLACES)
        # Rows of bits in vectors of 512.
        row_words = (slots + 511) // 512 * 8
        self._adding = np.zeros(readers.REQUEST_ENTRIES, np.int64)
        self._context = np.zeros(learn.CONTEXT_ENTRIES, np.int64)
        self._reading = np.zeros(groups.CONTEXT_ENTRIES, np.int64)
        self._planning = np.zeros(deliver.SCHEDULE_ENTRIES, np.int64)
        self._asking = np.zeros(deliver.READ_ENTRIES, np.int64)
        self._trade = np.zeros(exchange.CALL_ENTRIES, np.int64)
        again = np.empty(MAX_ROWS, np.int64)
        planes = aligned((8 * row_words,), np.uint64, LINE)
        self._adding[readers.AGAIN] = address(again)
        self._adding[readers.PLANES] = address(planes)
        self._adding[readers.ROW_WORDS] = row_words
        # Half a page from states, which begin at one: a load waits for an earlier store whose address has the same 12
        # bits.
        inputs = aligned((receptors * views.PIECE + PAGE // 2 // real.itemsize,), real, PAGE)
        arrays = {
            "x": inputs[PAGE // 2 // real.itemsize :],
            "before": np.empty(views.PIECE, real),
            "former": np.empty(states * views.PIECE, real),
            "spiked": aligned((views.PIECE + LINE,), np.uint8, LINE),
            "awake": np.empty(views.PIECE, np.int32),
            "words": np.empty(views.PIECE, np.uint32),
            "drawing": np.zeros(CALL_ENTRIES, np.int64),
            "due": np.zeros(counters + receptors, np.uint8),
            "adding": self._adding,
            "context": self._context,
            "reading": self._reading,
        }
        self.fill(self.places, {name: array.ctypes.data for name, array in arrays.items()})
        self.fill(self.places, {"counters": counters, "receptors": receptors, "slots": slots})
        self._list_due(DUE_ROWS)
        self.fill(
            self.task,
            {"planning": address(self._planning), "asking": address(self._asking), "trade": address(self._trade)},
        )
        self._alive: list[NDArray[Any]] = [again, planes, *arrays.values()]

    @staticmethod
    def fill(record: NDArray[Any], values: Mapping[str, int]) -> None:
        """Set fields of a record."""
        for name, value in values.items():
            record[name] = value

    def own(self, thread: int, begin: int, end: int, task: Mapping[str, int], places: Mapping[str, int]) -> None:
        """Take a range of blocks as a thread of that number; set what stays the same in all runs of the network."""
        self.fill(self.task, {**task, "thread": thread, "begin_block": begin, "end_block": end})
        self.fill(self.places, places)
        page_blocks = task["page_blocks"]
        block_slots = task["block_slots"]
        zero_row = places["zero_row"]
        entries = task["entries"]
        self.fill(self.stepping, {"blocks": task["blocks"], "block_slots": block_slots})
        self._adding[readers.BEGIN_BLOCK] = begin
        self._adding[readers.END_BLOCK] = end
        self._adding[readers.PAGE_BLOCKS] = page_blocks
        self._adding[readers.BLOCK_SLOTS] = block_slots
        self._adding[readers.ZERO_ROW] = zero_row
        self._reading[groups.POPULATIONS] = entries
        self._reading[groups.THREAD] = thread
        self._reading[groups.BEGIN_PAGE] = begin // page_blocks
        self._reading[groups.END_PAGE] = (end - 1) // page_blocks + 1 if begin < end else 0
        self._reading[groups.PAGE_SLOTS] = page_blocks * block_slots
        self._reading[groups.SLOTS] = int(self.places["slots"][0])
        self._context[learn.THREAD] = thread
        self._context[learn.POPULATIONS] = entries
        self._context[learn.BLOCK_SLOTS] = block_slots
        self._planning[deliver.S_ENTRIES] = entries
        self._planning[deliver.S_ZERO_ROW] = zero_row
        begins = np.zeros((task["interval"], task["row_count"] + 1), np.int64)
        self._planning[deliver.S_BEGIN] = address(begins)
        self._trade[exchange.WIDTH] = entries
        self._alive.append(begins)

    def run(self, task: Mapping[str, int], row_weights: NDArray[Any], input_weights: NDArray[Any]) -> None:
        """Run the loop with these fields of the task; `task["first"]` of the record is then the step reached."""
        self.fill(self.task, task)
        self._reading[groups.LOG_START] = task["log_start"]
        self._context[learn.LOG_START] = task["log_start"]
        self._context[learn.TRIAL] = task["trial"]
        self._planning[deliver.S_LOG_START] = task["log_start"]
        self._trade[exchange.LOG_START] = task["log_start"]
        loop.run(self.task, self.stepping, self.places, row_weights, input_weights)
        while need := int(self.task["need"][0]):
            # More rows are due than were listed: once more from there, with a longer list.
            self._list_due(2 * need)
            self.task["opener"] = 0
            loop.run(self.task, self.stepping, self.places, row_weights, input_weights)

    def _list_due(self, room: int) -> None:
        self._due = np.empty(room, np.int64)
        self._planning[deliver.S_ROWS] = address(self._due)
        self._planning[deliver.S_ROOM] = room
