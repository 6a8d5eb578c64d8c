"""Progress on stderr, for work that takes longer than two seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from ..engine import Progress

DELAY = 2.0  # seconds before a bar appears
FORM = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {unit} [{remaining} left{postfix}]"


class ProgressCallback(Protocol):
    """Call with the part that is done, the total, and a note such as a loss."""

    def __call__(self, done: float, total: float, note: str = "") -> None: ...


@contextmanager
def bar(what: str, unit: str, quiet: bool) -> Iterator[ProgressCallback | None]:
    """Show a bar `what: 5.00/10.0 unit` on a terminal, nothing elsewhere; yield its report, or None if `quiet`."""
    if quiet:
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=what, unit=unit, unit_scale=True, delay=DELAY, disable=None, leave=False, bar_format=FORM) as shown:

        def report(done: float, total: float, note: str = "") -> None:
            shown.total = total
            shown.set_postfix_str(note, refresh=False)
            shown.update(done - shown.n)

        yield report


@contextmanager
def simulation_bar(what: str, quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """Show a bar in simulated seconds, with spikes/s and real-time factor; yield a progress callback of the engine."""
    with bar(what, "s simulated", quiet) as report:

        def engine_report(progress: Progress) -> None:
            assert report is not None
            note = f"{progress.spikes_per_s:,.0f} spikes/s, real-time factor {progress.real_time_factor:.3g}"
            report(progress.done, progress.total, note)

        yield None if report is None else engine_report
