"""Print what an exchange of spikes costs at 1e6 to 1e9 neurons: bytes and messages on paper, and measured kernel time.

The kernel runs as on the first of many processes: in the place of MPI_Allgatherv is a function that copies what the
others would have sent. What is left out is the network; its time on paper is in the last column. `directed` is what a
process receives if spikes go only where they have targets, as in NEST, whose spikes are 8 bytes.
"""

from __future__ import annotations

import math
import statistics

import frame
import numpy as np
from numba import cfunc, njit, types

from neurosim.kernels.engine.clocked import exchange as kernel
from neurosim.kernels.tools.pointers import call, vector

# Neurons of a process, as in the weak scaling of Pronold et al. (2022); targets of a neuron; slots of a block.
EACH = 125_000
TARGETS = 11_250
SLOTS = 65_536
# bytes of a spike
OURS = 4
NEST = 8
POPULATIONS = 2
CLOCK = 1e-4
# 100 Gbit/s, and 2 us a message.
BANDWIDTH = 12.5e9
LATENCY = 2e-6
SIZES = (1e6, 1e7, 1e8, 1e9)


@cfunc(types.int32(*[types.int64] * 8), error_model="numpy")
def pretended(send, count, kind, receive, counts, places, kind_again, pools):
    """Fill what all would receive. pools: address of int64: processes, then length and address of counts and units."""
    given = vector(pools, 5, np.int64(0))  # type: ignore[call-arg]
    n = np.int64(0)
    for each in vector(counts, given[0], np.int32(0)):
        n += each
    pool = given[2] if n == given[1] else given[4]
    out = vector(receive, n, np.int32(0))
    kept = vector(pool, n, np.int32(0))
    for i in range(n):
        out[i] = kept[i]
    return 0


@njit
def once(record, asked, log, log_offsets):
    call(record[kernel.CALLED], record, asked, log, log_offsets)  # type: ignore[call-arg]


def measure(neurons: float, rate: float, interval: float, repeats: int) -> dict[str, float]:
    """One row of the table."""
    processes = max(2, round(neurons / EACH))
    blocks = 1 << math.ceil(math.log2(neurons / SLOTS))
    steps = round(interval / CLOCK)
    entries = steps * POPULATIONS
    rng = np.random.default_rng(0)
    counts = rng.poisson(neurons * rate * CLOCK / blocks / POPULATIONS, blocks * entries).astype(np.int32)
    by_block = counts.reshape(blocks, entries).sum(axis=1)
    units = rng.integers(0, SLOTS, int(by_block.sum()), dtype=np.int32)
    first = np.array([rank * blocks // processes for rank in range(processes + 1)], np.int64)
    log = np.empty((blocks, int(by_block.max())), np.int32)
    log_offsets = np.zeros((blocks, entries + 1), np.int64)
    own = counts[: first[1] * entries].reshape(-1, entries)
    log_offsets[: first[1], 1:] = np.cumsum(own, axis=1)
    log[: first[1]] = 0
    sent = by_block[: first[1]]
    pools = np.array([processes, len(counts), counts.ctypes.data, len(units), units.ctypes.data], np.int64)
    record = np.zeros(kernel.EXCHANGE_COLUMNS, np.int64)
    record[[kernel.CALLED, kernel.GATHER]] = kernel.address_of_exchange(), pretended.address
    record[kernel.COMMUNICATOR] = pools.ctypes.data
    record[kernel.PROCESSES] = processes
    record[kernel.FIRST_BLOCKS] = first.ctypes.data
    span = np.array([0, steps, 0, POPULATIONS], np.int64)
    taken = []
    for _ in range(repeats + 1):
        taken.append(frame.seconds(lambda: once(record, span, log, log_offsets)))
    if not np.array_equal(np.diff(log_offsets, axis=1).ravel(), counts):
        raise SystemExit("the logs are not those that were sent")
    per_s = 1 / interval
    received = (OURS * len(units) + 4 * len(counts)) * per_s
    reached = 1 - math.exp(-TARGETS / processes)  # part of the processes in which a spike has a target
    messages = 2 * math.ceil(math.log2(processes)) * per_s
    return {
        "neurons": neurons,
        "processes": processes,
        "sent_mb_per_s": (OURS * int(sent.sum()) + 4 * own.size) * per_s / 1e6,
        "received_mb_per_s": received / 1e6,
        "directed_mb_per_s": NEST * reached * neurons * rate / 1e6,
        "messages_per_s": messages,
        "kernel_s": statistics.median(taken[1:]) * per_s,
        "ns_per_spike": statistics.median(taken[1:]) / max(1, len(units)) * 1e9,
        "network_s": received / BANDWIDTH + messages * LATENCY,
    }


def table(rows: list[dict[str, float]]) -> list[str]:
    heads = ["neurons", "processes", "sent MB", "received MB", "directed MB", "messages", "ns/spike", "kernel s"]
    cells = [
        [
            f"{row['neurons']:.0e}",
            f"{row['processes']:.0f}",
            f"{row['sent_mb_per_s']:.2f}",
            f"{row['received_mb_per_s']:.1f}",
            f"{row['directed_mb_per_s']:.1f}",
            f"{row['messages_per_s']:.0f}",
            f"{row['ns_per_spike']:.2f}",
            f"{row['kernel_s']:.3f}",
            f"{row['network_s']:.3f}",
        ]
        for row in rows
    ]
    return frame.table([*heads, "network s"], cells)


def main() -> None:
    parser = frame.arguments(__doc__, repeats=5)
    parser.add_argument("--rate", type=float, default=4.0, help="spikes/s of a neuron")
    parser.add_argument("--interval", type=float, default=1.5e-3, help="s, the shortest delay")
    parser.add_argument("--sizes", type=float, nargs="*", default=SIZES, help="numbers of neurons, from 1e6 up")
    options = parser.parse_args()
    rows = [measure(size, options.rate, options.interval, options.repeats) for size in options.sizes]
    title = (
        f"{options.rate:g} spikes/s, exchange every {options.interval * 1e3:g} ms, {EACH:,} neurons a process; MB, "
        "messages and s of each process per biological second"
    )
    frame.report(options, [title, *table(rows)], {"rows": rows})


if __name__ == "__main__":
    main()
