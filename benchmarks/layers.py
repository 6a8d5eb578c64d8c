"""Time and peak memory of trainable spiking layers, forward and backward, beside snnTorch, SpikingJelly and norse.

    python benchmarks/layers.py [--json] [--units 512 4096] [--rounds 3] [--threads 2] [--peers snntorch ...]

500 steps, batch 16: a linear layer from input spikes of density .05 with leaky integrate-and-fire neurons behind, and
the neurons alone; what exactly is in `benchmarks/peers/run_layers.py`. Each library runs in a process of its own, in
turn, `--rounds` times; figures are medians over the rounds. The peers need `make peers`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import frame

HERE = Path(__file__).parent
RUNNER = HERE / "peers" / "run_layers.py"
PEERS_PYTHON = HERE.parent / ".venv-peers" / "bin" / "python"
PEERS = ("snntorch", "spikingjelly", "norse")
WORKLOADS = ("layer", "neurons")
TIMES = ("seconds", "forward_s", "backward_s", "cpu_s")
FIGURES = (*TIMES, "fastest_s", "peak_mb", "spikes")
Figures = dict[str, float]


def run_once(library: str, workload: str, units: int, chosen: argparse.Namespace) -> Figures | str:
    """Figures of one process, or why there are none."""
    if library == "neurosim":
        python = Path(sys.executable)
    else:
        python = PEERS_PYTHON
    if not python.exists():
        return "no .venv-peers: run `make peers`"
    options = {"units": units, "threads": chosen.threads, "repeats": chosen.repeats, "steps": chosen.steps}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    done = subprocess.run(
        [str(python), str(RUNNER), library, workload, *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return json.loads(done.stdout.strip().splitlines()[-1])


def compare(workload: str, units: int, chosen: argparse.Namespace) -> dict[str, object]:
    """Medians of everyone, and how much the fastest and the leanest peer need for each of ours."""
    libraries = ("neurosim", *chosen.peers)
    runs: dict[str, list[Figures]] = {library: [] for library in libraries}
    missing: dict[str, str] = {}
    for number in range(chosen.rounds):
        for library in libraries:
            frame.say(f"{workload} {units}, round {number + 1}: {library}")
            if library not in missing:
                found = run_once(library, workload, units, chosen)
            else:
                found = ""
            if isinstance(found, str):
                missing[library] = missing.get(library) or found
            else:
                runs[library].append(found)
    medians = {
        library: {name: statistics.median(r[name] for r in kept) for name in FIGURES}
        for library, kept in runs.items()
        if kept and library not in missing
    }
    row: dict[str, object] = {"workload": workload, "units": units, "figures": medians, "missing": missing}
    peers = [figures for library, figures in medians.items() if library != "neurosim"]
    if peers and "neurosim" in medians:
        ours = medians["neurosim"]
        row["times_the_fastest_peer"] = min(p["seconds"] for p in peers) / ours["seconds"]
        row["times_the_leanest_peer"] = min(p["peak_mb"] for p in peers) / ours["peak_mb"]
    return row


def table(row: dict) -> str:
    cells = [
        [library, *(f"{f[key]:.4f}" for key in TIMES), f"{f['peak_mb']:.1f}", f"{f['spikes']:.4f}"]
        for library, f in row["figures"].items()
    ]
    head = f"{row['workload']}, {row['units']} units"
    lines = frame.table([head, "total s", "forward", "backward", "CPU s", "peak MiB", "spikes"], cells)
    lines += [f"{library}: missing: {why}" for library, why in row["missing"].items()]
    if "times_the_fastest_peer" in row:
        lines.append(
            f"the fastest peer takes {row['times_the_fastest_peer']:.1f} times as long, "
            f"the leanest {row['times_the_leanest_peer']:.1f} times the memory"
        )
    return "\n".join(lines)


def main() -> None:
    parser = frame.arguments(__doc__, steps=500, rounds=3, repeats=5, threads=2)
    parser.add_argument("--units", type=int, nargs="+", default=[512, 4096])
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS)
    options = parser.parse_args()
    rows = [compare(workload, units, options) for units in options.units for workload in WORKLOADS]
    frame.report(options, (table(row) + "\n" for row in rows), {"rows": rows})


if __name__ == "__main__":
    main()
