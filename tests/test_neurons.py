"""What every neuron model must hold to, over the table of models, and each model's closed forms."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from numba import njit

from neurosim.engine import Probe, simulate
from neurosim.errors import NeurosimInputError
from neurosim.network import Network, Population, Projection, SpikeSource
from neurosim.neurons import IF, LI, LIF, NEURONS, CubaLIF, Neuron, propagator
from neurosim.spikes import Spikes
from neurosim.synapses import OneToOne

MODELS = [model() for model in NEURONS.values()]
SPIKING = [neuron for neuron in MODELS if not isinstance(neuron, LI)]
BY_NAME = {"ids": lambda neuron: type(neuron).__name__}


def scale(neuron: Neuron) -> float:
    """From rest to threshold."""
    return getattr(neuron, "v_threshold", 1.0) - neuron.initial()[0]


def somewhere(neuron: Neuron, n: int, real: type, spread: float = 0.5) -> np.ndarray:
    """[states, n] states around the initial one, some of them past the threshold if `spread` > 1, none held."""
    rng = np.random.default_rng(0)
    state = np.repeat(np.array(neuron.initial())[:, None], n, axis=1)
    moved = [row for row, name in enumerate(neuron.state) if name != "refractory"]
    state[moved] += scale(neuron) * spread * rng.random((len(moved), n))
    return state.astype(real)


def steps(neuron: Neuron, state: np.ndarray, count: int, dt: float, compiled: bool = True) -> np.ndarray:
    """[count, n] spikes of `count` steps without input; `state` is advanced."""
    inputs = np.zeros((len(neuron.receptors), state.shape[1]), state.dtype)
    constants = np.array(neuron.constants(dt), state.dtype)
    spiked = np.full((count, state.shape[1]), 7, np.uint8)
    step = _jit(type(neuron)) if compiled else neuron.step
    for k in range(count):
        step(state, inputs, constants, spiked[k])
    return spiked


_compiled: dict[type, object] = {}


def _jit(model: type[Neuron]):  # type: ignore[no-untyped-def]
    if model not in _compiled:
        _compiled[model] = njit(model.step, error_model="numpy")
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
    spikes = [steps(neuron, state, 5, 1e-3, compiled) for state, compiled in ((a, True), (b, False))]
    assert np.array_equal(*spikes) and set(np.unique(spikes[0])) <= {0, 1}
    assert np.allclose(a, b, rtol=4 * np.finfo(real).eps, atol=0)


@pytest.mark.parametrize("neuron", MODELS, **BY_NAME)
def test_steps_compose(neuron: Neuron) -> None:
    """Below threshold two half steps are one whole step: exactly where the model is linear, else to second order."""
    dt, count = 5e-4, 8
    ends = []
    for parts in (1, 2, 4, 128):
        state = somewhere(neuron, 20, np.float64)
        assert not steps(neuron, state, count * parts, dt / parts).any()
        ends.append(state)
    errors = [np.abs(end - ends[-1]).max() / scale(neuron) for end in ends[:-1]]
    assert errors[0] < 1e-12 or errors[0] / errors[1] > 3.5 < errors[1] / errors[2]


@pytest.mark.parametrize("neuron", MODELS, **BY_NAME)
def test_rest_is_rest(neuron: Neuron) -> None:
    """Nothing in, nothing moves: membranes at rest are not counted as updated."""
    state = np.repeat(np.array(neuron.initial(), np.float32)[:, None], 3, axis=1)
    before = state.copy()
    assert not steps(neuron, state, 50, 1e-3).any()
    assert np.array_equal(state, before)


@pytest.mark.parametrize("held", [0.0, 0.001, 0.0024, 0.005])
@pytest.mark.parametrize("neuron", SPIKING, **BY_NAME)
def test_refractory_steps(neuron: Neuron, held: float) -> None:
    """After a spike in step k, steps k + 1 to k + hold leave the membrane, and a strong input fires the next one."""

    neuron = dataclasses.replace(neuron, t_refractory=held)  # type: ignore[type-var]
    strong = Spikes(np.repeat(np.arange(60) * 1e-3, 1), np.zeros(60, int), 1, 0.06)
    network = Network(
        [Population("in", 1, SpikeSource()), Population("out", 1, neuron)],
        [Projection("in", "out", OneToOne(), 1000 * scale(neuron))],
    )
    times = simulate(network, strong).spikes["out"].times  # type: ignore[union-attr]
    gaps = np.round(np.diff(times) * 1e3)
    assert len(times) > 5 and np.all(gaps == 1 + round(held * 1e3))


@pytest.mark.parametrize("dt", [1e-3, 1e-4, 1e-5])
@pytest.mark.parametrize(
    ("neuron", "period"),
    [
        (LIF(0.02, i_offset=1.5), 0.02 * math.log(3)),
        (LIF(0.02, i_offset=0.75, r=2.0, t_refractory=0.004), 0.004 + 0.02 * math.log(3)),
        (LIF(0.02, -0.050, -0.070, -0.060, 1e8, 4e-10), 0.02 * math.log(30 / 20)),
        (CubaLIF(0.01, i_offset=1.1, t_refractory=0.002), 0.002 + 0.01 * math.log(11)),
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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LIF(tau_mem=-0.02), "LIF.tau_mem: must be > 0 s (got -0.02)"),
        (lambda: LIF(tau_mem=math.inf), "LIF.tau_mem: must be finite (got inf)"),
        (lambda: LIF(t_refractory=-1e-3), "LIF.t_refractory: must be >= 0 s (got -0.001)"),
        (lambda: LIF(v_reset=1.0), "LIF.v_reset: must be < v_threshold 1.0 V (got 1.0)"),
        (lambda: LIF(r="3"), "LIF.r: must be a number (got '3')"),  # type: ignore[arg-type]
        (lambda: CubaLIF(tau_syn_inhibitory=0.0), "CubaLIF.tau_syn_inhibitory: must be > 0 s (got 0.0)"),
        (lambda: LI(v_leak=math.nan), "LI.v_leak: must be finite (got nan)"),
    ],
)
def test_bad_parameters_are_named(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NeurosimInputError) as caught:
        make()
    assert str(caught.value) == message
