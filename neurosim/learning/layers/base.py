"""Contracts of layers: with state, and of neurons."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Protocol, TypedDict

import torch
from torch import Tensor, nn

from ...base.errors import lookup, require
from ...kernels.layers.scan.kinds import LATE, SUBTRACT, ZERO, Recurrence
from ...kernels.layers.scan.launch import scan
from .linear import SpikeLinear
from .surrogates import Surrogate, to_surrogate
from .unit_parameter import UnitParameter, Value

RESETS = {"subtract": SUBTRACT, "zero": ZERO, "subtract_late": LATE}


class Stateful(nn.Module, ABC):
    """A layer over time: `layer(x, state=None) -> (out, state)`, x and out [T, B, units] or [T, units].

    The state belongs to the call: None starts from rest, and the next call takes what this one returns. Its shape is
    [len(state), B, units]: the variables named in `state`, then the axes of x without time.
    """

    @abstractmethod
    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run the layer over T steps.

        Raises:
            NeurosimInputError: x or state of another shape.
        """


class NeuronOptions(TypedDict, total=False):
    """Options of every layer of neurons that spike, in addition to the parameters of its neurons.

    Attributes:
        dt: length of a step, s; 1e-3 if absent.
        reset: a name in the layer's `resets`; the first of them if absent.
        detach_reset: no gradient passes through the reset; True if absent.
        surrogate: a name in `SURROGATES` or a `Surrogate`; "arctan" if absent.
        recurrent: feed the spikes of all units back to all units, one step later; False if absent.
        seed: key of the feed-back weights and of drawn values; 0 if absent.
    """

    dt: float
    reset: str
    detach_reset: bool
    surrogate: str | Surrogate
    recurrent: bool
    seed: int


class ParameterMaker(Protocol):
    """A function that makes the parameters of one layer, drawing them in the order of its calls."""

    def __call__(self, name: str, value: Value, *, trained: bool = False, positive: bool = False) -> UnitParameter: ...


class NeuronLayer(Stateful):
    """A layer of neurons: each has its own input current; with `recurrent`, the layer's spikes are fed back.

    Attributes:
        units: number of neurons.
        dt, reset, detach_reset, surrogate: see `NeuronOptions`.
        recurrent: `SpikeLinear(units, units)` from the spikes of a step to the next currents; None: no feed-back.
    """

    kind: ClassVar[int]
    state: ClassVar[tuple[str, ...]]
    resets: ClassVar[tuple[str, ...]] = ("subtract", "zero")

    def __init__(
        self,
        units: int,
        *,
        dt: float = 1e-3,
        reset: str | None = None,
        detach_reset: bool = True,
        surrogate: str | Surrogate = "arctan",
        recurrent: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        require(isinstance(units, int) and units > 0, f"{name}.units", "must be an integer > 0", units)
        require(0 < dt < math.inf, f"{name}.dt", "must be > 0 s", dt)
        self.units = units
        self.dt = float(dt)
        self.seed = seed
        self.reset = self.resets[0] if reset is None else reset
        self.detach_reset = detach_reset
        self.surrogate = to_surrogate(surrogate, name)
        code = lookup({r: RESETS[r] for r in self.resets}, self.reset, f"{name}.reset")
        self.how = Recurrence(self.kind, code, not detach_reset, *self.surrogate.numbers())
        self.recurrent = SpikeLinear(units, units, bias=False, seed=seed) if recurrent else None

    def parameter_maker(self) -> ParameterMaker:
        """Return a function that makes the parameters of the units, drawn by the layer's seed."""
        generator = torch.Generator().manual_seed(self.seed)

        def make(name: str, value: Value, *, trained: bool = False, positive: bool = False) -> UnitParameter:
            full_name = f"{type(self).__name__}.{name}"
            return UnitParameter(full_name, value, self.units, trained=trained, positive=positive, generator=generator)

        return make

    @abstractmethod
    def constants(self) -> Tensor:
        """Return [constants, units] float64, the rows that `kernels.layers.scan.reference` names, for steps of `dt`."""

    def start(self, x: Tensor) -> Tensor:
        """Return the state before the first step of x [T, ..., units]: zeros. With feed-back its last row is spikes."""
        rows = len(self.state) + (self.recurrent is not None)
        return torch.zeros(rows, *x.shape[1:], dtype=x.dtype, device=x.device)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        name = type(self).__name__
        good = x.ndim in (2, 3) and x.shape[-1] == self.units and len(x) > 0 and x.is_floating_point()
        require(good, name, f"input must be [T, B, {self.units}] or [T, {self.units}], T > 0, floating", tuple(x.shape))
        start = self.start(x)
        if state is None:
            state = start
        require(state.shape == start.shape, name, f"state must be {list(start.shape)}", tuple(state.shape))
        # The kernel takes a batch: one recording is a batch of one.
        if x.ndim == 2:
            out, state = self._run(x[:, None], state[:, None])
            return out[:, 0], state[:, 0]
        return self._run(x, state)

    @torch.no_grad()
    def each_step(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the spikes and the state after each step, [T, B, units] and [T, len(state), B, units], from rest.

        Args:
            x: [T, B, units].
        """
        spikes = []
        states = []
        state = None
        for now in x.split(1):
            out, state = self(now, state)
            spikes.append(out)
            states.append(state[: len(self.state)])
        return torch.cat(spikes), torch.stack(states)

    def _run(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        # Constants are float64 and are rounded once, to the type of x.
        c = self.constants().to(x)
        if self.recurrent is None:
            return scan(x, state, c, self.how)
        rows = len(self.state)
        # A bias of the feed-back arrives in every step, whatever spiked: it is part of the input.
        if self.recurrent.bias is not None:
            x = x + self.recurrent.bias
        out, last = scan(x, state[:rows], c, self.how, self.recurrent.weight, state[rows])
        # The spikes of the last step are a row of the state: they arrive in the next one.
        return out, torch.cat([last, out[-1:]])

    def extra_repr(self) -> str:
        return f"{self.units}, dt={self.dt:g}"
