"""The convolution of pictures that are mostly zeros: term by term against the reference, and against torch."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from neurosim.kernels.layers.convolution import cpu as C
from neurosim.kernels.layers.convolution.autograd import sparse_convolution
from neurosim.kernels.layers.convolution.reference import convolution_reference, kernel_gradient_reference
from neurosim.kernels.layers.spike_linear.lists import listed

# Pictures, planes, height, width, filters, rows and columns of the kernel, stride, density.
SHAPES = [
    (3, 2, 9, 8, 5, 3, 3, 2, 0.2),
    (70, 2, 7, 7, 17, 5, 5, 2, 0.3),
    (4, 3, 1, 30, 24, 1, 11, 4, 1.0),
    (2, 1, 5, 5, 1, 5, 5, 3, 0.5),
    (2, 1, 6, 6, 33, 1, 1, 4, 0.9),
    (3, 1, 4, 4, 2, 2, 2, 1, 0.0),
]


def pictures(shape: tuple) -> tuple[torch.Tensor, torch.Tensor, int]:
    n, planes, height, width, filters, rows, columns, stride, density = shape
    rng = np.random.default_rng(n)
    x = (rng.random((n, planes, height, width)) < density) * rng.integers(1, 4, (n, planes, height, width))
    kernel = rng.standard_normal((filters, planes, rows, columns))
    return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(kernel.astype(np.float32)), stride


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_are_those_of_the_reference_and_of_torch(shape: tuple) -> None:
    x, kernel, stride = pictures(shape)
    x.requires_grad_()
    kernel.requires_grad_()
    out = sparse_convolution(x, kernel, stride)
    again = torch.nn.functional.conv2d(x, kernel, stride=stride)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    numbers = [part.detach().numpy() for part in (x, kernel)]
    np.testing.assert_array_equal(out.detach().numpy(), convolution_reference(*numbers, stride))
    torch.testing.assert_close(out, again, rtol=1e-5, atol=1e-5)
    found = torch.autograd.grad(out, (x, kernel), grad)
    expected = torch.autograd.grad(again, (x, kernel), grad)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    exact = kernel_gradient_reference(numbers[0], grad.numpy(), stride, kernel.shape[2:])
    np.testing.assert_allclose(found[1].numpy(), exact, rtol=1e-4, atol=1e-4)


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(C, "GRAIN", 1)
    x, kernel, stride = pictures((203, 2, 12, 11, 20, 5, 5, 2, 0.1))
    windows = C.Windows(2, 12, 11, 5, 5, stride)
    active = listed(x.reshape(203, -1).numpy(), max_density=1.0)
    out = C.convolution(active, kernel.numpy(), windows)
    gradient = C.kernel_gradient(active, out, windows)
    for threads in (2, 5):
        np.testing.assert_array_equal(C.convolution(active, kernel.numpy(), windows, threads), out)
        np.testing.assert_array_equal(C.kernel_gradient(active, out, windows, threads), gradient)


def test_other_types_and_no_pictures_are_torchs() -> None:
    x, kernel, stride = pictures(SHAPES[0])
    expected = torch.nn.functional.conv2d(x.double(), kernel.double(), stride=stride)
    torch.testing.assert_close(sparse_convolution(x.double(), kernel.double(), stride), expected)
    assert sparse_convolution(x[:0], kernel, stride).shape == (0, *expected.shape[1:])
