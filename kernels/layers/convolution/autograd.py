"""A convolution for torch whose time follows the entries of its input other than 0."""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable

from ..spike_linear.lists import listed
from .cpu import Windows, convolution, kernel_gradient


class SparseConvolution(torch.autograd.Function):
    """Return [N, filters, rows, columns] of x [N, planes, height, width] and a kernel, float32 on a CPU."""

    @staticmethod
    def forward(ctx, x, kernel, stride):
        threads = torch.get_num_threads()
        windows = Windows(*x.shape[1:], *kernel.shape[2:], stride)
        # Of a dense picture all entries are listed.
        active = listed(x.detach().reshape(len(x), -1).contiguous().numpy(), max_density=1.0, threads=threads)
        ctx.active = active
        ctx.windows = windows
        ctx.shape = x.shape
        ctx.save_for_backward(kernel)
        return torch.from_numpy(convolution(active, kernel.detach().numpy(), windows, threads))

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        (kernel,) = ctx.saved_tensors
        g_x = None
        g_kernel = None
        if ctx.needs_input_grad[0]:
            g_x = torch.nn.grad.conv2d_input(ctx.shape, kernel, g, stride=ctx.windows.stride)
        if ctx.needs_input_grad[1]:
            flat = kernel_gradient(ctx.active, g.numpy(), ctx.windows, torch.get_num_threads())
            g_kernel = torch.from_numpy(flat).view(kernel.shape)
        return g_x, g_kernel, None


def sparse_convolution(x, kernel, stride):
    """Return the convolution without padding of x [N, planes, height, width] with a kernel [filters, planes, *size].

    On a CPU in float32 the bits of it and of the kernel's gradient do not depend on the number of threads; elsewhere it
    is torch's.
    """
    if x.device.type != "cpu" or x.dtype != torch.float32 or kernel.dtype != torch.float32 or not len(x):
        return torch.nn.functional.conv2d(x, kernel, stride=stride)
    return SparseConvolution.apply(x, kernel, stride)
