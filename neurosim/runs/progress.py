"""Progress on stderr, for work of more than two seconds: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from ..engine import Progress
from .terminal import printable

DELAY = 2.0  # seconds before a bar appears
LINE_EVERY = 15.0  # seconds between two lines where no terminal listens
# Work that will take longer than that says so as soon as its rate is known.
LONG, KNOWN = 60.0, 3.0  # seconds
FORM = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {unit} [{remaining} left{postfix}]"


class ProgressCallback(Protocol):
    """Call with the part that is done, the total, and a note such as a loss."""

    def __call__(self, done: float, total: float, note: str = "") -> None: ...


@contextmanager
def bar(what: str, unit: str, quiet: bool) -> Iterator[ProgressCallback | None]:
    """Show a bar `what: 5.00/10.0 unit` on a terminal, lines elsewhere; yield its report, or None if `quiet`."""
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield _Lines(what, unit)
        return
    from tqdm import tqdm

    looks = {"unit_scale": True, "delay": DELAY, "disable": None, "leave": False, "bar_format": FORM}
    with tqdm(desc=printable(what), unit=unit, **looks) as shown:

        def report(done: float, total: float, note: str = "") -> None:
            shown.total = total
            shown.set_postfix_str(printable(note), refresh=False)
            shown.update(done - shown.n)

        yield report


class _Lines:
    """Progress as lines, for logs: `what: 50 % of 10 s simulated, 12 s left`."""

    def __init__(self, what: str, unit: str) -> None:
        self.what, self.unit = what, unit
        self.start = self.shown = time.monotonic()
        self.silent = True

    def __call__(self, done: float, total: float, note: str = "") -> None:
        now = time.monotonic()
        if not 0 < done <= total:
            return
        left = (now - self.start) * (total / done - 1)
        early = self.silent and left > LONG and now - self.start > KNOWN
        if now - self.shown < LINE_EVERY and not early:
            return
        self.shown, self.silent = now, False
        words = f"{self.what}: {done / total:.0%} of {total:,.6g} {self.unit}, {left:,.0f} s left"
        print(printable(f"{words}, {note}" if note else words), file=sys.stderr, flush=True)


@contextmanager
def simulation_bar(what: str, quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """Show a bar in simulated seconds, with spikes/s and real-time factor; yield a progress callback of the engine."""
    with bar(what, "s simulated", quiet) as report:

        def engine_report(progress: Progress) -> None:
            assert report is not None
            note = f"{progress.spikes_per_s:,.0f} spikes/s, real-time factor {progress.real_time_factor:.3g}"
            report(progress.done, progress.total, note)

        yield None if report is None else engine_report
