"""Work on many items, shared among threads: for kernels that let go of the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def spread(fill: Callable[[int, int], None], bounds: NDArray[np.int64], threads: int, grain: int) -> None:
    """Call `fill(a, b)` on ranges that tile the items, of about equal work, one a thread.

    Args:
        bounds: [items + 1] ascending; item i is `bounds[i + 1] - bounds[i]` of work.
        grain: work that is worth a thread: starting one costs about 0.1 ms.

    Raises:
        whatever `fill` raises, for the first range that does.
    """
    items, work = len(bounds) - 1, int(bounds[-1] - bounds[0])
    workers = max(1, min(threads, work // grain, items))
    if workers == 1:
        fill(0, items)
        return
    shares = bounds[0] + work * np.arange(1, workers) // workers
    cuts = [0, *np.searchsorted(bounds, shares).tolist(), items]
    with ThreadPoolExecutor(workers - 1) as pool:
        others = [pool.submit(fill, a, b) for a, b in pairwise(cuts[1:])]
        # The first range here, so that one thread less is started.
        fill(*cuts[:2])
        for other in others:
            other.result()
