"""Silenced units: as in a network without their synapses, at any moment, in several forms of rows, on any threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.models import MODELS

from neurosim import (
    LIF,
    STDP,
    AllToAll,
    FixedProbability,
    FromList,
    Network,
    OneToOne,
    PoissonInput,
    PoissonSource,
    Population,
    Probe,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
)
from neurosim.base import NeurosimFormatError, NeurosimInputError
from neurosim.engine.connections import connections
from neurosim.network import Uniform

SILENT = np.array([0, 1, 5, 17, 39])


def recurrent(weight: Any, delay: Any, size: int = 40, p: float = 0.3) -> Network:
    return Network(
        [Population("cells", size, LIF(tau_mem=0.01, t_refractory=2e-3))],
        [Projection("cells", "cells", FixedProbability(p), weight, delay)],
        [PoissonInput("cells", 900.0, 0.15)],
    )


def without(network: Network, name: str, units: np.ndarray, seed: int) -> Network:
    """Return the network in which the synapses of some units of a recurrent projection are missing."""
    projection = network.projections[0]
    present = connections(network, str(projection.name), clock=1e-3, seed=seed)
    stay = ~np.isin(present.pre, units)
    pattern = FromList(present.pre[stay].astype(np.int64), present.post[stay].astype(np.int64))
    cut = replace(projection, pattern=pattern, weight=present.weight[stay], delay=present.delay[stay])
    return replace(network, projections=[cut])


def others(spikes: Spikes, units: np.ndarray) -> Spikes:
    heard = ~np.isin(spikes.units, units)
    return Spikes(spikes.times[heard], spikes.units[heard], spikes.size, spikes.duration)


@pytest.mark.parametrize(
    ("weight", "delay", "size"),
    [(0.05, 2e-3, 40), (Uniform(-0.1, 0.2), 2e-3, 40), (0.05, Uniform(1e-3, 9e-3), 40), (0.01, 1e-3, 700)],
)
def test_silence_from_the_start_is_a_network_without_their_synapses(weight: Any, delay: Any, size: int) -> None:
    network = recurrent(weight, delay, size)
    probe = [Probe("cells", "v")]
    silenced = Simulation(network, clock=1e-3, seed=4, precision="float64", probes=probe)
    silenced.silence("cells", SILENT)
    own = silenced.run(0.3)
    cut = Simulation(without(network, "cells", SILENT, 4), clock=1e-3, seed=4, precision="float64", probes=probe)
    right = cut.run(0.3)
    assert np.isin(right.spikes["cells"].units, SILENT).any() and not np.isin(own.spikes["cells"].units, SILENT).any()
    # A silenced neuron integrates and is reset like any other.
    assert np.allclose(own.states["cells.v"], right.states["cells.v"], rtol=0, atol=1e-12)
    assert own.spikes["cells"].digest() == others(right.spikes["cells"], SILENT).digest()
    heard = Simulation(network, clock=1e-3, seed=4, precision="float64").run(0.3)
    assert others(heard.spikes["cells"], SILENT).digest() != own.spikes["cells"].digest()


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"LI"}))
def test_every_model_is_silenced(name: str) -> None:
    model, weight = MODELS[name]
    times = np.arange(1, 150) * 2e-3
    source = Spikes(np.repeat(times, 3), np.tile(np.arange(3, dtype=np.int32), len(times)), 3, 0.3)
    network = Network(
        [Population("in", 3, SpikeSource()), Population("cells", 3, model)],
        [Projection("in", "cells", OneToOne(), weight, 1e-3)],
    )
    simulation = Simulation(network, source, clock=1e-3)
    first = simulation.run(0.15).spikes["cells"].counts()
    simulation.silence("cells", [1])
    second = simulation.run(0.15).spikes["cells"].counts()
    assert (first > 0).all() and second.tolist() == [second[0], 0, second[0]] and second[0] > 0


def played(simulation: Simulation, plan: Sequence[tuple[float, Sequence[int]]]) -> list[str]:
    digests = []
    for seconds, units in plan:
        simulation.silence("cells", units)
        digests.append(simulation.run(seconds).spikes["cells"].digest())
    return digests


PLAN = ((0.05, [3]), (0.1, [1, 2, 30]), (0.07, []), (0.1, [5]))


@pytest.mark.slow
def test_silence_is_kept_by_threads_saves_branches_and_trials(tmp_path: Path) -> None:
    # Of 9,000 units two threads share the work.
    network = recurrent(0.02, Uniform(1e-3, 4e-3), 9000, 0.005)
    one = Simulation(network, clock=1e-3, seed=2, threads=1)
    right = played(one, PLAN)
    two = Simulation(network, clock=1e-3, seed=2, threads=2)
    assert played(two, PLAN) == right
    begun = Simulation(network, clock=1e-3, seed=2, threads=1)
    played(begun, PLAN[:1])
    begun.silence("cells", PLAN[1][1])
    begun.save(tmp_path / "state")
    loaded = Simulation.load(tmp_path / "state", network, threads=2)
    branch = begun.branch()
    for each in (loaded, branch, begun):
        assert each.run(PLAN[1][0]).spikes["cells"].digest() == right[1]
        assert played(each, PLAN[2:]) == right[2:]
    start = Simulation(network, clock=1e-3, seed=2, threads=1)
    start.silence("cells", PLAN[0][1])
    again = start.with_trial(0)
    assert again.run(PLAN[0][0]).spikes["cells"].digest() == right[0]
    # A change of parameters builds the network anew, and the silence stays.
    start.set("cells", {"tau_mem": 0.012})
    assert not np.isin(start.run(0.1).spikes["cells"].units, PLAN[0][1]).any()
    start.save(tmp_path / "changed")
    changed = Simulation.load(tmp_path / "changed", network)
    assert changed.run(0.1).spikes["cells"].digest() == start.run(0.1).spikes["cells"].digest()


def test_spikes_on_their_way_arrive() -> None:
    source = Spikes(np.array([0.5e-3]), np.array([0], np.int32), 1, 0.1)
    network = Network(
        [Population("in", 1, SpikeSource()), Population("cells", 1, LIF()), Population("next", 1, LIF())],
        [
            Projection("in", "cells", OneToOne(), 50.0, 1e-3),
            Projection("cells", "next", OneToOne(), 50.0, 20e-3),
        ],
    )
    simulation = Simulation(network, source, clock=1e-3)
    assert len(simulation.run(5e-3).spikes["cells"]) == 1
    simulation.silence("cells", [0])
    assert len(simulation.run(0.05).spikes["next"]) == 1


def test_weights_onto_a_silenced_neuron_see_no_spike_of_it() -> None:
    network = Network(
        [Population("in", 20, PoissonSource(40.0)), Population("cells", 2, LIF())],
        [Projection("in", "cells", AllToAll(), 0.3, plasticity=STDP(a_plus=0.02, a_minus=0.0))],
    )
    simulation = Simulation(network, clock=1e-3)
    simulation.silence("cells", [1])
    simulation.run(1.0)
    weights = simulation.weights["in->cells"].reshape(20, 2)
    assert (weights[:, 0] > 0.3).all() and (weights[:, 1] == weights[0, 1]).all() and abs(weights[0, 1] - 0.3) < 1e-6


def test_what_cannot_be_silenced_is_named(tmp_path: Path) -> None:
    network = Network([Population("in", 3, PoissonSource(5.0)), Population("cells", 3, LIF())])
    simulation = Simulation(network, clock=1e-3)
    for name, units, words in (
        ("cell", [0], "unknown name 'cell'; did you mean 'cells'"),
        ("in", [0], r"Population\['in'\]: must be of neurons to be silenced"),
        ("cells", [3], "must be units from 0 to 2"),
        ("cells", [-1], "must be units from 0 to 2"),
        ("cells", [0.5], "must be a list of units"),
    ):
        with pytest.raises(NeurosimInputError, match=words):
            simulation.silence(name, units)  # type: ignore[arg-type]
    simulation.silence("cells", [2])
    simulation.save(tmp_path / "state")
    fewer = Network([Population("in", 3, PoissonSource(5.0)), Population("cells", 2, LIF())])
    with pytest.raises(NeurosimFormatError, match="state"):
        Simulation.load(tmp_path / "state", fewer)
