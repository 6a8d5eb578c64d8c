"""Continuous time against closed forms, against an event loop written out in plain Python, and against the grid."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from helpers.models import MODELS
from helpers.networks import Doubling, digests, recording, recordings, small
from helpers.samples import sampled

from neurosim import (
    LIF,
    STDP,
    CubaLIF,
    FixedNumberPre,
    FixedProbability,
    FromList,
    Network,
    OneToOne,
    PoissonInput,
    PoissonSource,
    Population,
    Probe,
    Projection,
    Recordings,
    Simulation,
    Spikes,
    SpikeSource,
    simulate,
)
from neurosim.base import NeurosimInputError
from neurosim.engine import Progress
from neurosim.engine.compile.network import compile_network
from neurosim.engine.compile.synapse_sampler import build_sampler
from neurosim.engine.exact.network import compile_exact
from neurosim.engine.exact.reference import simulate_event_by_event, synapses_of
from neurosim.network import IF, LI, AdaptiveLIF, AlphaLIF, Neuron, Normal, ShortTermPlasticity, Uniform
from neurosim.network.neurons import NEURONS
from neurosim.network.neurons.base import ExactNeuron

CLOSED = ("LIF", "IF", "LI", "CubaLIF", "AlphaLIF", "AdaptiveLIF")


def one(model: Neuron, weight: float = 1.0, receptor: str | None = None, delay: float = 0.001) -> Network:
    """A source, a synapse, a neuron."""
    populations = [Population("input", 1, SpikeSource()), Population("cell", 1, model)]
    return Network(populations, [Projection("input", "cell", OneToOne(), weight, delay, receptor)])


def played(*times: float, duration: float = 0.1) -> Spikes:
    return Spikes(np.array(times), np.zeros(len(times), int), 1, duration)


def mixed(model: Neuron, weight: float = 1.0, order: int = 1) -> Network:
    """20 inputs and two populations of the model, recurrent, with drawn weights and delays that are no steps."""
    receptor = model.receptors[-1]
    populations = [
        Population("input", 20, SpikeSource()),
        Population("a", (3, 5), model, {"v": Uniform(0.0, 0.9)}),
        Population("b", 7, model),
    ]
    projections = [
        Projection("input", "a", FixedProbability(0.4), 0.5 * weight, 0.00037),
        Projection("input", "b", FixedProbability(0.4), Normal(0.6 * weight, 0.1 * weight), Uniform(0.0001, 0.004)),
        Projection("a", "b", FixedNumberPre(4), 0.4 * weight, Uniform(0.0005, 0.006)),
        Projection("a", "a", FixedNumberPre(4), Normal(0.2 * weight, 0.05 * weight), 0.0021),
        Projection("b", "a", FixedNumberPre(3), -0.4 * weight, 0.0011, receptor),
    ]
    return Network(populations[::order], projections[::order])


@pytest.mark.parametrize("name", sampled(MODELS, ["LIF", "CubaLIF"]))
def test_equals_the_plain_event_loop(name: str) -> None:
    model, weight = MODELS[name]
    network = mixed(model, weight)
    given = recording()
    result = simulate(network, given, clock=None)
    expected = simulate_event_by_event(network, {"input": given}, given.duration)
    assert name == "LI" or sum(len(times) for times, _ in expected.values()) > 50
    for population, (times, units) in expected.items():
        found = result.spikes[population]
        assert isinstance(found, Spikes) and found.times.dtype == np.float64
        assert found.units.tolist() == units.tolist()
        assert np.allclose(found.times, times, rtol=0, atol=1e-13)


def test_same_synapses_as_on_the_grid() -> None:
    network = small()
    on_grid = compile_network(network, 1e-5, 3, np.dtype(np.float64))
    exact = compile_exact(network, 3)
    for projection, route in zip(network.projections, exact.routes, strict=True):
        rows, weights, steps = build_sampler(network, projection, 1e-5, 3, 1).all_synapses()
        assert np.array_equal(rows.offsets, route.offsets)
        source = np.repeat(np.arange(len(rows.offsets) - 1), np.diff(rows.offsets))
        targets, own, delays = synapses_of(route)
        order = np.lexsort((targets, source))
        assert np.array_equal(rows.targets, targets[order]) and np.array_equal(weights, own[order])
        assert np.abs(steps * 1e-5 - delays[order]).max() <= 0.5001e-5
    for p, cells in exact.cells.items():
        assert np.array_equal(cells.initial, on_grid.cells[p].initial)


def rate_of(model: Neuron, duration: float = 1.0) -> np.ndarray:
    spikes = simulate(Network([Population("cell", 1, model)]), duration, clock=None).spikes["cell"]
    assert isinstance(spikes, Spikes)
    return spikes.times


@pytest.mark.parametrize("i_offset", [1.01, 1.3, 4.0, 100.0])
@pytest.mark.parametrize("t_refractory", [0.0, 0.002])
def test_rate_against_current_is_the_closed_form(i_offset: float, t_refractory: float) -> None:
    numbers = {"tau_mem": 0.015, "v_leak": 0.1, "r": 2.0, "v_reset": -0.2}
    numbers |= {"i_offset": i_offset, "t_refractory": t_refractory}
    times = rate_of(LIF(**numbers))
    rest = 0.1 + 2 * i_offset
    first = 0.015 * math.log((rest - 0.1) / (rest - 1))
    next_ = 0.015 * math.log((rest + 0.2) / (rest - 1))
    assert times[0] == pytest.approx(first, rel=1e-12)
    assert np.allclose(np.diff(times), t_refractory + next_, rtol=1e-9, atol=0)
    # A CubaLIF and an AlphaLIF without input, an AdaptiveLIF that does not adapt: the same neuron.
    for same in (CubaLIF(**numbers), AlphaLIF(**numbers), AdaptiveLIF(**numbers, beta=0.0)):
        assert np.allclose(rate_of(same), times, rtol=0, atol=1e-11)


def test_perfect_integrator_counts() -> None:
    assert np.allclose(rate_of(IF(i_offset=50.0), 1.01), np.arange(1, 51) / 50, rtol=1e-12)
    held = IF(i_offset=50.0, t_refractory=0.005, v_reset=-1.0)
    assert np.allclose(np.diff(rate_of(held)), 0.005 + 2 / 50, rtol=1e-9)


def test_membrane_between_events() -> None:
    network = one(LI(tau_mem=0.01, v_leak=0.2, i_offset=0.3), 0.7, delay=0.0015)
    v = simulate(network, played(0.01, 0.0333), clock=None, probes=[Probe("cell", "v", 0.00071)]).states["cell.v"]
    t = np.arange(len(v)) * 0.00071  # type: ignore[arg-type]
    rest = 0.5
    expected = rest - 0.3 * np.exp(-t / 0.01)
    for at in (0.0115, 0.0348):
        expected += np.where(t > at, 0.7 * np.exp(-(t - at) / 0.01), 0)
    assert np.allclose(np.asarray(v)[:, 0], expected, rtol=0, atol=1e-14)


def ode(rates: np.ndarray, x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """x' = rates x by the eigenvectors of the matrix: [t, x]."""
    values, vectors = np.linalg.eig(rates)
    return np.real(np.exp(np.outer(t, values)) * np.linalg.solve(vectors, x.astype(complex)) @ vectors.T)


@pytest.mark.parametrize("tau_syn", [0.001, 0.007, 0.0199, 0.0201, 0.05])
def test_kernels_of_synaptic_currents(tau_syn: float) -> None:
    """Against the matrix exponential, near and far from equal time constants."""
    m = -1 / 0.02
    s = -1 / tau_syn
    r = 3.0
    for model, matrix, start in (
        (CubaLIF(tau_syn=tau_syn, r=r), [[m, -m * r], [0, s]], [0, 0.1]),
        (
            AlphaLIF(tau_syn=tau_syn, r=r),
            [[m, -m * r, 0], [0, s, -s * 1.0001], [0, 0, s * 1.0001]],
            [0, 0, 0.1 * math.e],
        ),
    ):
        probes = [Probe("cell", name, 0.0013) for name in ("v", "i_excitatory")]
        states = simulate(one(model, 0.1, delay=0.0013), played(0.0), clock=None, probes=probes).states
        t = np.arange(len(states["cell.v"]) - 1) * 0.0013
        x = ode(np.array(matrix, float), np.array(start, float), t)
        # The two equal rates of an alpha function are set apart by 1e-4 to have eigenvectors.
        close = 1e-12 if len(start) == 2 else 1e-4
        for k, name in enumerate(("v", "i_excitatory")):
            assert np.allclose(
                np.asarray(states[f"cell.{name}"])[2:, 0], x[1:, k], rtol=0, atol=close * np.abs(x).max()
            )


def test_equal_time_constants_are_the_limit() -> None:
    for kind in (CubaLIF, AlphaLIF):
        runs = [
            simulate(one(kind(tau_mem=0.01, tau_syn=tau), 0.4), played(0.0), clock=None, probes=[Probe("cell", "v")])
            for tau in (0.01, 0.01 * (1 + 1e-9))
        ]
        a, b = (np.asarray(run.states["cell.v"]) for run in runs)
        assert a.max() > 0.1 and np.allclose(a, b, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", CLOSED)
def test_flow_composes(name: str) -> None:
    """Flowing twice is flowing once over the sum, refractory part included."""
    model = NEURONS[name]()
    assert isinstance(model, ExactNeuron)
    c = np.array(model.exact_constants())
    rng = np.random.default_rng(1)
    for _ in range(100):
        state = rng.uniform(-1, 1, len(model.state))
        if "refractory" in model.state:
            state[model.state.index("refractory")] = rng.choice([0.0, 0.004])
        whole = state.copy()
        parts = state.copy()
        a, b = rng.uniform(0, 0.01, 2)
        model.flow(whole, a + b, c)
        model.flow(parts, a, c)
        model.flow(parts, b, c)
        assert np.allclose(whole, parts, rtol=0, atol=1e-14)


@pytest.mark.filterwarnings("ignore::neurosim.base.errors.UnitWarning")
def test_refractory_to_the_moment() -> None:
    """What arrives before the end of the period is lost to a LIF; what arrives after it counts."""
    cell = LIF(t_refractory=0.005, tau_mem=1.0)
    for late, spikes in ((0.004999999, 1), (0.005000001, 2)):
        found = simulate(one(cell, 1.5), played(0.01, 0.01 + late), clock=None).spikes["cell"]
        assert len(found) == spikes
    # A current that outlives the period drives the membrane from its very end.
    driven = CubaLIF(t_refractory=0.005, tau_syn=1.0)
    times = simulate(one(driven, 2.0), played(0.01), clock=None).spikes["cell"].times  # type: ignore[union-attr]
    assert len(times) > 3 and np.diff(times).min() > 0.005


def test_all_that_arrives_at_one_moment_is_added_first() -> None:
    """Excitation that inhibition of the same moment cancels fires nothing, in whatever order they are listed."""
    populations = [Population("input", 2, SpikeSource()), Population("cell", 1, LIF())]
    for names in ("ab", "ba"):
        projections = [
            Projection("input", "cell", FromList(np.array([0]), np.array([0])), 1.2, 0.001, name=names[0]),
            Projection("input", "cell", FromList(np.array([1]), np.array([0])), -0.5, 0.001, name=names[1]),
        ]
        together = Spikes([0.01, 0.01], [0, 1], 2, 0.1)
        apart = Spikes([0.01, 0.01 + 1e-12], [0, 1], 2, 0.1)
        assert len(simulate(Network(populations, projections), together, clock=None).spikes["cell"]) == 0
        assert len(simulate(Network(populations, projections), apart, clock=None).spikes["cell"]) == 1


def test_what_fires_at_one_moment_is_in_order_of_units() -> None:
    network = Network(
        [Population("input", 5, SpikeSource()), Population("cell", 5, LIF())],
        [Projection("input", "cell", FromList(np.arange(5), np.arange(5)[::-1]), 2.0, 0.001)],
    )
    spikes = simulate(network, Spikes([0.01] * 5, [3, 1, 4, 0, 2], 5, 0.1), clock=None).spikes["cell"]
    assert isinstance(spikes, Spikes)
    assert spikes.units.tolist() == [0, 1, 2, 3, 4] and set(spikes.times) == {0.01 + 0.001}


def test_soft_reset_keeps_what_exceeds() -> None:
    """Three and a half thresholds at once: three spikes at that moment, half a threshold left."""
    probe = Probe("cell", "v", 0.0005)
    result = simulate(one(LIF(soft_reset=True, tau_mem=1e6), 3.5), played(0.01), clock=None, probes=[probe])
    assert result.spikes["cell"].times.tolist() == [0.011] * 3  # type: ignore[union-attr]
    assert np.asarray(result.states["cell.v"])[-1, 0] == pytest.approx(0.5, abs=1e-6)


def test_threshold_is_to_be_passed() -> None:
    assert len(simulate(one(LIF(), 1.0), played(0.01), clock=None).spikes["cell"]) == 0
    assert len(simulate(one(LIF(), np.nextafter(1.0, 2)), played(0.01), clock=None).spikes["cell"]) == 1
    assert len(simulate(Network([Population("x", 2, LIF(i_offset=1.0))]), 1.0, clock=None).spikes["x"]) == 0


def test_starts_above_threshold() -> None:
    network = Network([Population("cell", 3, LIF(), {"v": np.array([0.5, 1.5, 2.0])})])
    spikes = simulate(network, 0.1, clock=None).spikes["cell"]
    assert isinstance(spikes, Spikes) and spikes.times.tolist() == [0, 0] and spikes.units.tolist() == [1, 2]


@pytest.mark.parametrize("noise", [False, True])
def test_one_digest_for_any_threads_batch_and_order(noise: bool) -> None:
    network = small(noise)
    batch = recordings()
    whole = simulate(network, batch, clock=None, seed=3, threads=1)
    assert isinstance(whole.spikes["exc"], Recordings) and whole.clock is None
    for threads in (2, 4):
        assert digests(simulate(network, batch, clock=None, seed=3, threads=threads)) == digests(whole)
    assert digests(simulate(small(noise, order=-1), batch, clock=None, seed=3)) == digests(whole)
    for i in (0, 4):
        alone = simulate(network, batch[i], clock=None, seed=3, trial=i)
        for name, spikes in alone.spikes.items():
            assert spikes.digest() == whole.spikes[name][i].digest()


def test_probes_disturb_nothing() -> None:
    plain = simulate(small(), recording(), clock=None)
    probes = [Probe("exc", "v", 0.00013), Probe("inh", "i_excitatory", 0.0007, units=[3, 0])]
    probed = simulate(small(), recording(), clock=None, probes=probes)
    assert digests(plain) == digests(probed)
    assert np.shape(probed.states["inh.i_excitatory"]) == (286, 2)
    assert plain.work[0].membrane_updates == probed.work[0].membrane_updates


def test_work_is_what_was_done() -> None:
    """Arrivals counted by hand from the spikes; a flow for every unit and moment at which something happens to it."""
    network = small()
    given = recording()
    result = simulate(network, given, clock=None, seed=1)
    plan = compile_exact(network, 1)
    fired = {"input": given, **result.spikes}
    for layer in result.work:
        arrivals = 0
        moments = set()
        for route in plan.routes:
            if route.projection.target != layer.name:
                continue
            targets, _, delays = synapses_of(route)
            spikes = fired[route.projection.source]
            assert isinstance(spikes, Spikes)
            for t, i in zip(spikes.times, spikes.units, strict=True):
                for s in range(route.offsets[i], route.offsets[i + 1]):
                    if t + delays[s] <= given.duration:
                        arrivals += 1
                        moments.add((t + delays[s], targets[s]))
        own = fired[layer.name]
        assert isinstance(own, Spikes)
        moments |= set(zip(own.times.tolist(), own.units.tolist(), strict=True))
        assert layer.synaptic_operations == arrivals
        assert layer.membrane_updates == len(moments)
        assert layer.output_events == len(own) and layer.steps is None and layer.reasons["steps"]


def test_events_after_the_end_are_no_work() -> None:
    times = np.array([0.01, 0.02, 0.03, 0.04])
    given = Spikes(times, np.zeros(4, int), size=1, duration=0.05)
    network = Network(
        [Population("input", 1, SpikeSource()), Population("cell", 1, LIF(tau_mem=0.01))],
        [Projection("input", "cell", OneToOne(), 0.1, 0.001)],
    )
    works = [simulate(network, given, clock=clock, duration=0.025).work[0] for clock in (None, 0.001)]
    assert [work.input_events for work in works] == [2, 2]
    assert [work.synaptic_operations for work in works] == [2, 2]


@pytest.mark.slow
def test_poisson_rates_and_independence() -> None:
    network = Network(
        [Population("source", 200, PoissonSource(50.0)), Population("sum", 200, LI(tau_mem=1e12))],
        stimuli=[PoissonInput("sum", 2000.0, 1.0)],
    )
    result = simulate(network, 10.0, clock=None, record=["source"], probes=[Probe("sum", "v", 9.999)])
    spikes = result.spikes["source"]
    assert isinstance(spikes, Spikes)
    counts = spikes.counts()
    assert abs(counts.mean() - 500) < 4 * np.sqrt(500 / 200) and 0.75 < counts.var() / 500 < 1.3
    sums = np.asarray(result.states["sum.v"])[-1]
    assert abs(sums.mean() - 2000 * 9.999) < 4 * np.sqrt(20000 / 200) and 0.75 < sums.var() / 20000 < 1.3
    # Gaps of one unit: exponential, and of no memory.
    gaps = np.concatenate([np.diff(spikes.times[spikes.units == unit]) for unit in range(200)])
    assert abs((gaps > 0.02).mean() - math.exp(-1)) < 4 * np.sqrt(0.24 / len(gaps))
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 5 / np.sqrt(len(gaps))
    again = simulate(network, 10.0, clock=None, record=["source"], trial=1).spikes["source"]
    assert again.digest() != spikes.digest()


def test_lists_and_queues_grow_and_forget() -> None:
    """60,000 spikes on their way at once, and unrecorded ones let go, without losing or doubling any."""
    network = Network(
        [Population("busy", 100, IF(i_offset=600.0), {"v": Uniform(0.0, 1.0)}), Population("sum", 1, LI(tau_mem=1e12))],
        [Projection("busy", "sum", FixedProbability(1.0), 1.0, Uniform(0.001, 0.9))],
    )
    probe = Probe("sum", "v", 0.01)
    quiet = simulate(network, 1.0, clock=None, record=[], probes=[probe])
    loud = simulate(network, 1.0, clock=None, probes=[probe])
    assert np.array_equal(quiet.states["sum.v"], loud.states["sum.v"])
    spikes = loud.spikes["busy"]
    assert isinstance(spikes, Spikes) and abs(len(spikes) - 60000) <= 100
    delays = synapses_of(compile_exact(network, 0).routes[0])[2]
    arrivals = spikes.times + delays[spikes.units]
    assert np.asarray(loud.states["sum.v"])[-1, 0] == pytest.approx(np.sum(arrivals < 0.99), abs=1e-3)
    assert loud.work[1].synaptic_operations == np.sum(arrivals <= 1.0)


def test_progress_reaches_the_end() -> None:
    for inputs, total in ((recordings(), 1.4), (recording(), 0.2)):
        seen: list[Progress] = []
        simulate(small(), inputs, clock=None, progress=seen.append)
        assert seen[-1].done == pytest.approx(total) and seen[-1].total == pytest.approx(total)


@dataclasses.dataclass(frozen=True)
class Ramp(ExactNeuron):
    """A neuron of one's own: v rises by 1/s, fires at 1 and starts again; looks ahead by .3 s at a time."""

    state = ("v",)
    receptors = ("input",)

    def initial(self) -> tuple[float, ...]:
        return (0.0,)

    def constants(self, dt: float) -> tuple[float, ...]:
        return (dt,)

    @staticmethod
    def step(state, inputs, c, spiked) -> None:  # type: ignore[no-untyped-def]
        for i in range(spiked.size):
            state[0, i] += c[0] + inputs[0, i]
            spiked[i] = state[0, i] > 1
            state[0, i] = 0 if spiked[i] else state[0, i]

    def exact_constants(self) -> tuple[float, ...]:
        return (1.0,)

    @staticmethod
    def flow(state, elapsed, c) -> None:  # type: ignore[no-untyped-def]
        state[0] += elapsed

    @staticmethod
    def jump(state, receptor, weight, c) -> None:  # type: ignore[no-untyped-def]
        state[0] += weight

    @staticmethod
    def crossing(state, c):  # type: ignore[no-untyped-def]
        ahead = c[0] - state[0]
        return max(ahead, 0.0) if ahead < 0.3 else -0.3

    @staticmethod
    def fire(state, c) -> None:  # type: ignore[no-untyped-def]
        state[0] = 0.0


@dataclasses.dataclass(frozen=True)
class Uncompilable(Ramp):
    """Its jump uses what numba does not know."""

    @staticmethod
    def jump(state, receptor, weight, c) -> None:  # type: ignore[no-untyped-def]
        state[0] = sorted({}.items())


def test_a_neuron_of_ones_own_runs_unregistered() -> None:
    # The arrival at 2.251 finds v at .251.
    spikes = simulate(one(Ramp(), 0.5), played(2.25, duration=4.6), clock=None).spikes["cell"]
    assert isinstance(spikes, Spikes)
    assert np.allclose(spikes.times, [1.0, 2.0, 2.5, 3.5, 4.5], rtol=0, atol=1e-12)


def alone(model: Neuron) -> Network:
    return Network([Population("x", 2, model)])


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (
            lambda: simulate(alone(Doubling()), 1.0, clock=None),
            "Population['x'].model: Doubling has no exact form, which clock=None needs "
            "(see neurosim.network.neurons.base.ExactNeuron); give simulate a clock, or use one of AdEx, AdaptiveLIF, "
            "AlphaLIF",
        ),
        (
            lambda: simulate(
                Network(
                    one(LIF()).populations,
                    [Projection("input", "cell", OneToOne(), 0.5, short_term=ShortTermPlasticity())],
                ),
                played(0.0),
                clock=None,
            ),
            "Projection['input->cell']: ShortTermPlasticity runs on a grid only; give simulate a clock, or leave",
        ),
        (
            lambda: simulate(
                Network(one(LIF()).populations, [Projection("input", "cell", OneToOne(), 0.5, plasticity=STDP())]),
                played(0.0),
                clock=None,
            ),
            "Projection['input->cell']: STDP runs on a grid only; give simulate a clock, or leave the rule out",
        ),
        (
            lambda: Simulation(one(LIF()), played(0.0), clock=None),
            "Simulation.clock: must be > 0 s (got None); simulate runs it whole, unsaved",
        ),
        (
            lambda: simulate(one(LIF()), played(0.0), clock=None, threads=2),
            "simulate.threads: must be 1 or None for one recording in continuous time, whose events are in one order",
        ),
        (
            lambda: simulate(one(LIF(), 1.0, delay=1e-12), played(0.0, duration=1e5), clock=None),
            "Projection['input->cell'].delay: must be > 1.5e-11 s, the resolution of a run of 100000 s (got 1e-12)",
        ),
        (
            lambda: simulate(
                Network(one(LIF()).populations, [Projection("input", "cell", OneToOne(), 1.0, Normal(-1.0, 0.001))]),
                played(0.0),
                clock=None,
            ),
            "must be > 0 s; give the distribution a `low`",
        ),
        (
            lambda: simulate(one(LIF(soft_reset=True), 1e300), played(0.0), clock=None),
            "Population['cell'] unit 0: fired 1000000 times at 0.001 s; lower its input or give it a refractory period",
        ),
        (lambda: simulate(alone(Uncompilable()), 1.0, clock=None), "Uncompilable.jump: cannot be compiled"),
        (
            lambda: simulate(
                one(LIF()),
                Recordings(np.array([0.2, 0.1]), np.array([0, 0]), np.array([0, 2]), np.array([0.3]), 1),
                clock=None,
            ),
            "recording 0: times: must be ascending",
        ),
        (lambda: simulate(alone(LIF()), 1.0, clock=None, precision="float8"), "simulate.precision: unknown name"),
        (
            lambda: simulate(one(LIF()), played(0.0), clock=None, probes=[Probe("cell", "u")]),
            "Probe['cell.u']: unknown name 'u'",
        ),
    ],
)
def test_bad_input_is_named(run, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NeurosimInputError) as caught:
        run()
    assert message in str(caught.value)
