"""Ctrl-C deferred to the end of a step: a state that is saved after it must be that of a whole step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def deferred_sigint(agree: Callable[[bool], bool] = bool) -> Iterator[Callable[[], None]]:
    """Defer an interrupt inside the block until the yielded function `deliver` is called or the block ends.

    Nothing changes where interrupts do not reach Python code, as in threads other than the main one.

    agree: returns whether to deliver, given whether there was an interrupt: processes that share a run stop together.
    """
    handler = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if not callable(handler):
        yield lambda: None
        return
    pending: list[int] = []

    def deliver() -> None:
        if agree(bool(pending)):
            pending.clear()
            handler(signal.SIGINT, None)

    signal.signal(signal.SIGINT, lambda number, frame: pending.append(number))
    try:
        yield deliver
    finally:
        signal.signal(signal.SIGINT, handler)
    deliver()
