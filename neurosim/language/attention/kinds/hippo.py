"""Linear state spaces that remember a signal by its Legendre coefficients: LSSL with HiPPO matrices."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import lookup
from ....base.rules import Rule
from .base import Inputs, Mixer, Shared, State
from .modules import linear


def _scaled(states: int) -> tuple[Tensor, Tensor]:
    """Return A and B of LegS: all of the past, its age on a logarithmic scale."""
    n = torch.arange(states, dtype=torch.float64)
    root = (2 * n + 1).sqrt()
    # A_nk = -sqrt((2n + 1)(2k + 1)) for n > k, -(n + 1) for n = k, 0 above; B_n = sqrt(2n + 1)
    return -torch.diag(n + 1) - (root[:, None] * root).tril(-1), root


def _translated(states: int) -> tuple[Tensor, Tensor]:
    """Return A and B of LegT: the last unit of time, all ages alike, in coefficients of P_n (Voelker et al. 2019)."""
    n = torch.arange(states, dtype=torch.float64)
    i = n[:, None]
    j = n
    # A_ij = (2i + 1) (-1 for i < j, else (-1)^(i - j + 1)), B_i = (2i + 1) (-1)^i
    signs = torch.where(i < j, -torch.ones_like(i - j), (-1.0) ** (i - j + 1))
    return (2 * i + 1) * signs, (2 * n + 1) * (-1.0) ** n


MEASURES: dict[str, Callable[[int], tuple[Tensor, Tensor]]] = {"legs": _scaled, "legt": _translated}


@dataclass(eq=False, repr=False, kw_only=True)
class HippoSSM(Mixer):
    """s = A' s + B' u for each channel, y = C s + D u, then W_o gelu(y) (LSSL, Gu et al. 2021, arXiv 2110.13985).

    A and B start as the matrices of HiPPO (Gu et al. 2020, arXiv 2008.07669) and are trained; A', B' by the bilinear
    rule with a step dt of each channel, in units of the measure's time: 1 / dt tokens.

    Args:
        state_size: Legendre coefficients of a channel.
        measure: 'legs', all of the past, or 'legt', the last 1 / dt tokens.
        dt_range: (lowest, highest) dt at the start of training.

    The memory is [B, D, state_size].
    """

    why_not_parallel = "its transition is a matrix for each channel, larger than the slice it would save"
    chunk = 16

    state_size: Annotated[int, Rule("> 0")] = 16
    measure: str = "legs"
    dt_range: tuple[float, float] = (0.001, 0.1)

    def build(self) -> None:
        a, b = lookup(MEASURES, self.measure, self.name("measure"))(self.state_size)
        self.A = nn.Parameter(a.float())
        self.B = nn.Parameter(b.float())
        low, high = (math.log(step) for step in self.dt_range)
        self.dt_log = nn.Parameter(torch.rand(self.width) * (high - low) + low)
        self.C = nn.Parameter(torch.randn(self.width, self.state_size) * self.state_size**-0.5)
        self.D = nn.Parameter(torch.ones(self.width))
        self.in_proj = linear(self.width, self.width)
        self.o_proj = linear(self.width, self.width)

    def discrete(self) -> tuple[Tensor, Tensor]:
        """Return A' [D, N, N] and B' [D, N]."""
        dt = self.dt_log.exp()[:, None, None]
        eye = torch.eye(self.state_size, dtype=dt.dtype, device=dt.device)
        # A' = (I - dt/2 A)^-1 (I + dt/2 A), B' = (I - dt/2 A)^-1 dt B: one solution for both.
        both = torch.cat([eye + dt / 2 * self.A, (dt[..., 0] * self.B)[..., None]], -1)
        solved = torch.linalg.solve(eye - dt / 2 * self.A, both)
        return solved[..., :-1], solved[..., -1]

    def initial(self, x: Tensor) -> State:
        return {"memory": x.new_zeros(len(x), self.width, self.state_size)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        return {"u": self.in_proj(x)}, {}

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        a, b = self.discrete()
        # s = A' s + B' u
        memory = torch.einsum("dij,bdj->bdi", a, memory) + b * inputs["u"][..., None]
        # y = C s + D u
        return memory, (self.C * memory).sum(-1) + self.D * inputs["u"]

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        a, b = self.discrete()
        u = inputs["u"]
        size = self.chunk
        outputs = []
        # A'^0 .. A'^chunk of each channel
        powers = [torch.eye(self.state_size, dtype=u.dtype, device=u.device).expand_as(a)]
        for _ in range(size):
            powers.append(a @ powers[-1])
        flow = torch.stack(powers)  # [size + 1, D, N, N]
        # A'^t B' is the state t tokens after an impulse, and C A'^t B' the kernel of the convolution.
        responses = torch.einsum("tdij,dj->tdi", flow[:-1], b)
        kernel = torch.einsum("di,tdi->td", self.C, responses)
        apart = torch.arange(size, device=u.device)[:, None] - torch.arange(size, device=u.device)
        toeplitz = kernel[apart.clamp(min=0)].masked_fill((apart < 0)[..., None], 0.0)
        # C A'^(t + 1): the share of the state before the chunk in the output of its token t.
        reads = torch.einsum("di,tdij->tdj", self.C, flow[1:])
        for part in u.split(size, 1):
            n = part.shape[1]
            carried = torch.einsum("tdj,bdj->btd", reads[:n], memory)
            outputs.append(torch.einsum("tjd,bjd->btd", toeplitz[:n, :n], part) + carried + self.D * part)
            memory = torch.einsum("dij,bdj->bdi", flow[n], memory) + torch.einsum(
                "btd,tdi->bdi", part, responses[:n].flip(0)
            )
        return memory, torch.cat(outputs, 1)

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return self.o_proj(F.gelu(out))
