"""Neurons from equations in text: as the models by hand, as closed forms, and refused where they cannot be read."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.samples import sampled

from neurosim import (
    LIF,
    AdEx,
    Izhikevich,
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
from neurosim.base import NeurosimInputError, NeurosimMissingError
from neurosim.engine.identity import describe, difference
from neurosim.network import Neuron, Uniform, equations
from neurosim.network.neurons import contract
from neurosim.network.neurons.timed import TimedArray
from neurosim.network.stimuli import SineCurrent

LIF_TEXT = "dv/dt = (v_leak - v + r * i_offset) / tau_mem : V (unless refractory)"
LIF_REST = {"threshold": "v > v_threshold", "reset": "v = v_reset", "initial": {"v": "v_leak"}}
LIF_VALUES = {
    "tau_mem": 0.02, "v_leak": 0.1, "r": 2.0, "i_offset": 0.1, "v_threshold": 1.0, "v_reset": -0.1,
    "t_refractory": 2e-3,
}  # fmt: skip
UNITS = {"tau_mem": "s", "v_leak": "V", "r": "ohm", "i_offset": "A", "v_threshold": "V", "v_reset": "V"}


def lif(text: str = LIF_TEXT, **more: Any) -> type[Neuron]:
    return equations(text, **{**LIF_REST, "parameters": LIF_VALUES, "units": UNITS, **more})  # type: ignore[arg-type]


def adex() -> type[Neuron]:
    names = ("tau_mem", "tau_w", "tau_syn", "v_rheobase", "delta_t", "v_threshold", "v_leak", "v_reset", "r", "a", "b")
    slope = "v_leak - v + delta_t * exp((v - v_rheobase) / delta_t) + r * (i_e + i_h + i_offset - w)"
    return equations(
        f"""
        dv/dt = ({slope}) / tau_mem   (unless refractory)
        dw/dt = (a * (v - v_leak) - w) / tau_w   # adaptation
        di_e/dt = -i_e / tau_syn; di_h/dt = -i_h / tau_syn
        """,
        threshold="v > v_threshold",
        reset="v = v_reset; w += b",
        receptors={"excitatory": "i_e", "inhibitory": "i_h"},
        initial={"v": "v_leak"},
        parameters={**{name: getattr(AdEx(), name) for name in names}, "i_offset": 0.0, "t_refractory": 0.0},
    )


def izhikevich() -> type[Neuron]:
    names = ("a", "b", "d", "v_threshold", "v_reset", "i_offset")
    return equations(
        "dv/dt = 4e4 * v**2 + 5e3 * v + 140 + i_offset - u; du/dt = a * (b * v - u)",
        threshold="v > v_threshold",
        reset="v = v_reset; u += d",
        parameters={name: getattr(Izhikevich(), name) for name in names},
    )


CASES: dict[str, tuple[Callable[[], type[Neuron]], Neuron, str, float, float]] = {
    "LIF": (lif, LIF(**LIF_VALUES), "input", 900.0, 0.08),
    "AdEx": (adex, AdEx(t_refractory=3e-3), "excitatory", 2000.0, 2e-10),
    "Izhikevich": (izhikevich, Izhikevich(), "input", 2000.0, 2e-3),
}


@pytest.mark.parametrize("case", sampled(CASES, ["LIF"]))
def test_written_as_the_model_by_hand(case: str) -> None:
    make, model, receptor, rate, weight = CASES[case]
    written = make()(**{"t_refractory": model.t_refractory} if hasattr(model, "t_refractory") else {})
    start = dict(zip(model.state, model.initial(), strict=True))
    initial = {name: start[name] for name in ("v", "u") if name in start}
    ends = []
    for each in (model, written):
        network = Network([Population("x", 20, each, initial)], stimuli=[PoissonInput("x", rate, weight, receptor)])
        ends.append(simulate(network, 0.5, clock=1e-4, precision="float64", probes=[Probe("x", "v")]))
    by_hand, found = ends
    assert len(by_hand.spikes["x"]) > 100
    assert found.spikes["x"].digest() == by_hand.spikes["x"].digest()
    scale = np.abs(by_hand.states["x.v"]).max()
    np.testing.assert_allclose(found.states["x.v"], by_hand.states["x.v"], rtol=0, atol=1e-9 * scale)


@pytest.mark.parametrize("case", ["LIF", *(pytest.param(c, marks=pytest.mark.slow) for c in ("AdEx", "Izhikevich"))])
def test_the_contract_holds(case: str) -> None:
    report = contract.check_neuron(CASES[case][0]()(), monotone=case != "Izhikevich")
    lacking = [finding.rule for finding in report.findings if finding.failure]
    assert lacking == [], str(report)


def test_a_variable_that_moves_while_another_is_held() -> None:
    """w follows v, which is held for 10 ms at v_reset: w(t) = v + (w0 - v) exp(-t / tau)."""
    Model = equations(
        "dv/dt = drive (unless refractory); dw/dt = (v - w) / tau",
        threshold="v > v_threshold",
        reset="v = v_reset",
        parameters={"drive": 50.0, "tau": 5e-3, "v_threshold": 1.0, "v_reset": 0.25, "t_refractory": 0.01},
    )
    probes = [Probe("x", "v"), Probe("x", "w")]
    result = simulate(Network([Population("x", 1, Model())]), 0.06, precision="float64", probes=probes)
    v, w = (result.states[f"x.{name}"][:, 0] for name in "vw")  # type: ignore[call-overload]
    fired = int(result.spikes["x"].times[0] / 1e-3 + 0.5) + 1
    held = np.arange(10)
    assert (v[fired : fired + 10] == 0.25).all() and v[fired + 11] > 0.25
    np.testing.assert_allclose(
        w[fired : fired + 10], 0.25 + (w[fired] - 0.25) * np.exp(-held * 1e-3 / 5e-3), rtol=1e-12
    )


@pytest.mark.parametrize("t_refractory", [0.0, 5e-3])
def test_a_refractory_time_blocks_the_threshold_of_variables_that_go_on(t_refractory: float) -> None:
    """v rises to 2 and stays above its threshold: v(t) = 2 (1 - exp(-t / tau)), whenever spikes are allowed."""
    Model = equations(
        "dv/dt = (v_end - v) / tau",
        threshold="v > v_threshold",
        parameters={"v_end": 2.0, "tau": 0.01, "v_threshold": 1.0, "t_refractory": t_refractory},
    )
    result = simulate(Network([Population("x", 1, Model())]), 0.05, precision="float64", probes=[Probe("x", "v")])
    v = 2 * -np.expm1(-np.arange(1, 51) * 1e-3 / 0.01)
    np.testing.assert_allclose(result.states["x.v"][1:, 0], v[:-1], rtol=1e-12)  # type: ignore[call-overload]
    first = int(np.argmax(v > 1.0))
    hold = round(t_refractory / 1e-3)
    np.testing.assert_array_equal(np.rint(result.spikes["x"].times / 1e-3), np.arange(first, 50, hold + 1))  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_cell_without_reset_fires_once_an_upswing() -> None:
    """Hodgkin and Huxley's axon: the spike is part of the equations, and goes on as if nobody had counted it."""

    def train(threshold: float, **more: float) -> tuple[np.ndarray, np.ndarray]:
        Axon = equations(
            """
            dv/dt = (i_offset - 120*m**3*h*(v - 50) - 36*n**4*(v + 77) - 0.3*(v + 54.4)) * 1000
            dm/dt = (1 - m) * 100 * (v + 40.01) / (1 - exp(-(v + 40.01) / 10)) - m * 4000 * exp(-(v + 65) / 18)
            dh/dt = (1 - h) * 70 * exp(-(v + 65) / 20) - h * 1000 / (1 + exp(-(v + 35) / 10))
            dn/dt = (1 - n) * 10 * (v + 55.01) / (1 - exp(-(v + 55.01) / 10)) - n * 125 * exp(-(v + 65) / 80)
            """,
            threshold="v > v_threshold",
            parameters={"i_offset": 10.0, "v_threshold": threshold, **more},
            initial={"v": "-65.0", "m": 0.05, "h": 0.6, "n": 0.32},
        )
        network = Network([Population("x", 1, Axon())])
        probes = [Probe("x", "v", interval=2e-5)]
        result = simulate(network, 0.06, clock=2e-5, precision="float64", probes=probes)
        return np.rint(result.spikes["x"].times / 2e-5).astype(int), result.states["x.v"][:, 0]  # type: ignore[union-attr, call-overload]

    silent, free = train(1e3)
    spikes, v = train(0.0, t_refractory=4e-3)
    upswings = np.flatnonzero((free[:-1] <= 0) & (free[1:] > 0))
    assert len(silent) == 0 and len(upswings) == 4
    np.testing.assert_allclose(spikes, upswings, atol=1)
    # The step of an upswing ends in a corrector at the threshold, so spikes move by less than a step of 20 us.
    assert np.abs(v - free).max() < 5.0


@pytest.mark.slow
def test_currents_and_parameters_by_unit() -> None:
    ends = []
    for model in (LIF, lif()):
        cells = model(**{**LIF_VALUES, "tau_mem": np.linspace(0.01, 0.03, 6), "v_threshold": Uniform(0.8, 1.2)})
        network = Network([Population("x", 6, cells)], stimuli=[SineCurrent("x", 1.0, 20.0)])
        ends.append(simulate(network, 0.3, clock=1e-4, precision="float64").spikes["x"])
    assert len(ends[0]) > 20 and ends[0].digest() == ends[1].digest()


def test_the_written_class_is_kept(tmp_path: Path) -> None:
    Model = lif(name="Written")
    path = tmp_path / "written.py"
    path.write_text(Model.source)  # type: ignore[attr-defined]
    assert max(map(len, Model.source.splitlines())) <= 120  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location("written", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    networks = [Network([Population("x", 3, each(i_offset=0.6))]) for each in (Model, module.Written)]
    one, other = (Simulation(network, clock=1e-4).run(0.1).spikes["x"] for network in networks)
    assert len(one) > 3 and one.digest() == other.digest()


def test_zero_has_any_unit() -> None:
    lif(reset="v = 0", units=UNITS)
    with pytest.raises(NeurosimInputError, match=r"equations: reset of v: must be in V \(got 1\)"):
        lif(reset="v = 1", units=UNITS)


def test_a_name_stands_for_an_expression() -> None:
    """With subexpressions, units of literals and declared parameters it is the same model as written out."""
    Named = equations(
        """
        dv/dt = (rest - v) / tau_mem : volt (unless refractory)
        rest = v_leak + drop
             + r * i_offset : V
        drop = -5*mV + 2e3*uV : V    # with the unit of a literal
        r : Mohm
        """,
        **{**LIF_REST, "parameters": LIF_VALUES, "units": {**UNITS, "r": "ohm"}},  # type: ignore[arg-type]
    )
    Plain = equations(LIF_TEXT.replace("v_leak", "(v_leak - 3*mV)", 1), **{**LIF_REST, "parameters": LIF_VALUES})  # type: ignore[arg-type]
    ends = []
    for Model in (Named, Plain):
        network = Network([Population("x", 3, Model(i_offset=0.5))])
        ends.append(simulate(network, 0.1, clock=1e-4, precision="float64", probes=[Probe("x", "v")]))
    assert len(ends[0].spikes["x"]) > 5
    assert ends[0].spikes["x"].digest() == ends[1].spikes["x"].digest()
    np.testing.assert_allclose(ends[0].states["x.v"], ends[1].states["x.v"], rtol=1e-12)


def run_states(Model: type[Neuron], size: int, seconds: float, dt: float, **options: Any) -> dict[str, np.ndarray]:
    """Return [steps, size] of each state variable, in float64."""
    probes = [Probe("x", name, dt) for name in Model.state]
    network = Network([Population("x", size, Model())])
    result = simulate(network, seconds, clock=dt, precision="float64", probes=probes, **options)
    return {name: np.asarray(result.states[f"x.{name}"]) for name in Model.state}


@pytest.mark.slow
def test_noise_as_ito_and_stratonovich_read_it() -> None:
    """dX = s X dW has the solutions exp(s W - s^2 t / 2) and exp(s W); W itself is one more variable."""
    dt = 1e-4
    for method, correction in (("euler", 0.5), ("milstein", 0.5), ("heun", 0.0)):
        Model = equations("dX/dt = s*X*xi; dW/dt = xi", parameters={"s": 0.5}, initial={"X": 1.0}, method=method)
        states = run_states(Model, 200, 0.2, dt, seed=4)
        W = states["W"]
        right = np.exp(0.5 * W[-1] - correction * 0.25 * dt * (len(W) - 1))
        # The strong error of Euler's method falls with the root of dt, that of the others with dt.
        error = np.abs(states["X"][-1] / right - 1).max()
        assert error < (0.02 if method == "euler" else 0.002), method
        increments = np.diff(W, axis=0)
        assert increments.var() == pytest.approx(dt, rel=0.03)
        assert abs(np.corrcoef(increments[:, 0], increments[:, 1])[0, 1]) < 0.1


def test_random_numbers_depend_on_nothing_but_their_keys() -> None:
    """Shared noise is one for all units; runs of two threads, and of another trial, differ as they should."""
    Model = equations(
        """
        dx/dt = -x/tau + xi/sqrt(tau) : 1 (shared)
        dy/dt = (randn() - y)/tau : 1
        """,
        threshold="rand() < rate*dt",
        reset="y = rand()",
        parameters={"tau": 0.01, "rate": 50.0},
    )
    states = run_states(Model, 300, 0.1, 1e-3)
    assert (states["x"] == states["x"][:, :1]).all() and np.abs(states["x"][1:]).min() > 0
    assert len(np.unique(states["y"][-1])) == 300
    network = Network([Population("x", 20_000, Model())])
    one, two, other = (
        simulate(network, 0.05, clock=1e-3, threads=threads, trial=trial).spikes["x"]
        for threads, trial in ((1, 0), (2, 0), (1, 1))
    )
    assert one.digest() == two.digest() != other.digest()
    assert len(one) == pytest.approx(20_000 * 50 * 0.05, rel=0.02)


def test_an_input_is_what_arrives_in_the_step() -> None:
    """dv/dt = (I - v) / tau, I = 2 in the step in which a spike arrives: v jumps by 2 (1 - exp(-dt / tau))."""
    Model = equations("dv/dt = (I - v)/tau; I : 1 (input)", parameters={"tau": 0.01})
    pulse = Projection("in", "x", OneToOne(), 2.0, 2e-3, "I")
    network = Network([Population("x", 1, Model()), Population("in", 1, SpikeSource())], [pulse])
    played = Spikes(np.array([0.0055]), np.array([0]), 1, 0.02)
    v = simulate(network, played, clock=1e-3, precision="float64", probes=[Probe("x", "v")]).states["x.v"]
    right = np.zeros(20)
    right[8:] = -2 * np.expm1(-0.1) * np.exp(-0.1 * np.arange(12))
    np.testing.assert_allclose(v[:20, 0], right, rtol=1e-12, atol=0)  # type: ignore[call-overload]


ORDERS = {"euler": 1, "heun": 2, "rk2": 2, "exponential_euler": 1, "rk4": 4}


@pytest.mark.parametrize("method", sampled(ORDERS, ["heun"]))
def test_the_order_of_each_method(method: str) -> None:
    """dv/dt = -v cos(t / 10 ms) / 10 ms has the solution exp(-sin(t / 10 ms))."""
    Model = equations("dv/dt = -v*cos(t/(10*ms))/(10*ms)", initial={"v": 1.0}, method=method)
    errors = []
    for dt in (1e-3, 5e-4):
        v = run_states(Model, 1, 0.02, dt)["v"][:, 0]
        errors.append(np.abs(v - np.exp(-np.sin(np.arange(len(v)) * dt / 0.01))).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(ORDERS[method], abs=0.35)


@pytest.mark.parametrize("precision", [pytest.param("float32", marks=pytest.mark.slow), "float64"])
def test_a_timed_array_has_the_value_at_the_start_of_the_step(precision: str) -> None:
    values = np.arange(12.0).reshape(6, 2)
    Model = equations(
        "dv/dt = stimulus(t, i) / dt; dw/dt = late(t - 2*ms) / dt",
        timed={"stimulus": TimedArray(values, 2e-3), "late": TimedArray([5.0, 7.0], 3e-3)},
    )
    probes = [Probe("x", name) for name in "vw"]
    result = simulate(Network([Population("x", 2, Model())]), 0.016, precision=precision, probes=probes)
    v, w = (np.diff(result.states[f"x.{name}"], axis=0) for name in "vw")  # type: ignore[call-overload]
    step = np.arange(len(v))
    np.testing.assert_allclose(v, values[np.minimum(step // 2, 5)], rtol=1e-5)
    np.testing.assert_allclose(w[:, 0], np.where(step < 5, 5.0, 7.0), rtol=1e-5)


def test_what_a_reset_assigns_is_a_variable() -> None:
    """`count : 1` counts spikes; a time in `refractory` is that of the parameter; values start as parameters."""
    Model = equations(
        """
        dv/dt = (2 - v) / tau \\
             : 1 (unless refractory)
        count : 1
        tau : second (constant)
        """,
        threshold="v > 1",
        reset="v = 0; count += 1",
        refractory="5*ms",
        method="exact",
        parameters={"tau": 0.01, "count": 3.0},
    )
    assert Model.state == ("v", "count", "refractory") and Model().t_refractory == 5e-3  # type: ignore[attr-defined]
    result = simulate(Network([Population("x", 1, Model())]), 0.1, precision="float64", probes=[Probe("x", "count")])
    count = np.asarray(result.states["x.count"])[:, 0]
    steps = np.rint(result.spikes["x"].times / 1e-3).astype(int)
    right = 3 + np.searchsorted(steps, np.arange(len(count)), side="left")
    assert len(steps) > 5
    np.testing.assert_array_equal(count, right)


def test_units_as_brian2_writes_them() -> None:
    equations(
        """
        dv/dt = rate*(R*T/F + x*volt - v) + sigma*xi : volt
        R : joule / mole / kelvin
        T : kelvin; F : coulomb*mole**(-1); x : 1
        sigma : volt/sqrt(second)
        rate = 1*kHz/(1 + 3*um2/cmetre2) + 2/minute : (1/second)
        """
    )
    for unit in ("second**-0.5", "Hz**(1/2)", "1/sqrt(ms)"):
        equations(f"dv/dt = s*xi : 1; s : {unit}")


def test_a_population_whose_constants_divide_by_zero_is_named() -> None:
    cells = Population("x", 2, equations("dv/dt = -g*v/C; g : 1; C : 1")())
    with pytest.raises(NeurosimInputError, match=r"Population\['x'\].model: .*; parameters that are 0: g, C\)"):
        Simulation(Network([cells]))


def test_other_equations_are_another_network() -> None:
    one, other = (
        Network([Population("x", 1, equations(f"dv/dt = {sign}v / tau", parameters={"tau": 1.0})())])
        for sign in ("-", "-2*")
    )
    found = difference(describe(one), describe(other))
    assert found is not None and found.startswith("Population['x'].model")
    assert difference(describe(one), describe(one)) is None


def test_slopes_of_every_function() -> None:
    """Against numpy, one small step from rest."""
    text = (
        "abs(v - p) + cos(v) * exp(-v) - log(2 + v) / (1 + v)**3 + sin(p) * sqrt(v + 1) + tanh(v * p) - v**-2 + v**0.5"
    )
    Model = equations(f"dv/dt = {text}", parameters={"p": 0.3}, initial={"v": "2 * p"})
    network = Network([Population("x", 1, Model())])
    v = simulate(network, 2e-6, clock=1e-6, precision="float64", probes=[Probe("x", "v", 1e-6)]).states["x.v"]
    p = 0.3
    x = 0.6
    slope = abs(x - p) + np.cos(x) * np.exp(-x) - np.log(2 + x) / (1 + x) ** 3 + np.sin(p) * np.sqrt(x + 1)
    slope += np.tanh(x * p) - x**-2.0 + x**0.5
    assert (v[1, 0] - v[0, 0]) / 1e-6 == pytest.approx(slope, rel=1e-4)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: equations("v + 3"), r"equations: must read like 'dv/dt = .*' \(got 'v \+ 3'\)"),
        (lambda: equations("v = 3"), r"equations: must have at least one equation, dv/dt = ... \(got 0\)"),
        (
            lambda: equations("dv/dt = -v / tua", parameters={"tau": 1.0}),
            r"equations: dv/dt: unknown name 'tua'; did you",
        ),
        (
            lambda: equations("dv/dt = __import__('os')"),
            r"function: unknown name '__import__'; choose from abs, arccos",
        ),
        (lambda: equations("dv/dt = v.real"), r"equations: dv/dt: must be made of numbers, names"),
        (lambda: equations("dv/dt = -v; x : 1 (linked)"), r"equations: x: \(linked\) is not known; write its equation"),
        (lambda: equations("dv/dt = -v; x : 1 (fixed)"), r"equations: x: flag: unknown name 'fixed'"),
        (
            lambda: equations("dv/dt = t - lastspike"),
            r"has no word 'lastspike'; write dx/dt = 1 and x = 0 in",
        ),
        (lambda: equations("dv/dt = -v**2", method="exact"), r"must be linear in variables and constants for the meth"),
        (lambda: equations("dv/dt = -v", refractory="2*v"), r"or a time, such as '5\*ms' \(got '2\*v'\); a time that"),
        (lambda: equations("dv/dt = -v", refractory="5*mV"), r"equations: refractory: must be in s \(got V\)"),
        (lambda: equations("dv/dt = 2**(v) : V"), r"must raise numbers without unit to powers without unit"),
        (lambda: equations("dv/dt = -v; x : sqrt(V)+A"), r"must be made of names of units, \* / \*\* and sqrt"),
        (lambda: equations("dv/dt = -v; y = xi : 1 (constant over dt)"), r"equations: y: must have no white noise"),
        (lambda: equations("dv/dt = v +"), r"equations: dv/dt: is no expression \(got 'v \+'\)"),
        (lambda: equations("dv/dt = v**99"), r"must have powers that are numbers from -16 to 16"),
        (lambda: equations("drefractory/dt = 1"), r"equations: must not use this name; choose another \(got refr"),
        (lambda: equations("dv/dt = 1; dv/dt = 2"), r"equations: must say each name once \(got v\)"),
        (lambda: equations("dv/dt = 1", threshold="v"), r"equations.threshold: must be a condition, such as 'v > v_"),
        (lambda: equations("dv/dt = 1", threshold="v > 1", reset="x = 1"), r"equations.reset: unknown name 'x'"),
        (lambda: equations("dv/dt = 1", receptors={"a": "w"}), r"equations.receptors\['a'\]: unknown name 'w'"),
        (lambda: equations("dv/dt = 1", receptors={}), r"equations.receptors: must have at least one"),
        (lambda: lif(units={**UNITS, "tau_mem": "V"}), r"equations: dv/dt: must be in s\*\*-1 V \(got 1\)"),
        (lambda: lif(units={**UNITS, "r": "S"}), r"equations: dv/dt: must add things of one unit, V of v_leak"),
        (lambda: lif(units={**UNITS, "v_reset": "A"}), r"equations: reset of v: must be in V \(got A\)"),
        (lambda: lif(units={"r": "mega"}), r"equations.units\['r'\]: unit: unknown name 'mega'"),
        (lambda: lif(LIF_TEXT + "; x = 3*mV + 2*ms"), r"equations: x: must add things of one unit, s of 2\*ms"),
        (lambda: equations("dv/dt = a*v; a = b; b = a"), r"equations: a, b: must not be made of one another"),
        (lambda: equations("dv/dt = v*xi"), r"equations: dv/dt: noise times a variable is read as Ito's integral with"),
        (
            lambda: equations("dv/dt = -v*int(v > 1)", method="exponential_euler"),
            r"must have a derivative by v for 'exponential_euler', which conditions lack",
        ),
        (lambda: equations("dv/dt = clip(v, 0, 1)*xi", method="milstein"), r"with a derivative for the method 'milst"),
        (lambda: equations("dv/dt = xi", method="rk4"), r"noise needs the method 'euler', 'heun' or 'milstein'"),
        (lambda: equations("dv/dt = v", method="rk3"), r"equations.method: unknown name 'rk3'; did you mean 'rk4'"),
        (lambda: equations("dv/dt = I; I : A (input)", receptors={"a": "v"}), r"I: must be the end of one receptor"),
        (lambda: equations("dv/dt = s(t, 1)", timed={"s": TimedArray([1], 1)}), r"dv/dt: s: must have 1 arguments"),
        (lambda: equations("dv/dt = xi; dw/dt = xi (shared)"), r"xi: must be shared by all units in every equation"),
        (lambda: lif()(tau_mem=-1.0), r"Model.tau_mem: must be > 0 s \(got -1.0\)"),
    ],
)
def test_what_cannot_be_read_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(NeurosimInputError, match=message):
        make()


def test_without_sympy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sympy", None)
    with pytest.raises(NeurosimMissingError, match=r"pip install .*\[equations\]'"):
        lif()
