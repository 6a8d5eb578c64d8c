"""The time until the first spike, and until the end of first commands: with nothing compiled, and with kernels cached.

python benchmarks/first_use.py                          until the first spike
python benchmarks/first_use.py --commands               of demo, train, memory store and convert
python benchmarks/first_use.py --commands demo train

The kernels of a command that is run again are those that a second environment of the machine finds. Times are by the
clock, and CPU time of all threads, which says more on a machine that others use.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import frame

# A network in which cells fire within the first milliseconds, timed from the start of the process.
FIRST_SPIKE = """
from neurosim import Network, PoissonInput, Population, Projection, simulate
from neurosim.network.neurons import LIF
from neurosim.network.synapses import FixedNumberPre

cells = Population("cells", 1000, LIF(i_offset=2.0), {"v": 0.99})
joints = [Projection("cells", "cells", FixedNumberPre(100), 0.001, 1e-3)]
result = simulate(Network([cells], joints, [PoissonInput("cells", 100.0, 0.1)]), 1e-3, clock=1e-4)
assert len(result.spikes["cells"]) > 0
"""


def once(cache: str | None) -> float:
    """Seconds from starting Python to having the spikes; compiled code is kept in `cache`, or where it always is."""
    if cache is None:
        environment = dict(os.environ)
    else:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
    return frame.seconds(lambda: subprocess.run([sys.executable, "-c", FIRST_SPIKE], env=environment, check=True))


COMMANDS = {
    "demo": ["demo"],
    "train": ["train", "digits"],
    "store": ["memory", "store", "digits"],
    "convert": ["convert", "lm"],
}
# A model to convert is trained before, with the kernels of this machine.
MODEL = ["convert", "lm-train", "--set", "training.steps=5", "--out", "lm"]


def command(words: list[str], folder: str, cache: str | None) -> tuple[float, float]:
    """Return seconds by the clock and of CPU time of a command, in `folder`."""
    environment = dict(os.environ)
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = cache
    start = time.perf_counter()
    line = [sys.executable, "-m", "neurosim", *words, "--quiet"]
    process = subprocess.Popen(line, env=environment, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    took = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} failed")
    return took, usage.ru_utime + usage.ru_stime


def both(name: str) -> list[tuple[float, float]]:
    """Return the seconds, and of the CPU, of a command with an empty cache, and of the same again."""
    with tempfile.TemporaryDirectory() as folder:
        if name == "convert":
            command(MODEL, folder, None)
        return [command(COMMANDS[name], folder, str(Path(folder, "cache"))) for _ in range(2)]


def first_commands(names: list[str], repeats: int) -> list[dict[str, object]]:
    """Return a row for each command: compiled in an empty cache, then run again with that cache; the least of both."""
    rows: list[dict[str, object]] = []
    for name in names or list(COMMANDS):
        times: dict[str, list[tuple[float, float]]] = {"nothing compiled": [], "kernels cached": []}
        for _ in range(repeats):
            for state, seconds in zip(times, both(name), strict=True):
                times[state].append(seconds)
        row: dict[str, object] = {"command": " ".join(COMMANDS[name])}
        for state, each in times.items():
            row[f"{state}, s"] = min(took for took, _ in each)
            row[f"{state}, CPU s"] = min(cpu for _, cpu in each)
        rows.append(row)
    return rows


def main() -> None:
    parser = frame.arguments(f"{__doc__}\nA third as many repeats compile everything.", repeats=5)
    parser.add_argument("--commands", nargs="*", choices=list(COMMANDS), help="until the end of first commands; all")
    options = parser.parse_args()
    if options.commands is not None:
        rows = first_commands(options.commands, max(1, options.repeats // 3))
        frame.report(options, frame.records(rows), {"rows": rows})
        return
    once(None)
    cached = [once(None) for _ in range(options.repeats)]
    cold = []
    for _ in range(max(1, options.repeats // 3)):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(once(cache))
    result = {
        name: {"median_s": statistics.median(times), "best_s": min(times), "worst_s": max(times), "repeats": len(times)}
        for name, times in (("kernels cached", cached), ("nothing compiled", cold))
    }
    cells = [[name, *(f"{r[key]:.2f}s" for key in ("median_s", "best_s", "worst_s"))] for name, r in result.items()]
    frame.report(options, frame.table(["to the first spike", "median", "best", "worst"], cells), result)


if __name__ == "__main__":
    main()
