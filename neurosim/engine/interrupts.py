"""Interrupts deferred to the end of a step, so that a state that is saved after one is complete."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# Signals that end a program and may have a handler in Python; Windows has no SIGHUP.
NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@contextmanager
def deferred_interrupts(agree: Callable[[bool], bool] = bool) -> Iterator[Callable[[], None]]:
    """Defer interrupts inside the block until the yielded function `deliver` is called or the block ends.

    They are Ctrl-C, and SIGTERM and SIGHUP where the program handles them in Python, as the command line does. Nothing
    changes in threads other than the main one, where interrupts do not reach Python code.

    Args:
        agree: returns whether to deliver, given whether there was an interrupt: processes that share a run stop
            together.
    """
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        handlers = _python_handlers()
    if not handlers:
        yield lambda: None
        return
    pending: list[int] = []

    def deliver() -> None:
        if agree(bool(pending)):
            # The interrupt of another process counts as Ctrl-C here.
            number = pending[0] if pending else min(handlers)
            pending.clear()
            handlers[number](number, None)

    for number in handlers:
        signal.signal(number, lambda number, frame: pending.append(number))
    try:
        yield deliver
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    deliver()


def _python_handlers() -> dict[int, Callable[[int, FrameType | None], Any]]:
    """Return the handlers that are Python functions, by the number of their signal."""
    numbers = [int(getattr(signal, name)) for name in NAMES if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers}
    return {number: handler for number, handler in handlers.items() if callable(handler)}
