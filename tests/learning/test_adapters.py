"""The learner of adapters: it grows where items are new, and what it had before does not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurosim.base import NeurosimInputError
from neurosim.learning import Stream
from neurosim.learning.continual.streams import Permuted, Split

torch = pytest.importorskip("torch")
FEW = {"train_limit": 80, "validation_limit": 10, "test_limit": 60}


def made(stream: Stream, **settings: Any) -> Any:
    from neurosim.learning.continual.learners.adapters import Adapters, AdaptersSettings

    small = {"hidden": (40,), "epochs": 6, "steps": 4, "learning_rate": 5e-3, "width": 8, "descriptor": 8}
    return Adapters(stream.problem, AdaptersSettings(**{**small, **settings}))


def learn(learner: Any, task: Any) -> dict[str, Any]:
    learner.begin(task)
    learner.learn(task)
    return {name: value.clone() for name, value in learner.net.state_dict().items()}


def test_a_new_task_gets_an_adapter_and_changes_no_other() -> None:
    stream = Split(scenario="task", **FEW).build(0)
    learner = made(stream)
    first = learn(learner, stream[0])
    assert int(learner.net.count) == 1
    second = learn(learner, stream[1])
    assert int(learner.net.count) == 2
    changed = {name for name in first if not torch.equal(first[name], second[name])}
    new = {"adapters.1", "descriptors.1", "routers.1", "backbone.output"}
    assert {name.rsplit(".", 1)[0].removesuffix(".0").removesuffix(".2") for name in changed} - {
        "count",
        "level",
    } == new
    assert torch.equal(first["level"][0], second["level"][0]) and not torch.equal(first["level"][1], second["level"][1])
    # A task seen before is nothing new: only the head learns.
    learner.begin(stream[1])
    assert int(learner.net.count) == 2 and not learner._grows


def test_the_head_learns_the_classes_of_the_task_alone() -> None:
    stream = Split(scenario="class", **FEW).build(0)
    learner = made(stream)
    before = learn(learner, stream[0])
    after = learn(learner, stream[1])
    rows = (before["backbone.output.weight"] != after["backbone.output.weight"]).any(1)
    assert np.flatnonzero(rows.numpy()).tolist() == list(stream[1].classes)


def test_adapters_by_hand() -> None:
    stream = Permuted(tasks=2, **FEW).build(1)
    learner = made(stream, threshold=1e-6)  # everything is new
    for task in stream:
        learn(learner, task)
    net = learner.net
    assert int(net.count) == 2
    with torch.no_grad():
        r = net.rates(torch.from_numpy(stream[0].test.x).float() / 255)
        odds = torch.stack([layer(r)[:, 0] for layer in net.routers]).exp()
        total = r.clone()
        for share, a in zip(odds / odds.sum(0), net.adapters, strict=True):
            total += share[:, None] * (torch.relu(r @ a[0].weight.T + a[0].bias) @ a[2].weight.T)
        wanted = total @ net.backbone.output.weight.T + net.backbone.output.bias
    np.testing.assert_allclose(learner.scores(stream[0].test.x, None), wanted, rtol=1e-4, atol=1e-5)
    names = [layer.name for layer in learner.work(stream[0].test.x)]
    assert names[1:4] == ["router 1", "adapter 1 down", "adapter 1 up"] and names[-1] == "output"


def test_a_backbone_trained_on_other_items_stays_from_the_first_task_on() -> None:
    stream = Split(scenario="task", **FEW).build(0)
    plain = made(stream)
    learner = made(stream, backbone="digits", backbone_items=100, epochs=2)
    drawn = plain.net.state_dict()
    first = learn(learner, stream[0])
    second = learn(learner, stream[1])
    hidden = [name for name in first if name.startswith("backbone.weights")]
    assert hidden and all(not torch.equal(first[name], drawn[name]) for name in hidden)
    assert all(torch.equal(first[name], second[name]) for name in hidden)
    # Steps of a task write the head and a new adapter with its descriptor, never the backbone.
    trained = sum(p.numel() for p in learner.net.trained(grows=learner._grows, first=False))
    assert learner.updates == 2 * -(-80 // 32) * trained
    other = made(stream, backbone="digits", backbone_items=100, epochs=2)
    other.restore(learner.state(), list(stream)[:2])
    assert np.array_equal(other.scores(stream[0].test.x, 0), learner.scores(stream[0].test.x, 0))


def test_a_backbone_of_another_sensor_is_refused(tmp_path: Path) -> None:
    stream = Split(scenario="task", **FEW).build(0)
    path = tmp_path / "nine.npz"
    np.savez(path, x=np.random.default_rng(0).normal(size=(20, 9)), y=np.arange(20) % 2)
    words = r"AdaptersSettings.backbone: must have 64 units, as the stream \(got 9\)"
    with pytest.raises(NeurosimInputError, match=words):
        made(stream, backbone=str(path)).begin(stream[0])
