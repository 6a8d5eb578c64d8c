"""A stream of N-MNIST through 2,312 inputs and 1,000 neurons in continuous time, beside the same on a grid.

    NEUROSIM_DATA=FOLDER python benchmarks/exact.py [--model LIF] [--recordings 20] [--repeats 3] [--json]

One recording after another, on one thread: what an event costs, and what the grid costs for the same network at
steps of .1 ms (which rounds every event, every delay and every spike to it) and of the camera's own microsecond.
Without NEUROSIM_DATA the embedded digits are played. Every kernel is compiled before the clock runs; the ways of
running take turns, repeat by repeat; figures are medians. A synaptic event is a nonzero weight added.
"""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass
from pathlib import Path

import frame
from process_memory import peak_mib

from neurosim import LIF, CubaLIF, FixedProbability, Network, Population, Projection, Recordings, SpikeSource, simulate
from neurosim.data import catalog
from neurosim.engine import Result
from neurosim.network import AdaptiveLIF, AlphaLIF, Neuron, Normal, Uniform

NEURONS = 1000
# By model: the neuron, and a weight from which about a hundred inputs a second and neuron make some spikes/s.
MODELS: dict[str, tuple[Neuron, float]] = {
    "LIF": (LIF(tau_mem=0.02, t_refractory=0.002), 0.05),
    "AdaptiveLIF": (AdaptiveLIF(tau_mem=0.02, t_refractory=0.002), 0.05),
    "CubaLIF": (CubaLIF(tau_mem=0.02, tau_syn=0.005, t_refractory=0.002), 0.2),
    "AlphaLIF": (AlphaLIF(tau_mem=0.02, tau_syn=0.003, t_refractory=0.002), 0.15),
}
FIGURES = ("build_s", "sim_s", "real_time_factor", "peak_rss_mb", "synaptic_events_per_s", "rate_hz")


def network(model: str) -> Network:
    """A tenth of all pairs joined; recurrent weights of both signs, recurrent delays drawn."""
    neuron, weight = MODELS[model]
    return Network(
        [Population("input", (2, 34, 34), SpikeSource()), Population("cell", NEURONS, neuron)],
        [
            Projection("input", "cell", FixedProbability(0.1), Normal(weight, 0.2 * weight, low=0.0), 0.001),
            Projection("cell", "cell", FixedProbability(0.1), Normal(0.0, weight), Uniform(0.001, 0.01)),
        ],
    )


def recordings(count: int) -> tuple[str, Recordings]:
    """Test recordings, N-MNIST's if they are there."""
    root = os.environ.get("NEUROSIM_DATA")
    name = "nmnist" if root else "digits"
    every = catalog.load(name, "test", Path(root) / "NMNIST" if root else None)
    return name, every.select(range(count))


@dataclass(frozen=True)
class Way:
    """A way of running: its name and its step."""

    name: str
    clock: float | None

    def run(self, network_: Network, batch: Recordings) -> dict[str, float]:
        """Every recording in turn; drawing the network is not part of the time."""
        result: Result = simulate(network_, batch, clock=self.clock, threads=1)
        layer = result.work[0]
        found = result.spikes["cell"]
        assert isinstance(found, Recordings)
        operations = float(layer.synaptic_operations or 0)
        events = float(layer.input_events or 0)
        return {
            "build_s": result.build_s,
            "sim_s": result.run_s,
            "real_time_factor": result.real_time_factor,
            "peak_rss_mb": peak_mib(),
            "synaptic_events_per_s": operations / result.run_s,
            "rate_hz": len(found.ticks) / NEURONS / result.duration,
            "events_per_s": events / result.run_s,
            "ns_per_synaptic_event": 1e9 * result.run_s / operations,
        }


WAYS = (Way("exact", None), Way("grid .1 ms", 1e-4))
FINE = Way("grid 1 us", 1e-6)


def compare(model: str, batch: Recordings, repeats: int, fine: int) -> dict[str, dict[str, float]]:
    """Medians, by way of running. The microsecond grid runs once, on the first `fine` recordings."""
    made = network(model)
    runs: dict[str, list[dict[str, float]]] = {way.name: [] for way in WAYS}
    for way in WAYS:
        way.run(made, batch.select([0]))
    for repeat in range(repeats):
        for way in WAYS:
            runs[way.name].append(way.run(made, batch))
            frame.say(f"{model}, {way.name}, repeat {repeat + 1}: {runs[way.name][-1]['sim_s']:.3f} s")
    figures = {
        name: {key: statistics.median(run[key] for run in each) for key in each[0]} for name, each in runs.items()
    }
    if fine:
        figures[FINE.name] = FINE.run(made, batch.select(range(fine)))
    return figures


def table(figures: dict[str, dict[str, float]]) -> list[str]:
    rows = [
        [
            name,
            f"{f['sim_s']:.3f}",
            f"{f['real_time_factor']:.3g}",
            f"{f['events_per_s']:.3g}",
            f"{f['synaptic_events_per_s']:.3g}",
            f"{f['ns_per_synaptic_event']:.1f}",
            f"{f['rate_hz']:.2f}",
        ]
        for name, f in figures.items()
    ]
    return frame.table(["", "sim", "x real", "events/s", "syn. events/s", "ns each", "spikes/s"], rows)


def main() -> None:
    parser = frame.arguments(__doc__, repeats=3)
    parser.add_argument("--model", choices=list(MODELS), default="LIF")
    parser.add_argument("--recordings", type=int, default=20)
    parser.add_argument("--fine", type=int, default=1, help="recordings also run at steps of 1 us, once; 0 for none")
    options = parser.parse_args()
    name, batch = recordings(options.recordings)
    figures = compare(options.model, batch, options.repeats, options.fine)
    title = (
        f"{len(batch)} recordings of {name}, {len(batch.ticks)} events, {batch.durations.sum():.3g} s, through 2,312 "
        f"inputs and {NEURONS} {options.model}, 1 thread, median of {options.repeats}"
    )
    lines = [title, "", *table(figures)]
    ours = figures.pop("exact")
    ratio = {way: f["real_time_factor"] / ours["real_time_factor"] for way, f in figures.items()}
    frame.report(options, lines, {"neurosim": ours, "peers": figures, "ratio": ratio})


if __name__ == "__main__":
    main()
