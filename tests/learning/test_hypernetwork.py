"""The hypernetwork learner: what it wrote for earlier tasks stays, by a penalty that is what its docstring says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.samples import sampled

from neurosim.base import NeurosimInputError
from neurosim.learning import Stream
from neurosim.learning.continual.streams import Split

torch = pytest.importorskip("torch")

FORMS: dict[str, dict[str, Any]] = {
    "chunks alone": {},
    "dependency": {"dependency": True},
    "by layer": {"dependency": True, "by": "layer"},
}


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


@pytest.mark.parametrize("dependency", sampled([False, True], [True]))
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


@pytest.mark.parametrize("form", list(FORMS))
def test_the_work_of_writing_is_counted(stream: Stream, form: str) -> None:
    learner = learned(made(stream, epochs=1, **FORMS[form]), stream, 1)
    layers = {layer.name: layer for layer in learner.work(stream[0].test.x[:3], 0)}
    chunks = len(learner.net.chunks)
    size = learner.settings.embedding
    operations = {name: layer.dense_operations for name, layer in layers.items() if name.startswith("writer")}
    output = {"writer output": chunks * 40 * 1000}
    if form == "chunks alone":
        assert operations == {"writer hidden": chunks * 2 * size * 40, **output}
    elif form == "dependency":
        assert operations == {"writer ih": chunks * 2 * size * 160, "writer hh": chunks * 40 * 160, **output}
    else:
        # A hidden layer of the spiking net, and its output.
        lstm = {"writer ih": 2 * 2 * size * 160, "writer hh": 2 * 40 * 160}
        assert operations == {**lstm, "writer hidden": chunks * (40 + size) * 40, **output}
    assert layers["output"].weights == 40 * 10


def test_by_layer_the_lstm_takes_a_step_for_each_layer(stream: Stream) -> None:
    learner = made(stream, **FORMS["by layer"])
    net = learner.net
    # 64 x 40 weights and 40 biases in chunks of 1,000; 40 x 10 and 10 in one.
    assert net.sizes == [2600, 410] and net.counts == [3, 1]
    with torch.no_grad():
        written = net(net.tasks[1:2])[0]
        h = c = torch.zeros(1, 40)
        place = 0
        for layer, (size, count) in enumerate(zip(net.sizes, net.counts, strict=True)):
            inputs = torch.cat([net.tasks[1], net.layers[layer]])[None]
            gates = inputs @ net.lstm.weight_ih_l0.T + h @ net.lstm.weight_hh_l0.T
            i, f, g, o = (gates + net.lstm.bias_ih_l0 + net.lstm.bias_hh_l0).chunk(4, -1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            chunks = net.chunks[place : place + count]
            place += count
            hidden = torch.relu(net.hidden(torch.cat([h.expand(count, -1), chunks], -1)))
            begin = sum(net.sizes[:layer])
            own = net.first[begin : begin + size] + net.output(hidden).flatten()[:size]
            torch.testing.assert_close(written[begin : begin + size], own)


@pytest.mark.parametrize("form", list(FORMS))
def test_a_writer_that_grows_writes_what_it_wrote(stream: Stream, form: str) -> None:
    """Two tasks, then 15 more units: the same weights, which the new units change as they learn; it is restored."""
    settings: dict[str, Any] = {"grow_every": 2, "grow": 15, "epochs": 1, **FORMS[form]}
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


def test_a_task_that_is_learned_badly_is_learned_again_by_a_wider_writer(stream: Stream) -> None:
    settings: dict[str, Any] = {"dependency": True, "grow": 15, "epochs": 1}
    patient = learned(made(stream, ceiling=10.0, **settings), stream, 1)
    assert patient.net.width == 40
    learner = learned(made(stream, ceiling=1e-9, **settings), stream, 2)
    # Once a task. Both times every weight is written at each of its steps, the second time with more of them.
    assert learner.net.width == 70 and learner.learned == 2
    assert learner.updates > 2 * patient.updates
    again = made(stream, ceiling=1e-9, **settings)
    again.restore(learner.state(), [stream[0], stream[1]])
    x = stream[0].test.x
    np.testing.assert_array_equal(again.scores(x, 0), learner.scores(x, 0))


def test_recurrent_weights_are_kept_by_their_importance(stream: Stream) -> None:
    from neurosim.learning.continual.learners import common

    settings: dict[str, Any] = {"dependency": True, "recurrent": 4.0, "strength": 0.0, "epochs": 1, "samples": 5}
    learner = learned(made(stream, grow_every=1, grow=15, **settings), stream, 1)
    learner.begin(stream[1])
    information = learner.extra["recurrent"]["fisher"]
    by_gate = information.unflatten(0, (4, 55))
    # What was learned is of the first 40 units, and the new ones are free.
    assert bool((by_gate[:, :40, :40] > 0).any()) and not by_gate[:, 40:].any() and not by_gate[:, :, 40:].any()
    batch = common.ItemBatch.of(stream[1].test, common.allowed_classes(stream.problem, 1), common.CPU)
    losses = {}
    with torch.no_grad():
        learner.net.recurrent.add_(0.5)
        for strength in (0.0, 4.0):
            learner.settings = replace(learner.settings, recurrent=strength)
            losses[strength] = float(learner.objective(batch, torch.Generator()))
    # lambda / 2 sum F (w - w')^2
    assert losses[4.0] - losses[0.0] == pytest.approx(2 * 0.25 * float(information.sum()), rel=1e-3)


def test_parts_of_the_lstm_need_it(stream: Stream) -> None:
    with pytest.raises(NeurosimInputError, match=r"HypernetworkSettings.by: must be 'chunk' without dependency"):
        made(stream, by="layer")
    with pytest.raises(NeurosimInputError, match=r"HypernetworkSettings.recurrent: must be 0 without dependency"):
        made(stream, recurrent=1.0)
