"""Cost of the number of populations: networks of many small ones, what they take to build and a step.

Every population has 20 LIF neurons with Poisson input and projects to two others. Times are CPU times of one thread,
medians of the repeats.

    python benchmarks/populations.py [--counts 100 1000 10000] [--steps 200] [--repeats 3]
"""

from __future__ import annotations

import statistics
import time

import frame
import numpy as np

from neurosim import LIF, FixedProbability, Network, PoissonInput, Population, Projection, Simulation

SIZE = 20
CLOCK = 1e-3


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


def measure(count: int, steps: int, repeats: int) -> dict[str, float]:
    """Return CPU s to make ready, CPU ms a step, and spikes of a repeat."""
    described = network(count)
    started = time.process_time()
    simulation = Simulation(described, clock=CLOCK, threads=1)
    built = time.process_time() - started
    times = []
    for _ in range(repeats):
        started = time.process_time()
        result = simulation.run(steps * CLOCK)
        times.append((time.process_time() - started) / steps)
    step = statistics.median(times)
    return {
        "populations": count,
        "neurons": count * SIZE,
        "build, s": built,
        "a step, ms": 1e3 * step,
        "us a population": 1e6 * step / count,
        "spikes": sum(map(len, result.spikes.values())),
    }


def main() -> None:
    parser = frame.arguments(__doc__, steps=200, repeats=3)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 10_000])
    options = parser.parse_args()
    measure(10, 10, 1)  # compiles
    rows = [measure(count, options.steps, options.repeats) for count in options.counts]
    frame.report(options, frame.records(rows), {"rows": rows})


if __name__ == "__main__":
    main()
