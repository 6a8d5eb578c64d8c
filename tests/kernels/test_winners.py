"""Gradients of a product of which winners alone are read, against autograd through the whole product."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from neurosim.kernels.layers.winners import cpu as kernel
from neurosim.kernels.layers.winners.reference import product_reference


@pytest.mark.parametrize("some", [False, True])
def test_gradients_are_those_of_the_whole_product(some: bool) -> None:
    draws = torch.Generator().manual_seed(4)
    x, weight, bias = (torch.randn(size, generator=draws) for size in ((5, 13), (17, 13), (17,)))
    won, sources = (torch.rand(5, n, generator=draws).argsort(dim=1)[:, :k].contiguous() for n, k in ((17, 4), (13, 3)))
    if not some:
        sources = torch.empty(5, 0, dtype=torch.int64)
    if some:
        x = torch.zeros_like(x).scatter(1, sources, x)
    for tensor in (x, weight):
        tensor.requires_grad_()
    grad = torch.randn(5, 4, generator=draws)
    product_reference(x, weight, bias, won).backward(grad)
    assert x.grad is not None and weight.grad is not None
    arrays = [tensor.detach().numpy() for tensor in (grad, won, x, weight, sources)]
    g, chosen, inputs, weights, before = arrays
    by_weight = np.zeros((17, 13), np.float32)
    by_input = np.zeros((5, 13), np.float32)
    kernel.weight_gradient(g, chosen, inputs, before, by_weight)
    np.testing.assert_allclose(by_weight, weight.grad, atol=1e-5)
    kernel.input_gradient(g, chosen, weights, before, by_input)
    expected = torch.zeros(5, 13).scatter(1, sources, x.grad.gather(1, sources))
    np.testing.assert_allclose(by_input, expected, atol=1e-5)
    assert some == bool(by_input.any())
