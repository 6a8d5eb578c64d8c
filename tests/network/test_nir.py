"""NIR graphs: the same spikes after there and back, every linear node against loops, hostile files refused."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir as library
import numpy as np
import pytest
from helpers.samples import sampled

from neurosim import (
    LIF,
    STDP,
    AdEx,
    AllToAll,
    CubaLIF,
    FixedNumberPre,
    FixedProbability,
    FromList,
    Network,
    NeurosimError,
    OneToOne,
    PoissonInput,
    PoissonSource,
    Population,
    Probe,
    Projection,
    Spikes,
    SpikeSource,
    simulate,
)
from neurosim.base import GuessWarning, NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.engine import Result
from neurosim.network import IF, LI, Convolution, Neuron, Normal, Uniform, from_nir
from neurosim.network.nir.files import read, write_nir
from neurosim.network.nir.save import to_nir
from neurosim.network.nir.transforms import transform

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(3, 2, 3, 3))


def recording(size: int, shape: tuple[int, ...] = (), seconds: float = 0.3, rate: float = 100.0) -> Spikes:
    count = int(size * rate * seconds)
    rng = np.random.default_rng(7)
    return Spikes(np.sort(rng.random(count)) * seconds, rng.integers(0, size, count), size, seconds, shape)


def layered() -> Network:
    """Every model and pattern that goes to NIR."""
    return Network(
        [
            Population("in", (2, 6, 6), SpikeSource()),
            Population("conv", (3, 4, 4), LIF(0.013, t_refractory=0.002, i_offset=0.1, r=0.3)),
            Population("soft", (3, 4, 4), IF(soft_reset=True, v_threshold=0.8), {"v": Uniform(0.0, 0.7)}),
            Population("hidden", 20, CubaLIF(0.01, 0.004, v_threshold=0.1, v_leak=0.05, i_offset=0.01)),
            Population("out", 3, LI(0.03, v_leak=0.2)),
        ],
        [
            Projection("in", "conv", Convolution(KERNEL), 0.7),
            Projection("conv", "soft", OneToOne(), np.linspace(0.3, 1.2, 48), 2e-3),
            Projection("soft", "hidden", FixedProbability(0.5), Normal(0.1, 0.05), Uniform(1e-3, 4e-3)),
            Projection("hidden", "hidden", FixedNumberPre(3), -0.05, 2e-3, "inhibitory"),
            Projection("hidden", "soft", FromList([0, 5, 19], [47, 0, 20]), np.array([-0.3, 0.1, 0.2])),  # type: ignore[arg-type]
            Projection("hidden", "out", AllToAll(), Normal(0.0, 0.2)),
        ],
    )


def run(network: Network, inputs: Any, **options: Any) -> Result:
    return simulate(network, inputs, seed=5, precision="float64", **options)


def test_there_and_back_gives_the_same_spikes(tmp_path: Path) -> None:
    network = layered()
    spikes = recording(72, (2, 6, 6))
    write_nir(tmp_path / "net.nir", to_nir(network, 1e-3, seed=5))
    again = from_nir(tmp_path / "net.nir")
    assert {p.name: (p.shape, p.model) for p in again.populations} == {
        p.name: (p.shape, p.model) for p in network.populations
    }
    probes = [Probe("out", "v"), Probe("soft", "v")]
    first, second = (run(each, spikes, probes=probes) for each in (network, again))
    for name, found in first.spikes.items():
        assert name == "out" or len(found) > 50, name  # type: ignore[arg-type]
        assert found.digest() == second.spikes[name].digest(), name
    for name, states in first.states.items():
        assert np.allclose(states, second.states[name], rtol=0, atol=1e-12)
    convolutions = [p for p in again.projections if isinstance(p.pattern, Convolution)]
    assert [p.name for p in convolutions] == ["in->conv"]


def test_the_library_reads_what_we_write_and_we_what_it_writes(tmp_path: Path) -> None:
    network = layered()
    graph = to_nir(network, 1e-3, seed=5)
    write_nir(tmp_path / "ours.nir", graph)
    theirs = library.read(tmp_path / "ours.nir")  # with its own checks of shapes
    assert set(theirs.nodes) >= set(graph.nodes)
    library.write(tmp_path / "theirs.nir", theirs)
    spikes = recording(72, (2, 6, 6))
    digests = [
        run(from_nir(where), spikes).spikes["hidden"].digest()
        for where in (theirs, tmp_path / "theirs.nir", read(tmp_path / "theirs.nir"), graph)
    ]
    assert set(digests) == {run(network, spikes).spikes["hidden"].digest()}


def test_sources_and_stimuli_carry_over() -> None:
    network = Network(
        [Population("p", 10, PoissonSource(40.0)), Population("x", (2, 5), CubaLIF(v_threshold=0.2))],
        [Projection("p", "x", AllToAll(), 0.1)],
        [PoissonInput("x", 300.0, 0.05, "inhibitory", "drive")],
    )
    again = from_nir(to_nir(network))
    assert again.population("p").model.rate == 40.0  # type: ignore[union-attr]
    assert dataclasses.astuple(again.stimuli[0]) == dataclasses.astuple(network.stimuli[0])
    first, second = (run(each, 0.5).spikes["x"] for each in (network, again))
    assert len(first) > 20 and first.digest() == second.digest()  # type: ignore[arg-type]


def plain(kind: str, n: int, dt: float, **changes: Any) -> Any:
    """A neuron node as other programs write it, weights being jumps."""
    one = np.ones(n)
    values: dict[str, Any] = {
        "LIF": {"tau": 0.02 * one, "r": 0.02 / dt * one, "v_leak": 0 * one, "v_threshold": one},
        "IF": {"r": 1 / dt * one, "v_threshold": one},
        "LI": {"tau": 0.02 * one, "r": 0.02 / dt * one, "v_leak": 0 * one},
        "I": {"r": 1 / dt * one},
        "CubaLIF": {
            "tau_mem": 0.02 * one,
            "tau_syn": 0.005 * one,
            "r": one,
            "v_leak": 0 * one,
            "v_threshold": 0.05 * one,
            "w_in": 0.005 / dt * one,
        },
        "CubaLI": {
            "tau_mem": 0.02 * one,
            "tau_syn": 0.005 * one,
            "r": one,
            "v_leak": 0 * one,
            "w_in": 0.005 / dt * one,
        },
    }[kind]
    return getattr(library, kind)(**{**values, **changes})


def chain(*nodes: Any, size: Any = 4, **named: Any) -> Any:
    """Input -> nodes -> Output."""
    if not named:
        names = [f"n{k}" for k in range(len(nodes))]
    else:
        names = list(named)
    table = {
        "in": library.Input({"input": np.atleast_1d(size)}),
        **dict(zip(names, nodes or named.values(), strict=True)),
    }
    table["out"] = library.Output({"output": np.array([1])})
    way = list(table)
    return library.NIRGraph(table, list(itertools.pairwise(way)), {}, type_check=False)


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
    weight = RNG.normal(0.4, 0.3, (6, 4))
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
    dt = 1e-3
    tau = 0.02
    r = 7.0
    weight = RNG.normal(0.5, 1.0, (5, 4))
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
    dt = 1e-3
    tau = 0.005
    r = 3.0
    weight = RNG.normal(0.5, 1.0, (5, 4))
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
    dt = 1e-3
    tau = 0.01
    tau_syn = 0.004
    r = 2.0
    w_in = 30.0
    weight = RNG.normal(0.6, 1.0, (5, 4))
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
    dt = 1e-3
    beta = 0.8
    weight = RNG.normal(0.5, 1.0, (5, 4))
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
    tau = 8.0
    decay = np.exp(-1 / tau)
    weight = RNG.normal(2.0, 4.0, (5, 4))
    node = library.LIF(tau=np.full(5, tau), r=np.ones(5), v_leak=np.zeros(5), v_threshold=np.ones(5))
    graph = chain(library.Linear(weight), node)
    grid = (RNG.random((200, 4)) < 0.2).astype(int)
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
    weight = RNG.normal(0.5, 0.5, (5, 4))
    bias = RNG.uniform(-0.1, 0.1, 5)
    graph = chain(library.Affine(weight, bias), library.IF(r=np.ones(5), v_threshold=np.ones(5)))
    grid = (RNG.random((200, 4)) < 0.2).astype(int)
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


# Per-unit parameters and biases


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
    weight = RNG.normal(0.5, 0.7, (n, 4))
    bias = np.linspace(0, 0.03, n)
    network = from_nir(chain(library.Affine(weight, bias), getattr(library, kind)(**values)), dt)
    model = network.population("n1").model
    assert type(model).__name__ == kind and np.shape(model.v_threshold) == (n,)  # type: ignore[union-attr]
    found = run(network, recording(4)).spikes["n1"]
    expected = each_alone(kind, values, weight, bias, dt)
    assert sum(map(len, expected)) > 50
    assert [found.times[found.units == k].tolist() for k in range(n)] == expected  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", [LIF, IF, CubaLIF])
def test_parameters_by_unit_survive_the_round_trip(kind: type[Neuron]) -> None:
    varied = {"v_threshold": Uniform(0.2, 0.5), "v_reset": -0.1, "t_refractory": np.arange(6) / 1000}
    if kind is not IF:
        varied |= {"tau_mem": np.linspace(0.01, 0.03, 6), "r": np.linspace(0.9, 1.1, 6)}
    network = Network(
        [Population("in", 4, SpikeSource()), Population("x", (2, 3), kind(**varied), {"v": np.linspace(0, 0.1, 6)})],
        [Projection("in", "x", AllToAll(), 0.6 if kind is CubaLIF else 0.08)],
    )
    first, second = (run(each, recording(4)).spikes["x"] for each in (network, from_nir(to_nir(network, seed=5))))
    assert len(first) > 20 and first.digest() == second.digest()  # type: ignore[arg-type]


def test_a_bias_that_all_share_is_a_current() -> None:
    graph = chain(library.Affine(np.full((3, 4), 0.1), np.full(3, 0.2)), plain("LIF", 3, 1e-3))
    model = from_nir(graph, 1e-3).population("n1").model
    assert isinstance(model, LIF) and (model.i_offset, model.r) == (0.2, pytest.approx(20.0))


def test_one_parameter_for_all_takes_the_size_of_the_input() -> None:
    graph = chain(library.Linear(np.ones((7, 4))), plain("CubaLIF", 1, 1e-3))
    assert from_nir(graph, 1e-3).population("n1").size == 7


# Linear nodes against loops


def loops(kernel: np.ndarray, x: np.ndarray, stride: Any, pad: Any, dilation: Any, groups: int) -> np.ndarray:
    f, c, kh, kw = kernel.shape
    sh, sw = stride
    dh, dw = dilation
    x = np.pad(x, ((0, 0), pad[0], pad[1]))
    rows = (x.shape[1] - dh * (kh - 1) - 1) // sh + 1
    columns = (x.shape[2] - dw * (kw - 1) - 1) // sw + 1
    out = np.zeros((f, rows, columns))
    for o in range(f):
        first = o // (f // groups) * c
        for i in range(rows):
            for j in range(columns):
                window = x[first : first + c, i * sh : i * sh + dh * kh : dh, j * sw : j * sw + dw * kw : dw][
                    :, :kh, :kw
                ]
                out[o, i, j] = (kernel[o] * window).sum()
    return out


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups", "ends"),
    [
        (1, 0, 1, 1, ((0, 0), (0, 0))),
        (2, 1, 1, 2, ((1, 1), (1, 1))),
        ((2, 1), (0, 2), (1, 2), 4, ((0, 0), (2, 2))),
        (1, "same", (2, 1), 1, ((2, 2), (0, 1))),
        (1, "valid", 1, 1, ((0, 0), (0, 0))),
    ],
)
def test_convolutions(stride: Any, padding: Any, dilation: Any, groups: int, ends: Any) -> None:
    kernel = RNG.normal(size=(4, 4 // groups, 3, 2))
    x = RNG.normal(size=(4, 9, 8))
    node = library.Conv2d((9, 8), kernel, stride, padding, dilation, groups, RNG.normal(size=4))
    step = transform(node, "Conv2d 'c'", x.shape)
    two = [v if isinstance(v, tuple) else (v, v) for v in (stride, dilation)]
    expected = loops(kernel, x, two[0], ends, two[1], groups) + node.bias[:, None, None]
    found = (step.matrix @ x.ravel() + step.bias).reshape(step.output)
    assert found.shape == expected.shape and np.allclose(found, expected)


@pytest.mark.parametrize("average", [False, True])
def test_pooling(average: bool) -> None:
    x = RNG.normal(size=(3, 7, 6))
    kind = library.AvgPool2d if average else library.SumPool2d
    node = kind(np.array([3, 2]), np.array([2, 2]), np.array([1, 0]))
    step = transform(node, "pool", x.shape)
    kernel = np.kron(np.eye(3), np.ones((1, 1))).reshape(3, 3, 1, 1) * np.ones((1, 1, 3, 2)) / (6 if average else 1)
    assert np.allclose(
        (step.matrix @ x.ravel()).reshape(step.output), loops(kernel, x, (2, 2), ((1, 1), (0, 0)), (1, 1), 1)
    )


def test_one_dimension() -> None:
    kernel = RNG.normal(size=(4, 3, 5))
    x = RNG.normal(size=(3, 20))
    step = transform(library.Conv1d(20, kernel, 2, 2, 1, 1, np.zeros(4)), "c", x.shape)
    expected = loops(kernel[:, :, None], x[:, None], (1, 2), ((0, 0), (2, 2)), (1, 1), 1)[:, 0]
    assert np.allclose((step.matrix @ x.ravel()).reshape(step.output), expected)


def test_a_chain_of_linear_nodes_is_one_projection() -> None:
    """Convolution, pooling, unfolding, scaling and a matrix, with biases on the way: against the same in numpy."""
    shape = (2, 8, 8)
    conv = RNG.normal(size=(4, 2, 3, 3))
    dense = RNG.normal(size=(5, 36))
    scale = RNG.normal(size=36)
    biases = (RNG.normal(size=4), RNG.normal(size=5))
    nodes = [
        library.Conv2d((8, 8), conv, 1, 0, 1, 1, biases[0]),
        library.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        library.Flatten({"input": None}, 0, -1),
        library.Scale(scale),
        library.Affine(dense, biases[1]),
        plain("LI", 5, 1e-3),
    ]
    network = from_nir(chain(*nodes, size=shape), 1e-3)
    (projection,) = network.projections
    weight = np.zeros((128, 5))
    weight[:] = np.reshape(projection.weight, (128, 5))

    def straight(x: np.ndarray) -> np.ndarray:
        y = loops(conv, x, (1, 1), ((0, 0), (0, 0)), (1, 1), 1) + biases[0][:, None, None]
        return dense @ (scale * y.reshape(4, 3, 2, 3, 2).sum(axis=(2, 4)).ravel()) + biases[1]

    x = RNG.normal(size=shape)
    model = network.population("n5").model
    assert isinstance(model, LI)
    rest = model.v_leak + model.r * model.i_offset  # the bias: r is tau / dt
    assert np.allclose(np.asarray(rest) / 20, straight(np.zeros(shape)))
    assert np.allclose(x.ravel() @ weight + np.asarray(rest) / 20, straight(x))
    assert projection.name == "n0.n1.n3.n4"


def test_paths_side_by_side_add_up() -> None:
    one = library.NIRGraph(
        {
            "in": library.Input({"input": np.array([4])}),
            "a": library.Linear(np.full((3, 4), 0.25)),
            "b": library.Scale(np.full(4, 2.0)),
            "c": library.Linear(np.full((3, 4), 0.5)),
            "x": plain("LI", 3, 1e-3),
            "out": library.Output({"output": np.array([3])}),
        },
        [("in", "a"), ("a", "x"), ("in", "b"), ("b", "c"), ("c", "x"), ("x", "out"), ("x", "out")],
        type_check=False,
    )
    network = from_nir(one, 1e-3)
    assert {p.name: p.weight for p in network.projections} == {"a": 0.25, "b.c": 1.0}


def test_graphs_in_graphs() -> None:
    inner = library.NIRGraph(
        {
            "input": library.Input({"input": np.array([4])}),
            "lif": plain("LIF", 4, 1e-3),
            "w_rec": library.Linear(np.eye(4) * 0.5),
            "output": library.Output({"output": np.array([4])}),
        },
        [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
        type_check=False,
    )
    graph = chain(library.Linear(np.eye(4) * 2), inner, library.Linear(np.ones((2, 4))), plain("IF", 2, 1e-3))
    network = from_nir(graph, 1e-3)
    found = {(p.source, p.target): type(p.pattern) for p in network.projections}
    assert found == {("in", "n1.lif"): OneToOne, ("n1.lif", "n1.lif"): OneToOne, ("n1.lif", "n3"): AllToAll}
    # A graph may end in another: its last node is that of the inner one.
    ends = from_nir(chain(library.Linear(np.eye(4) * 2), inner), 1e-3)
    assert [p.name for p in ends.populations] == ["in", "n1.lif"]


@pytest.mark.parametrize(
    ("delay", "where", "expected"),
    [
        (np.full(4, 3e-3), 0, 3e-3),
        (np.zeros(4), 0, 1e-3),
        (np.array([1.0, 2.0, 3.0, 4.0]) * 1e-3, 0, np.repeat([1, 2, 3, 4], 3) * 1e-3),
        (np.array([1.0, 2.0, 3.0]) * 1e-3, 1, np.tile([1, 2, 3], 4) * 1e-3),
    ],
)
def test_delays(delay: np.ndarray, where: int, expected: Any) -> None:
    nodes = [library.Linear(np.full((3, 4), 0.2)), plain("LI", 3, 1e-3)]
    nodes.insert(where, library.Delay(delay))
    (projection,) = from_nir(chain(*nodes), 1e-3).projections
    assert np.allclose(projection.delay, expected, rtol=1e-12)  # type: ignore[arg-type]


# What cannot run is refused by name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: chain(library.Linear(np.ones((3, 4))), library.Threshold(np.ones(3))),
            "Threshold 'n1': a threshold with",
        ),
        (
            lambda: chain(plain("LI", 4, 1e-3), library.Linear(np.ones((3, 4))), plain("LIF", 3, 1e-3)),
            "LI 'n0': puts out",
        ),
        (lambda: chain(library.Linear(np.ones((3, 4)))), "Output 'out': must follow a neuron or an input"),
        (
            lambda: chain(library.Linear(np.ones((3, 5))), plain("LIF", 3, 1e-3)),
            "Linear 'n0'.weight: must have the 4 inputs",
        ),
        (
            lambda: chain(library.Linear(np.ones((3, 4))), plain("LIF", 2, 1e-3)),
            "LIF 'n1': must get 2 inputs, from Linear",
        ),
        (
            lambda: chain(library.Delay(np.full(4, 1e-4)), plain("LIF", 4, 1e-3)),
            "must be 0 or at least one step of 0.001 s",
        ),
        (lambda: chain(library.Delay(np.full(4, -1.0)), plain("LIF", 4, 1e-3)), "Delay 'n0'.delay: must be >= 0 s"),
        (lambda: chain(plain("LIF", 4, 1e-3, tau=np.zeros(4))), "LIF 'n0'.tau: must be > 0 s (got 0.0)"),
        (lambda: chain(plain("LIF", 4, 1e-3, v_reset=np.full(4, 2.0))), "LIF 'n0': LIF.v_reset: must be < v_threshold"),
        (lambda: chain(plain("LIF", 4, 1e-3, r=np.full(4, np.nan))), "LIF 'n0'.r: must be finite"),
        (
            lambda: chain(
                library.Conv2d((2, 2), np.ones((1, 1, 3, 3)), 1, 0, 1, 1, np.zeros(1)), plain("LIF", 1, 1e-3)
            ),
            "Conv2d",
        ),
        (lambda: circle("Linear", "Scale"), "lies on a circle without a neuron"),
        (lambda: "a graph", "a graph: no such file"),
        (lambda: 3, "from_nir: needs a nir.NIRGraph or the path of a file (got int)"),
        (lambda: library.NIRGraph({"a": plain("LIF", 1, 1e-3)}, [("a", "b")], {}, type_check=False), "'b'"),
    ],
)
def test_what_cannot_run_is_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(NeurosimError) as caught:
        from_nir(make(), 1e-3)
    assert message in str(caught.value)


def circle(*kinds: str) -> Any:
    table = {"Linear": library.Linear(np.eye(4)), "Scale": library.Scale(np.ones(4))}
    nodes = {"in": library.Input({"input": np.array([4])}), "x": plain("LIF", 4, 1e-3)}
    nodes |= {kind: table[kind] for kind in kinds}
    edges = [("in", kinds[0]), (kinds[0], kinds[1]), (kinds[1], kinds[0]), (kinds[1], "x")]
    return library.NIRGraph(nodes, edges, {}, type_check=False)


def test_the_step_must_be_known() -> None:
    graph = chain(plain("LIF", 4, 1e-3))
    with pytest.raises(
        NeurosimInputError, match=r"from_nir\.dt: NIR does not say how long a spike lasts; give the step"
    ):
        from_nir(graph)
    with pytest.raises(NeurosimInputError, match=r"from_nir\.dt: must be > 0 s"):
        from_nir(graph, 0.0)
    graph.metadata = {"dt": 1e-3}
    assert from_nir(graph).population("n0").model == LIF(0.02, r=20.0)


def test_edited_nodes_win_over_the_metadata() -> None:
    network = Network([Population("x", 3, LIF(0.02, t_refractory=0.003))])
    graph = to_nir(network)
    graph.nodes["x"].v_threshold = np.full(3, 2.0)
    assert from_nir(graph).population("x").model == LIF(0.02, 2.0, t_refractory=0.003, r=20.0)


def of(model: Any, *projections: Projection) -> Network:
    return Network([Population("a", 3, model), Population("b", 3, LIF())], list(projections))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            of(AdEx()),
            "population 'a': NIR has no AdEx; it has CubaLIF, IF, LI, LIF; save",
        ),
        (of(IF(i_offset=1.0)), "population 'a': IF.i_offset: must be 0: NIR has no constant current (got 1.0)"),
        (of(CubaLIF(tau_syn_inhibitory=0.01)), "population 'a': CubaLIF.tau_syn_inhibitory: must be tau_syn"),
        (
            of(LIF(), Projection("a", "b", AllToAll(), 0.5, plasticity=STDP())),
            "Projection['a->b'].plasticity: must be None: NIR has no plasticity (got STDP)",
        ),
        (
            of(LIF(), Projection("a", "b", AllToAll(), 0.5, 1e-4)),
            "Projection['a->b'].delay: must round to at least one step",
        ),
        (of(LIF(), Projection("a", "b", AllToAll(), 0.5, name="b")), "to_nir: 'b': must name one thing"),
        (of(LIF(), Projection("a", "b", AllToAll(), 0.5, name="a/b")), "to_nir: 'a/b': must hold no '/'"),
        (
            Network([Population("a", 100, LIF())], [Projection("a", "a", AllToAll(), 0.5, Uniform(1e-3, 0.1))]),
            "Projection['a->a'].delay: must take at most 64 values in NIR",
        ),
    ],
)
def test_what_nir_cannot_say_is_named(network: Network, message: str) -> None:
    with pytest.raises(NeurosimInputError) as caught:
        to_nir(network)
    assert message in str(caught.value)


# Hostile files


def stored(path: Path, change: Callable[[h5py.File], None]) -> Path:
    write_nir(path, to_nir(of(LIF(), Projection("a", "b", AllToAll(), 0.5)), 1e-3))
    with h5py.File(path, "r+") as root:
        change(root)
    return path


def put(name: str, data: Any = None, **options: Any) -> Callable[[h5py.File], None]:
    def change(root: h5py.File) -> None:
        if name in root:
            del root[name]
        root.create_dataset(name, data=data, **options)

    return change


def link(name: str, to: Any) -> Callable[[h5py.File], None]:
    def change(root: h5py.File) -> None:
        if name in root:
            del root[name]
        root[name] = to

    return change


def external_data(root: h5py.File) -> None:
    del root["node/nodes/a/tau"]
    root.create_dataset("node/nodes/a/tau", (3,), "f8", external=[("/etc/passwd", 0, 24)])


def circle_of_groups(root: h5py.File) -> None:
    graph = root["node/nodes"].create_group("g")
    graph["type"] = "NIRGraph"
    graph["edges"] = root["node/edges"]
    graph["nodes"] = root["node/nodes"]  # a hard link to what holds it


def objects(root: h5py.File) -> None:
    del root["node/nodes/a/tau"]
    root.create_dataset("node/nodes/a/tau", (3,), h5py.ref_dtype)


def shared(root: h5py.File) -> None:
    """Many names for one large array that packs well."""
    big = root.create_dataset("big", data=np.zeros(1 << 17), compression="gzip")
    for k in range(5):
        node = root["node/nodes"].create_group(f"s{k}")
        node["type"] = "Scale"
        node["scale"] = big


HOSTILE: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "link out of the file": (link("node/nodes/a/tau", h5py.ExternalLink("/etc/passwd", "/x")), "a ExternalLink"),
    "soft link": (link("node/nodes/a/tau", h5py.SoftLink("/node/nodes/b/tau")), "a SoftLink"),
    "soft circle": (link("node/nodes/a", h5py.SoftLink("/node/nodes/a")), "a SoftLink"),
    "data out of the file": (external_data, "external storage"),
    "groups in a circle": (circle_of_groups, "levels of graphs"),
    "references": (objects, "expected numbers, got text or other things"),
    "huge": (
        put("node/nodes/a/tau", shape=(1 << 44,), dtype="f8", chunks=(1 << 20,)),
        "at most 4194304 bytes of arrays",
    ),
    "compound": (put("node/nodes/a/tau", np.zeros(3, [("x", "f8")])), "expected numbers"),
    "complex": (put("node/nodes/a/tau", np.zeros(3, complex)), "expected numbers"),
    "empty": (put("node/nodes/a/tau", h5py.Empty("f8")), "an empty dataspace"),
    "shapes": (put("node/nodes/a/tau", np.zeros(2)), "fields that make a LIF"),
    "text for numbers": (put("node/nodes/a/tau", "fast"), "fields that make a LIF"),
    "unknown type": (
        put("node/nodes/a/type", "LIFF"),
        "node node/nodes/a: type: unknown name 'LIFF'; did you mean 'LIF'",
    ),
    "pickled type": (put("node/nodes/a/type", "__reduce__"), "unknown name '__reduce__'"),
    "no type": (lambda root: root.__delitem__("node/nodes/a/type"), "unknown name 'none'"),
    "missing": (lambda root: root.__delitem__("node/nodes/a/tau"), "one without tau"),
    "edges to nothing": (put("node/edges", [("a", "c")], dtype=h5py.string_dtype()), "names of its nodes"),
    "odd edges": (put("node/edges", ["a", "b", "a"], dtype=h5py.string_dtype()), "pairs of names"),
    "edges of numbers": (put("node/edges", np.zeros((2, 2))), "a list of text"),
    "many names for one": (shared, "bytes of arrays"),
}


def test_a_field_that_a_later_nir_adds_is_left_out(tmp_path: Path) -> None:
    plain, more = (
        read(stored(tmp_path / name, change))
        for name, change in (("a.nir", lambda root: None), ("b.nir", put("node/nodes/a/extra", 3)))
    )
    assert np.array_equal(plain.nodes["a"].tau, more.nodes["a"].tau)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurosim.network.nir.files.MAX_BYTES", 4 << 20)
    change, message = HOSTILE[name]
    path = stored(tmp_path / "bad.nir", change)
    with pytest.raises(NeurosimFormatError) as caught:
        read(path)
    text = str(caught.value)
    assert message in text and str(path) in text and "\n" not in text


@pytest.mark.parametrize("files", sampled([20, 80], [20]))
def test_cut_and_flipped_files_are_refused_or_read(files: int, tmp_path: Path) -> None:
    """Whatever a damaged byte does, it does not crash, hang or raise anything else."""
    path = stored(tmp_path / "net.nir", lambda root: None)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for k in range(files):
        data = bytearray(whole)
        for at in rng.integers(0, len(whole), 1 + k % 3):
            data[at] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(data[: rng.integers(1, len(whole)) if k % 5 == 0 else len(whole)]))
        try:
            from_nir(path)
        except NeurosimError as error:
            assert "\n" not in str(error)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(NeurosimMissingError, match="no such file"):
        from_nir(tmp_path / "none.nir")


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nir", None)
    with pytest.raises(NeurosimMissingError, match=r"pip install .*\[nir\]'"):
        to_nir(layered())
