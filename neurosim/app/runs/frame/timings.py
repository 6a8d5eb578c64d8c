"""Wall-clock seconds of the parts of a run, and a limit on its threads."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Timings:
    """Wall-clock seconds by part; a part that is timed twice is summed.

    with timings("load"):
        ...
    """

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        # Without `finally`: a part that raises is not measured.
        yield
        self.seconds[part] = round(self.seconds.get(part, 0.0) + time.perf_counter() - start, 6)

    def with_total(self) -> dict[str, float]:
        """Return the seconds of each part and their sum, `total`."""
        return {**self.seconds, "total": round(sum(self.seconds.values()), 6)}


@contextmanager
def limit_threads(threads: int | None) -> Iterator[None]:
    """Limit linear algebra, and torch where it is imported, to `threads` inside the context; None changes nothing."""
    if threads is None:
        yield
        return
    from threadpoolctl import threadpool_limits

    # Looked up, not imported: most commands never load torch.
    torch = sys.modules.get("torch")
    before = None if torch is None else torch.get_num_threads()
    if torch is not None:
        torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        if torch is not None:
            torch.set_num_threads(before)
