"""The recurrences of the ELM neuron with gradients: compiled on a CPU, torch on other devices."""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable

from . import cpu
from .reference import MemoryNetwork, leak_reference, memory_reference


def leak(x, decay, start):
    """Return `leak_reference` of x [T, B, N], a number, and start [B, N]."""
    if x.device.type == "cpu":
        return _Leak.apply(x, decay, start)
    return leak_reference(x, decay, start)


def memory(drive, network, start):
    """Return `memory_reference` of drive [T, B, hidden], a `MemoryNetwork` of tensors, and start [B, d]."""
    if drive.device.type == "cpu":
        return _Memory.apply(drive, *network, start)
    return memory_reference(drive, network, start)


class _Leak(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, decay, start):
        x = x.detach().contiguous()
        ctx.decay = decay
        out = torch.empty_like(x)
        # The decay in the type of x, so that the kernel computes in that type.
        typed_decay = x.numpy().dtype.type(decay)
        cpu.leak(_flat(x), typed_decay, start.detach().contiguous().numpy().ravel(), _flat(out))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        grad = grad.contiguous()
        out = torch.empty_like(grad)
        cpu.leak_back(_flat(grad), grad.numpy().dtype.type(ctx.decay), _flat(out))
        return out, None, ctx.decay * out[0]


class _Memory(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *tensors):
        drive, *parameters, start = (tensor.detach().contiguous() for tensor in tensors)
        memory_shape = (*drive.shape[:2], start.shape[1])
        values = cpu.MemoryPass(
            decayed=drive.new_empty(memory_shape),
            hidden=torch.empty_like(drive),
            proposed=drive.new_empty(memory_shape),
            out=drive.new_empty(memory_shape),
        )
        network = MemoryNetwork(*parameters)
        cpu.memory(drive.numpy(), _arrays(network), start.numpy(), _arrays(values))
        ctx.save_for_backward(*network, start, *values)
        return values.out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        tensors = ctx.saved_tensors
        network = MemoryNetwork(*tensors[:5])
        start = tensors[5]
        values = cpu.MemoryPass(*tensors[6:])
        gradients = cpu.MemoryGradients(
            decayed=torch.empty_like(values.decayed),
            hidden=torch.empty_like(values.hidden),
            output=torch.empty_like(values.decayed),
            gain=torch.empty_like(network.gain),
            start=torch.empty_like(start),
        )
        transposed = network._replace(inner=network.inner.T.contiguous(), outer=network.outer.T.contiguous())
        cpu.memory_back(grad.contiguous().numpy(), _arrays(transposed), _arrays(values), _arrays(gradients))
        # The kernel goes back in time; gradients of the matrices are products over all steps at once.
        before = torch.cat([start[None], values.out[:-1]])
        to_keep = (gradients.decayed * before).sum(dim=(0, 1))
        to_inner = values.decayed.flatten(0, 1).T @ gradients.hidden.flatten(0, 1)
        to_outer = values.hidden.flatten(0, 1).T @ gradients.output.flatten(0, 1)
        to_bias = gradients.output.sum(dim=(0, 1))
        return gradients.hidden, to_keep, gradients.gain, to_inner, to_outer, to_bias, gradients.start


def _arrays(tensors):
    """Return the same named tuple of numpy views."""
    return type(tensors)(*(tensor.numpy() for tensor in tensors))


def _flat(x):
    """Return a [T, rest] numpy view."""
    return x.numpy().reshape(len(x), -1)
