"""Neurons of NIR: each means what its equation says, with units that differ and steps of other programs."""

from __future__ import annotations

from collections.abc import Callable

import nir as library
import numpy as np
import pytest
from helpers.nir_graphs import chain, plain, recording, run

from neurosim import LIF, AllToAll, CubaLIF, Network, Population, Probe, Projection, Spikes, SpikeSource, simulate
from neurosim.base import GuessWarning, NeurosimInputError
from neurosim.network import IF, LI, Neuron, from_nir


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("LIF", lambda dt: LIF(0.02, r=0.02 / dt)),
        ("IF", lambda dt: IF(r=1 / dt)),
        ("LI", lambda dt: LI(0.02, r=0.02 / dt)),
        ("CubaLIF", lambda dt: CubaLIF(0.02, 0.005, v_threshold=0.05)),
    ],
)
@pytest.mark.parametrize("dt", [1e-3, 1e-4])
def test_each_neuron_means_what_it_says(kind: str, model: Callable[[float], Neuron], dt: float) -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(0.4, 0.3, (6, 4))
    found = from_nir(chain(library.Linear(weight), plain(kind, 6, dt)), dt)
    assert found.population("n1").model == model(dt)
    assert isinstance(found.projections[0].pattern, AllToAll) and found.projections[0].delay == dt
    assert np.array_equal(found.projections[0].weight, weight.T.ravel())


@pytest.mark.parametrize("kind", ["I", "CubaLI"])
def test_what_never_fires_is_a_membrane(kind: str) -> None:
    network = from_nir(chain(library.Linear(np.full((1, 4), 0.3)), plain(kind, 1, 1e-3)), 1e-3)
    result = run(network, recording(4), probes=[Probe("n1", "v")])
    assert len(result.spikes["n1"]) == 0 and result.states["n1.v"][-1] > 0.5
    if kind == "I":
        assert result.states["n1.v"][-1] == pytest.approx(0.3 * len(recording(4)), rel=0.02)


def test_a_spike_of_unit_area_is_a_jump_of_r_over_tau() -> None:
    graph = chain(library.Linear(np.full((1, 4), 0.01)), plain("LIF", 1, 1e-3, r=np.array([3.0])))
    network = from_nir(graph, 1.0)
    assert network.projections[0].weight == pytest.approx(0.01 * 3 / 0.02) and network.projections[0].delay == 1e-3


def test_a_step_at_which_a_graph_may_stay_silent_is_said() -> None:
    """A rate network of IF neurons as sinabs writes them: spikes have unit area, and the step is 1."""
    graph = chain(library.Linear(np.full((3, 4), 0.4)), library.IF(r=np.ones(3), v_threshold=np.ones(3)))
    with pytest.warns(GuessWarning, match=r"from_nir.dt: at 0.001 s, .* of 'n1' at once .* 0.16 % .* give dt=1.0"):
        silent = from_nir(graph, 1e-3)
    assert len(run(silent, recording(4)).spikes["n1"]) == 0
    assert len(run(from_nir(graph, 1.0), recording(4)).spikes["n1"]) > 20


def test_discrete_reference_of_other_programs() -> None:
    """i += W s; v += dt / tau (v_leak - v + r i), exactly integrated: a spike is a current of 1 for a step, and what it
    adds is counted at the step's end."""
    rng = np.random.default_rng(0)
    dt = 1e-3
    tau = 0.02
    r = 7.0
    weight = rng.normal(0.5, 1.0, (5, 4))
    graph = chain(library.Linear(weight), plain("LIF", 5, dt, r=np.full(5, r)))
    spikes = recording(4)
    grid = spikes.to_grid(dt)
    v = np.zeros(5)
    expected = []
    for k in range(len(grid)):
        arrived = grid[k - 1] if k else np.zeros(4)
        v = v * np.exp(-dt / tau) + weight @ arrived * r * dt / tau
        expected.append(v > 1)
        v = np.where(v > 1, 0.0, v)
    found = run(from_nir(graph, dt), spikes).spikes["n1"]
    assert np.array_equal(found.to_grid(dt), np.array(expected)) and found.counts().sum() > 20  # type: ignore[union-attr]


@pytest.mark.parametrize("told", [False, True])
def test_the_numbers_of_programs_that_step_by_eulers_method(told: bool) -> None:
    """v += dt / tau (v_leak - v + r i), as in snnTorch and SpikingJelly; the graph's metadata may say so."""
    rng = np.random.default_rng(0)
    dt = 1e-3
    tau = 0.005
    r = 3.0
    weight = rng.normal(0.5, 1.0, (5, 4))
    node = plain("LIF", 5, dt, tau=np.full(5, tau), r=np.full(5, r), v_leak=np.full(5, 0.1))
    graph = chain(library.Linear(weight), node)
    if told:
        graph.metadata["integration"] = "euler"
    spikes = recording(4)
    v = np.full(5, 0.1)
    expected = []
    for arrived in np.concatenate([np.zeros((1, 4)), spikes.to_grid(dt)[:-1]]):
        v = v + dt / tau * (0.1 - v + r * (weight @ arrived))
        expected.append(v > 1)
        v = np.where(v > 1, 0.0, v)
    found = run(from_nir(graph, dt, integration=None if told else "euler"), spikes).spikes["n1"]
    assert np.array_equal(found.to_grid(dt), np.array(expected)) and found.counts().sum() > 20  # type: ignore[union-attr]
    if told:
        exact = run(from_nir(graph, dt, integration="exact"), spikes).spikes["n1"]
        assert not np.array_equal(exact.to_grid(dt), np.array(expected))  # type: ignore[union-attr]


def test_currents_that_step_by_eulers_method() -> None:
    """As in Norse: the membrane takes the current before its own step."""
    rng = np.random.default_rng(0)
    dt = 1e-3
    tau = 0.01
    tau_syn = 0.004
    r = 2.0
    w_in = 30.0
    weight = rng.normal(0.6, 1.0, (5, 4))
    graph = chain(
        library.Linear(weight),
        plain(
            "CubaLIF",
            5,
            dt,
            tau_mem=np.full(5, tau),
            tau_syn=np.full(5, tau_syn),
            r=np.full(5, r),
            w_in=np.full(5, w_in),
            v_threshold=np.full(5, 1.0),
        ),
    )
    spikes = recording(4)
    v = np.zeros(5)
    i = np.zeros(5)
    expected = []
    for arrived in np.concatenate([np.zeros((1, 4)), spikes.to_grid(dt)[:-1]]):
        v = v + dt / tau * (r * i - v)
        i = i - dt / tau_syn * i + dt / tau_syn * w_in * (weight @ arrived)
        expected.append(v > 1)
        v = np.where(v > 1, 0.0, v)
    found = run(from_nir(graph, dt, integration="euler"), spikes).spikes["n1"]
    assert np.array_equal(found.to_grid(dt), np.array(expected)) and found.counts().sum() > 20  # type: ignore[union-attr]


def test_a_threshold_that_is_subtracted_a_step_later() -> None:
    """snnTorch's default: mem = beta mem + x - threshold, where mem was above it."""
    rng = np.random.default_rng(0)
    dt = 1e-3
    beta = 0.8
    weight = rng.normal(0.5, 1.0, (5, 4))
    tau = np.full(5, dt / (1 - beta))
    graph = chain(library.Linear(weight), plain("LIF", 5, dt, tau=tau, r=tau / dt, v_threshold=np.full(5, 0.7)))
    spikes = recording(4)
    v = np.zeros(5)
    expected = []
    for arrived in np.concatenate([np.zeros((1, 4)), spikes.to_grid(dt)[:-1]]):
        v = beta * v + weight @ arrived - 0.7 * (v > 0.7)
        expected.append(v > 0.7)
    late, at_once = (
        run(from_nir(graph, dt, integration="euler", reset=reset), spikes).spikes["n1"].to_grid(dt)  # type: ignore[union-attr]
        for reset in ("subtract_late", "subtract")
    )
    assert np.array_equal(late, np.array(expected)) and np.sum(expected) > 20
    assert not np.array_equal(at_once, late)


def test_a_current_that_is_held_over_a_step() -> None:
    """sinabs' LIF: v = a v + (1 - a) x with a = exp(-1 / tau), whose graph counts steps."""
    rng = np.random.default_rng(0)
    tau = 8.0
    decay = np.exp(-1 / tau)
    weight = rng.normal(2.0, 4.0, (5, 4))
    node = library.LIF(tau=np.full(5, tau), r=np.ones(5), v_leak=np.zeros(5), v_threshold=np.ones(5))
    graph = chain(library.Linear(weight), node)
    grid = (rng.random((200, 4)) < 0.2).astype(int)
    steps, units = np.nonzero(grid)
    v = np.zeros(5)
    expected = []
    for arrived in np.concatenate([np.zeros((1, 4)), grid[:-1]]):
        v = decay * v + (1 - decay) * (weight @ arrived)
        expected.append(v > 1)
        v = v - (v > 1)
    network = from_nir(graph, 1.0, integration="held", reset="subtract", min_delay=1.0)
    found = run(network, Spikes(steps * 1.0, units, 4, 200.0), clock=1.0).spikes["n1"]
    assert np.array_equal(found.to_grid(1.0), np.array(expected)) and np.sum(expected) > 20  # type: ignore[union-attr]


def test_a_graph_that_counts_steps_and_resets_by_subtraction() -> None:
    """The spikes are those of sinabs' IAF: what is above the threshold stays, and a bias comes in every step."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0.5, 0.5, (5, 4))
    bias = rng.uniform(-0.1, 0.1, 5)
    graph = chain(library.Affine(weight, bias), library.IF(r=np.ones(5), v_threshold=np.ones(5)))
    grid = (rng.random((200, 4)) < 0.2).astype(int)
    steps, units = np.nonzero(grid)
    spikes = Spikes(steps * 1.0, units, 4, 200.0)
    expected = {}
    for reset in ("subtract", "value"):
        v = np.zeros(5)
        fired = []
        for arrived in np.concatenate([np.zeros((1, 4)), grid[:-1]]):
            v = v + weight @ arrived + bias
            fired.append(v > 1)
            v = v - (v > 1) if reset == "subtract" else np.where(v > 1, 0.0, v)
        expected[reset] = np.array(fired)
        found = simulate(from_nir(graph, 1.0, reset=reset, min_delay=1.0), spikes, clock=1.0).spikes["n1"]
        assert np.array_equal(found.to_grid(1.0), expected[reset])
    assert not np.array_equal(expected["subtract"], expected["value"])
    with pytest.raises(NeurosimInputError, match=r"from_nir.reset: unknown name 'zero'"):
        from_nir(graph, 1.0, reset="zero")
    with pytest.raises(NeurosimInputError, match=r"from_nir.min_delay: must be > 0 s \(got 0\)"):
        from_nir(graph, 1.0, min_delay=0)


def test_a_step_longer_than_a_time_constant_is_said() -> None:
    graph = chain(library.Linear(np.eye(4)), plain("LIF", 4, 1e-3, tau=np.full(4, 6e-4)))
    with pytest.warns(GuessWarning, match=r"from_nir.dt: 0.001 s is longer than tau_mem of 'n1', 0.0006 s"):
        from_nir(graph, 1e-3)


def test_integration_is_named() -> None:
    graph = chain(library.Linear(np.eye(4)), plain("LIF", 4, 1e-3, tau=np.full(4, 1e-3)))
    with pytest.raises(NeurosimInputError, match=r"LIF 'n1'.tau_mem: must be > the step of 0.001 s by Euler's method"):
        from_nir(graph, 1e-3, integration="euler")
    with pytest.raises(NeurosimInputError, match=r"from_nir.integration: unknown name 'heun'"):
        from_nir(graph, 1e-3, integration="heun")


def varied_lif(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        "tau": rng.uniform(0.01, 0.04, n),
        "r": rng.uniform(5, 30, n),
        "v_leak": rng.uniform(-0.2, 0.2, n),
        "v_threshold": rng.uniform(0.8, 1.5, n),
        "v_reset": rng.uniform(-0.3, 0.3, n),
    }


def each_alone(
    kind: str, values: dict[str, np.ndarray], weight: np.ndarray, bias: np.ndarray, dt: float
) -> list[list[float]]:
    """Spike times of each unit run alone, with the plain model of its own parameters."""
    times = []
    for k in range(len(weight)):
        one = {name: float(each[k]) for name, each in values.items()}
        factor = one["r"] * dt / one.get("tau", 1.0)
        start = {}
        if kind == "LIF":
            model: Neuron = LIF(one["tau"], one["v_threshold"], one["v_leak"], one["v_reset"], one["r"], bias[k])
        elif kind == "IF":
            model = IF(one["v_threshold"], one["v_reset"], one["r"], bias[k])
        else:
            factor = one["w_in"] * dt / one["tau_syn"]
            current = one["w_in"] * bias[k]
            model = CubaLIF(
                one["tau_mem"],
                one["tau_syn"],
                None,
                one["v_threshold"],
                one["v_leak"],
                one["v_reset"],
                one["r"],
                current,
            )
            start = {"i_excitatory": -current}
        network = Network(
            [Population("in", 4, SpikeSource()), Population("x", 1, model, start)],
            [Projection("in", "x", AllToAll(), weight[k] * factor, dt)],
        )
        times.append(run(network, recording(4)).spikes["x"].times.tolist())  # type: ignore[union-attr]
    return times


@pytest.mark.parametrize("kind", ["LIF", "IF", "CubaLIF"])
def test_parameters_that_differ_by_unit(kind: str) -> None:
    n = 6
    dt = 1e-3
    values = varied_lif(6)
    if kind == "IF":
        values = {name: values[name] for name in ("v_threshold", "v_reset")} | {"r": values["r"] * 20}
    elif kind == "CubaLIF":
        rng = np.random.default_rng(4)
        values = {k: v for k, v in values.items() if k not in ("tau", "r")} | {
            "tau_mem": rng.uniform(0.01, 0.04, n),
            "tau_syn": np.r_[rng.uniform(0.002, 0.02, n - 2), 0.03, 0.03],
            "r": rng.uniform(0.5, 2, n),
            "w_in": rng.uniform(2, 9, n),
        }
        values["tau_mem"][-2:] = 0.03, 0.03 * (1 + 1e-9)  # equal time constants: the formula has a hole there
    weight = np.random.default_rng(0).normal(0.5, 0.7, (n, 4))
    bias = np.linspace(0, 0.03, n)
    network = from_nir(chain(library.Affine(weight, bias), getattr(library, kind)(**values)), dt)
    model = network.population("n1").model
    assert type(model).__name__ == kind and np.shape(model.v_threshold) == (n,)  # type: ignore[union-attr]
    found = run(network, recording(4)).spikes["n1"]
    expected = each_alone(kind, values, weight, bias, dt)
    assert sum(map(len, expected)) > 50
    assert [found.times[found.units == k].tolist() for k in range(n)] == expected  # type: ignore[union-attr]


def test_one_parameter_for_all_takes_the_size_of_the_input() -> None:
    graph = chain(library.Linear(np.ones((7, 4))), plain("CubaLIF", 1, 1e-3))
    assert from_nir(graph, 1e-3).population("n1").size == 7
