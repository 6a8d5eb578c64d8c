"""Gated recurrences that are nonlinear, trained over all tokens at once by Newton's method."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, cast

import torch
from torch import Tensor, nn

from ....base.errors import SpeedWarning
from ....base.rules import Rule
from ....kernels.decode.vector_states import cpu as vector_states
from ....kernels.layers.newton.solve import newton_scan
from .base import Inputs, Mixer, Shared, State
from .compiled import Channels, Step
from .modules import divide, linear


class NewtonMixer(Mixer):
    """Kinds whose state [B, units, n] is a nonlinear function of the one before, unit by unit.

    The chunked form is `newton_scan` over all tokens. Where gradients are taken it ends after `rounds`, with states and
    gradients near the recurrence's. Elsewhere it goes on until the residual is rounding. As training makes
    the recurrence less linear the rounds grow with the tokens; beyond 2 sqrt(tokens) they are no faster than a loop,
    which then takes over.

    Attributes:
        states: n.
        units: number of units.
        rounds: maximum of rounds of Newton's method where gradients are taken; None for an exact solution there, too.
        blocks: parts of x and of the units; the units of a part read that part of x alone. 1 for all of x.
        last_rounds: rounds of the last pass over many tokens; 0 before the first.
        residual: largest |step(h_{t-1}) - h_t| that these rounds left; 0 before the first.
    """

    why_not_parallel = "its state is a nonlinear function of the one before it"
    recurrence = ("recur", "step")
    states = 1
    units: Annotated[int, Rule("> 0")]
    rounds: Annotated[int, Rule("> 0")] | None
    blocks: Annotated[int, Rule("> 0")]
    last_rounds: int
    residual: float
    _warned = False

    @abstractmethod
    def step(self, state: Tensor, inputs: Tensor) -> Tensor:
        """Return the states [.., units, n] after a token from those before it and its inputs [.., units, gates]."""

    def start(self, gates: int, weights: int) -> None:
        """Make the projections for `gates` gates a unit, and the recurrent weights.

        As in the source all biases are 0 but those of the first gate, which fall from 0 to -1 over the units.
        """
        self.last_rounds = 0
        self.residual = 0.0
        inputs = divide(self.width, self.blocks, self.name("width"))
        units = divide(self.units, self.blocks, self.name("units"))
        self.in_proj = nn.ModuleList([linear(inputs, gates * units, bias=True) for _ in range(self.blocks)])
        firsts = torch.linspace(0, -1, self.units).split(units)
        for layer, first in zip(self.in_proj, firsts, strict=True):
            # The gates of a unit lie side by side.
            bias = cast(nn.Linear, layer).bias.detach()
            bias.zero_()
            bias[::gates] = first
        self.o_proj = linear(self.units, self.width)
        self.recurrent = nn.Parameter(torch.empty(weights, self.units).uniform_(-1, 1) * math.sqrt(3))

    def initial(self, x: Tensor) -> State:
        return {"memory": x.new_zeros(len(x), self.units, self.states)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        parts = x.chunk(self.blocks, -1)
        u = torch.cat([layer(part) for layer, part in zip(self.in_proj, parts, strict=True)], -1)
        return {"u": u.unflatten(-1, (self.units, -1))}, {}

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        memory = self.step(memory, inputs["u"])
        return memory, memory[..., 0]

    def append_units(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor:
        """Append a step of gated units, of one state or two, whose recurrent weights the operation knows the use of."""
        out = step.value(self.units)
        step.append(
            vector_states.gated_units,
            Channels(self.units),
            {},
            {"state": memory, "out": out},
            whole={"u": inputs["u"]},
            units=self.units,
            states=self.states,
            weights=self.recurrent,
        )
        return out

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        u = inputs["u"].transpose(0, 1)
        capped = self.rounds is not None and torch.is_grad_enabled()
        if capped:
            limit = self.rounds
        else:
            # 2 sqrt(tokens) rounds cost as much as the loop; more than one for each token are never needed.
            limit = min(len(u), math.isqrt(4 * len(u)))
        # Each round solves the recurrence linearised at the states so far, by a parallel scan.
        h, self.last_rounds, self.residual, solved = newton_scan(self.step, memory, u, limit)
        if not capped and not solved:
            self._warn_of_rounds(self.last_rounds, len(u))
            return self.stepwise(memory, inputs)
        # The first of the n states is h, the output.
        return h[-1], h[..., 0].transpose(0, 1)

    def _warn_of_rounds(self, rounds: int, tokens: int) -> None:
        if self._warned:
            return
        self._warned = True
        warnings.warn(
            f"{type(self).__name__}: Newton's method has not converged after {rounds} rounds over {tokens:,} tokens; "
            "such sequences run token by token",
            SpeedWarning,
            stacklevel=2,
        )

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return self.o_proj(out)


@dataclass(eq=False, repr=False, kw_only=True)
class ParaGRU(NewtonMixer):
    """A gated recurrent unit whose recurrent weights are diagonal (Danieli et al. 2025, ParaRNN, arXiv 2510.21450).

        z = s(a_z h + B_z x),  r = s(a_r h + B_r x),  c = tanh(a_c h r + B_c x),  h = (1 - z) h + z c

    s is the sigmoid; y = W_o h.

    Args:
        units: number of units of h.
        rounds: iterations of Newton's method where gradients are taken, see `NewtonMixer`; the source takes 3.
        blocks: number of blocks of the block-diagonal B, the heads of the source.

    The memory is h [B, units, 1].
    """

    units: Annotated[int, Rule("> 0")] = 64
    rounds: Annotated[int, Rule("> 0")] | None = 3
    blocks: Annotated[int, Rule("> 0")] = 1

    def build(self) -> None:
        self.start(3, 3)

    def step(self, state: Tensor, inputs: Tensor) -> Tensor:
        h = state[..., 0]
        a_z, a_r, a_c = self.recurrent
        u_z, u_r, u_c = inputs.unbind(-1)
        # Diagonal weights: a unit sees its own h alone, so that the Jacobian is a number for each unit.
        z = (a_z * h + u_z).sigmoid()
        r = (a_r * h + u_r).sigmoid()
        return (h + z * ((a_c * h * r + u_c).tanh() - h))[..., None]

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        return self.append_units(step, memory, inputs)


@dataclass(eq=False, repr=False, kw_only=True)
class ParaLSTM(NewtonMixer):
    """A long short-term memory with diagonal recurrent weights and peepholes, input and forget gate coupled (ParaRNN).

        f = s(a_f h + p_f c + B_f x),  g = tanh(a_g h + B_g x),  c = f c + (1 - f) g
        o = s(a_o h + p_o c + B_o x),  h = o tanh(c)

    Args:
        units: number of units of h and of c.
        rounds: iterations of Newton's method where gradients are taken, see `NewtonMixer`; the source takes 3.
        blocks: number of blocks of the block-diagonal B, the heads of the source.

    The memory is h and c, [B, units, 2].
    """

    states = 2

    units: Annotated[int, Rule("> 0")] = 64
    rounds: Annotated[int, Rule("> 0")] | None = 3
    blocks: Annotated[int, Rule("> 0")] = 1

    def build(self) -> None:
        self.start(3, 5)

    def step(self, state: Tensor, inputs: Tensor) -> Tensor:
        h, c = state.unbind(-1)
        a_f, a_g, a_o, p_f, p_o = self.recurrent
        u_f, u_g, u_o = inputs.unbind(-1)
        f = (a_f * h + p_f * c + u_f).sigmoid()
        c = f * c + (1 - f) * (a_g * h + u_g).tanh()
        return torch.stack([(a_o * h + p_o * c + u_o).sigmoid() * c.tanh(), c], -1)

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        return self.append_units(step, memory, inputs)
