"""What every runner takes and prints, so that simulators are timed and checked in the same terms.

A runner is one process for one run: options in, one JSON object on the last line of its output. Only numpy and the
standard library are imported: the same file serves neurosim and the peers' own environment.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from description import Workload
from process_memory import peak_mib
from workloads import WORKLOADS, load_arrays

TICK = 0.01  # /proc/stat counts hundredths of a second
BIN = 0.005  # seconds; spike counts are correlated in bins of this width
PAIRED = 200  # neurons whose counts are correlated with each other

Trains = Mapping[str, tuple[np.ndarray, np.ndarray]]


def options(devices: tuple[str, ...] = ("default",), argv: list[str] | None = None) -> argparse.Namespace:
    """The options shared by all runners; `devices` are the ways this simulator can run, the first the default."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=[*WORKLOADS, "equal_200"])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--weights", choices=["constant", "drawn"], default="constant", help="brunel only")
    parser.add_argument("--seconds", type=float, default=1.0, help="biological time that is timed")
    parser.add_argument("--warmup", type=float, help="biological time simulated before that; the workload's own")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", choices=devices, default=devices[0])
    parser.add_argument("--arrays", type=Path, help="equal_200 only: the .npz that workloads.save_arrays wrote")
    parser.add_argument("--spikes", type=Path, help="write all spikes to this .npz: <population>.steps, .units")
    return parser.parse_args(argv)


def workload_of(chosen: argparse.Namespace) -> Workload:
    if chosen.workload == "equal_200":
        return load_arrays(chosen.arrays)
    if chosen.workload == "brunel":
        extra = {"weights": chosen.weights}
    else:
        extra = {}
    return WORKLOADS[chosen.workload](chosen.scale, **extra)


@dataclass(frozen=True)
class Grid:
    """Steps simulated before the clock starts and while it runs."""

    warmup: int
    timed: int

    @classmethod
    def of(cls, chosen: argparse.Namespace, workload: Workload) -> Grid:
        if chosen.warmup is None:
            warmup = workload.warmup
        else:
            warmup = chosen.warmup
        return cls(round(warmup / workload.dt), round(chosen.seconds / workload.dt))


class Stretch:
    """Wall time of a `with` block, CPU time of this process and its children in it, and of everything else."""

    def __init__(self) -> None:
        # `wall` may be replaced by a finer time; `watched` is what the CPU times were taken over.
        self.wall = self.watched = self.own = self.foreign = 0.0

    def __enter__(self) -> Stretch:
        self._start = (time.perf_counter(), own_cpu(), busy_cpu())
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        wall, own, busy = self._start
        self.wall = self.watched = time.perf_counter() - wall
        self.own = own_cpu() - own
        self.foreign = max(0.0, busy_cpu() - busy - self.own)


def own_cpu() -> float:
    """CPU seconds of this process and of the children it has waited for."""
    every = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in every)


def busy_cpu() -> float:
    """CPU seconds that all processes, the kernel and a hypervisor's other guests took of this machine."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
    return (user + nice + system + irq + softirq + steal) * TICK


def result(
    workload: Workload, grid: Grid, build_s: float, sim: Stretch, trains: Trains, *, peak: float | None = None
) -> dict[str, object]:
    """The object a runner prints. `trains` holds (steps, units) of every population, the warm-up left out."""
    seconds = grid.timed * workload.dt
    spikes = {p.name: len(trains[p.name][0]) for p in workload.populations}
    out = workload.out_degrees()
    events = sum(count * out[name] for name, count in spikes.items())
    first = workload.populations[0]
    return {
        "build_s": build_s,
        "sim_s": sim.wall,
        "real_time_factor": sim.wall / seconds,
        "peak_rss_mb": peak_mib() if peak is None else peak,
        "synaptic_events_per_s": events / sim.wall,
        "rate_hz": sum(spikes.values()) / workload.neurons / seconds,
        "rates_hz": {p.name: spikes[p.name] / p.size / seconds for p in workload.populations},
        "cv": interval_cv(*trains[first.name], first.size),
        "correlation": count_correlation(*trains[first.name], first.size, grid, workload.dt),
        "neurons": workload.neurons,
        "synapses": workload.synapses,
        "seconds": seconds,
        "watched_s": sim.watched,
        "cpu_s": sim.own,
        "foreign_cpu_s": sim.foreign,
    }


def interval_cv(steps: np.ndarray, units: np.ndarray, size: int, least: int = 5) -> float | None:
    """Mean over neurons of the coefficient of variation of their intervals, where there are `least` of them."""
    order = np.lexsort((steps, units))
    t = np.asarray(steps)[order].astype(float)
    u = np.asarray(units)[order]
    same = u[1:] == u[:-1]
    gaps = np.diff(t)[same]
    owner = u[1:][same]
    n = np.bincount(owner, minlength=size)
    known = n >= least
    if not known.any():
        return None
    mean = np.bincount(owner, gaps, size)[known] / n[known]
    square = np.bincount(owner, gaps**2, size)[known] / n[known]
    return float(np.mean(np.sqrt(np.maximum(square - mean**2, 0)) / mean))


def count_correlation(steps: np.ndarray, units: np.ndarray, size: int, grid: Grid, dt: float) -> float | None:
    """Mean correlation coefficient of the spike counts of `PAIRED` neurons spread over the population."""
    chosen = np.unique(np.linspace(0, size - 1, PAIRED).astype(int))
    row = np.full(size, -1)
    row[chosen] = np.arange(len(chosen))
    width = round(BIN / dt)
    bins = -(-grid.timed // width)
    at = (np.asarray(steps) - grid.warmup - 1) // width
    kept = (row[units] >= 0) & (at >= 0) & (at < bins)
    counts = np.zeros((len(chosen), bins))
    np.add.at(counts, (row[units[kept]], at[kept]), 1)
    counts = counts[counts.std(axis=1) > 0]
    if len(counts) < 2:
        return None
    matrix = np.corrcoef(counts)
    return float(matrix[np.triu_indices(len(matrix), 1)].mean())


def after(trains: Trains, grid: Grid) -> Trains:
    """The spikes of the timed stretch, steps still counted from the very start."""
    return {name: (t[t > grid.warmup], u[t > grid.warmup]) for name, (t, u) in trains.items()}


def main(
    run: Callable[[argparse.Namespace, Workload, Grid], tuple[dict[str, object], Trains]],
    devices: tuple[str, ...] = ("default",),
) -> None:
    """Run one workload and print its result as JSON on the last line."""
    chosen = options(devices)
    workload = workload_of(chosen)
    printed, trains = run(chosen, workload, Grid.of(chosen, workload))
    if chosen.spikes:
        arrays = {
            f"{name}.{part}": a
            for name, pair in trains.items()
            for part, a in zip(("steps", "units"), pair, strict=True)
        }
        np.savez(chosen.spikes, **arrays)
    print(json.dumps(printed), flush=True)
