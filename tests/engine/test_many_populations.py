"""Networks of many populations: small ones lie in one block each, and nothing else differs."""

from __future__ import annotations

import numpy as np
import pytest

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
)
from neurosim.engine.compile import layout as layouts
from neurosim.engine.compile.layout import lay_out
from neurosim.network import Normal, Uniform

COUNT = 300


def small(k: int) -> Population:
    return Population(f"p{k:03d}", 2 + k % 5, CubaLIF(tau_mem=0.01) if k % 3 else LIF())


@pytest.fixture(scope="module")
def network() -> Network:
    """300 small populations and a large one, with synapses of all forms, plastic ones, and random input."""
    populations = [*(small(k) for k in range(COUNT)), Population("large", 3000, LIF())]
    populations.append(Population("source", 5, PoissonSource(300.0)))
    chosen = np.random.default_rng(3).integers(0, COUNT, (COUNT, 2))
    kinds = [
        {"weight": 0.2, "delay": 2e-3},
        {"weight": Normal(0.2, 0.05), "delay": 3e-3},
        {"weight": 0.2, "delay": Uniform(1e-3, 6e-3)},
        {"weight": 0.2, "delay": 2e-3, "plasticity": STDP(a_plus=0.05, a_minus=0.05, w_max=0.5)},
    ]
    projections = [
        Projection(f"p{k:03d}", f"p{j:03d}", FixedProbability(0.6), name=f"{k}.{n}", **kinds[(k + n) % 4])  # type: ignore[arg-type]
        for k, row in enumerate(chosen)
        for n, j in enumerate(row)
    ]
    projections += [
        Projection("large", "p007", FixedProbability(0.01), 0.1),
        Projection("p007", "large", FixedNumberPre(2), 0.4, 2e-3),
        Projection("source", "p009", FixedProbability(1.0), 0.3),
    ]
    stimuli = [PoissonInput(p.name, 300.0, 0.4) for p in populations[: COUNT + 1]]
    return Network(populations, projections, stimuli)


def run(network: Network, **options: object) -> tuple[str, np.ndarray, np.ndarray]:
    """Digest of all spikes, learned weights, samples."""
    probes = [Probe("p011", "v"), Probe("large", "v", units=[0, 2999])]
    result = Simulation(network, clock=1e-3, seed=1, precision="float64", probes=probes, **options).run(0.1)  # type: ignore[arg-type]
    digests = "".join(spikes.digest() for spikes in result.spikes.values())  # type: ignore[union-attr]
    samples = np.concatenate([result.states["p011.v"].ravel(), result.states["large.v"].ravel()])  # type: ignore[union-attr]
    assert sum(len(spikes) for spikes in result.spikes.values()) > 20_000
    return digests, np.concatenate([*result.weights.values()]), samples  # type: ignore[arg-type]


def test_the_place_of_units_changes_no_result(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    many = run(network, threads=2)
    assert lay_out(network).many
    monkeypatch.setattr(layouts, "MANY_POPULATIONS", 10_000)
    few = run(network, threads=1)
    assert many[0] == few[0]
    for one, other in zip(many[1:], few[1:], strict=True):
        np.testing.assert_array_equal(one, other)
