"""Three ways to compute outputs of a network and their gradients: through time, online, by rates."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, final

import torch
from torch import Tensor, nn

from ...base.rules import Count, Positive, Rule, check_rules
from ..layers.neurons import LIFLayer
from ..layers.surrogates import Surrogate
from .rates import RateUnits, recent

Layers = Sequence[nn.Module]  # `ProjectedLinear` or `ProjectedPicture`
Scores = tuple[Tensor, float]


class HLOPTraining(ABC):
    """A way to compute the spikes of a network and their gradients. Frozen, without state.

    Attributes:
        steps: number of steps of a constant current.
    """

    steps: int

    @abstractmethod
    def units(self, count: int) -> nn.Module:
        """Return the spiking units of one hidden layer."""

    @abstractmethod
    def outputs(self, layers: Layers, units: Sequence[Any], x: Tensor, learn: bool) -> Iterator[Scores]:
        """Yield scores [S, B, classes] in pieces, each with its fraction of all time steps.

        In training, call backward on each piece before the next. The prediction is the mean of all scores, the loss
        the mean of their cross-entropies.

        Args:
            layers: layers from the inputs to the classes.
            units: units after each layer but the last, from `units`.
            x: [B, N] a constant current, or [T, B, N].
            learn: train the subspaces of the layers.
        """


@dataclass(frozen=True)
class _Surrogate(HLOPTraining):
    """Training with a surrogate gradient: u = decay u + I, soft reset without gradient."""

    steps: Count = 6
    decay: Annotated[float, Rule("> 0 and < 1")] = 0.5
    v_threshold: Positive = 1.0
    slope: Positive = 4.0

    def __post_init__(self) -> None:
        check_rules(self)

    def units(self, count: int) -> LIFLayer:
        surrogate = Surrogate("sigmoid", self.slope)
        # With a step of 1 the layer's decay, exp(-1 / tau_mem), is `decay` again.
        tau_mem = -1 / math.log(self.decay)
        return LIFLayer(count, tau_mem=tau_mem, v_threshold=self.v_threshold, dt=1.0, surrogate=surrogate)


def _in_time(current: Tensor, steps: int) -> Tensor:
    """Return [T, B, N]: a constant current [B, N] is repeated."""
    if current.ndim == 2:
        return current.expand(steps, -1, -1)
    return current


@final
@dataclass(frozen=True)
class BPTT(_Surrogate):
    """Backpropagation through time with a surrogate gradient.

    u = decay u + I, soft reset without gradient, derivative of sigmoid(slope (u - v_threshold)). The scores are the
    mean over time of the last layer's current. Subspaces learn from the spikes of all time steps.

    Attributes:
        steps: number of steps of a constant current.
        decay: factor of the membrane in a step.
        v_threshold: threshold of the units.
        slope: slope of the surrogate.
    """

    def outputs(self, layers: Layers, units: Sequence[Any], x: Tensor, learn: bool) -> Iterator[Scores]:
        for layer, unit in zip(layers, units, strict=False):
            x, _ = unit(_in_time(layer(x, learn=learn), self.steps))
        # The loss is taken of the mean score over the steps.
        yield _in_time(layers[-1](x, learn=learn), 1).mean(0, keepdim=True), 1.0


@final
@dataclass(frozen=True)
class Online(_Surrogate):
    """Online training through time (OTTT, Xiao et al., NeurIPS 2022): no gradient goes back in time.

    The units of `BPTT`; the weight gradient takes the trace a = decay a + s of the inputs in place of s, each time
    step has its own loss, and memory holds `together` time steps, however long the recording. Subspaces learn
    from the spikes, which span what the traces do. Gradients do not depend on `together`; subspaces make their
    iterations once for each such piece.

    Attributes:
        steps, decay, v_threshold, slope: see `BPTT`.
        together: number of time steps that are computed at once.
    """

    together: Count = 6

    def outputs(self, layers: Layers, units: Sequence[Any], x: Tensor, learn: bool) -> Iterator[Scores]:
        steps = self.steps if x.ndim == 2 else len(x)
        states: list[Tensor | None] = [None] * len(units)
        before: list[Tensor | None] = [None] * len(layers)
        for begin in range(0, steps, self.together):
            piece = min(self.together, steps - begin)
            spikes = x
            trace = None
            # The trace of a constant input is a multiple of it; as published, the input itself is used.
            if x.ndim == 3:
                spikes = x[begin : begin + piece]
                trace, before[0] = self._traces(spikes, before[0])
            for i, (layer, unit) in enumerate(zip(layers, units, strict=False)):
                current = _in_time(layer(spikes, trace, learn), piece)
                spikes, states[i] = self._fire(unit, current, states[i])
                trace, before[i + 1] = self._traces(spikes.detach(), before[i + 1])
            yield _in_time(layers[-1](spikes, trace, learn), piece), piece / steps

    @staticmethod
    def _fire(unit: LIFLayer, current: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return spikes and state after single steps, between which no gradient passes."""
        spikes = []
        for now in current.split(1):
            out, state = unit(now, state)
            state = state.detach()
            spikes.append(out)
        return torch.cat(spikes), state

    def _traces(self, spikes: Tensor, last: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return [T, B, N] a[t] = decay a[t-1] + s[t], and the last a."""
        traces = torch.empty_like(spikes)
        a = torch.zeros_like(spikes[0]) if last is None else last
        for t, s in enumerate(spikes):
            # a = decay a + s
            a = torch.add(s, a, alpha=self.decay, out=traces[t])
        return traces, a


@final
@dataclass(frozen=True)
class Rate(HLOPTraining):
    """Training by rates (DSR, Meng et al., CVPR 2022): gradients as if layers passed on their mean rates.

    Gradients, projection and subspaces need the weighted mean over time of the spikes alone: [B, N], whatever the
    number of steps. Thresholds are learned. See `RateUnits`.

    Attributes:
        steps: number of steps of a constant current.
        tau_mem: membrane time constant, s.
        dt: length of a step, s.
        reach: fraction of `v_threshold` at which a unit fires.
    """

    steps: Count = 20
    tau_mem: Annotated[float, Rule("> 0 s")] = 1.0
    dt: Annotated[float, Rule("> 0 s")] = 0.05
    v_threshold: Positive = 0.3
    reach: Positive = 0.3

    def __post_init__(self) -> None:
        check_rules(self)

    def units(self, count: int) -> RateUnits:
        return RateUnits(self.v_threshold, self.tau_mem, self.dt, self.reach)

    def outputs(self, layers: Layers, units: Sequence[Any], x: Tensor, learn: bool) -> Iterator[Scores]:
        steps = self.steps if x.ndim == 2 else len(x)
        weights = recent(steps, math.exp(-self.dt / self.tau_mem)).to(x.device)
        spikes = x
        means = x if x.ndim == 2 else torch.tensordot(weights, x, 1)
        for layer, unit in zip(layers, units, strict=False):
            # The product is linear: the product of the means is the mean of the products, and carries the gradient.
            current = layer(means, learn=learn)
            with torch.no_grad():
                # A constant input has one current, and it is its mean.
                if spikes.ndim == 2:
                    current_in_time = current
                else:
                    current_in_time = layer(spikes)
                spikes = unit.fire(_in_time(current_in_time, steps))
                measured = torch.tensordot(weights, spikes, 1)
            means = unit.rate(current, measured)
        yield layers[-1](means, learn=learn)[None], 1.0


TRAININGS: dict[str, type[BPTT] | type[Online] | type[Rate]] = {"bptt": BPTT, "online": Online, "rate": Rate}
