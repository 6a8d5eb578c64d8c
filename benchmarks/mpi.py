"""One network over processes: 2 processes of 1 thread beside 1 process of 2 threads, on the cortical microcircuit.

Needs mpirun (`pip install 'neurosim-spiking[mpi]'`). Every repeat runs both in turn; figures are medians. CPU time is
that of all processes and threads together. Memory is the most that any process held; that of an empty process, Python
and compiled kernels, is told apart.

`--build` instead builds a network of each pattern over 1, 2 and 4 processes of a thread, in turn: the CPU time and the
memory of the process that needs most of it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import frame
from machine import describe
from process_memory import peak_mib
from run_neurosim import network
from workloads import microcircuit

from neurosim import LIF, FixedNumberPre, FixedProbability, Network, Population, Projection, Simulation
from neurosim.base.values import Value
from neurosim.network import DistanceDependentProbability, Normal
from neurosim.network.synapses.base import Pattern
from neurosim.network.synapses.patterns import FixedNumberPost, FixedTotalNumber

KEYS = ("build_s", "build_cpu_s", "sim_s", "sim_cpu_s", "peak_mib", "network_mib", "stored_mib")
HEADS = ("", "build s", "CPU s", "sim s", "CPU s", "peak MiB", "beyond empty", "rows MiB")
# The keys of which all processes together have the sum, not the maximum.
SUMMED = ("build_cpu_s", "sim_cpu_s")
UNITS = 20_000
# Units of the pattern that looks at every pair, a tenth of a microsecond each.
NEAR_UNITS = 5_000
DRAWN = Normal(0.1, 0.02), Normal(1.5e-3, 5e-4, low=1e-4)
BUILDS: dict[str, tuple[Pattern, tuple[Value, Value]]] = {
    "fixed in-degree": (FixedNumberPre(1000), (0.1, 1.5e-3)),
    "fixed in-degree, drawn": (FixedNumberPre(1000), DRAWN),
    "fixed out-degree": (FixedNumberPost(1000), (0.1, 1.5e-3)),
    "fixed out-degree, drawn": (FixedNumberPost(1000), DRAWN),
    "fixed total number": (FixedTotalNumber(1000 * UNITS), (0.1, 1.5e-3)),
    "fixed probability": (FixedProbability(0.05), (0.1, 1.5e-3)),
    "fixed probability, drawn": (FixedProbability(0.05), DRAWN),
    "distance": (DistanceDependentProbability(1.0, NEAR_UNITS / 10, 1.0), (0.1, 1.5e-3)),
}


def run(scale: float, seconds: float, threads: int, over_mpi: bool) -> None:
    """Run the network as one process of one or more; process 0 prints the figures as JSON."""
    comm = None
    if over_mpi:
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
    # An empty process has run: what every process holds whatever the network.
    small = microcircuit(0.02)
    Simulation(network(small), clock=small.dt, threads=threads, comm=comm).run(small.dt)
    empty = peak_mib()
    workload = microcircuit(scale)
    described = network(workload)
    before = time.process_time()
    simulation = Simulation(described, clock=workload.dt, threads=threads, comm=comm)
    built = time.process_time() - before
    simulation.run(workload.warmup)
    if comm is not None:
        comm.Barrier()
    started = time.perf_counter()
    before = time.process_time()
    outcome = simulation.run(seconds)
    figures = {
        "build_s": simulation.build_s,
        "build_cpu_s": built,
        "sim_s": time.perf_counter() - started,
        "sim_cpu_s": time.process_time() - before,
        "peak_mib": peak_mib(),
        "network_mib": peak_mib() - empty,
        "stored_mib": sum(layer.parameter_bytes or 0 for layer in outcome.work) / 2**20,
        "spikes": sum(map(len, outcome.spikes.values())),
        "digest": "".join(spikes.digest()[:4] for spikes in outcome.spikes.values()),
    }
    show(figures, comm)


def build(name: str, over_mpi: bool) -> None:
    """Build a network; process 0 prints the figures as JSON."""
    comm = None
    if over_mpi:
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
    pattern, values = BUILDS[name]
    max_units = NEAR_UNITS if name == "distance" else UNITS
    for units in (2_000, max_units):  # the first compiles, and is what an empty process holds
        if isinstance(pattern, FixedTotalNumber):
            pattern = FixedTotalNumber(1000 * units)
        cells = [Population("cells", units, LIF())]
        described = Network(cells, [Projection("cells", "cells", pattern, *values)])
        empty = peak_mib()
        before = time.process_time()
        simulation = Simulation(described, clock=1e-4, threads=1, comm=comm)
        built = time.process_time() - before
    stored = sum(layer.parameter_bytes or 0 for layer in simulation.run(0.0).work) / 2**20
    show({"build_cpu_s": built, "network_mib": peak_mib() - empty, "stored_mib": stored}, comm)


def show(figures: dict[str, float], comm: object) -> None:
    """Print the figures of the process that has most, as JSON, from process 0."""
    every = [figures] if comm is None else comm.allgather(figures)  # type: ignore[attr-defined]
    worst = {key: max(each[key] for each in every) for key in figures}
    if "sim_cpu_s" in figures:
        worst |= {key: sum(each[key] for each in every) for key in SUMMED}
    if comm is None or comm.Get_rank() == 0:  # type: ignore[attr-defined]
        print(json.dumps(worst), flush=True)


def measured(processes: int, threads: int, chosen: argparse.Namespace, *more: str) -> dict[str, float]:
    options = ["--one", "--scale", str(chosen.scale), "--seconds", str(chosen.seconds), "--threads", str(threads)]
    command = [sys.executable, str(Path(__file__)), *options, *more]
    if processes > 1:
        command = [mpirun(), "-n", str(processes), *command, "--mpi"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.strip().splitlines()[-1])


def mpirun() -> str:
    beside = Path(sys.executable).with_name("mpirun")
    if beside.exists():
        found = str(beside)
    else:
        found = shutil.which("mpirun")
    if found is None:
        raise SystemExit("no mpirun: pip install 'neurosim-spiking[mpi]'")
    return found


def builds(options: argparse.Namespace) -> None:
    """Report what building a network of each pattern takes on 1, 2 and 4 processes."""
    rows = []
    for name in BUILDS:
        runs: dict[int, list[dict[str, float]]] = {1: [], 2: [], 4: []}
        for _ in range(options.repeats):
            for processes, each in runs.items():
                each.append(measured(processes, 1, options, "--building", name))
        row: dict[str, object] = {"processes": name}
        for n, each in runs.items():
            row[f"{n}: CPU s"] = statistics.median(run["build_cpu_s"] for run in each)
            row[f"{n}: MiB"] = statistics.median(run["network_mib"] for run in each)
        row["rows MiB"] = statistics.median(run["stored_mib"] for run in runs[1])
        rows.append(row)
        frame.say(str(row))
    title = f"{UNITS:,} units, about 1,000 synapses each; 1 thread a process"
    frame.report(options, [title, *frame.records(rows)], {"rows": rows})


def compare(options: argparse.Namespace) -> None:
    """Report several processes of a thread beside one process of as many threads."""
    n = options.processes
    together = []
    apart = []
    for _ in range(options.repeats):
        together.append(measured(1, n, options))
        apart.append(measured(n, 1, options))
    if len({run["digest"] for run in together + apart}) != 1:
        raise SystemExit("the spikes differ")
    ours = medians(together)
    theirs = medians(apart)
    ratio = {key: theirs[key] / ours[key] for key in KEYS}
    rows = [[f"1 process, {n} threads", *ours.values()], [f"{n} processes, 1 thread", *theirs.values()]]
    cells = [[name, *(f"{value:.4g}" for value in values)] for name, *values in rows]
    lines = [
        f"microcircuit at {options.scale:g}, {options.seconds:g} s",
        *frame.table(HEADS, cells),
        f"{n} processes over 1: " + ", ".join(f"{key} {ratio[key]:.2f}" for key in KEYS),
    ]
    frame.report(options, lines, {"one": ours, "processes": theirs, "ratio": ratio}, describe(n))


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(run[key] for run in runs) for key in KEYS}


def main() -> None:
    parser = frame.arguments(__doc__, repeats=3)
    parser.add_argument("--scale", type=float, default=0.2)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--processes", type=int, default=2, help="of 1 thread, beside 1 process of as many threads")
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--mpi", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--build", action="store_true", help="build a network of each pattern over 1, 2, 4 processes")
    parser.add_argument("--building", choices=BUILDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.building:
        build(options.building, options.mpi)
    elif options.build:
        builds(options)
    elif options.one:
        run(options.scale, options.seconds, options.threads, options.mpi)
    else:
        compare(options)


if __name__ == "__main__":
    main()
