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
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import describe
from run_neurosim import network
from workloads import microcircuit

from neurosim import Network, Population, Projection, Simulation
from neurosim.neurons import LIF
from neurosim.synapses import (
    DistanceDependentProbability,
    FixedNumberPost,
    FixedNumberPre,
    FixedProbability,
    FixedTotalNumber,
    Normal,
    Pattern,
    Value,
)

MIB = 1024  # ru_maxrss is in KiB
KEYS = ("build_s", "build_cpu_s", "sim_s", "sim_cpu_s", "peak_mib", "network_mib", "stored_mib")
HEAD = f"{'':24}" + "".join(
    f"{name:>13}" for name in ("build s", "CPU s", "sim s", "CPU s", "peak MiB", "beyond empty", "rows MiB")
)
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


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB


def run(scale: float, seconds: float, threads: int, over_mpi: bool) -> None:
    """Run the network as one process of one or more; process 0 prints the figures as JSON."""
    comm = None
    if over_mpi:
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
    # An empty process has run: what every process holds whatever the network.
    small = microcircuit(0.02)
    Simulation(network(small), clock=small.dt, threads=threads, comm=comm).run(small.dt)
    empty, workload = peak_mib(), microcircuit(scale)
    described, before = network(workload), time.process_time()
    simulation = Simulation(described, clock=workload.dt, threads=threads, comm=comm)
    built = time.process_time() - before
    simulation.run(workload.warmup)
    if comm is not None:
        comm.Barrier()
    started, before = time.perf_counter(), time.process_time()
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
        described, empty = Network(cells, [Projection("cells", "cells", pattern, *values)]), peak_mib()
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
    found = str(beside) if beside.exists() else shutil.which("mpirun")
    if found is None:
        raise SystemExit("no mpirun: pip install 'neurosim-spiking[mpi]'")
    return found


def row(name: str, runs: list[dict[str, float]]) -> tuple[str, dict[str, float]]:
    middle = {key: statistics.median(run[key] for run in runs) for key in KEYS}
    return f"{name:24}" + "".join(f"{middle[key]:13.4g}" for key in KEYS), middle


def print_builds(chosen: argparse.Namespace) -> None:
    machine = describe(1)
    print(f"{machine['cpu']}, {machine['cores']} cores; {UNITS:,} units, about 1,000 synapses each; 1 thread a process")
    head = "".join(f"{f'{n}: CPU s':>10}{'MiB':>7}" for n in (1, 2, 4))
    print(f"{'processes':26}{head}{'rows MiB':>10}")
    for name in BUILDS:
        runs: dict[int, list[dict[str, float]]] = {1: [], 2: [], 4: []}
        for _ in range(chosen.repeats):
            for processes, each in runs.items():
                each.append(measured(processes, 1, chosen, "--building", name))
        middle = {n: {k: statistics.median(run[k] for run in each) for k in each[0]} for n, each in runs.items()}
        cells = "".join(f"{found['build_cpu_s']:10.2f}{found['network_mib']:7.0f}" for found in middle.values())
        print(f"{name:26}{cells}{middle[1]['stored_mib']:10.0f}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object; the table goes to standard error")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scale", type=float, default=0.2)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--processes", type=int, default=2, help="of 1 thread, beside 1 process of as many threads")
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--mpi", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--build", action="store_true", help="build a network of each pattern over 1, 2, 4 processes")
    parser.add_argument("--building", choices=BUILDS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.building:
        build(chosen.building, chosen.mpi)
        return 0
    if chosen.build:
        print_builds(chosen)
        return 0
    if chosen.one:
        run(chosen.scale, chosen.seconds, chosen.threads, chosen.mpi)
        return 0
    n, together, apart = chosen.processes, [], []
    for _ in range(chosen.repeats):
        together.append(measured(1, n, chosen))
        apart.append(measured(n, 1, chosen))
    if len({run["digest"] for run in together + apart}) != 1:
        raise SystemExit("the spikes differ")
    one, ours = row(f"1 process, {n} threads", together)
    many, theirs = row(f"{n} processes, 1 thread", apart)
    machine = describe(n)
    ratio = {key: theirs[key] / ours[key] for key in KEYS}
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores; microcircuit at {chosen.scale:g}, {chosen.seconds:g} s",
        HEAD,
        one,
        many,
        f"{n} processes over 1: " + ", ".join(f"{key} {ratio[key]:.2f}" for key in KEYS),
    ]
    print("\n".join(lines), file=sys.stderr if chosen.json else sys.stdout)
    if chosen.json:
        print(json.dumps({"one": ours, "processes": theirs, "ratio": ratio}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
