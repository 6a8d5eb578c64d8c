"""Three ways to compute the outputs of a network and their gradients: through time, online, by rates."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from ..errors import check
from . import neurons
from .projected import ProjectedLinear

Layers = Sequence[ProjectedLinear]
Scores = tuple[Tensor, float]


class Training(ABC):
    """How the spikes of a network are computed, and what stands for their gradient. Frozen, without state."""

    # Threshold of the hidden layers at the start, and whether it is learned (until the end of the first task).
    v_threshold: float
    learns_threshold: ClassVar[bool] = False

    @abstractmethod
    def outputs(self, layers: Layers, thresholds: Sequence[Tensor], x: Tensor, learn: bool) -> Iterator[Scores]:
        """Scores [S, B, classes], piece by piece; a caller that trains calls backward on each before the next.

        With every piece comes its part of the whole, by which its mean counts: in the prediction, which is the mean of
        the scores, and in the loss, which is that of their cross-entropies.

        Args:
            layers: all but the last are followed by spiking units.
            thresholds: scalars, one for each layer but the last.
            x: [B, N] a constant current, or [T, B, N].
            learn: whether the subspaces of the layers learn.
        """


def _spiking(training: BPTT | Online) -> None:
    name = type(training).__name__
    check(training.steps >= 1, f"{name}.steps", "must be >= 1", training.steps)
    check(0 <= training.decay < 1, f"{name}.decay", "must be >= 0 and < 1", training.decay)
    for what in ("v_threshold", "slope"):
        check(0 < getattr(training, what) < math.inf, f"{name}.{what}", "must be > 0", getattr(training, what))


def _in_time(current: Tensor, steps: int) -> Tensor:
    """[T, B, N]: a constant current [B, N] at every step."""
    return current.expand(steps, -1, -1) if current.ndim == 2 else current


@final
@dataclass(frozen=True)
class BPTT(Training):
    """Backpropagation through time with a surrogate gradient.

    u = decay u + I, soft reset without gradient, derivative of sigmoid(slope (u - v_threshold)). The scores are the
    mean over time of the last layer's current. Subspaces learn from the spikes of all time steps.
    """

    steps: int = 6
    decay: float = 0.5
    v_threshold: float = 1.0
    slope: float = 4.0

    def __post_init__(self) -> None:
        _spiking(self)

    def outputs(self, layers: Layers, thresholds: Sequence[Tensor], x: Tensor, learn: bool) -> Iterator[Scores]:
        for layer, threshold in zip(layers, thresholds, strict=False):
            current = _in_time(layer(x, learn=learn), self.steps)
            start = torch.zeros_like(current[0])
            x, _ = neurons.spike(current, start, self.decay, float(threshold), self.slope, through_time=True)
        yield layers[-1](x, learn=learn).mean(0, keepdim=True), 1.0


@final
@dataclass(frozen=True)
class Online(Training):
    """Online training through time (OTTT, Xiao et al., NeurIPS 2022): no gradient goes back in time.

    The units of `BPTT`; the weight gradient takes the trace a = decay a + s of the inputs in place of s, each time
    step has its own loss, and memory is that of `together` time steps however long the recording. Subspaces learn
    from the spikes, which span what the traces do. Gradients do not depend on `together`; subspaces make their
    iterations once for each such piece.
    """

    steps: int = 6
    decay: float = 0.5
    v_threshold: float = 1.0
    slope: float = 4.0
    together: int = 6

    def __post_init__(self) -> None:
        _spiking(self)
        check(self.together >= 1, "Online.together", "must be >= 1", self.together)

    def outputs(self, layers: Layers, thresholds: Sequence[Tensor], x: Tensor, learn: bool) -> Iterator[Scores]:
        steps = self.steps if x.ndim == 2 else len(x)
        # The membrane after the reset, and the trace, of each hidden layer.
        held: list[tuple[Tensor, Tensor] | None] = [None] * (len(layers) - 1)
        # A constant input is its own trace but for a factor, and as published it is used as it is.
        before = None if x.ndim == 2 else torch.zeros_like(x[0])
        for at in range(0, steps, self.together):
            piece = min(self.together, steps - at)
            spikes, trace = x, None
            if before is not None:
                spikes = x[at : at + piece]
                trace = neurons.traces(spikes, before, self.decay)
                before = trace[-1]
            for i, (layer, threshold) in enumerate(zip(layers, thresholds, strict=False)):
                current = _in_time(layer(spikes, trace, learn), piece)
                u, a = held[i] or (torch.zeros_like(current[0]), torch.zeros_like(current[0]))
                spikes, u = neurons.spike(current, u, self.decay, float(threshold), self.slope, through_time=False)
                trace = neurons.traces(spikes.detach(), a.detach(), self.decay)
                held[i] = u, trace[-1]
            yield layers[-1](spikes, trace, learn), piece / steps


@final
@dataclass(frozen=True)
class Rate(Training):
    """Training by rates (DSR, Meng et al., CVPR 2022): gradients as if layers passed on their mean rates.

    The units fire once u, which follows I with `tau_mem`, passes reach x v_threshold, and lose v_threshold; a spike
    weighs v_threshold / dt. A mean over time with weights exp(-t / tau_mem) turns one layer's spikes into
    clamp(mean input / tau_mem, 0, v_threshold / dt), up to the grain of single spikes. Gradients, projection and
    subspaces need that mean alone: [B, N], whatever the number of steps. Thresholds are learned.

    Args:
        tau_mem: seconds.
        dt: seconds a step.
    """

    steps: int = 20
    tau_mem: float = 1.0
    dt: float = 0.05
    v_threshold: float = 0.3
    reach: float = 0.3
    learns_threshold: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check(self.steps >= 1, "Rate.steps", "must be >= 1", self.steps)
        for name, unit in (("tau_mem", " s"), ("dt", " s"), ("v_threshold", ""), ("reach", "")):
            check(0 < getattr(self, name) < math.inf, f"Rate.{name}", f"must be > 0{unit}", getattr(self, name))

    def outputs(self, layers: Layers, thresholds: Sequence[Tensor], x: Tensor, learn: bool) -> Iterator[Scores]:
        decay = neurons.decay_of(self.tau_mem, self.dt)
        weights = neurons.recent(self.steps if x.ndim == 2 else len(x), decay).to(x.device)
        means = x if x.ndim == 2 else torch.tensordot(weights, x, 1)
        spikes = x
        for layer, threshold in zip(layers, thresholds, strict=False):
            # The product is linear: that of the means is the mean of the products, and carries the gradient.
            current = layer(means, learn=learn)
            with torch.no_grad():
                size = threshold.detach()
                shape = (len(weights), *current.shape)
                drive = current.expand(shape) if spikes.ndim == 2 else layer(spikes)
                spikes = neurons.fire(drive, decay, float(size), self.reach).mul_(size / self.dt)
                measured = torch.tensordot(weights, spikes, 1)
            means = neurons.rate(current / self.tau_mem, threshold, measured, self.dt)
        yield layers[-1](means, learn=learn)[None], 1.0


TRAININGS: dict[str, type[Training]] = {"bptt": BPTT, "online": Online, "rate": Rate}


def parameters_for(training: Training, hidden: int) -> nn.ParameterList:
    """Thresholds of `hidden` layers."""
    start = torch.tensor(training.v_threshold)
    return nn.ParameterList(nn.Parameter(start.clone(), requires_grad=training.learns_threshold) for _ in range(hidden))
