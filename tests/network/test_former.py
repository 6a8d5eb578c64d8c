"""What earlier versions wrote of models that are others today: networks in TOML and saved simulations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurosim import LIF, CubaLIF, Network, Population, Simulation
from neurosim.base import NeurosimFormatError
from neurosim.engine import read_description
from neurosim.engine.description.parse import parse_description
from neurosim.network import IF, Neuron, Uniform

FORMER = Path(__file__).parents[1] / "fixtures" / "former"
# Of the version that wrote the files, from 0.1 s to 0.2 s: spikes of each population.
COUNTS = {"a": 37, "b": 67, "c": 78, "d": 32}
FIRST = {"a": [0.1, 0.105, 0.106, 0.112, 0.114], "c": [0.101, 0.103, 0.103, 0.103, 0.105]}
CURRENTS = [4.2088146, 4.656419, 3.9912653, 3.6289105, 4.244041, 4.06951]


def test_a_network_with_models_of_before_loads() -> None:
    described = read_description(FORMER / "network.toml")
    models = {p.name: p.model for p in described.network.populations}
    a, b, c, d = (models[name] for name in "abcd")
    assert isinstance(a, LIF) and isinstance(b, IF) and isinstance(c, CubaLIF) and d == LIF()
    np.testing.assert_array_equal(a.tau_mem, np.linspace(0.01, 0.03, 6))
    assert b.v_threshold == Uniform(0.9, 1.1) and b.soft_reset and c.tau_syn.mean == 0.005
    # The membranes of a started where the model said, not where the units' own rest is.
    assert described.network.population("a").initial == {"v": 0.1}
    assert [p.receptor for p in described.network.projections] == [None, "excitatory", None, None]
    assert described.probes[0].variable == "i_excitatory"


def test_a_simulation_with_models_of_before_goes_on() -> None:
    network = read_description(FORMER / "network.toml").network
    simulation = Simulation.load(FORMER / "simulation.state", network)
    result = simulation.run(0.1)
    assert {name: len(spikes.times) for name, spikes in result.spikes.items()} == COUNTS  # type: ignore[union-attr]
    for name, times in FIRST.items():
        np.testing.assert_allclose(result.spikes[name].times[:5], times)  # type: ignore[union-attr]
    # Decays were computed in float32, now in float64.
    np.testing.assert_allclose(result.states["c.i_excitatory"][-1], CURRENTS, rtol=1e-5)


def test_it_is_still_refused_with_another_network() -> None:
    network = read_description(FORMER / "network.toml").network
    others = [Population("d", 3, LIF(0.03)) if p.name == "d" else p for p in network.populations]
    other = Network(others, network.projections, network.stimuli)
    with pytest.raises(NeurosimFormatError, match=r"Population\['d'\]\.model\.tau_mem: 0\.02 there, 0\.03 here"):
        Simulation.load(FORMER / "simulation.state", other)


def test_ones_own_model_of_that_name_stays() -> None:
    class VariedLIF(LIF):  # type: ignore[misc]
        pass

    tree = {"population": [{"name": "x", "shape": 2, "model": "VariedLIF"}]}
    own: dict[str, type[Neuron]] = {"VariedLIF": VariedLIF}
    assert isinstance(parse_description(tree, Path(), own).network.population("x").model, VariedLIF)
