"""Progress on stderr, for work of more than two seconds: a bar where one can be seen, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from ....base.bars import bar_class, shows_bars
from ....engine.result import Progress
from .terminal import printable

DELAY = 2.0  # seconds before a bar appears
LINE_EVERY = 15.0  # seconds between two lines where nothing shows a bar
LONG = 60.0  # seconds left from which the first line does not wait for its interval
KNOWN = 3.0  # seconds of work after which its rate is taken as known
FORM = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {unit} [{elapsed}{postfix}]"


class _Rest:
    """Estimate of the seconds that are left. The first step is left out: kernels are compiled in it.

    Work in stages is reported from the start again in each: the estimate is of the stage.
    """

    def __init__(self) -> None:
        self.first: tuple[float, float] | None = None
        self.last = 0.0

    def seconds(self, now: float, done: float, total: float) -> float | None:
        """Return the estimate at a report of progress, None at the first one; `now` is a time of a clock, s."""
        if self.first is None or done < self.last:
            self.first = now, done
        self.last = done
        start, begin = self.first
        # Linear extrapolation from the second report on.
        if done > begin:
            return (now - start) * (total - done) / (done - begin)
        return None


class ProgressCallback(Protocol):
    """Call with the part that is done, the total, and a note such as a loss."""

    def __call__(self, done: float, total: float, note: str = "") -> None: ...


@contextmanager
def bar(title: str, unit: str, quiet: bool) -> Iterator[ProgressCallback | None]:
    """Show a bar `title: 5.00/10.0 unit` where one can be seen, else lines; yield its report, or None if `quiet`."""
    if quiet:
        yield None
        return
    if not shows_bars():
        yield _Lines(title, unit)
        return
    tqdm = bar_class()
    looks = {"unit_scale": True, "delay": DELAY, "disable": False, "leave": False, "bar_format": FORM}
    with tqdm(desc=printable(title), unit=unit, **looks) as shown:
        rest = _Rest()

        def report(done: float, total: float, note: str = "") -> None:
            shown.total = total
            left = rest.seconds(time.monotonic(), done, total)
            if left is None:
                words = []
            else:
                words = [f"{tqdm.format_interval(left)} left"]
            shown.set_postfix_str(printable(", ".join([*words, *([note] if note else [])])), refresh=False)
            with suppress(OSError):  # the terminal was closed; the signal of that ends the run, saved
                shown.update(done - shown.n)

        yield report


class _Lines:
    """Progress as lines, for logs: `title: 50 % of 10 s simulated, 12 s left`."""

    def __init__(self, title: str, unit: str) -> None:
        self.title = title
        self.unit = unit
        self.rest = _Rest()
        self.start = self.shown = time.monotonic()
        self.silent = True

    def __call__(self, done: float, total: float, note: str = "") -> None:
        now = time.monotonic()
        if not 0 < done <= total:
            return
        left = self.rest.seconds(now, done, total)
        # Work of minutes says so after some seconds, not only at the first interval.
        early = self.silent and left is not None and left > LONG and now - self.start > KNOWN
        if now - self.shown < LINE_EVERY and not early:
            return
        self.shown = now
        self.silent = False
        words = [f"{self.title}: {done / total:.0%} of {total:,.6g} {self.unit}"]
        words += [] if left is None else [f"{left:,.0f} s left"]
        print(printable(", ".join([*words, *([note] if note else [])])), file=sys.stderr, flush=True)


@contextmanager
def simulation_bar(title: str, quiet: bool) -> Iterator[Callable[[Progress], object] | None]:
    """Show a bar in simulated seconds, with spikes/s and real-time factor; yield a progress callback of the engine."""
    with bar(title, "s simulated", quiet) as report:
        if report is None:
            yield None
            return

        def engine_report(progress: Progress) -> None:
            note = f"{progress.spikes_per_s:,.0f} spikes/s, real-time factor {progress.real_time_factor:.3g}"
            report(progress.done, progress.total, note)

        yield engine_report
