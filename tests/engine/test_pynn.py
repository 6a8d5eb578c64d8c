"""The PyNN API: its scripts run on this engine, and give what the same network gives without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyNN", reason="PyNN is not installed: pip install 'neurosim-spiking[pynn]'")

import neurosim.pynn as sim

from neurosim import (
    STDP,
    CobaLIF,
    CubaLIF,
    FromList,
    Network,
    Population,
    Probe,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
)
from neurosim.base import NeurosimInputError

# PyNN itself calls what is deprecated elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    sim.setup(timestep=0.1)
    yield
    sim.setup()


def trains(population: Any, segment: int = -1) -> list[np.ndarray]:
    """Return the spikes of each cell, ms."""
    return [train.magnitude for train in population.get_data("spikes").segments[segment].spiketrains]


def signal(population: Any, name: str) -> np.ndarray:
    """Return [samples, cells] a variable."""
    array: np.ndarray = population.get_data().segments[-1].filter(name=name)[0].magnitude
    return array


def drive(cells: int, seed: int = 1) -> list[np.ndarray]:
    """Return spike times on the grid, ms."""
    rng = np.random.default_rng(seed)
    return [np.unique(np.round(rng.uniform(0.2, 99.0, 12), 1)) for _ in range(cells)]


def test_a_network_fires_as_the_same_network_of_the_engine() -> None:
    rng = np.random.default_rng(2)
    times = drive(6)
    tau = rng.uniform(10, 30, 8)
    source = sim.Population(6, sim.SpikeSourceArray(spike_times=times))
    cells = sim.Population(8, sim.IF_cond_exp(tau_m=tau, cm=0.5, v_thresh=-55.0, i_offset=0.2, tau_refrac=2.0))
    cells.initialize(v=np.linspace(-65, -57, 8))
    pre, post = np.nonzero(rng.random((6, 8)) < 0.6)
    weights = rng.uniform(0.01, 0.05, len(pre))
    delays = rng.integers(1, 30, len(pre)) / 10
    rows = list(zip(pre.tolist(), post.tolist(), weights, delays, strict=True))
    sim.Projection(source, cells, sim.FromListConnector(rows), receptor_type="excitatory")
    sim.Projection(
        cells,
        cells,
        sim.AllToAllConnector(allow_self_connections=False),
        sim.StaticSynapse(weight=0.02, delay=1.5),
        receptor_type="inhibitory",
    )
    cells.record(["spikes", "v", "gsyn_exc"])
    sim.run(40.0)
    sim.run(60.0)

    model = CobaLIF(
        tau_mem=tau * 1e-3,
        tau_syn=5e-3,
        tau_syn_inhibitory=5e-3,
        e_inhibitory=-0.070,
        v_threshold=-0.055,
        v_leak=-0.065,
        v_reset=-0.065,
        r=tau * 1e-3 / 0.5e-9,
        i_offset=2e-10,
        t_refractory=2e-3,
    )
    network = Network(
        [Population("in", 6, SpikeSource()), Population("x", 8, model, {"v": np.linspace(-0.065, -0.057, 8)})],
        [
            Projection("in", "x", FromList(pre, post), weights * 1e-6, delays * 1e-3),
            Projection("x", "x", FromList(*np.nonzero(~np.eye(8, dtype=bool))), 2e-8, 1.5e-3, "inhibitory"),
        ],
    )
    # A spike at the end of a step is in it: one step before the one that starts then.
    played = Spikes.sort(
        np.concatenate(times) * 1e-3 - 0.5e-4, np.repeat(np.arange(6), [len(t) for t in times]), 6, 0.1
    )
    probe = Probe("x", "v", 1e-4)
    result = Simulation(network, played, clock=1e-4, precision="float64", probes=[probe]).run(0.1)
    expected = result.spikes["x"]
    assert len(expected.times) > 20
    for unit, train in enumerate(trains(cells)):
        np.testing.assert_allclose(train, expected.times[expected.units == unit] * 1e3 + 0.1, atol=1e-9)
    samples = signal(cells, "v")
    assert samples.shape == (1001, 8)
    np.testing.assert_allclose(samples[:1000], result.states["x.v"] * 1e3, rtol=1e-9)
    assert signal(cells, "gsyn_exc").max() > 0.01


def test_input_arrives_its_delay_after_its_time() -> None:
    source = sim.Population(1, sim.SpikeSourceArray(spike_times=[5.0]))
    cells = sim.Population(1, sim.IF_curr_exp())
    sim.Projection(source, cells, sim.AllToAllConnector(), sim.StaticSynapse(weight=0.5, delay=1.5))
    cells.record("isyn_exc")
    source.record("spikes")
    sim.run(10.0)
    current = signal(cells, "isyn_exc")[:, 0]
    assert np.flatnonzero(current)[0] == 65 and current[65] == pytest.approx(0.5)
    np.testing.assert_array_equal(trains(source)[0], [5.0])


def test_reset_repeats_and_starts_a_segment() -> None:
    cells = sim.Population(3, sim.IF_curr_exp(i_offset=[0.8, 0.9, 1.0]))
    noise = sim.Population(3, sim.SpikeSourcePoisson(rate=300.0))
    sim.Projection(noise, cells, sim.OneToOneConnector(), sim.StaticSynapse(weight=0.4, delay=0.1))
    cells.record(["spikes", "v"])
    for _ in range(2):
        sim.run(50.0)
        sim.reset()
    cells.set(i_offset=0.0)
    sim.run(50.0)
    segments = cells.get_data().segments
    assert len(segments) == 3
    first, second, third = (segment.filter(name="v")[0].magnitude for segment in segments)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)
    assert [len(train) for train in segments[0].spiketrains] == [len(train) for train in segments[1].spiketrains]


def test_parameters_state_and_weights_change_between_runs() -> None:
    cells = sim.Population(4, sim.IF_curr_exp(tau_m=20.0, v_thresh=-40.0))
    source = sim.Population(1, sim.SpikeSourceArray(spike_times=[10.0, 30.0]))
    projection = sim.Projection(source, cells, sim.AllToAllConnector(), sim.StaticSynapse(weight=0.1, delay=0.5))
    cells.record(["v", "isyn_exc"])
    sim.run(20.0)
    cells[1:3].set(i_offset=0.5)
    cells[3:4].initialize(v=-50.0)
    projection.set(weight=0.2)
    assert cells.get("i_offset").tolist() == [0.0, 0.5, 0.5, 0.0]
    sim.run(20.0)
    v = signal(cells, "v")
    assert (v[400, 1:3] > v[400, 0] + 3).all() and v[400, 1] == v[400, 2]
    # The state that was set is the one at the start of the second run.
    assert v[200, 3] == pytest.approx(-50.0) and v[199, 3] < -60
    current = signal(cells, "isyn_exc")[:, 0]
    assert current[105] == pytest.approx(0.1) and current[305] == pytest.approx(0.2, rel=0.05)


def test_views_and_assemblies_are_ends_and_are_recorded() -> None:
    a = sim.Population(5, sim.IF_curr_exp(i_offset=1.2))
    b = sim.Population(3, sim.IF_curr_alpha())
    both = a[1:4] + b
    projection = sim.Projection(
        a[0:2], both, sim.AllToAllConnector(), sim.StaticSynapse(weight=2.0, delay=0.3), receptor_type="excitatory"
    )
    assert projection.shape == (2, 6) and len(projection) == 12
    both[2:5].record("isyn_exc")
    a[0:1].record("spikes")
    sim.run(60.0)
    assert [len(train) > 1 for train in trains(a)] == [True]
    shapes = [p.get_data().segments[0].filter(name="isyn_exc")[0].magnitude for p in (a, b)]
    assert [each.shape[1] for each in shapes] == [1, 2]
    assert all((each.max(axis=0) > 0.5).all() for each in shapes)


def test_learning_is_that_of_the_engine() -> None:
    times = drive(4, 3)
    source = sim.Population(4, sim.SpikeSourceArray(spike_times=times))
    cells = sim.Population(2, sim.IF_curr_exp(i_offset=0.8))
    mechanism = sim.STDPMechanism(
        timing_dependence=sim.SpikePairRule(tau_plus=15.0, tau_minus=25.0, A_plus=0.02, A_minus=0.03),
        weight_dependence=sim.MultiplicativeWeightDependence(w_min=0.0, w_max=4.0),
        dendritic_delay_fraction=0.0,
        weight=2.0,
        delay=1.0,
    )
    projection = sim.Projection(source, cells, sim.AllToAllConnector(), mechanism)
    cells.record("spikes")
    sim.run(100.0)
    rule = STDP(0.015, 0.025, 0.02, 0.03, 0.0, 4e-9, 1.0, 1.0)
    model = CubaLIF(0.02, 5e-3, 5e-3, -0.05, -0.065, -0.065, 2e7, 8e-10, 1e-4)
    pre, post = np.divmod(np.arange(8), 2)
    network = Network(
        [Population("in", 4, SpikeSource()), Population("x", 2, model)],
        [Projection("in", "x", FromList(pre, post), 2e-9, 1e-3, plasticity=rule)],
    )
    units = np.repeat(np.arange(4), [len(t) for t in times])
    played = Spikes.sort(np.concatenate(times) * 1e-3 - 0.5e-4, units, 4, 0.1)
    simulation = Simulation(network, played, clock=1e-4, precision="float64")
    simulation.run(0.1)
    weights = projection.get("weight", format="array")
    np.testing.assert_allclose(weights.reshape(-1), simulation.weights["in->x"] * 1e9, rtol=1e-9)
    assert np.ptp(weights) > 0.05 and sum(map(len, trains(cells))) > 4
    sim.reset()
    sim.run(100.0)
    np.testing.assert_array_equal(projection.get("weight", format="array"), weights)


def test_synapses_of_different_parameters_are_groups() -> None:
    source = sim.Population(1, sim.SpikeSourceArray(spike_times=[10.0, 20.0, 30.0]))
    cells = sim.Population(3, sim.IF_curr_exp(tau_syn_E=1.0))
    depressing = sim.TsodyksMarkramSynapse(U=np.array([[0.2, 0.5, 1.0]]), tau_rec=1000.0, weight=1.0, delay=0.1)
    sim.Projection(source, cells, sim.AllToAllConnector(), depressing)
    stochastic = sim.SimpleStochasticSynapse(p=np.array([[0.0, 0.0, 1.0]]), weight=5.0, delay=3.0)
    sim.Projection(source, cells, sim.AllToAllConnector(), stochastic)
    cells.record("isyn_exc")
    sim.run(40.0)
    current = signal(cells, "isyn_exc")
    np.testing.assert_allclose(current[101], [0.2, 0.5, 1.0], rtol=1e-9)
    assert (current[201] < current[101]).all()
    assert current[130, 2] > 4.9 and current[130, :2].max() < 0.1


def test_currents_are_added_and_traced() -> None:
    cells = sim.Population(4, sim.IF_curr_exp(v_thresh=0.0))
    direct = sim.DCSource(amplitude=0.5, start=10.0, stop=20.0)
    steps = sim.StepCurrentSource(times=[10.0, 20.0], amplitudes=[0.5, 0.0])
    sine = sim.ACSource(amplitude=0.2, offset=0.1, frequency=100.0, phase=90.0, start=10.0, stop=30.0)
    noise = sim.NoisyCurrentSource(mean=0.3, stdev=0.1, start=5.0, stop=35.0, dt=0.5)
    for cell, source in zip(cells, (direct, steps, sine, noise), strict=True):
        cell.inject(source)
        source.record()
    cells.record("v")
    sim.run(15.0)
    direct.amplitude = 1.0
    sim.run(25.0)
    v = signal(cells, "v")
    np.testing.assert_array_equal(v[:151, 0], v[:151, 1])
    assert v[100, 0] == -65.0 and v[101, 0] > -65.0 and v[200, 0] > v[200, 1] + 1
    traces = [source.get_data().magnitude[:, 0] for source in (direct, steps, sine, noise)]
    assert all(len(trace) == 401 for trace in traces)
    assert (traces[0][[99, 100, 149, 150, 199, 200]] == [0, 0.5, 0.5, 1.0, 1.0, 0]).all()
    assert traces[2][100] == pytest.approx(0.3) and traces[2][99] == 0 and traces[2][300] == 0
    assert np.unique(traces[3][50:350]).size == 60 and (traces[3][350:] == 0).all()
    assert traces[3][50:350].mean() == pytest.approx(0.3, abs=0.06)


def test_sources_of_renewal_processes_fire_at_their_rate() -> None:
    gamma = sim.Population(20, sim.SpikeSourceGamma(alpha=4.0, beta=200.0))
    dead = sim.Population(20, sim.SpikeSourcePoissonRefractory(rate=50.0, tau_refrac=10.0, start=200.0, duration=600.0))
    gamma.record("spikes")
    dead.record("spikes")
    sim.run(400.0)
    sim.run(600.0)
    assert gamma.mean_spike_count() == pytest.approx(50.0, rel=0.1)
    assert dead.mean_spike_count() == pytest.approx(30.0, rel=0.1)
    spikes = trains(dead)
    assert min(train.min() for train in spikes) > 200 and max(train.max() for train in spikes) < 800.1
    assert min(np.diff(train).min() for train in spikes) > 9.8


@pytest.mark.parametrize(
    ("make", "sites"),
    [
        (lambda: sim.MultiQuantalSynapse(weight=4.0, U=0.5, n=4, tau_rec=1e6), 4),
        (lambda: sim.StochasticTsodyksMarkramSynapse(weight=4.0, U=0.5, tau_rec=1e6), 1),
    ],
    ids=["quanta", "one site"],
)
def test_synapses_release_whole_quanta(make: Callable[[], Any], sites: int) -> None:
    """Each site releases once, for it stays empty; all synapses together release half of their sites at a spike."""
    sim.setup(timestep=0.1)
    source = sim.Population(1, sim.SpikeSourceArray(spike_times=[1.0, 40.0]))
    # Currents decay to nothing before the next spike.
    cells = sim.Population(300, sim.IF_curr_exp(tau_syn_E=1.0, tau_m=1e6, cm=1.0, v_thresh=1e3, v_rest=0.0))
    cells.initialize(v=0.0)
    sim.Projection(source, cells, sim.AllToAllConnector(), make())
    cells.record("v", sampling_interval=30.0)
    sim.run(90.0)
    v = np.asarray(cells.get_data().segments[0].analogsignals[0])
    first = v[1]
    second = v[-1] - first
    unit = 4.0 * 1.0 / 1.0 / sites
    quanta = np.rint(np.stack([first, second]) / unit)
    np.testing.assert_allclose(np.stack([first, second]), quanta * unit, atol=0.06 * unit)
    assert quanta.min() == 0 and quanta.sum(0).max() <= sites
    np.testing.assert_allclose(quanta.mean(1), [sites / 2, sites / 4], atol=4 * np.sqrt(sites / 4 / 300))


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(NotImplementedError, match=r"neurosim.pynn.GIF_cond_exp: is not available \(the engine has no"):
        sim.GIF_cond_exp()
    with pytest.raises(NotImplementedError, match="ElectricalSynapse"):
        sim.ElectricalSynapse()
    with pytest.raises(sim.errors.InvalidParameterValueError, match=r"spike_times: must be > 0 ms \(got 0\)"):
        sim.Population(1, sim.SpikeSourceArray(spike_times=[0.0, 5.0]))
    cells = sim.Population(2, sim.IF_curr_exp())
    sim.run(1.0)
    with pytest.raises(NotImplementedError, match=r"v of 'population\d+' must be recorded before the first run"):
        cells.record("v")
    with pytest.raises(NotImplementedError, match="must be made before the first run; call reset"):
        sim.Projection(cells, cells, sim.AllToAllConnector())
    with pytest.raises(NotImplementedError, match="inject currents before the first run"):
        cells.inject(sim.DCSource())
    sim.reset()
    cells.record("v")
    sim.run(1.0)
    assert signal(cells, "v").shape == (11, 2)


def test_one_to_one_from_a_single_cell() -> None:
    one = sim.Population(1, sim.SpikeSourceArray(spike_times=[5.0]))
    for size in (1, 3):
        cells = sim.Population(size, sim.IF_curr_delta())
        joined = sim.Projection(one, cells, sim.OneToOneConnector(), sim.StaticSynapse(weight=0.5, delay=1.0))
        assert joined.get("weight", format="list") == [(0, 0, 0.5)]


def test_a_time_step_must_be_above_zero() -> None:
    for step in (0, -0.1, "0.1"):
        with pytest.raises(NeurosimInputError, match=r"setup.timestep: must be > 0 ms \(got "):
            sim.setup(timestep=step)  # type: ignore[arg-type]


def test_receptors_of_an_assembly_have_an_order() -> None:
    """Projections onto assemblies take the first, which must not depend on the hashes of the process."""
    names = [f"receptor {k}" for k in range(8)]
    first = SimpleNamespace(celltype=SimpleNamespace(receptor_types=names))
    other = SimpleNamespace(celltype=SimpleNamespace(receptor_types=names[:0:-1]))
    cells = sim.Population(2, sim.IF_cond_exp())
    assembly = sim.Assembly(cells, sim.Population(2, sim.IF_curr_exp()))
    assert assembly.receptor_types == list(cells.receptor_types)
    assembly.populations = [first, other]
    assert assembly.receptor_types == names[1:]


def weights_of(generator: Any) -> np.ndarray:
    """Return [pre, post] weights that a generator drew for synapses that it drew; NaN: no synapse."""
    cells = sim.Population(40, sim.IF_curr_delta())
    weight = sim.RandomDistribution("normal", mu=0.5, sigma=0.1, rng=generator)
    connector = sim.FixedProbabilityConnector(0.7, rng=generator)
    projection = sim.Projection(cells, cells, connector, sim.StaticSynapse(weight=weight, delay=0.5))
    array: np.ndarray = projection.get("weight", format="array")
    return array


def test_the_simulators_own_generator_draws_synapses_and_weights() -> None:
    drawn = weights_of(sim.NativeRNG(seed=5))
    weights = drawn[~np.isnan(drawn)]
    count = 0.7 * drawn.size
    assert abs(len(weights) - count) < 4 * np.sqrt(count * 0.3)
    assert abs(weights.mean() - 0.5) < 4 * 0.1 / np.sqrt(count) and 0.09 < weights.std() < 0.11
    np.testing.assert_array_equal(drawn, weights_of(sim.NativeRNG(seed=5)))
    assert not np.array_equal(drawn, weights_of(sim.NativeRNG(seed=6)), equal_nan=True)


def test_generators_without_a_seed_differ_and_repeat_with_the_seed_of_setup() -> None:
    def draw(seed: int) -> np.ndarray:
        sim.setup(seed=seed)
        return np.stack([sim.NativeRNG().next(20) for _ in range(2)])

    first = draw(1)
    assert not np.array_equal(first[0], first[1])
    np.testing.assert_array_equal(first, draw(1))
    assert not np.array_equal(first, draw(2))


def test_noise_takes_the_simulators_own_generator_alone() -> None:
    sim.NoisyCurrentSource(mean=0.1, stdev=0.1, dt=0.1, rng=sim.NativeRNG(seed=1))
    with pytest.raises(NotImplementedError, match=r"NoisyCurrentSource.rng: must be left out"):
        sim.NoisyCurrentSource(mean=0.1, stdev=0.1, dt=0.1, rng=sim.random.NumpyRNG(seed=1))
