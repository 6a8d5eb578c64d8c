"""Linear state spaces that remember a signal by its Legendre coefficients: LSSL with HiPPO matrices."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import lookup, require
from ....base.rules import Rule
from ....kernels.decode.vector_states import cpu as vector_states
from .base import Inputs, Mixer, Shared, State
from .compiled import Channels, Step
from .linear_system import LinearSystem
from .modules import divide, linear


def _orders(states: int) -> Tensor:
    """Return the orders of the polynomials, on the CPU also for a model without memory.

    What an operation on tensors without memory would return is asked of torch's compiler, whose import takes 2 s.
    """
    return torch.arange(states, dtype=torch.float64, device="cpu")


def _scaled(states: int) -> tuple[Tensor, Tensor]:
    """Return A and B of LegS: all of the past, its age on a logarithmic scale."""
    n = _orders(states)
    root = (2 * n + 1).sqrt()
    # A_nk = -sqrt((2n + 1)(2k + 1)) for n > k, -(n + 1) for n = k, 0 above; B_n = sqrt(2n + 1)
    return -torch.diag(n + 1) - (root[:, None] * root).tril(-1), root


def _translated(states: int) -> tuple[Tensor, Tensor]:
    """Return A and B of LegT: the last unit of time, all ages alike, in coefficients of P_n (Voelker et al. 2019)."""
    n = _orders(states)
    i = n[:, None]
    j = n
    # A_ij = (2i + 1) (-1 for i < j, else (-1)^(i - j + 1)), B_i = (2i + 1) (-1)^i
    signs = torch.where(i < j, -torch.ones_like(i - j), (-1.0) ** (i - j + 1))
    return (2 * i + 1) * signs, (2 * n + 1) * (-1.0) ** n


def _scaled_parts(states: int) -> tuple[Tensor, ...]:
    """Return P, D, Q and the diagonals of T (below, on, above) with P (D + T^-1) Q = A of LegS.

    Rows and columns of -A share the factors sqrt(2n + 1); behind them are ones below the diagonal, whose inverse with
    the diagonal has two diagonals.
    """
    n = _orders(states)
    root = (2 * n + 1).sqrt()
    zeros = n.new_zeros(states - 1)
    return -root, (n + 1) / (2 * n + 1) - 1, root, zeros - 1, torch.ones_like(n), zeros


def _translated_parts(states: int) -> tuple[Tensor, ...]:
    """Return the same of LegT: without its factors 2i + 1 A is the inverse of a tridiagonal matrix."""
    rows = 2 * _orders(states) + 1
    inverse = torch.linalg.inv(_translated(states)[0] / rows[:, None])
    zeros = torch.zeros_like(rows)
    return rows, zeros, torch.ones_like(rows), *(inverse.diagonal(k).clone() for k in (-1, 0, 1))


def _random_parts(states: int) -> tuple[Tensor, ...]:
    """Return the same of a matrix of no measure: T near the unit matrix, all else drawn."""
    p, d, q, lower, upper = (torch.rand(states, dtype=torch.float64) for _ in range(5))
    return -1 - p, d, 1 + q, (lower[1:] - 0.5) / 2, torch.ones(states, dtype=p.dtype), (upper[1:] - 0.5) / 2


def _placed(value: Tensor) -> Tensor:
    """Return a value as float32 on the device that new weights are made on."""
    return value.float().to(torch.get_default_device())


MEASURES: dict[str, Callable[[int], tuple[Tensor, Tensor]]] = {"legs": _scaled, "legt": _translated}
PARTS: dict[str, Callable[[int], tuple[Tensor, ...]]] = {
    "legs": _scaled_parts,
    "legt": _translated_parts,
    "random": _random_parts,
}


@dataclass(eq=False, repr=False, kw_only=True)
class HippoSSM(Mixer):
    """s = A' s + B' u for each channel, y = C s + D u, then W_o gelu(y) (LSSL, Gu et al. 2021, arXiv 2110.13985).

    A and B start as the matrices of HiPPO (Gu et al. 2020, arXiv 2008.07669) and are trained; A', B' by the bilinear
    rule with a step dt of each channel, in units of the measure's time: 1 / dt tokens. With `structured` A stays in the
    class of the paper, A = P (D + T^-1) Q with P, D, Q diagonal and T tridiagonal, which has both measures.

    Args:
        state_size: Legendre coefficients of a channel.
        measure: 'legs', all of the past, or 'legt', the last 1 / dt tokens; 'random' for a structured A of no measure,
            with the B of LegS.
        dt_range: (lowest, highest) dt at the start of training.
        structured: train P, D, Q and the diagonals of T in place of all of A.
        copies: number of A and B, of as many channels each.
        outputs: M, numbers of a channel that are read from its state; W_o has M D inputs.

    The memory is [B, D, state_size].
    """

    why_not_parallel = "its transition is a matrix for each channel, larger than the slice it would save"
    chunk = 16

    state_size: Annotated[int, Rule("> 0")] = 16
    measure: str = "legs"
    dt_range: tuple[float, float] = (0.001, 0.1)
    structured: bool = False
    copies: Annotated[int, Rule("> 0")] = 1
    outputs: Annotated[int, Rule("> 0")] = 1

    def build(self) -> None:
        divide(self.width, self.copies, self.name("width"))
        known = PARTS if self.structured else MEASURES
        make = lookup(known, self.measure, self.name("measure"))
        a, b = MEASURES.get(self.measure, _scaled)(self.state_size)
        if self.structured:
            copies = [make(self.state_size) for _ in range(self.copies)]
            # Each part of all copies, [copies, ..].
            parts = [nn.Parameter(_placed(torch.stack(same))) for same in zip(*copies, strict=True)]
            self.P, self.diagonal, self.Q, self.T_lower, self.T_diagonal, self.T_upper = parts
        else:
            self.A = nn.Parameter(self._copied(_placed(a)))
        self.B = nn.Parameter(self._copied(_placed(b)))
        low, high = (math.log(step) for step in self.dt_range)
        self.dt_log = nn.Parameter(torch.rand(self.width) * (high - low) + low)
        # Without an axis of outputs where there is one.
        read = (self.width, self.outputs)[: 1 + (self.outputs > 1)]
        self.C = nn.Parameter(torch.randn(*read, self.state_size) * self.state_size**-0.5)
        self.D = nn.Parameter(torch.ones(read))
        self.in_proj = linear(self.width, self.width)
        self.o_proj = linear(self.width * self.outputs, self.width)

    def _copied(self, value: Tensor) -> Tensor:
        """Return a value of all channels once, or with an axis of copies."""
        if self.copies == 1:
            return value
        return value.repeat(self.copies, *[1] * value.ndim)

    def matrix(self) -> Tensor:
        """Return A, [N, N] or [copies, N, N]."""
        if not self.structured:
            return self.A
        tridiagonal = torch.diag_embed(self.T_diagonal)
        if self.state_size > 1:
            tridiagonal = tridiagonal + torch.diag_embed(self.T_lower, -1) + torch.diag_embed(self.T_upper, 1)
        # A = P (D + T^-1) Q
        inner = torch.diag_embed(self.diagonal) + torch.linalg.inv(tridiagonal)
        return (self.P[..., :, None] * inner * self.Q[..., None, :]).squeeze(0)

    def discrete(self) -> tuple[Tensor, Tensor]:
        """Return A' [D, N, N] and B' [D, N]."""
        dt = self.dt_log.exp()[:, None, None]
        eye = torch.eye(self.state_size, dtype=dt.dtype, device=dt.device)
        a = self.matrix()
        b: Tensor = self.B
        if self.copies > 1:
            a = a.repeat_interleave(self.width // self.copies, 0)
            b = b.repeat_interleave(self.width // self.copies, 0)
        # A' = (I - dt/2 A)^-1 (I + dt/2 A), B' = (I - dt/2 A)^-1 dt B: one solution for both.
        both = torch.cat([eye + dt / 2 * a, (dt[..., 0] * b)[..., None]], -1)
        solved = torch.linalg.solve(eye - dt / 2 * a, both)
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
        if self.outputs == 1:
            return memory, (self.C * memory).sum(-1) + self.D * inputs["u"]
        read = (self.C * memory[..., None, :]).sum(-1) + self.D * inputs["u"][..., None]
        return memory, read.flatten(-2)

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        out = step.value(self.width * self.outputs)
        a, b = self.discrete()
        # The outputs of a channel lie side by side: the same shares of the channels and of them.
        step.append(
            vector_states.linear_filter,
            Channels(self.width),
            {"u": inputs["u"]},
            {"state": memory, "out": out},
            width=self.width,
            states=self.state_size,
            outputs=self.outputs,
            a=a,
            b=b,
            c=self.C,
            d=self.D,
            before=step.scratch(self.state_size),
        )
        return out

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
        # [D, M, N] and [D, M], the outputs of a channel.
        c = self.C.view(self.width, self.outputs, self.state_size)
        through = self.D.view(self.width, self.outputs)
        kernel = torch.einsum("dmi,tdi->tdm", c, responses)
        apart = torch.arange(size, device=u.device)[:, None] - torch.arange(size, device=u.device)
        toeplitz = kernel[apart.clamp(min=0)].masked_fill((apart < 0)[..., None, None], 0.0)
        # C A'^(t + 1): the share of the state before the chunk in the output of its token t.
        reads = torch.einsum("dmi,tdij->tdmj", c, flow[1:])
        for part in u.split(size, 1):
            n = part.shape[1]
            carried = torch.einsum("tdmj,bdj->btdm", reads[:n], memory) + through * part[..., None]
            outputs.append((torch.einsum("tjdm,bjd->btdm", toeplitz[:n, :n], part) + carried).flatten(-2))
            memory = torch.einsum("dij,bdj->bdi", flow[n], memory) + torch.einsum(
                "btd,tdi->bdi", part, responses[:n].flip(0)
            )
        return memory, torch.cat(outputs, 1)

    def system(self, inputs: Inputs, memory: Tensor) -> LinearSystem:
        """Return Lambda = A', B = B', u of each channel, C = C, through D u."""
        u = inputs["u"]
        require(self.outputs == 1, self.name("outputs"), "must be 1 for its linear system", self.outputs)
        a, b = self.discrete()
        transition = a.expand(*u.shape, *a.shape[1:])
        write = b.expand(*u.shape, -1)[..., None]
        return LinearSystem(
            transition=transition,
            write=write,
            inputs=u[..., None, None],
            read=self.C.expand_as(write[..., 0]),
            through=(self.D * u)[..., None],
        )

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return self.o_proj(F.gelu(out))
