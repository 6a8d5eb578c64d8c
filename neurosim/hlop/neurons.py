"""Spiking layers as Hebbian orthogonal projection trains them: through time, online through traces, and by rates."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class _Spikes(torch.autograd.Function):
    """u[t] = d (u[t-1] - theta s[t-1]) + I[t], s[t] = [u[t] >= theta]; the reset passes no gradient."""

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, start: Tensor, decay: float, threshold: float, slope: float, through_time: bool
    ) -> tuple[Tensor, Tensor]:
        u, spikes = torch.empty_like(current), torch.empty_like(current)
        left = start
        for t in range(len(current)):
            torch.add(current[t], left, alpha=decay, out=u[t])
            torch.ge(u[t], threshold, out=spikes[t])
            left = torch.sub(u[t], spikes[t], alpha=threshold)
        ctx.save_for_backward(u)
        ctx.constants = decay, threshold, slope, through_time
        ctx.mark_non_differentiable(left)
        return spikes, left

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        (u,) = ctx.saved_tensors
        decay, threshold, slope, through_time = ctx.constants
        s = torch.sub(u, threshold).mul_(slope).sigmoid_()
        # s (1 - s), the derivative of the sigmoid in place of the step's.
        grad = torch.addcmul(s, s, s, value=-1).mul_(slope).mul_(grads[0])
        if through_time:
            for t in range(len(u) - 2, -1, -1):
                grad[t].add_(grad[t + 1], alpha=decay)
        return grad, None, None, None, None, None


def spike(
    current: Tensor, start: Tensor, decay: float, threshold: float, slope: float, through_time: bool
) -> tuple[Tensor, Tensor]:
    """Leaky integrate-and-fire units, reset by subtraction, with the derivative of sigmoid(slope (u - threshold)).

    Args:
        current: [T, B, N].
        start: [B, N] membrane after the reset, before the first step; no gradient reaches it.
        decay: part of the membrane that is left after a step.
        through_time: whether gradients go through the membrane to earlier steps (BPTT), or stay in their own (OTTT,
            Xiao et al., NeurIPS 2022), where the trace of the inputs stands for the past.

    Returns:
        Spikes [T, B, N] and the membrane [B, N] after the last.
    """
    return _Spikes.apply(current, start, decay, threshold, slope, through_time)


def traces(spikes: Tensor, start: Tensor, decay: float) -> Tensor:
    """[T, B, N] a[t] = d a[t-1] + s[t], from `start` [B, N]."""
    found = torch.empty_like(spikes)
    for t, s in enumerate(spikes):
        start = torch.add(s, start, alpha=decay, out=found[t])
    return found


def fire(current: Tensor, decay: float, threshold: float, reach: float) -> Tensor:
    """[T, B, N] of 0 and 1: u[t] = d u[t-1] + (1 - d) I[t], a spike where u >= reach x threshold, u -= threshold s.

    The units of training by rates (DSR, Meng et al., CVPR 2022); no gradient.
    """
    spikes = torch.empty_like(current)
    u = torch.zeros_like(current[0])
    for t, i in enumerate(current):
        u.mul_(decay).add_(i, alpha=1 - decay)
        torch.ge(u, reach * threshold, out=spikes[t])
        u.sub_(spikes[t], alpha=threshold)
    return spikes


def recent(steps: int, decay: float) -> Tensor:
    """[T] weights of a mean over time that forgets as the membrane does: d^(T-t), their sum being 1."""
    weights = decay ** torch.arange(steps - 1, -1, -1, dtype=torch.float64)
    return (weights / weights.sum()).float()


class _Rate(torch.autograd.Function):
    """The rate that was measured, with the gradient of clamp(m, 0, limit)."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, threshold: Tensor, measured: Tensor, dt: float) -> Tensor:
        limit = threshold / dt
        ctx.save_for_backward((mean > 0) & (mean < limit), mean >= limit)
        ctx.dt = dt
        return measured

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None, None]:
        (grad,) = grads
        inside, saturated = ctx.saved_tensors
        # The limit is threshold / dt. As published the threshold is learned dt^2 times slower than that says: one
        # number for the whole layer gets the gradients of all its units.
        return grad * inside, (grad * saturated).sum() * ctx.dt, None, None


def rate(mean: Tensor, threshold: Tensor, measured: Tensor, dt: float) -> Tensor:
    """[B, N] `measured` mean rates in 1/s, differentiable as clamp(mean, 0, threshold / dt) of the mean input.

    Args:
        mean: [B, N] mean of the input over time, already divided by the time constant.
        threshold: scalar, of the membrane.
        dt: seconds a step.
    """
    return _Rate.apply(mean, threshold, measured, dt)


def decay_of(tau: float, dt: float) -> float:
    """exp(-dt / tau): what is left of a membrane after a step."""
    return math.exp(-dt / tau)
