"""Units that fire by a reading of their model: anomaly and familiarity as spikes, and as the reward of a rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurosim import (
    LIF,
    FromList,
    Link,
    Network,
    Population,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
    Windowed,
    simulate,
)
from neurosim.base import NeurosimInputError
from neurosim.engine import read_description, write_description
from neurosim.engine.grid.reference import simulate_dense
from neurosim.memory import Macrocolumn, TemporalMemory
from neurosim.network import RewardSTDP
from neurosim.network.windowed import ReadingUnit

WINDOW = 0.01
MEMORY = TemporalMemory(30, 4, activation_threshold=2, min_threshold=1)
CELLS = 120
SURPRISE = ReadingUnit("anomaly", threshold=0.6)


def song(rounds: int = 12) -> Spikes:
    """Five notes of three columns, one a window, again and again; at the end a note comes that did not follow."""
    notes = [*(list(range(5)) * rounds), 0, 1, 4, 2]
    times = np.repeat(np.arange(len(notes)), 3) * WINDOW + np.tile([0.002, 0.004, 0.006], len(notes))
    units = (6 * np.repeat(notes, 3) + np.tile([0, 1, 2], len(notes))).astype(int)
    return Spikes.sort(times, units, 30, len(notes) * WINDOW)


def network(unit: ReadingUnit | None, rewarded: bool = False) -> Network:
    populations = [
        Population("notes", 30, SpikeSource()),
        Population("memory", CELLS + (unit is not None), Windowed(MEMORY, WINDOW, reading_unit=unit)),
    ]
    projections = []
    if rewarded:
        # One neuron that repeats the unit, and a synapse that learns when it fires.
        populations += [Population("dopamine", 1, LIF(tau_mem=0.005)), Population("listener", 4, LIF(tau_mem=0.01))]
        rule = RewardSTDP(reward="dopamine", reward_size=5.0, a_plus=0.05, a_minus=0.02)
        projections = [
            Projection("memory", "dopamine", FromList([CELLS], [0]), 1.5),
            Projection("notes", "listener", FromList(np.arange(30), np.arange(30) % 4), 0.8, plasticity=rule),
        ]
    return Network(populations, projections, links=[Link("notes", "memory")])


def of_unit(spikes: Spikes, number: int, windows: int) -> np.ndarray:
    """[windows] number of spikes of a unit at the end of each window."""
    own = spikes.times[spikes.units == number]
    return np.bincount(np.rint(own / WINDOW).astype(int) - 1, minlength=windows)


@pytest.mark.parametrize("unit", [SURPRISE, ReadingUnit("anomaly", 0.0, 10), ReadingUnit("anomaly", 0.3, 4, True)])
def test_a_unit_fires_by_the_anomaly(unit: ReadingUnit) -> None:
    result = simulate(network(unit), song(), clock=1e-3)
    readings = result.readings["memory"][:, 0]
    x = 1 - readings if unit.inverted else readings
    expected = np.where(x >= unit.threshold, np.floor(unit.spikes * x + 0.5), 0)
    found = of_unit(result.spikes["memory"], CELLS, len(readings))
    assert np.array_equal(found, expected) and 0 < np.count_nonzero(found) < len(found)
    # The cells are those of the memory without the unit.
    cells = result.spikes["memory"].units != CELLS
    plain = simulate(network(None), song(), clock=1e-3).spikes["memory"]
    assert np.array_equal(result.spikes["memory"].units[cells], plain.units)
    assert (
        simulate_dense(network(unit), {"notes": song()}).spikes["memory"].digest() == result.spikes["memory"].digest()
    )
    layer = next(layer for layer in result.work if layer.name == "memory")
    assert layer.outputs == CELLS + 1 and layer.output_events == len(result.spikes["memory"])


def test_a_song_that_is_known_surprises_where_it_changes() -> None:
    result = simulate(network(SURPRISE), song(), clock=1e-3)
    fired = of_unit(result.spikes["memory"], CELLS, 64)
    # Nothing is expected at first; then all notes are, but the one that did not follow and the one after it.
    assert fired[0] == 1 and not fired[40:62].any() and fired[62:].all()


def test_a_column_fires_for_what_is_new() -> None:
    column = Macrocolumn(30, 4, 5, lateral=False)
    unit = ReadingUnit("familiarity", threshold=0.5, inverted=True)
    populations = [
        Population("notes", 30, SpikeSource()),
        Population("column", column.outputs + 1, Windowed(column, WINDOW, reading_unit=unit)),
    ]
    found = simulate(Network(populations, links=[Link("notes", "column")]), song(2), clock=1e-3).spikes["column"]
    assert of_unit(found, column.outputs, 14).tolist() == [1] * 5 + [0] * 9


def test_surprise_is_the_reward_of_a_rule(tmp_path: Path) -> None:
    spikes = song()
    rewarded = Simulation(network(SURPRISE, rewarded=True), spikes, clock=1e-3, precision="float64")
    first = rewarded.run(0.333)
    rewarded.save(tmp_path / "saved")
    rewarded = Simulation.load(tmp_path / "saved", network(SURPRISE, rewarded=True), spikes)
    second = rewarded.run(0.307)
    weights = rewarded.connections("notes->listener").weight
    times = np.concatenate([each.spikes["dopamine"].times for each in (first, second)])
    assert len(times) >= 3
    # The same spikes from a source give the same weights.
    built = network(SURPRISE, rewarded=True)
    sources = [Population("dopamine", 1, SpikeSource()) if p.name == "dopamine" else p for p in built.populations]
    played = Network(sources, built.projections[1:], links=built.links)
    dopamine = Spikes.sort(times, np.zeros(len(times), int), 1, spikes.duration)
    again = Simulation(played, {"notes": spikes, "dopamine": dopamine}, clock=1e-3, precision="float64")
    again.run(0.64)
    np.testing.assert_allclose(weights, again.connections("notes->listener").weight, rtol=1e-9)
    assert np.abs(weights - 0.8).max() > 1e-3


def test_codes_reward_though_they_drive_no_neuron() -> None:
    rule = RewardSTDP(reward="memory", reward_size=0.02, a_plus=0.05, a_minus=0.02)
    listener = Population("listener", 4, LIF(tau_mem=0.01))
    learning = Projection("notes", "listener", FromList(np.arange(30), np.arange(30) % 4), 0.8, plasticity=rule)
    plain = network(None)
    built = Network([*plain.populations, listener], [learning], links=plain.links)
    simulation = Simulation(built, song(), clock=1e-3, precision="float64")
    codes = simulation.run(0.64).spikes["memory"]
    # The same codes from a source give the same weights.
    sources = [Population("notes", 30, SpikeSource()), Population("memory", CELLS, SpikeSource())]
    played = Network([*sources, listener], [learning])
    again = Simulation(played, {"notes": song(), "memory": codes}, clock=1e-3, precision="float64")
    again.run(0.64)
    weights = simulation.connections("notes->listener").weight
    np.testing.assert_allclose(weights, again.connections("notes->listener").weight, rtol=1e-9)
    assert 1e-3 < np.abs(weights - 0.8).max() < 0.2


def test_units_are_described_in_toml(tmp_path: Path) -> None:
    unit = ReadingUnit("anomaly", 0.3, 4, inverted=True)
    write_description(tmp_path / "n.toml", network(unit))
    assert "reading_unit" in (tmp_path / "n.toml").read_text()
    again = read_description(tmp_path / "n.toml").network
    assert again.population("memory").model.reading_unit == unit  # type: ignore[union-attr]
    assert (
        simulate(again, song(), clock=1e-3).spikes["memory"].digest()
        == simulate(network(unit), song(), clock=1e-3).spikes["memory"].digest()
    )


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(
        NeurosimInputError, match=r"Windowed.reading_unit.reading: unknown name 'anomoly'; did you mean"
    ):
        Windowed(MEMORY, WINDOW, reading_unit=ReadingUnit("anomoly"))
    with pytest.raises(NeurosimInputError, match=r"ReadingUnit.threshold: must be >= 0 and <= 1 \(got 2"):
        ReadingUnit("anomaly", threshold=2)
    with pytest.raises(NeurosimInputError, match=r"ReadingUnit.spikes: must be >= 1 and <= 255 \(got 0\)"):
        ReadingUnit("anomaly", spikes=0)
    with pytest.raises(NeurosimInputError, match=r"must unfold to the 121 units of its TemporalMemory"):
        Population("memory", CELLS, Windowed(MEMORY, WINDOW, reading_unit=SURPRISE))
