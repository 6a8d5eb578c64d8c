"""Mean rates of the microcircuit as NEST's authors publish it: the PyPI package `microcircuit`, Poisson background.

Checks our own description of the network (`workloads.microcircuit`), which was written from the paper.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from microcircuit.network import Network
from microcircuit.network_params import default_net_dict
from microcircuit.sim_params import default_sim_dict
from microcircuit.stimulus_params import default_stim_dict

PRESIM_MS = 100.0


def rates(scale: float, seconds: float, threads: int, seed: int) -> dict[str, float]:
    """Spikes/s by population over `seconds` after a tenth of a second."""
    net = copy.deepcopy(default_net_dict)
    sim = copy.deepcopy(default_sim_dict)
    net |= {"N_scaling": scale, "K_scaling": scale, "bg_input_type": "poisson"}
    with tempfile.TemporaryDirectory() as folder:
        sim |= {"local_num_threads": threads, "rng_seed": seed, "print_time": False, "data_path": folder}
        network = Network(sim, net, default_stim_dict)
        network.create()
        network.connect()
        network.simulate(PRESIM_MS + 1000 * seconds)
        counts = count(Path(folder), len(net["populations"]))
    sizes = network.num_neurons
    return {name: float(n / size / seconds) for name, n, size in zip(net["populations"], counts, sizes, strict=True)}


def count(folder: Path, populations: int) -> list[int]:
    """Spikes after the presimulation: one recorder a population, numbered upwards, one text file a thread."""
    by_recorder: dict[int, int] = {}
    for path in folder.glob("spike_recorder-*.dat"):
        recorder = int(path.name.split("-")[1])
        rows = np.loadtxt(path, skiprows=3, ndmin=2)
        if rows.size:
            after = int((rows[:, 1] > PRESIM_MS).sum())
        else:
            after = 0
        by_recorder[recorder] = by_recorder.get(recorder, 0) + after
    assert len(by_recorder) == populations
    return [by_recorder[recorder] for recorder in sorted(by_recorder)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    chosen = parser.parse_args()
    with contextlib.redirect_stdout(sys.stderr):
        found = [rates(chosen.scale, chosen.seconds, chosen.threads, seed) for seed in chosen.seeds]
    print(json.dumps({name: [f[name] for f in found] for name in found[0]}))


if __name__ == "__main__":
    main()
