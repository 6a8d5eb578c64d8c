"""The Lorenz system reconstructed by almost-linear networks: distance of orbits and spectra, and linear regions.

    python benchmarks/reconstruction.py [--seeds 0 1 2] [--updates 100000] [--rectified 2 0] [--json]

Settings of Brenner et al. 2024 for this system: 20 units, 2 of them rectified, sequences of 200 steps of .01, set to
the data every 16, batches of 16, RAdam, noise .05, 100,000 updates, the network whose orbit is nearest to the data
(looked at every 1,000 updates). Learning rates fall from 3e-3 to 3e-5, gradients are clipped: the published 1e-3 to
1e-5 without clipping learned more slowly here, and from 5e-3 without clipping a loss grew without bound. Trained on
100,000 steps; the orbit of a network (100,000 steps behind 1,000, from a state of another orbit) is compared with that
other orbit. Beside it, the distances of two true orbits, and of a network without relus, which is linear.
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
    ReconstructionSpec,
    lorenz63,
    reconstruct,
    spectrum_distance,
    state_space_divergence,
)

STEPS, BEFORE, SHARE = 100_000, 1000, 1e-3


def _spec(rectified: int, updates: int, seed: int) -> ReconstructionSpec:
    return ReconstructionSpec(
        rectified=rectified,
        updates=updates,
        learning_rate=3e-3,
        last_learning_rate=3e-5,
        compared_every=1000,
        seed=seed,
    )


def measure(seed: int, updates: int, rectified: int) -> dict[str, Any]:
    data, true = lorenz63(STEPS, seed=seed), lorenz63(STEPS, seed=seed + 1000)
    start = time.process_time()

    def say(update: int, loss: float) -> None:
        if update % 5000 == 0:
            print(f"seed {seed}: {update}, loss {loss:.5f}", file=sys.stderr, flush=True)

    network = reconstruct(data, _spec(rectified, updates, seed), say)
    seconds = time.process_time() - start
    states = network.orbit(true[0], STEPS + BEFORE)[BEFORE:]
    visits = np.bincount(network.symbols(states), minlength=1 << rectified) / len(states)
    return {
        "seed": seed,
        "d_stsp": state_space_divergence(true, states[:, :3]),
        "d_h": spectrum_distance(true, states[:, :3]),
        "regions": int((visits > SHARE).sum()),
        "visits": visits.round(4).tolist(),
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--updates", type=int, default=100_000)
    parser.add_argument("--rectified", type=int, nargs="+", default=[2, 0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    one, other = lorenz63(STEPS, seed=0), lorenz63(STEPS, seed=1)
    same = {"d_stsp": state_space_divergence(one, other), "d_h": spectrum_distance(one, other)}
    found = {p: [measure(seed, options.updates, p) for seed in options.seeds] for p in options.rectified}
    machine = describe(1)
    if options.json:
        print(json.dumps({"machine": machine, "updates": options.updates, "true": same, "rectified": found}))
        return
    print(json.dumps(machine))
    print(f"two true orbits: D_stsp {same['d_stsp']:.3f}, D_H {same['d_h']:.3f}")
    for p, rows in found.items():
        for row in rows:
            print(
                f"P = {p}, seed {row['seed']}: D_stsp {row['d_stsp']:.3f}, D_H {row['d_h']:.3f}, {row['regions']} "
                f"regions with over {SHARE:.1%} of the steps ({row['visits']}), {row['seconds']:.0f} s of CPU"
            )


if __name__ == "__main__":
    main()
