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

from machine import describe

HERE = Path(__file__).parent
RUNNER = HERE / "peers" / "run_layers.py"
PEERS_PYTHON = HERE.parent / ".venv-peers" / "bin" / "python"
PEERS = ("snntorch", "spikingjelly", "norse")
WORKLOADS = ("layer", "neurons")
FIGURES = ("seconds", "forward_s", "backward_s", "fastest_s", "cpu_s", "peak_mb", "spikes")
Figures = dict[str, float]


def run_once(library: str, workload: str, units: int, chosen: argparse.Namespace) -> Figures | str:
    """Figures of one process, or why there are none."""
    python = Path(sys.executable) if library == "neurosim" else PEERS_PYTHON
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
            print(f"{workload} {units}, round {number + 1}: {library}", file=sys.stderr, flush=True)
            found = run_once(library, workload, units, chosen) if library not in missing else ""
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
    head = f"{row['workload']}, {row['units']} units"
    lines = [f"{head:24}{'total s':>9}{'forward':>9}{'backward':>9}{'CPU s':>9}{'peak MiB':>10}{'spikes':>8}"]
    for library, f in row["figures"].items():
        times = "".join(f"{f[name]:9.4f}" for name in ("seconds", "forward_s", "backward_s", "cpu_s"))
        lines.append(f"{library:24}{times}{f['peak_mb']:10.1f}{f['spikes']:8.4f}")
    lines += [f"{library:24}missing: {why}" for library, why in row["missing"].items()]
    if "times_the_fastest_peer" in row:
        lines.append(
            f"the fastest peer takes {row['times_the_fastest_peer']:.1f} times as long, "
            f"the leanest {row['times_the_leanest_peer']:.1f} times the memory"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object; tables go to standard error")
    parser.add_argument("--units", type=int, nargs="+", default=[512, 4096])
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS)
    for name, value in (("steps", 500), ("rounds", 3), ("repeats", 5), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    chosen = parser.parse_args(argv)
    rows = [compare(workload, units, chosen) for units in chosen.units for workload in WORKLOADS]
    for row in rows:
        print(table(row) + "\n", file=sys.stderr if chosen.json else sys.stdout)
    if chosen.json:
        print(json.dumps({"machine": describe(chosen.threads), "rows": rows}))


if __name__ == "__main__":
    main()
