"""Latent replay: what rests, what is stored of an item, and what is learned again, against plain references."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurosim.base import NeurosimInputError
from neurosim.learning import Stream
from neurosim.learning.continual.learners import kind
from neurosim.learning.continual.streams import Split

torch = pytest.importorskip("torch")
LIMITS = {"train_limit": 80, "validation_limit": 10, "test_limit": 60}


@pytest.fixture(scope="module")
def stream() -> Stream:
    return Split(source="digits-events", windows=5, **LIMITS).build(1)


def learned(stream: Stream, tasks: int, name: str = "latent", **settings: Any) -> Any:
    owner = kind(name)
    small = {"hidden": (30, 20), "epochs": 3, "learning_rate": 5e-3, **settings}
    learner = owner(stream.problem, owner.SETTINGS(**small))
    for task in list(stream)[:tasks]:
        learner.begin(task)
        learner.learn(task)
    return learner


def test_the_first_layer_rests_and_its_spikes_are_stored_in_windows(stream: Stream) -> None:
    one, two = (learned(stream, tasks, memory=12) for tasks in (1, 2))
    for name, array in one.state().items():
        rests = name.startswith("net.weights.0")
        assert np.array_equal(array, two.state()[name]) == rests or not name.startswith(("net.weights", "net.output"))
    assert one.lengths == [2, 3] and one.x.shape == (12, 2, 30)
    # Every stored item is one of its task's, in the layer's spikes by step.
    for place in range(12):
        items = stream[int(two.task[place])].train
        drive = torch.from_numpy(items.x[items.y == two.y[place]] / np.float32(255)).transpose(0, 1)
        spikes = two.net.neurons[0](two.net.weights[0](drive))[0].detach().numpy()
        windows = np.stack([spikes[:2].sum(axis=0), spikes[2:].sum(axis=0)], axis=1)
        assert (windows == two.x[place]).all(axis=(1, 2)).any()
    again = two.decoded(two.x).numpy()
    np.testing.assert_allclose(again[:, :2].sum(axis=1), two.x[:, 0], rtol=1e-6)
    np.testing.assert_allclose(again[:, 2:].sum(axis=1), two.x[:, 1], rtol=1e-6)
    later = sum(p.numel() for p in [*two.net.weights[1].parameters(), *two.net.output.parameters()])
    assert two.updates == 3 * 1 * later * -(-len(stream[1].train) // 32)
    assert two.memory_bytes()["memory"] == 12 * (2 * 30 + 8 + 8)


def test_what_is_learned_again_keeps_old_classes(stream: Stream) -> None:
    def old(name: str, **settings: Any) -> float:
        learner = learned(stream, 3, name, epochs=8, hidden=(60, 40), **settings)
        found = [learner.predict(stream[t].test.x) == stream[t].test.y for t in (0, 1)]
        return float(np.mean(np.concatenate(found)))

    assert old("latent", memory=60) > old("plain") + 0.3


def test_bad_settings_are_named() -> None:
    for bad, words in (({"resting": 3}, "resting: must be at most the 2 hidden layers"), ({"windows": 0}, "windows")):
        with pytest.raises(NeurosimInputError, match=f"LatentSettings.{words}"):
            kind("latent").SETTINGS(**bad)
