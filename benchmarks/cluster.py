"""Simulate a run on many processes from step times that are measured on one core.

A process of several runs alone: it has the share of the network that it would have, and where it would exchange spikes
it gets those that the others fired in a run of the whole network. So its work in each step can be timed without the
network and without processes that wait for each other. Its spikes and theirs must be those of the whole network.

First table: CPU s of all processes together, a biological second. The work of P processes is

    W + P A + max(P, pages) H

W is shared, A is done by each process, H by each process for each page of targets. The three come from 1, 2 and 8
processes, and predict 4. Second table: P processes of the weak scaling of Pronold et al. (2022), 125,000 neurons each.
In each interval all wait for the slowest, whose time is drawn from the measured ones.

    python benchmarks/cluster.py [--scale .5] [--seconds .2] [--processes 1000]
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import exchange
import frame
import numpy as np
from numba import cfunc, njit, types
from numpy.typing import NDArray
from run_neurosim import network
from workloads import microcircuit

from neurosim import LIF, FromList, Network, Population, Projection, Simulation
from neurosim.engine.compile.layout import Layout, lay_out
from neurosim.engine.compile.network import compile_network
from neurosim.engine.grid.workspace import GridWorkspace
from neurosim.engine.processes import Processes
from neurosim.kernels.engine.clocked import exchange as kernel
from neurosim.kernels.engine.clocked.columns import PROBE_COLUMNS
from neurosim.kernels.tools.pointers import vector
from neurosim.network import Normal

SEED = 0
CLOCK = 1e-4
# Of the weak scaling: spikes/s of a neuron, and the shortest delay in s.
RATE = 4.0
INTERVAL = 1.5e-3
CALIBRATED = (1, 2, 8)
PREDICTED = 4
# ns a synaptic event of 1e8 drawn synapses, as `core.py` measures it: the rows are then far from the caches.
FAR_EVENT = 2.4
# CLOCK_THREAD_CPUTIME_ID of Linux.
THREAD_TIME = 3
_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.intp))
# The record: what the run loop calls, then blocks of the process and of all, addresses of the spikes of all and of
# their offsets, how many intervals are timed, and addresses of their times and of a timespec.
CALLED, FIRST, LAST, BLOCKS, UNITS, OFFSETS, COUNT, TIMES, SPEC, COLUMNS = range(10)


@njit
def _now(spec):
    _gettime(THREAD_TIME, spec)
    # numba gives an intrinsic its first argument.
    seconds, nanoseconds = vector(spec, 2, np.int64(0))  # type: ignore[call-arg]
    return seconds * 1_000_000_000 + nanoseconds


@njit
def _append(units, offsets, log, log_offsets):
    """Append the units of each entry of a step to the log of a block, and note where the next entry begins."""
    for e in range(offsets.size - 1):
        used = log_offsets[e]
        for j in range(offsets[e], offsets[e + 1]):
            log[used] = units[j]
            used += 1
        log_offsets[e + 1] = used


@cfunc(
    types.void(
        types.Array(types.int64, 1, "C"),
        types.Array(types.int64, 1, "C"),
        types.Array(types.int32, 2, "C"),
        types.Array(types.int64, 2, "C"),
    )
)
def deal(record, request, log, log_offsets):
    """Write the spikes of the others' blocks into their logs, and note the times before and after."""
    times = vector(record[TIMES], 2 * record[COUNT] + 2, np.int64(0))  # type: ignore[call-arg]
    times[2 * record[COUNT]] = _now(record[SPEC])
    entries = request[kernel.WIDTH]
    blocks = record[BLOCKS]
    for q in range(request[kernel.STEPS]):
        step = request[kernel.STEP] + q
        at = (step - request[kernel.LOG_START]) * entries
        offsets = vector(record[OFFSETS] + step * blocks * entries * 8, blocks * entries + 1, np.int64(0))
        units = vector(record[UNITS], offsets[blocks * entries], np.int32(0))
        for b in range(blocks):
            # Its own blocks write their logs themselves.
            if not record[FIRST] <= b < record[LAST]:
                own = offsets[b * entries : (b + 1) * entries + 1]
                _append(units, own, log[b], log_offsets[b, at : at + entries + 1])
    times[2 * record[COUNT] + 1] = _now(record[SPEC])
    record[COUNT] += 1


class Alone(Processes):
    """One of several processes, without the others.

    Args:
        spikes: units and offsets of all, by step, block and entry.
    """

    def __init__(self, rank: int, size: int, spikes: tuple[NDArray[np.int32], NDArray[np.int64]], steps: int) -> None:
        super().__init__()
        self.rank = rank
        self.size = size
        self.record: NDArray[np.int64] = np.zeros(COLUMNS, np.int64)
        self._spikes = spikes
        self._times: NDArray[np.int64] = np.zeros(2 * steps, np.int64)
        self._spec: NDArray[np.int64] = np.zeros(2, np.int64)

    def sum(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        return values

    def before(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.zeros_like(values)

    def max(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        return values

    def exchange(self, first_blocks: Any) -> tuple[NDArray[np.int64], list[NDArray[Any]]]:
        units, offsets = self._spikes
        self.record[CALLED] = deal.address
        self.record[[FIRST, LAST, BLOCKS]] = *first_blocks[self.rank : self.rank + 2], first_blocks[-1]
        self.record[[UNITS, OFFSETS]] = units.ctypes.data, offsets.ctypes.data
        self.record[[TIMES, SPEC]] = self._times.ctypes.data, self._spec.ctypes.data
        return self.record, [units, offsets]

    @property
    def work(self) -> NDArray[np.float64]:
        """Return s of each interval, from one exchange to the next."""
        stamps = self._times[: 2 * self.record[COUNT]].reshape(-1, 2)
        return (stamps[1:, 0] - stamps[:-1, 1]) * 1e-9


def spikes_of(described: Network, layout: Layout, steps: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Run the whole network; return its spikes in the order of step, block, entry, and where each of these begins."""
    result = Simulation(described, clock=CLOCK, seed=SEED, threads=1).run(steps * CLOCK)
    keys = []
    units = []
    for p, population in enumerate(described.populations):
        train = result.spikes[population.name]
        block = (train.units + layout.shifts[p]) // layout.parts[p]
        keys.append((train.steps(CLOCK) * layout.blocks + block) * layout.width + layout.entries[p])
        units.append(train.units)
    key = np.concatenate(keys)
    unit = np.concatenate(units)
    order = np.lexsort((unit, key))
    counts = np.bincount(key, minlength=steps * layout.blocks * layout.width)
    return unit[order].astype(np.int32), np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


class Rank:
    """One of several processes, built; `run` runs it from the start and returns s of each interval.

    Args:
        spikes: of the whole network, see `spikes_of`.
    """

    def __init__(
        self, described: Network, rank: int, size: int, spikes: tuple[NDArray[np.int32], NDArray[np.int64]]
    ) -> None:
        units, offsets = spikes
        self._spikes = len(units)
        self._process = Alone(rank, size, spikes, len(offsets))
        compiled = compile_network(described, CLOCK, SEED, np.dtype(np.float32), processes=self._process)
        self.interval = compiled.interval
        self._workspace = GridWorkspace(compiled, (), False, 1, self._process)
        self._steps = len(offsets) // (compiled.layout.blocks * compiled.layout.width)

    def run(self) -> NDArray[np.float64]:
        """Run all steps; end the program if all spikes are not those of the whole network."""
        self._workspace.reset({}, np.zeros((0, PROBE_COLUMNS), np.int64), [])
        for tally in self._workspace.log.tallies:
            tally[:] = 0
        self._process.record[COUNT] = 0
        self._workspace.advance(self._steps, 0)
        fired = sum(int(tally.sum()) for tally in self._workspace.log.tallies)
        if self._spikes and fired != self._spikes:
            raise SystemExit("a process fired other spikes than the whole network")
        return self._process.work


def cost_of_a_spike(repeats: int) -> float:
    """Return s that a process spends on a spike of another that has no target here, its exchange left out.

    Rows of a million units end in the first block; each of 16 processes looks for its part of them.
    """
    size = 1 << 20
    steps = 500
    pattern = FromList(np.arange(size), np.zeros(size, np.int64))
    cells = [Population("cells", size, LIF())]
    described = Network(cells, [Projection("cells", "cells", pattern, Normal(1e-9, 1e-10), 15 * CLOCK)])
    layout = lay_out(described)
    rng = np.random.default_rng(0)
    units = np.sort(rng.integers(0, layout.parts[0] * (layout.blocks - 8), (steps, 2000)), axis=1)
    blocks = units // layout.parts[0] + np.arange(steps)[:, None] * layout.blocks
    counts = np.bincount(blocks.ravel(), minlength=steps * layout.blocks)
    spikes = units.ravel().astype(np.int32), np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    nothing = np.empty(0, np.int32), np.zeros_like(spikes[1])
    times = []
    for each in (spikes, nothing):
        last = Rank(described, 15, 16, each)
        times.append(min(float(last.run().sum()) for _ in range(repeats + 1)))
    return (times[0] - times[1]) / units.size


def calibrate(totals: dict[int, float], pages: int) -> dict[str, float]:
    """Return W, A and H of the times of 1, 2 and 8 processes."""
    rows = [[1.0, size, max(size, pages)] for size in CALIBRATED]
    shared, each, page = np.linalg.solve(np.array(rows), [totals[size] for size in CALIBRATED])
    return {"W": float(shared), "A": float(each), "H": float(page)}


def slowest(times: NDArray[np.float64], processes: int, steps: int) -> float:
    """Return by which factor the slowest of several processes takes longer than their mean, in intervals of steps.

    times: s of single steps of one process, as many as were measured; each process draws its own.
    """
    rng = np.random.default_rng(0)
    whole = times[: len(times) // steps * steps].reshape(-1, steps).sum(axis=1)
    drawn = rng.choice(whole, (200, processes))
    return float(drawn.max(axis=1).mean() / whole.mean())


def weak_scaling(processes: int, unit: float, spike: float, times: NDArray[np.float64]) -> dict[str, object]:
    """Return s of one process for a biological second, 125,000 neurons a process.

    Args:
        unit: s of a neuron and step.
        spike: s of a spike of any process, besides its synapses and its exchange.
        times: s of single steps, see `slowest`.
    """
    neurons = exchange.EACH * processes
    figures = exchange.measure(neurons, RATE, INTERVAL, 3)
    own = exchange.EACH * unit / CLOCK
    events = exchange.EACH * exchange.TARGETS * RATE * FAR_EVENT * 1e-9
    heard = neurons * RATE * spike + figures["kernel_s"]
    # A directed exchange sends a spike only to the processes that have one of its targets.
    reached = 1 - math.exp(-exchange.TARGETS / processes)
    messages = processes * reached / INTERVAL * exchange.LATENCY
    sent = figures["directed_mb_per_s"] * 1e6 / exchange.BANDWIDTH + messages
    factor = slowest(times, processes, round(INTERVAL / CLOCK))
    return {
        "processes": processes,
        "neurons": own,
        "events": events,
        "spikes": heard,
        "network": figures["network_s"],
        "slowest": factor,
        "all-gather": (own + events + heard) * factor + figures["network_s"],
        "directed": (own + events + reached * heard) * factor + sent,
    }


def main() -> None:
    parser = frame.arguments(__doc__, repeats=5)
    parser.add_argument("--scale", type=float, default=0.5, help="of the microcircuit; .5 has 16 blocks to share")
    parser.add_argument("--seconds", type=float, default=0.2, help="biological time of a run")
    parser.add_argument("--processes", type=int, nargs="*", default=[100, 1000, 10_000], help="of the simulated run")
    options = parser.parse_args()
    steps = round(options.seconds / CLOCK)
    described = network(microcircuit(options.scale))
    layout = lay_out(described)
    spikes = spikes_of(described, layout, steps)
    ranks = {
        size: [Rank(described, rank, size, spikes) for rank in range(size)] for size in sorted({*CALIBRATED, PREDICTED})
    }
    runs: dict[int, list[list[NDArray[np.float64]]]] = {size: [] for size in ranks}
    for _ in range(options.repeats):
        for size, each in ranks.items():
            runs[size].append([rank.run() for rank in each])
    # The median of the repeats of each step of each process.
    times = {size: np.median(np.array(each), axis=0) for size, each in runs.items()}
    totals = {size: float(each.sum()) / options.seconds for size, each in times.items()}
    model = calibrate(totals, layout.pages)
    predicted = model["W"] + PREDICTED * model["A"] + max(PREDICTED, layout.pages) * model["H"]
    first = [
        {"processes": size, "CPU s": total, "largest share": largest_share(times[size])}
        for size, total in totals.items()
    ]
    error = predicted / totals[PREDICTED] - 1
    # Two processes a core take turns, and an interval lasts as long as the busier core.
    busier = times[PREDICTED].reshape(2, 2, -1).sum(axis=1).max(axis=0).sum() / options.seconds
    silent = replace(described, projections=[])
    nothing = np.empty(0, np.int32), np.zeros_like(spikes[1])
    alone = Rank(silent, 0, 1, nothing)
    own = np.median([alone.run() for _ in range(options.repeats)], axis=0)
    unit = float(own.mean()) / alone.interval / sum(population.size for population in described.populations)
    spike = cost_of_a_spike(options.repeats)
    second = [weak_scaling(processes, unit, spike, times[1][0]) for processes in options.processes]
    lines = [
        *frame.records(first),
        f"{PREDICTED} processes as predicted from {CALIBRATED}: {predicted:.4f} CPU s ({error:+.1%})",
        f"{PREDICTED} processes on two cores, without the exchange: {busier:.4f} s",
        f"a neuron and step {unit * 1e9:.2f} ns; a spike without a target {spike * 1e9:.1f} ns",
        "",
        *frame.records(second),
    ]
    result = {"processes": first, "model": model, "predicted": predicted, "weak scaling": second}
    frame.report(options, lines, result)


def largest_share(times: NDArray[np.float64]) -> float:
    """Return the time of the slowest process in each step, summed, over the mean of all processes."""
    return float(times.max(axis=0).sum() / times.mean(axis=0).sum())


if __name__ == "__main__":
    main()
