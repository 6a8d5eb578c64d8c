"""Gap junctions: two coupled passive cells in closed form, a brute-force simulation, threads, saves, descriptions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurosim import (
    LIF,
    AllToAll,
    CubaLIF,
    FixedProbability,
    FromList,
    Network,
    OneToOne,
    PoissonInput,
    Population,
    Probe,
    Projection,
    Simulation,
    simulate,
)
from neurosim.base import NeurosimInputError
from neurosim.engine.compile import layout
from neurosim.engine.description.dump import description_tree
from neurosim.engine.description.parse import parse_description
from neurosim.engine.grid import team
from neurosim.network import LI, StepCurrent, Uniform
from neurosim.network.stimuli import GapJunctions


def two_cells(g: float = 0.5, within: bool = True) -> Network:
    """A current of 1 A into the first of two passive cells of tau 20 ms and 1 ohm, between which is a conductance g."""
    if within:
        pairs = GapJunctions("x", source="x", pattern=AllToAll(), conductance=g)
        return Network([Population("x", 2, LI())], stimuli=[StepCurrent("x", [0.0], [1.0], units=[0]), pairs])
    pairs = GapJunctions("y", source="x", pattern=OneToOne(), conductance=g)
    return Network([Population(n, 1, LI()) for n in "xy"], stimuli=[StepCurrent("x", [0.0], [1.0]), pairs])


@pytest.mark.parametrize("within", [True, False], ids=["within a population", "between two"])
def test_two_passive_cells_in_closed_form(within: bool) -> None:
    """Sum and difference of the voltages decay on their own: tau s' = i - s, tau d' = i - (1 + 2 g) d."""
    g = 0.5
    errors = []
    for clock in (4e-4, 2e-4, 1e-4):
        probes = [Probe(name, "v", 4e-4) for name in ("x" if within else "xy")]
        result = simulate(two_cells(g, within), 0.1, clock=clock, precision="float64", probes=probes)
        v = np.concatenate([np.asarray(result.states[probe.name]) for probe in probes], axis=1)
        t = np.arange(len(v)) * 4e-4
        total = 1 - np.exp(-t / 0.02)
        apart = (1 - np.exp(-(1 + 2 * g) * t / 0.02)) / (1 + 2 * g)
        errors.append(np.abs(v - np.stack([total + apart, total - apart], axis=1) / 2).max())
    assert errors[0] < 3e-3
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 1.0, atol=0.1)


def coupled() -> Network:
    model = LIF(tau_mem=0.02, r=2.0, t_refractory=2e-3, i_offset=0.45)
    others = CubaLIF(tau_mem=0.01, r=1.5, tau_syn=4e-3)
    return Network(
        [Population("a", 300, model, {"v": Uniform(0.0, 0.9)}), Population("b", 150, others)],
        [Projection("a", "b", FixedProbability(0.05), 0.2, 1.5e-3)],
        [
            PoissonInput("a", 300.0, 0.1),
            GapJunctions("a", source="a", pattern=FixedProbability(0.03), conductance=Uniform(0.0, 0.05), name="aa"),
            GapJunctions("b", source="a", pattern=FixedProbability(0.03), conductance=0.02, name="ab"),
        ],
    )


def test_threads_pieces_and_saves_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "MIN_WORK", 0)
    monkeypatch.setattr(layout, "BLOCK_UNITS", 128)
    one = Simulation(coupled(), clock=5e-4, threads=1).run(0.2)
    assert len(one.spikes["a"]) > 500 and len(one.spikes["b"]) > 20
    uncoupled = Network(coupled().populations, coupled().projections, coupled().stimuli[2:])
    assert simulate(uncoupled, 0.2, clock=5e-4).spikes["a"].digest() != one.spikes["a"].digest()
    first = Simulation(coupled(), clock=5e-4, threads=2)
    assert first._runner.workspace.threads == 2
    times = [first.run(0.0505).spikes["a"].times]
    first.save(tmp_path / "state")
    times.append(Simulation.load(tmp_path / "state", coupled(), threads=2).run(0.1495).spikes["a"].times)
    np.testing.assert_array_equal(np.concatenate(times), one.spikes["a"].times)


def test_against_a_simulation_by_hand() -> None:
    """Voltages at the start of each step, the current constant in it; spikes and resets included."""
    pre = np.array([0, 1, 2, 0])
    post = np.array([1, 2, 0, 3])
    g = np.array([0.1, 0.2, 0.05, 0.3])
    drive = np.array([2.0, 0.9, 1.6, 0.5])
    steps = 400
    decay = np.exp(-1e-3 / 0.02)
    gaps = GapJunctions("x", source="x", pattern=FromList(pre, post), conductance=g)
    network = Network([Population("x", 4, LIF(i_offset=drive))], stimuli=[gaps])
    found = simulate(network, steps * 1e-3, precision="float64").spikes["x"]
    v = np.zeros(4)
    fired = []
    for step in range(steps):
        current = drive.copy()
        np.add.at(current, post, g * (v[pre] - v[post]))
        np.add.at(current, pre, g * (v[post] - v[pre]))
        v = current + (v - current) * decay
        fired += [(step, unit) for unit in np.flatnonzero(v > 1)]
        v = np.where(v > 1, 0.0, v)
    assert len(fired) > 20 and len({unit for _, unit in fired}) > 1
    assert list(zip(np.rint(found.times / 1e-3).astype(int), found.units, strict=True)) == fired  # type: ignore[union-attr]


def test_written_down_and_set() -> None:
    again = parse_description(description_tree(coupled()), Path(".")).network
    assert simulate(again, 0.05).spikes["a"].digest() == simulate(coupled(), 0.05).spikes["a"].digest()
    simulation = Simulation(two_cells(), precision="float64", probes=[Probe("x", "v")])
    simulation.set("x--x", {"conductance": 0.0})
    v = simulation.run(0.1).states["x.v"]
    assert v[-1, 0] > 0.9 and v[-1, 1] == 0  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conductance": -1.0}, r"GapJunctions\['x--x'\].conductance: must be >= 0 S \(got -1.0\)"),
        ({"conductance": np.ones(3)}, r"conductance: must hold 4 values, one a pair of the pattern \(got 3\)"),
        ({"pattern": 3}, r"GapJunctions\['x--x'\].pattern: must be a connection pattern"),
        ({"source": "z"}, r"GapJunctions\['z--x'\].source: unknown name 'z'"),
        ({"units": [0]}, r"units: must be None: the pattern says which"),
    ],
)
def test_what_breaks_a_rule_is_named(change: dict[str, object], message: str) -> None:
    given = {"source": "x", "pattern": AllToAll(), "conductance": 1.0, **change}
    with pytest.raises(NeurosimInputError, match=message):
        Simulation(Network([Population("x", 2, LI())], stimuli=[GapJunctions("x", **given)]))  # type: ignore[arg-type]
