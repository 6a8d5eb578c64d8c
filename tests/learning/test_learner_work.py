"""The work of learners: counted by looking at every entry, with what they write and what they hold."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from helpers import bruteforce
from numpy.typing import NDArray

from neurosim.base import NeurosimInputError
from neurosim.base.random import rng_key
from neurosim.engine import LayerCounts, energy, measure
from neurosim.learning import Learner, Problem, Stream, Task, features
from neurosim.learning.continual.learners import LEARNERS, kind
from neurosim.learning.continual.streams import Permuted

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")
NET = {"hidden": (12, 9), "epochs": 2, "batch": 10, "steps": 3}
SMALL: dict[str, dict[str, Any]] = {
    "nearest_mean": {},
    "slda": {},
    "random_features": {"features": 30},
    "random_filters": {"filters": 4, "side": 3, "pool": 2},
    "patches": {"filters": 4, "side": 3, "pool": 2},
    **dict.fromkeys(("plain", "joint", "si"), NET),
    **{name: {**NET, "memory": 8} for name in ("replay", "latent", "derpp")},
    "lwf": NET,
    "gpm": {**NET, "samples": 5},
    "sema": {**NET, "width": 5, "descriptor": 4},
    "ewc": {**NET, "samples": 5},
    "hypernetwork": {**NET, "chunk": 300, "width": 10},
    "hlop": {**NET, "hidden": (40,)},
    "dendrites": {"units": 20, "density": 0.2, "epochs": 2, "batch": 10},
    "macrocolumn": {"columns": 5, "field": 8, "units": 8},
    "liquid": {"neurons": 12, "windows": 2},
    "projected": {"neurons": 12, "windows": 2, "rows": (3, 2)},
}


@pytest.fixture(scope="module")
def stream() -> Stream:
    return Permuted(tasks=2, train_limit=25, validation_limit=10, test_limit=7).build(1)


@pytest.fixture(scope="module")
def learned(stream: Stream) -> dict[str, Any]:
    """Every learner after both tasks, with what it wrote in the first."""
    found = {}
    for name in LEARNERS:
        learner: Any = kind(name)(stream.problem, kind(name).SETTINGS(**SMALL[name]))
        learner.first = []
        for task in stream:
            learner.begin(task)
            before = learner.state()
            learner.learn(task)
            learner.first.append((learner.updates, before, learner.state()))
        found[name] = learner
    return found


def counts(layer: LayerCounts, names: Any) -> dict[str, Any]:
    return {name: getattr(layer, name) for name in names}


def same(layer: LayerCounts, *arrays: Any) -> None:
    expected = bruteforce.count(*arrays)
    assert counts(layer, expected) == expected


@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_counts_its_work_and_stays_as_it_is(name: str, learned: dict[str, Any], stream: Stream) -> None:
    learner = learned[name]
    items = stream[1].test
    before = learner.state()
    scores = learner.scores(items.x, None)
    layers = learner.work(items.x)
    held = learner.memory_bytes()
    assert all(np.array_equal(array, before[key]) for key, array in learner.state().items())
    assert np.array_equal(learner.scores(items.x, None), scores)
    assert all(0 < layer.synaptic_operations <= layer.dense_operations for layer in layers)
    estimate = energy(layers, len(items))
    assert not estimate.reasons and estimate.memory_aware is not None
    assert learner.updates > 0 and all(size > 0 for size in held.values())


@pytest.mark.parametrize("name", ["plain", "joint", "replay", "latent", "derpp", "lwf", "gpm", "ewc", "si"])
def test_a_spiking_net(name: str, learned: dict[str, Any], stream: Stream) -> None:
    """A constant image is multiplied once; the neurons behind it run for three steps."""
    net = learned[name].net
    x = stream[1].test.x
    spikes = np.repeat(x / np.float32(255), 3, axis=1).astype(np.float32)
    decay = np.float32(np.exp(-0.01 / 0.02))
    threshold = np.float32(0.5)
    layers = learned[name].work(x)
    for k, linear in enumerate(net.weights):
        w = linear.weight.detach().numpy().T
        bias = linear.bias.detach().numpy()
        out = np.zeros((len(x), 3, w.shape[1]))
        states = np.zeros((len(x), 3, w.shape[1]))
        v = np.zeros((len(x), w.shape[1]), np.float32)
        for t in range(3):
            u = decay * v + (spikes[:, t] @ w + bias)
            out[:, t] = u > threshold
            v = np.where(u > threshold, u - threshold, u)
            states[:, t] = v
        if k:
            same(layers[k], w, spikes, out, states)
        else:
            once = bruteforce.count(w, spikes[:, :1], out[:, :1])
            units = bruteforce.count(w, spikes, out, states)
            assert counts(layers[0], names := ("synaptic_operations", "dense_operations", "input_events")) == {
                name: once[name] for name in names
            }
            units_of = ("output_events", "output_entries", "membrane_updates", "dense_membrane_updates", "steps")
            assert counts(layers[0], units_of) == {name: units[name] for name in units_of}
        spikes = out
    rates = spikes.mean(axis=1, keepdims=True)
    w = net.output.weight.detach().numpy().T
    same(layers[-1], w, rates, rates @ w + net.output.bias.detach().numpy())


def test_hebbian_projection(learned: dict[str, Any], stream: Stream) -> None:
    """Lateral neurons work in training alone: answering is a plain net with inputs of every sign."""
    learner = learned["hlop"]
    x = stream[1].test.x
    shift, size = learner.scale.astype(np.float32)
    spikes = np.repeat((x / np.float32(255) - shift) / size, 3, axis=1)
    layers = learner.work(x)
    for k, layer in enumerate(learner.network.layers):
        w = layer.weight.detach().numpy().T
        if k == 1:
            same(layers[1], w, spikes, spikes @ w)
            return
        out = np.zeros((len(x), 3, w.shape[1]), np.float32)
        v = np.zeros((len(x), w.shape[1]), np.float32)
        for t in range(3):
            u = np.float32(0.5) * v + spikes[:, t] @ w
            out[:, t] = u > 1
            v = np.where(u > 1, u - 1, u)
        found = bruteforce.count(w, spikes[:, :1] if k == 0 else spikes, out[:, :1] if k == 0 else out)
        expected = ("synaptic_operations", "dense_operations", "binary_input")
        assert counts(layers[k], expected) == {name: found[name] for name in expected}
        assert layers[k].output_events == np.count_nonzero(out)
        spikes = out


def test_active_dendrites(learned: dict[str, Any], stream: Stream) -> None:
    learner = learned["dendrites"]
    x = stream[1].test.x
    inputs = (x.reshape(len(x), -1) / np.float32(255) - learner.level[0]) / learner.level[1]
    contexts = learner.contexts
    layers = learner.work(x, 1)
    assert [layer.name for layer in layers] == [
        "first segments", "first", "second segments", "second", "output"
    ]  # fmt: skip
    segments = learner.net.first.segments.detach().numpy().reshape(60 * 2 // 3, -1)
    same(layers[0], segments.T, contexts[1][None, None], (contexts[1] @ segments.T)[None, None])
    first = learner.net.first(torch.from_numpy(inputs), torch.from_numpy(contexts[1])).detach().numpy()
    same(layers[1], learner.net.first.weights.detach().numpy().T, inputs[:, None], first[:, None])
    # Items that come alone are compared with the context of every task met, and each context met is used once.
    alone = learner.work(x)
    near = ((inputs[:, None] - contexts) ** 2).sum(axis=2).argmin(axis=1)
    assert alone[0].name == "contexts"
    assert alone[0].synaptic_operations == 2 * np.count_nonzero(inputs) - np.sum(
        [np.count_nonzero((inputs != 0) & (context == 0)) for context in contexts]
    )
    assert alone[1].steps == len(np.unique(near))


def test_macrocolumns(learned: dict[str, Any], stream: Stream) -> None:
    learner = learned["macrocolumn"]
    x = stream[1].test.x
    level, votes = learner.work(x)
    fields = learner.hierarchy.levels[0].fields
    logs = learner._logs()
    on = np.concatenate([x[:, 0] > threshold for threshold in (64, 128, 192)], axis=1)
    both = np.concatenate([on, ~on], axis=1)
    operations = 0
    selected = 0
    codes = learner.hierarchy.recall_many(learner.memory, both[:, None])[0].codes
    for item, winners in zip(both, codes, strict=True):
        for m, field in enumerate(fields):
            operations += int(item[field].sum()) * 16
            for q, k in enumerate(winners[m]):
                selected += np.count_nonzero(logs[0, m, q, k])
    assert level.synaptic_operations == operations and level.input_events == operations // 16
    assert level.output_events == votes.input_events == codes.size
    assert votes.synaptic_operations == selected and votes.weights == 5 * 16 * 10
    # Written: binary weights turned on, and a counter for each winner.
    for updates, before, after in learner.first:
        turned = [int(np.unpackbits(arrays["u"].view(np.uint8)).sum()) for arrays in (before, after)]
        counted = [int(arrays["counts"].sum()) for arrays in (before, after)]
        assert updates == turned[1] - turned[0] + counted[1] - counted[0]


def test_a_liquid_and_its_readout(learned: dict[str, Any], stream: Stream) -> None:
    learner = learned["liquid"]
    x = stream[1].test.x
    spikes = learner.liquid.run(learner.settings.recordings(learner.problem, x), threads=1).spikes["liquid"]
    z = features(spikes, "counts", 2, "time")
    liquid, readout = learner.work(x)
    weights = (learner.weights[:, :-1] / learner.scale[:-1]).T
    same(readout, weights, z[:, None], (z @ weights)[:, None])
    assert liquid.output_events == len(spikes.units) and liquid.membrane_updates is not None
    # 25 items in one part: the sums once, then the readout.
    assert learner.updates == 25**2 + 10 * 25 + 10 + 10 * 25


def test_a_projected_readout(learned: dict[str, Any], stream: Stream) -> None:
    """A neuron that spikes in a window of 50 ms selects a weight of each class, in that window's slot."""
    learner = learned["projected"]
    x = stream[1].test.x
    played = learner.settings.recordings(learner.problem, x)
    spikes = learner.liquid.run(played, threads=1).spikes["liquid"]
    window = spikes.ticks // 50
    item = np.repeat(np.arange(len(spikes)), np.diff(spikes.offsets))
    selected = len(np.unique(np.stack([item, window, spikes.units]), axis=1).T) * 10
    liquid, readout = learner.work(x)
    assert readout.synaptic_operations == selected and liquid.output_events == len(spikes.units)
    # Every item writes a row for each class met so far, and the lateral rows of its task.
    for task, (updates, _, _), rows in zip(stream, learner.first, (3, 2), strict=True):
        before = [] if task.index == 0 else stream[0].train.y
        order = np.random.Generator(
            np.random.Philox(key=rng_key(learner.problem.seed, "learner", "projected", str(task.index)))
        ).permutation(25)
        met = [len(set(before) | set(task.train.y[order[: k + 1]])) for k in range(25)]
        assert updates == 24 * (sum(met) + 25 * rows)
    assert learner.memory_bytes()["readout"] == 4 * 24 * 10
    assert learner.memory_bytes()["lateral"] == 5 * (4 * 24 + 8)


def test_least_squares_are_ridge_regression_of_all_items(stream: Stream) -> None:
    """After both tasks, each item met once; state goes on bit for bit; the weights of all pairs are counted."""
    settings = kind("projected").SETTINGS(neurons=12, windows=2, penalty=2.0)
    learner: Any = kind("projected")(stream.problem, settings)
    rows = []
    targets = []
    for task in stream:
        learner.begin(task)
        resumed: Any = kind("projected")(stream.problem, settings)
        if task.index:
            resumed.restore(learner.state(), list(stream)[: task.index])
            resumed.begin(task)
            resumed.learn(task)
        learner.learn(task)
        played = learner.settings.recordings(learner.problem, task.train.x)
        spikes = learner.liquid.run(played, threads=1).spikes["liquid"]
        counted = np.zeros((len(spikes), 2, 12))  # by windows of 50 ms
        item = np.repeat(np.arange(len(spikes)), np.diff(spikes.offsets))
        np.add.at(counted, (item, spikes.ticks // 50, spikes.units), 1.0)
        rows.append(np.sqrt(counted).reshape(-1, 24))
        targets.append(np.eye(10)[task.train.y])
    x = np.concatenate(rows).astype(np.float64)
    t = np.concatenate(targets)
    ridge = np.linalg.solve(x.T @ x + 2.0 * np.eye(24), x.T @ t).T
    np.testing.assert_allclose(learner.weights["weights"], ridge, atol=1e-4)
    assert all(np.array_equal(resumed.state()[name], value) for name, value in learner.state().items())
    assert learner.updates == 25 * 24 * (10 + 24)
    assert learner.memory_bytes()["pairs"] == 8 * 24 * 24
    with pytest.raises(NeurosimInputError, match=r"ProjectedSettings\.epochs: must be 1 with a penalty"):
        kind("projected").SETTINGS(penalty=1.0, epochs=2)


def test_updates_of_gradient_learners(learned: dict[str, Any]) -> None:
    """One for each weight and step of the optimiser: 25 items in batches of 10, twice, are six steps."""
    net = 64 * 12 + 12 + 12 * 9 + 9 + 9 * 10 + 10
    for name in ("plain", "replay", "ewc", "si"):
        assert [updates for updates, _, _ in learned[name].first] == [6 * net, 6 * net]
    # Both tasks together: 50 items.
    assert [updates for updates, _, _ in learned["joint"].first] == [6 * net, 10 * net]
    weights = 64 * 40 + 40 * 10
    sizes = (64, 40)
    for task, (updates, _, _) in enumerate(learned["hlop"].first):
        rows = learned["hlop"].settings.rows(task, sizes, sizes)
        assert updates == 6 * (weights + 5 * sum(r * n for r, n in zip(rows, sizes, strict=True)))
    trained = 20 * 32 + 20 + 20 * 10 + 20 + 20 * 10 + 10 + 20 * 64 * 2
    assert [updates for updates, _, _ in learned["dendrites"].first] == [6 * trained, 6 * trained]


def test_memory_of_every_method(learned: dict[str, Any], stream: Stream) -> None:
    parameters = 4 * (64 * 12 + 12 + 12 * 9 + 9 + 9 * 10 + 10)
    held = {name: learner.memory_bytes() for name, learner in learned.items()}
    constants = held["plain"]["weights"] - parameters
    assert 0 < constants <= 8 * 2 * 2  # two float64 of each hidden layer
    assert held["replay"] == {"weights": parameters + constants, "memory": 8 * (64 + 8 + 8)}
    assert held["joint"] == {"weights": parameters + constants, "tasks": 2 * (25 + 10) * (64 + 8)}
    assert held["ewc"] == {"weights": parameters + constants, "fisher": parameters, "mean": parameters}
    assert held["si"] == {"weights": parameters + constants, "importance": parameters, "before": parameters}
    rows = np.sum([learned["hlop"].settings.rows(t, (64, 40), (64, 40)) for t in (0, 1)], axis=0)
    assert held["hlop"]["lateral"] == 4 * int(rows @ (64, 40))
    assert held["dendrites"]["contexts"] == 4 * (2 * 64 + 2)
    assert held["macrocolumn"]["labels"] == 4 * (5 * 16 * 10 + 5 * 16 + 10)
    assert held["liquid"]["sums"] == 8 * (25**2 + 10 * 25 + 10 + 25 + 25)


def test_a_learner_of_ones_own_says_that_it_does_not_count(stream: Stream) -> None:
    class Constant(Learner):
        def begin(self, task: Task) -> None: ...

        def learn(self, task: Task, on_progress: Any = None) -> None: ...

        def scores(self, x: NDArray[np.uint8], task: int | None) -> NDArray[Any]:
            return np.zeros((len(x), 10))

        def state(self) -> dict[str, NDArray[Any]]:
            return {"weights": np.array([1.0, 0.0, 2.0]), "learned": np.array(0)}

        def restore(self, arrays: Any, earlier: Any) -> None: ...

    learner = Constant(Problem(1, 64, stream.problem.groups))
    (layer,) = learner.work(stream[0].test.x)
    found = measure([layer], 7, 0.0)
    assert learner.updates is None and learner.memory_bytes() == {"state": 24 + 8}
    assert found["synaptic_operations.Dense"] is None and found["footprint"] == 24
    assert found.reasons["synaptic_operations.Dense"] == "Constant: Constant does not count its work"
    assert (layer.weights, layer.nonzero_weights, layer.weight_bits) == (3, 2, 64)


def test_a_recording_is_counted_at_every_step() -> None:
    """Items of three steps are no constants: every step has a product."""
    problem = Problem(3, 4, ((0, 1),))
    learner: Any = kind("plain")(problem, kind("plain").SETTINGS(hidden=(5,)))
    x = (np.random.default_rng(0).random((6, 3, 4)) < 0.4).astype(np.uint8) * 255
    hidden, output = learner.work(x)
    assert hidden.dense_operations == 6 * 3 * 4 * 5 and hidden.binary_input
    assert hidden.synaptic_operations == np.count_nonzero(x) * 5
    assert output.dense_operations == 6 * 5 * 2
    still = learner.work(x[:, :1])
    assert [layer.dense_operations for layer in still] == [6 * 4 * 5, 6 * 5 * 2]


def test_layers_of_every_size_fit_the_table(learned: dict[str, Any], stream: Stream) -> None:
    for learner, task in itertools.product(learned.values(), stream):
        layers = learner.work(task.test.x, task.index)
        measures = measure(layers, len(task.test), 0.0)
        # A readout of the inputs alone has no activations.
        without = {"activation_sparsity"} if len(layers) == 1 else set()
        assert set(measures.reasons) == {"spikes_per_neuron_second", "events_in"} | without
