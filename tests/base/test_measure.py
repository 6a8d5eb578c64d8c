"""Measures against brute force, against NeuroBench's definitions written out, and what happens to unknown counts."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import bruteforce
from helpers.layer_counts import LAYER

from neurosim.base import NeurosimInputError
from neurosim.base.measure import traffic
from neurosim.engine import DEFINITIONS, LayerCounts, Measures, count, measure


@pytest.mark.parametrize("seed", range(5))
def test_counts_equal_brute_force(seed: int) -> None:
    for weights, inputs, spikes, potentials in bruteforce.network(seed, (7, 5, 4, 1)):
        layer = count("layer", weights, inputs, spikes, potentials)
        for name, value in bruteforce.count(weights, inputs, spikes, potentials).items():
            assert getattr(layer, name) == value, name


def test_the_product_of_a_constant_input_is_counted_once() -> None:
    ((weights, inputs, spikes, potentials),) = bruteforce.network(3, (7, 5))
    layer = count("layer", weights, inputs[:, :1], spikes, potentials)
    once = bruteforce.count(weights, inputs[:, :1], spikes[:, :1])
    units = bruteforce.count(*bruteforce.network(3, (7, 5))[0])
    for name in ("input_events", "synaptic_operations", "dense_operations", "binary_input"):
        assert getattr(layer, name) == once[name], name
    for name in ("steps", "output_events", "output_entries", "membrane_updates", "dense_membrane_updates"):
        assert getattr(layer, name) == units[name], name


@pytest.mark.parametrize("seed", range(5))
def test_measures_equal_brute_force(seed: int) -> None:
    network = bruteforce.network(seed, (6, 8, 3), samples=4)
    # The last layer reads filtered traces: its inputs are no events, so its operations are MACs.
    traces = np.random.default_rng(seed).random((4, 12, 3)).round(1)
    readout = np.random.default_rng(seed).normal(size=(3, 2))
    layers = [count(f"layer {k}", *arrays) for k, arrays in enumerate(network)]
    layers.append(count("readout", readout, traces, traces @ readout, np.zeros((4, 12, 2, 0)), spiking=False))
    found = measure(layers, samples=4, duration=2.0)
    counted = [bruteforce.count(*arrays) for arrays in network]
    last = bruteforce.count(readout, traces, traces @ readout)

    def summed(name: str) -> int:
        return sum(c[name] for c in counted)

    assert found["synaptic_operations.Effective_ACs"] == summed("synaptic_operations") / 4
    assert found["synaptic_operations.Effective_MACs"] == last["synaptic_operations"] / 4
    assert found["synaptic_operations.Dense"] == (summed("dense_operations") + last["dense_operations"]) / 4
    assert found["membrane_updates"] == summed("membrane_updates") / 4
    assert found["activation_sparsity"] == pytest.approx(1 - summed("output_events") / summed("output_entries"))
    zeros = 1 - (summed("nonzero_weights") + last["nonzero_weights"]) / (summed("weights") + last["weights"])
    assert found["connection_sparsity"] == pytest.approx(zeros)
    assert found["spikes_per_neuron_second"] == pytest.approx(summed("output_events") / (8 + 3) / 2.0)
    assert found["events_delivered"] == (summed("input_events") + last["input_events"]) / 4
    assert found["footprint"] == 8 * (6 * 8 + 8 * 3 + 3 * 2) + 8 * (8 + 3)


def test_absent_connections_are_sparsity() -> None:
    sparse = replace(LAYER, weights=6)
    assert measure([sparse], 1, 1.0)["connection_sparsity"] == 0.5
    assert measure([LAYER], 1, 1.0)["connection_sparsity"] == 0.5
    doubled = replace(LAYER, weights=24, nonzero_weights=24)
    assert measure([doubled], 1, 1.0)["connection_sparsity"] == 0


def test_bits_moved_by_hand() -> None:
    layer = replace(LAYER, index_bits=16, state_bits=64, state_bytes=3 * 2 * 8)
    found = measure([layer], samples=5, duration=1.0)
    assert found["bits_moved.weights"] == 15 * (32 + 16) / 5
    assert found["bits_moved.state"] == 2 * (15 * 64 + 30 * 2 * 64) / 5
    assert found["bits_moved.events"] == (10 * 2 + 6 * 2) / 5
    graded = measure([replace(layer, binary_input=False)], samples=5, duration=1.0)
    assert graded["bits_moved.events"] == (10 * (2 + 32) + 6 * 2) / 5


@pytest.mark.parametrize(("units", "bits"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (1024, 10), (1025, 11)])
def test_an_address_names_every_unit(units: int, bits: int) -> None:
    assert traffic.address_bits(units) == bits


def test_an_unknown_count_is_null_with_its_reason_and_never_zero() -> None:
    unknown = replace(LAYER, membrane_updates=None, reasons={"membrane_updates": "events carry no grid"})
    found = measure([LAYER, unknown], samples=2, duration=1.0)
    for name in ("membrane_updates", "bits_moved.state"):
        assert found[name] is None
        assert found.reasons[name] == "hidden: events carry no grid"
    assert found["events_in"] is None
    assert found.reasons["events_in"] == "the run did not count the events from outside"
    assert found["synaptic_operations.Effective_ACs"] == 15


def test_ratios_of_nothing_are_unknown() -> None:
    readout = replace(LAYER, spiking=False)
    found = measure([readout], samples=1, duration=0.0)
    assert found["activation_sparsity"] is None and found.reasons["activation_sparsity"] == "no layer is spiking"
    still = measure([LAYER], samples=1, duration=0.0)
    assert still["spikes_per_neuron_second"] is None
    assert still.reasons["spikes_per_neuron_second"] == "the run has no duration"


def test_a_run_without_potentials_has_unknown_updates() -> None:
    layer = count("layer", np.ones((2, 2)), np.ones((1, 3, 2)), np.ones((1, 3, 2)))
    assert layer.membrane_updates is None
    assert layer.reasons["membrane_updates"] == "no membrane potentials were recorded"


def test_every_measure_is_defined_and_goes_through_json() -> None:
    found = measure([LAYER], samples=3, duration=1.5, events_in=30)
    assert [name for name in DEFINITIONS if found[name] is None] == []
    data = json.loads(json.dumps(found.to_dict()))
    assert data["synaptic_operations"] == {"Effective_ACs": 5.0, "Effective_MACs": 0.0, "Dense": 80.0}
    assert data["events_in"] == 10
    assert Measures.from_dict(data) == found
    assert [LayerCounts.from_dict(layer) for layer in data["layers"]] == [LAYER]


def test_numpy_counts_become_plain() -> None:
    layer = replace(LAYER, input_events=np.int64(10), weights=np.uint32(12))
    assert json.loads(json.dumps(layer.to_dict())) == LAYER.to_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": -1}, "LayerCounts['hidden'].weights: must be >= 0 (got -1)"),
        ({"nonzero_weights": 13}, "LayerCounts['hidden'].nonzero_weights: must be <= weights 12 (got 13)"),
        ({"weight_type": "double"}, "LayerCounts['hidden'].weight_type: must be one of float, int (got double)"),
        ({"state_bytes": None}, "LayerCounts['hidden'].state_bytes: must be known (got None)"),
        ({"steps": None}, "LayerCounts['hidden'].steps: is None without a reason; add reasons={'steps': 'why'}"),
    ],
)
def test_a_layer_refuses(change: dict, message: str) -> None:
    with pytest.raises(NeurosimInputError) as error:
        replace(LAYER, **change)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 1, 1.0), "measure.layers: needs at least one layer (got 0)"),
        (([LAYER], 0, 1.0), "measure.samples: must be > 0 (got 0)"),
        (([LAYER], 1, -1.0), "measure.duration: must be >= 0 s (got -1.0)"),
    ],
)
def test_measure_refuses(arguments: tuple, message: str) -> None:
    with pytest.raises(NeurosimInputError) as error:
        measure(*arguments)
    assert str(error.value) == message


def test_stored_layers_are_checked() -> None:
    stored = LAYER.to_dict()
    with pytest.raises(NeurosimInputError, match="LayerCounts: unknown key 'colour'"):
        LayerCounts.from_dict(stored | {"colour": 1})
    del stored["weights"]
    with pytest.raises(NeurosimInputError, match="LayerCounts: needs the fields weights"):
        LayerCounts.from_dict(stored)


def test_count_refuses_shapes_that_do_not_fit() -> None:
    weights = np.ones((2, 3))
    inputs = np.ones((1, 4, 2))
    outputs = np.ones((1, 4, 3))
    with pytest.raises(NeurosimInputError, match=r"measure.count.inputs: must end in 2 inputs \(got \(1, 4, 3\)\)"):
        count("layer", weights, outputs, outputs)
    with pytest.raises(NeurosimInputError, match=r"measure.count.outputs: must have the shape \(1, 4, 3\)"):
        count("layer", weights, inputs, inputs)
    with pytest.raises(NeurosimInputError, match=r"measure\.count\.potentials: must start with"):
        count("layer", weights, inputs, outputs, inputs)
