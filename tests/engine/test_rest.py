"""Silent neurons: pieces at rest are passed over and calm ones take a shorter step, which change no bit of a result."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from neurosim import (
    LIF,
    AllToAll,
    CubaLIF,
    FixedProbability,
    Network,
    OneToOne,
    PoissonSource,
    Population,
    Probe,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
)
from neurosim.engine.compile import network as compiling
from neurosim.engine.grid import silence, spike_log, workspace
from neurosim.kernels.engine.clocked import columns, rest
from neurosim.network import Neuron, Uniform, equations

CLOCK = 1e-3
TEXT = """
    dv/dt = (g - v) / tau_mem : V (unless refractory)
    dg/dt = -g / tau_syn : V
"""
CUBIC = """
    dv/dt = (g - v + a * v * v * v) / tau_mem : V (unless refractory)
    dg/dt = -g / tau_syn : V (unless refractory)
"""
QUICK = [(TEXT, "float32", True), (CUBIC, "float64", False), ("", "float32", False)]
REST = [(TEXT, "float64"), ("", "float32"), (CUBIC, "float32"), (CUBIC, "float64")]


def written(text: str) -> Neuron:
    parameters = {"tau_mem": 0.01, "tau_syn": 0.003, "v_threshold": 0.6, "t_refractory": 0.004}
    if "a *" in text:
        parameters["a"] = 0.1
    model = equations(
        text,
        threshold="v > v_threshold",
        reset="v = 0; g = 0.5 * g",
        parameters=parameters,
        receptors={"input": "g", "kick": "v"},
    )
    return model()


def network(model: Neuron, size: int = 3000) -> tuple[Network, Spikes]:
    """Return neurons that a burst excites, then another one, long after all of them are at rest, and the bursts."""
    inputs = Projection("input", "cells", FixedProbability(0.05), 0.9, 0.002, receptor=None)
    own = Projection("cells", "cells", FixedProbability(0.0005), 0.4, 0.003)
    net = Network([Population("input", 20, SpikeSource()), Population("cells", size, model)], [inputs, own])
    rng = np.random.default_rng(1)
    times = np.concatenate([rng.uniform(0.0, 0.03, 60), rng.uniform(2.5, 2.53, 60)])
    return net, Spikes.sort(times, rng.integers(0, 20, 120), 20, 2.6)


def run(model: Neuron, precision: str, *, silenced: bool = False) -> tuple[list[str], np.ndarray]:
    net, played = network(model)
    probes = [Probe("cells", "v", interval=0.01)]
    simulation = Simulation(net, played, clock=CLOCK, seed=3, threads=1, precision=precision, probes=probes)
    if silenced:
        simulation.silence("cells", [5, 700])
    results = [simulation.run(0.6), simulation.run(2.0)]
    assert all(len(result.spikes["cells"]) > 100 for result in results)
    digests = [result.spikes["cells"].digest() for result in results]
    return digests, np.concatenate([result.states["cells.v"] for result in results])


@pytest.mark.parametrize(
    ("text", "precision", "silenced"),
    [
        pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow)
        for case in product((TEXT, CUBIC, ""), ("float32", "float64"), (False, True))
    ],
)
def test_silence_is_passed_over_without_a_trace(
    text: str, precision: str, silenced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = written(text) if text else LIF(tau_mem=0.01, v_threshold=0.6, t_refractory=0.004)
    monkeypatch.setattr(compiling, "QUIET_UNITS", 100)
    assert (type(model).quiet is None) == (not text)
    short = run(model, precision, silenced=silenced)
    # Every step of every neuron: nothing is known of a piece.
    monkeypatch.setattr(compiling, "QUIET_UNITS", 1 << 40)
    monkeypatch.setattr(workspace, "rows_that_may_rest", lambda *tables: [])
    plain = run(model, precision, silenced=silenced)
    assert short[0] == plain[0]
    assert short[1].tobytes() == plain[1].tobytes()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("delays", [(0.001, 0.006), (0.004, 0.009), (0.003, 0.003)])
@pytest.mark.parametrize("text", [TEXT, pytest.param(CUBIC, marks=pytest.mark.slow), ""])
def test_pieces_that_wait_leave_spikes_and_states_as_they_are(
    text: str, delays: tuple[float, float], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source's delay sets the interval, which may be shorter than that of the cells' own synapses or the same."""
    model = written(text) if text else CubaLIF(tau_mem=0.01, tau_syn=0.003, v_threshold=0.6, t_refractory=0.004)
    monkeypatch.setattr(compiling, "QUIET_UNITS", 100)
    late = []

    def outcome(wait: int) -> tuple[list[str], bytes]:
        monkeypatch.setattr(silence, "MAX_WAIT", wait)
        inputs = Projection("input", "cells", FixedProbability(0.02), 8.0, delays[0])
        own = Projection("cells", "others", FixedProbability(0.0002), 8.0, delays[1])
        back = Projection("others", "cells", FixedProbability(0.0002), 8.0, delays[1])
        populations = [Population(name, 4000, model) for name in ("cells", "others")]
        net = Network([Population("input", 20, SpikeSource()), *populations], [inputs, own, back])
        rng = np.random.default_rng(1)
        played = Spikes.sort(rng.uniform(0.0, 0.4, 60), rng.integers(0, 20, 60), 20, 0.5)
        simulation = Simulation(net, played, clock=CLOCK, seed=3, threads=threads)
        simulation.silence("cells", [5, 700])
        results = [simulation.run(0.217), simulation.run(0.283)]
        grid = simulation._runner.workspace
        late.append(int(grid._units[:, columns.WAITS].max()))
        assert all(len(result.spikes[name]) > 300 for result in results for name in ("cells", "others"))
        digests = [result.spikes[name].digest() for result in results for name in ("cells", "others")]
        return digests, b"".join(grid.membrane(net.numbers[name]).tobytes() for name in ("cells", "others"))

    assert outcome(200) == outcome(0)
    assert late == [round((delays[1] - delays[0]) / CLOCK) if threads == 1 else 0, 0]


@pytest.mark.parametrize("delay", [0.004, Uniform(0.002, 0.009)], ids=["one", "drawn"])
@pytest.mark.parametrize("weight", [8.0, Uniform(4.0, 12.0)], ids=["one", "drawn"])
@pytest.mark.parametrize(
    ("text", "precision"),
    [(TEXT, "float32"), ("", "float64"), *(pytest.param(*case, marks=pytest.mark.slow) for case in REST)],
)
def test_groups_at_rest_are_left_out_without_a_trace(
    text: str, precision: str, weight: float | Uniform, delay: float | Uniform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few neurons of each piece receive spikes and fire, some of them while they wait."""
    model = written(text) if text else CubaLIF(tau_mem=0.01, tau_syn=0.003, v_threshold=0.6, t_refractory=0.004)
    monkeypatch.setattr(compiling, "QUIET_UNITS", 100)
    inputs = Projection("input", "cells", FixedProbability(0.0008), weight, 0.001)
    own = Projection("cells", "cells", FixedProbability(0.00002), weight, delay)
    net = Network([Population("input", 10, SpikeSource()), Population("cells", 10_000, model)], [inputs, own])
    rng = np.random.default_rng(1)
    played = Spikes.sort(rng.uniform(0.0, 1.0, 300), rng.integers(0, 10, 300), 10, 1.1)

    def outcome(*, leaves_out: bool) -> tuple[list[str], bytes]:
        simulation = Simulation(net, played, clock=CLOCK, seed=3, threads=1, precision=precision)
        grid = simulation._runner.workspace
        simulation.silence("cells", np.arange(0, 10_000, 7).tolist())
        if not leaves_out:
            grid._units[:, columns.AWAKE] = 0
        results = [simulation.run(0.4), simulation.run(0.7)]
        # Of the pieces in which anything is awake, at the end.
        part = grid._silence._awake[grid._silence.rests == rest.CALM].mean() if leaves_out else 0.0
        assert (0.0 < part < 0.3) == leaves_out
        assert all(len(result.spikes["cells"]) > 100 for result in results)
        return [result.spikes["cells"].digest() for result in results], grid.membrane(net.numbers["cells"]).tobytes()

    assert outcome(leaves_out=True) == outcome(leaves_out=False)


def test_waiting_leaves_logs_small() -> None:
    """Nobody reads the spikes of the last population, which could wait for 200 steps."""
    silent = [Population("cells", 50_000, LIF()), Population("last", 200_000, LIF())]
    drive = Projection("input", "cells", OneToOne(), 0.1, 0.001)
    out = Projection("cells", "last", FixedProbability(1e-5), 0.1, 0.02)
    net = Network([Population("input", 50_000, PoissonSource(1.0)), *silent], [drive, out])
    grid = Simulation(net, clock=CLOCK, threads=1)._runner.workspace
    assert 0 < grid._units[:, columns.WAITS].max() < 200
    assert grid.log.spikes.size <= 2 * spike_log.MAX_LOG
    drawn = Projection("input", "cells", FixedProbability(0.001), 0.1, Uniform(0.001, 0.003), name="drawn")
    grouped = Simulation(replace(net, projections=(*net.projections, drawn)), clock=CLOCK, threads=1)
    assert grouped._runner.workspace._units[:, columns.WAITS].max() == 0


def test_spikes_of_pieces_that_wait_are_in_the_order_of_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Currents that an arrival leaves behind make neurons of all pieces fire while they wait."""
    model = CubaLIF(tau_mem=0.01, tau_syn=0.011, v_threshold=0.6)
    net = Network(
        [Population("input", 1, SpikeSource()), Population("cells", 9000, model)],
        [Projection("input", "cells", AllToAll(), Uniform(0.0, 10.0), 0.001)],
    )
    played = Spikes.sort(np.array([0.0105]), np.array([0]), 1, 0.1)
    spikes = {}
    for wait in (0, 200):
        monkeypatch.setattr(silence, "MAX_WAIT", wait)
        found = Simulation(net, played, clock=CLOCK, threads=1).run(0.1).spikes["cells"]
        assert np.all(np.diff(found.units)[np.diff(found.times) == 0] > 0)
        spikes[wait] = found
    assert len(spikes[0]) > 1000 and spikes[0].digest() == spikes[200].digest()


def test_a_network_at_rest_is_known_to_rest() -> None:
    net, played = network(LIF(tau_mem=0.01, v_threshold=0.6))
    simulation = Simulation(net, played, clock=CLOCK, threads=1)
    simulation.run(0.02)
    rests = simulation._runner.workspace._silence.rests
    assert (rests == rest.RESTING).sum() == 0
    simulation.run(2.4)
    assert (rests == rest.RESTING).all()


def test_neurons_that_fire_in_every_step_do_not_rest() -> None:
    net = Network([Population("busy", 100, LIF(i_offset=1e9))])
    result = Simulation(net, clock=CLOCK, threads=1).run(0.1)
    assert len(result.spikes["busy"]) == 100 * 100


def test_bytes_are_looked_at_to_the_last() -> None:
    for size in (0, 1, 7, 8, 20, 64, 100):
        values = np.zeros(size + 1, np.uint8)
        assert not rest.any_bit(values.ctypes.data, size)
        values[size] = 1
        assert not rest.any_bit(values.ctypes.data, size)
        if size:
            values[size - 1] = 1
            assert rest.any_bit(values.ctypes.data, size)
    one = np.arange(9, dtype=np.float32)
    other = np.zeros(9, np.float32)
    rest.copy_bytes(one.ctypes.data, other.ctypes.data, 36)
    assert not rest.differs(one.ctypes.data, other.ctypes.data, 36)
    other[8] = -8
    assert rest.differs(one.ctypes.data, other.ctypes.data, 36)
