"""Cost of the number of populations: networks of many small ones, what they take to build and a step.

Every population has 20 LIF neurons with Poisson input and projects to two others. Times are CPU times of one thread,
medians of the repeats.

    python benchmarks/populations.py [--counts 100 1000 10000] [--steps 200] [--repeats 3]
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from machine import describe

from neurosim import Network, PoissonInput, Population, Projection, Simulation
from neurosim.neurons import LIF
from neurosim.synapses import FixedProbability

SIZE, CLOCK = 20, 1e-3


def network(count: int) -> Network:
    names = [f"p{k:06d}" for k in range(count)]
    targets = np.random.default_rng(0).integers(0, count, (count, 2))
    projections = [
        Projection(source, names[target], FixedProbability(0.5), 0.05, 1.5e-3, name=f"{source}.{n}")
        for source, row in zip(names, targets, strict=True)
        for n, target in enumerate(row)
    ]
    stimuli = [PoissonInput(name, 200.0, 0.2) for name in names]
    return Network([Population(name, SIZE, LIF()) for name in names], projections, stimuli)


def measure(count: int, steps: int, repeats: int) -> tuple[float, float, int]:
    """Return CPU s to make ready, CPU ms a step, and spikes of a repeat."""
    described = network(count)
    started = time.process_time()
    simulation = Simulation(described, clock=CLOCK, threads=1)
    built, each, spikes = time.process_time() - started, [], 0
    for _ in range(repeats):
        started = time.process_time()
        result = simulation.run(steps * CLOCK)
        each.append((time.process_time() - started) / steps * 1e3)
        spikes = sum(len(found) for found in result.spikes.values())
    return built, statistics.median(each), spikes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    print(describe(1))
    measure(10, 10, 1)  # compiles
    print("populations   neurons  build, s  a step, ms  us a population    spikes")
    for count in chosen.counts:
        built, step, spikes = measure(count, chosen.steps, chosen.repeats)
        print(f"{count:11,} {count * SIZE:9,} {built:9.2f} {step:11.3f} {step / count * 1e3:16.2f} {spikes:9,}")


if __name__ == "__main__":
    main()
