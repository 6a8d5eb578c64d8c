"""Steps of training: the compiled AdamW against its reference and against torch's, whose state it shares."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn

from neurosim.kernels.layers.adamw.cpu import average_gradient, move
from neurosim.kernels.layers.adamw.reference import step_reference
from neurosim.learning.training.optimizers import Clipped, ClippedAdamax, ClippedAdamW, norm_of

SHAPES = ((37, 70), (3, 2, 5, 5), (513,), (1,), ())
LIMIT = 0.7


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    made = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    # Layers keep weights as their products read them.
    return [*made, nn.Parameter(torch.randn(9, 40, generator=generator).T)]


def gradients(step: int, size: float) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(step + 1)
    drawn = [torch.randn(p.shape, generator=generator) * size for p in parameters()]
    if step % 2:
        # As strange to the memory of their parameters as can be.
        drawn = [g if g.ndim != 2 else g.T.contiguous().T for g in drawn]
    return drawn


def groups_of(moved: list[nn.Parameter]) -> list[dict[str, object]]:
    return [{"params": moved[:2], "weight_decay": 0.1}, {"params": moved[2:], "weight_decay": 0.0}]


def train(
    optimizer: torch.optim.Optimizer, moved: list[nn.Parameter], step_of: Callable[[], object], size: float = 0.1
) -> list[torch.Tensor]:
    for step in range(5):
        for parameter, gradient in zip(moved, gradients(step, size), strict=True):
            parameter.grad = gradient
        for group in optimizer.param_groups:
            group["lr"] = 0.01 / (step + 1)
        step_of()
    averages = [optimizer.state[p][name] for p in moved for name in ("step", "exp_avg")]
    return [*(p.detach() for p in moved), *averages]


def by_torch(kind: type, size: float = 0.1) -> list[torch.Tensor]:
    moved = parameters()
    optimizer = kind(groups_of(moved), lr=0.01)

    def step() -> None:
        nn.utils.clip_grad_norm_(moved, LIMIT)
        optimizer.step()

    return train(optimizer, moved, step, size)


def by_ours(kind: type[Clipped], size: float = 0.1, moved: list[nn.Parameter] | None = None) -> list[torch.Tensor]:
    moved = moved or parameters()
    optimizer = kind(groups_of(moved), lr=0.01)

    def step() -> None:
        optimizer.clipped_step(norm_of(p.grad for p in moved), LIMIT)

    return train(optimizer, moved, step, size)


@pytest.mark.parametrize("size", [0.1, 1e-4], ids=["clipped", "not clipped"])
@pytest.mark.parametrize("name", ["AdamW", "Adamax"])
def test_steps_are_those_of_torch(name: str, size: float) -> None:
    kind = {"AdamW": ClippedAdamW, "Adamax": ClippedAdamax}[name]
    for own, theirs in zip(by_ours(kind, size), by_torch(getattr(torch.optim, name), size), strict=True):
        # Equal where torch adds products with one rounding, which not every processor can.
        torch.testing.assert_close(own, theirs, rtol=1e-5, atol=1e-7)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = by_ours(ClippedAdamW)
        torch.set_num_threads(2)
        two = by_ours(ClippedAdamW)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_parameters_with_gaps_are_moved_by_torch() -> None:
    wide = [nn.Parameter(torch.stack([p.detach(), p.detach()], dim=-1)[..., 0]) for p in parameters()]
    assert not wide[0].is_contiguous()
    for own, theirs in zip(by_ours(ClippedAdamW, moved=wide), by_torch(torch.optim.AdamW), strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-5, atol=1e-7)


def test_a_saved_state_goes_on() -> None:
    moved = parameters()
    optimizer = ClippedAdamW(groups_of(moved), lr=0.01)

    def step() -> None:
        optimizer.clipped_step(norm_of(p.grad for p in moved), LIMIT)

    train(optimizer, moved, step)
    again = [nn.Parameter(p.detach().clone()) for p in moved]
    other = ClippedAdamW(groups_of(again), lr=0.01)
    # A step of its own, which the loaded state replaces.
    for parameter, gradient in zip(again, gradients(0, 0.0), strict=True):
        parameter.grad = gradient
    other.clipped_step(0.0, LIMIT)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    with torch.no_grad():
        for p, trained in zip(again, moved, strict=True):
            p.copy_(trained)
    resumed = train(other, again, lambda: other.clipped_step(norm_of(p.grad for p in again), LIMIT))
    went_on = train(optimizer, moved, step)
    assert all(torch.equal(a, b) for a, b in zip(resumed, went_on, strict=True))
    assert float(other.state[again[0]]["step"]) == 10


def test_passes_are_the_reference() -> None:
    rng = np.random.default_rng(0)
    wide = [rng.standard_normal(517) for _ in range(3)]
    wide.append(rng.random(517))
    narrow = [x.astype(np.float32) for x in wide]
    scales = np.array([0.5, 0.99, 0.1, 0.999, 1e-3, 0.2, 1e-8, -0.01], np.float32)
    step_reference(*wide, scales)
    parameter, grad, average, square = narrow
    average_gradient(grad, average, square, scales)
    move(parameter, average, np.sqrt(square), scales)
    for own, expected in zip(narrow, wide, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-6)
