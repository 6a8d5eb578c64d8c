"""The synapses of a projection as arrays: those that the run uses."""

from __future__ import annotations

import numpy as np
import pytest

from neurosim import (
    STDP,
    AllToAll,
    FixedProbability,
    FromList,
    Network,
    Population,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
    simulate,
)
from neurosim.base import NeurosimInputError
from neurosim.engine import Connections
from neurosim.engine.connections import connections
from neurosim.network import LI, Convolution, Normal, Uniform
from neurosim.network.synapses.patterns import FixedTotalNumber

CLOCK = 1e-3
PATTERNS = {
    "drawn": Projection("in", "out", FixedProbability(0.4), Normal(1.0, 0.3), Uniform(1e-3, 6e-3)),
    "one weight": Projection("in", "out", FixedProbability(0.4), 0.5, 2e-3),
    "multapses": Projection("in", "out", FixedTotalNumber(60), Normal(0.0, 1.0), 3e-3),
    "list": Projection(
        "in", "out", FromList([5, 0, 5, 5], [1, 2, 0, 1]), np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 2, 3, 4]) * 1e-3
    ),
}


def responses(projection: Projection, unit: int, clock: float | None) -> np.ndarray:
    """[steps, targets] the membrane of integrators without leak after a spike of one source."""
    network = Network([Population("in", 6, SpikeSource()), Population("out", 5, LI(tau_mem=1e9))], [projection])
    from neurosim import Probe

    spikes = Spikes(np.array([0.0]), np.array([unit]), 6, 0.02)
    probes = [Probe("out", "v", CLOCK)]
    return simulate(network, spikes, clock=clock, seed=3, precision="float64", probes=probes).states["out.v"]


@pytest.mark.parametrize("name", PATTERNS)
def test_they_are_the_synapses_of_the_run(name: str) -> None:
    """Each arrives at its target, with its weight, after its delay: measured by integrators."""
    projection = PATTERNS[name]
    network = Network([Population("in", 6, SpikeSource()), Population("out", 5, LI())], [projection])
    found = connections(network, "in->out", clock=CLOCK, seed=3)
    assert found.shape == (6, 5) and len(found) > 3
    order = np.lexsort((found.post, found.pre))
    np.testing.assert_array_equal(order, np.sort(order))  # by source, then target
    for unit in range(6):
        expected = np.zeros((20, 5))
        for post, weight, delay in zip(
            *(x[found.pre == unit] for x in (found.post, found.weight, found.delay)), strict=True
        ):
            # The spike of step 0 is in the sample after the step in which it arrives.
            expected[round(delay / CLOCK) + 1 :, post] += weight
        np.testing.assert_allclose(responses(projection, unit, CLOCK), expected, atol=1e-8)


def test_the_matrix_adds_several_synapses_of_a_pair() -> None:
    found = connections(
        Network([Population("in", 6, SpikeSource()), Population("out", 5, LI())], [PATTERNS["list"]]), "in->out"
    )
    matrix = found.matrix().toarray()
    assert matrix[5].tolist() == [3.0, 5.0, 0, 0, 0] and matrix[0].tolist() == [0, 0, 2.0, 0, 0]


def test_a_convolution_has_its_kernel() -> None:
    kernel = np.arange(1.0, 5.0).reshape(1, 1, 2, 2)
    pattern = Convolution(kernel)
    network = Network(
        [Population("in", (1, 3, 3), SpikeSource()), Population("out", (1, 2, 2), LI())],
        [Projection("in", "out", pattern, 1.0)],
    )
    matrix = connections(network, "in->out").matrix().toarray().reshape(3, 3, 2, 2)
    assert matrix[1, 1].tolist() == [[4.0, 3.0], [2.0, 1.0]]


def test_learned_weights_come_with_their_units() -> None:
    rule = STDP(a_plus=0.1, a_minus=0.1, w_max=1.0)
    network = Network(
        [Population("in", 6, SpikeSource()), Population("out", 5, LI())],
        [Projection("in", "out", FixedProbability(0.5), Uniform(0.2, 0.6), Uniform(1e-3, 4e-3), plasticity=rule)],
    )
    spikes = Spikes(np.arange(30) * 1e-3, np.arange(30) % 6, 6, 0.03)
    simulation = Simulation(network, spikes, seed=3)
    before = simulation.connections("in->out")
    np.testing.assert_allclose(before.weight, connections(network, "in->out", seed=3).weight, rtol=1e-6)
    result = simulation.run(0.03)
    after = simulation.connections("in->out")
    np.testing.assert_array_equal(after.weight, result.weights["in->out"].astype(float))
    np.testing.assert_array_equal(after.post, before.post)
    again = connections(network, "in->out", seed=3, weights=result.weights["in->out"])
    np.testing.assert_array_equal(again.weight, after.weight)
    with pytest.raises(TypeError):
        simulation.weights["in->out"] = after.weight  # type: ignore[index]


def test_in_continuous_time_delays_are_as_drawn() -> None:
    network = Network([Population("in", 6, SpikeSource()), Population("out", 5, LI())], [PATTERNS["drawn"]])
    exact, grid = (connections(network, "in->out", clock=clock, seed=3) for clock in (None, CLOCK))
    np.testing.assert_allclose(exact.delay, grid.delay, atol=CLOCK / 2)
    assert not np.allclose(exact.delay, grid.delay, atol=CLOCK / 10)


def test_unknown_projections_and_wrong_weights_are_named() -> None:
    network = Network(
        [Population("in", 2, SpikeSource()), Population("out", 2, LI())], [Projection("in", "out", AllToAll(), 1.0)]
    )
    with pytest.raises(NeurosimInputError, match=r"connections.projection: unknown name 'in'"):
        connections(network, "in")
    rule = r"connections.weights: must be one a synapse of Projection\['in->out'\], 4 \(got \(3,\)\)"
    with pytest.raises(NeurosimInputError, match=rule):
        connections(network, "in->out", weights=np.ones(3))
    assert isinstance(connections(network, "in->out"), Connections)
