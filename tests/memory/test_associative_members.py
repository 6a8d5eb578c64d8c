"""Associative memories as populations: equal to the memories alone, learned, cut, saved, described and counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurosim import Link, Network, Population, Simulation, Spikes, SpikeSource, Windowed, simulate
from neurosim.base import NeurosimInputError
from neurosim.engine import read_description
from neurosim.memory import Hopfield
from neurosim.memory.associative.modern import ModernHopfield
from neurosim.memory.associative.sparse import SparseDistributed
from neurosim.memory.associative.windowed import HopfieldUnits, ModernHopfieldUnits, SparseDistributedUnits

UNITS = 40
WINDOW = 0.01
MODELS = {
    "hopfield": HopfieldUnits(UNITS, seed=4),
    "modern": ModernHopfieldUnits(UNITS, capacity=4, beta=0.5),
    "sparse": SparseDistributedUnits(300, UNITS, UNITS, p=0.05, seed=2),
}
patterns = np.random.default_rng(0).choice([-1.0, 1.0], (5, UNITS))
# Every pattern with four bits flipped, in the order in which it was stored.
cues = np.where(np.random.default_rng(1).random((5, UNITS)).argsort(axis=1) < 4, -patterns, patterns)


def played(rows: dict[int, np.ndarray], windows: int = 12) -> Spikes:
    """The units that are 1 spike in the middle of their windows."""
    times, units = zip(
        *[((k + 0.5) * WINDOW, unit) for k, row in rows.items() for unit in np.flatnonzero(row > 0)], strict=True
    )
    return Spikes.sort(np.array(times), np.array(units), UNITS, windows * WINDOW)


def inputs(model: object) -> dict[str, Spikes]:
    """Patterns in windows 0 to 4, cues in windows 6 to 10; an address comes with every content."""
    stored = dict(enumerate(patterns))
    asked = {6 + k: cue for k, cue in enumerate(cues)}
    if isinstance(model, SparseDistributedUnits):
        asked |= stored
    return {"camera": played(asked), "teacher": played(stored)}


def network(model: object, **settings: object) -> Network:
    cue, taught = model.receptors  # type: ignore[attr-defined]
    return Network(
        [
            Population("camera", UNITS, SpikeSource()),
            Population("teacher", UNITS, SpikeSource()),
            Population("memory", UNITS, Windowed(model, WINDOW, **settings)),  # type: ignore[arg-type]
        ],
        links=[Link("camera", "memory", cue), Link("teacher", "memory", taught)],
    )


def answers(spikes: Spikes, windows: range) -> np.ndarray:
    """[windows, units] of -1 and 1."""
    signs = np.full((len(windows), UNITS), -1)
    ends = np.rint(spikes.times / WINDOW).astype(int) - 1
    inside = (ends >= windows.start) & (ends < windows.stop)
    signs[ends[inside] - windows.start, spikes.units[inside]] = 1
    return signs


def alone(name: str) -> np.ndarray:
    """Return the recall of the cues by the memory outside a network."""
    if name == "hopfield":
        return Hopfield.store(patterns).recall_many(cues, seed=4, sweeps=20).states
    if name == "modern":
        # Four fit: the fifth has replaced the first.
        return np.where(ModernHopfield.store(patterns[1:], 0.5).recall_many(cues).states > 0, 1, -1)
    memory = SparseDistributed.random(300, UNITS, UNITS, 0.05, seed=2).write(patterns, patterns)
    return np.where(memory.read(cues) > 0, 1, -1)


@pytest.mark.parametrize("name", MODELS)
def test_a_member_recalls_as_the_memory_alone(name: str) -> None:
    model = MODELS[name]
    result = simulate(network(model), inputs(model), clock=1e-3)
    expected = alone(name)
    assert np.array_equal(answers(result.spikes["memory"], range(6, 11)), expected)
    # Flipped bits are put right; no unit answers where no cue came.
    assert np.mean(expected[1:] == patterns[1:]) > np.mean(cues == patterns)
    assert (answers(result.spikes["memory"], range(11, 12)) == -1).all()
    if model.readings:
        overlaps = result.readings["memory"][6:11, 0]
        np.testing.assert_allclose(overlaps, (expected * cues).mean(axis=1))
        assert result.readings["memory"][11, 0] == 0
    # What was learned is enough for another network, which stores nothing more.
    later = simulate(network(model, learn=False, learned=result.learned["memory"]), inputs(model), clock=1e-3)
    assert np.array_equal(answers(later.spikes["memory"], range(6, 11)), expected)
    for key, array in result.learned["memory"].items():
        assert np.array_equal(array, later.learned["memory"][key]), key


@pytest.mark.parametrize("name", MODELS)
def test_cut_and_saved_it_goes_on_alike(name: str, tmp_path: Path) -> None:
    model = MODELS[name]
    spikes = inputs(model)
    whole = simulate(network(model), spikes, clock=1e-3)
    simulation = Simulation(network(model), spikes, clock=1e-3)
    simulation.run(0.033)
    simulation.save(tmp_path / "saved")
    again = Simulation.load(tmp_path / "saved", network(model), spikes)
    after = again.run(0.087).spikes["memory"]
    later = whole.spikes["memory"].times > 0.0335
    assert np.array_equal(after.units, whole.spikes["memory"].units[later]) and len(after) > 50
    for key, array in again.learned["memory"].items():
        assert np.array_equal(array, whole.learned["memory"][key]), key


TOML = """
[simulation]
clock = 1e-3
[[population]]
name = "camera"
shape = 40
model = "SpikeSource"
[[population]]
name = "teacher"
shape = 40
model = "SpikeSource"
[[population]]
name = "memory"
window = 0.01
{settings}
[[link]]
source = "camera"
target = "memory"
[[link]]
source = "teacher"
target = "memory"
receptor = "{receptor}"
"""
SETTINGS = {
    "hopfield": ('model = "HopfieldUnits"\nunits = 40\nseed = 4', "pattern"),
    "modern": ('model = "ModernHopfieldUnits"\nunits = 40\ncapacity = 4\nbeta = 0.5', "pattern"),
    "sparse": (
        'model = "SparseDistributedUnits"\nnum_addresses = 300\naddress_dim = 40\ncontent_dim = 40\np = 0.05\nseed = 2',
        "content",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_members_are_described_in_toml(name: str, tmp_path: Path) -> None:
    settings, receptor = SETTINGS[name]
    (tmp_path / "net.toml").write_text(TOML.format(settings=settings, receptor=receptor))
    described = read_description(tmp_path / "net.toml").network
    model = MODELS[name]
    spikes = inputs(model)
    result = simulate(described, spikes, clock=1e-3).spikes["memory"]
    assert result.digest() == simulate(network(model), spikes, clock=1e-3).spikes["memory"].digest()


def test_work_of_members() -> None:
    layers = {}
    silent = Spikes.sort(np.empty(0), np.empty(0, int), UNITS, 12 * WINDOW)
    for name, model in MODELS.items():
        learned = simulate(network(model), inputs(model), clock=1e-3).learned["memory"]
        asked = {"camera": played(dict(enumerate(cues))), "teacher": silent}
        result = simulate(network(model, learn=False, learned=learned), asked, clock=1e-3)
        layers[name] = next(layer for layer in result.work if layer.name == "memory")
    (expected,) = Hopfield.store(patterns).work(cues, seed=4, sweeps=20)
    assert layers["hopfield"].synaptic_operations == expected.synaptic_operations
    assert layers["hopfield"].nonzero_weights == expected.nonzero_weights
    memory = ModernHopfield.store(patterns[1:], 0.5)
    assert layers["modern"].synaptic_operations == memory.recall_many(cues).operations.sum()
    assert layers["modern"].nonzero_weights == 4 * UNITS
    written = SparseDistributed.random(300, UNITS, UNITS, 0.05, seed=2).write(patterns, patterns)
    compared, added = written.work(cues)
    # Only active inputs select rows of addresses.
    assert layers["sparse"].synaptic_operations == 300 * int((cues > 0).sum()) + added.synaptic_operations
    assert added.synaptic_operations > 0 and compared.output_events > 0


def test_what_does_not_fit_is_named() -> None:
    model = MODELS["hopfield"]
    with pytest.raises(NeurosimInputError, match="learns from its receptor 'pattern', on which no link ends"):
        Network(
            [Population("camera", UNITS, SpikeSource()), Population("memory", UNITS, Windowed(model, WINDOW))],
            links=[Link("camera", "memory")],
        )
    with pytest.raises(NeurosimInputError, match=r"HopfieldUnits.units: must be at most 16384 \(got 20000\)"):
        HopfieldUnits(20000)
    with pytest.raises(NeurosimInputError, match=r"SparseDistributedUnits.p: must be > 0 and <= 1"):
        SparseDistributedUnits(10, 5, 5, p=0)
    state = model.start()
    arrays = {"sums": np.triu(np.ones((UNITS, UNITS)), 1), "stored": np.array([2])}
    with pytest.raises(NeurosimInputError, match=r"state\['sums'\]: must be symmetric with a zero diagonal"):
        state.restore(arrays)
