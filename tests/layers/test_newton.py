"""Newton's method over time: the loop's states and gradients, rounds, and LIF neurons of smooth spikes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from neurosim.attention import Depth, build
from neurosim.errors import NeurosimInputError
from neurosim.kernels.layers.newton import linear_scan, newton_scan
from neurosim.layers import FixedPointLIF, SmoothLIF


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("length", [1, 2, 7, 32])
def test_the_linear_scan_is_the_loop(length: int) -> None:
    factors, x = noise(length, 3, 2, 2), noise(length, 3, 2, seed=1)
    y, wanted = torch.zeros(3, 2, dtype=x.dtype), []
    for a, b in zip(factors, x, strict=True):
        y = (a @ y[..., None])[..., 0] + b
        wanted.append(y)
    torch.testing.assert_close(linear_scan(factors, x), torch.stack(wanted), rtol=1e-10, atol=1e-12)


def recurrent(kind: str, units: int) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(kind, 6, Depth(), {"units": units}).double()


@pytest.mark.parametrize("kind", ["paragru", "paralstm"])
def test_the_error_squares_with_every_round(kind: str) -> None:
    """200 steps of 8 units: five rounds leave rounding alone, as in a loop; two do not."""
    mixer = recurrent(kind, 8)
    memory, u = mixer.initial(noise(1, 1, 6))["memory"], mixer.project(noise(1, 200, 6), {}, {})[0]["u"].transpose(0, 1)
    with torch.no_grad():
        h, wanted = memory, []
        for each in u:
            h = mixer.step(h, each)
            wanted.append(h)
        errors = [float((newton_scan(mixer.step, memory, u, n)[0] - torch.stack(wanted)).abs().max()) for n in range(7)]
    assert errors[1] > 1e-3 and errors[6] < 1e-12
    assert all(after < before for before, after in itertools.pairwise(errors[:6]))


def test_the_first_steps_are_right_after_as_many_rounds() -> None:
    """A chaotic map, of which the tangents say nothing far away: the solution is reached all the same."""

    def step(x: Tensor, u: Tensor) -> Tensor:
        return 3.9 * x * (1 - x) + u

    u, first = torch.zeros(40, 1, 1, dtype=torch.float64), torch.full((1, 1), 0.3, dtype=torch.float64)
    x, wanted = first, []
    for each in u:
        x = step(x, each)
        wanted.append(x)
    for rounds in (3, 9):
        found = newton_scan(step, first, u, rounds)[0]
        torch.testing.assert_close(found[: rounds + 1], torch.stack(wanted)[: rounds + 1], rtol=1e-9, atol=1e-12)


def test_smooth_spikes_and_their_gradient_are_those_of_the_loop() -> None:
    layer, x = SmoothLIF(0.005, width=0.2), noise(60, 4).abs().requires_grad_()
    spikes, rounds = layer(x)
    leak, v, wanted = torch.tensor(-0.2, dtype=x.dtype).exp(), torch.zeros(4, dtype=x.dtype), []
    for each in x:
        v = leak * (v - ((v - 1) / 0.2).sigmoid()) + each
        wanted.append(((v - 1) / 0.2).sigmoid())
    weights = noise(60, 4, seed=1)
    torch.testing.assert_close(spikes, torch.stack(wanted), rtol=0, atol=1e-11)
    grads = [torch.autograd.grad((s * weights).sum(), x)[0] for s in (spikes, torch.stack(wanted))]
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
