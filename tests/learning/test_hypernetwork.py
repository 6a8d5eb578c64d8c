"""The hypernetwork learner: what it wrote for earlier tasks stays, by a penalty that is what its docstring says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurosim.learning import Stream
from neurosim.learning.continual.streams import Split

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def stream() -> Stream:
    return Split(scenario="task", train_limit=80, validation_limit=10, test_limit=60).build(0)


def made(stream: Stream, **settings: Any) -> Any:
    from neurosim.learning.continual.learners.hypernetwork import Hypernetwork, HypernetworkSettings

    small = HypernetworkSettings(hidden=(40,), epochs=6, steps=4, learning_rate=3e-3, chunk=1000, width=40, samples=20)
    return Hypernetwork(stream.problem, replace(small, **settings))


def learned(learner: Any, stream: Stream, count: int) -> Any:
    for task in list(stream)[learner.learned : count]:
        learner.begin(task)
        learner.learn(task)
    return learner


@pytest.mark.parametrize("dependency", [False, True])
def test_the_net_of_an_earlier_task_stays(stream: Stream, dependency: bool) -> None:
    """Without the penalty the weights written for the first task change more than ten times as much."""
    moved = {}
    for strength in (0.0, 1.0):
        learner = learned(made(stream, strength=strength, dependency=dependency), stream, 1)
        before = learner.net(learner.net.tasks[:1]).detach()
        learned(learner, stream, 3)
        change = (learner.net(learner.net.tasks[:1]) - before).square().detach()
        if dependency:
            weights = learner.extra["importance"]["weights"]
        else:
            weights = torch.ones(5, 1)
        moved[strength] = float((change * weights[0]).sum())
        answers = learner.predict(stream[0].test.x, 0)
    assert moved[1.0] < moved[0.0] / 10
    assert (answers == stream[0].test.y).mean() > 0.9
    if dependency:
        torch.testing.assert_close(weights.mean(1), torch.ones(5))
        assert float(weights[0].std()) > 0.1 and bool((weights[3:] == 1).all())


@pytest.mark.parametrize("dependency", [False, True])
def test_the_penalty(stream: Stream, dependency: bool) -> None:
    from neurosim.learning.continual.learners import common

    learner = learned(made(stream, dependency=dependency), stream, 2)
    learner.begin(stream[2])
    batch = common.ItemBatch.of(stream[2].test, common.allowed_classes(stream.problem, 2), common.CPU)
    with torch.no_grad():
        then = learner.net(learner.net.tasks[:2])
        learner.net.chunks.add_(0.01)
        losses = {}
        for strength in (0.0, 1.0):
            learner.settings = replace(learner.settings, strength=strength)
            losses[strength] = float(learner.objective(batch, torch.Generator()))
        change = (learner.net(learner.net.tasks[:2]) - then).square()
        change = change * (learner.extra["importance"]["weights"][:2] if dependency else 1)
    assert losses[1.0] - losses[0.0] == pytest.approx(float(change.sum()) / 2, rel=1e-3) and float(change.sum()) > 0


def test_an_item_that_comes_alone_is_answered_by_the_surest_net(stream: Stream) -> None:
    learner = learned(made(stream), stream, 2)
    x = stream[1].test.x[:20]
    sure = []
    for k in (0, 1):
        shares = learner.scores(x, k)[:, list(stream.problem.groups[k])]
        odds = np.exp(shares - shares.max(axis=1, keepdims=True))
        odds /= odds.sum(axis=1, keepdims=True)
        sure.append((odds * np.log(odds)).sum(axis=1))
    chosen = np.argmax(sure, axis=0)
    alone = learner.scores(x, None).argmax(axis=1)
    assert [int(c) for c in chosen] == [next(k for k in (0, 1) if a in stream.problem.groups[k]) for a in alone]


@pytest.mark.parametrize("dependency", [False, True])
def test_the_work_of_writing_is_counted(stream: Stream, dependency: bool) -> None:
    learner = learned(made(stream, dependency=dependency), stream, 1)
    layers = {layer.name: layer for layer in learner.work(stream[0].test.x[:3], 0)}
    chunks = len(learner.net.chunks)
    size = 2 * learner.settings.embedding
    first = layers["writer ih" if dependency else "writer hidden"]
    assert first.dense_operations == chunks * size * 40 * (4 if dependency else 1)
    assert layers["writer output"].dense_operations == chunks * 40 * 1000
    assert layers["output"].weights == 40 * 10


@pytest.mark.parametrize("dependency", [False, True])
def test_a_writer_that_grows_writes_what_it_wrote(stream: Stream, dependency: bool) -> None:
    """Two tasks, then 15 more units: the same weights, which the new units change as they learn; it is restored."""
    settings: dict[str, Any] = {"dependency": dependency, "grow_every": 2, "grow": 15, "epochs": 1}
    learner = learned(made(stream, **settings), stream, 2)
    net = learner.net
    with torch.no_grad():
        before = net(net.tasks[:2])
        learner.begin(stream[2])
        after = net(net.tasks[:2])
    assert net.width == 55
    torch.testing.assert_close(after, before, rtol=0, atol=1e-6)
    learner.learn(stream[2])
    assert bool(net.output.weight[:, 40:].any())
    again = made(stream, **settings)
    again.restore(learner.state(), [stream[i] for i in range(3)])
    x = stream[1].test.x
    np.testing.assert_array_equal(again.scores(x, 1), learner.scores(x, 1))
    assert again.net.width == 55
