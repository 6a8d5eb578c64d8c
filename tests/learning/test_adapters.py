"""The learner of adapters: it grows where items are new, and what it had before does not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurosim.base import CapacityWarning, NeurosimInputError
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


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Return the first words of what differs: "layers.0.adapters.1", "layers.0.count", "backbone.output"."""
    names = [name.split(".") for name in before if not torch.equal(before[name], after[name])]
    return {".".join(words[:4] if words[0] == "layers" else words[:2]) for words in names}


def test_a_new_task_gets_adapters_and_changes_no_other() -> None:
    stream = Permuted(tasks=2, **FEW).build(1)
    learner = made(stream, hidden=(40, 30))
    first = learn(learner, stream[0])
    assert [int(layer.count) for layer in learner.net.layers] == [1, 1]
    second = learn(learner, stream[1])
    grown = [k for k, layer in enumerate(learner.net.layers) if int(layer.count) == 2]
    # Permuted pixels are new to the first layer; what the second one sees depends on it.
    assert 0 in grown
    parts = ("adapters", "descriptors", "routers")
    new = {f"layers.{k}.{part}.1" for k in grown for part in parts}
    books = {f"layers.{k}.{name}" for k in grown for name in ("count", "level")}
    assert changed(first, second) == {*new, *books, "backbone.output"}
    assert all(torch.equal(first[f"layers.{k}.level"][0], second[f"layers.{k}.level"][0]) for k in grown)


def test_a_task_seen_before_is_nothing_new() -> None:
    stream = Permuted(tasks=2, **{**FEW, "train_limit": 120}).build(1)
    learner = made(stream, hidden=(40, 30))
    learn(learner, stream[0])
    before = learn(learner, stream[1])
    counts = [int(layer.count) for layer in learner.net.layers]
    after = learn(learner, stream[1])
    assert [int(layer.count) for layer in learner.net.layers] == counts
    # Only the head learns.
    assert changed(before, after) == {"backbone.output"}


def test_the_head_learns_the_classes_of_the_task_alone() -> None:
    """The second task warns that classes of different tasks are not compared."""
    stream = Split(scenario="class", **FEW).build(0)
    learner = made(stream)
    before = learn(learner, stream[0])
    with pytest.warns(CapacityWarning, match=r"sema: classes of different tasks are never compared.*\(\.24 of split"):
        after = learn(learner, stream[1])
    rows = (before["backbone.output.weight"] != after["backbone.output.weight"]).any(1)
    assert np.flatnonzero(rows.numpy()).tolist() == list(stream[1].classes)


def test_adapters_by_hand() -> None:
    stream = Permuted(tasks=2, **FEW).build(1)
    learner = made(stream, hidden=(40, 30), threshold=1e-6)  # everything is new
    for task in stream:
        learn(learner, task)
    net = learner.net
    assert [int(layer.count) for layer in net.layers] == [2, 2]
    backbone = net.backbone
    with torch.no_grad():
        spikes = torch.from_numpy(stream[0].test.x).float().transpose(0, 1) / 255
        added = torch.zeros(backbone.weights[0].in_features)
        for weights, neurons, layer in zip(backbone.weights, backbone.neurons, net.layers, strict=True):
            current = (spikes + added) @ weights.weight.T + weights.bias
            spikes = neurons(current.expand(4, -1, -1).contiguous())[0]
            r = spikes.mean(0)
            normal = (r - r.mean(1, keepdim=True)) / (r.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
            odds = torch.stack([router(r)[:, 0] for router in layer.routers]).exp()
            added = torch.zeros_like(r)
            for share, a in zip(odds / odds.sum(0), layer.adapters, strict=True):
                inputs = normal * a[0].weight + a[0].bias
                added += share[:, None] * (torch.relu(inputs @ a[1].weight.T + a[1].bias) @ a[3].weight.T)
            assert added.abs().max() > 0
        expected = (r + added) @ backbone.output.weight.T + backbone.output.bias
    np.testing.assert_allclose(learner.scores(stream[0].test.x, None), expected, rtol=1e-4, atol=1e-5)
    names = [layer.name for layer in learner.work(stream[0].test.x)]
    assert names[:3] == ["hidden 1", "hidden 1 router 1", "hidden 1 adapter 1 down"]
    assert names[7:9] == ["adapters into hidden 2", "hidden 2"] and names[-1] == "output"


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
    # Steps of a task write the head and a new adapter with its router, then its descriptor, never the backbone.
    net = learner.net
    newest = [net.backbone.output, *(getattr(net.layers[0], name)[1] for name in ("adapters", "routers"))]
    sizes = [sum(p.numel() for part in newest for p in part.parameters())]
    if int(net.layers[0].count) == 2:
        sizes.append(sum(p.numel() for p in net.layers[0].descriptors[1].parameters()))
    else:
        sizes = [sum(p.numel() for p in net.backbone.output.parameters())]
    assert learner.updates == 2 * -(-80 // 32) * sum(sizes)
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
