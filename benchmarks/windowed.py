"""Cost of a window inside a network, beside the same model called by hand on the same windows.

Models and inputs are those of `htm.py` (temporal memory on sequences, pooler on images) and of `macrocolumn.py` (a
column of 10 modules on random items). The last row is a pipeline that learns the embedded digits. Both ways must find
the same codes, or weights. Times are CPU times of the one thread that works (of the process for the pipeline), medians
of the repeats, the two ways in turn.

    python benchmarks/windowed.py [--windows 4000] [--repeats 5] [--json]
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import frame
import numpy as np
from htm import CELLS, COLUMNS, images, sequences

from neurosim import (
    LIF,
    Link,
    Network,
    Population,
    Projection,
    Recordings,
    Simulation,
    Spikes,
    SpikeSource,
    Windowed,
    simulate,
)
from neurosim.data import catalog
from neurosim.learning import OnlineReadout, label_recordings
from neurosim.memory import SDR, Hierarchy, Level, Macrocolumn, Selection, SpatialPooler, TemporalMemory, patches
from neurosim.network import Convolution
from neurosim.network.windowed import Arrivals, WindowModel

WINDOW = 5e-3
CLOCK = 1e-3
# Of the pipeline: seconds of a recording, and of one of its three windows.
DURATION = 0.318
PART = 0.106


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
        own = column.memory()
        trace = None
        found = []
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
    items = workload.items
    model = workload.model
    times = np.repeat(np.arange(len(items)) * WINDOW + CLOCK / 2, [len(item) for item in items])
    size = next(iter(model.receptors.values()))
    played = Spikes(times, np.concatenate([item.indices for item in items]), size, len(items) * WINDOW)
    network = Network(
        [Population("source", size, SpikeSource()), Population("model", model.outputs, Windowed(model, WINDOW))],
        links=[Link("source", "model")],
    )
    return Simulation(network, played, clock=CLOCK, threads=1)


def measure(workload: Workload, repeats: int) -> dict[str, object]:
    alone = []
    inside = []
    count = len(workload.items)
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
    by_hand = statistics.median(alone[1:])
    network = statistics.median(inside[1:])
    return {"model": workload.name, "library_ms": by_hand, "network_ms": network, "ratio": network / by_hand}


def edges() -> tuple[Population, Population, Projection]:
    """The camera of the digits and LIF neurons that see edges of four orientations."""
    edge = np.repeat([1.0, -1.0], 2)[:, None] * np.ones(4)
    kernel = np.stack([np.stack([np.rot90(edge, k)] * 2) for k in range(4)])
    camera = Population("camera", (2, 34, 34), SpikeSource())
    seen = Population("edges", (4, 16, 16), LIF(tau_mem=0.02))
    return camera, seen, Projection("camera", "edges", Convolution(kernel, stride=2), weight=0.25)


@dataclass(frozen=True)
class Pipeline:
    """Camera, edges, columns and a readout that learns, with the recordings that it learns."""

    recordings: Recordings
    columns: Hierarchy
    readout: OnlineReadout

    # Networks and labels are built once, in the first repeat, which is not timed.
    @cached_property
    def front(self) -> Network:
        """Camera and edges alone."""
        camera, seen, projection = edges()
        return Network([camera, seen], [projection])

    @cached_property
    def whole(self) -> Network:
        """Return all parts."""
        camera, seen, projection = edges()
        return Network(
            [
                camera,
                seen,
                Population("label", 10, SpikeSource()),
                Population("columns", self.columns.outputs, Windowed(self.columns, PART)),
                Population("readout", 10, Windowed(self.readout, PART)),
            ],
            [projection],
            links=[Link("edges", "columns"), Link("columns", "readout"), Link("label", "readout", "label")],
        )

    @cached_property
    def labels(self) -> Recordings:
        return label_recordings(self.recordings.labels, 10, 2 * PART, DURATION)

    def by_hand(self) -> np.ndarray:
        """Return the readout's weights by the same libraries, called one after another."""
        spikes = simulate(self.front, self.recordings, duration=DURATION, threads=1).spikes["edges"]
        memory = self.columns.memory()
        state = self.readout.start()
        level = self.columns.levels[0]
        places = (np.arange(level.columns * level.modules) * level.units).reshape(level.columns, level.modules)
        for i in range(len(self.recordings)):
            one = spikes[i]
            traces = None
            number = (one.times / PART + 1e-6).astype(int)
            state.begin()
            for k in range(3):
                (batch,) = self.columns.store(memory, SDR(np.unique(one.units[number == k]), 1024), traces)
                traces = [batch.trace]
                codes = (places + batch.codes[0])[batch.codes[0] >= 0].astype(np.int32)
                taught = [self.recordings.labels[i]] if k == 2 else []
                label = Arrivals(np.array(taught, np.int32), np.ones(len(taught), np.int64))
                state.step({"input": Arrivals(codes, np.ones(len(codes), np.int64)), "label": label}, learn=True)
        return state.arrays()["weights"]

    def together(self) -> np.ndarray:
        """Return the readout's weights of one network that holds all parts."""
        given = {"camera": self.recordings, "label": self.labels}
        return simulate(self.whole, given, duration=DURATION, threads=1, record=[]).learned["readout"]["weights"]


def measure_pipeline(repeats: int, count: int = 150) -> dict[str, object]:
    """A pipeline as one network, and by the same libraries called one after another."""
    recordings = catalog.load("digits", "train").select(range(0, 1497, 1497 // count))
    exemplars = Selection(exponents=(8.0, 1.0, 1.0), chi=1e4, hypothesis=0.9)
    level = Level(patches((4, 16, 16), 6, 2), 4, 64, lateral=False, frozen_above=0.49, selection=exemplars)
    columns = Hierarchy(1024, (level,), top_down=False)
    pipeline = Pipeline(recordings, columns, OnlineReadout(columns.outputs, 10, windows=3))
    times: dict[Callable[[], np.ndarray], list[float]] = {pipeline.by_hand: [], pipeline.together: []}
    for _ in range(repeats + 1):
        found = []
        for way, taken in times.items():
            start = time.process_time()
            found.append(way())
            taken.append((time.process_time() - start) / (3 * len(recordings)) * 1e3)
        if not np.array_equal(*found):
            raise SystemExit("the pipeline and the libraries have learned other weights")
    library, network = (statistics.median(taken[1:]) for taken in times.values())
    name = "pipeline: camera, edges, 36 columns, readout"
    return {"model": name, "library_ms": library, "network_ms": network, "ratio": network / library}


def main() -> None:
    parser = frame.arguments(__doc__, repeats=5)
    parser.add_argument("--windows", type=int, default=4000)
    options = parser.parse_args()
    rows = [measure(workload, options.repeats) for workload in workloads(options.windows)]
    rows.append(measure_pipeline(options.repeats))
    cells = [
        [row["model"], f"{row['library_ms']:.4f}", f"{row['network_ms']:.4f}", f"{row['ratio']:.2f}"] for row in rows
    ]
    lines = frame.table(["ms a window", "by hand", "network", "ratio"], cells)
    frame.report(options, lines, {"windows": options.windows, "rows": rows})


if __name__ == "__main__":
    main()
