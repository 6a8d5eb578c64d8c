"""Work on many items, shared among threads, for kernels that release the interpreter's lock."""

from __future__ import annotations

import _thread
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

# Pieces a thread gets on average: a thread that shares its core with another program takes fewer.
PIECES = 3


def together(work: Callable[[int], None], threads: int) -> None:
    """Call `work(thread)` on every thread at the same time, for work whose threads wait for each other.

    Raises:
        the first error of `work`, once all threads have ended.
        RuntimeError: the system grants no more threads.
    """
    failures: list[BaseException] = []
    complete = False

    def take(thread: int, end: _thread.LockType) -> None:
        try:
            with gate:
                pass
            if complete:
                work(thread)
        except BaseException as error:
            failures.append(error)
        finally:
            end.release()

    ends = [_thread.allocate_lock() for _ in range(threads - 1)]
    gate = _thread.allocate_lock()
    # Nobody begins before all have been started: the others would wait for ever for a thread that the system refuses.
    with gate:
        for k, end in enumerate(ends):
            end.acquire()
            _thread.start_new_thread(take, (k + 1, end))
        complete = True
    work(0)
    for end in ends:
        with end:
            pass
    if failures:
        raise failures[0]


def spread(fill: Callable[[int, int], None], bounds: NDArray[np.int64], threads: int, grain: int) -> None:
    """Call `fill(a, b)` on ranges that tile the items, on at most `threads` threads with enough work for each.

    The threads are started here: an executor costs 0.2 ms, the time of half a million events. No thread outlives the
    call, for it would be missing in a forked process.

    Args:
        bounds: [items + 1] ascending; item i is `bounds[i + 1] - bounds[i]` of work.
        grain: least work of a thread, in the unit of `bounds`.

    Raises:
        the first error of `fill`, once all threads have ended.
    """
    items = len(bounds) - 1
    work = int(bounds[-1] - bounds[0])
    workers = max(1, min(threads, work // grain, items))
    if workers == 1:
        fill(0, items)
        return
    pieces = workers * PIECES
    cuts = [0, *np.searchsorted(bounds, bounds[0] + work * np.arange(1, pieces) // pieces).tolist(), items]
    # One iterator for all threads: each takes the next piece when it has finished one.
    left = iter([(a, b) for a, b in pairwise(cuts) if a < b])
    failures: list[BaseException] = []

    def take(end: _thread.LockType) -> None:
        try:
            for a, b in left:
                fill(a, b)
        except BaseException as error:
            failures.append(error)
        finally:
            end.release()

    ends = [_thread.allocate_lock() for _ in range(workers)]
    for k, end in enumerate(ends):
        end.acquire()
        if k == 0:
            continue
        try:
            _thread.start_new_thread(take, (end,))
        except RuntimeError:
            # The system grants no more threads: the others do the work.
            end.release()
    take(ends[0])
    for end in ends:
        with end:
            pass
    if failures:
        raise failures[0]
