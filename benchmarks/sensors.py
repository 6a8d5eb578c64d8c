"""The cost of an event of cameras of several sizes: the same network, recordings of equal numbers of events.

    python benchmarks/sensors.py [--events 4000000] [--json]

1,000 neurons, two synapses a pixel and polarity, random events in 1 s at 1 ms a step, one thread. The cost is the CPU
time of the run less that of an empty recording, by event; networks are compiled before.
"""

from __future__ import annotations

import time

import frame
import numpy as np

from neurosim import LIF, FromList, Network, Population, Projection, Simulation, Spikes, SpikeSource

SENSORS = ((128, 128), (260, 346), (480, 640), (720, 1280))
NEURONS = 1000
SYNAPSES = 2


def network(shape: tuple[int, ...]) -> Network:
    """Return a source of this shape, each unit of which has `SYNAPSES` synapses onto the neurons."""
    size = int(np.prod(shape))
    rng = np.random.default_rng(0)
    pre = np.repeat(np.arange(size), SYNAPSES)
    post = rng.integers(0, NEURONS, len(pre))
    populations = [Population("camera", shape, SpikeSource()), Population("cells", NEURONS, LIF())]
    return Network(populations, [Projection("camera", "cells", FromList(pre, post), weight=0.05, delay=1e-3)])


def events(shape: tuple[int, ...], count: int) -> Spikes:
    """Return random events of 1 s."""
    size = int(np.prod(shape))
    rng = np.random.default_rng(1)
    times = np.sort(rng.integers(0, 1_000_000, count)) * 1e-6
    return Spikes.unchecked(times, rng.integers(0, size, count).astype(np.int32), size, 1.0, shape)


def seconds(net: Network, spikes: Spikes) -> tuple[float, str]:
    """Return the CPU time of a run, s, and the digest of the spikes of the neurons."""
    with Simulation(net, spikes, threads=1, record=["cells"]) as simulation:
        begin = time.process_time()
        result = simulation.run(1.0)
        took = time.process_time() - begin
    return took, result.spikes["cells"].digest()


def main() -> None:
    parser = frame.arguments(__doc__, repeats=3)
    parser.add_argument("--events", type=int, default=4_000_000, help="events of a recording (default 4,000,000)")
    options = parser.parse_args()
    rows = []
    for height, width in SENSORS:
        shape = (2, height, width)
        net = network(shape)
        spikes = events(shape, options.events)
        empty = min(seconds(net, events(shape, 0))[0] for _ in range(options.repeats))
        runs = [seconds(net, spikes) for _ in range(options.repeats)]
        cost = (min(took for took, _ in runs) - empty) / options.events
        rows.append({"sensor": f"{width} x {height}", "ns an event": 1e9 * cost, "digest": runs[0][1][:12]})
        frame.say(f"{width} x {height}: {1e9 * cost:.0f} ns")
    for row in rows:
        row["times the first"] = float(row["ns an event"]) / float(rows[0]["ns an event"])
    frame.report(options, frame.records(rows), {"sensors": rows})


if __name__ == "__main__":
    main()
