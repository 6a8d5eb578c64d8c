"""What the figures were measured on, and how fast this machine can add to random places at all."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import numba
import numpy as np

# A vector that stays in a core's L2 cache, and a stream of places that does not: what delivering spikes comes to.
PLACES = 1 << 15
STREAM = 1 << 23
PASSES = 20


@numba.njit(nogil=True)
def add_at(vector: np.ndarray, places: np.ndarray) -> None:
    for k in range(places.size):
        vector[places[k]] += np.float32(1)


def random_access_limit(threads: int) -> float:
    """Random read-modify-writes a second of `threads` threads together, each with its own vector; the best of
    several passes, for a neighbour can only slow them.
    """
    rng = np.random.default_rng(0)
    places = [rng.integers(PLACES, size=STREAM, dtype=np.uint32) for _ in range(threads)]
    vectors = [np.zeros(PLACES, np.float32) for _ in range(threads)]
    add_at(vectors[0], places[0][:1])
    best = 0.0
    for _ in range(PASSES):
        workers = [threading.Thread(target=add_at, args=pair) for pair in zip(vectors, places, strict=True)]
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        best = max(best, threads * STREAM / (time.perf_counter() - start))
    return best


def describe(threads: int) -> dict[str, object]:
    """Processor, cores, memory, and the limit at this number of threads."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "threads": threads,
        "random_access_per_s": random_access_limit(threads),
    }


def line(machine: Mapping[str, object]) -> str:
    """Return a description as a line of text."""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['threads']} threads; "
        f"random read-modify-write limit {machine['random_access_per_s']:.3g}/s"
    )


def cpu_model() -> str:
    """The name, and the family and model where the name says little."""
    lines = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
    facts = {key.strip(): text.strip() for key, _, text in lines}
    return f"{facts.get('model name', 'unknown')} (family {facts.get('cpu family')}, model {facts.get('model')})"


if __name__ == "__main__":
    for count in range(1, (os.cpu_count() or 1) + 1):
        print(line(describe(count)))
