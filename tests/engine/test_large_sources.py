"""Spike sources of more units than a page has slots: without slots of their own, and with the same spikes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurosim import (
    LIF,
    STDP,
    FixedProbability,
    FromList,
    Network,
    PoissonSource,
    Population,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
)
from neurosim.engine.compile import layout
from neurosim.engine.compile.layout import PAGE_SLOTS, lay_out
from neurosim.engine.compile.network import compile_network
from neurosim.kernels.engine.clocked import deliver
from neurosim.network import Uniform

PIXELS = PAGE_SLOTS + 5000


def network() -> Network:
    """A camera, noise and two populations, with rows of three forms, and a learning rule."""
    rng = np.random.default_rng(0)
    pre = np.repeat(np.arange(PIXELS), 2)
    post = rng.integers(0, 300, len(pre))
    few = np.arange(0, PIXELS, 7)
    populations = [
        Population("camera", PIXELS, SpikeSource()),
        Population("noise", 200, PoissonSource(rate=20.0)),
        Population("a", 300, LIF()),
        Population("b", 90, LIF()),
    ]
    projections = [
        Projection("camera", "a", FromList(pre, post), weight=rng.uniform(0.1, 0.4, len(pre)), delay=1e-3),
        Projection("camera", "b", FromList(few, few % 90), weight=0.3, delay=Uniform(1e-3, 9e-3)),
        Projection("camera", "b", FromList(few, few % 89), weight=0.2, delay=2e-3, name="counted"),
        Projection("camera", "a", FromList(few, few % 290), weight=0.1, delay=3e-3, name="learning", plasticity=STDP()),
        Projection("noise", "a", FixedProbability(0.1), weight=0.2, delay=1e-3),
        Projection("a", "b", FixedProbability(0.2), weight=0.1, delay=2e-3),
    ]
    return Network(populations, projections)


def recording(seconds: float = 0.3) -> Spikes:
    rng = np.random.default_rng(1)
    times = np.sort(rng.random(20_000)) * seconds
    return Spikes(times, rng.integers(0, PIXELS, 20_000), PIXELS, seconds)


def run(threads: int = 1) -> tuple[dict[str, str], np.ndarray]:
    with Simulation(network(), recording(), threads=threads, record=["a", "b"]) as simulation:
        result = simulation.run(0.3)
        return {name: spikes.digest() for name, spikes in result.spikes.items()}, simulation.weights["learning"].copy()


def test_sources_have_no_slots_and_spikes_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = lay_out(network())
    assert plan.pages == 1 and plan.slots < 2000 and plan.blocks == 1
    compiled = compile_network(network(), 1e-3, 0, np.dtype(np.float32), 1)
    forms = {table.form for table in compiled.row_tables}
    assert {deliver.SUMS, deliver.QUEUE, deliver.COUNTS} <= forms
    without = run()
    monkeypatch.setattr(layout, "_receiving", lambda network: np.ones(len(network.populations), np.bool_))
    assert lay_out(network()).pages > 1
    slotted = run()
    assert without[0] == slotted[0] and np.array_equal(without[1], slotted[1])
    assert len(set(without[0].values())) == 2


def test_threads_and_cuts_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Several blocks of the few neurons.
    monkeypatch.setattr(layout, "BLOCK_UNITS", 64)
    assert lay_out(network()).blocks == 4
    digests, weights = run(2)
    with Simulation(network(), recording(), threads=1, record=["a", "b"]) as first:
        begin = first.run(0.14)
        first.save(tmp_path / "state")
    with Simulation.load(tmp_path / "state", network(), recording(), threads=2) as second:
        end = second.run(0.16)
        assert np.array_equal(second.weights["learning"], weights)
    for name, digest in digests.items():
        parts = [result.spikes[name] for result in (begin, end)]
        joined = Spikes(
            np.concatenate([part.times for part in parts]),
            np.concatenate([part.units for part in parts]),
            parts[0].size,
            0.3,
        )
        assert joined.digest() == digest


def test_a_network_of_sources_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Network([Population("camera", PIXELS, SpikeSource())])
    with Simulation(net, recording(), threads=1) as simulation:
        spikes = simulation.run(0.3).spikes
    assert lay_out(net).slots == 64 and all(isinstance(each, Spikes) for each in spikes.values())
