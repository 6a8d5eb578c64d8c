"""Hebbian orthogonal projection: the lateral circuit, projected gradients, and the three trainings."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from neurosim.base import NeurosimInputError
from neurosim.learning import HLOPNetwork, ProjectedConv2d, ProjectedLinear, Subspace
from neurosim.learning.hlop.rates import RateUnits, recent
from neurosim.learning.hlop.trainings import BPTT, TRAININGS, Online, Rate

F = torch.nn.functional


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def signal(rank: int, width: int, seed: int) -> torch.Tensor:
    """[rank, width] orthonormal directions."""
    return torch.linalg.qr(draw(width, rank, seed=seed)).Q.T.contiguous()


def captured(subspace: Subspace, x: torch.Tensor) -> float:
    """The fraction of the power of x [B, features] that lies in the span of all rows."""
    basis = torch.linalg.qr(subspace.weights.double().T).Q
    return float((x.double() @ basis).square().sum() / x.double().square().sum())


def taught(subspace: Subspace, directions: torch.Tensor, batches: int, seed: int = 1, size: float = 1.0) -> Subspace:
    for i in range(batches):
        subspace.learn(size * draw(64, len(directions), seed=seed * 10_000 + i) @ directions)
    return subspace


def frozen(width: int, rank: int, spiking: bool = False, seed: int = 3) -> tuple[Subspace, torch.Tensor]:
    """A subspace that has exactly learned `rank` directions, and these."""
    directions = signal(rank, width, seed)
    subspace = Subspace(width, spiking=spiking)
    zeros = np.zeros((0, width), np.float32)
    subspace.restore({"old": directions.numpy(), "new": zeros, "velocity": zeros})
    return subspace, directions


def test_subspace_finds_an_8_dimensional_signal_in_50_and_new_rows_are_orthogonal() -> None:
    first, second = signal(16, 50, seed=3).split(8)
    subspace = Subspace(50, learning_rate=0.1)
    subspace.grow(8)
    taught(subspace, first, 300)
    h = subspace.weights
    assert captured(subspace, draw(500, 8, seed=7) @ first) > 0.9999
    assert torch.dist(h @ h.T, torch.eye(8), p=torch.inf) < 1e-4
    subspace.merge()
    subspace.grow(8)
    # Of the second task's signal half is in the first's directions.
    taught(subspace, torch.cat([first, second]), 600, seed=2)
    assert torch.equal(subspace.old, h)
    assert (subspace.new @ subspace.old.T).abs().max() < 1e-5
    assert captured(subspace, draw(500, 16, seed=8) @ torch.cat([first, second])) > 0.9999


def test_spiking_lateral_neurons_come_close() -> None:
    directions = signal(8, 50, seed=3)
    subspace = Subspace(50, learning_rate=0.01, spiking=True)
    subspace.grow(8)
    taught(subspace, directions, 400, size=3.0)
    assert captured(subspace, draw(500, 8, seed=7) @ directions) > 0.999
    y = subspace.respond(20 * draw(30, 50), subspace.new)
    assert torch.equal(y, (y / 0.5).round() * 0.5) and y.abs().max() == 20 and len(y.unique()) <= 81


@pytest.mark.parametrize("spiking", [False, True])
def test_a_step_is_the_published_equation(spiking: bool) -> None:
    subspace = Subspace(12, learning_rate=0.02, iterations=3, spiking=spiking)
    subspace.grow(4)
    subspace.merge()
    subspace.grow(3)
    h = subspace.weights.clone()
    m = torch.zeros(3, 12)
    x = 4 * draw(9, 12, seed=5)
    for _ in range(3):
        y = x @ h.T
        if spiking:
            y = torch.round(torch.clamp(y, -20, 20) / 20 * 40) / 40 * 20
        change = torch.stack([y[b].outer(x[b]) - y[b].outer(y[b] @ h) for b in range(9)]).mean(0)
        m = 0.9 * m + 0.1 * change[4:].clamp(-10, 10)
        h[4:] += 0.02 * m
    subspace.learn(x)
    torch.testing.assert_close(subspace.weights, h, rtol=1e-5, atol=1e-6)


def test_changes_are_cut_at_10() -> None:
    subspace = Subspace(3, learning_rate=0.01, momentum=0.0, iterations=1)
    subspace.grow(1)
    before = subspace.new.clone()
    subspace.learn(torch.full((1, 3), 1e4))
    assert torch.allclose((subspace.new - before).abs(), torch.full((1, 3), 0.1), atol=1e-6)


@pytest.mark.parametrize("spiking", [False, True])
def test_only_the_weight_gradient_is_projected(spiking: bool) -> None:
    subspace, h = frozen(20, 6, spiking)
    layer = ProjectedLinear(20, 7, subspace, seed=1)
    x = (3 * draw(4, 5, 20)).requires_grad_()
    delta = draw(4, 5, 7, seed=2)
    y = layer(x)
    y.backward(delta)
    plain = x.detach().clone().requires_grad_()
    weight = layer.weight.detach().clone().requires_grad_()
    expected = F.linear(plain, weight)
    expected.backward(delta)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(x.grad, plain.grad)
    if spiking:
        answers = torch.round(x @ h.T / 0.5) * 0.5
    else:
        answers = x @ h.T
    torch.testing.assert_close(
        layer.weight.grad, torch.einsum("tbo,tbi->oi", delta, x.detach() - answers.detach() @ h), rtol=1e-4, atol=1e-5
    )


def test_convolution_projects_patches() -> None:
    subspace, h = frozen(2 * 9, 5)
    layer = ProjectedConv2d(2, 3, 3, subspace, stride=2, padding=1, seed=1)
    x = draw(2, 2, 7, 8).requires_grad_()
    y = layer(x)
    plain = x.detach().clone().requires_grad_()
    weight = layer.linear.weight.detach().reshape(3, 2, 3, 3).clone().requires_grad_()
    expected = F.conv2d(plain, weight, stride=2, padding=1)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
    delta = draw(*y.shape, seed=2)
    y.backward(delta)
    expected.backward(delta)
    torch.testing.assert_close(x.grad, plain.grad, rtol=1e-4, atol=1e-5)
    flat = weight.grad.reshape(3, 18)
    torch.testing.assert_close(layer.linear.weight.grad, flat - flat @ h.T @ h, rtol=1e-4, atol=1e-5)


def reference(current: torch.Tensor, decay: float, slope: float) -> torch.Tensor:
    """Spikes of a plain loop, gradients by torch's own autograd."""

    class Step(torch.autograd.Function):
        @staticmethod
        def forward(ctx, u):
            ctx.save_for_backward(u)
            return (u > 1).to(u.dtype)

        @staticmethod
        def backward(ctx, grad):
            s = torch.sigmoid(slope * (ctx.saved_tensors[0] - 1))
            return grad * slope * s * (1 - s)

    u = torch.zeros_like(current[0])
    spikes = []
    for i in current:
        u = decay * u + i
        spikes.append(Step.apply(u))
        u = u - spikes[-1].detach()
    return torch.stack(spikes)


def test_rates_are_the_clamped_mean_input() -> None:
    """DSR's claim: spikes of a layer carry clamp(mean input / tau, 0, threshold / dt), up to single spikes."""
    steps = 2000
    dt = 0.01
    tau = 1.5
    threshold = 0.3
    units = RateUnits(threshold, tau, dt, reach=0.3)
    level = torch.linspace(-5, 65, 11)[None]
    measured = torch.tensordot(recent(steps, units.decay), units.fire(level.expand(steps, 1, 11)), 1)
    assert (measured - (level / tau).clamp(0, threshold / dt)).abs().max() < 0.5


def test_rate_gradients_are_those_of_the_clamp() -> None:
    units = RateUnits(0.3, 2.0, 0.05, reach=0.3)
    mean = torch.tensor([[-1.0, 1.0, 4.0, 14.0]], requires_grad=True)
    measured = torch.tensor([[0.0, 0.6, 1.8, 6.0]])
    out = units.rate(mean, measured)
    out.backward(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    assert torch.equal(out, measured)
    assert mean.grad.tolist() == [[0.0, 1.0, 1.5, 0.0]]
    # 4 / dt, times dt^2.
    assert float(units.threshold.grad) == pytest.approx(4 * 0.05)


def filled(training: str, spiking: bool = False, **settings: int) -> tuple[HLOPNetwork, torch.Tensor]:
    """A network whose subspaces hold all that it does for 6 old inputs, and these."""
    network = HLOPNetwork((24, 40, 40, 3), TRAININGS[training](**settings), spiking=spiking, seed=5)
    with torch.no_grad():
        for layer in network.layers:
            layer.weight *= 3
    old = draw(6, 24, seed=6)
    seen: list[list[torch.Tensor]] = [[], [], []]
    hooks = [
        layer.register_forward_pre_hook(lambda _, args, kept=kept: kept.append(args[0].flatten(0, -2)))
        for layer, kept in zip(network.layers, seen, strict=True)
    ]
    with torch.no_grad():
        network(old)
    for hook, layer, kept in zip(hooks, network.layers, seen, strict=True):
        hook.remove()
        x = torch.cat(kept)
        basis = torch.linalg.svd(x.double(), full_matrices=False)
        rows = basis.Vh[basis.S > 1e-9].float().numpy()
        nothing = np.zeros((0, rows.shape[1]), np.float32)
        layer.subspace.restore({"old": rows, "new": nothing, "velocity": nothing})
        assert 0 < len(rows) < rows.shape[1]
    network.end_task()
    return network, old


@pytest.mark.parametrize("training", list(TRAININGS))
def test_learning_leaves_the_answers_to_captured_inputs_as_they_were(training: str) -> None:
    network, old = filled(training)
    x = draw(32, 24, seed=8)
    y = torch.arange(32) % 3
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    with torch.no_grad():
        before = network(old)
        other = network(x)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        losses.append(network.gradients(x, y))
        optimizer.step()
    with torch.no_grad():
        torch.testing.assert_close(network(old), before, rtol=1e-4, atol=1e-3)
        assert (network(x) - other).abs().max() > 0.1
    assert losses[-1] < losses[0]


def test_without_projection_they_change() -> None:
    network, old = filled("bptt")
    for layer in network.layers:
        layer.subspace.old = layer.subspace.old[:0]
    x = draw(32, 24, seed=8)
    y = torch.arange(32) % 3
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    before = network(old).detach()
    for _ in range(10):
        optimizer.zero_grad()
        network.gradients(x, y)
        optimizer.step()
    assert (network(old) - before).abs().max() > 0.1


def gradients(network: HLOPNetwork, x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    network.zero_grad()
    network.gradients(x, y)
    return [layer.weight.grad.clone() for layer in network.layers]


@pytest.mark.parametrize("events", [False, True])
def test_online_gradients_do_not_depend_on_the_pieces_of_time(events: bool) -> None:
    x = 2 * draw(6, 8, 24).abs() if events else draw(8, 24)
    y = torch.arange(8) % 3
    whole, single, uneven = (gradients(filled("online", together=n)[0], x, y) for n in (6, 1, 4))
    for a, b, c in zip(whole, single, uneven, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(c, a, rtol=1e-4, atol=1e-6)


def test_the_largest_seed_is_a_seed_of_a_network() -> None:
    """Layers and their rows are keyed by multiples of the seed, which torch's generator does not take."""
    network = HLOPNetwork((10, 12, 4), Rate(), seed=2**63 - 1)
    for layer in network.layers:
        layer.subspace.grow(2)
    assert all(torch.isfinite(layer.subspace.weights).all() for layer in network.layers)


def test_online_gradients_are_deltas_times_traces() -> None:
    """By hand, step by step: no gradient in time, a = a/2 + s in place of s."""
    network = HLOPNetwork((10, 12, 4), Online(steps=5), seed=2)
    first, last = (layer.weight.detach() * 3 for layer in network.layers)
    with torch.no_grad():
        for layer in network.layers:
            layer.weight *= 3
    x = draw(7, 10).abs()
    y = torch.arange(7) % 4
    u = torch.zeros(7, 12)
    a = torch.zeros(7, 12)
    expected = [torch.zeros(12, 10), torch.zeros(4, 12)]
    for _ in range(5):
        u = 0.5 * u + x @ first.T
        s = (u > 1).float()
        a = 0.5 * a + s
        delta = (F.softmax(s @ last.T, 1) - F.one_hot(y, 4)) / (7 * 5)
        expected[1] += delta.T @ a
        slope = torch.sigmoid(4 * (u - 1))
        expected[0] += ((delta @ last) * 4 * slope * (1 - slope)).T @ x
        u = u - s
    for found, right in zip(gradients(network, x, y), expected, strict=True):
        torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-6)


def test_bptt_gradients_are_those_of_a_plain_loop() -> None:
    network = HLOPNetwork((10, 12, 12, 4), BPTT(steps=5), seed=2)
    with torch.no_grad():
        for layer in network.layers:
            layer.weight *= 3
    weights = [layer.weight.detach().clone().requires_grad_() for layer in network.layers]
    x = draw(7, 10).abs()
    y = torch.arange(7) % 4
    s = x.expand(5, -1, -1)
    for w in weights[:-1]:
        s = reference(s @ w.T, 0.5, 4.0)
    F.cross_entropy((s @ weights[-1].T).mean(0), y).backward()
    for found, w in zip(gradients(network, x, y), weights, strict=True):
        torch.testing.assert_close(found, w.grad, rtol=1e-4, atol=1e-6)


def test_thresholds_are_learned_in_the_first_task_only() -> None:
    network = HLOPNetwork((10, 12, 4), Rate(), seed=2)
    network.begin_task((3, 3))
    assert [p.requires_grad for p in network.units.parameters()] == [True]
    network.gradients(draw(8, 10), torch.arange(8) % 4)
    network.end_task()
    assert [p.requires_grad for p in network.units.parameters()] == [False]


@pytest.mark.parametrize("training", list(TRAININGS))
@pytest.mark.parametrize("spiking", [False, True])
def test_a_restored_network_goes_on_alike(training: str, spiking: bool) -> None:
    def some(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        return draw(16, 10, seed=seed), torch.arange(16) % 4

    def lesson(network: HLOPNetwork, seed: int) -> None:
        optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
        network.begin_task((2, 3))
        for i in range(4):
            optimizer.zero_grad()
            network.gradients(*some(seed + i))
            optimizer.step()
        network.end_task()

    one, two = (HLOPNetwork((10, 12, 4), TRAININGS[training](), spiking=spiking, seed=2) for _ in range(2))
    lesson(one, 0)
    two.restore(one.arrays())
    for network in (one, two):
        lesson(network, 100)
    first = one.arrays()
    second = two.arrays()
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert len(first["old.0"]) == 4 and len(first["old.1"]) == 6


def test_classes_that_are_not_allowed_do_not_compete() -> None:
    network = HLOPNetwork((10, 12, 4), seed=2)
    with torch.no_grad():
        network.layers[0].weight *= 5
    network.gradients(draw(8, 10), torch.arange(8) % 2, torch.tensor([True, True, False, False]))
    assert network.layers[-1].weight.grad[2:].abs().max() == 0
    assert network.layers[-1].weight.grad[:2].abs().max() > 0


def test_mistakes_are_named() -> None:
    subspace = Subspace(6)
    subspace.grow(4)
    network = HLOPNetwork((6, 5, 3))
    for mistake, words in (
        (lambda: Subspace(0), "Subspace.features: must be >= 1 (got 0)"),
        (lambda: Subspace(6, learning_rate=0.0), "Subspace.learning_rate: must be finite and > 0 (got 0.0)"),
        (lambda: subspace.grow(3), "Subspace.grow.rows: must be from 0 to the 2 directions left (got 3)"),
        (lambda: subspace.learn(draw(3, 5)), "Subspace.learn.x: must be [B >= 1, 6] (got (3, 5))"),
        (lambda: ProjectedLinear(5, 2, subspace), "ProjectedLinear.subspace: must be 5 wide (got 6)"),
        (lambda: HLOPNetwork((6,)), "HLOPNetwork.sizes: must be two or more, each >= 1 (got [6])"),
        (lambda: network.begin_task((1, 2, 3)), "begin_task.rows: must be 2 numbers (got [1, 2, 3])"),
        (lambda: BPTT(steps=0), "BPTT.steps: must be >= 1 (got 0)"),
        (lambda: Online(decay=1.0), "Online.decay: must be > 0 and < 1 (got 1.0)"),
        (lambda: Rate(tau_mem=-1.0), "Rate.tau_mem: must be > 0 s (got -1.0)"),
    ):
        with pytest.raises(NeurosimInputError) as caught:
            mistake()
        assert str(caught.value) == words
    with pytest.raises(NeurosimInputError, match=r"needs the array 'old'"):
        subspace.restore({})
    arrays = network.arrays()
    with pytest.raises(NeurosimInputError, match=r"HLOPNetwork.restore.weight.0: must be \(5, 6\)"):
        network.restore(arrays | {"weight.0": arrays["weight.1"]})
