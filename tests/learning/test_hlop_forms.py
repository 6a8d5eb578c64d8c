"""HLOP networks whose errors go back through other weights, and networks with convolutions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from helpers.samples import sampled

from neurosim.base import NeurosimInputError
from neurosim.engine.description.dump import write_description
from neurosim.engine.description.parse import read_description
from neurosim.learning import (
    HLOPNetwork,
    ProjectedConv2d,
    ProjectedLinear,
    Subspace,
)
from neurosim.learning.continual.evaluation import evaluate
from neurosim.learning.continual.learners import kind
from neurosim.learning.continual.streams import Permuted, Split
from neurosim.learning.hlop.export import run_in_engine, to_network
from neurosim.learning.hlop.projected import ProjectedPicture
from neurosim.learning.hlop.trainings import BPTT
from neurosim.network import Convolution
from neurosim.network.synapses.patterns import AllToAll


@pytest.mark.parametrize("feedback", ["exact", "random", "sign"])
def test_errors_go_back_through_the_weights_of_the_feedback(feedback: str) -> None:
    layer = ProjectedLinear(6, 4, Subspace(6), seed=3, feedback=feedback)
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    grad = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    layer(x).backward(grad)
    weight = layer.weight.detach().clone()
    other = ProjectedLinear(6, 4, Subspace(6), seed=3, feedback=feedback)
    back = {"exact": weight, "random": layer.fixed, "sign": None if layer.fixed is None else layer.fixed.abs()}[
        feedback
    ]
    back = back * weight.sign() if feedback == "sign" else back
    assert torch.equal(x.grad, grad @ back)
    assert torch.allclose(layer.weight.grad, grad.T @ x), "the weight's gradient is the same"
    assert feedback == "exact" or (layer.fixed != weight).all()
    assert feedback == "exact" or torch.equal(layer.fixed, other.fixed), "drawn by the seed"
    # Signs follow the weights as they change; fixed weights do not.
    with torch.no_grad():
        layer.weight.neg_()
    assert torch.equal(layer.back(), back if feedback == "random" else -back)


def test_a_picture_in_a_row_is_convolved_as_a_picture() -> None:
    flat = ProjectedPicture((2, 8, 7), 3, 3, 2, Subspace(18), seed=5)
    plain = ProjectedConv2d(2, 3, 3, Subspace(18), stride=2, padding=1, seed=5)
    x = torch.randn(4, 5, 112, generator=torch.Generator().manual_seed(2))
    assert flat.out_shape == (3, 4, 4)
    assert torch.equal(flat(x), plain(x.reshape(20, 2, 8, 7)).reshape(4, 5, 48))
    # Each place of the output is the product of its patch.
    assert torch.allclose(flat.patches(x) @ flat.linear.weight.T, flat.by_place(flat(x)), atol=1e-6)


def network(**other: Any) -> HLOPNetwork:
    return HLOPNetwork((64, 20, 10), BPTT(4), picture=(1, 8, 8), filters=(4, 6), kernel=3, stride=2, **other)


def test_a_convolutional_network_keeps_what_frozen_neurons_span() -> None:
    """After a task the outputs for its inputs stay, where every direction of a patch is frozen."""
    net = network()
    assert net.sizes == (64, 4 * 16, 6 * 4, 20, 10) and net.features == [9, 36, 24, 20]
    x = torch.rand(12, 64, generator=torch.Generator().manual_seed(0))
    net.begin_task([9, 0, 0, 0])
    # Neurons that span all patches, as learning would find them in the end.
    first = net.layers[0].linear
    first.subspace.new.copy_(torch.eye(9))
    net.end_task()
    before = first.weight.detach().clone()
    net.begin_task([0, 0, 0, 0])
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.5)
    later = net.layers[1].linear.weight.detach().clone()
    net.gradients(x, torch.arange(12) % 10)
    optimizer.step()
    assert torch.allclose(first.weight, before, atol=1e-6) and not torch.allclose(net.layers[1].linear.weight, later)


def test_first_weights_are_scaled_until_every_layer_fires() -> None:
    net = network()
    x = torch.rand(20, 64, generator=torch.Generator().manual_seed(1))
    alike = network()
    for made in (net, alike):
        made.calibrate(x)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), alike.parameters(), strict=True))
    for layer, unit in zip(list(net.layers)[:-1], net.units, strict=True):
        x, _ = unit(layer(x).expand(4, -1, -1).contiguous())  # type: ignore[operator]
        assert 0.07 < float(x.detach().mean()) < 0.09


def test_its_work_is_counted_patch_by_patch() -> None:
    net = network(seed=1)
    x = (torch.rand(3, 64, generator=torch.Generator().manual_seed(4)) > 0.6).float()
    layers = {layer.name: layer for layer in net.work(x)}
    assert list(layers) == ["hidden 1", "hidden 2", "hidden 3", "output"]
    patches = torch.nn.functional.unfold(x.reshape(3, 1, 8, 8), 3, padding=1, stride=2)
    assert layers["hidden 1"].weights == 4 * 9 and layers["hidden 2"].weights == 6 * 36
    assert layers["hidden 1"].synaptic_operations == int((patches != 0).sum()) * 4


@pytest.mark.parametrize("hidden", [(20,), ()])
def test_convolutions_run_in_the_engine_as_convolutions(hidden: tuple[int, ...], tmp_path: Path) -> None:
    net = HLOPNetwork(
        (98, *hidden, 10), BPTT(4), picture=(2, 7, 7), filters=(4, 6), kernel=3, stride=2, seed=3
    )  # fmt: skip
    draws = np.random.default_rng(5)
    counts = draws.poisson(0.4, (6, 4, 98))
    x = torch.from_numpy(counts.astype(np.float32) / 2).transpose(0, 1)
    net.calibrate(x)
    result = run_in_engine(net, counts, 0.5)
    with torch.no_grad():
        np.testing.assert_allclose(np.concatenate(result.readings["output"]), net(x).numpy(), atol=1e-4)
    described = to_network(net, 4, 0.5)
    patterns = {projection.target: projection.pattern for projection in described.projections}
    convolved = ("hidden 1", "hidden 2")
    assert all(isinstance(patterns.pop(name), Convolution) for name in convolved)
    assert all(isinstance(pattern, AllToAll) for pattern in patterns.values()) and len(patterns) == len(hidden)
    # An event is an operation for each weight of the kernel that reaches a place, and a weight is stored once.
    ones = torch.ones(1, 4, 3, 3)
    fan_out = torch.nn.functional.conv_transpose2d(torch.ones(1, 4, 4, 4), ones.transpose(0, 1), stride=2, padding=1)
    first = result.work[0]
    events = counts.sum(axis=(0, 1)).reshape(2, 49)
    assert first.synaptic_operations == (events @ fan_out.reshape(49).numpy()).sum()
    assert first.dense_weights == 4 * 2 * 9 and result.work[1].dense_weights == 6 * 4 * 9
    assert first.shared_bytes < first.parameter_bytes
    # In TOML the kernel is written, not the synapses that it makes.
    path = tmp_path / "net.toml"
    write_description(path, described)
    again = read_description(path).network
    for one, other in zip(described.projections, again.projections, strict=True):
        if one.target in convolved:
            assert np.array_equal(one.pattern.kernel, other.pattern.kernel)
    shapes = {population.name: population.shape for population in again.populations}
    assert shapes["hidden 1"] == (4, 4, 4) and shapes["hidden 2"] == (6, 2, 2)


def test_shapes_and_names_are_checked() -> None:
    with pytest.raises(NeurosimInputError, match=r"HLOPNetwork.picture: must unfold to the 64 inputs"):
        HLOPNetwork((64, 10), picture=(1, 7, 8), filters=(4,))
    settings = kind("hlop").SETTINGS
    with pytest.raises(NeurosimInputError, match=r"HlopSettings.shape: must be \(height, width\)"):
        settings(filters=(4,))
    with pytest.raises(NeurosimInputError, match=r"HlopSettings.feedback: unknown name 'signs'; did you mean 'sign'"):
        settings(feedback="signs")


FORMS: list[Any] = [{"filters": (6, 8), "shape": (8, 8)}, {"feedback": "random"}, {"feedback": "sign"}]


@pytest.mark.parametrize("other", sampled(FORMS, FORMS[:1]))
def test_every_form_learns_task_after_task_and_goes_on(other: dict[str, Any]) -> None:
    recipe = Permuted if "feedback" in other else Split
    limits = {"validation_limit": 20, "test_limit": 60}
    if recipe is Permuted:
        stream = recipe(tasks=2, train_limit=200, **limits).build(0)
    else:
        stream = recipe(scenario="task", train_limit=100, **limits).build(0)
    owner = kind("hlop")
    made = owner.SETTINGS(**{"hidden": (60,), "epochs": 6, "batch": 16, "steps": 4, "kernel": 3, **other})
    learner = owner(stream.problem, made)
    kept: dict[str, Any] = {}

    def keep(learned: int) -> None:
        if learned == len(stream) - 1:
            kept.update({name: array.copy() for name, array in learner.state().items()})

    final = evaluate(stream, learner, on_task=keep).values[-1]
    assert final.mean() > (0.6 if recipe is Permuted else 0.8), final
    again = owner(stream.problem, made)
    *before, last = stream
    again.restore(kept, before)
    again.begin(last)
    again.learn(last)
    assert all(np.array_equal(array, again.state()[name]) for name, array in learner.state().items())
    assert ("feedback" in learner.memory_bytes()) == ("feedback" in other)
