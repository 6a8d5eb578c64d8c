"""Units that are trained by their mean rates (DSR, Meng et al., CVPR 2022)."""

from __future__ import annotations

import math
from typing import Any, final

import torch
from torch import Tensor, nn


def recent(steps: int, decay: float) -> Tensor:
    """Return [T] weights of a mean over time that decays as the membrane does: decay^(T-t), with a sum of 1."""
    weights = decay ** torch.arange(steps - 1, -1, -1, dtype=torch.float64)
    return (weights / weights.sum()).float()


class _Clamped(torch.autograd.Function):
    """The measured mean, with the gradient of clamp(mean, 0, threshold / dt)."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, threshold: Tensor, measured: Tensor, dt: float) -> Tensor:
        # A unit fires in every step at most: threshold / dt is its largest rate.
        limit = threshold / dt
        ctx.save_for_backward((mean > 0) & (mean < limit), mean >= limit)
        ctx.dt = dt
        return measured

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None, None]:
        (grad,) = grads
        inside, saturated = ctx.saved_tensors
        # Gradient of the limit, times dt^2 as published; the threshold of a layer gets the gradients of all its units.
        return grad * inside, (grad * saturated).sum() * ctx.dt, None, None


@final
class RateUnits(nn.Module):
    """A layer of leaky integrate-and-fire units, u = d u + (1 - d) I, with rates as output.

    A unit fires if u >= reach x threshold and loses `threshold`; a spike counts threshold / dt. The mean of its output
    over time, weighted as in `recent`, is then clamp(mean of I / tau_mem, 0, threshold / dt), up to single spikes.

    Attributes:
        threshold: scalar parameter; never below `MIN_THRESHOLD`.
        decay: d = exp(-dt / tau_mem).
    """

    MIN_THRESHOLD = 0.0005

    def __init__(self, threshold: float, tau_mem: float, dt: float, reach: float) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor(threshold))
        self.tau_mem = tau_mem
        self.dt = dt
        self.reach = reach
        self.decay = math.exp(-dt / tau_mem)

    def fire(self, current: Tensor) -> Tensor:
        """Return spikes [T, B, N], each threshold / dt, for a current [T, B, N]; without gradient."""
        return self._run(current)

    def each_step(self, current: Tensor) -> tuple[Tensor, Tensor]:
        """Return `fire` and the membranes after each step [T, 1, B, N], as `NeuronLayer.each_step`."""
        membranes = torch.empty_like(current)
        return self._run(current, membranes), membranes[:, None]

    @torch.no_grad()
    def _run(self, current: Tensor, membranes: Tensor | None = None) -> Tensor:
        """Return spikes; write the membranes after each step into `membranes`."""
        spikes = torch.empty_like(current)
        u = torch.zeros_like(current[0])
        size = max(float(self.threshold), self.MIN_THRESHOLD)
        for t, i in enumerate(current):
            # u = d u + (1 - d) I
            u.mul_(self.decay).add_(i, alpha=1 - self.decay)
            torch.ge(u, self.reach * size, out=spikes[t])
            u.sub_(spikes[t], alpha=size)
            if membranes is not None:
                membranes[t] = u
        return spikes.mul_(size / self.dt)

    def rate(self, mean: Tensor, measured: Tensor) -> Tensor:
        """Return the `measured` mean output [B, N], differentiable as the clamp of the mean current `mean` [B, N]."""
        return _Clamped.apply(mean / self.tau_mem, self.threshold, measured, self.dt)
