"""Codes in the next window: columns that see each other and those above them, in circles of links."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.networks import facts
from helpers.windowed import INPUTS, clip, codes_of, windows_of

from neurosim import (
    LIF,
    FixedProbability,
    Link,
    Network,
    Population,
    Projection,
    Simulation,
    SpikeSource,
    Windowed,
    simulate,
)
from neurosim.base import NeurosimInputError
from neurosim.engine import read_description, write_description
from neurosim.engine.grid.reference import simulate_dense
from neurosim.memory import SDR, Macrocolumn

WINDOW = 0.005
LEFT = Macrocolumn(INPUTS, 4, 5, above=12, neighbours=25)
RIGHT = Macrocolumn(INPUTS, 5, 5, above=24, lateral=False, neighbours=20, seed=1)
TOP = Macrocolumn(45, 3, 4, seed=2)


def network(learn: bool = True, top_window: float = WINDOW) -> Network:
    """Two columns that see each other's codes, one that sees both and sends its code back, and neurons."""
    return Network(
        [
            Population("camera", INPUTS, SpikeSource()),
            Population("left", LEFT.outputs, Windowed(LEFT, WINDOW, learn)),
            Population("right", RIGHT.outputs, Windowed(RIGHT, WINDOW, learn)),
            Population("top", TOP.outputs, Windowed(TOP, top_window, learn)),
            Population("cells", 12, LIF(tau_mem=0.02, v_threshold=0.5)),
        ],
        [Projection("camera", "cells", FixedProbability(0.3), 0.2)],
        links=[
            Link("camera", "left"),
            Link("camera", "right"),
            Link("right", "left", "neighbours", delayed=True),
            Link("left", "right", "neighbours", delayed=True),
            Link("left", "top"),
            Link("right", "top", offset=20),
            Link("top", "left", "above", delayed=True),
            Link("top", "right", "above", delayed=True),
            Link("cells", "right", "above", offset=12),
        ],
    )


@pytest.mark.parametrize("top_window", [WINDOW, 3 * WINDOW])
@pytest.mark.parametrize("learn", [True, False])
def test_equals_the_dense_simulation(learn: bool, top_window: float) -> None:
    spikes = clip(1)
    built = network(learn, top_window)
    expected = simulate_dense(built, {"camera": spikes})
    found = simulate(built, spikes, precision="float64").spikes
    assert {name: len(each) > 20 for name, each in found.items()} == dict.fromkeys(expected.spikes, True)
    for name, each in found.items():
        assert each.digest() == expected.spikes[name].digest(), name


@pytest.mark.parametrize("learn", [True, False])
def test_columns_are_their_library_form_window_by_window(learn: bool) -> None:
    spikes = clip(1, 0.4, 900)
    result = simulate(network(learn), spikes)
    columns = {"left": LEFT, "right": RIGHT, "top": TOP}
    memories = {name: column.memory() for name, column in columns.items()}
    traces: dict = dict.fromkeys(columns)
    count = round(spikes.duration / WINDOW)
    codes = {name: codes_of(result.spikes[name], WINDOW, count) for name in columns}
    camera = windows_of(spikes, WINDOW)
    cells = windows_of(result.spikes["cells"], WINDOW)
    none = np.empty(0, np.int64)
    operations = dict.fromkeys(columns, 0)
    for k in range(count):
        # Codes of the window before; those of the same window reach the top.
        left, right, top = ((codes[name][k - 1] if k else none) for name in columns)
        inputs = {
            "left": (SDR(camera[k], INPUTS), SDR(top, 12), SDR(right, 25)),
            "right": (SDR(camera[k], INPUTS), SDR(np.concatenate([top, cells[k] + 12]), 24), SDR(left, 20)),
            "top": (SDR(np.concatenate([codes["left"][k], codes["right"][k] + 20]), 45), None, None),
        }
        for name, column in columns.items():
            item, above, neighbours = inputs[name]
            act = column.store if learn else column.recall
            output = act(memories[name], item, traces[name], above, neighbours)
            traces[name] = output.trace
            operations[name] += output.synaptic_operations
            assert sorted(output.units) == sorted(codes[name][k]), (name, k)
    assert {layer.name: layer.synaptic_operations for layer in result.work if layer.name in columns} == operations
    assert memories["left"].h.any() == memories["right"].d.any() == learn
    assert np.array_equal(memories["right"].h, result.learned["right"]["0.h"])


def test_a_neighbour_tells_two_meanings_apart() -> None:
    """One input was seen beside two codes of another population: its code follows the one that is there again."""
    column = Macrocolumn(40, 8, 10, lateral=False, neighbours=20)
    memory = column.memory()
    left, right, shared = (SDR(range(10 * k, 10 * k + 10), 40) for k in range(3))
    beside = [SDR(range(10 * k, 10 * k + 10), 20) for k in range(2)]
    both = [left.union(shared), right.union(shared)]
    codes = [column.store(memory, each, neighbours=other).code for each, other in zip(both, beside, strict=True)]
    agreement = [
        (column.recall(memory, shared, neighbours=other).code == code).mean() for other in beside for code in codes
    ]
    assert agreement[0] == agreement[3] == 1 and max(agreement[1], agreement[2]) < 0.5


def test_cut_saved_and_on_any_threads_it_is_the_same(tmp_path: Path) -> None:
    spikes = clip(2)
    whole = Simulation(network(), spikes, threads=1)
    cut = Simulation(network(), spikes, threads=2)
    for time in (0.013, 0.02, 0.007, 0.16):
        assert facts(cut.run(time)) == facts(whole.run(time))
        cut.save(tmp_path / "saved")
        cut = Simulation.load(tmp_path / "saved", network(), spikes, threads=1)


def test_links_and_neighbours_are_described_in_toml(tmp_path: Path) -> None:
    write_description(tmp_path / "n.toml", network())
    again = read_description(tmp_path / "n.toml").network
    assert sum(link.delayed for link in again.links) == 4
    spikes = clip(1)
    assert facts(simulate(again, spikes)) == facts(simulate(network(), spikes))


def test_delayed_links_that_do_not_fit_are_named() -> None:
    with pytest.raises(NeurosimInputError, match=r"Link\['cells->right'\].delayed: must be false for a source without"):
        Network(
            [
                Population("cells", 12, LIF()),
                Population("right", RIGHT.outputs, Windowed(RIGHT, WINDOW)),
            ],
            links=[Link("cells", "right", delayed=True)],
        )
    with pytest.raises(NeurosimInputError, match=r"Link\['a->b'\].delayed: must be true or false \(got 1\)"):
        Link("a", "b", delayed=1)
    with pytest.raises(
        NeurosimInputError, match=r"Macrocolumn.neighbours: must be > 0 to take signals from neighbours"
    ):
        TOP.recall(TOP.memory(), SDR([3], 45), neighbours=SDR([3], 45))
