"""A table of edges of the size of a fly's brain: what it takes to describe, to build, to run and to silence neurons.

The table is synthetic: log-normal degrees of 138,639 neurons, 15.1 M edges with integer weights of both signs. The
model is that of Shiu et al. 2024 (Nature 634): membrane and synaptic variable, both held while refractory, against
arriving weights too; 1.8 ms of delay, steps of 0.1 ms. Some neurons get Poisson spikes at 150 Hz that each make them
fire. Times are CPU times of one thread. Compiling is not in them: a small table runs first.

With --peer Brian2 (C++ standalone, one thread) runs the same table with the same spikes, both in float64.

    python benchmarks/fly.py [--neurons 138639] [--edges 15100000] [--activated 20] [--duration 1] [--peer]
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from pathlib import Path

import frame
import numpy as np
from harness import NO_PEERS, PEERS_PYTHON
from numpy.typing import NDArray

from neurosim import FromList, Network, Population, Projection, Simulation, Spikes, SpikeSource
from neurosim.network import Edges, Neuron, equations

CLOCK = 1e-4
DELAY = 1.8e-3
# V a synapse: of the published model.
WEIGHT = 0.275e-3
RATE = 150.0
# V of an activating spike, which lies far above the threshold.
KICK = 0.1
SILENCED = 10
Figures = dict[str, object]
PEER = Path(__file__).parent / "peers" / "run_brian2_edges.py"


def table(neurons: int, edges: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return ids of the two ends of each edge, and the weights."""
    random = np.random.default_rng(1)
    ids = 720575940600000000 + 17 * random.permutation(neurons)
    ends = []
    for _ in range(2):
        shares = np.cumsum(random.lognormal(0.0, 1.0, neurons))
        places = np.searchsorted(shares / shares[-1], random.random(edges))
        ends.append(ids[np.minimum(places, neurons - 1)])
    sign = np.where(np.isin(ends[0], ids[: neurons // 4]), -1.0, 1.0)
    return ends[0], ends[1], sign * (1 + random.poisson(1.5, edges)) * WEIGHT


def model() -> Neuron:
    """Return the neuron of the published model."""
    owner = equations(
        """
        dv/dt = (g - (v - v_rest)) / tau_mem : V (unless refractory)
        dg/dt = -g / tau_syn : V (unless refractory)
        """,
        threshold="v > v_threshold",
        reset="v = v_reset; g = 0",
        parameters={
            "tau_mem": 0.02,
            "tau_syn": 0.005,
            "v_rest": -0.052,
            "v_threshold": -0.045,
            "v_reset": -0.052,
            "t_refractory": 2.2e-3,
        },
        receptors={"synapses": "g", "kick": "v"},
        initial={"v": "v_rest"},
        name="FlyNeuron",
    )
    return owner()


def network(edges: Edges, activated: NDArray[np.int64]) -> Network:
    """Return the network of a table, with a source of spikes for each activated neuron."""
    base = Network.from_edges(edges, model())
    chosen = edges.units(activated)
    pattern = FromList(np.arange(len(chosen)), chosen)
    kick = Projection("input", "neurons", pattern, KICK, CLOCK, "kick")
    source = Population("input", len(chosen), SpikeSource())
    return Network([*base.populations, source], [*base.projections, kick])


def poisson(count: int, duration: float) -> Spikes:
    """Return spikes at `RATE` in the middles of steps, from step 1 on."""
    steps = round(duration / CLOCK)
    fired = np.random.default_rng(2).random((steps, count)) < RATE * CLOCK
    fired[0] = False
    step, unit = np.nonzero(fired)
    return Spikes((step + 0.5) * CLOCK, unit.astype(np.int32), count, duration)


def measure(
    neurons: int, edges: int, activated: int, duration: float, precision: str
) -> tuple[dict[str, object], Spikes]:
    """Return CPU s of each part, and the spikes of all neurons without silence."""
    pre, post, weight = table(neurons, edges)
    times = [time.process_time()]
    read = Edges.between(pre, post, weight, DELAY)
    chosen = read.ids[:activated]
    described = network(read, chosen)
    times.append(time.process_time())
    played = poisson(activated, duration)
    simulation = Simulation(described, played, clock=CLOCK, threads=1, precision=precision)
    times.append(time.process_time())
    spikes = simulation.run(duration).spikes["neurons"]
    times.append(time.process_time())
    simulation.silence("neurons", read.units(read.ids[:SILENCED]))
    fewer = simulation.with_trial(1)
    times.append(time.process_time())
    left = fewer.run(duration).spikes["neurons"]
    assert isinstance(spikes, Spikes) and isinstance(left, Spikes)
    described_s, built, run, silenced = np.diff(times)
    return {
        "neurons": neurons,
        "edges": edges,
        "neurons that fired": int(np.count_nonzero(spikes.counts())),
        "spikes": len(spikes),
        "description, s": float(described_s),
        "build, s": float(built),
        "run, s": float(run),
        "silencing and restart, s": float(silenced),
        "spikes with silence": len(left),
    }, spikes


def peer(neurons: int, edges: int, activated: int, duration: float) -> Figures:
    """Run Brian2 on the table in a process of its own; return its times, and whether all spikes are equal."""
    if not PEERS_PYTHON.exists():
        return {"brian2": NO_PEERS}
    pre, post, weight = table(neurons, edges)
    read = Edges.between(pre, post, weight, DELAY)
    _, spikes = measure(neurons, edges, activated, duration, "float64")
    played = poisson(activated, duration)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "edges.npz")
        steps = np.floor(played.times / CLOCK).astype(np.int64)
        own = {"steps": steps, "sources": played.units, "pre": read.pre, "post": read.post, "weight": read.weight}
        np.savez(file, **own, neurons=read.size, activated=activated, duration=duration)
        done = subprocess.run([PEERS_PYTHON, PEER, file], check=True, capture_output=True, text=True)
        with np.load(file.with_suffix(".spikes.npz")) as found:
            theirs = sorted(zip(found["steps"].tolist(), found["units"].tolist(), strict=True))
    ours = sorted(zip(np.rint(spikes.times / CLOCK).astype(int).tolist(), spikes.units.tolist(), strict=True))
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return {**figures, "brian2 spikes": len(theirs), "spikes equal": "yes" if ours == theirs else "no"}


def main() -> None:
    parser = frame.arguments(__doc__)
    parser.add_argument("--neurons", type=int, default=138_639)
    parser.add_argument("--edges", type=int, default=15_100_000)
    parser.add_argument("--activated", type=int, default=20)
    parser.add_argument("--duration", type=float, default=1.0, help="s of biological time (default 1)")
    parser.add_argument("--peer", action="store_true", help="Brian2 on the same table")
    options = parser.parse_args()
    sizes = (options.neurons, options.edges, options.activated, options.duration)
    # Compiles.
    measure(1000, 20_000, options.activated, 0.05, "float32")
    row, _ = measure(*sizes, "float32")
    rows = {**row, **(peer(*sizes) if options.peer else {})}
    lines = frame.table(("", "value"), ((name, frame.shown(value)) for name, value in rows.items()))
    frame.report(options, lines, {"fly": rows})


if __name__ == "__main__":
    main()
