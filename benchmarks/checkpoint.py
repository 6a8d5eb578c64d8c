"""Kill -9, 200 times over: a plastic network that streams its spikes, saves, is killed at any moment and goes on.

Beside it, what saving, loading and a first use cost: the first spike of a fresh process with the kernels cached.
Exits with 1 where a run that was killed ends other than one that was not.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import frame
import numpy as np

from neurosim import (
    LIF,
    STDP,
    CubaLIF,
    FixedProbability,
    Network,
    PoissonInput,
    Population,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
)
from neurosim.data import read_sonata
from neurosim.network import ShortTermPlasticity, Uniform

# of biological time: of a run, and from one save to the next
SECONDS = 4.0
EVERY = 0.05
FIRST_SPIKE = """
import time
started = time.perf_counter()
from neurosim import Network, Population, Simulation
from neurosim.network.neurons import LIF
imported = time.perf_counter()
result = Simulation(Network([Population("busy", 1000, LIF(i_offset=1e3))]), threads=2).run(0.001)
assert len(result.spikes["busy"]) == 1000
print(imported - started, time.perf_counter() - started)
"""


def network() -> Network:
    """500 neurons of two kinds, plastic and depressing synapses, drawn delays, Poisson input, a recording."""
    populations = [
        Population("in", (50,), SpikeSource()),
        Population("exc", (400,), LIF(tau_mem=0.02, t_refractory=0.002), {"v": Uniform(0.0, 0.9)}),
        Population("inh", (100,), CubaLIF(tau_mem=0.01, tau_syn=0.005)),
    ]
    projections = [
        Projection("in", "exc", FixedProbability(0.2), 0.1, 1e-3, plasticity=STDP(w_max=0.2)),
        Projection("exc", "exc", FixedProbability(0.1), 0.02, Uniform(1e-3, 8e-3)),
        Projection("exc", "inh", FixedProbability(0.1), 0.4, 2e-3, short_term=ShortTermPlasticity()),
        Projection("inh", "exc", FixedProbability(0.2), -0.1, 1e-3),
    ]
    return Network(populations, projections, [PoissonInput("exc", 1000.0, 0.06)])


def recording() -> Spikes:
    rng = np.random.default_rng(0)
    events = rng.poisson(50 * 20 * SECONDS)
    return Spikes.sort(rng.uniform(0, SECONDS, events), rng.integers(0, 50, events), 50, SECONDS)


def go(folder: Path, threads: int) -> None:
    """Run to the end from wherever the folder stands."""
    spikes = folder / "spikes.h5"
    saved = folder / "saved.safetensors"
    if spikes.exists():  # closing makes it: the last kill came after the end
        return
    if saved.exists():
        simulation = Simulation.load(saved, network(), recording(), threads=threads, spikes_to=spikes)
    else:
        simulation = Simulation(network(), recording(), seed=1, threads=threads, spikes_to=spikes)
    while simulation.time < SECONDS - EVERY / 2:
        simulation.run(EVERY)
        simulation.save(saved)
    np.savez(folder / "weights.npz", **simulation.weights)
    simulation.close()


def digest(folder: Path) -> tuple[str, ...]:
    """Of all spikes, and of the weights that were learned."""
    weights = np.load(folder / "weights.npz")
    spikes = [read_sonata(folder / "spikes.h5", name).digest() for name in ("exc", "inh")]
    return (*spikes, *(hashlib.sha256(weights[name].tobytes()).hexdigest() for name in sorted(weights)))


def kill(folder: Path, chance: random.Random) -> bool:
    """One process of the run, killed unless it comes to the end first; whether it was killed."""
    child = os.fork()
    if child == 0:
        go(folder, chance.choice((1, 2, 4)))
        os._exit(0)
    time.sleep(chance.uniform(0.0, 0.5))
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        raise SystemExit(f"{folder}: the process failed")
    return os.WIFSIGNALED(status)


def kills(wanted: int, root: Path, seed: int) -> dict[str, object]:
    """Runs, one after the other, killed `wanted` times in all."""
    whole = root / "whole"
    whole.mkdir()
    go(whole, 2)
    expected = digest(whole)
    chance = random.Random(seed)
    done = 0
    ends = 0
    wrong = 0
    most = 0
    while done < wanted:
        folder = root / f"run{ends}"
        folder.mkdir()
        here = 0
        while done < wanted and kill(folder, chance):
            done = done + 1
            here = here + 1
        if not (folder / "spikes.h5").exists():
            go(folder, 1)
        ends = ends + 1
        most = max(most, here)
        wrong += digest(folder) != expected
        frame.say(f"{done} kills, {ends} runs ended, {wrong} of them wrong")
    return {"kills": done, "runs": ends, "most_kills_of_a_run": most, "wrong": wrong}


def costs(root: Path, repeats: int) -> dict[str, float]:
    """Medians of the seconds that saving and loading take, and of the first spike of a fresh process."""
    path = root / "saved.safetensors"
    save_s = []
    load_s = []
    simulation = Simulation(network(), recording(), seed=1, threads=2)
    simulation.run(1.0)
    for _ in range(repeats):
        save_s.append(frame.seconds(lambda: simulation.save(path)))
        load_s.append(frame.seconds(lambda: Simulation.load(path, network(), recording(), threads=2)))
    fresh = [
        [float(word) for word in subprocess.check_output([sys.executable, "-c", FIRST_SPIKE], text=True).split()]
        for _ in range(repeats)
    ]
    return {
        "saved_mb": path.stat().st_size / 2**20,
        "save_s": statistics.median(save_s),
        "load_s": statistics.median(load_s),
        "import_s": statistics.median(row[0] for row in fresh),
        "first_spike_s": statistics.median(row[1] for row in fresh),
    }


def main(argv: list[str] | None = None) -> int:
    parser = frame.arguments(__doc__, repeats=5)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        found = {**kills(options.kills, Path(folder), options.seed), **costs(Path(folder), options.repeats)}
    frame.report(options, (f"{name:22} {value:.6g}" for name, value in found.items()), found)
    return 1 if found["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
