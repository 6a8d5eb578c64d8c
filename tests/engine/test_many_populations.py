"""Networks of many populations: small ones lie in one block each and are stepped together, and nothing else differs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers.networks import Doubling

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
from neurosim.base.errors import NeurosimOverflowError
from neurosim.engine.compile import joint_rows as joining
from neurosim.engine.compile import layout as layouts
from neurosim.engine.compile import network as compiling
from neurosim.engine.compile.layout import lay_out
from neurosim.engine.compile.network import compile_network
from neurosim.kernels.engine.clocked.views import PIECE
from neurosim.network import Neuron, Normal, Uniform

COUNT = 300


@dataclass(frozen=True)
class Ramp(Neuron):
    """Rises by its slope in each step; its step cannot be compiled for slopes by unit."""

    slope: float = 1.0
    state = ("v",)
    receptors = ("input",)

    def initial(self) -> tuple[float, ...]:
        return (0.0,)

    def constants(self, dt: float) -> tuple[float, ...]:
        return (self.slope,)

    @staticmethod
    def step(state, inputs, c, spiked) -> None:  # type: ignore[no-untyped-def]
        v = state[0]
        slope = c[0]
        for i in range(spiked.size):
            v[i] = v[i] + slope + inputs[0, i]
            spiked[i] = v[i] > 2.5
            if spiked[i]:
                v[i] = 0.0


def small(k: int) -> Population:
    # One model with one parameter for all, by population, and by unit.
    size = 2 + k % 5
    models = [
        LIF(t_refractory=2e-3),
        CubaLIF(tau_mem=0.01 + 1e-5 * k),
        CubaLIF(tau_mem=np.linspace(0.01, 0.02, size)),
    ]
    return Population(f"p{k:03d}", size, models[k % 3])


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


def resumed(network: Network, folder: Path, threads: int) -> list[object]:
    """Digests, learned weights, samples and states of a run that is silenced, changed, saved and loaded on the way."""
    probes = [Probe("p011", "v"), Probe("p013", "v", units=[1, 2]), Probe("large", "v", units=[0, 2999])]
    first = Simulation(network, clock=1e-3, seed=1, threads=threads, probes=probes, count_updates=True)
    results = [first.run(0.02)]
    first.silence("p011", [0, 2])
    first.silence("p012", [1])
    first.set("p013", {"v": 0.3})
    first.save(folder / "saved")
    second = Simulation.load(folder / "saved", network, threads=3 - threads)
    second.silence("p012", [])
    results.append(second.run(0.02))
    digests = [spikes.digest() for result in results for spikes in result.spikes.values()]
    arrays = [array for result in results for array in (*result.weights.values(), *result.states.values())]
    arrays += [state for name in ("p010", "p011", "p012") for state in second.state(name).values()]
    counts = [(layer.input_events, layer.membrane_updates) for result in results for layer in result.work]
    return [digests, [array.tobytes() for array in arrays], counts]


@pytest.mark.slow
def test_populations_stepped_together_are_as_each_alone(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = resumed(network, tmp_path, 2)
    monkeypatch.setattr(compiling, "make_bundles", lambda *_: ())
    monkeypatch.setattr(compiling, "join_rows", lambda *_: ())
    assert together == resumed(network, tmp_path, 1)


def test_small_populations_of_a_model_are_bundled_and_their_rows_joined(network: Network) -> None:
    compiled = compile_network(network, 1e-3, 1, np.dtype(np.float32))
    assert sum(len(bundle.numbers) for bundle in compiled.bundles) == COUNT
    assert max(bundle.size for bundle in compiled.bundles) <= PIECE
    assert {bundle.constants.ndim for bundle in compiled.bundles} == {1, 2}
    joined = [number for joint in compiled.joints for rows in joint.tables for number in rows.projections]
    assert len(joined) > COUNT


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_rows_of_one_weight_and_close_targets_are_packed(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"p{k:03d}" for k in range(COUNT)]
    projections = [
        # Rows of two weights, and two projections between the same populations, with synapses twice.
        Projection(name, names[(7 * k + n) % COUNT], FixedProbability(0.5), 0.3 + 0.1 * (k % 2), 2e-3, name=f"{k}.{i}")
        for k, name in enumerate(names)
        for i, n in enumerate((1, 1, 150))
    ]
    stimuli = [PoissonInput(name, 300.0, 0.2) for name in names]
    network = Network([Population(name, 20, LIF()) for name in names], projections, stimuli)
    (joint,) = compile_network(network, 1e-3, 0, np.dtype(precision)).joints
    assert joint.packed

    def digests(threads: int) -> list[str]:
        result = Simulation(network, clock=1e-3, threads=threads, precision=precision).run(0.05)
        assert sum(map(len, result.spikes.values())) > 10_000
        return [spikes.digest() for spikes in result.spikes.values()]

    packed = digests(2)
    assert packed == digests(1)
    monkeypatch.setattr(joining, "PACKED_TARGETS", 33)
    assert not compile_network(network, 1e-3, 0, np.dtype(precision)).joints[0].packed
    assert packed == digests(1)
    monkeypatch.setattr(compiling, "join_rows", lambda *_: ())
    assert packed == digests(1)


def test_a_model_that_reads_numbers_is_stepped_with_populations_of_the_same() -> None:
    populations = [Population(f"p{k:03d}", 3, Ramp(1.0 + k % 2)) for k in range(COUNT)]
    simulation = Simulation(Network(populations), clock=1e-3, threads=1)
    # They alternate, so no two neighbours are alike.
    assert simulation._prepared.compiled.bundles == ()
    alike = Network([Population(f"p{k:03d}", 3, Ramp(1.0)) for k in range(COUNT)])
    one = Simulation(alike, clock=1e-3, threads=1)
    (bundle,) = one._prepared.compiled.bundles
    assert bundle.size == 3 * COUNT
    result = one.run(0.005)
    # It rises by its slope in each step and fires above 2.5: in steps 2 and 5.
    assert all(np.array_equal(spikes.times, [0.002] * 3) for spikes in result.spikes.values())  # type: ignore[union-attr]


def test_the_first_population_that_overflows_is_named() -> None:
    starts = {7: 1e38, 9: 1e38}
    network = Network([Population(f"p{k:03d}", 3, Doubling(), {"x": starts.get(k, 0.0)}) for k in range(COUNT)])
    with pytest.raises(NeurosimOverflowError, match=r"Population\['p007'\] unit 0: x must stay finite"):
        Simulation(network, clock=1e-3, threads=1).run(0.02)
