"""Networks that processes share, and what they give, as digests: `mpirun -n 2 python -m helpers.processes FOLDER`.

A test runs this file over processes, and calls `digests` itself for what one process gives.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurosim import (
    LIF,
    STDP,
    CubaLIF,
    FixedNumberPre,
    FixedProbability,
    Network,
    PoissonInput,
    PoissonSource,
    Population,
    Probe,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
    simulate,
)
from neurosim.base.values import Value
from neurosim.data import read_sonata
from neurosim.engine import Result
from neurosim.engine.compile import layout
from neurosim.engine.grid import team
from neurosim.engine.processes import Processes
from neurosim.network import NoiseCurrent, Normal, RewardSTDP, ShortTermPlasticity, SynapticScaling, Uniform
from neurosim.network.plasticity.structural import PruneAndRegrow
from neurosim.network.synapses.base import Pattern
from neurosim.network.synapses.patterns import FixedTotalNumber

DT = 1e-3
DURATION = 0.08
PROBES = [Probe("E", "v", 0.004), Probe("I", "v", 0.001, units=[130, 3, 70]), Probe("E", "v", 0.002, [599], "last")]


def divide(set_value: Callable[[object, str, int], None] = setattr) -> None:
    """Let blocks be small and threads share small work, so that small networks are cut as large ones are."""
    set_value(layout, "BLOCK_UNITS", 64)
    set_value(team, "MIN_WORK", 0)


def recording() -> Spikes:
    rng = np.random.default_rng(0)
    return Spikes.sort(rng.uniform(0, DURATION, 800), rng.integers(0, 100, 800), 100, DURATION)


def network(pattern: Pattern, weight: Value, delay: Value, **more: Any) -> Network:
    """600 excitatory and 200 inhibitory neurons, driven by a recording and noise; `more` is said of E -> E."""
    populations = [
        Population("in", 100, SpikeSource()),
        Population("E", 600, LIF(tau_mem=0.02, t_refractory=0.003), {"v": Uniform(0.0, 0.9)}),
        Population("I", 200, CubaLIF(tau_mem=0.01, tau_syn=0.004, tau_syn_inhibitory=0.008)),
        Population("noise", 90, PoissonSource(80.0)),
    ]
    projections = [
        Projection("in", "E", FixedProbability(0.1), 0.1, 0.001),
        Projection("in", "I", FixedProbability(0.1), Normal(0.3, 0.1), 0.002),
        Projection("noise", "E", FixedProbability(0.2), 0.03, 0.004),
        Projection("E", "E", pattern, weight, delay, **more),
        Projection("E", "I", FixedNumberPre(8), Normal(0.3, 0.05), Uniform(0.001, 0.009), "excitatory"),
        Projection("I", "E", FixedNumberPre(30), -0.1, 0.003),
    ]
    stimuli = [
        PoissonInput("E", 200.0, 0.1),
        PoissonInput("I", np.linspace(100.0, 300.0, 200), 0.5, "excitatory"),
        NoiseCurrent("E", mean=0.0, sd=0.1, tau=5e-3, name="current"),
    ]
    return Network(populations, projections, stimuli)


DRAWN = Uniform(0.001, 0.006)
RULE = STDP(w_max=0.1, a_plus=0.02, a_minus=0.021)
CASES: dict[str, tuple[Network, dict[str, Any]]] = {
    "bits": (network(FixedProbability(0.3), 0.004, 0.002), {}),
    "bits with pairs drawn again": (network(FixedTotalNumber(60000), 0.004, 0.002), {"threads": 2}),
    "counts": (network(FixedNumberPre(20), 0.04, 0.003), {"count_updates": True}),
    "sums": (network(FixedNumberPre(20), Normal(0.04, 0.01), 0.002), {"precision": "float64"}),
    "groups": (network(FixedNumberPre(150), Normal(0.004, 0.001), DRAWN), {"threads": 2}),
    "queue": (network(FixedNumberPre(20), Normal(0.04, 0.01), DRAWN), {"precision": "float64"}),
    "stdp": (network(FixedNumberPre(20), 0.04, DRAWN, plasticity=RULE), {}),
    "scaling": (
        network(FixedNumberPre(20), 0.04, DRAWN, plasticity=RULE, homeostasis=SynapticScaling(20.0, interval=0.02)),
        {},
    ),
    "reward": (
        network(FixedNumberPre(20), 0.04, 0.002, plasticity=RewardSTDP("noise", w_max=0.1)),
        {},
    ),
    "release": (
        network(FixedNumberPre(20), 0.08, DRAWN, p_transmit=0.5, short_term=ShortTermPlasticity(0.5, 0.1, 0.1)),
        {"threads": 2},
    ),
    "quanta": (
        network(FixedNumberPre(20), 0.08, DRAWN, short_term=ShortTermPlasticity(0.5, 0.1, 0.1, sites=4)),
        {"threads": 2},
    ),
}
# Cases that are also saved, cut, streamed.
SAVED = ("queue", "reward", "quanta")


def in_threads(size: int, work: Callable[[Processes], Any]) -> list[Any]:
    """Return what `work` returns for each of several processes, which are threads here: no MPI is needed."""
    given: list[Any] = [None] * size
    barrier = threading.Barrier(size, timeout=120)

    def gather(rank: int, values: NDArray[Any]) -> list[NDArray[Any]]:
        given[rank] = values
        barrier.wait()
        found = list(given)
        barrier.wait()
        return found

    def one(rank: int) -> Any:
        processes = Processes()
        processes.rank = rank
        processes.size = size
        processes.sum = lambda v: np.sum(gather(rank, v), axis=0, dtype=v.dtype)  # type: ignore[method-assign]
        processes.before = lambda v: np.sum([0 * v, *gather(rank, v)[:rank]], axis=0)  # type: ignore[method-assign]
        processes.max = lambda v: np.max(gather(rank, v), axis=0)  # type: ignore[method-assign]
        processes.parts = lambda own: gather(rank, own)  # type: ignore[method-assign]
        return work(processes)

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, range(size)))


def digest(result: Result) -> dict[str, object]:
    """Return everything that does not depend on processes."""
    arrays = {**result.states, **{f"weights {name}": w for name, w in result.weights.items()}}
    found: dict[str, object] = {name: spikes.digest() for name, spikes in result.spikes.items()}
    found |= {name: hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest() for name, a in arrays.items()}
    found["work"] = [repr(layer) for layer in result.work]
    return found


def digests(comm: Any = None) -> Mapping[str, object]:
    """Return what every case gives, run at once."""
    return {
        name: digest(simulate(net, recording(), clock=DT, seed=3, probes=PROBES, comm=comm, **options))
        for name, (net, options) in CASES.items()
    }


def in_pieces(name: str, saved: Path, comm: Any = None, *, load: bool) -> dict[str, object]:
    """Return what the second half of a case gives, after changes at rest: of one that was saved, or from the start."""
    net, options = CASES[name]
    given = {"threads": options.get("threads"), "comm": comm}
    if load:
        simulation = Simulation.load(saved, net, recording(), **given)
    else:
        given |= options
        simulation = Simulation(net, recording(), clock=DT, seed=3, probes=PROBES, **given)
        simulation.run(0.03)
        simulation.set("current", {"mean": 0.02})
        simulation.set("I->E", {"delay": 0.004})
        if name == "reward":
            simulation.rewire("E->E", PruneAndRegrow(0.0401, 0.05))
        simulation.save(saved)
    return digest(simulation.run(DURATION - 0.03))


def streamed(folder: Path, comm: Any = None) -> dict[str, object]:
    """Return what a case gives that is streamed to files, read back from them."""
    net, options = CASES["queue"]
    paths = folder / "spikes.h5", folder / "states.h5"
    where = {"spikes_to": paths[0], "states_to": paths[1]}
    with Simulation(net, recording(), clock=DT, seed=3, probes=PROBES, comm=comm, **where, **options) as simulation:
        simulation.run(0.05)
        simulation.run(DURATION - 0.05)
        whole = simulation.result()
    spikes = {name: read_sonata(paths[0], name).digest() for name in ("E", "I")}
    if comm is not None and comm.Get_rank():
        return spikes
    return {**digest(whole), **spikes}


def main(folder: Path) -> None:
    """Print as JSON what the processes of mpirun give; `one-NAME` in the folder are files that one process saved."""
    from mpi4py import MPI

    divide()
    comm = MPI.COMM_WORLD
    found: dict[str, object] = {"whole": digests(comm), "streamed": streamed(folder, comm)}
    for name in SAVED:
        found[f"saved {name}"] = in_pieces(name, folder / f"several-{name}", comm, load=False)
        found[f"loaded {name}"] = in_pieces(name, folder / f"one-{name}", comm, load=True)
    everywhere = comm.allgather(json.dumps([found["whole"], found["loaded queue"]]))
    found["equal"] = len(set(everywhere)) == 1
    if comm.Get_rank() == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
