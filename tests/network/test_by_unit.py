"""Parameters by unit: a unit of a vector is, bit for bit, a neuron of that number."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from helpers.samples import sampled

from neurosim import (
    LIF,
    AdEx,
    CubaLIF,
    FromList,
    Network,
    OneToOne,
    PoissonInput,
    Population,
    Probe,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
    simulate,
)
from neurosim.base import NeurosimInputError
from neurosim.network import LI, Neuron, Normal, Uniform
from neurosim.network.neurons import NEURONS

UNITS = 5
# A weight that makes each model fire within a few of its events.
WEIGHT = {"AdEx": 8e-10, "AlphaLIF": 3.0, "CobaLIF": 2e-8, "CubaLIF": 4.0, "Izhikevich": 0.012, "LI": 0.5}


def spread(model: Neuron) -> dict[str, np.ndarray]:
    """Every number of a model, up to 4 % away from its own by unit."""
    rng = np.random.default_rng(3)
    numbers = {f.name: getattr(model, f.name) for f in fields(model)}  # type: ignore[arg-type]
    return {
        name: value * (1 + 0.04 * rng.random(UNITS)) + (0.0004 * rng.random(UNITS) if name == "t_refractory" else 0)
        for name, value in numbers.items()
        if isinstance(value, float) and name != "i_offset"
    }


def inputs(names: list[str], size: int) -> dict[str, Spikes]:
    times = np.repeat(np.arange(0.001, 0.08, 0.0017), 1)
    return {
        name: Spikes(np.repeat(times, size), np.tile(np.arange(size, dtype=np.int32), len(times)), size, 0.1)
        for name in names
    }


@pytest.mark.parametrize("clock", [1e-4, pytest.param(None, marks=pytest.mark.slow)], ids=["grid", "continuous"])
@pytest.mark.parametrize("name", sampled(NEURONS, ["LIF"]))
def test_a_unit_is_a_neuron_of_its_own_numbers(name: str, clock: float | None) -> None:
    own = spread(NEURONS[name]())
    weight = WEIGHT.get(name, 0.4)
    together = Network(
        [Population("in", UNITS, SpikeSource()), Population("x", UNITS, NEURONS[name](**own))],
        [Projection("in", "x", OneToOne(), weight)],
    )
    single = [NEURONS[name](**{key: float(value[i]) for key, value in own.items()}) for i in range(UNITS)]
    apart = Network(
        [
            *(Population(f"in{i}", 1, SpikeSource()) for i in range(UNITS)),
            *(Population(f"x{i}", 1, model) for i, model in enumerate(single)),
        ],
        [Projection(f"in{i}", f"x{i}", OneToOne(), weight) for i in range(UNITS)],
    )
    probes = [Probe("x", "v", 0.01)] if clock else []
    result = simulate(together, inputs(["in"], UNITS), clock=clock, probes=probes)
    others = simulate(
        apart,
        inputs([f"in{i}" for i in range(UNITS)], 1),
        clock=clock,
        probes=[Probe(f"x{i}", "v", 0.01) for i in range(UNITS)] if clock else [],
    )
    spikes = result.spikes["x"]
    assert isinstance(spikes, Spikes)
    assert name == "LI" or len(spikes.times) > UNITS
    for i in range(UNITS):
        np.testing.assert_array_equal(spikes.times[spikes.units == i], others.spikes[f"x{i}"].times)  # type: ignore[union-attr]
        if clock:
            np.testing.assert_array_equal(result.states["x.v"][:, i], others.states[f"x{i}.v"][:, 0])


@pytest.mark.parametrize("threads", [1, 2])
def test_pieces_and_threads_change_nothing(threads: int) -> None:
    """5,000 units are stepped in several pieces, each with its own part of the constants."""
    n = 5000
    rng = np.random.default_rng(0)
    taus = rng.uniform(0.005, 0.03, n)
    network = Network([Population("x", n, LIF(tau_mem=taus))], [], [PoissonInput("x", 800.0, 0.11)])
    found = simulate(network, {}, duration=0.2, threads=threads).spikes["x"]
    order = rng.permutation(n)[:40]
    for i in order:
        alone = Network([Population("x", n, LIF(tau_mem=float(taus[i])))], [], [PoissonInput("x", 800.0, 0.11)])
        mine = simulate(alone, {}, duration=0.2).spikes["x"]
        np.testing.assert_array_equal(found.times[found.units == i], mine.times[mine.units == i])  # type: ignore[union-attr]
        if i == order[3]:
            break


def test_distributions_are_drawn_by_seed_population_and_name() -> None:
    def thresholds(seed: int, population: str = "x", name: str = "v_leak") -> np.ndarray:
        network = Network([Population(population, 6, LI(**{name: Normal(0.0, 1.0)}))], [])
        probe = Probe(population, "v", 1e-3)
        return simulate(network, {}, duration=0.002, seed=seed, probes=[probe]).states[f"{population}.v"][0]

    one = thresholds(1)
    assert len(set(one)) == 6
    np.testing.assert_array_equal(one, thresholds(1))
    assert not np.array_equal(one, thresholds(2)) and not np.array_equal(one, thresholds(1, "y"))


def test_a_drawn_parameter_is_its_vector() -> None:
    network = Network([Population("x", 50, LIF(tau_mem=Uniform(0.01, 0.03)))], [], [PoissonInput("x", 900.0, 0.2)])
    from neurosim.network.neurons.by_unit import drawn

    model = drawn(network.population("x").model, 7, "x", 50)
    vector = Network([Population("x", 50, model)], [], [PoissonInput("x", 900.0, 0.2)])
    for clock in (1e-3, None):
        here, there = (simulate(n, {}, duration=0.3, seed=7, clock=clock).spikes["x"] for n in (network, vector))
        assert here.digest() == there.digest() and len(here.times) > 50  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LIF(tau_mem=[0.1, -0.2, 0.3]), "LIF.tau_mem[1]: must be > 0 s (got -0.2)"),
        (lambda: LIF(v_reset=[0.0, 0.5, 1.5]), "LIF.v_reset[2]: must be < v_threshold 1.0 V (got 1.5)"),
        (lambda: LIF(t_refractory=[0.0, np.nan]), "LIF.t_refractory[1]: must be finite (got nan)"),
        (lambda: AdEx(delta_t=[0.002, 0.0]), "AdEx.delta_t[1]: must be > 0 V (got 0.0)"),
        (lambda: LIF(tau_mem=[0.1, 0.2], v_leak=[0.0] * 3), "LIF.v_leak: must hold 2 values, as tau_mem (got 3)"),
        (
            lambda: Population("x", 4, LIF(tau_mem=[0.1, 0.2])),
            "Population['x'].model.tau_mem: must hold 4 values, one a unit (got 2)",
        ),
        (
            lambda: LIF(tau_mem=np.ones((2, 2))),
            "LIF.tau_mem: must be a number, a vector by unit or a distribution (got array([[1., 1.]",
        ),
    ],
)
def test_errors_name_the_unit(make: object, message: str) -> None:
    with pytest.raises(NeurosimInputError) as error:
        make()  # type: ignore[operator]
    assert str(error.value).startswith(message)


def test_a_bad_value_that_was_drawn_names_its_unit() -> None:
    network = Network([Population("x", 100, LIF(tau_mem=Normal(0.01, 0.01)))], [])
    with pytest.raises(NeurosimInputError, match=r"LIF\.tau_mem\[\d+\]: must be > 0 s"):
        simulate(network, {}, duration=0.01)


def test_a_step_that_takes_numbers_alone_says_what_to_write() -> None:
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Plain(Neuron):
        decay: float = 0.5
        state = ("v",)
        receptors = ("input",)

        def initial(self) -> tuple[float, ...]:
            return (0.0,)

        def constants(self, dt: float) -> tuple[float, ...]:
            return (self.decay,)

        @staticmethod
        def step(state, inputs, c, spiked):  # type: ignore[no-untyped-def]
            v = state[0]
            decay = c[0]
            for i in range(spiked.size):
                v[i] = v[i] * decay + inputs[0, i]
                spiked[i] = 0

    simulate(Network([Population("x", 2, Plain())], []), {}, duration=0.01)
    varied = Network([Population("x", 2, Plain(decay=np.array([0.5, 0.6])))], [])  # type: ignore[arg-type]
    message = r"Plain\.step: .* by unit; read constants as neurosim\.network\.neurons\.by_unit\.at"
    with pytest.raises(NeurosimInputError, match=message):
        simulate(varied, {}, duration=0.01)


def test_a_saved_simulation_knows_its_vectors(tmp_path) -> None:  # type: ignore[no-untyped-def]
    def network(tau: object) -> Network:
        cells = Population("x", 3, CubaLIF(tau_mem=tau))
        return Network([cells], [Projection("x", "x", FromList([0], [1]), 0.1)], [PoissonInput("x", 500.0, 2.0)])

    vector = np.array([0.01, 0.02, 0.03])
    simulation = Simulation(network(vector))
    simulation.run(0.05)
    simulation.save(tmp_path / "s")
    again = Simulation.load(tmp_path / "s", network(vector.copy()))
    assert again.run(0.05).spikes["x"].digest() == simulation.run(0.05).spikes["x"].digest()  # type: ignore[union-attr]
    with pytest.raises(NeurosimInputError, match=r"Population\['x'\]\.model\.tau_mem"):
        Simulation.load(tmp_path / "s", network(vector * 2))
    simulation = Simulation(network(Uniform(0.01, 0.03)))
    simulation.save(tmp_path / "s")
    Simulation.load(tmp_path / "s", network(Uniform(0.01, 0.03)))
    with pytest.raises(NeurosimInputError, match=r"Population\['x'\]\.model\.tau_mem\.high"):
        Simulation.load(tmp_path / "s", network(Uniform(0.01, 0.04)))


@pytest.mark.filterwarnings("ignore:simulate.clock")
def test_a_soft_reset_of_a_current_keeps_what_exceeds_the_threshold() -> None:
    """Of one spike into a membrane that is far above its threshold the rest comes out spike by spike."""
    hard, soft = (
        simulate(
            Network(
                [Population("x", 1, replace(CubaLIF(tau_mem=1e3, tau_syn=1e-5, r=1e8), soft_reset=reset), {"v": 3.5})],
                [],
            ),
            {},
            duration=0.01,
        ).spikes["x"]
        for reset in (False, True)
    )
    assert len(hard.times) == 1 and len(soft.times) == 3  # type: ignore[union-attr]
