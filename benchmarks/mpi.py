"""One network over processes: 2 processes of 1 thread beside 1 process of 2 threads, on the cortical microcircuit.

Needs mpirun (`pip install 'neurosim-spiking[mpi]'`). Every repeat runs both in turn; figures are medians. Memory is the
most that any process held; that of an empty process, Python and compiled kernels, is told apart.
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

from neurosim import Simulation

MIB = 1024  # ru_maxrss is in KiB
KEYS = ("build_s", "sim_s", "peak_mib", "network_mib", "stored_mib")
HEAD = f"{'':28}{'build s':>9}{'sim s':>9}{'peak MiB':>10}{'beyond empty':>14}{'rows MiB':>10}"


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
    simulation = Simulation(network(workload), clock=workload.dt, threads=threads, comm=comm)
    simulation.run(workload.warmup)
    if comm is not None:
        comm.Barrier()
    started = time.perf_counter()
    outcome = simulation.run(seconds)
    figures = {
        "build_s": simulation.build_s,
        "sim_s": time.perf_counter() - started,
        "peak_mib": peak_mib(),
        "network_mib": peak_mib() - empty,
        "stored_mib": sum(layer.parameter_bytes or 0 for layer in outcome.work) / 2**20,
        "spikes": sum(map(len, outcome.spikes.values())),
        "digest": "".join(spikes.digest()[:4] for spikes in outcome.spikes.values()),
    }
    worst = figures if comm is None else {k: max(e[k] for e in comm.allgather(figures)) for k in figures}
    if comm is None or comm.Get_rank() == 0:
        print(json.dumps(worst), flush=True)


def measured(processes: int, threads: int, chosen: argparse.Namespace) -> dict[str, float]:
    options = ["--one", "--scale", str(chosen.scale), "--seconds", str(chosen.seconds), "--threads", str(threads)]
    command = [sys.executable, str(Path(__file__)), *options]
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
    cells = f"{middle['build_s']:9.2f}{middle['sim_s']:9.3f}{middle['peak_mib']:10.0f}"
    return f"{name:28}{cells}{middle['network_mib']:14.0f}{middle['stored_mib']:10.1f}", middle


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
    chosen = parser.parse_args()
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
