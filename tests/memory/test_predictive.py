"""Segments that learn contexts: the kernel against its specification, and prediction and gating in a network."""

from __future__ import annotations

import numpy as np
import pytest

from neurosim import (
    Link,
    Network,
    OneToOne,
    Population,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
    Windowed,
    simulate,
)
from neurosim.base import NeurosimInputError
from neurosim.memory import DendriticSegments
from neurosim.network import DendriticLIF
from neurosim.network.neurons.contract import check_neuron

WINDOW = 0.01


@pytest.mark.slow
def test_the_neuron_keeps_the_contract() -> None:
    assert not check_neuron(DendriticLIF(t_refractory=0.002, gain=0.5)).broken


def network(gain: float = 1.0, learn: bool = True, learned: object = None) -> Network:
    """Eight neurons with drive of their own; segments on a context of 40 that predict or gate them."""
    sizes = {"segments_per_unit": 4, "synapses_per_segment": 16, "max_new_synapses": 10}
    segments = DendriticSegments(8, 40, activation_threshold=6, min_threshold=4, **sizes)
    neuron = DendriticLIF(tau_mem=0.02, v_threshold_plateau=0.4, gain=gain, t_plateau=WINDOW)
    return Network(
        [
            Population("drive", 8, SpikeSource()),
            Population("context", 40, SpikeSource()),
            Population("soma", 8, neuron),
            Population("segments", 8, Windowed(segments, WINDOW, learn, learned)),  # type: ignore[arg-type]
        ],
        [
            Projection("drive", "soma", OneToOne(), 0.6),
            Projection("segments", "soma", OneToOne(), 1.0, receptor="dendrite"),
        ],
        links=[Link("context", "segments", "context"), Link("soma", "segments", "soma")],
    )


def episodes(count: int, drive: float, weak: bool = False) -> tuple[dict[str, Spikes], float]:
    """A context of its own before neuron n is driven, for n = 0, 1, ... in turn, 50 ms apart."""
    rng = np.random.default_rng(7)
    contexts = [np.sort(rng.choice(40, 10, replace=False)) for _ in range(8)]
    times = []
    units = []
    driven = []
    who = []
    for k in range(count):
        start = 0.05 * k
        times += [start + 0.002] * 10
        units += contexts[k % 8].tolist()
        if weak:
            moments = [start + 0.0125]
        else:
            moments = [start + 0.0125, start + 0.0135]
        driven += moments
        who += [k % 8] * len(moments)
    duration = 0.05 * count
    return {
        "context": Spikes(np.array(times), np.array(units), 40, duration),
        "drive": Spikes(np.array(driven), np.array(who), 8, duration),
    }, duration


def test_a_learned_context_lowers_the_threshold() -> None:
    """One input of 0.6 stays below 1, but above the threshold of a plateau; two inputs fire in any case."""
    strong, _ = episodes(40, 2)
    trained = simulate(network(), strong)
    anomaly = trained.readings["segments"].ravel()
    assert anomaly[:40].max() == 1.0  # at first nothing is expected
    late = simulate(network(learned=trained.learned["segments"]), strong)
    assert late.readings["segments"].max() == 0.0
    weak, duration = episodes(8, 1, weak=True)
    expected = simulate(network(learn=False, learned=trained.learned["segments"]), weak).spikes["soma"]
    assert expected.units.tolist() == list(range(8))
    assert len(simulate(network(learn=False), weak).spikes["soma"]) == 0
    # Another context predicts none of the driven neurons.
    other = {**weak, "context": Spikes(weak["context"].times, (weak["context"].units + 1) % 40, 40, duration)}
    assert len(simulate(network(learn=False, learned=trained.learned["segments"]), other).spikes["soma"]) < 3


def test_without_a_plateau_a_gate_is_shut() -> None:
    strong, _ = episodes(40, 2)
    learned = simulate(network(), strong).learned["segments"]
    assert len(simulate(network(gain=0.0, learn=False), strong).spikes["soma"]) == 0
    opened = simulate(network(gain=0.0, learn=False, learned=learned), strong).spikes["soma"]
    assert set(opened.units.tolist()) == set(range(8))


def test_state_goes_on_bit_for_bit(tmp_path) -> None:  # type: ignore[no-untyped-def]
    inputs, duration = episodes(12, 2)
    plain = Simulation(network(), inputs)
    whole = plain.run(duration)
    simulation = Simulation(network(), inputs)
    simulation.run(0.2314)
    simulation.save(tmp_path / "a")
    again = Simulation.load(tmp_path / "a", network(), inputs)
    rest = again.run(duration - 0.2314)
    for name, array in plain.learned["segments"].items():
        assert np.array_equal(array, again.learned["segments"][name]), name
    late = whole.spikes["segments"].times > 0.2314
    assert whole.spikes["segments"].times[late].tolist() == rest.spikes["segments"].times.tolist()


def test_work_counts_connected_synapses_of_active_inputs() -> None:
    inputs, _ = episodes(48, 2)
    learned = simulate(network(), inputs).learned["segments"]
    result = simulate(network(learn=False, learned=learned), inputs)
    on = np.zeros((48 * 5, 41), int)
    windows = np.floor(inputs["context"].times / WINDOW + 1e-6).astype(int)
    on[windows, inputs["context"].units] = 1
    strong = (learned["source"] >= 0) & (learned["permanence"] >= 5000)
    expected = sum(int(row[learned["source"]][strong].sum()) for row in on)
    layer = {each.name: each for each in result.work}["segments"]
    assert layer.synaptic_operations == expected > 0
    assert layer.nonzero_weights == strong.sum()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"units": 0}, "DendriticSegments.units: must be an integer in 1"),
        ({"min_threshold": 14}, "DendriticSegments.min_threshold: must be an integer in 1..13"),
        ({"initial_permanence": 0.12345}, "DendriticSegments.initial_permanence: must be a multiple of 0.0001"),
    ],
)
def test_bad_parameters_are_named(change: dict[str, float], message: str) -> None:
    with pytest.raises(NeurosimInputError) as caught:
        DendriticSegments(**{"units": 4, "context": 9, **change})  # type: ignore[arg-type]
    assert message in str(caught.value)
