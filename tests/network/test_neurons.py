"""What every neuron model must hold to, over the table of models, and each model's closed forms."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest
from helpers.samples import sampled
from numba import cfunc, types

from neurosim import (
    LIF,
    AdEx,
    CobaLIF,
    CubaLIF,
    Izhikevich,
    Network,
    OneToOne,
    Population,
    Probe,
    Projection,
    Spikes,
    SpikeSource,
    simulate,
)
from neurosim.base import NeurosimInputError
from neurosim.kernels.tools.compiled import compiled
from neurosim.network import IF, LI, AdaptiveLIF, AlphaLIF, Neuron
from neurosim.network.neurons import NEURONS
from neurosim.network.neurons.base import propagator

MODELS = [model() for model in NEURONS.values()]
HELD = [neuron for neuron in MODELS if hasattr(neuron, "t_refractory")]
BY_NAME = {"ids": lambda neuron: type(neuron).__name__}


def scale(neuron: Neuron) -> float:
    """From rest to where spikes begin, V."""
    if isinstance(neuron, Izhikevich):
        return 0.020  # its unstable fixed point lies at -50 mV, its rest at -70 mV
    top = getattr(neuron, "v_rheobase", getattr(neuron, "v_threshold", 1.0))
    return top - neuron.initial()[0]


def units(neuron: Neuron) -> dict[str, float]:
    """By the first letter of a state variable: how much of it moves the membrane by about `scale`."""
    volt = scale(neuron)
    ohm = getattr(neuron, "r", 1.0)
    slow = {"u": volt * getattr(neuron, "b", 0.0), "a": volt, "w": volt / ohm}
    return {"v": volt, "i": volt / ohm, "g": 1 / ohm, **slow}


def somewhere(neuron: Neuron, n: int, real: type, spread: float = 0.5) -> np.ndarray:
    """[states, n] states around the initial one, some of them past the threshold if `spread` > 1, none held."""
    rng = np.random.default_rng(0)
    state = np.repeat(np.array(neuron.initial())[:, None], n, axis=1)
    for row, name in enumerate(neuron.state):
        if name == "refractory":
            unit = 0.0
        else:
            unit = units(neuron)["i" if name.startswith("rise") else name[0]]
        state[row] += unit * spread * rng.random(n)
    return state.astype(real)


def steps(neuron: Neuron, state: np.ndarray, count: int, dt: float, plain: bool = False) -> np.ndarray:
    """[count, n] spikes of `count` steps without input; `state` is advanced."""
    inputs = np.zeros((len(neuron.receptors), state.shape[1]), state.dtype)
    constants = np.array(neuron.constants(dt), state.dtype)
    spiked = np.full((count, state.shape[1]), 7, np.uint8)
    step = neuron.step if plain else _jit(type(neuron))
    for k in range(count):
        step(state, inputs, constants, spiked[k])
    return spiked


_compiled: dict[type, object] = {}


def _jit(model: type[Neuron]):  # type: ignore[no-untyped-def]
    if model not in _compiled:
        # From the cache where the text of the model is the same.
        _compiled[model] = compiled(model.step, error_model="numpy")
    return _compiled[model]


@pytest.mark.parametrize("neuron", MODELS, **BY_NAME)
def test_declarations_fit_together(neuron: Neuron) -> None:
    assert len(neuron.initial()) == len(neuron.state) == len(set(neuron.state))
    assert len(neuron.receptors) == len(set(neuron.receptors)) > 0
    assert all(math.isfinite(value) for value in neuron.initial())
    assert not any(math.isnan(value) for value in neuron.constants(1e-4))
    doc = type(neuron).__doc__ or ""
    assert "where" in doc and "State:" in doc and "Source:" in doc
    for name in (field.name for field in dataclasses.fields(neuron)):  # type: ignore[arg-type]
        assert name in doc, f"{name} is not explained"


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("neuron", MODELS, **BY_NAME)
def test_compiled_equals_plain_python(neuron: Neuron, real: type) -> None:
    a = somewhere(neuron, 67, real, spread=1.5)
    b = a.copy()
    spikes = [steps(neuron, state, 5, 1e-3, plain) for state, plain in ((a, False), (b, True))]
    assert np.array_equal(*spikes) and set(np.unique(spikes[0])) <= {0, 1}
    assert np.allclose(a, b, rtol=4 * np.finfo(real).eps, atol=0)


@pytest.mark.parametrize("neuron", sampled(MODELS, [LIF(), CubaLIF()]), **BY_NAME)
def test_steps_become_vector_instructions(neuron: Neuron) -> None:
    """Ten times the speed hangs on it, and it is lost by one branch too many."""
    number = types.float32
    two = types.Array(number, 2, "C")
    one = types.Array(number, 1, "C")
    signature = types.void(two, two, one, types.Array(types.uint8, 1, "C"))
    code = cfunc(signature, error_model="numpy")(type(neuron).step).inspect_llvm()
    assert re.search(r"fmul <\d+ x float>|fadd <\d+ x float>", code)


@pytest.mark.parametrize("neuron", MODELS, **BY_NAME)
def test_steps_compose(neuron: Neuron) -> None:
    """Below threshold two half steps are one whole step: exactly where the model is linear, else to second order."""
    dt = 5e-4
    count = 8
    ends = []
    for parts in (1, 2, 4, 128):
        state = somewhere(neuron, 20, np.float64)
        assert not steps(neuron, state, count * parts, dt / parts).any()
        ends.append(state)
    errors = [np.abs(end - ends[-1])[0].max() / scale(neuron) for end in ends[:-1]]
    assert errors[0] < 1e-12 or errors[0] / errors[1] > 3.5 < errors[1] / errors[2]


@pytest.mark.parametrize("neuron", MODELS, **BY_NAME)
def test_rest_is_rest(neuron: Neuron) -> None:
    """Nothing in, nothing moves: membranes at rest are not counted as updated."""
    state = np.repeat(np.array(neuron.initial(), np.float32)[:, None], 3, axis=1)
    before = state.copy()
    assert not steps(neuron, state, 50, 1e-3).any()
    # AdEx's exponential is never quite nothing, and Izhikevich's rest is a root, found to the last place only.
    near = isinstance(neuron, (AdEx, Izhikevich))
    assert np.allclose(state[0], before[0], rtol=1e-5, atol=0) if near else np.array_equal(state, before)


@pytest.mark.parametrize("held", [0.0, 0.001, 0.0024, 0.005])
@pytest.mark.parametrize("neuron", HELD, **BY_NAME)
def test_refractory_steps(neuron: Neuron, held: float) -> None:
    """After a spike in step k, steps k + 1 to k + hold leave the membrane, and a strong input fires the next one."""

    neuron = dataclasses.replace(neuron, t_refractory=held)  # type: ignore[type-var]
    strong = Spikes(np.repeat(np.arange(60) * 1e-3, 1), np.zeros(60, int), 1, 0.06)
    name = next((name for name in neuron.state if name.endswith("_excitatory")), "v")
    network = Network(
        [Population("in", 1, SpikeSource()), Population("out", 1, neuron)],
        [Projection("in", "out", OneToOne(), 1000 * units(neuron)[name[0]])],
    )
    times = simulate(network, strong).spikes["out"].times  # type: ignore[union-attr]
    gaps = np.round(np.diff(times) * 1e3)
    assert len(times) > 5 and np.all(gaps == 1 + round(held * 1e3))


@pytest.mark.parametrize("dt", sampled([1e-3, 1e-4, 1e-5], [1e-4]))
@pytest.mark.parametrize(
    ("neuron", "period"),
    [
        (LIF(0.02, i_offset=1.5), 0.02 * math.log(3)),
        (LIF(0.02, i_offset=0.75, r=2.0, t_refractory=0.004), 0.004 + 0.02 * math.log(3)),
        (LIF(0.02, -0.050, -0.070, -0.060, 1e8, 4e-10), 0.02 * math.log(30 / 20)),
        (CubaLIF(0.01, i_offset=1.1, t_refractory=0.002), 0.002 + 0.01 * math.log(11)),
        (AlphaLIF(0.01, i_offset=1.1, t_refractory=0.002), 0.002 + 0.01 * math.log(11)),
        (CobaLIF(0.01, i_offset=2e-10), 0.01 * math.log(20 / 10)),
        (AdaptiveLIF(0.02, i_offset=1.5, beta=0.0), 0.02 * math.log(3)),
        (IF(i_offset=40.0), 0.025),
        (IF(i_offset=40.0, t_refractory=0.003), 0.028),
    ],
)
def test_firing_rate_against_current(neuron: Neuron, period: float, dt: float) -> None:
    """The closed-form interval, which the grid rounds up to the next step."""
    spikes = simulate(Network([Population("x", 1, neuron)]), 40 * period, clock=dt, precision="float64").spikes["x"]
    gaps = np.diff(spikes.times)  # type: ignore[union-attr]
    assert len(gaps) > 25
    assert np.all(gaps > period - 1e-9) and np.all(gaps < period + dt * 1.001)


def test_soft_reset_keeps_what_exceeds_the_threshold() -> None:
    """So a perfect integrator's spikes are its input over its threshold, however coarse the steps."""
    neuron = IF(i_offset=217.0, soft_reset=True)
    spikes = simulate(Network([Population("x", 1, neuron)]), 10.0, clock=1e-3, precision="float64").spikes["x"]
    assert len(spikes) in (2169, 2170)
    hard = simulate(Network([Population("x", 1, IF(i_offset=217.0))]), 10.0, precision="float64").spikes["x"]
    assert len(hard) == 2000


@pytest.mark.parametrize("tau_syn", [0.005, 0.02, 0.02 + 1e-12, 0.05])
def test_exponential_synapse_against_its_closed_form(tau_syn: float) -> None:
    """The membrane after one input spike: a difference of exponentials, t exp(-t / tau) for equal time constants."""
    neuron = CubaLIF(0.02, tau_syn, v_threshold=1e9)
    network = Network(
        [Population("in", 1, SpikeSource()), Population("x", 1, neuron)],
        [Projection("in", "x", OneToOne(), 3.0, 0.002)],
    )
    probe = Probe("x", "v", 1e-4)
    v = simulate(network, Spikes([0.001], [0], 1, 0.1), clock=1e-4, precision="float64", probes=[probe]).states["x.v"]
    t = np.arange(1000) * 1e-4 - 0.0031  # the event's step ends at 1.1 ms, and 2 ms of delay
    if abs(tau_syn - 0.02) < 1e-9:
        response = t / 0.02 * np.exp(-t / 0.02)
    else:
        response = tau_syn / (tau_syn - 0.02) * (np.exp(-t / tau_syn) - np.exp(-t / 0.02))
    assert np.allclose(v[:, 0], np.where(t > 0, 3.0 * response, 0.0), rtol=0, atol=1e-9)  # type: ignore[call-overload]


def response(neuron: Neuron, weight: float, variable: str = "v", receptor: str | None = None) -> np.ndarray:
    """[1000] a state variable every .1 ms after a spike whose weight arrives at t = 0 (sample 0)."""
    network = Network(
        [Population("in", 1, SpikeSource()), Population("x", 1, neuron)],
        [Projection("in", "x", OneToOne(), weight, 1e-4, receptor)],
    )
    probe = Probe("x", variable, 1e-4)
    event = Spikes([0.0], [0], 1, 0.1002)  # its step ends at .1 ms, and .1 ms of delay
    return simulate(network, event, clock=1e-4, precision="float64", probes=[probe]).states["x." + variable][2:, 0]  # type: ignore[call-overload]


def test_alpha_synapse_against_its_closed_form() -> None:
    """The current peaks at the weight after tau_syn; the membrane is its convolution with the membrane's kernel."""
    neuron = AlphaLIF(0.02, 0.004, v_threshold=1e9)
    t = np.arange(1000) * 1e-4
    i = response(neuron, 3.0, "i_excitatory")
    assert np.allclose(i, 3.0 * t / 0.004 * np.exp(1 - t / 0.004), rtol=0, atol=1e-12)
    assert np.argmax(i) == 40 and i[40] == pytest.approx(3.0)
    # v' = (i - v) / tau_mem for i = A t exp(-t / tau_syn), solved by hand.
    k = 1 / 0.02 - 1 / 0.004
    v = 3.0 * math.e / 0.004 / 0.02 * (np.exp(-t / 0.004) * (t / k - 1 / k**2) + np.exp(-t / 0.02) / k**2)
    assert np.allclose(response(neuron, 3.0), v, rtol=0, atol=1e-9)


def test_constant_conductance_against_its_closed_form() -> None:
    """A conductance that hardly decays pulls the membrane towards the weighted mean of the two potentials."""
    neuron = CobaLIF(0.02, 1e9, None, v_threshold=1.0)
    # conductances in units of the leak's
    t = np.arange(1000) * 1e-4
    total = 1 + 1e8 * 2e-8
    goal = (-0.060 + 2 * 0.0) / total
    expected = goal + (-0.060 - goal) * np.exp(-t * total / 0.02)
    assert np.allclose(response(neuron, 2e-8), expected, rtol=0, atol=1e-9)
    pulled = (-0.060 + 2 * -0.080) / total
    assert response(neuron, 2e-8, receptor="inhibitory")[-1] == pytest.approx(pulled, rel=1e-2)


def test_inhibitory_conductance_cannot_pass_its_reversal() -> None:
    assert response(CobaLIF(), 1.0, receptor="inhibitory").min() > -0.0800001


def test_adaptive_threshold_stretches_intervals() -> None:
    """In the steady state the threshold reached is v_threshold + beta / (exp(T / tau_adapt) - 1)."""
    neuron = AdaptiveLIF(0.02, 0.1, 0.2, i_offset=2.0)
    spikes = simulate(Network([Population("x", 1, neuron)]), 3.0, clock=1e-5, precision="float64").spikes["x"]
    gaps = np.diff(spikes.times)  # type: ignore[union-attr]
    assert np.all(np.diff(gaps) > -2e-5) and gaps[-1] > 1.3 * gaps[0]
    period = gaps[-1]
    threshold = 1.0 + 0.2 / math.expm1(period / 0.1)
    assert 0.02 * math.log(2.0 / (2.0 - threshold)) == pytest.approx(period, abs=2e-5)


def test_adex_fires_above_its_rheobase_only() -> None:
    """Without adaptation the rheobase is (v_T - v_leak - delta_T) / r (Touboul & Brette 2008, a = 0)."""
    neuron = AdEx(a=0.0, b=0.0)
    rheobase = (neuron.v_rheobase - neuron.v_leak - neuron.delta_t) / neuron.r
    counts = []
    for factor in (0.999, 1.01):
        driven = dataclasses.replace(neuron, i_offset=factor * rheobase)
        counts.append(len(simulate(Network([Population("x", 1, driven)]), 1.0, clock=1e-4).spikes["x"]))
    assert counts[0] == 0 and counts[1] > 3


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_adex_adapts(precision: str) -> None:
    neuron = AdEx(i_offset=1e-9)
    result = simulate(Network([Population("x", 1, neuron)]), 1.0, clock=1e-5, precision=precision)
    gaps = np.diff(result.spikes["x"].times)  # type: ignore[union-attr]
    assert len(gaps) > 8 and gaps[-1] > 2 * gaps[0] and np.all(np.isfinite(gaps))


def test_izhikevich_regular_spiking_and_chattering() -> None:
    """The paper's figure 2, I = 10: regular spiking slows down; chattering comes in bursts."""
    trains = []
    for neuron in (Izhikevich(i_offset=10.0), Izhikevich(v_reset=-0.050, d=2.0, i_offset=10.0)):
        spikes = simulate(Network([Population("x", 1, neuron)]), 0.5, clock=1e-5, precision="float64").spikes["x"]
        trains.append(np.diff(spikes.times))  # type: ignore[union-attr]
    regular, chattering = trains
    assert 10 < len(regular) < 25 and np.ptp(regular[3:]) < 1e-3 < regular[-1] - regular[0]
    assert chattering.max() > 4 * np.median(chattering)


@pytest.mark.parametrize("neuron", [AdEx(i_offset=8e-10), Izhikevich(i_offset=10.0)], **BY_NAME)
def test_spike_times_converge(neuron: Neuron) -> None:
    """At first order at least: the grid itself moves a spike by up to a step."""
    times = []
    for dt in (1e-4, 5e-5, 2.5e-5, 1e-6):
        spikes = simulate(Network([Population("x", 1, neuron)]), 0.2, clock=dt, precision="float64").spikes["x"]
        times.append(spikes.times[:4])  # type: ignore[union-attr]
    errors = [np.abs(t - times[-1]).max() for t in times[:-1]]
    assert errors[0] < 1e-3 and errors[2] < 0.5 * errors[0]


def test_receptors_have_their_own_time_constants() -> None:
    neuron = CubaLIF(0.02, 0.002, 0.03, v_threshold=1e9)
    ends = []
    for receptor in neuron.receptors:
        network = Network(
            [Population("in", 1, SpikeSource()), Population("x", 1, neuron)],
            [Projection("in", "x", OneToOne(), 1.0, receptor=receptor)],
        )
        probes = [Probe("x", name) for name in ("i_excitatory", "i_inhibitory")]
        states = simulate(network, Spikes([0.0], [0], 1, 0.02), precision="float64", probes=probes).states
        ends.append([float(states[f"x.{name}"][12, 0]) for name in ("i_excitatory", "i_inhibitory")])  # type: ignore[call-overload]
    assert ends[0] == pytest.approx([math.exp(-10 / 2), 0], rel=1e-12)
    assert ends[1] == pytest.approx([0, math.exp(-10 / 30)], rel=1e-12)


def test_propagator_is_the_matrix_exponential() -> None:
    a = np.array([[-50.0, 30.0, 0.0], [0.0, -200.0, 1.0], [0.0, 0.0, -200.0]])
    p = propagator(a, 0.004)  # type: ignore[arg-type]
    assert np.allclose(p @ p, propagator(a, 0.008), rtol=1e-13, atol=1e-16)  # type: ignore[arg-type]
    assert p[0, 0] == pytest.approx(math.exp(-0.2), rel=1e-14)
    assert p[1, 2] == pytest.approx(0.004 * math.exp(-0.8), rel=1e-13)
    assert np.array_equal(propagator([[0.0]], 1.0), [[1.0]])


def test_propagator_of_volts_and_amperes() -> None:
    """Entries in SI units differ by many powers of ten; the exact step does not lose digits to them."""
    area, dt = 2e-8, 1e-4
    p = propagator([[-50.0, 1 / (0.01 * area), 3e-12], [0.0, -200.0, 0.0], [0.0, 0.0, 0.0]], dt)
    mixed = (math.exp(-200 * dt) - math.exp(-50 * dt)) / (0.01 * area * (50.0 - 200.0))
    np.testing.assert_allclose(np.diag(p), [math.exp(-50 * dt), math.exp(-200 * dt), 1.0], rtol=1e-14)
    np.testing.assert_allclose(p[0, 1:], [mixed, -3e-12 * math.expm1(-50 * dt) / 50.0], rtol=1e-13)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LIF(tau_mem=-0.02), "LIF.tau_mem: must be > 0 s (got -0.02)"),
        (lambda: LIF(tau_mem=math.inf), "LIF.tau_mem: must be finite (got inf)"),
        (lambda: LIF(t_refractory=-1e-3), "LIF.t_refractory: must be >= 0 s (got -0.001)"),
        (lambda: LIF(v_reset=1.0), "LIF.v_reset: must be < v_threshold 1.0 V (got 1.0)"),
        (lambda: LIF(r="3"), "LIF.r: must be a number, a vector by unit or a distribution (got '3')"),  # type: ignore[arg-type]
        (lambda: CubaLIF(tau_syn_inhibitory=0.0), "CubaLIF.tau_syn_inhibitory: must be > 0 s (got 0.0)"),
        (lambda: LI(v_leak=math.nan), "LI.v_leak: must be finite (got nan)"),
        (lambda: AdEx(delta_t=0.0), "AdEx.delta_t: must be > 0 V (got 0.0)"),
        (lambda: AdEx(v_rheobase=0.1), "AdEx.v_rheobase: must be < v_threshold (got 0.1)"),
    ],
)
def test_bad_parameters_are_named(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NeurosimInputError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize("model", [CubaLIF, AlphaLIF], **{"ids": lambda model: model.__name__})
def test_steps_are_exact_whatever_the_resistance(model: type[Neuron]) -> None:
    dt = 1e-5
    unit = np.array(model(tau_mem=0.01, tau_syn=0.002, tau_syn_inhibitory=0.003).constants(dt))
    large = np.array(model(tau_mem=0.01, tau_syn=0.002, tau_syn_inhibitory=0.003, r=2.5e8).constants(dt))
    # What charges the membrane grows with r, and nothing else changes.
    ratio = np.divide(large, unit, where=unit != 0, out=np.ones_like(unit))
    charges = ratio > 2
    np.testing.assert_allclose(ratio[charges], 2.5e8, rtol=1e-14)
    np.testing.assert_array_equal(large[~charges], unit[~charges])
    assert np.abs(large - math.exp(-dt / 0.002)).min() < 3e-16
