"""Overlap of one SDR with a bank of many: packed bits against numpy's dense product, beside the memory's bandwidth.

    python benchmarks/sdr.py [--bank 1000000] [--size 2048] [--active 40] [--repeats 15] [--threads N] [--json]

`columns` is the same bank by bits (sdr.Columns), of which a query reads only the columns of its active bits.
The packed bank takes size / 8 bytes an SDR, and each is read once: the time cannot be less than that over the
bandwidth, which is measured with a sum over the same bytes. numpy's product takes the bank as bytes, int32 and float32
(the last through BLAS); those need up to 8 GiB, so they run on a part of the bank, and their time is scaled.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator

import frame
import numba
import numpy as np
from threadpoolctl import threadpool_limits

from neurosim.kernels.memory.packed.reference import pack
from neurosim.kernels.tools.threads import spread
from neurosim.memory import SDR
from neurosim.memory.sdr import code
from neurosim.memory.sdr.columns import Columns

PART = 50_000  # SDRs of the bank that numpy's dense forms multiply
DENSE = {"bool": np.bool_, "int32": np.int32, "float32": np.float32}


@numba.njit(nogil=True)
def total(words: np.ndarray, out: np.ndarray, place: int) -> None:
    kept = np.uint64(0)
    for k in range(words.size):
        kept += words[k]
    out[place] = kept


def bandwidth(bank: np.ndarray, repeats: int, threads: int) -> float:
    """Bytes a second that `threads` threads read together, the best of several passes over the bank."""
    words = bank.reshape(-1)
    out = np.zeros(threads, np.uint64)
    edges = np.linspace(0, words.size, threads + 1).astype(int)
    parts = [words[a:b] for a, b in itertools.pairwise(edges)]
    total(parts[0][:1], out, 0)
    bounds = np.arange(threads + 1)

    def read(first: int, end: int) -> None:
        for k in range(first, end):
            total(parts[k], out, k)

    best = min(seconds(lambda: spread(read, bounds, threads, 1), repeats))
    return bank.nbytes / best


def seconds(work: Callable[[], object], repeats: int) -> list[float]:
    return [frame.seconds(work) for _ in range(repeats)]


def random_bank(count: int, size: int, active: int) -> np.ndarray:
    """[count, words] packed; active bits drawn with repeats left out, so a few SDRs have one bit less."""
    draws = np.random.default_rng(0)
    parts = []
    for first in range(0, count, PART):
        dense = np.zeros((min(PART, count - first), size), bool)
        dense[np.arange(len(dense))[:, None], draws.integers(size, size=(len(dense), active))] = True
        parts.append(pack(dense))
    return np.concatenate(parts)


def measure(options: argparse.Namespace) -> dict:
    bank = random_bank(options.bank, options.size, options.active)
    query = SDR.random(options.size, options.active, seed=1)
    part = np.unpackbits(bank[:PART].view(np.uint8), axis=1, bitorder="little")[:, : options.size]
    start = time.perf_counter()
    columns = Columns.of(bank, options.size)
    made = time.perf_counter() - start
    expected = part @ query.dense().astype(np.int32)
    for overlaps in (code.overlaps(query, bank), columns.overlaps(query)):
        if not np.array_equal(overlaps[:PART], expected):
            raise SystemExit("packed and dense overlaps differ")
    found: dict = {key: getattr(options, key) for key in ("bank", "size", "active", "repeats")}
    found["columns_made_s"] = made
    for threads in sorted({1, options.threads}):
        found[f"packed_{threads}"] = rows = by_rows(query, bank, threads, options.repeats)
        found[f"columns_{threads}"] = by_bits = by_columns(query, columns, threads, options.repeats)
        by_bits["times_faster_than_rows"] = rows["seconds"] / by_bits["seconds"]
        for name, kind in DENSE.items():
            scaled = dense_product(query, part, kind, threads, options.repeats) * len(bank) / len(part)
            found[f"numpy_{name}_{threads}"] = {
                "seconds": scaled,
                "times_packed": scaled / rows["seconds"],
                "times_columns": scaled / by_bits["seconds"],
            }
    return found


def by_rows(query: SDR, bank: np.ndarray, threads: int, repeats: int) -> dict:
    every = seconds(lambda: code.overlaps(query, bank, threads), repeats)
    median = statistics.median(every)
    speed = bandwidth(bank, repeats, threads)
    return {
        "seconds": median,
        "spread": [min(every), max(every)],
        "bytes_per_s": bank.nbytes / median,
        "memory_bytes_per_s": speed,
        "of_bandwidth": bank.nbytes / median / speed,
    }


def by_columns(query: SDR, columns: Columns, threads: int, repeats: int) -> dict:
    every = seconds(lambda: columns.overlaps(query, threads), 3 * repeats)
    median = statistics.median(every)
    moved = len(query) * columns.bits.shape[1] * 8 + 4 * columns.count
    return {"seconds": median, "spread": [min(every), max(every)], "bytes_per_s": moved / median}


def dense_product(query: SDR, part: np.ndarray, kind: type, threads: int, repeats: int) -> float:
    """Seconds of numpy's product of the dense part with the query."""
    dense = part.astype(kind)
    vector = query.dense().astype(np.int32 if kind is np.bool_ else kind)
    with threadpool_limits(threads):
        return statistics.median(seconds(lambda: dense @ vector, max(3, repeats // 3)))


def show(found: dict, counts: list[int]) -> Iterator[str]:
    yield f"one SDR of {found['active']} in {found['size']} bits against {found['bank']:,}:"
    for threads in counts:
        row = found[f"packed_{threads}"]
        yield (
            f"  packed, {threads} thread(s): {row['seconds'] * 1e3:.2f} ms, {row['bytes_per_s'] / 1e9:.1f} GB/s "
            f"({row['of_bandwidth']:.0%} of the {row['memory_bytes_per_s'] / 1e9:.1f} GB/s that a sum reads)"
        )
        row = found[f"columns_{threads}"]
        speed = f"{row['bytes_per_s'] / 1e9:.1f} GB/s read and written"
        faster = f"{row['times_faster_than_rows']:.1f} times as fast"
        yield f"  columns, {threads} thread(s): {row['seconds'] * 1e3:.3f} ms, {speed}, {faster}"
        for name in DENSE:
            row = found[f"numpy_{name}_{threads}"]
            ratio = f"{row['times_packed']:.0f} times the packed, {row['times_columns']:.0f} times the columns"
            yield f"  numpy {name}, {threads} thread(s): {row['seconds'] * 1e3:.0f} ms, {ratio}"


def main() -> None:
    parser = frame.arguments(__doc__, repeats=15, threads=os.cpu_count() or 1)
    parser.add_argument("--bank", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--active", type=int, default=40)
    options = parser.parse_args()
    found = measure(options)
    frame.report(options, show(found, sorted({1, options.threads})), {"rows": [found]})


if __name__ == "__main__":
    main()
