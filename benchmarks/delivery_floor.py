"""The least that delivering the spikes of the whole cortical microcircuit can take on this machine.

All that is done is what no simulator with stored synapses of 4 bytes can leave out: records of a 16-bit target and a
16-bit weight are read from memory, in groups that lie anywhere, and added at their targets. Groups are as large and
targets lie as in the microcircuit: a group is what a spike brings to one half of the neurons after one delay. No
neuron is stepped, no Poisson spike drawn, no group looked for. The real-time factor is that of a simulation that did
nothing else, at the stationary rates of the paper. Times are CPU times, of the slower thread.

    python benchmarks/delivery_floor.py [--records 67108864] [--repeats 5] [--threads 2]
"""

from __future__ import annotations

import math
import statistics
import threading
import time
from typing import NamedTuple

import frame
import numba
import numpy as np
from numpy.typing import NDArray
from workloads import MICROCIRCUIT, delay_from, synapses_between

from neurosim.kernels.tools.intrinsics import prefetch
from neurosim.kernels.tools.pointers import vector

CLOCK = 1e-4
# Groups ahead of which records are requested: the best of 8, 12, 16 and 24, which hardly differ.
AHEAD = 12
LONGEST = 60
# Targets are named by 16 bits within a page: half of the neurons, which a thread owns where there are two.
PAGES = 2


class Kinds(NamedTuple):
    """Groups by the population of their source and their delay in steps."""

    shares: NDArray[np.float64]
    """[kinds], of the groups that are read."""
    sizes: NDArray[np.float64]
    """[kinds], records of a group on average."""
    targets: NDArray[np.float64]
    """[kinds, populations], shares of the populations of targets, summed up."""


class Records(NamedTuple):
    """What a thread reads, in the order in which it reads it."""

    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    words: NDArray[np.uint32]
    """Weights above targets; groups lie anywhere."""


def events() -> float:
    """Return the synaptic events of a biological second."""
    return sum(
        source.rate * synapses_between(source, target, probability)
        for target in MICROCIRCUIT
        for source, probability in zip(MICROCIRCUIT, target.probabilities, strict=True)
    )


def kinds() -> Kinds:
    """Return the groups of the synapses onto a page."""
    shares = []
    sizes = []
    targets = []
    for place, source in enumerate(MICROCIRCUIT):
        onto = [synapses_between(source, target, target.probabilities[place]) for target in MICROCIRCUIT]
        delay = delay_from(source, CLOCK)
        ends = (np.arange(LONGEST + 1) + 0.5) * CLOCK
        below = np.array([0.5 * (1 + math.erf((end - delay.mean) / (delay.sd * math.sqrt(2)))) for end in ends])
        chances = np.diff(below) / (1 - below[0])
        for chance in chances:
            shares.append(source.rate * source.size)
            sizes.append(sum(onto) / source.size / PAGES * chance)
            targets.append(np.cumsum(onto) / sum(onto))
    return Kinds(np.array(shares) / sum(shares), np.array(sizes), np.array(targets))


@numba.njit(nogil=True)
def draw(
    rng: np.random.Generator,
    kind: NDArray[np.int64],
    sizes: NDArray[np.int64],
    targets: NDArray[np.float64],
    firsts: NDArray[np.int64],
    words: NDArray[np.uint32],
) -> None:
    """Fill the words of groups, one after another: targets in order, weights of 9 bits."""
    at = 0
    for group in range(kind.size):
        end = at + sizes[group]
        for k in range(at, end):
            population = np.searchsorted(targets[kind[group]], rng.random())
            width = firsts[population + 1] - firsts[population]
            slot = firsts[population] + int(rng.random() * width)
            words[k] = slot << 16 | int(rng.random() * 512 - 256) & 0xFFFF
        words[at:end].sort()
        for k in range(at, end):
            words[k] = words[k] << np.uint32(16) | words[k] >> np.uint32(16)
        at = end


def make(count: int, seed: int) -> Records:
    """Return about `count` records of a page in random groups."""
    rng = np.random.default_rng(seed)
    of = kinds()
    groups = round(count / (of.shares @ of.sizes))
    kind = rng.choice(len(of.shares), groups, p=of.shares)
    sizes = rng.poisson(of.sizes[kind])
    kind = kind[sizes > 0]
    sizes = sizes[sizes > 0]
    firsts = np.cumsum([0, *(-(-column.size // PAGES) for column in MICROCIRCUIT)])
    # Made here: numpy asks for large pages, numba does not.
    words = np.empty(sizes.sum(), np.uint32)
    draw(rng, kind, sizes, of.targets, firsts, words)
    ends = np.cumsum(sizes)
    order = rng.permutation(len(sizes))
    return Records((ends - sizes)[order], ends[order], words)


@numba.njit(nogil=True)
def add(begins: NDArray[np.int64], ends: NDArray[np.int64], words: NDArray[np.uint32], sums: NDArray[np.int32]) -> None:
    """Add all records to the sums of their targets."""
    # Views without an owner: numba counts references to others, which took as long as the adding.
    start = words.ctypes.data
    own = vector(sums.ctypes.data, sums.size, sums.dtype.type(0))  # type: ignore[call-arg]
    last = begins.size - AHEAD
    for group in range(begins.size):
        if group < last:
            for line in range(begins[group + AHEAD] * 4, ends[group + AHEAD] * 4, 64):
                prefetch(start + line)
        records = vector(start + 4 * begins[group], ends[group] - begins[group], np.uint32(0))
        for k in range(records.size):
            record = records[k]
            own[record & np.uint32(0xFFFF)] += np.int32(record) >> np.int32(16)


def time_of(parts: list[Records], sums: list[NDArray[np.int32]]) -> float:
    """Return the CPU s of the slower thread while all add their records at once."""
    times = [0.0] * len(parts)

    def work(number: int) -> None:
        times[number] = frame.seconds(lambda: add(*parts[number], sums[number]), time.thread_time)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(times)


def measure(records: int, repeats: int, threads: int) -> list[dict[str, object]]:
    """Return a row for each width of the sums and each number of threads."""
    rows: list[dict[str, object]] = []
    parts = [make(records // threads, seed) for seed in range(threads)]
    for count in range(1, threads + 1):
        for width in (np.int32, np.int16):
            sums = [np.zeros(1 << 16, width) for _ in range(count)]
            times = sorted(time_of(parts[:count], sums) / len(parts[0].words) for _ in range(repeats))
            rows.append(
                {
                    "threads": count,
                    "bits of a sum": 8 * np.dtype(width).itemsize,
                    "ns an event of a thread, least": 1e9 * times[0],
                    "median": 1e9 * statistics.median(times),
                    "real-time factor at least": times[0] * events() / count,
                    "by the median": statistics.median(times) * events() / count,
                }
            )
    return rows


def main() -> None:
    parser = frame.arguments(__doc__, repeats=5, threads=2)
    parser.add_argument(
        "--records", type=int, default=1 << 26, help="records of all threads, of 4 bytes (default 2^26)"
    )
    options = parser.parse_args()
    # Compiles.
    measure(1 << 12, 1, options.threads)
    rows = measure(options.records, options.repeats, options.threads)
    lines = [f"{events():.4g} synaptic events a biological second", *frame.records(rows)]
    frame.report(options, lines, {"events": events(), "rows": rows})


if __name__ == "__main__":
    main()
