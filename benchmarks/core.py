"""Speed of the engine, row by row: build and size, parameters by unit, first compilation, peers, processes.

CPU times of one thread, which other programs disturb less than wall times; the least of the repeats, except for
compilation, whose processes run once or in the median. `--part` chooses:

    drawn    1e4 and 1e5 neurons, 1,000 synapses each, all weights and delays drawn: build, and time an event
    arrays   every parameter an array against numbers: LIF, AdEx and conductances of 4,000 neurons
    compile  a fresh process up to its first result: nothing compiled, then new combinations, and all cached
    cuba     beside NEST, one thread; needs `make peers-engine` (Brian2: `cuba.py`, by wall time)
    sizes    1e6 to 3e8 synapses of one weight and delay, 1,000 a neuron
    mpi      `mpi.py`: two processes beside two threads
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import frame
import numpy as np
from harness import NEST, OURS, Failed, run_once
from process_memory import peak_mib
from run_neurosim import inputs
from run_neurosim import network as described
from workloads import brunel, coba, growing

from neurosim import (
    LIF,
    AdEx,
    FixedNumberPre,
    FixedProbability,
    Network,
    PoissonInput,
    Population,
    Projection,
    Simulation,
)
from neurosim.engine.compile.row_forms import MIN_DENSITY
from neurosim.network import Neuron, Normal

HERE = Path(__file__).parent
Row = dict[str, Any]
CLOCK = 1e-4

COMBINATIONS = {
    "LIF, Poisson input": ("LIF()", "", "0.001, 1e-3", "float32"),
    "delays and weights drawn": ("LIF()", "", "Normal(0.1, 0.01), Normal(1.5e-3, 5e-4, low=1e-4)", "float32"),
    "learning": ("LIF()", ", plasticity=STDP()", "0.1, 1e-3", "float32"),
    "conductances in float64": ("CobaLIF()", "", "1e-9, 1e-3, 'excitatory'", "float64"),
}
FIRST_RESULT = """
from neurosim import Network, PoissonInput, Population, Projection, simulate
from neurosim import CobaLIF, FixedNumberPre, LIF, STDP
from neurosim.network import Normal

joints = [Projection("cells", "cells", FixedNumberPre(100), {how}{rule})]
network = Network([Population("cells", 1000, {model})], joints, [PoissonInput("cells", 100.0, 1e-9)])
simulate(network, 1e-3, clock=1e-4, precision="{precision}", threads=1)
"""


def drawn(neurons: int, synapses: int = 1000) -> Network:
    """Brunel's network (2000) in balance, weights and delays of all synapses normal."""
    cell = LIF(tau_mem=0.02, v_threshold=0.02, t_refractory=2e-3)
    sizes = {"E": neurons * 4 // 5, "I": neurons // 5}
    weight = 0.1 / (0.8 * synapses)
    delay = Normal(1.5e-3, 5e-4, low=CLOCK)
    return Network(
        [Population(name, size, cell) for name, size in sizes.items()],
        [
            Projection(source, target, FixedNumberPre(degree), Normal(mean, 0.1 * abs(mean)), delay)
            for source, degree, mean in (("E", synapses * 4 // 5, weight), ("I", synapses // 5, -5 * weight))
            for target in sizes
        ],
        [PoissonInput(target, 2 * 0.02 / (weight * 0.02), weight) for target in sizes],
    )


def least(simulation: Simulation, seconds: float, repeats: int) -> tuple[float, int, str]:
    """Return the least CPU s of a run of some seconds, and the spikes and the digest of the last."""
    times = []
    spikes = 0
    digest = ""
    for _ in range(repeats):
        started = time.process_time()
        result = simulation.run(seconds)
        times.append(time.process_time() - started)
        spikes = sum(map(len, result.spikes.values()))
        digest = "".join(found.digest()[:4] for found in result.spikes.values())
    return min(times), spikes, digest


def by_unit(model: Neuron, size: int) -> Neuron:
    """Return the model with an array in place of every parameter that is a number."""
    numbers = {f.name: getattr(model, f.name) for f in dataclasses.fields(model)}
    arrays = {name: np.full(size, value) for name, value in numbers.items() if isinstance(value, float)}
    return dataclasses.replace(model, **arrays)


def networks() -> dict[str, Network]:
    """Return networks of 4,000 neurons: Brunel's, adaptive ones with Poisson input, and Vogels and Abbott's."""
    adaptive = Network(
        [Population("cells", 4000, AdEx(i_offset=7e-10))],
        [Projection("cells", "cells", FixedProbability(0.02), 1e-12, 1e-3, "excitatory")],
        [PoissonInput("cells", 500.0, 3e-10, "excitatory")],
    )
    return {"LIF": described(brunel(0.32)), "AdEx": adaptive, "CobaLIF": described(coba())}


def varied(network: Network) -> Network:
    """Return the network with arrays of parameters in all neurons."""
    cells = [
        dataclasses.replace(p, model=by_unit(p.model, p.size)) if isinstance(p.model, Neuron) else p
        for p in network.populations
    ]
    return Network(cells, network.projections, network.stimuli)


def fresh(code: str, cache: str) -> float:
    """Return the CPU s of a fresh process."""
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"NUMBA_CACHE_DIR": cache})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


def script(*words: str) -> dict[str, dict[str, float]]:
    done = subprocess.run([sys.executable, *words, "--json"], cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.strip().splitlines()[-1])


def drawn_rows(repeats: int) -> list[Row]:
    """Weights and delays of all synapses drawn."""
    Simulation(drawn(100, 10), clock=CLOCK, threads=1).run(0.01)  # compiles
    rows: list[Row] = []
    for neurons in (10_000, 100_000):
        started = time.process_time()
        simulation = Simulation(drawn(neurons), clock=CLOCK, threads=1)
        built = time.process_time() - started
        simulation.run(0.05)
        took, spikes, _ = least(simulation, 0.05, repeats)
        stored = sum(layer.parameter_bytes or 0 for layer in simulation.run(0.0).work) / 1e6
        rows.append(
            {
                "neurons": neurons,
                "build, CPU s": built,
                "CPU s a s": took * 20,
                "spikes/s": spikes / neurons * 20,
                "ns an event": took / (spikes * 1000) * 1e9,
                "stored MB": stored,
            }
        )
    return rows


def arrays_rows(repeats: int) -> list[Row]:
    """4,000 neurons, every parameter a number or an array; CPU s a s."""
    rows: list[Row] = []
    for name, network in networks().items():
        kick = inputs(coba(), 1.0) if name == "CobaLIF" else None
        both = [Simulation(each, kick, clock=CLOCK, threads=1) for each in (network, varied(network))]
        for simulation in both:
            simulation.run(0.1)
        times: tuple[list[float], list[float]] = ([], [])
        digests: list[str] = []
        for _ in range(repeats):  # in turn
            runs = [least(simulation, 0.1, 1) for simulation in both]
            for each, (took, _, _) in zip(times, runs, strict=True):
                each.append(took * 10)
            digests = [digest for _, _, digest in runs]
        assert digests[0] == digests[1]
        constant = min(times[0])
        arrays = min(times[1])
        rate = runs[0][1] / 4000 * 10
        rows.append(
            {"neuron": name, "numbers": constant, "arrays": arrays, "ratio": arrays / constant, "spikes/s": rate}
        )
    return rows


def compile_rows(repeats: int) -> list[Row]:
    """CPU s of a fresh process to the first result."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as cache:
        for name, (model, rule, how, precision) in COMBINATIONS.items():
            code = FIRST_RESULT.format(model=model, rule=rule, how=how, precision=precision)
            new = fresh(code, cache)
            cached = [fresh(code, cache) for _ in range(repeats)]
            rows.append({"network": name, "new": new, "cached": statistics.median(cached)})
    return rows


def cuba_rows(repeats: int) -> list[Row]:
    """CUBA on one thread, CPU s a s."""
    times: dict[str, list[float]] = {OURS.name: [], NEST.name: []}
    for _ in range(repeats):  # in turn
        for contestant in (OURS, NEST):
            try:
                record = run_once(contestant, "cuba", 1, ["--seconds", "1"])
            except Failed as reason:
                frame.say(f"CUBA: {contestant.name} is missing: {reason}")
                return []
            times[contestant.name].append(float(record["cpu_s"]))
    ours, theirs = (min(each) for each in times.values())
    return [{OURS.name: ours, NEST.name: theirs, "ratio": theirs / ours}]


def sizes_rows(repeats: int) -> list[Row]:
    """One weight and delay, 1,000 synapses a neuron."""
    rows: list[Row] = []
    for synapses in (1e6, 1e7, 3e7, 1e8, 3e8):
        started = time.process_time()
        simulation = Simulation(described(growing(synapses / 1e6)), clock=CLOCK, threads=1)
        built = time.process_time() - started
        simulation.run(0.05)
        took, spikes, _ = least(simulation, 0.1, repeats)
        stored = sum(layer.parameter_bytes or 0 for layer in simulation.run(0.0).work) / synapses
        rows.append(
            {
                "synapses": synapses,
                "form": "bits" if 1e6 / synapses >= MIN_DENSITY else "lists",
                "build, CPU s": built,
                "ns an event": took / (spikes * 1000) * 1e9,
                "bytes a synapse": stored,
                "peak MB": peak_mib(),
            }
        )
    return rows


def mpi_rows(repeats: int) -> list[Row]:
    """2 processes of 1 thread over 1 of 2."""
    return [script("mpi.py", "--repeats", str(repeats))["ratio"]]


PARTS: dict[str, Callable[[int], list[Row]]] = {
    "drawn": drawn_rows,
    "arrays": arrays_rows,
    "compile": compile_rows,
    "cuba": cuba_rows,
    "sizes": sizes_rows,
    "mpi": mpi_rows,
}


def main() -> None:
    parser = frame.arguments(__doc__, repeats=3)
    parser.add_argument("--part", nargs="+", choices=list(PARTS), default=list(PARTS))
    options = parser.parse_args()
    found = {}
    lines = []
    for part in options.part:
        found[part] = PARTS[part](options.repeats)
        lines += ["", f"{part}: {PARTS[part].__doc__}", *frame.records(found[part])]
        frame.say("\n".join(frame.records(found[part])))
    frame.report(options, lines, found)


if __name__ == "__main__":
    main()
