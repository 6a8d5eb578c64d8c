"""Nonlinear recurrences over all steps at once: Newton's method, each of its steps a linear scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .scan import linear_scan

TOLERANCE = {torch.float64: 1e-13, torch.float32: 1e-6}  # of the largest residual, to the largest state


class _Through(torch.autograd.Function):
    """The identity forward; back, the sum of what reaches each state through all later ones."""

    @staticmethod
    def forward(ctx: Any, state: Tensor, jacobian: Tensor) -> Tensor:
        ctx.save_for_backward(jacobian)
        return state.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (jacobian,) = ctx.saved_tensors
        # lambda_t = grad_t + J_{t+1}^T lambda_{t+1}: the same scan, from the end.
        later = torch.cat([torch.zeros_like(jacobian[:1]), jacobian.mT.flip(0)[:-1]])
        return linear_scan(later, grads[0].flip(0)).flip(0), None


class Solution(NamedTuple):
    """States of a recurrence that Newton's method has computed.

    Attributes:
        states: h [T, .., n], step(g_{t-1}) of the last iterate g.
        rounds: number of rounds.
        residual: largest |step(g_{t-1}) - g_t|, NaN if an entry is.
        solved: the residual is rounding.
    """

    states: Tensor
    rounds: int
    residual: float
    solved: bool


def newton_scan(
    step: Callable[[Tensor, Any], Tensor], first: Tensor, inputs: Any, max_rounds: int | None = None
) -> Solution:
    """Solve h_t = step(h_{t-1}, inputs_t) for all t at once.

    Each round solves the recurrence with `step` replaced by its tangent at the last iterate: near the solution the
    error squares, and the first t steps are right after t rounds, so that it ends (Danieli et al. 2025, ParaRNN, arXiv
    2510.21450; Lim et al. 2023, arXiv 2309.12252).

    The gradient is one scan with the transposed tangents at the last iterate, whatever the rounds were. At the solution
    it is the gradient of the sequential loop. Where `max_rounds` ends the rounds before, it is only near it, and so are
    the states.

    Args:
        step: of all steps at once, h [T, .., n] and `inputs` to h; entries along .. must not mix.
        first: h [.., n] before the first step.
        inputs: tensors [T, ..] in any structure that `step` takes.
        max_rounds: rounds after which it ends, solved or not; default T.
    """

    def residual_and_tangent(h: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            # A row of the Jacobian for each output: entries along the other axes do not mix, so that one sum serves
            # all.
            before = torch.cat([first[None].detach(), h[:-1]]).requires_grad_()
            out = step(before, inputs)
            rows = [torch.autograd.grad(out[..., i].sum(), before, retain_graph=True)[0] for i in range(h.shape[-1])]
        return out.detach() - h, torch.stack(rows, -2)

    with torch.no_grad():
        h = step(first.expand(_length(inputs), *first.shape), inputs).detach()
        limit = len(h) if max_rounds is None else max_rounds
        rounds = 0
        while True:
            residual, tangent = residual_and_tangent(h)
            largest = residual.abs().max()
            solved = bool(largest <= TOLERANCE.get(h.dtype, 1e-6) * (1 + h.abs().max()))
            if solved or rounds >= limit:
                break
            # A tangent far from the solution may overflow. NaN would stay for ever; a wrong number does not, since t
            # rounds make t steps right.
            h = h + torch.nan_to_num(linear_scan(tangent, residual))
            rounds += 1
    # Once more, with gradients: by `inputs` and parameters directly, and through the states by `_Through`.
    out = step(torch.cat([first[None], h[:-1]]), inputs)
    states = _Through.apply(out, tangent)  # type: ignore[no-untyped-call]
    return Solution(states, rounds, float(largest), solved)


def _length(inputs: Any) -> int:
    while not isinstance(inputs, Tensor):
        inputs = next(iter(inputs.values() if isinstance(inputs, dict) else inputs))
    return len(inputs)
