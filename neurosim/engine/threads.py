"""Threads of the engine: how many there are, and work shared among them."""

from __future__ import annotations

import contextlib
import os
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..base.errors import is_integer, require

Item = TypeVar("Item")
Worker = TypeVar("Worker")
Outcome = TypeVar("Outcome")


def core_count() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_count(threads: int | None) -> int:
    """Return the number of threads to use; None means one a core.

    Raises:
        NeurosimInputError: not an integer of at least 1.
    """
    if threads is None:
        return core_count()
    valid = is_integer(threads) and threads > 0
    require(valid, "simulate.threads", "must be an integer > 0", threads)
    return int(threads)


def for_each(items: Sequence[Item], do: Callable[[Item], None], threads: int) -> None:
    """Call `do` on every item, `threads` at a time. Raises the first error of any call."""
    if threads == 1 or len(items) < 2:
        for item in items:
            do(item)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(do, items))


def run_recordings(
    workers: Sequence[Worker],
    run: Callable[[Worker, int], Outcome],
    count: int,
    on_done: Callable[[int, Outcome], None],
    on_stop: Callable[[], None] = lambda: None,
) -> list[Outcome]:
    """Return run(worker, index) of the recordings 0 to `count` - 1, each worker running one at a time.

    Args:
        on_done: called from this thread with each index and its outcome, in order; may raise.
        on_stop: called when all are done or an error ends the run, before the threads are joined.
    """
    idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def run_one(index: int) -> Outcome:
        worker = idle.get()
        try:
            return run(worker, index)
        finally:
            idle.put(worker)

    outcomes: list[Outcome] = []
    pool = ThreadPoolExecutor(len(workers))
    try:
        for index, outcome in enumerate(pool.map(run_one, range(count))):
            on_done(index, outcome)
            outcomes.append(outcome)
    finally:
        # Workers that still run end by it: the pool waits for them.
        on_stop()
        pool.shutdown(wait=True, cancel_futures=True)
    return outcomes


def move_to_own_core(thread: int) -> None:
    """Move the calling thread to a core of its own, which it may leave again.

    A new thread begins on the core of the thread that started it, and the system may leave it there for longer than a
    window takes: both then wait for each other in turns (Brunel's network took .34 s a second, on one core .19 s).
    Processes of one network begin on any core, and MPI polls: two on one core waste their time (46 s in place of 2.4).
    """
    if hasattr(os, "sched_setaffinity"):
        allowed = os.sched_getaffinity(0)
        with contextlib.suppress(OSError):  # a core that was taken away meanwhile
            os.sched_setaffinity(0, {sorted(allowed)[thread % len(allowed)]})
            os.sched_setaffinity(0, allowed)
