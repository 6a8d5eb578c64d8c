"""A soma with a dendrite, and NMDA receptors: against their equations, solved otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from neurosim import Network, Population, Probe, simulate
from neurosim.base import NeurosimInputError
from neurosim.network import NMDALIF, Neuron, StepCurrent, TwoCompartmentLIF
from neurosim.network.neurons.contract import check_neuron


def run(model: Neuron, dt: float, steps: int, arriving: dict[int, tuple[int, float]]) -> tuple[np.ndarray, list[int]]:
    """[steps + 1, states] the state of one unit, and the steps of its spikes; step k receives (receptor, weight)."""
    state = np.array(model.initial())[:, None]
    constants = np.array(model.constants(dt))
    states = [state[:, 0].copy()]
    fired = []
    for k in range(steps):
        inputs = np.zeros((len(model.receptors), 1))
        spiked = np.zeros(1, np.uint8)
        if k in arriving:
            inputs[arriving[k][0]] = arriving[k][1]
        model.step(state, inputs, constants, spiked)
        states.append(state[:, 0].copy())
        if spiked[0]:
            fired.append(k)
    return np.array(states), fired


def test_two_compartments_follow_their_linear_equation() -> None:
    model = TwoCompartmentLIF(0.02, 0.03, 0.7, 0.4, v_leak=0.1, v_reset=0.1, r=2.0, i_offset=0.1)
    states, fired = run(model, 1e-3, 60, {9: (1, 0.5), 30: (0, 0.2)})
    a = np.array([[-1.7 / 0.02, 0.7 / 0.02], [0.4 / 0.03, -1.4 / 0.03]])
    rest = np.linalg.solve(a, -np.array([(0.1 + 0.2) / 0.02, 0.1 / 0.03]))
    x = np.array([0.1, 0.1])
    for k in range(60):
        x = rest + expm(a * 1e-3) @ (x - rest) + np.array([0.2 * (k == 30), 0.5 * (k == 9)])
        np.testing.assert_allclose(states[k + 1, [0, 2]], x, rtol=1e-12)
    assert not fired and states[25, 0] > states[9, 0]  # the dendrite's input has reached the soma


def test_the_dendrite_goes_on_while_the_soma_is_held() -> None:
    model = TwoCompartmentLIF(coupling_dendrite=0.8, v_reset=-0.5, t_refractory=5e-3)
    states, fired = run(model, 1e-3, 30, {3: (0, 2.0), 6: (0, 9.0), 7: (1, 0.3)})
    assert fired == [3]  # what arrives at a soma that is held is lost
    assert (states[4:10, 0] == -0.5).all() and states[10, 0] != -0.5
    y = states[4, 2]
    end = 0.8 * -0.5 / 1.8
    for k in range(4, 9):
        y = end + (y - end) * np.exp(-1e-3 * 1.8 / 0.02) + 0.3 * (k == 7)
        assert states[k + 1, 2] == pytest.approx(y, rel=1e-12)


def reference(model: NMDALIF, weights: tuple[float, float, float], seconds: float) -> float:
    """The membrane after one arrival at each receptor at time 0, by a solver of high order."""

    def slope(_: float, x: np.ndarray) -> list[float]:
        v, a, h, n, b = x
        block = 1 / (1 + model.mg / 3.57 * np.exp(-62 * v))
        pull = (a + n * block) * (model.e_excitatory - v) + b * (model.e_inhibitory - v)
        return [
            (model.v_leak - v + model.r * pull) / model.tau_mem,
            -a / model.tau_ampa,
            -h / model.tau_rise,
            h / model.tau_rise - n / model.tau_nmda,
            -b / model.tau_gaba,
        ]

    start = [model.v_leak, weights[0], weights[1], 0.0, weights[2]]
    return float(solve_ivp(slope, (0, seconds), start, rtol=1e-10, atol=1e-13, method="DOP853").y[0, -1])


def test_nmda_receptors_converge_to_their_equation() -> None:
    model = NMDALIF(mg=0.5, v_threshold=1.0)
    weights = (1e-8, 6e-8, 3e-9)
    errors = []
    expected = reference(model, weights, 0.03)
    for dt in (2e-4, 1e-4, 5e-5):
        constants = np.array(model.constants(dt))
        state = np.array(model.initial())[:, None]
        spiked = np.zeros(1, np.uint8)
        state[[2, 3, 5], 0] = weights
        for _ in range(round(0.03 / dt)):
            model.step(state, np.zeros((3, 1)), constants, spiked)
        errors.append(abs(state[0, 0] - expected))
    assert errors[-1] < 2e-5 and expected > model.v_leak + 5e-3
    assert np.log2(errors[0] / errors[1]) > 0.8 and np.log2(errors[1] / errors[2]) > 0.8


def test_magnesium_blocks_at_rest_and_less_when_depolarised() -> None:
    reach = {}
    for mg in (0.0, 1.0):
        for v in (-0.07, -0.04):
            model = NMDALIF(mg=mg, v_leak=v, v_reset=-0.1, v_threshold=1.0)
            states, _ = run(model, 1e-4, 300, {0: (1, 2e-9)})
            reach[mg, v] = (states[:, 0].max() - v) / -v  # per driving force
    assert reach[1.0, -0.07] < 0.2 * reach[0.0, -0.07]
    assert reach[1.0, -0.04] / reach[0.0, -0.04] > 2 * reach[1.0, -0.07] / reach[0.0, -0.07]


@pytest.mark.slow
def test_they_run_compiled_and_take_currents() -> None:
    dt = 1e-3
    for model in (TwoCompartmentLIF(i_offset=0.5), NMDALIF(i_offset=3e-10)):
        network = Network([Population("x", 70, model)])
        result = simulate(network, 0.05, clock=dt, precision="float64", probes=[Probe("x", "v", dt)])
        states, _ = run(model, dt, 49, {})
        np.testing.assert_allclose(result.states["x.v"], np.repeat(states[:, :1], 70, axis=1), rtol=1e-9)
        still = type(model)()
        stimulus = StepCurrent("x", [0.0], [model.i_offset])
        driven = simulate(
            Network([Population("x", 70, still)], stimuli=[stimulus]),
            0.05,
            clock=dt,
            precision="float64",
            probes=[Probe("x", "v", dt)],
        )
        np.testing.assert_allclose(driven.states["x.v"], result.states["x.v"], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("model", [TwoCompartmentLIF(), NMDALIF()], ids=lambda model: type(model).__name__)
def test_they_hold_to_the_contract(model: Neuron) -> None:
    notes = {finding.rule: finding.note for finding in check_neuron(model).findings}
    assert notes["composes"] == "exact" or isinstance(model, NMDALIF)
    assert "units at a time" in notes["vectors"]


def test_bad_parameters_are_named() -> None:
    with pytest.raises(NeurosimInputError, match=r"TwoCompartmentLIF.coupling: must be >= 0 \(got -0.1\)"):
        TwoCompartmentLIF(coupling=-0.1)
    with pytest.raises(NeurosimInputError, match=r"NMDALIF.mg: must be >= 0 mM \(got -1.0\)"):
        NMDALIF(mg=-1.0)
