"""A saved state with one array that does not fit is refused, and the readout, network or learner is as before."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.tampered import check_refusals, check_window_state, differing

from neurosim.base import NeurosimInputError
from neurosim.learning import LateralCircuit, OnlineReadout
from neurosim.learning.continual.learners import kind
from neurosim.learning.continual.streams import Split

READOUTS: dict[str, dict[str, Any]] = {
    "lateral": {"lateral": LateralCircuit(rows=(2,) * 20)},
    "input rates": {"input_rates": True},
    "penalty": {"penalty": 0.1},
}
SMALL: dict[str, dict[str, Any]] = {
    "nearest_mean": {},
    "macrocolumn": {"columns": 2, "modules": 3, "units": 4},
    "plain": {"hidden": (10,), "epochs": 1},
    "hlop": {"hidden": (10,), "epochs": 1},
    "dendrites": {"units": 20, "density": 0.2, "epochs": 1},
    "hypernetwork": {"hidden": (10,), "epochs": 1, "chunk": 100, "width": 8},
    "patches": {"filters": 8, "side": 3, "pool": 2},
    "liquid": {"neurons": 20},
    "projected": {"neurons": 20, "epochs": 1},
}


@pytest.mark.parametrize("form", READOUTS)
def test_a_refusal_leaves_an_online_readout_as_it_was(form: str) -> None:
    check_window_state(OnlineReadout(40, 3, windows=2, **READOUTS[form]))


def test_a_refusal_leaves_an_hlop_network_as_it_was() -> None:
    torch = pytest.importorskip("torch")
    from neurosim.learning.hlop.network import HLOPNetwork

    network = HLOPNetwork((6, 5, 3), seed=1)
    later = HLOPNetwork((6, 5, 3), seed=2)
    later.begin_task((2, 2))
    later.gradients(torch.rand(8, 6), torch.arange(8) % 3)
    later.end_task()
    check_refusals(network.arrays, network.restore, later.arrays())


@pytest.mark.parametrize("name", SMALL)
def test_a_refusal_leaves_a_learner_as_it_was(name: str, one_thread: None) -> None:
    pytest.importorskip("torch")
    stream = Split(source="digits", each=5, train_limit=20, test_limit=5, windows=2).build(1)
    owner = kind(name)
    learner, other = (owner(stream.problem, owner.SETTINGS(**SMALL[name])) for _ in range(2))
    for task in stream:
        other.begin(task)
        other.learn(task)
    check_refusals(learner.state, lambda arrays: learner.restore(arrays, list(stream)), other.state())


def test_a_refusal_leaves_the_width_of_a_hypernetwork(one_thread: None) -> None:
    pytest.importorskip("torch")
    stream = Split(source="digits", each=5, train_limit=20, test_limit=5, windows=2).build(1)
    owner = kind("hypernetwork")
    settings = owner.SETTINGS(hidden=(10,), epochs=1, chunk=100, width=8, grow=4, grow_every=1)
    learner, wider = (owner(stream.problem, settings) for _ in range(2))
    for task in stream:
        wider.begin(task)
        wider.learn(task)
    arrays = wider.state()
    assert arrays["net.output.weight"].shape[1] > learner.state()["net.output.weight"].shape[1]
    for name in arrays:
        before = learner.state()
        with pytest.raises(NeurosimInputError, match="hypernetwork: must be given the state of another"):
            learner.restore({key: array for key, array in arrays.items() if key != name}, list(stream))
        assert not differing(before, learner.state())
    learner.restore(arrays, list(stream))
    assert not differing(arrays, learner.state())
