"""Times neurosim and its peers beside each other: each run a process of its own, in turn, medians of the repeats.

A neighbour on the machine slows the simulators by very different amounts (NEST's threads spin at barriers). So every
run reports the CPU time that other processes took while it was timed, and one that was disturbed is run again, for
the peers and for neurosim alike. What stays disturbed is used all the same, and said.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import frame
from machine import describe
from workloads import WORKLOADS

HERE = Path(__file__).parent
PEERS_PYTHON = HERE.parent / ".venv-peers" / "bin" / "python"
NO_PEERS = "no .venv-peers: run `make peers`"
FIGURES = ("build_s", "sim_s", "real_time_factor", "peak_rss_mb", "synaptic_events_per_s", "rate_hz")
# Foreign CPU time that a run may see: this part of its own wall time, and what /proc/stat cannot resolve.
DISTURBED = 0.05
RESOLUTION = 0.03
MAX_SECONDS = 3600.0
# NEST numbers the connections of one synapse model in one thread with 27 bits.
NEST_PER_THREAD = 2**27

Record = dict[str, object]


@dataclass(frozen=True)
class Contestant:
    """A simulator to time: its runner, the Python it needs, and its own number of threads (0: the harness's)."""

    name: str
    script: Path
    python: Path
    threads: int = 0
    options: tuple[str, ...] = ()

    def command(self, workload: str, threads: int, options: list[str]) -> list[str]:
        head = [str(self.python), str(self.script), workload, "--threads", str(self.threads or threads)]
        return [*head, *self.options, *options]


OURS = Contestant("neurosim", HERE / "run_neurosim.py", Path(sys.executable))
NEST = Contestant("nest", HERE / "peers" / "run_nest.py", PEERS_PYTHON)
BRIAN2 = Contestant("brian2", HERE / "peers" / "run_brian2.py", PEERS_PYTHON)
# Brian2's small networks run best without OpenMP.
BRIAN2_ONE = Contestant("brian2_1_thread", BRIAN2.script, PEERS_PYTHON, threads=1)
PEERS = {c.name: c for c in (NEST, BRIAN2, BRIAN2_ONE)}
RIVALS: dict[str, tuple[str, ...]] = {
    "brunel": ("nest", "brian2", "brian2_1_thread"),
    "cuba": ("nest", "brian2", "brian2_1_thread"),
    "coba": ("nest", "brian2", "brian2_1_thread"),
    "microcircuit": ("nest",),
    "plastic": ("nest", "brian2_1_thread"),
}


@dataclass
class Runs:
    """All runs of one contestant; `kept` holds one a repeat."""

    kept: list[Record] = field(default_factory=list)
    disturbed: int = 0
    again: int = 0
    missing: str | None = None

    def median(self) -> Record:
        """Figures, each the median over the repeats; further figures from the repeat of median time."""
        if self.missing is not None:
            return {"missing": self.missing}
        middle = sorted(self.kept, key=lambda r: r["sim_s"])[(len(self.kept) - 1) // 2]
        return middle | {key: statistics.median(r[key] for r in self.kept) for key in FIGURES}


class Failed(Exception):
    """A run that ended without a result; says why."""


def run_once(contestant: Contestant, workload: str, threads: int, options: list[str]) -> Record:
    if not contestant.python.exists():
        raise Failed(NO_PEERS)
    command = contestant.command(workload, threads, options)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MAX_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Failed(f"ran longer than {MAX_SECONDS:g} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise Failed(lines[-1])
    return json.loads(done.stdout.strip().splitlines()[-1])


def is_disturbed(record: Record) -> bool:
    return float(record["foreign_cpu_s"]) > max(DISTURBED * float(record["watched_s"]), RESOLUTION)


def prime(runs: Runs, workload: str, chosen: argparse.Namespace) -> None:
    """Fill neurosim's cache of compiled kernels by a short run: compiling is timed elsewhere."""
    try:
        run_once(OURS, workload, chosen.threads, [*passed_on(chosen), "--seconds", "0.01", "--warmup", "0"])
    except Failed as reason:
        runs.missing = str(reason)


def repeat(runs: Runs, contestant: Contestant, workload: str, chosen: argparse.Namespace) -> None:
    """One more repeat: run until undisturbed, `--tries` times at most; else the quickest is kept.

    A disturbed run can only have taken longer, so the quickest is nearest to the truth; the rule is one for all.
    """
    options = passed_on(chosen)
    tried: list[Record] = []
    for _ in range(chosen.tries):
        try:
            tried.append(run_once(contestant, workload, chosen.threads, options))
        except Failed as reason:
            runs.missing = str(reason)
            return
        frame.say(f"  {contestant.name}: {tried[-1]['sim_s']:.4g} s, foreign CPU {tried[-1]['foreign_cpu_s']:.2f} s")
        if not is_disturbed(tried[-1]):
            break
    best = min(tried, key=lambda r: (is_disturbed(r), float(r["sim_s"])))
    runs.kept.append(best)
    runs.again += len(tried) - 1
    runs.disturbed += is_disturbed(best)


def passed_on(chosen: argparse.Namespace) -> list[str]:
    options = ["--seconds", str(chosen.seconds), "--scale", str(chosen.scale), "--weights", chosen.weights]
    if chosen.warmup is None:
        return options
    return [*options, "--warmup", str(chosen.warmup)]


def contestants(workload: str, chosen: argparse.Namespace) -> list[Contestant]:
    """Return neurosim and its peers; NEST gets more threads where it could not hold the network otherwise."""
    # In whole multiples of --threads, so that the cores stay evenly loaded.
    multiple = math.ceil(WORKLOADS[workload](chosen.scale).synapses / NEST_PER_THREAD / chosen.threads)
    everyone = [OURS]
    for name in chosen.peers:
        peer = PEERS[name]
        if peer is NEST and multiple > 1:
            peer = replace(peer, threads=multiple * chosen.threads)
        everyone.append(peer)
    return everyone


def compare(workload: str, chosen: argparse.Namespace) -> dict[str, Runs]:
    """Run everyone in turn, `--repeats` times."""
    everyone = contestants(workload, chosen)
    runs = {c.name: Runs() for c in everyone}
    prime(runs[OURS.name], workload, chosen)
    for number in range(chosen.repeats):
        frame.say(f"repeat {number + 1} of {chosen.repeats}")
        for contestant in everyone:
            if runs[contestant.name].missing is None:
                repeat(runs[contestant.name], contestant, workload, chosen)
    return runs


def summary(runs: Mapping[str, Runs]) -> dict[str, object]:
    """Return what `--json` prints: the six figures of everyone, and how much longer each peer took."""
    medians = {name: r.median() for name, r in runs.items()}
    figures = {name: {k: m[k] for k in FIGURES} if "missing" not in m else m for name, m in medians.items()}
    ours = figures.pop(OURS.name)
    ratio = {
        name: float(peer["sim_s"]) / float(ours["sim_s"])
        for name, peer in figures.items()
        if "missing" not in peer and "missing" not in ours
    }
    return {"neurosim": ours, "peers": figures, "ratio": ratio}


SPEEDS = ("build", "sim", "x real", "peak", "syn. events/s", "of limit")
HEADS = ("", *SPEEDS, "spikes/s", "CV", "corr.", "ratio", "disturbed")


def table(runs: Mapping[str, Runs], ratio: Mapping[str, float], limit: float) -> list[str]:
    """Return the lines of the table: a row for each contestant, and who is missing."""
    rows = []
    missing = []
    for name, r in runs.items():
        m = r.median()
        if "missing" in m:
            missing.append(f"{name} is missing: {m['missing']}")
            continue
        events = float(m["synaptic_events_per_s"])
        slower = ""
        if name in ratio:
            doubt = "?" if r.disturbed else ""
            slower = f"{ratio[name]:.1f}{doubt}"
        rows.append(
            [
                name,
                f"{m['build_s']:.2f}",
                f"{m['sim_s']:.4g}",
                f"{m['real_time_factor']:.3g}",
                f"{m['peak_rss_mb']:.0f}MB",
                f"{events:.3g}",
                f"{events / limit:.2f}",
                f"{m['rate_hz']:.2f}",
                "-" if m["cv"] is None else f"{m['cv']:.3f}",
                "-" if m["correlation"] is None else f"{m['correlation']:.3f}",
                slower,
                f"{r.disturbed} of {len(r.kept)} ({r.again} run again)",
            ]
        )
    lines = frame.table(HEADS, rows) + missing
    if any(r.disturbed for r in runs.values()):
        lines += ["", "?: other processes were busy while it ran; the ratio is not to be relied on."]
    return [*lines, *energy(runs), *rates(runs)]


def energy(runs: Mapping[str, Runs]) -> list[str]:
    """Measured energy of neurosim's run, of the whole machine, for each synaptic event."""
    m = runs[OURS.name].median()
    if "missing" in m:
        return []
    if m["joules"] is None:
        return ["", f"energy for each synaptic event: {m['joules_note']}"]
    events = float(m["synaptic_events_per_s"]) * float(m["sim_s"])
    return ["", f"energy of the machine for each synaptic event: {float(m['joules']) / events * 1e9:.3g} nJ"]


def rates(runs: Mapping[str, Runs]) -> list[str]:
    """Spikes/s of every population."""
    medians = {name: r.median() for name, r in runs.items()}
    known = {name: m["rates_hz"] for name, m in medians.items() if "missing" not in m}
    if not known:
        return []
    populations = list(next(iter(known.values())))
    rows = [[name, *(f"{of[p]:.2f}" for p in populations)] for name, of in known.items()]
    return ["", *frame.table(["spikes/s", *populations], rows)]


def parse(workload: str, about: str) -> argparse.Namespace:
    parser = frame.arguments(about, repeats=3, threads=2)
    parser.add_argument("--tries", type=int, default=4, help="runs a repeat may take to be undisturbed")
    parser.add_argument("--seconds", type=float, default=1.0, help="biological time that is timed")
    parser.add_argument("--warmup", type=float, help="biological time before that; None means the workload's own")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--weights", choices=["constant", "drawn"], default="constant", help="brunel only")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=RIVALS[workload])
    parser.add_argument("--details", type=Path, help="write every repeat and the machine to this JSON file")
    return parser.parse_args()


def main(workload: str, about: str) -> int:
    """Run a benchmark script; return 1 where neurosim could not run."""
    chosen = parse(workload, about)
    machine = describe(chosen.threads)
    started = time.time()
    runs = compare(workload, chosen)
    result = summary(runs)
    title = f"{workload}, scale {chosen.scale:g}, {chosen.seconds:g} s, median of {chosen.repeats}"
    lines = [title, "", *table(runs, result["ratio"], float(machine["random_access_per_s"]))]
    frame.report(chosen, lines, result, machine)
    if chosen.details:
        every = {name: {"kept": r.kept, "disturbed": r.disturbed, "missing": r.missing} for name, r in runs.items()}
        about_run = {"workload": workload, "scale": chosen.scale, "weights": chosen.weights, "started": started}
        chosen.details.write_text(json.dumps({**about_run, "machine": machine, "runs": every, **result}, indent=1))
    return int(runs[OURS.name].missing is not None)
