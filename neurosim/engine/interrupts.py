"""Ctrl-C at a moment of our choosing: a state that is saved after it must be that of a whole step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def deferred_sigint() -> Iterator[Callable[[], None]]:
    """Inside, an interrupt waits until the function that is yielded is called, or the block is left.

    Where interrupts do not reach Python code, as in other threads than the main one, nothing changes.
    """
    before = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if not callable(before):
        yield lambda: None
        return
    pressed: list[int] = []

    def let_through() -> None:
        if pressed:
            pressed.clear()
            before(signal.SIGINT, None)

    signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield let_through
    finally:
        signal.signal(signal.SIGINT, before)
    let_through()
