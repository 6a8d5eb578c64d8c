"""Newton's method over time: the loop's states and gradients, rounds, and LIF neurons of smooth spikes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from helpers.attention_kinds import noise
from torch import Tensor

from neurosim.base import NeurosimInputError
from neurosim.base.errors import SpeedWarning
from neurosim.kernels.layers.newton.reference import linear_scan_reference, newton_scan_reference
from neurosim.kernels.layers.newton.scan import linear_scan
from neurosim.kernels.layers.newton.solve import newton_scan
from neurosim.language import Depth, build
from neurosim.learning.layers.parallel import FixedPointLIF, SmoothLIF


@pytest.mark.parametrize("length", [1, 2, 7, 32])
def test_the_linear_scan_is_the_loop(length: int) -> None:
    factors = noise(length, 3, 2, 2)
    x = noise(length, 3, 2, seed=1)
    torch.testing.assert_close(linear_scan(factors, x), linear_scan_reference(factors, x), rtol=1e-10, atol=1e-12)


def recurrent(kind: str, units: int, **options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(kind, 6, Depth(), {"units": units} | options).double()


def hard_to_solve(**options: Any) -> Any:
    """A recurrence as training may leave it: weights so large that Newton's method takes a round a token or so."""
    mixer = recurrent("paragru", 8, **options)
    with torch.no_grad():
        mixer.recurrent.mul_(20)
    return mixer


@pytest.mark.parametrize("kind", ["paragru", "paralstm"])
def test_the_error_squares_with_every_round(kind: str) -> None:
    """200 steps of 8 units: five rounds leave rounding alone, as in a loop; two do not."""
    mixer = recurrent(kind, 8)
    memory = mixer.initial(noise(1, 1, 6))["memory"]
    u = mixer.project(noise(1, 200, 6), {}, {})[0]["u"].transpose(0, 1)
    with torch.no_grad():
        expected = newton_scan_reference(mixer.step, memory, u)
        found = [newton_scan(mixer.step, memory, u, n) for n in range(7)]
    errors = [float((each.states - expected).abs().max()) for each in found]
    assert errors[1] > 1e-3 and errors[6] < 1e-12
    assert all(after < before for before, after in itertools.pairwise(errors[:5]))
    assert all(after.residual < before.residual for before, after in itertools.pairwise(found[:5]))
    assert [each.rounds for each in found[:5]] == [0, 1, 2, 3, 4] and not found[3].solved and found[6].solved
    whole = newton_scan(mixer.step, memory, u, len(u))  # as many rounds as tokens: it ends where it is solved
    torch.testing.assert_close(whole.states, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["paragru", "paralstm"])
def test_rounds_end_a_pass_that_takes_gradients_and_no_other(kind: str) -> None:
    """States and gradients of three rounds are near those of the recurrence; without gradients they are the same."""
    x = noise(2, 120, 6)
    results = {}
    for rounds in (2, 3, None):
        mixer = recurrent(kind, 8, rounds=rounds)
        inputs, _ = mixer.project(x, {}, {})
        memory = mixer.initial(x)["memory"]
        _, out = mixer.chunked(memory, inputs)
        (grad,) = torch.autograd.grad((out * noise(*out.shape, seed=4)).sum(), mixer.recurrent)
        with torch.no_grad():
            _, exact = mixer.chunked(memory, inputs)
            torch.testing.assert_close(exact, mixer.stepwise(memory, inputs)[1], rtol=0, atol=1e-11)
        results[rounds] = (float((out.detach() - exact).abs().max()), grad)
    errors = {rounds: error for rounds, (error, _) in results.items()}
    wrong = {rounds: float((grad - results[None][1]).abs().max()) for rounds, (_, grad) in results.items()}
    assert errors[2] > errors[3] > 1e-9 and errors[None] < 1e-11
    assert wrong[2] > wrong[3] > 1e-9


@pytest.mark.parametrize(("kind", "gates"), [("paragru", 3), ("paralstm", 3)])
def test_units_of_a_block_read_their_part_of_x(kind: str, gates: int) -> None:
    """Two blocks are one layer whose weights between the blocks are 0; its first biases are those of the source."""
    mixer = recurrent(kind, 8, blocks=2)
    whole = recurrent(kind, 8)
    with torch.no_grad():
        whole.recurrent.copy_(mixer.recurrent)
        whole.o_proj.weight.copy_(mixer.o_proj.weight)
        whole.in_proj[0].weight.copy_(torch.block_diag(*(layer.weight for layer in mixer.in_proj)))
    x = noise(2, 20, 6)
    torch.testing.assert_close(mixer(x)[0], whole(x)[0], rtol=0, atol=1e-12)
    biases = torch.cat([layer.bias for layer in mixer.in_proj]).unflatten(0, (8, gates))
    torch.testing.assert_close(biases[:, 0], -torch.arange(8).double() / 7, rtol=0, atol=1e-7)
    assert not biases[:, 1:].any()
    with pytest.raises(NeurosimInputError, match=r"\.units: must be a multiple of 3 and > 0 \(got 8\)"):
        recurrent(kind, 8, blocks=3)


def test_a_layer_tells_the_rounds_of_its_last_pass() -> None:
    mixer = recurrent("paragru", 8)
    assert (mixer.last_rounds, mixer.residual) == (0, 0.0)
    x = noise(2, 120, 6)
    mixer(x)
    assert mixer.last_rounds == 3 and mixer.residual > 1e-9
    with torch.no_grad():
        mixer(x)
    assert 3 < mixer.last_rounds < 12 and mixer.residual < 1e-12


def tangents(mixer: Any, first: Tensor, g: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Return step(g_{t-1}), and its derivative by g_{t-1}, of states of one number."""
    before = torch.cat([first[None], g[:-1]]).requires_grad_()
    out = mixer.step(before, u)
    (slope,) = torch.autograd.grad(out.sum(), before, retain_graph=True)
    return out, slope


def test_the_gradient_of_a_capped_pass_is_that_of_its_tangents() -> None:
    """dL/dw = sum_t l_t d step(g_{t-1}) / dw at the last iterate g, with l_t = dL/dh_t + J_{t+1}^T l_{t+1}."""
    mixer = recurrent("paragru", 3, rounds=2)
    x = noise(1, 30, 6)
    u = mixer.project(x, {}, {})[0]["u"].transpose(0, 1).detach()
    first = mixer.initial(x)["memory"]
    weights = noise(30, 1, 3, 1, seed=3)
    states = newton_scan(mixer.step, first, u, 2).states
    (found,) = torch.autograd.grad((states * weights).sum(), mixer.recurrent)
    g = mixer.step(first.expand(30, 1, 3, 1), u).detach()
    for _ in range(2):
        out, slope = tangents(mixer, first, g, u)
        change = torch.zeros_like(first)
        new = []
        for t in range(30):
            change = slope[t] * change + out[t].detach() - g[t]
            new.append(g[t] + change)
        g = torch.stack(new)
    out, slope = tangents(mixer, first, g, u)
    reach = torch.zeros_like(first)
    later = []
    for t in range(29, -1, -1):
        reach = weights[t] + (slope[t + 1] * reach if t < 29 else 0)
        later.insert(0, reach)
    (expected,) = torch.autograd.grad(out, mixer.recurrent, torch.stack(later))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def test_a_loop_takes_over_where_rounds_grow_with_tokens() -> None:
    """Beyond 2 sqrt(T) rounds: the same states and gradients as the recurrence, and one warning."""
    mixer = hard_to_solve(rounds=None)
    x = noise(2, 150, 6)
    inputs, _ = mixer.project(x, {}, {})
    memory = mixer.initial(x)["memory"]
    assert newton_scan(mixer.step, memory, inputs["u"].transpose(0, 1).detach()).rounds > 2 * 150**0.5
    with pytest.warns(
        SpeedWarning, match=r"ParaGRU: Newton's method has not converged after 24 rounds over 150 tokens"
    ):
        last, out = mixer.chunked(memory, inputs)
    again, expected = mixer.stepwise(memory, inputs)
    torch.testing.assert_close(out, expected, rtol=0, atol=0)
    torch.testing.assert_close(last, again, rtol=0, atol=0)
    mixer.chunked(memory, inputs)  # warnings are errors in tests: there is no second one
    with pytest.raises(NeurosimInputError, match=r"ParaGRU\.rounds: must be > 0 \(got 0\)"):
        recurrent("paragru", 8, rounds=0)


def test_the_first_steps_are_right_after_as_many_rounds() -> None:
    """A chaotic map, of which the tangents say nothing far away: the solution is reached all the same."""

    def step(x: Tensor, u: Tensor) -> Tensor:
        return 3.9 * x * (1 - x) + u

    u = torch.zeros(40, 1, 1, dtype=torch.float64)
    first = torch.full((1, 1), 0.3, dtype=torch.float64)
    x = first
    expected = []
    for each in u:
        x = step(x, each)
        expected.append(x)
    for rounds in (3, 9):
        found = newton_scan(step, first, u, rounds).states
        torch.testing.assert_close(found[: rounds + 1], torch.stack(expected)[: rounds + 1], rtol=1e-9, atol=1e-12)


def test_smooth_spikes_and_their_gradient_are_those_of_the_loop() -> None:
    layer = SmoothLIF(0.005, width=0.2)
    x = noise(60, 4).abs().requires_grad_()
    spikes, rounds = layer(x)
    leak = torch.tensor(-0.2, dtype=x.dtype).exp()
    v = torch.zeros(4, dtype=x.dtype)
    expected = []
    for each in x:
        v = leak * (v - ((v - 1) / 0.2).sigmoid()) + each
        expected.append(((v - 1) / 0.2).sigmoid())
    weights = noise(60, 4, seed=1)
    torch.testing.assert_close(spikes, torch.stack(expected), rtol=0, atol=1e-11)
    grads = [torch.autograd.grad((s * weights).sum(), x)[0] for s in (spikes, torch.stack(expected))]
    torch.testing.assert_close(*grads, rtol=0, atol=1e-10)
    assert 1 < rounds < 30


def test_narrow_thresholds_give_the_spikes_of_the_hard_neuron() -> None:
    x = 0.4 * noise(40, 50, seed=2).abs()
    hard, _ = FixedPointLIF(0.005)(x)
    same = []
    for width in (0.1, 0.01, 1e-4):
        soft, _ = SmoothLIF(0.005, width=width)(x)
        same.append(float(((soft > 0.5) == (hard > 0.5)).double().mean()))
    assert same[0] < same[1] < same[2] and same[2] > 0.99
    with pytest.raises(NeurosimInputError, match=r"SmoothLIF.width: must be > 0 \(got 0.0\)"):
        SmoothLIF(width=0.0)
