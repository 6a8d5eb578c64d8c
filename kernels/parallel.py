"""Work on many items, shared among threads: for kernels that let go of the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

# Pieces a thread gets on average: whoever is held up by a neighbour on the machine takes fewer of them.
PIECES = 6


def spread(fill: Callable[[int, int], None], bounds: NDArray[np.int64], threads: int, grain: int) -> None:
    """Call `fill(a, b)` on ranges that tile the items, on as many threads as have enough to do.

    Args:
        bounds: [items + 1] ascending; item i is `bounds[i + 1] - bounds[i]` of work.
        grain: work that is worth a thread: starting one takes about 0.1 ms.

    Raises:
        whatever `fill` raises.
    """
    items, work = len(bounds) - 1, int(bounds[-1] - bounds[0])
    workers = max(1, min(threads, work // grain, items))
    if workers == 1:
        fill(0, items)
        return
    pieces = workers * PIECES
    shares = bounds[0] + work * np.arange(1, pieces) // pieces
    cuts = [0, *np.searchsorted(bounds, shares).tolist(), items]
    # One iterator for all: each takes the next piece when it is through with its last.
    left = iter([(a, b) for a, b in pairwise(cuts) if a < b])

    def take() -> None:
        for a, b in left:
            fill(a, b)

    with ThreadPoolExecutor(workers - 1) as pool:
        others = [pool.submit(take) for _ in range(workers - 1)]
        take()
        for other in others:
            other.result()
