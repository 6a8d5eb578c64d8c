"""The Lorenz system reconstructed by almost-linear networks: distance of orbits and spectra, and linear regions.

    python benchmarks/reconstruction.py [--seeds 0 1 2] [--updates 10000] [--rectified 2 0] [--plain] [--json]

Network and data as in Brenner et al. 2024 for this system: 20 units, 2 of them rectified, sequences of 200 steps of
.01, 100,000 steps in all, noise .05, set to the data every 16 steps. After 10,000 updates of 16 sequences by RAdam the
network is refined (`training.refinement`): 750 Gauss-Newton updates of the same kind, 700 in which it is set to the
data every 32 steps with noise .02, and 105 generations of a search for orbits near to the data.

--plain leaves this out and returns, as published, the network of the training whose orbit is nearest (looked at every
1,000 updates; 100,000 are published); learning rates fall from 3e-3, and gradients are clipped, for the published 1e-3
to 1e-5 without clipping learned more slowly here, and from 5e-3 without clipping a loss grew without bound.

The orbit of a network (100,000 steps behind 1,000, from a state of another orbit) is compared with that other orbit.
Beside it, the distances of two true orbits, and of a network without relus, which is linear.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np
from machine import describe

from neurosim.training.reconstruction import (
    AlmostLinearNetwork,
    ReconstructionSpec,
    lorenz63,
    reconstruct,
    spectrum_distance,
    state_space_divergence,
)
from neurosim.training.refinement import RefinementSpec, refine

STEPS, BEFORE, SHARE = 100_000, 1000, 1e-3
PART = 10_000  # steps of which the published program takes spectra


STAGES: tuple[dict[str, Any], ...] = (
    {"every": 16, "noise": 0.05, "updates": 300, "last_rate": 0.3, "generations": 0},
    {"every": 16, "noise": 0.05, "updates": 450, "last_rate": 0.2, "generations": 0},
    {"updates": 400, "last_rate": 0.3, "generations": 0},
    {"updates": 300, "rate": 0.3, "generations": 0},
    {"updates": 0, "generations": 80},
    {"updates": 0, "generations": 25, "steps": 80_000, "spread": 1e-3},
)


def learned(data: np.ndarray, updates: int, rectified: int, seed: int, plain: bool) -> AlmostLinearNetwork:
    def say(update: int, loss: float) -> None:
        if update % 5000 == 0:
            print(f"seed {seed}: {update}, loss {loss:.5f}", file=sys.stderr, flush=True)

    def more(update: int, value: float) -> None:
        print(f"seed {seed}: refined {update}, {value:.5f}", file=sys.stderr, flush=True)

    spec = ReconstructionSpec(
        rectified=rectified,
        updates=updates,
        learning_rate=3e-3,
        last_learning_rate=3e-5 if plain else 1e-3,
        compared_every=1000 if plain else 0,
        seed=seed,
    )
    network = reconstruct(data, spec, say)
    for stage in () if plain else STAGES:
        network = refine(network, data, RefinementSpec(seed=seed, **stage), more)
    return network


def short_spectrum_distance(true: np.ndarray, found: np.ndarray) -> float:
    """Mean D_H of parts of `PART` steps."""
    parts = range(0, STEPS, PART)
    return float(np.mean([spectrum_distance(true[i : i + PART], found[i : i + PART]) for i in parts]))


def measure(seed: int, updates: int, rectified: int, plain: bool) -> dict[str, Any]:
    data, true = lorenz63(STEPS, seed=seed), lorenz63(STEPS, seed=seed + 1000)
    start = time.process_time()
    network = learned(data, updates, rectified, seed, plain)
    seconds = time.process_time() - start
    states = network.orbit(true[0], STEPS + BEFORE)[BEFORE:]
    visits = np.bincount(network.symbols(states), minlength=1 << rectified) / len(states)
    return {
        "seed": seed,
        "d_stsp": state_space_divergence(true, states[:, :3]),
        "d_h": spectrum_distance(true, states[:, :3]),
        "d_h_short": short_spectrum_distance(true, states[:, :3]),
        "regions": int((visits > SHARE).sum()),
        "visits": visits.round(4).tolist(),
        "seconds": seconds,
    }


def words(row: dict[str, Any]) -> str:
    return f"D_stsp {row['d_stsp']:.3f}, D_H {row['d_h']:.3f} (of {PART:,} steps {row['d_h_short']:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--updates", type=int, default=10_000)
    parser.add_argument("--rectified", type=int, nargs="+", default=[2, 0])
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    one, other = lorenz63(STEPS, seed=0), lorenz63(STEPS, seed=1)
    same = {
        "d_stsp": state_space_divergence(one, other),
        "d_h": spectrum_distance(one, other),
        "d_h_short": short_spectrum_distance(one, other),
    }
    found = {p: [measure(seed, options.updates, p, options.plain) for seed in options.seeds] for p in options.rectified}
    machine = describe(1)
    if options.json:
        print(json.dumps({"machine": machine, "updates": options.updates, "true": same, "rectified": found}))
        return
    print(json.dumps(machine))
    print("two true orbits: " + words(same))
    for p, rows in found.items():
        for row in rows:
            print(
                f"P = {p}, seed {row['seed']}: {words(row)}, {row['regions']} "
                f"regions with over {SHARE:.1%} of the steps ({row['visits']}), {row['seconds']:.0f} s of CPU"
            )


if __name__ == "__main__":
    main()
