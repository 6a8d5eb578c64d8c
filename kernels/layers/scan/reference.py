"""The recurrence of a spiking layer over time and its surrogate gradient, in plain torch: the specification.

Each kind advances a state by one step; `c` names the rows of its constants, one value a unit:

    LIF         c = alpha, theta.                 u = alpha v + I;               v = R(u, s)
    CURRENT     c = alpha, theta, delta, kappa.   u = alpha v + kappa i;         v = R(u, s);  i = delta i + I
    ADAPTIVE    c = alpha, theta, beta, A, B.     u = alpha v + (1 - alpha) (I - w);
                                                  v = R(u, s);  w = beta w + (1 - beta) (A v + B s), v being the new one
    INTEGRATOR  c = alpha.                        v = alpha v + I, and v is the output

    s = [u > theta];  R(u, s) = u - s theta (SUBTRACT, LATE: see below) or u (1 - s) (ZERO)

LATE is LIF alone: the membrane keeps u, and theta is taken off after the next decay, u = alpha v + I - [v > theta]
theta, as snnTorch does. In the backward pass ds/du is the surrogate h(u - theta); the s inside R counts as a constant
unless `attached`.

Operations are in float32 in the order written, without fused multiply-adds, so that the event-driven engine, whose
neurons compute the same, finds the same spikes. `cpu` and `gpu` are the compiled forms.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .kinds import ARCTAN, FAST_SIGMOID, LATE, TRIANGLE, ZERO, Recurrence


def derivative(x: Tensor, how: Recurrence) -> Tensor:
    """Return h(x), elementwise."""
    k = how.slope
    if how.surrogate == FAST_SIGMOID:
        h = 1 / (1 + k * x.abs()) ** 2
    elif how.surrogate == ARCTAN:
        h = 0.5 * k / (1 + (0.5 * math.pi * k * x) ** 2)
    elif how.surrogate == TRIANGLE:
        h = (1 - k * x.abs()).clamp_min(0)
    else:
        g = torch.sigmoid(k * x)
        h = k * g * (1 - g)
    return how.scale * h


class SurrogateStep(torch.autograd.Function):
    """[x > 0] with the surrogate as its derivative."""

    @staticmethod
    def forward(ctx, x, how):
        ctx.save_for_backward(x)
        ctx.how = how
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad * derivative(ctx.saved_tensors[0], ctx.how), None


def _reset(u: Tensor, s: Tensor, theta: Tensor, how: Recurrence) -> Tensor:
    s = s if how.attached else s.detach()
    return u * (1 - s) if how.reset == ZERO else u - s * theta


def _lif(current: Tensor, state: Tensor, c: Tensor, how: Recurrence) -> tuple[Tensor, Tensor]:
    (v,) = state
    alpha, theta = c
    u = alpha * v + current
    if how.reset == LATE:
        before = SurrogateStep.apply(v - theta, how)
        u = u - (before if how.attached else before.detach()) * theta
        return SurrogateStep.apply(u - theta, how), u[None]
    s = SurrogateStep.apply(u - theta, how)
    return s, _reset(u, s, theta, how)[None]


def _current(current: Tensor, state: Tensor, c: Tensor, how: Recurrence) -> tuple[Tensor, Tensor]:
    v, i = state
    alpha, theta, delta, kappa = c
    u = alpha * v + kappa * i
    s = SurrogateStep.apply(u - theta, how)
    return s, torch.stack([_reset(u, s, theta, how), delta * i + current])


def _adaptive(current: Tensor, state: Tensor, c: Tensor, how: Recurrence) -> tuple[Tensor, Tensor]:
    v, w = state
    alpha, theta, beta, a, b = c
    u = alpha * v + (1 - alpha) * (current - w)
    s = SurrogateStep.apply(u - theta, how)
    v = _reset(u, s, theta, how)
    return s, torch.stack([v, beta * w + (1 - beta) * (a * v + b * s)])


def _integrator(current: Tensor, state: Tensor, c: Tensor, how: Recurrence) -> tuple[Tensor, Tensor]:
    v = c[0] * state[0] + current
    return v, v[None]


STEPS = (_lif, _current, _adaptive, _integrator)


def reference(
    current: Tensor,
    state: Tensor,
    c: Tensor,
    how: Recurrence,
    weight: Tensor | None = None,
    last: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Run the recurrence step by step.

    Args:
        current: [T, B, N], input of each step.
        state: [STATES, B, N] before the first step.
        c: [CONSTANTS, N].
        weight: [N, N] feed-back, targets by sources; the spikes of a step arrive in the next one.
        last: [B, N], spikes of the step before the first; with `weight` only.

    Returns:
        out [T, B, N]: spikes (INTEGRATOR: the membrane); the state after the last step.
    """
    out = []
    for arrived in current:
        if weight is None:
            total = arrived
        else:
            total = arrived + last @ weight.T
        last, state = STEPS[how.kind](total, state, c, how)
        out.append(last)
    return torch.stack(out), state
