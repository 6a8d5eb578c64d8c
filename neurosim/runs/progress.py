"""Progress on stderr, for whatever takes longer than two seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..engine import Progress

DELAY = 2.0  # seconds before a bar appears


@contextmanager
def bar(what: str, quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A progress bar in simulated seconds, with the rate and the time left; none if `quiet` or off a terminal."""
    if quiet:
        yield None
        return
    from tqdm import tqdm

    form = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} s simulated [{rate_fmt}, {remaining} left]"
    with tqdm(desc=what, unit=" s", unit_scale=True, delay=DELAY, disable=None, leave=False, bar_format=form) as shown:

        def report(progress: Progress) -> None:
            shown.total = progress.total
            shown.update(progress.done - shown.n)

        yield report
