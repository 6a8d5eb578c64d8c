"""Almost-linear recurrent networks: a linear recurrence, but for a few units that are rectified."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import require
from ....kernels.decode.vector_states import cpu as vector_states
from .base import Inputs, Mixer, Shared, State
from .compiled import EachToken, Step
from .linear_system import LinearSystem
from .modules import linear


@dataclass(eq=False, repr=False, kw_only=True)
class AlmostLinearRNN(Mixer):
    """z = A z + W f(z) + h + C x, A diagonal, f = relu on the last `rectified` units and none on the others (Brenner
    et al. 2024, arXiv 2410.14240), then W_o z.

    For known signs of the rectified units the network is linear. The chunked form computes everything but those units
    by dense products with powers of the linear part, and finds their signs by iteration: solve for assumed signs, take
    the signs of the solution, and repeat until they no longer change. Each round fixes at least one more token, so the
    iteration ends, and it ends at the solution.

    Args:
        units: number of units of z.
        rectified: number of units with the relu.

    The memory is z [B, units].
    """

    why_not_parallel = "its units are rectified, so that a state cannot be composed with the one before it"
    chunk = 16

    units: int = 64
    rectified: int = 8

    def build(self) -> None:
        width = self.width
        units = self.units
        in_range = 0 < self.rectified <= units
        require(in_range, "AlmostLinearRNN.rectified", f"must be > 0 and <= {units} units", self.rectified)
        self.A = nn.Parameter(torch.empty(units).uniform_(0.5, 0.95))
        self.W = nn.Parameter(torch.randn(units, units) * 0.1 / math.sqrt(units))
        self.h = nn.Parameter(torch.zeros(units))
        self.in_proj = linear(width, units)
        self.o_proj = linear(units, width)

    def initial(self, x: Tensor) -> State:
        return {"memory": x.new_zeros(len(x), self.units)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        return {"u": self.in_proj(x) + self.h}, {}

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        first = self.units - self.rectified
        # z = A z + W f(z) + h + C x, f = relu on the last units; u is h + C x
        active = torch.cat([memory[:, :first], F.relu(memory[:, first:])], -1)
        z = self.A * memory + active @ self.W.T + inputs["u"]
        return z, z

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        out = step.value(self.units)
        # Every unit reads all others, so threads share the tokens.
        step.append(
            vector_states.almost_linear,
            EachToken(),
            {"u": inputs["u"]},
            {"z": memory, "out": out},
            units=self.units,
            rectified=self.rectified,
            a=self.A,
            w=self.W,
            active=step.scratch(self.units),
        )
        return out

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        first = self.units - self.rectified
        size = min(self.chunk, inputs["u"].shape[1])
        # The linear part: A and the columns of W of units without the relu.
        plain = torch.cat([self.W[:, :first], torch.zeros_like(self.W[:, first:])], 1) + torch.diag(self.A)
        powers = [torch.eye(self.units, dtype=memory.dtype, device=memory.device)]
        for _ in range(size):
            powers.append(powers[-1] @ plain)
        flow = torch.stack(powers)
        outputs = []
        z = memory
        for part in inputs["u"].split(size, 1):
            response = _lagged(flow, part.shape[1])
            # z of the chunk from the state before and the inputs, as if no rectified unit were active.
            free = torch.einsum("bj,tij->bti", z, flow[1 : part.shape[1] + 1])
            free = free + torch.einsum("tjik,bjk->bti", response, part)
            # Effect of the rectified units on token t: of tokens strictly before it.
            reach = response @ self.W[:, first:]
            known = torch.einsum("tik,bk->bti", reach[:, 0], F.relu(z[:, first:]))
            push = torch.cat([reach[:, 1:], torch.zeros_like(reach[:, :1])], 1)
            bent = self._rectified((free + known)[..., first:], push[:, :, first:])
            out = free + known + torch.einsum("tjik,bjk->bti", push, bent)
            outputs.append(out)
            z = out[:, -1]
        return z, torch.cat(outputs, 1)

    def system(self, inputs: Inputs, memory: Tensor) -> LinearSystem:
        """Return Lambda = A + W diag(1, signs of the state before), B = I, of one head and column; all of z is read."""
        u = inputs["u"]
        first = self.units - self.rectified
        _, states = self.chunked(memory, inputs)
        before = torch.cat([memory[:, None], states[:, :-1]], 1)
        # relu(z) = (z > 0) z: for the signs of the state before, the step is linear.
        active = torch.cat([torch.ones_like(before[..., :first]), (before[..., first:] > 0).to(u.dtype)], -1)
        transition = torch.diag(self.A) + self.W * active[..., None, :]
        eye = torch.eye(self.units, dtype=u.dtype, device=u.device).expand(*u.shape, -1)
        return LinearSystem(transition[:, :, None], eye[:, :, None], u[:, :, None, :, None], None)

    def _rectified(self, base: Tensor, push: Tensor) -> Tensor:
        """Return r [B, T, P] with p = base + push r (strictly causal, [T, T, P, P]) and r = relu(p)."""
        length, count = base.shape[1:]
        lower = push.transpose(1, 2).flatten(2).flatten(0, 1)
        flat = base.flatten(1)
        eye = torch.eye(length * count, dtype=base.dtype, device=base.device)

        # For fixed signs p = base + push (signs p) is a triangular system.
        def solve(signs: Tensor) -> Tensor:
            return torch.linalg.solve_triangular(
                eye - lower * signs[:, None], flat[..., None], upper=False, unitriangular=True
            )[..., 0]

        with torch.no_grad():
            signs = torch.zeros_like(flat)
            for _ in range(length + 1):
                new = (solve(signs) > 0).to(flat.dtype)
                if torch.equal(new, signs):
                    break
                signs = new
        return (solve(signs) * signs).unflatten(1, (length, count))

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return self.o_proj(out)


def _lagged(flow: Tensor, length: int) -> Tensor:
    """Return [T, T, M, M]: flow[t - j] for j <= t, else 0."""
    apart = torch.arange(length, device=flow.device)
    apart = apart[:, None] - apart
    return flow[apart.clamp(min=0)] * (apart >= 0)[..., None, None].to(flow.dtype)
