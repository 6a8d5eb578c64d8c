"""How long until the first spike: in a fresh process with the kernels cached, and with nothing compiled at all."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from machine import describe

# A network in which cells fire within the first milliseconds, timed from the start of the process.
FIRST_SPIKE = """
from neurosim import Network, PoissonInput, Population, Projection, simulate
from neurosim.neurons import LIF
from neurosim.synapses import FixedNumberPre

cells = Population("cells", 1000, LIF(i_offset=2.0), {"v": 0.99})
joints = [Projection("cells", "cells", FixedNumberPre(100), 0.001, 1e-3)]
result = simulate(Network([cells], joints, [PoissonInput("cells", 100.0, 0.1)]), 1e-3, clock=1e-4)
assert len(result.spikes["cells"]) > 0
"""


def once(cache: str | None) -> float:
    """Seconds from starting Python to having the spikes; compiled code is kept in `cache`, or where it always is."""
    environment = dict(os.environ) if cache is None else os.environ | {"NUMBA_CACHE_DIR": cache}
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", FIRST_SPIKE], env=environment, check=True)
    return time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object; the table goes to standard error")
    parser.add_argument("--repeats", type=int, default=5, help="of fresh processes; a third as many compile everything")
    chosen = parser.parse_args()
    machine = describe(1)
    once(None)
    cached = [once(None) for _ in range(chosen.repeats)]
    cold = []
    for _ in range(max(1, chosen.repeats // 3)):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(once(cache))
    rows = {
        name: {"median_s": statistics.median(times), "best_s": min(times), "worst_s": max(times), "repeats": len(times)}
        for name, times in (("kernels cached", cached), ("nothing compiled", cold))
    }
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores",
        f"{'to the first spike':20}{'median':>9}{'best':>9}{'worst':>9}",
    ]
    lines += [f"{name:20}{r['median_s']:8.2f}s{r['best_s']:8.2f}s{r['worst_s']:8.2f}s" for name, r in rows.items()]
    print("\n".join(lines), file=sys.stderr if chosen.json else sys.stdout)
    if chosen.json:
        print(json.dumps({"machine": machine, **rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
