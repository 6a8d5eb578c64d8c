"""Diagonal state spaces: a few numbers for each channel, forgotten at rates of their own."""

from __future__ import annotations

import math
from abc import abstractmethod
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
from .modules import linear


def _zero_order_hold(a: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
    """Return (e^{dt A}, (e^{dt A} - 1) / A): u is constant within a step."""
    return (dt * a).exp(), ((dt * a).exp() - 1) / a


def _bilinear(a: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
    """Return ((1 + dt A/2) / (1 - dt A/2), dt / (1 - dt A/2)): the trapezoidal rule."""
    half = 1 - dt * a / 2
    return (2 - half) / half, dt / half


DISCRETISATIONS = {"bilinear": _bilinear, "zoh": _zero_order_hold}


class DiagonalMixer(Mixer):
    """Kinds with a diagonal linear state space for each channel: s = A' s + B' u, y = 2 Re(C s) + D u.

    The memory is [B, D, state_size, 2], real and imaginary parts.

    Attributes:
        state_size: complex states of a channel.
        C: [D, state_size, 2], real and imaginary parts.
        D: [D].
    """

    state_size: int
    C: Tensor
    D: Tensor

    @abstractmethod
    def discrete(self) -> tuple[Tensor, Tensor]:
        """Return (A', B'), complex [D, state_size]."""

    def initial(self, x: Tensor) -> State:
        return {"memory": x.new_zeros(len(x), x.shape[-1], self.state_size, 2)}

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        a, b = self.discrete()
        # s = A' s + B' u
        s = a * torch.view_as_complex(memory) + b * inputs["u"][..., None]
        # States come in conjugate pairs, of which one is stored: y = 2 Re(C s) + D u
        y = 2 * (torch.view_as_complex(self.C) * s).real.sum(-1) + self.D * inputs["u"]
        return torch.view_as_real(s), y

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        out = step.value(self.width)
        # A' and B' are computed once.
        a, b = self.discrete()
        step.append(
            vector_states.diagonal,
            Channels(self.width),
            {"u": inputs["u"]},
            {"state": memory, "out": out},
            width=self.width,
            states=self.state_size,
            a=torch.view_as_real(a),
            b=torch.view_as_real(b),
            c=self.C,
            d=self.D,
        )
        return out

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        a, b = self.discrete()
        c = torch.view_as_complex(self.C)
        u = inputs["u"]
        size = self.chunk
        # Powers 0 to `size` of A', by doubling: exact to rounding, and no logarithm of A' is needed.
        powers = torch.stack([torch.ones_like(a), a])
        while len(powers) <= size:
            powers = torch.cat([powers, powers[-1] * a * powers])[: size + 1]
        # Within a chunk a convolution with 2 Re(C A'^t B'), written as a Toeplitz matrix of each channel.
        kernel = 2 * (c * b * powers[:size]).real.sum(-1)
        apart = torch.arange(size, device=u.device)[:, None] - torch.arange(size, device=u.device)
        toeplitz = kernel[apart.clamp(min=0)].masked_fill((apart < 0)[..., None], 0.0)
        outputs = []
        s = torch.view_as_complex(memory)
        for part in u.split(size, 1):
            n = part.shape[1]
            carried = 2 * torch.einsum("bds,tds->btd", s, c * powers[1 : n + 1]).real
            outputs.append(torch.einsum("tjd,bjd->btd", toeplitz[:n, :n], part) + carried + self.D * part)
            s = powers[n] * s + torch.einsum("bjd,jds->bds", part.to(b.dtype), b * powers[:n].flip(0))
        return torch.view_as_real(s), torch.cat(outputs, 1)

    def system(self, inputs: Inputs, memory: Tensor) -> LinearSystem:
        """Return Lambda = diag(A', conj A'), B = (B', conj B'), u of each channel, C = (C, conj C), through D u."""
        u = inputs["u"]
        a, b = self.discrete()
        both = [torch.cat([x, x.conj()], -1) for x in (a, b, torch.view_as_complex(self.C))]
        transition, write, read = (x.expand(*u.shape, -1) for x in both)
        return LinearSystem(
            transition=transition,
            write=write[..., None],
            inputs=u[..., None, None].to(a.dtype),
            read=read,
            through=(self.D * u)[..., None],
        )

    def transition(self, empty: Tensor, inputs: Inputs) -> Tensor:
        """Return A'^T of T tokens, shaped as the memory."""
        power = self.discrete()[0] ** inputs["u"].shape[1]
        return torch.view_as_real(power).expand_as(empty)

    def carried(self, transition: Tensor, memory: Tensor) -> Tensor:
        factor = torch.view_as_complex(transition.contiguous())
        return torch.view_as_real(factor * torch.view_as_complex(memory.contiguous()))


@dataclass(eq=False, repr=False, kw_only=True)
class DiagonalSSM(DiagonalMixer):
    """A diagonal linear state space for each channel: s = A' s + B' u, y = 2 Re(C s) + D u, then W_o gelu(y) (LSSL, Gu
    et al. 2021; S4D, Gu et al. 2022, arXiv 2206.11893).

    A = -exp(A_log) + i omega, which starts at -1/2 + i pi n (S4D-Lin), B = 1; the step dt of each channel is learned.
    A', B' by zero-order hold ('zoh') or the bilinear rule.

    Args:
        state_size: complex states of a channel.
        discretisation: a name of `DISCRETISATIONS`.
        dt_range: (lowest, highest) dt at the start of training.
    """

    state_size: int = 16
    discretisation: str = "zoh"
    dt_range: tuple[float, float] = (0.001, 0.1)

    def build(self) -> None:
        width = self.width
        states = self.state_size
        steps = self.dt_range
        require(states > 0, "DiagonalSSM.state_size", "must be > 0", states)
        require(0 < steps[0] <= steps[1], "DiagonalSSM.dt_range", "must be 0 < low <= high", steps)
        self.rule = lookup(DISCRETISATIONS, self.discretisation, "DiagonalSSM.discretisation")
        low, high = (math.log(step) for step in steps)
        self.dt_log = nn.Parameter(torch.rand(width, 1) * (high - low) + low)
        self.A_log = nn.Parameter(torch.full((width, states), math.log(0.5)))
        self.omega = nn.Parameter(math.pi * torch.arange(states, dtype=torch.float32).repeat(width, 1))
        self.C = nn.Parameter(torch.randn(width, states, 2) * states**-0.5)
        self.D = nn.Parameter(torch.ones(width))
        self.in_proj = linear(width, width)
        self.o_proj = linear(width, width)

    def discrete(self) -> tuple[Tensor, Tensor]:
        return self.rule(torch.complex(-self.A_log.exp(), self.omega), self.dt_log.exp())

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        return {"u": self.in_proj(x)}, {}

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return self.o_proj(F.gelu(out))


@dataclass(eq=False, repr=False, kw_only=True)
class MovingAverage(DiagonalMixer):
    """Damped averages of each channel: s = (1 - p a) s + p beta x, y = gamma . s / sqrt(state_size) + omega x.

    p and a are in (0, 1), so that all decays are real (MEGA, Ma et al. 2022, arXiv 2209.10655). It has no projections.

    Args:
        state_size: averages of a channel.
    """

    state_size: Annotated[int, Rule("> 0")] = 16

    def build(self) -> None:
        sizes = (self.width, self.state_size)
        self.delta, self.alpha = (nn.Parameter(0.2 * _cut_normal(*sizes)) for _ in range(2))
        # Writes of opposite signs in turn, as the source starts.
        signs = 1.0 - 2.0 * (torch.arange(self.state_size) % 2)
        self.beta = nn.Parameter(signs + 0.02 * _cut_normal(*sizes))
        self.gamma = nn.Parameter(_cut_normal(*sizes))
        self.omega = nn.Parameter(_cut_normal(self.width))

    def discrete(self) -> tuple[Tensor, Tensor]:
        p = self.delta.sigmoid()
        decays = 1 - p * self.alpha.sigmoid()
        none = torch.zeros_like(p)
        return torch.complex(decays, none), torch.complex(p * self.beta, none)

    @property
    def C(self) -> Tensor:  # type: ignore[override]
        """Return gamma / (2 sqrt(state_size)), for a real state is no half of a conjugate pair."""
        half = 0.5 * self.state_size**-0.5 * self.gamma
        return torch.stack([half, torch.zeros_like(half)], -1)

    @property
    def D(self) -> Tensor:  # type: ignore[override]
        """Return omega."""
        return self.omega

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        return {"u": x}, {}

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return out


def _cut_normal(*shape: int) -> Tensor:
    """Return normal numbers of deviation 1, drawn again beyond 2."""
    return nn.init.trunc_normal_(torch.empty(*shape), a=-2.0, b=2.0)
