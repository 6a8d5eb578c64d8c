"""Progress on stderr, for whatever takes longer than two seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..engine import Progress

DELAY = 2.0  # seconds before a bar appears


@contextmanager
def bar(what: str, quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A progress bar in simulated seconds: time left, spikes/s, real-time factor; none if `quiet` or off a terminal."""
    if quiet:
        yield None
        return
    from tqdm import tqdm

    form = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} s simulated [{remaining} left{postfix}]"
    with tqdm(desc=what, unit=" s", unit_scale=True, delay=DELAY, disable=None, leave=False, bar_format=form) as shown:

        def report(progress: Progress) -> None:
            shown.total = progress.total
            rate, factor = progress.spikes_per_s, progress.real_time_factor
            shown.set_postfix_str(f"{rate:,.0f} spikes/s, real-time factor {factor:.3g}", refresh=False)
            shown.update(progress.done - shown.n)

        yield report
