"""Learners whose neurons are populations of the engine, against the same learners by their libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from neurosim.base import NeurosimInputError
from neurosim.learning import Stream
from neurosim.learning.continual.encoding import spike_counts
from neurosim.learning.continual.learners import kind
from neurosim.learning.continual.streams import Permuted, Split

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module", params=["digits", "digits-events"])
def stream(request: pytest.FixtureRequest) -> Stream:
    """Images, and recordings of three steps."""
    return Split(source=request.param, windows=3, train_limit=40, validation_limit=10, test_limit=30).build(1)


def both(name: str, stream: Stream, tasks: int, **settings: Any) -> tuple[Any, Any]:
    """A learner by its library and in the engine, after some tasks."""
    owner = kind(name)
    found = [owner(stream.problem, owner.SETTINGS(**settings, engine=engine)) for engine in (False, True)]
    for learner in found:
        for task in list(stream)[:tasks]:
            learner.begin(task)
            learner.learn(task)
    return found[0], found[1]


def test_columns_are_the_same_bit_for_bit(stream: Stream) -> None:
    library, engine = both("macrocolumn", stream, 2, columns=6, field=12, units=16)
    arrays = library.state()
    others = engine.state()
    assert arrays.keys() == others.keys() and all(np.array_equal(arrays[n], others[n]) for n in arrays)
    x = stream[0].test.x
    assert np.array_equal(library.scores(x, None), engine.scores(x, None))
    assert library.updates == engine.updates and library.memory_bytes() == engine.memory_bytes()
    level, votes = library.work(x)
    columns, same = engine.work(x)
    assert votes == same
    # The engine counts spikes of the source, the library those that reach each column.
    for name in ("synaptic_operations", "dense_operations", "output_events", "weights", "nonzero_weights", "steps"):
        assert getattr(columns, name) == getattr(level, name), name
    assert columns.input_events == len(x) * x.shape[1] * 3 * x.shape[2]


NETS: dict[str, dict[str, Any]] = {
    "dendrites": {"units": 60, "density": 0.1, "epochs": 2},
    "hlop": {"hidden": (30, 20), "epochs": 2, "batch": 10},
}


def in_engine(name: str, stream: Stream, tasks: int, **settings: Any) -> Any:
    owner = kind(name)
    learner = owner(stream.problem, owner.SETTINGS(**{**NETS[name], **settings}, engine=True))
    for task in list(stream)[:tasks]:
        learner.begin(task)
        learner.learn(task)
    return learner


def test_dendrites_answer_as_the_net_that_learned(stream: Stream) -> None:
    """The engine's bursts are those of torch: scores of single items differ by rounding alone."""
    learner = in_engine("dendrites", stream, 2)
    x = stream[0].test.x
    net = learner.net.eval()
    inputs = learner._inputs(x)
    for t in (0, 1):
        context = learner._context(t)
        # The mean input of the task, rounded to spikes.
        assert np.abs(context - learner.contexts[t]).max() <= 0.5001 * learner._scale.size
        expected = net(inputs, torch.from_numpy(context)).detach().numpy()
        np.testing.assert_allclose(learner.scores(x, t), expected, atol=1e-4)
    # An item that comes alone is answered under the context whose mean is nearest.
    means = learner.contexts[:2]
    nearest = np.square(inputs.numpy()[:, None] - means).sum(axis=2).argmin(axis=1)
    under = np.array([learner.scores(x, t) for t in (0, 1)])[nearest, np.arange(len(x))]
    np.testing.assert_allclose(learner.scores(x, None), under, atol=1e-4)


def test_operations_of_dendrites_are_those_that_spikes_select(stream: Stream) -> None:
    learner = in_engine("dendrites", stream, 1)
    x = stream[0].test.x
    first, second, output = learner.work(x, 0)
    counts = np.broadcast_to(spike_counts(x, 8), (len(x), stream.problem.steps, x.shape[2])).reshape(len(x), -1)
    # One more is always on. The context comes once, with the first item.
    context = 1 + np.count_nonzero(np.rint(8 * (stream[0].train.x / 255).mean(axis=0)))
    segments = context * 60 * stream.problem.tasks
    net = learner.net
    given = torch.from_numpy(learner._context(0))
    hidden = net.first(learner._inputs(x), given)
    bursts = np.rint(hidden.detach().numpy() * 8), np.rint(net.second(hidden, given).detach().numpy() * 8)
    for layer, weights, events, burst in zip(
        (first, second), (net.first.weights, net.second.weights), (counts, bursts[0]), bursts, strict=True
    ):
        fan_out = np.count_nonzero(weights.detach().numpy(), axis=0)
        assert layer.synaptic_operations == ((events > 0) @ fan_out).sum() + segments
        assert layer.input_events == np.count_nonzero(events) + context
        assert layer.output_events == burst.sum() and layer.steps == len(x)
    assert output.input_events == np.count_nonzero(bursts[1])


@pytest.mark.parametrize("hidden", [(30, 20), ()])
def test_projection_answers_as_the_net_that_learned(stream: Stream, hidden: tuple[int, ...]) -> None:
    """Every spike of the engine is one of torch, so that scores differ by rounding alone."""
    learner = in_engine("hlop", stream, 2, hidden=hidden)
    x = stream[0].test.x
    drive = spike_counts(x, 4) / (4 * learner.scale[1])
    driven = torch.from_numpy(drive.astype(np.float32))
    images = stream.problem.steps == 1
    if images:
        steps = learner.network.training_by.steps
    else:
        steps = stream.problem.steps
    if images:
        driven = driven.expand(-1, steps, -1).transpose(0, 1)
    else:
        driven = driven.transpose(0, 1)
    np.testing.assert_allclose(learner.scores(x, None), learner.network(driven).detach().numpy(), atol=1e-4)
    layers = learner.work(x)
    expected = learner.network.work(driven.contiguous())
    assert [layer.name for layer in layers] == [layer.name for layer in expected]
    if hidden:
        # The first layer goes on for a step after the last input.
        assert layers[1].input_events >= expected[1].input_events
    counts = np.broadcast_to(spike_counts(x, 4), (len(x), steps, x.shape[2]))
    fan_out = np.count_nonzero(learner.network.layers[0].weight.detach().numpy(), axis=0)
    selected = counts if hidden else counts.sum(axis=1) > 0
    assert layers[0].synaptic_operations == (selected @ fan_out).sum()


def test_what_the_engine_cannot_run_is_refused() -> None:
    settings = kind("hlop").SETTINGS
    words = r"HlopSettings.training: must be bptt or online for the engine to answer \(got rate\)"
    with pytest.raises(NeurosimInputError, match=words):
        settings(engine=True, training="rate")
    for name in NETS:
        with pytest.raises(NeurosimInputError, match=r"Settings.spikes: must be >= 1"):
            kind(name).SETTINGS(spikes=0)


@pytest.mark.parametrize("name", NETS)
def test_a_learner_in_the_engine_goes_on_from_its_state(name: str, stream: Stream) -> None:
    whole = in_engine(name, stream, 2)
    half = in_engine(name, stream, 1)
    again = type(half)(stream.problem, half.settings)
    again.restore(half.state(), [stream[0]])
    again.begin(stream[1])
    again.learn(stream[1])
    one = whole.state()
    two = again.state()
    assert one.keys() == two.keys() and all(np.array_equal(one[key], two[key]) for key in one)
    assert np.array_equal(whole.scores(stream[0].test.x, None), again.scores(stream[0].test.x, None))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_as_accurate_as_without_the_engine(name: str) -> None:
    """Within two standard deviations over seeds, on three tasks."""
    small = {"hlop": {"hidden": (100,), "epochs": 8, "batch": 16}, "dendrites": {"units": 256, "epochs": 8}}
    found: NDArray[np.float64] = np.zeros((2, 3))
    for seed in range(3):
        stream = Permuted(tasks=3, train_limit=600, test_limit=200).build(seed)
        for engine in (False, True):
            owner = kind(name)
            learner = owner(stream.problem, owner.SETTINGS(**small[name], engine=engine))
            for task in stream:
                learner.begin(task)
                learner.learn(task)
            right = [np.mean(learner.predict(t.test.x) == t.test.y) for t in stream]
            found[int(engine), seed] = np.mean(right)
    spread = max(found.std(axis=1, ddof=1).max(), 0.01)
    assert found[1].mean() > found[0].mean() - 2 * spread, found
    assert found.min() > 0.6, found
