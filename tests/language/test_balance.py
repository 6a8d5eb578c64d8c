"""A k for each group of layers: the factors are those of one price of a spike, against brute force."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.decoding import model_of, text

from neurosim.language import Coding, convert
from neurosim.language.attention.kinds.modules import Linear
from neurosim.language.attention.train import draw_windows
from neurosim.language.conversion.balance import RANGE, balance_counts
from neurosim.language.conversion.convert import calibrate_groups
from neurosim.language.conversion.gradients import collect_gradients
from neurosim.language.conversion.operators import linear_names

WINDOWS = draw_windows(text(600), 4, 16, 0)
READERS = ("mixer.q_proj", "mixer.k_proj", "mixer.v_proj", "mixer.g_proj")


def test_factors_are_roots_of_costs_by_channel() -> None:
    """sqrt(sum over readers of level^2 g^2 / their channels), over the geometric mean; layers of one input share it."""
    model = model_of("softmax")
    names = linear_names(model, True)
    factors = balance_counts(model, names, WINDOWS)
    costs = dict.fromkeys(names, 0.0)
    channels = dict.fromkeys(names, 0)

    def add(name: str, x: torch.Tensor, gradient: torch.Tensor) -> None:
        costs[name] += float((x.abs().mean(1, keepdim=True) * gradient).double().square().sum())
        channels[name] = x.shape[1]

    for i, window in enumerate(WINDOWS):
        collect_gradients(model, names, window[None], add, seed=i)
    groups = [tuple(f"layers.{i}.{name}" for name in READERS) for i in range(len(model.layers))]
    groups += [(f"layers.{i}.mlp.gate_proj", f"layers.{i}.mlp.up_proj") for i in range(len(model.layers))]
    groups += [(name,) for name in names if not any(name in group for group in groups)]
    roots = [math.sqrt(sum(costs[n] for n in group) / sum(channels[n] for n in group)) for group in groups]
    sizes = [sum(channels[n] for n in group) for group in groups]
    mean = math.exp(sum(size * math.log(root) for size, root in zip(sizes, roots, strict=True)) / sum(sizes))
    for group, root in zip(groups, roots, strict=True):
        for name in group:
            assert factors[name] == pytest.approx(min(max(root / mean, 1 / RANGE), RANGE), rel=1e-4)
    assert len({round(factor, 6) for factor in factors.values()}) == len(groups)


def test_another_k_keeps_the_factors() -> None:
    model = model_of("gla")
    coding = Coding(k=2.0, balance=True)
    made = convert(model, coding, text(600), windows=4, length=16)
    calibration = calibrate_groups(model, coding, text(600), windows=4, length=16)
    assert {name: layer.coder.k / 2.0 for name, layer in made.layers.items()} == pytest.approx(calibration.factors)
    made.set_k(5.0)
    again = convert(model, Coding(k=5.0, balance=True), calibration=calibration)
    assert made.coding == again.coding
    for name, layer in again.layers.items():
        assert made.layers[name].coder.k == pytest.approx(layer.coder.k, rel=1e-12)


def test_layers_that_cost_nothing_have_the_mean_k() -> None:
    model = model_of("gla")
    names = linear_names(model, False)
    for parameter in model.lm_head.parameters():
        parameter.data.zero_()
    assert set(balance_counts(model, names, WINDOWS).values()) == {1.0}


def test_weights_in_16_bits_give_the_gradients_of_the_same_weights_widened() -> None:
    torch.manual_seed(0)
    short = Linear(12, 7, bias=True)
    short.weight = torch.nn.Parameter(short.weight.detach().bfloat16(), requires_grad=False)
    wide = torch.nn.Linear(12, 7)
    wide.weight.data = short.weight.float()
    wide.bias.data = short.bias.data
    x = torch.randn(2, 5, 12, requires_grad=True)
    for layer in (short, wide):
        layer(x).square().sum().backward()
    assert short.bias.grad is not None and wide.bias.grad is not None
    torch.testing.assert_close(short.bias.grad, wide.bias.grad)
    own, again = (torch.autograd.grad(layer(x).sin().sum(), x)[0] for layer in (short, wide))
    assert torch.equal(own, again)
    assert isinstance(short(x).grad_fn, torch.autograd.function.BackwardCFunction)
