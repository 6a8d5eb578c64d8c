"""Weights that rules changed pass from one recording of a batch to the next, in order, and on to another network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurosim import (
    LIF,
    STDP,
    FixedProbability,
    Network,
    Population,
    Projection,
    Recordings,
    Simulation,
    Spikes,
    SpikeSource,
    simulate,
)
from neurosim.base import NeurosimInputError
from neurosim.engine import read_description, write_description
from neurosim.network import RewardSTDP, SynapticScaling
from neurosim.network.plasticity.base import LearningRule

INPUTS = 20
RULES: dict[str, LearningRule] = {
    "stdp": STDP(w_max=0.4, a_plus=0.05, a_minus=0.03),
    "reward": RewardSTDP(reward="cells", reward_size=0.05, w_max=0.4, a_plus=0.05, a_minus=0.03),
}


def clips(count: int) -> Recordings:
    items = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        items.append(Spikes.sort(rng.uniform(0, 0.1, 300), rng.integers(0, INPUTS, 300), INPUTS, 0.1))
    return Recordings.collect(items, np.arange(count))


def network(rule: LearningRule | None = RULES["stdp"], **options: object) -> Network:
    learning = Projection("camera", "cells", FixedProbability(0.6), 0.2, plasticity=rule, keep=True, **options)
    return Network(
        [Population("camera", INPUTS, SpikeSource()), Population("cells", 6, LIF(tau_mem=0.02))],
        [learning, Projection("cells", "cells", FixedProbability(0.5), 0.1, name="recurrent")],
    )


def weights_of(result: object) -> np.ndarray:
    return result.learned["camera->cells"]["weights"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("rule", RULES)
def test_each_recording_starts_from_the_weights_before_it(rule: str) -> None:
    batch = clips(4)
    together = simulate(network(RULES[rule]), batch, threads=2, record=["cells"])
    learned = None
    for i in range(4):
        # One recording at a time, by hand.
        alone = simulate(network(RULES[rule], learned=learned), batch[i], trial=i)
        learned = weights_of(alone)
        assert np.array_equal(together.weights["camera->cells"][i], alone.weights["camera->cells"])
        assert together.recordings("cells")[i].digest() == alone.spikes["cells"].digest()
    assert np.array_equal(weights_of(together), learned)
    first = together.weights["camera->cells"][0]
    assert np.abs(first - 0.2).max() > 0.005 and np.abs(learned - first).max() > 0.005


def test_threads_and_pieces_change_nothing_and_the_order_does() -> None:
    batch = clips(4)
    whole = weights_of(simulate(network(), batch, threads=1))
    halves = network()
    for part in ([0, 1], [2, 3]):
        done = simulate(halves, batch.select(part), trial=part[0], threads=2)
        halves = halves.with_learned(done.learned, learn=True)
    assert np.array_equal(weights_of(done), whole)
    other = weights_of(simulate(network(), batch.select([3, 2, 1, 0])))
    assert not np.array_equal(other, whole)


def test_with_learning_off_the_weights_stay_and_recordings_run_side_by_side() -> None:
    batch = clips(3)
    learned = simulate(network(homeostasis=SynapticScaling(target_rate=5.0, interval=0.02)), batch).learned
    frozen = network(homeostasis=SynapticScaling(target_rate=5.0, interval=0.02)).with_learned(learned, learn=False)
    found = simulate(frozen, batch, threads=2)
    assert found.weights == {} and np.array_equal(weights_of(found), learned["camera->cells"]["weights"])
    simulation = Simulation(frozen, batch[1], trial=1)
    pairs = simulation.connections("camera->cells")
    assert np.array_equal(np.float32(pairs.weight), learned["camera->cells"]["weights"])
    assert simulation.run(0.1).spikes["cells"].digest() == found.recordings("cells")[1].digest()
    assert found.recordings("cells")[1].digest() != simulate(network(), batch[1], trial=1).spikes["cells"].digest()


def test_without_keep_recordings_start_anew() -> None:
    batch = clips(2)
    plain = network()
    plain = replace(plain, projections=[replace(p, keep=False) for p in plain.projections])
    found = simulate(plain, batch)
    alone = simulate(plain, batch[1], trial=1)
    assert np.array_equal(found.weights["camera->cells"][1], alone.weights["camera->cells"]) and found.learned == {}


def test_described_and_saved(tmp_path: Path) -> None:
    batch = clips(2)
    learned = simulate(network(), batch).learned
    built = network().with_learned(learned, learn=True)
    write_description(tmp_path / "n.toml", built)
    again = read_description(tmp_path / "n.toml").network
    assert "keep = true" in (tmp_path / "n.toml").read_text()
    expected = weights_of(simulate(built, batch))
    assert np.array_equal(weights_of(simulate(again, batch)), expected)
    simulation = Simulation(built, batch[0])
    simulation.run(0.05)
    simulation.save(tmp_path / "saved")
    rest = Simulation.load(tmp_path / "saved", again, batch[0])
    rest.run(0.05)
    assert np.array_equal(rest.learned["camera->cells"]["weights"], weights_of(simulate(built, batch[0])))
    # Weights that are set take the place of learned ones.
    rest.set("camera->cells", {"weight": 0.3})
    assert np.allclose(rest.learned["camera->cells"]["weights"], 0.3)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(NeurosimInputError, match=r"keep, learn or learned: needs a learning rule or homeostasis"):
        network(None)
    with pytest.raises(NeurosimInputError, match=r"\['camera->cells'\].learn: must be true or false \(got 0\)"):
        network(learn=0)
    with pytest.raises(NeurosimInputError, match=r"learned: must be finite numbers \[synapses\]"):
        network(learned=[0.1, np.nan])
    with pytest.raises(NeurosimInputError, match=r"weight: must lie in \[0, 0.4\] of its STDP \(got 0.5\)"):
        network(learned=[0.1, 0.5])
    count = len(Simulation(network(), clips(1)[0]).connections("camera->cells"))
    with pytest.raises(NeurosimInputError, match=rf"learned: must hold {count} values, one for each synapse \(got 2\)"):
        simulate(network(learned=[0.1, 0.2]), clips(1))
    with pytest.raises(NeurosimInputError, match=r"Network.with_learned.learned: unknown name 'recurrent'"):
        network().with_learned({"recurrent": {}}, learn=True)
