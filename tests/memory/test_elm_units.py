"""A trained ELM neuron in a network answers as the layer that was trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from neurosim import Link, Network, Population, Simulation, Spikes, SpikeSource, Windowed, simulate
from neurosim.base import NeurosimInputError
from neurosim.engine import read_description, write_description
from neurosim.memory import ELMUnits

torch = pytest.importorskip("torch")
from neurosim.learning.layers.elm import ELM

DT = 0.01
STEPS = 60
INPUTS = 20


def trained(branches: int | None = None) -> ELM:
    elm = ELM(INPUTS, 4, memory=12, branches=branches, synapses_per_branch=branches and 6, dt=DT, tau_max=0.2, seed=3)
    with torch.no_grad():
        # Away from the uniform start, where branches could not be told apart.
        elm.weight.mul_(1 + torch.rand(elm.weight.shape, generator=torch.Generator().manual_seed(1)))
    return elm


def events(seed: int = 0) -> Spikes:
    rng = np.random.default_rng(seed)
    duration = STEPS * DT
    return Spikes.sort(rng.uniform(0, duration, 300), rng.integers(0, INPUTS, 300), INPUTS, duration)


def network(model: ELMUnits) -> Network:
    return Network(
        [Population("in", INPUTS, SpikeSource()), Population("elm", 4, Windowed(model, DT))], links=[Link("in", "elm")]
    )


@pytest.mark.parametrize("branches", [None, 5])
def test_readings_are_the_outputs_of_the_layer(branches: int | None) -> None:
    elm = trained(branches)
    spikes = events()
    x = torch.tensor(spikes.to_grid(DT)[:STEPS, None], dtype=torch.float32)
    expected = elm(x)[0][:, 0].detach().numpy()
    result = simulate(network(ELMUnits.of(elm)), spikes)
    found = result.readings["elm"]
    assert np.abs(expected).max() > 0.1
    assert np.allclose(found, expected, atol=2e-5)
    assert result.spikes["elm"].units.tolist() == found.argmax(axis=1).tolist()


def test_saved_and_continued_bit_for_bit(tmp_path: Path) -> None:
    model = ELMUnits.of(trained())
    spikes = events(1)
    whole = Simulation(network(model), spikes).run(0.5)
    simulation = Simulation(network(model), spikes)
    first = simulation.run(0.217)
    simulation.save(tmp_path / "a")
    rest = Simulation.load(tmp_path / "a", network(model), spikes).run(0.5 - 0.217)
    joined = np.concatenate([first.readings["elm"], rest.readings["elm"]])
    assert np.array_equal(whole.readings["elm"], joined)


def test_toml_holds_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    spikes = events(2)
    plain = network(ELMUnits.of(trained(5)))
    write_description(path, plain)
    again = read_description(path).network
    assert np.array_equal(simulate(again, spikes).readings["elm"], simulate(plain, spikes).readings["elm"])


def test_work_counts_rows_of_events_and_dense_products() -> None:
    model = ELMUnits.of(trained())
    spikes = events(3)
    layer = next(layer for layer in simulate(network(model), spikes).work if layer.name == "elm")
    distinct = len({(int(step), int(unit)) for step, unit in zip(spikes.steps(DT), spikes.units, strict=True)})
    hidden = model.inner.shape[1]
    memory = model.keep.size
    dense = STEPS * (model.inner.size + model.readout.size)
    rows = distinct * hidden
    assert rows + dense < layer.synaptic_operations <= rows + dense + STEPS * hidden * memory
    assert layer.input_events == distinct


def test_bad_weights_and_windows_are_named() -> None:
    model = ELMUnits.of(trained())
    with pytest.raises(
        NeurosimInputError, match=r"Windowed.window: must be 0.01 s, the step of its ELMUnits \(got 0.005\)"
    ):
        Windowed(model, 0.005)
    with pytest.raises(NeurosimInputError, match=r"ELMUnits.outer: must be \[24, 12\] \(got \[12, 24\]\)"):
        dataclasses.replace(model, outer=model.outer.T)
    with pytest.raises(NeurosimInputError, match=r"ELMUnits.gain: must be finite"):
        dataclasses.replace(model, gain=np.full(12, np.nan))
