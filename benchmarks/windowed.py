"""Cost of a window inside a network, beside the same model called by hand on the same windows.

Models and inputs are those of `htm.py` (temporal memory on sequences, pooler on images) and of `macrocolumn.py` (a
column of 10 modules on random items). Both ways must find the same codes. Times are CPU times of the one thread that
works, medians of the repeats, the two ways in turn.

    python benchmarks/windowed.py [--windows 4000] [--repeats 5] [--json]
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from htm import CELLS, COLUMNS, images, sequences
from machine import describe

from neurosim import Link, Network, Population, Simulation, Spikes, SpikeSource, Windowed
from neurosim.dendrites import SpatialPooler, TemporalMemory
from neurosim.macrocolumn import Macrocolumn
from neurosim.sdr import SDR
from neurosim.windowed import WindowModel

WINDOW, CLOCK = 5e-3, 1e-3


@dataclass(frozen=True)
class Workload:
    """A model, its inputs, and its library form: called with the inputs, it returns [n] units of every code, joined."""

    name: str
    model: WindowModel
    items: list[SDR]
    library: Callable[[list[SDR]], list[np.ndarray]]


def workloads(windows: int) -> list[Workload]:
    memory = TemporalMemory(COLUMNS, CELLS)
    pooler = SpatialPooler(2048, COLUMNS, density=0.02, boost=2.0)
    column = Macrocolumn(1024, 10, 32, lateral=False)
    items = [SDR.random(1024, 60, seed=6, index=s % 400) for s in range(windows)]

    def remember(given: list[SDR]) -> list[np.ndarray]:
        own = copy.deepcopy(memory)
        return [(own.step(item), own.active_cells.indices)[1] for item in given]

    def pool(given: list[SDR]) -> list[np.ndarray]:
        own = copy.deepcopy(pooler)
        return [own.step(item).indices for item in given]

    def store(given: list[SDR]) -> list[np.ndarray]:
        own, trace, found = column.memory(), None, []
        for item in given:
            output = column.store(own, item, trace)
            trace = output.trace
            found.append(output.units)
        return found

    return [
        Workload(f"temporal memory, {COLUMNS} x {CELLS}, sequences", memory, sequences(windows), remember),
        Workload(f"spatial pooler, {COLUMNS} columns, images", pooler, images(windows), pool),
        Workload("macrocolumn, 10 x 32 units, 1,024 inputs", column, items, store),
    ]


def in_network(workload: Workload) -> Simulation:
    """The model fed by a source that plays the items, one a window."""
    items, model = workload.items, workload.model
    times = np.repeat(np.arange(len(items)) * WINDOW + CLOCK / 2, [len(item) for item in items])
    size = next(iter(model.receptors.values()))
    played = Spikes(times, np.concatenate([item.indices for item in items]), size, len(items) * WINDOW)
    network = Network(
        [Population("source", size, SpikeSource()), Population("model", model.outputs, Windowed(model, WINDOW))],
        links=[Link("source", "model")],
    )
    return Simulation(network, played, clock=CLOCK, threads=1)


def measure(workload: Workload, repeats: int) -> dict[str, object]:
    alone, inside, count = [], [], len(workload.items)
    for _ in range(repeats + 1):
        start = time.thread_time()
        codes = workload.library(workload.items)
        alone.append((time.thread_time() - start) / count * 1e3)
        simulation = in_network(workload)
        start = time.thread_time()
        found = simulation.run(count * WINDOW).spikes["model"]
        inside.append((time.thread_time() - start) / count * 1e3)
        if not np.array_equal(found.units, np.concatenate(codes)):
            raise SystemExit(f"{workload.name}: the network and the library found other codes")
    # The first repeat compiles.
    by_hand, network = statistics.median(alone[1:]), statistics.median(inside[1:])
    return {"model": workload.name, "library_ms": by_hand, "network_ms": network, "ratio": network / by_hand}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--windows", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object; the table goes to standard error")
    chosen = parser.parse_args()
    rows = [measure(workload, chosen.repeats) for workload in workloads(chosen.windows)]
    out = sys.stderr if chosen.json else sys.stdout
    print(f"{'ms a window':<44} {'by hand':>9} {'network':>9} {'ratio':>7}", file=out)
    for row in rows:
        print(f"{row['model']:<44} {row['library_ms']:9.4f} {row['network_ms']:9.4f} {row['ratio']:7.2f}", file=out)
    if chosen.json:
        print(json.dumps({"machine": describe(1), "windows": chosen.windows, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
