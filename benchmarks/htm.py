"""Time a step of the spatial pooler and of the temporal memory, and whether it stays what it is.

Workloads, learning always on, 2048 columns x 10 cells:

- sine: that of the published C++ figures (0.163 and 0.197 ms a step), an example of htm.core: sin(x), x in steps of
  .01, as 200 of 1000 bits (values .03 apart share no bit but by chance), 1 % of the bits moved at every step; pooler of
  density 5 %, its columns go into the memory. Here a column's pool is half of all inputs, there half of 33.
- sequences: 50 sequences of 20 random codes of 40 columns, one after the other in random order, 5 % of the bits moved.
- images: 40 of 2048 inputs, 2000 random codes over and over; pooler alone, density 2 %, boost 2.
- local: the same with columns that compete within 16 places.

Times are CPU times of the one thread that works, so that a busy machine disturbs them less. Codes are made before.

    python benchmarks/htm.py [--steps 5000] [--repeats 5] [--long 0] [--json]
"""

from __future__ import annotations

import functools
import math
import statistics
import time

import frame

from neurosim import __version__
from neurosim.memory import SDR, RandomDistributedScalarEncoder, SpatialPooler, TemporalMemory

COLUMNS = 2048
CELLS = 10
PUBLISHED_MS = {"pooler": 0.163, "memory": 0.197}
Row = dict[str, object]


@functools.cache
def sine(steps: int) -> list[SDR]:
    encoder = RandomDistributedScalarEncoder(resolution=0.03 / 200, size=1000, active=200)
    return [encoder.encode(math.sin(0.01 * s)).noise(0.01, seed=1, index=s) for s in range(1, steps + 1)]


@functools.cache
def sequences(steps: int) -> list[SDR]:
    known = [[SDR.random(COLUMNS, 40, seed=2, index=20 * s + i) for i in range(20)] for s in range(50)]
    order = [int(SDR.random(50, 1, seed=3, index=turn).indices[0]) for turn in range(-(-steps // 20))]
    return [known[order[s // 20]][s % 20].noise(0.05, seed=4, index=s) for s in range(steps)]


@functools.cache
def images(steps: int) -> list[SDR]:
    return [SDR.random(2048, 40, seed=5, index=s % 2000) for s in range(steps)]


def run_sine(steps: int) -> list[Row]:
    pooler = SpatialPooler(1000, COLUMNS, density=0.05, potential_radius=16)
    memory = TemporalMemory(COLUMNS, CELLS)
    pooled = []
    remembered = []
    anomalies = []
    visits = 0
    for code in sine(steps):
        start = time.thread_time()
        columns = pooler.step(code)
        middle = time.thread_time()
        anomalies.append(memory.step(columns))
        end = time.thread_time()
        pooled.append(middle - start)
        remembered.append(end - middle)
        visits += memory.visits
    return [
        row("pooler", "sine", pooled, active=200, inputs=1000, winners=len(columns)),
        row("memory", "sine", remembered, active=len(columns), **described(memory, anomalies, visits)),
    ]


def run_sequences(steps: int) -> list[Row]:
    memory = TemporalMemory(COLUMNS, CELLS)
    times = []
    anomalies = []
    visits = 0
    for code in sequences(steps):
        start = time.thread_time()
        anomalies.append(memory.step(code))
        times.append(time.thread_time() - start)
        visits += memory.visits
    return [row("memory", "sequences", times, active=40, **described(memory, anomalies, visits))]


def run_images(steps: int, name: str = "images", radius: int | None = None) -> list[Row]:
    pooler = SpatialPooler(2048, COLUMNS, boost=2.0, inhibition_radius=radius)
    times = []
    for code in images(steps):
        start = time.thread_time()
        winners = pooler.step(code)
        times.append(time.thread_time() - start)
    return [row("pooler", name, times, active=40, inputs=2048, winners=len(winners))]


def run_local(steps: int) -> list[Row]:
    return run_images(steps, "local", radius=16)


RUNS = (run_sine, run_sequences, run_images, run_local)


def described(memory: TemporalMemory, anomalies: list[float], visits: int) -> Row:
    last = anomalies[len(anomalies) // 2 :]
    return {
        "anomaly_second_half": statistics.fmean(last),
        "segments": memory.segments,
        "synapses": memory.synapses,
        "visits_a_step": visits / len(anomalies),
        "mb": memory.bytes / 1e6,
    }


def row(what: str, workload: str, times: list[float], **about: object) -> Row:
    """A run: `median_ms` and `mean_ms` of a step over all steps, the first (compiling) left out."""
    ms = [1e3 * t for t in times[1:]]
    figures = {"median_ms": statistics.median(ms), "mean_ms": statistics.fmean(ms), "published_ms": PUBLISHED_MS[what]}
    return {"what": what, "workload": workload, "steps": len(times)} | figures | about


def repeated(steps: int, repeats: int) -> list[Row]:
    """Each figure the median over the repeats, with the least and the largest median."""
    runs = [[r for run in RUNS for r in run(steps)] for _ in range(repeats)]
    rows = []
    for same in zip(*runs, strict=True):
        medians = [r["median_ms"] for r in same]
        means = statistics.median(r["mean_ms"] for r in same)
        spread = {"least_ms": min(medians), "most_ms": max(medians), "repeats": repeats}
        rows.append(same[0] | {"median_ms": statistics.median(medians), "mean_ms": means} | spread)
    return rows


def long_run(steps: int) -> list[Row]:
    """Random codes without end, the worst there is to learn, with small caps: step time and memory, by tenths."""
    memory = TemporalMemory(COLUMNS, CELLS, max_segments=4, max_synapses=20)
    rows = []
    for tenth in range(10):
        times = []
        for _ in range(steps // 10):
            code = SDR.random(COLUMNS, 40, seed=6, index=memory.steps)
            start = time.thread_time()
            memory.step(code)
            times.append(time.thread_time() - start)
        about = {"segments": memory.segments, "synapses": memory.synapses, "mb": memory.bytes / 1e6}
        median = 1e3 * statistics.median(times)
        rows.append({"after_steps": (tenth + 1) * len(times), "median_ms": median, **about})
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = frame.arguments(__doc__, steps=5000, repeats=5)
    parser.add_argument("--long", type=int, default=0, metavar="STEPS", help="also run the memory on noise this long")
    options = parser.parse_args(argv)
    for run in RUNS:
        run(3)  # compiled before anything is timed
    result = {"neurosim": __version__, "rows": repeated(options.steps, options.repeats)}
    lines = frame.records(result["rows"])
    if options.long:
        result["long"] = long_run(options.long)
        lines += ["", "noise without end, 4 segments a cell and 20 synapses a segment at most:"]
        lines += frame.records(result["long"])
    frame.report(options, lines, result)


if __name__ == "__main__":
    main()
