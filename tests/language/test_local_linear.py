"""Local linear attention: the regression that it solves, its limits, and what that gains in context."""

from __future__ import annotations

import torch
from helpers.attention_kinds import noise
from torch import Tensor

from neurosim.language import Depth, build
from neurosim.language.attention.kinds.local_linear import regress_locally

RIDGE = 1e-3


def regression(weights: Tensor, q: Tensor, keys: Tensor, values: Tensor, ridge: float) -> Tensor:
    """Intercept [V] of the weighted ridge regression of values [N, V] on keys - q [N, K], by least squares."""
    root = weights.sqrt()[:, None]
    rows = root * torch.cat([torch.ones(len(keys), 1, dtype=q.dtype), keys - q], 1)
    shrink = ridge**0.5 * torch.eye(1 + len(q), dtype=q.dtype)[1:]
    target = torch.cat([root * values, torch.zeros(len(q), values.shape[1], dtype=q.dtype)])
    return torch.linalg.lstsq(torch.cat([rows, shrink]), target).solution[0]


def solved(scores: Tensor, q: Tensor, keys: Tensor, values: Tensor, ridge: float) -> Tensor:
    return regress_locally(scores[None], q[None], keys, values, torch.tensor([[ridge]], dtype=q.dtype))[0]


def test_the_output_is_the_intercept_of_a_weighted_ridge_regression() -> None:
    q = noise(5)
    keys = noise(60, 5, seed=1)
    values = noise(60, 3, seed=2)
    scores = keys @ q / 5**0.5
    weights = (scores - scores.max()).exp()
    one = solved(scores, q, keys, values, RIDGE)
    torch.testing.assert_close(one, regression(weights, q, keys, values, RIDGE), rtol=0, atol=1e-11)


def test_limits_of_ridge_and_bandwidth() -> None:
    """A large ridge gives softmax attention, an infinite bandwidth one regression over all keys."""
    q = noise(5)
    keys = noise(60, 5, seed=1)
    values = noise(60, 3, seed=2)
    scores = keys @ q / 5**0.5
    softmax = scores.softmax(-1) @ values
    torch.testing.assert_close(solved(scores, q, keys, values, 1e13), softmax, rtol=0, atol=1e-11)
    assert float((solved(scores, q, keys, values, 1.0) - softmax).abs().max()) > 0.01
    wide = solved(scores / 1e13, q, keys, values, RIDGE)
    everywhere = regression(torch.ones(60, dtype=q.dtype), q, keys, values, RIDGE)
    torch.testing.assert_close(wide, everywhere, rtol=0, atol=1e-10)


def test_linear_targets_are_exact_where_softmax_errs() -> None:
    q = noise(5)
    keys = noise(60, 5, seed=1)
    values = keys @ noise(5, 3, seed=3)
    expected = q @ noise(5, 3, seed=3)
    scores = keys @ q / 5**0.5
    assert float((solved(scores, q, keys, values, 1e-9) - expected).abs().max()) < 1e-6
    assert float((scores.softmax(-1) @ values - expected).abs().max()) > 0.5


def test_gradients_against_differences() -> None:
    args = [x.requires_grad_() for x in (noise(2, 6), noise(2, 3, seed=1), noise(6, 3, seed=2), noise(6, 2, seed=3))]
    torch.autograd.gradcheck(lambda *x: regress_locally(*x, torch.ones(1, 1, dtype=torch.float64)), args)


def test_a_large_ridge_makes_the_layer_softmax_attention() -> None:
    layers = []
    for kind, options in (("local_linear", {"ridge": 1e9}), ("softmax", {"rotary_dim": 0})):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            layers.append(build(kind, 12, Depth(), {"num_heads": 2} | options).double())
    x = noise(2, 40, 12)
    torch.testing.assert_close(layers[0](x)[0], layers[1](x)[0], rtol=0, atol=1e-8)


def test_in_context_regression_with_a_switching_target() -> None:
    """v = W k, W and the region of k switched every 32 tokens: local linear, softmax, linear by error.

    Each is at its best bandwidth.
    """
    segments = 5
    length = 32
    width = 8
    keys = noise(segments, 1, width) + 0.5 * noise(segments, length, width, seed=1)
    values = (keys @ noise(segments, width, 2, seed=2) / width**0.5).flatten(0, 1)
    keys = keys.flatten(0, 1)
    future = torch.ones(len(keys), len(keys)).triu().bool()

    def error(out: Tensor) -> float:
        return float((out[64:] - values[64:]).square().mean() / values.square().mean())

    def scores(bandwidth: float) -> Tensor:
        return (keys @ keys.T / bandwidth).masked_fill(future, -torch.inf)[1:]

    pad = torch.zeros(1, 2, dtype=keys.dtype)
    ridge = torch.full((1, 1), 0.1, dtype=keys.dtype)
    local = [error(torch.cat([pad, regress_locally(scores(h), keys[1:], keys, values, ridge)])) for h in (1, 2, 4)]
    softmax = [error(torch.cat([pad, scores(h).softmax(-1) @ values])) for h in (0.5, 1, 2, 4)]
    linear = (keys @ keys.T).tril(-1) @ values
    best = float((linear[64:] * values[64:]).sum() / linear[64:].square().sum())
    assert min(local) < 0.7 * min(softmax) < 0.7 * 0.7 * error(best * linear)
