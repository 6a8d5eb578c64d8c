"""What is set between two runs counts from then on; nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurosim import (
    LIF,
    STDP,
    AllToAll,
    CubaLIF,
    FixedProbability,
    Network,
    PoissonInput,
    PoissonSource,
    Population,
    Probe,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
)
from neurosim.base import NeurosimInputError, UnitWarning
from neurosim.engine import Result
from neurosim.network import LI, NoiseCurrent, RewardSTDP, StepCurrent, Uniform
from neurosim.network.stimuli import SineCurrent


def busy() -> Network:
    return Network(
        [
            Population("in", 20, PoissonSource(50.0)),
            Population("cells", 30, CubaLIF(tau_mem=0.02, r=2.0)),
            Population("out", 10, LIF()),
        ],
        [
            Projection("in", "cells", FixedProbability(0.3), 0.3, 2e-3),
            Projection("cells", "out", FixedProbability(0.5), Uniform(0.0, 0.4), 3e-3),
            Projection("cells", "cells", FixedProbability(0.2), -0.05, Uniform(1e-3, 5e-3), "inhibitory"),
            Projection("in", "out", AllToAll(), 0.05, plasticity=STDP()),
        ],
        [
            PoissonInput("cells", 500.0, 0.1),
            SineCurrent("cells", 0.3, 20.0, name="sine"),
            NoiseCurrent("cells", 0.1, 0.2, 0.01, name="noise"),
        ],
    )


CHANGES: list[tuple[str, dict[str, object]]] = [
    ("cells", {"tau_mem": 0.03, "i_offset": np.linspace(0.0, 0.2, 30)}),
    ("in", {"rate": np.linspace(0.0, 200.0, 20)}),
    ("in->cells", {"weight": 0.5}),
    ("poisson->cells", {"rate": 800.0, "weight": 0.05}),
    ("sine", {"amplitude": 0.0, "offset": 0.4}),
    ("in->out", {"weight": 0.2}),
    ("cells->out", {"delay": 7e-3}),
    ("cells->cells", {"weight": -0.1, "delay": 1e-3}),
]


def events(*results: Result) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {
        name: tuple(np.concatenate([getattr(r.spikes[name], part) for r in results]) for part in ("times", "units"))  # type: ignore[misc]
        for name in results[0].spikes
    }


def equal(one: dict[str, tuple[np.ndarray, np.ndarray]], other: dict[str, tuple[np.ndarray, np.ndarray]]) -> bool:
    return all(np.array_equal(a, b) for name in one for a, b in zip(one[name], other[name], strict=True))


def test_what_was_there_already_changes_nothing() -> None:
    network = busy()
    whole = Simulation(network, seed=1).run(0.2)
    assert len(whole.spikes["cells"]) > 200 and len(whole.spikes["out"]) > 50
    simulation = Simulation(network, seed=1, threads=1)
    first = simulation.run(0.0801)
    simulation.set("cells", {"tau_mem": 0.02})
    simulation.set("in->cells", {"weight": 0.3})
    simulation.set("poisson->cells", {"rate": 500.0})
    simulation.set("noise", {"sd": 0.2})
    simulation.set("in->out", {"weight": simulation.weights["in->out"]})
    rest = simulation.run(0.1199)
    assert equal(events(first, rest), events(whole))
    np.testing.assert_array_equal(rest.weights["in->out"], whole.weights["in->out"])


def test_changes_are_saved(tmp_path: Path) -> None:
    network = busy()
    simulation = Simulation(network, seed=1, threads=1)
    before = simulation.run(0.05)
    for name, values in CHANGES:
        simulation.set(name, values)  # type: ignore[arg-type]
    assert (simulation.weights["in->out"] == np.float32(0.2)).all()
    assert (simulation.connections("in->cells").weight == 0.5).all()
    simulation.save(tmp_path / "state")
    after = simulation.run(0.1)
    again = Simulation.load(tmp_path / "state", network, threads=2)
    assert again.network.population("cells").model.tau_mem == 0.03  # type: ignore[union-attr]
    assert equal(events(again.run(0.1)), events(after))
    unchanged = Simulation(network, seed=1, threads=1)
    unchanged.run(0.05)
    assert not equal(events(unchanged.run(0.1)), events(after))
    assert len(before.spikes["cells"]) > 30


@pytest.mark.parametrize(("name", "values"), CHANGES[:5], ids=lambda value: str(value)[:20])
def test_a_change_at_the_start_is_another_network(name: str, values: dict[str, object]) -> None:
    """Set before the first step, it gives what a network with these values gives."""
    simulation = Simulation(busy(), seed=2, threads=1)
    simulation.set(name, values)  # type: ignore[arg-type]
    plain = Simulation(simulation.network, seed=2, threads=1)
    assert equal(events(simulation.run(0.1)), events(plain.run(0.1)))


def test_a_membrane_follows_its_new_equation() -> None:
    network = Network([Population("x", 2, LI(tau_mem=0.02))], stimuli=[StepCurrent("x", [0.0], [1.0])])
    simulation = Simulation(network, precision="float64", probes=[Probe("x", "v")])
    simulation.run(0.05)
    simulation.set("x", {"tau_mem": np.array([0.01, 0.02]), "v_leak": 2.0})
    v = simulation.run(0.05).states["x.v"]
    assert isinstance(v, np.ndarray)
    start = 1 - np.exp(-0.05 / 0.02)
    taus = np.array([0.01, 0.02])
    np.testing.assert_allclose(v, 3 + (start - 3) * np.exp(-np.arange(50)[:, None] * 1e-3 / taus), rtol=1e-9)


def test_events_that_are_left_after_a_change_are_played() -> None:
    network = Network(
        [Population("in", 1, SpikeSource()), Population("x", 1, LI(tau_mem=1e9))],
        [Projection("in", "x", AllToAll(), 1.0)],
    )
    windows = (Spikes([0.001, 0.006], [0, 0], 1, 0.01) for _ in range(3))
    simulation = Simulation(network, windows, probes=[Probe("x", "v")])
    simulation.run(0.0045)
    simulation.set("in->x", {"weight": 10.0})
    v = simulation.run(0.0255).states["x.v"]
    assert v[-1, 0] == 1 + 5 * 10  # type: ignore[call-overload]


@pytest.mark.parametrize("drawn", [False, True], ids=["one delay", "drawn delays"])
@pytest.mark.parametrize(("old", "new"), [(20e-3, 3e-3), (3e-3, 20e-3)])
def test_each_spike_has_the_delay_of_its_time(tmp_path: Path, drawn: bool, old: float, new: float) -> None:
    """One that was fired before the change arrives after the former delay, with the former weight, one after it late;
    none is lost, none comes twice, also through a save and a load."""
    times = np.arange(1, 60) * 1e-3
    network = Network(
        [Population("in", 2, SpikeSource()), Population("x", 2, LI(tau_mem=1e9))],
        [
            Projection("in", "x", AllToAll(), 1.0, Uniform(old, old + 2e-3) if drawn else old),
            Projection("x", "x", AllToAll(), 1.0, 5e-3, name="unchanged"),
        ],
    )
    spikes = Spikes(times, np.arange(59) % 2, 2, 0.06)
    simulation = Simulation(network, spikes, probes=[Probe("x", "v")], threads=1)
    delays = simulation.connections("in->x").delay.reshape(2, 2)
    first = simulation.run(0.03)
    simulation.set("in->x", {"delay": new, "weight": 100.0})
    simulation.save(tmp_path / "state")
    found = np.concatenate([first.states["x.v"], simulation.run(0.06).states["x.v"]])
    expected = np.zeros((90, 2))
    for step, unit in zip(np.arange(1, 60), np.arange(59) % 2, strict=True):
        for x in range(2):
            late = step >= 30
            due = step + round((new if late else delays[unit, x]) / 1e-3)
            expected[due + 1 :, x] += 100.0 if late else 1.0
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    again = Simulation.load(tmp_path / "state", network, spikes)
    np.testing.assert_array_equal(again.run(0.06).states["x.v"], found[30:])


def test_a_delay_set_twice_in_a_row() -> None:
    network = Network(
        [Population("in", 1, SpikeSource()), Population("x", 1, LI(tau_mem=1e9))],
        [Projection("in", "x", AllToAll(), 1.0, 10e-3)],
    )
    simulation = Simulation(network, Spikes([0.001, 0.008, 0.012], [0, 0, 0], 1, 0.1), probes=[Probe("x", "v")])
    results = [simulation.run(0.0095)]
    simulation.set("in->x", {"delay": 30e-3})
    simulation.set("in->x", {"delay": 40e-3})
    results.append(simulation.run(0.0055))
    simulation.set("in->x", {"delay": 1e-3})
    results.append(simulation.run(0.085))
    v = np.concatenate([result.states["x.v"] for result in results])[:, 0]
    assert np.flatnonzero(np.diff(v)).tolist() == [11, 18, 52] and v[-1] == 3


@pytest.mark.slow
def test_rewarded_weights_are_those_that_were_set() -> None:
    rule = RewardSTDP("dopamine", w_max=1.0)
    network = Network(
        [
            Population("in", 5, PoissonSource(100.0)),
            Population("x", 5, LIF()),
            Population("dopamine", 2, PoissonSource(50.0)),
        ],
        [Projection("in", "x", AllToAll(), 0.5, plasticity=rule)],
    )
    simulation = Simulation(network, precision="float64")
    simulation.run(0.3)
    weights = np.linspace(0.1, 0.9, 25)
    simulation.set("in->x", {"weight": weights})
    np.testing.assert_array_equal(simulation.weights["in->x"], weights)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("cels", {}, r"Simulation.set.name: unknown name 'cels'; did you mean 'cells'\?"),
        ("cells", {"tau": 1.0}, r"cells: parameter: unknown name 'tau'"),
        ("cells", {"tau_mem": -1.0}, r"CubaLIF.tau_mem: must be > 0 s \(got -1.0\)"),
        ("cells", {"tau_mem": np.ones(3)}, r"Population\['cells'\].model.tau_mem: must hold 30 values"),
        ("cells", {"tau_mem": Uniform(1.0, 2.0)}, r"cells.tau_mem: must be a number or an array"),
        ("in->cells", {"p_transmit": 1.0}, r"Projection\['in->cells'\]: parameter: unknown name 'p_transmit'"),
        ("in->out", {"delay": 1e-3}, r"delay: cannot be set of synapses that learn or transmit by chance"),
        (
            "in->cells",
            {"delay": 1e-5},
            r"delay: must round to at least one step of 0.001 s; give a longer delay or a",
        ),
        ("in->cells", {"delay": 600.0}, r"delay: must be <= 65535 steps of 0.001 s \(got 600.0\)"),
        ("cells->out", {"weight": np.ones(3)}, r"weight: must hold \d+ values"),
        ("in->out", {"weight": 7.0}, r"weight: must lie in \[0, 1\] of its STDP \(got 7.0\)"),
        ("in->out", {"weight": np.ones(7)}, r"weight: must be a number or \[200\], one a synapse"),
        ("sine", {"target": 1.0}, r"parameter: unknown name 'target'"),
        ("cells", 0.03, r"Simulation.set.values: must be values by parameter \(got 0.03\)"),
    ],
)
def test_what_cannot_be_set_is_named(name: str, values: dict[str, object], message: str) -> None:
    simulation = Simulation(busy(), seed=1, threads=1)
    with pytest.raises(NeurosimInputError, match=message):
        simulation.set(name, values)  # type: ignore[arg-type]
    assert simulation.network.population("cells").model.tau_mem == 0.02  # type: ignore[union-attr]


def test_milliseconds_that_are_set_are_met() -> None:
    simulation = Simulation(busy(), seed=1, threads=1)
    for name, values in (("cells", {"tau_mem": 20.0}), ("in->cells", {"delay": 2.0})):
        with pytest.warns(UnitWarning, match=rf"{next(iter(values))}: {next(iter(values.values())):g} s is long"):
            simulation.set(name, values)  # type: ignore[arg-type]


def test_pieces_of_a_step_add_up() -> None:
    simulation = Simulation(Network([Population("x", 1, LIF())]), clock=1e-3)
    results = [simulation.run(4e-4) for _ in range(100)]
    assert simulation.step == 40
    assert sum(result.duration for result in results) == pytest.approx(0.04)
    assert simulation.run(1e-3).duration == 1e-3 and simulation.step == 41


def test_state_is_set_from_the_next_step_on_and_saved(tmp_path: Path) -> None:
    model = LIF(tau_mem=0.02, t_refractory=3e-3)
    network = Network([Population("x", 40, model), Population("in", 3, PoissonSource(20.0))])
    simulation = Simulation(network, seed=1, threads=1, precision="float64", probes=[Probe("x", "v")])
    simulation.run(0.005)
    membranes = np.linspace(0.1, 0.9, 40)
    simulation.set("x", {"v": membranes, "refractory": 0.0})
    np.testing.assert_array_equal(simulation.state("x")["v"], membranes)
    simulation.save(tmp_path / "state")
    after = simulation.run(0.004).states["x.v"]
    np.testing.assert_array_equal(after[0], membranes)
    np.testing.assert_allclose(after[3], membranes * np.exp(-3e-3 / 0.02), rtol=1e-12)
    loaded = Simulation.load(tmp_path / "state", network, threads=2)
    np.testing.assert_array_equal(loaded.run(0.004).states["x.v"], after)
    # Beside parameters, in one call: a membrane beyond the threshold fires in the next step, and is held.
    simulation.set("x", {"v": 2.0, "tau_mem": 0.1})
    spikes = simulation.run(0.001).spikes["x"]
    assert len(spikes) == 40
    assert (simulation.state("x")["refractory"] == 3).all()
    # A new trial begins at the initial state.
    np.testing.assert_array_equal(loaded.with_trial(1).state("x")["v"], np.zeros(40))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("cells", {"v": np.ones(3)}, r"Population\['cells'\].v: must be a number or \[30\], one a unit"),
        ("cells", {"v": np.nan}, r"Population\['cells'\].v: must be finite"),
        ("cells", {"refractory": 0.5}, r"Population\['cells'\].refractory: must be a number of steps >= 0"),
        ("cells", {"v": "high"}, r"Population\['cells'\].v: must be a number"),
    ],
)
def test_state_that_cannot_be_set_is_named(name: str, values: dict[str, object], message: str) -> None:
    simulation = Simulation(busy(), seed=1, threads=1)
    with pytest.raises(NeurosimInputError, match=message):
        simulation.set(name, values)  # type: ignore[arg-type]
    with pytest.raises(NeurosimInputError, match=r"population 'in' must be of neurons to have a state"):
        simulation.state("in")
