"""How long until the first spike: in a fresh process with the kernels cached, and with nothing compiled at all."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

import frame

# A network in which cells fire within the first milliseconds, timed from the start of the process.
FIRST_SPIKE = """
from neurosim import Network, PoissonInput, Population, Projection, simulate
from neurosim.network.neurons import LIF
from neurosim.network.synapses import FixedNumberPre

cells = Population("cells", 1000, LIF(i_offset=2.0), {"v": 0.99})
joints = [Projection("cells", "cells", FixedNumberPre(100), 0.001, 1e-3)]
result = simulate(Network([cells], joints, [PoissonInput("cells", 100.0, 0.1)]), 1e-3, clock=1e-4)
assert len(result.spikes["cells"]) > 0
"""


def once(cache: str | None) -> float:
    """Seconds from starting Python to having the spikes; compiled code is kept in `cache`, or where it always is."""
    if cache is None:
        environment = dict(os.environ)
    else:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
    return frame.seconds(lambda: subprocess.run([sys.executable, "-c", FIRST_SPIKE], env=environment, check=True))


def main() -> None:
    options = frame.arguments(f"{__doc__}\nA third as many repeats compile everything.", repeats=5).parse_args()
    once(None)
    cached = [once(None) for _ in range(options.repeats)]
    cold = []
    for _ in range(max(1, options.repeats // 3)):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(once(cache))
    result = {
        name: {"median_s": statistics.median(times), "best_s": min(times), "worst_s": max(times), "repeats": len(times)}
        for name, times in (("kernels cached", cached), ("nothing compiled", cold))
    }
    cells = [[name, *(f"{r[key]:.2f}s" for key in ("median_s", "best_s", "worst_s"))] for name, r in result.items()]
    frame.report(options, frame.table(["to the first spike", "median", "best", "worst"], cells), result)


if __name__ == "__main__":
    main()
