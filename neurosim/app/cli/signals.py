"""End a command on SIGTERM and SIGHUP as Ctrl-C does: save the finished part, and exit with 128 + n."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Windows has no SIGHUP. Where a signal is ignored, as SIGHUP under nohup, it stays ignored.
NAMES = ("SIGTERM", "SIGHUP")
INTERRUPTED = 128 + signal.SIGINT


@contextmanager
def interrupting_signals() -> Iterator[list[int]]:
    """Raise KeyboardInterrupt in the block on SIGTERM and SIGHUP, too; yield the list of those that arrived."""
    arrived: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        # Shells and service managers send several signals: the later ones must not interrupt the saving.
        if len(arrived) == 1:
            _leave_terminal()
            raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
        before = {number: signal.getsignal(number) for number in numbers}
    changed = {number: handler for number, handler in before.items() if handler == signal.SIG_DFL}
    for number in changed:
        signal.signal(number, interrupt)
    try:
        yield arrived
    finally:
        for number, handler in changed.items():
            signal.signal(number, handler)


def _leave_terminal() -> None:
    """Write no more to a terminal that was closed: an error of the message would hide that the run was saved."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):
        try:
            os.write(output, b"")
        except OSError:
            os.dup2(nowhere, output)
    os.close(nowhere)
