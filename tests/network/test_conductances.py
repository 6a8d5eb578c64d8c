"""Conductances that rise before they fall, adaptation and channels: against their equations, solved otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from neurosim import Network, Population, Probe, simulate
from neurosim.base import NeurosimInputError
from neurosim.network import Neuron, StepCurrent
from neurosim.network.neurons.conductance_adaptive import AlphaCobaAdEx, CobaAdEx
from neurosim.network.neurons.conductance_alpha import AlphaCobaLIF
from neurosim.network.neurons.contract import check_neuron
from neurosim.network.neurons.hodgkin_huxley import HodgkinHuxley

MODELS = (AlphaCobaLIF, CobaAdEx, AlphaCobaAdEx, HodgkinHuxley)
# Of each receptor; none of them brings a spike within the time of the tests.
WEIGHTS = (4e-9, 6e-9)


def stepped(model: Neuron, dt: float, seconds: float, weights: tuple[float, float]) -> np.ndarray:
    """[states] the state of one unit after one arrival at each receptor at time 0."""
    state = np.array(model.initial())[:, None]
    constants = np.array(model.constants(dt))
    spiked = np.zeros(1, np.uint8)
    steps = round(seconds / dt)
    # What arrives at the end of a step of no length is there at time 0.
    for row, weight in zip(("excitatory", "inhibitory"), weights, strict=True):
        if f"rise_{row}" in model.state:
            state[model.state.index(f"rise_{row}"), 0] = math.e * weight
        else:
            state[model.state.index(f"g_{row}"), 0] = weight
    for _ in range(steps):
        model.step(state, np.zeros((2, 1)), constants, spiked)
        assert not spiked[0]
    return state[:, 0]


def alpha_conductance(weight: float, tau: float) -> Callable[[float], float]:
    return lambda t: weight * t / tau * math.exp(1 - t / tau)


def falling(weight: float, tau: float) -> Callable[[float], float]:
    return lambda t: weight * math.exp(-t / tau)


def solved(model: Neuron, seconds: float, weights: tuple[float, float]) -> float:
    """The membrane by a solver of high order, from the closed forms of the conductances."""
    form = alpha_conductance if "rise_excitatory" in model.state else falling
    taus = model.tau_syn, model.tau_syn_inhibitory or model.tau_syn
    up, down = (form(weight, tau) for weight, tau in zip(weights, taus, strict=True))

    def synaptic(t: float, v: float) -> float:
        return up(t) * (model.e_excitatory - v) + down(t) * (model.e_inhibitory - v) + model.i_offset

    def slope(t: float, x: np.ndarray) -> list[float]:
        v = x[0]
        if isinstance(model, AlphaCobaLIF):
            return [(model.v_leak - v + model.r * synaptic(t, v)) / model.tau_mem]
        if isinstance(model, HodgkinHuxley):
            u = (v - model.v_offset) * 1e3
            m, h, n = x[1:]
            rates = (
                (0.32 * (13 - u) / math.expm1((13 - u) / 4), 0.28 * (u - 40) / math.expm1((u - 40) / 5)),
                (0.128 * math.exp((17 - u) / 18), 4 / (1 + math.exp((40 - u) / 5))),
                (0.032 * (15 - u) / math.expm1((15 - u) / 5), 0.5 * math.exp((10 - u) / 40)),
            )
            gates = [1e3 * (a * (1 - gate) - b * gate) for gate, (a, b) in zip((m, h, n), rates, strict=True)]
            channels = model.g_na * m**3 * h * (model.e_na - v) + model.g_k * n**4 * (model.e_k - v)
            return [(model.g_leak * (model.v_leak - v) + channels + synaptic(t, v)) / model.c_mem, *gates]
        w = x[1]
        swing = model.delta_t * math.exp((v - model.v_rheobase) / model.delta_t)
        pull = model.v_leak - v + swing + model.r * (synaptic(t, v) - w)
        return [pull / model.tau_mem, (model.a * (v - model.v_leak) - w) / model.tau_w]

    start = {AlphaCobaLIF: 1, HodgkinHuxley: 4}.get(type(model), 2)
    first = [*model.initial()[:1], *(model.initial()[1:4] if start == 4 else [0.0] * (start - 1))]
    method = "LSODA" if isinstance(model, HodgkinHuxley) else "DOP853"
    return float(solve_ivp(slope, (0, seconds), first, rtol=1e-11, atol=1e-14, method=method).y[0, -1])


@pytest.mark.parametrize("model", [AlphaCobaLIF(), CobaAdEx(), AlphaCobaAdEx()], ids=lambda m: type(m).__name__)
def test_membranes_converge_to_their_equation_to_second_order(model: Neuron) -> None:
    expected = solved(model, 0.02, WEIGHTS)
    errors = [abs(stepped(model, dt, 0.02, WEIGHTS)[0] - expected) for dt in (4e-4, 2e-4, 1e-4)]
    assert abs(expected - model.v_leak) > 5e-4
    assert errors[-1] < 2e-6
    assert np.log2(errors[0] / errors[1]) > 1.7
    assert np.log2(errors[1] / errors[2]) > 1.7


def test_channels_converge_to_their_equation_to_first_order() -> None:
    model = HodgkinHuxley(i_offset=5e-11)
    expected = solved(model, 0.005, (2e-8, 6e-9))
    errors = [abs(stepped(model, dt, 0.005, (2e-8, 6e-9))[0] - expected) for dt in (2e-5, 1e-5, 5e-6)]
    assert abs(expected - model.v_leak) > 5e-4
    assert errors[-1] < 2e-5
    assert np.log2(errors[0] / errors[1]) > 0.8
    assert np.log2(errors[1] / errors[2]) > 0.8


def test_conductances_peak_at_their_weight() -> None:
    model = AlphaCobaLIF(tau_syn=2e-3, tau_syn_inhibitory=5e-3)
    state = stepped(model, 1e-4, 2e-3, (3e-9, 0.0))
    assert state[2] == pytest.approx(3e-9, rel=1e-9)
    state = stepped(model, 1e-4, 5e-3, (0.0, 2e-9))
    assert state[4] == pytest.approx(2e-9, rel=1e-9)


def test_channels_fire_once_for_a_pulse_and_repeatedly_for_a_current() -> None:
    pulse = StepCurrent("x", np.array([5e-3, 6e-3]), np.array([2e-9, 0.0]))
    steady = StepCurrent("x", np.array([5e-3]), np.array([1e-9]))
    for stimulus, low, high in ((pulse, 1, 1), (steady, 3, 20)):
        network = Network([Population("x", 1, HodgkinHuxley())], stimuli=[stimulus])
        spikes = simulate(network, 0.05, clock=1e-5, precision="float64").spikes["x"]
        assert low <= len(spikes.times) <= high


@pytest.mark.slow
@pytest.mark.parametrize("model", [kind() for kind in MODELS], ids=lambda m: type(m).__name__)
def test_models_hold_to_the_contract(model: Neuron) -> None:
    # Channels fall silent under strong currents. Their upswing multiplies differences of rounding by e in 0.05 ms: the
    # 40 steps of a trial are shorter.
    report = check_neuron(model, 1e-6 if isinstance(model, HodgkinHuxley) else 1e-4, monotone=False)
    notes = {finding.rule: finding.note for finding in report.findings}
    assert "units at a time" in notes["vectors"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_models_run_compiled_by_unit_and_take_currents(kind: type[Neuron]) -> None:
    dt = 2e-5
    current = 2e-10
    offsets = np.full(70, current)
    results = []
    for model, stimuli in (
        (kind(i_offset=current), []),
        (kind(i_offset=offsets), []),
        (kind(), [StepCurrent("x", np.array([0.0]), np.array([current]))]),
    ):
        network = Network([Population("x", 70, model)], stimuli=stimuli)
        result = simulate(network, 0.02, clock=dt, precision="float64", probes=[Probe("x", "v", dt)])
        results.append(result.states["x.v"])
    assert np.ptp(results[0]) > 1e-3
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_allclose(results[2], results[0], rtol=1e-9)


def test_bad_parameters_are_named() -> None:
    with pytest.raises(NeurosimInputError, match=r"CobaAdEx.delta_t: must be > 0 V \(got 0.0\)"):
        CobaAdEx(delta_t=0.0)
    with pytest.raises(NeurosimInputError, match=r"AlphaCobaAdEx.v_rheobase: must be < v_threshold"):
        AlphaCobaAdEx(v_rheobase=-0.03)
    with pytest.raises(NeurosimInputError, match=r"HodgkinHuxley.g_na: must be >= 0 S \(got -1.0\)"):
        HodgkinHuxley(g_na=-1.0)
    with pytest.raises(NeurosimInputError, match=r"HodgkinHuxley.c_mem: must be > 0 F \(got 0.0\)"):
        HodgkinHuxley(c_mem=0.0)
